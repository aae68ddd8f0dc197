"""What a zarr store from somewhere else may ask of us, checked before zarr touches its data.

A store can name codecs that run code, types that hold objects, chunks of terabytes, and paths that lead out of
it. Only what images and labels need is allowed.
"""

import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.errors import ImageError
from assay.io.chunk_sizes import ChunkCoding, chunks_in, index_bytes

MAX_CHUNK_BYTES = 2 << 30  # decoded
MAX_SHARD_BYTES = 1 << 40  # decoded; only its index is ever read as a whole
MAX_CHUNKS_PER_SHARD = 1 << 20
MAX_CHUNKS = 20_000_000  # of one array
MAX_AXIS = 1 << 31
MAX_FRAMES, MAX_CHANNELS, MAX_PLANE_PIXELS = 1_000_000, 256, 1 << 30
MAX_METADATA_BYTES = 16 << 20
MAX_METADATA_VALUES = 2_000_000
MAX_DEPTH = 24  # of folders in an array
MAX_STEP, MAX_STEPS = 200, 12  # letters of a path's step, and its steps
_V2_DTYPE = re.compile(r"[<>|](u1|i1|u2|i2|u4|i4|u8|i8|f2|f4|f8|b1)")
_V3_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
_ITEMSIZE = {"bool": 1}
_CODECS = {"bytes", "transpose", "sharding_indexed", "blosc", "zstd", "gzip", "crc32c"}
_CODECS |= {"numcodecs.lz4", "numcodecs.zlib", "numcodecs.zstd", "numcodecs.blosc", "numcodecs.gzip"}
_V2_COMPRESSORS = {"blosc", "zstd", "gzip", "zlib", "lz4"}
_BEFORE_BYTES = ("transpose", "bytes", "sharding_indexed")
_INDEX_CODECS = (["bytes"], ["bytes", "crc32c"])
_V2_FILTERS = {"shuffle", "delta", "crc32c"}
METADATA_FILES = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeArray:
    """What the checked metadata of an array says."""

    zarr_format: int  # 2 or 3
    shape: tuple[int, ...]
    coding: ChunkCoding


def read_json(file: Path, where: str) -> dict[str, Any]:
    """Read a metadata file of a sane size.

    Raises:
        ImageError: It is missing, too large, no plain file, or not a JSON object.
    """
    try:
        text = _bounded_text(file, where)
        values = json.loads(text)
    except FileNotFoundError as error:
        raise ImageError(
            f"{where}: {file.name} is missing, so this is not complete OME-Zarr. Restore it."
        ) from error
    except OSError as error:
        raise ImageError(f"{where}: {file.name} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{where}: {file.name} is damaged; it is not valid JSON. Restore it from a copy."
        ) from error
    if not isinstance(values, dict):
        raise ImageError(f"{where}: {file.name} is damaged; expected a JSON object. Restore it from a copy.")
    return values


def _bounded_text(file: Path, where: str) -> bytes:
    """What a file holds; a pipe or a device, which never end, is not even opened."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{where}: {file.name} is no file (but a pipe, a device or a folder).")
    if status.st_size > MAX_METADATA_BYTES:
        raise ImageError(
            f"{where}: {file.name} is larger than {MAX_METADATA_BYTES >> 20} MB, which no metadata is."
        )
    with file.open("rb") as stream:
        text = stream.read(MAX_METADATA_BYTES)
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_METADATA_VALUES:
        raise ImageError(
            f"{where}: {file.name} holds more than {MAX_METADATA_VALUES} values, which no metadata does."
        )
    return text


def inner_path(root: Path, path: Any, where: str) -> Path:
    """A folder inside the store, from a path that the store's own metadata gives.

    Raises:
        ImageError: The path is not plain, or leads out of the store.
    """
    steps = path.split("/") if isinstance(path, str) and len(path) <= MAX_STEP * MAX_STEPS else []
    if not 1 <= len(steps) <= MAX_STEPS or not all(
        len(step) <= MAX_STEP and _STEP.fullmatch(step) and step not in (".", "..") for step in steps
    ):
        said = f"{path!r:.200}"
        raise ImageError(
            f"{where}: the path {said} in the metadata is not a plain path inside the plate. Expected e.g. B/03."
        )
    folder = root.joinpath(*steps)
    _require_inside(root, folder, where)
    for name in METADATA_FILES:
        if (folder / name).is_symlink():
            _require_inside(root, folder / name, where)
    return folder


def require_no_way_out(root: Path, folder: Path, where: str) -> None:
    """Refuse symbolic links below `folder` that lead out of the store, and what is neither file nor folder.

    Raises:
        ImageError: There is one, or folders lie too deep in each other.
    """
    waiting = [(folder, 0)]
    while waiting:
        inside, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ImageError(
                f"{where}: {folder.name} holds folders more than {MAX_DEPTH} deep in each other."
            )
        with os.scandir(inside) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _require_inside(root, Path(entry.path), where)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
                    continue
                if not entry.is_file() and not entry.is_dir():
                    raise ImageError(
                        f"{where}: {entry.name} is no file (but a pipe, a device or a broken link)."
                    )


def require_safe_array(folder: Path, where: str) -> SafeArray:
    """Check an array's metadata.

    Raises:
        ImageError: A type, codec or size that images do not need.
    """
    if (folder / "zarr.json").exists():
        return _safe_v3(read_json(folder / "zarr.json", where), where)
    if (folder / ".zarray").exists():
        return _safe_v2(read_json(folder / ".zarray", where), where)
    raise ImageError(f"{where}: there is no array in {folder.name} (neither zarr.json nor .zarray).")


def require_film_sizes(axes: str, shape: Sequence[int], where: str) -> None:
    """Refuse more frames, channels or pixels than a film has.

    Raises:
        ImageError: There are.
    """
    sizes = dict(zip(axes, shape, strict=True))
    rules = (
        (sizes.get("t", 1), MAX_FRAMES, "frames"),
        (sizes.get("c", 1), MAX_CHANNELS, "channels"),
        (sizes.get("y", 1) * sizes.get("x", 1), MAX_PLANE_PIXELS, "pixels in a plane"),
    )
    for size, most, what in rules:
        if size > most:
            raise ImageError(f"{where}: the metadata speaks of {size} {what}; at most {most} are read.")


def _safe_v2(values: Mapping[str, Any], where: str) -> SafeArray:
    dtype = values.get("dtype")
    if not isinstance(dtype, str) or not _V2_DTYPE.fullmatch(dtype):
        raise ImageError(
            f"{where}: pixels of type {dtype!r:.80} are not read. Expected whole numbers or floats."
        )
    compressor, filters = values.get("compressor"), values.get("filters") or []
    _require_known(compressor, "id", _V2_COMPRESSORS, where)
    if not isinstance(filters, list):
        raise ImageError(f"{where}: the array's filters are not understood.")
    for entry in filters:
        _require_known(entry, "id", _V2_FILTERS, where)
        for key in ("dtype", "astype") if isinstance(entry, Mapping) else ():
            said = entry.get(key, dtype)
            if not isinstance(said, str) or not _V2_DTYPE.fullmatch(said) or said[2:] != dtype[2:]:
                raise ImageError(f"{where}: a filter to type {said!r:.80} is not read.")
    if values.get("dimension_separator", ".") not in (".", "/") or values.get("order", "C") not in ("C", "F"):
        raise ImageError(f"{where}: the array's metadata is not understood.")
    shape: Any = values.get("shape")
    chunk: Any = values.get("chunks")
    _require_sizes(shape, chunk, chunk, int(dtype[2:]), where)
    known = [entry["id"] for entry in filters if entry is not None]
    decoded = math.prod(chunk) * int(dtype[2:]) + 4 * known.count("crc32c")
    name = compressor["id"] if compressor else None
    return SafeArray(
        zarr_format=2, shape=tuple(shape), coding=ChunkCoding(compressor=name, decoded_bytes=decoded)
    )


def _safe_v3(values: Mapping[str, Any], where: str) -> SafeArray:
    dtype = values.get("data_type")
    if values.get("node_type") != "array" or not isinstance(dtype, str) or not _V3_DTYPE.fullmatch(dtype):
        raise ImageError(
            f"{where}: pixels of type {dtype!r:.80} are not read. Expected whole numbers or floats."
        )
    if values.get("storage_transformers"):
        raise ImageError(f"{where}: storage transformers are not read.")
    itemsize = _ITEMSIZE.get(dtype) or int(re.sub(r"\D", "", dtype)) // 8
    grid = values.get("chunk_grid")
    if not isinstance(grid, Mapping) or grid.get("name") != "regular":
        raise ImageError(f"{where}: the chunk grid {grid!r:.200} is not read. Expected a regular one.")
    file_shape: Any = _configuration(grid).get("chunk_shape")
    _require_separator(values.get("chunk_key_encoding"), where)
    codecs = _codec_names(values.get("codecs"), where)
    inner, index = _configuration(_first(values["codecs"], "sharding_indexed")), ""
    chunk: Any = file_shape
    if "sharding_indexed" in codecs:
        chunk, index = inner.get("chunk_shape"), str(inner.get("index_location", "end"))
        within = _codec_names(inner.get("codecs"), where)
        index_codecs = _codec_names(inner.get("index_codecs"), where)
        if codecs != ["sharding_indexed"] or "sharding_indexed" in within or index not in ("start", "end"):
            raise ImageError(f"{where}: shards within shards, or encoded once more, are not read.")
        if index_codecs not in _INDEX_CODECS:
            raise ImageError(f"{where}: a shard index encoded by {', '.join(index_codecs)} is not read.")
        codecs = within
    shape: Any = values.get("shape")
    _require_sizes(shape, chunk, file_shape, itemsize, where)
    coding = _coding(codecs, math.prod(chunk) * itemsize, where)
    if index:
        n = chunks_in(tuple(file_shape), tuple(chunk))
        if n > MAX_CHUNKS_PER_SHARD:
            raise ImageError(f"{where}: a shard of {n} chunks is not read, at most {MAX_CHUNKS_PER_SHARD}.")
        length = index_bytes(n, len(index_codecs) - 1)
        coding = replace(coding, chunks_per_file=n, index=index, index_bytes=length)
    return SafeArray(zarr_format=3, shape=tuple(shape), coding=coding)


def _coding(codecs: Sequence[str], decoded: int, where: str) -> ChunkCoding:
    """Of codecs in their order: what shapes the pixels, then bytes, then at most one compressor among checksums."""
    behind = [codec for codec in codecs if codec not in _BEFORE_BYTES]
    ahead = list(codecs[: len(codecs) - len(behind)])
    compressors = [place for place, codec in enumerate(behind) if codec != "crc32c"]
    if ahead.count("bytes") != 1 or ahead[-1] != "bytes" or len(compressors) > 1:
        raise ImageError(
            f"{where}: codecs {', '.join(codecs)} one after another are not read. Expected bytes and one compressor."
        )
    at = compressors[0] if compressors else 0
    name = behind[at].removeprefix("numcodecs.") if compressors else None
    before = at if compressors else len(behind)
    return ChunkCoding(
        compressor=name,
        decoded_bytes=decoded + 4 * before,
        checksums=len(behind) - before - len(compressors),
    )


def _codec_names(codecs: Any, where: str) -> list[str]:
    if not isinstance(codecs, list) or not 1 <= len(codecs) <= 8:
        raise ImageError(f"{where}: the array's codecs are not understood.")
    names = []
    for codec in codecs:
        entry: Any = {"name": codec} if isinstance(codec, str) else codec
        _require_known(entry, "name", _CODECS, where)
        if entry is None:
            raise ImageError(f"{where}: the array's codecs are not understood.")
        names.append(entry["name"])
    return names


def _first(codecs: Sequence[Any], name: str) -> Any:
    return next((codec for codec in codecs if isinstance(codec, Mapping) and codec.get("name") == name), {})


def _configuration(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = entry.get("configuration")
    return inner if isinstance(inner, Mapping) else {}


def _require_separator(encoding: Any, where: str) -> None:
    """The names of chunk files are made of it."""
    name = encoding.get("name") if isinstance(encoding, Mapping) else encoding
    said = _configuration(encoding).get("separator", "/") if isinstance(encoding, Mapping) else "/"
    if name not in ("default", "v2") or said not in (".", "/"):
        raise ImageError(f"{where}: the chunk names {encoding!r:.200} are not read.")


def _require_known(codec: Any, key: str, known: set[str], where: str) -> None:
    if codec is None:
        return
    name = codec.get(key) if isinstance(codec, Mapping) else None
    if not isinstance(name, str) or name not in known:
        raise ImageError(
            f"{where}: the codec {name!r:.80} is not read, because it may run code. Known are {', '.join(sorted(known))}."
        )


def _require_sizes(shape: Any, chunk: Any, file_shape: Any, itemsize: int, where: str) -> None:
    for sizes in (shape, chunk, file_shape):
        if not isinstance(sizes, list) or not all(
            type(size) is int and 0 < size <= MAX_AXIS for size in sizes
        ):
            raise ImageError(
                f"{where}: shape {shape!r:.80} and chunks {sizes!r:.80} are not sizes of an image."
            )
    if not len(shape) == len(chunk) == len(file_shape) <= 8:
        raise ImageError(f"{where}: shape {shape!r:.80} and chunks {chunk!r:.80} do not fit.")
    if any(whole % part for whole, part in zip(file_shape, chunk, strict=True)):
        raise ImageError(f"{where}: shards {file_shape!r:.80} are not made of whole chunks {chunk!r:.80}.")
    for sizes, most in ((chunk, MAX_CHUNK_BYTES), (file_shape, MAX_SHARD_BYTES)):
        size = math.prod(sizes) * itemsize
        if size > most:
            raise ImageError(
                f"{where}: one chunk holds {size / 1e9:.1f} GB, more than the {most >> 30} GB that are read "
                "at once. Write the plate again with smaller chunks."
            )
    n = math.prod(-(-whole // part) for whole, part in zip(shape, chunk, strict=True))
    if n > MAX_CHUNKS:
        raise ImageError(
            f"{where}: an array of shape {shape!r:.80} in {n} chunks is not read, at most {MAX_CHUNKS}."
        )


def _require_inside(root: Path, entry: Path, where: str) -> None:
    if not entry.resolve().is_relative_to(root.resolve()):
        raise ImageError(f"{where}: {entry.name} is a link that leads out of the plate, and is not followed.")
