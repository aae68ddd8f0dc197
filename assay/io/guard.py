"""What a zarr store from somewhere else may ask of us, checked before zarr touches its data.

A store can name codecs that run code, types that hold objects, chunks of terabytes, and paths that lead out of
it. Only what images and labels need is allowed.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import ImageError

MAX_CHUNK_BYTES = 2 << 30  # decoded
MAX_METADATA_BYTES = 16 << 20
_V2_DTYPE = re.compile(r"[<>|](u1|i1|u2|i2|u4|i4|u8|i8|f2|f4|f8|b1)")
_V3_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
_ITEMSIZE = {"bool": 1}
_CODECS = {"bytes", "transpose", "sharding_indexed", "blosc", "zstd", "gzip", "crc32c"}
_CODECS |= {"numcodecs.lz4", "numcodecs.zlib", "numcodecs.zstd", "numcodecs.blosc", "numcodecs.gzip"}
_V2_COMPRESSORS = {"blosc", "zstd", "gzip", "zlib", "lz4"}
_V2_FILTERS = {"shuffle", "delta", "crc32c"}
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]*")


def read_json(file: Path, where: str) -> dict[str, Any]:
    """Read a metadata file of a sane size.

    Raises:
        ImageError: It is missing, too large, or not a JSON object.
    """
    try:
        size = file.stat().st_size
        values = json.loads(file.read_bytes()) if size <= MAX_METADATA_BYTES else None
    except FileNotFoundError as error:
        raise ImageError(f"{where}: {file.name} is missing, so this is not complete OME-Zarr.") from error
    except OSError as error:
        raise ImageError(f"{where}: {file.name} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{where}: {file.name} is damaged; it is not valid JSON.") from error
    if size > MAX_METADATA_BYTES:
        raise ImageError(
            f"{where}: {file.name} is larger than {MAX_METADATA_BYTES >> 20} MB, which no metadata is."
        )
    if not isinstance(values, dict):
        raise ImageError(f"{where}: {file.name} is damaged; expected a JSON object.")
    return values


def inner_path(root: Path, path: Any, where: str) -> Path:
    """A folder inside the store, from a path that the store's own metadata gives.

    Raises:
        ImageError: The path is not plain, or leads out of the store.
    """
    steps = path.split("/") if isinstance(path, str) else []
    if not steps or not all(_STEP.fullmatch(step) and step not in (".", "..") for step in steps):
        raise ImageError(f"{where}: the path {path!r} in the metadata is not a plain path inside the plate.")
    folder = root.joinpath(*steps)
    _require_inside(root, folder, where)
    return folder


def require_no_way_out(root: Path, folder: Path, where: str) -> None:
    """Refuse symbolic links below `folder` that lead out of the store.

    Raises:
        ImageError: There is one.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                _require_inside(root, Path(entry.path), where)
            elif entry.is_dir(follow_symlinks=False):
                require_no_way_out(root, Path(entry.path), where)


def require_safe_array(folder: Path, where: str) -> int:
    """Check an array's metadata and return its zarr format, 2 or 3.

    Raises:
        ImageError: A type, codec or size that images do not need.
    """
    if (folder / "zarr.json").is_file():
        _require_safe_v3(read_json(folder / "zarr.json", where), where)
        return 3
    if (folder / ".zarray").is_file():
        _require_safe_v2(read_json(folder / ".zarray", where), where)
        return 2
    raise ImageError(f"{where}: there is no array in {folder.name} (neither zarr.json nor .zarray).")


def _require_safe_v2(values: Mapping[str, Any], where: str) -> None:
    dtype = values.get("dtype")
    if not isinstance(dtype, str) or not _V2_DTYPE.fullmatch(dtype):
        raise ImageError(f"{where}: pixels of type {dtype!r} are not read. Expected whole numbers or floats.")
    compressor = values.get("compressor")
    _require_known(compressor, "id", _V2_COMPRESSORS, where)
    for entry in values.get("filters") or []:
        _require_known(entry, "id", _V2_FILTERS, where)
    _require_sizes(values.get("shape"), values.get("chunks"), int(dtype[2:]), where)


def _require_safe_v3(values: Mapping[str, Any], where: str) -> None:
    dtype = values.get("data_type")
    if values.get("node_type") != "array" or not isinstance(dtype, str) or not _V3_DTYPE.fullmatch(dtype):
        raise ImageError(f"{where}: pixels of type {dtype!r} are not read. Expected whole numbers or floats.")
    if values.get("storage_transformers"):
        raise ImageError(f"{where}: storage transformers are not read.")
    itemsize = _ITEMSIZE.get(dtype) or int(re.sub(r"\D", "", dtype)) // 8
    grid = values.get("chunk_grid")
    if not isinstance(grid, Mapping) or grid.get("name") != "regular":
        raise ImageError(f"{where}: the chunk grid {grid!r} is not read. Expected a regular one.")
    outer = (grid.get("configuration") or {}).get("chunk_shape")
    _require_sizes(values.get("shape"), outer, itemsize, where)
    _require_codecs(values.get("codecs"), where, depth=0)


def _require_codecs(codecs: Any, where: str, *, depth: int) -> None:
    if not isinstance(codecs, Sequence) or isinstance(codecs, str) or depth > 2:
        raise ImageError(f"{where}: the array's codecs are not understood.")
    for codec in codecs:
        entry: Any = {"name": codec} if isinstance(codec, str) else codec
        _require_known(entry, "name", _CODECS, where)
        if entry["name"] == "sharding_indexed":
            inner = entry.get("configuration") or {}
            _require_codecs(inner.get("codecs"), where, depth=depth + 1)
            _require_codecs(inner.get("index_codecs"), where, depth=depth + 1)


def _require_known(codec: Any, key: str, known: set[str], where: str) -> None:
    if codec is None:
        return
    name = codec.get(key) if isinstance(codec, Mapping) else None
    if name not in known:
        raise ImageError(
            f"{where}: the codec {name!r} is not read, because it may run code. Known are {', '.join(sorted(known))}."
        )


def _require_sizes(shape: Any, chunk: Any, itemsize: int, where: str) -> None:
    for sizes in (shape, chunk):
        if not isinstance(sizes, list) or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ImageError(f"{where}: shape {shape!r} and chunks {chunk!r} are not sizes of an image.")
    if len(shape) != len(chunk):
        raise ImageError(f"{where}: shape {shape!r} and chunks {chunk!r} do not fit.")
    size = math.prod(chunk) * itemsize
    if size > MAX_CHUNK_BYTES:
        raise ImageError(
            f"{where}: one chunk holds {size / 1e9:.1f} GB, more than the {MAX_CHUNK_BYTES >> 30} GB that are read "
            "at once. Write the plate again with smaller chunks."
        )


def _require_inside(root: Path, entry: Path, where: str) -> None:
    if not entry.resolve().is_relative_to(root.resolve()):
        raise ImageError(f"{where}: {entry.name} is a link that leads out of the plate, and is not followed.")
