"""Zarr arrays and groups on a local disk: made with our codecs, opened again, and which file holds which chunk.

Every codec chain we write ends in a check (crc32c, or the one inside zstd), because zarr's own default lets
four in five flipped bits through as wrong pixels.
"""

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from assay.errors import ShapeError
from assay.io.layout import ArrayLayout
from assay.io.sums import METADATA_FILES

Content = Literal["image", "labels"]
_CONFIG: Any = {"write_empty_chunks": True, "order": "C"}


def make_group(root: Path, path: str, attributes: Mapping[str, Any], *, zarr_format: Literal[2, 3]) -> None:
    """Make one group with its attributes, and the groups above it that are not there yet."""
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for above in [*folder.relative_to(root).parents][::-1] if path else []:
        if not (root / above / ("zarr.json" if zarr_format == 3 else ".zgroup")).exists():
            _write_group(root / above, {}, zarr_format)
    _write_group(folder, attributes, zarr_format)


def _write_group(folder: Path, attributes: Mapping[str, Any], zarr_format: Literal[2, 3]) -> None:
    """The few lines that a group is, written straight: by way of zarr a plate of 384 fields takes half a minute."""
    if zarr_format == 3:
        _dump(folder / "zarr.json", {"attributes": attributes, "zarr_format": 3, "node_type": "group"})
        return
    _dump(folder / ".zgroup", {"zarr_format": 2})
    _dump(folder / ".zattrs", attributes)


def _dump(file: Path, values: Mapping[str, Any]) -> None:
    file.write_bytes(_bytes(values))


def _bytes(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()


def set_attributes(root: Path, path: str, attributes: Mapping[str, Any]) -> None:
    """Replace a group's attributes; the driver does this, never two processes at once."""
    zarr.open_group(str(root), path=path, mode="r+").attrs.put(dict(attributes))


def attributes_of(root: Path, path: str) -> dict[str, Any]:
    """A group's attributes."""
    return dict(zarr.open_group(str(root), path=path, mode="r").attrs)


def with_windows(attributes: Mapping[str, Any], windows: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """An image's attributes with these display windows."""
    changed: dict[str, Any] = copy.deepcopy(dict(attributes))
    ome = changed.get("ome", changed)
    for channel, (start, end) in zip(ome["omero"]["channels"], windows, strict=True):
        channel["window"].update(start=start, end=end)
    return changed


def attributes_file(root: Path, path: str, attributes: Mapping[str, Any]) -> tuple[Path, bytes]:
    """The metadata file of a group that exists, and what it holds with these attributes."""
    folder = root / path
    if (folder / "zarr.json").is_file():
        values = json.loads((folder / "zarr.json").read_bytes())
        return folder / "zarr.json", _bytes({**values, "attributes": attributes})
    return folder / ".zattrs", _bytes(attributes)


def metadata_files(root: Path, path: str) -> list[Path]:
    """The metadata files of a group or array and of all groups above it."""
    folders = [root / path, *(root / above for above in Path(path).parents)] if path else [root]
    return [folder / name for folder in folders for name in METADATA_FILES if (folder / name).is_file()]


def make_array(
    root: Path,
    path: str,
    layout: ArrayLayout,
    *,
    dtype: np.dtype[Any],
    axes: str,
    content: Content,
    zarr_format: Literal[2, 3],
) -> None:
    """Make one empty array; chunks are written even where they are all 0, so that absence means loss."""
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _array_metadata(layout, dtype.str, axes, content, zarr_format).items():
        (folder / name).write_bytes(text)


@lru_cache(maxsize=64)
def _array_metadata(
    layout: ArrayLayout, dtype: str, axes: str, content: Content, zarr_format: Literal[2, 3]
) -> dict[str, bytes]:
    """Metadata files of an array as zarr writes them; the fields of a plate share them."""
    pixel_type = np.dtype(dtype)
    compressors: Any
    if zarr_format == 2:
        image, labels = Blosc("zstd", clevel=1, shuffle=Blosc.SHUFFLE), Zstd(3, checksum=True)
        compressors = image if content == "image" else labels
    elif content == "image":
        shuffle = "shuffle" if pixel_type.itemsize > 1 else "noshuffle"
        blosc = BloscCodec(typesize=pixel_type.itemsize, cname="zstd", clevel=1, shuffle=shuffle)
        compressors = (blosc, Crc32cCodec())
    else:
        compressors = (ZstdCodec(level=3, checksum=True),)
    made: dict[str, Any] = {}
    zarr.create_array(
        zarr.storage.MemoryStore(made),
        shape=layout.shape,
        chunks=layout.chunks,
        shards=layout.shards,
        dtype=pixel_type.newbyteorder("<"),
        compressors=compressors,
        fill_value=0,
        zarr_format=zarr_format,
        chunk_key_encoding={"name": "v2" if zarr_format == 2 else "default", "separator": "/"},
        dimension_names=list(axes) if zarr_format == 3 else None,
    )
    return {name: buffer.to_bytes() for name, buffer in made.items()}


def open_for_writing(root: Path, path: str) -> Any:
    """Open an array to write whole shards into it."""
    array = zarr.open_array(str(root), path=path, mode="r+")
    return array.with_config(_CONFIG)  # `config=` on opening is forgotten by zarr 3.1


def write_frames(root: Path, array: Any, first_frame: int, frames: NDArray[Any]) -> None:
    """Write whole shards in place of what is there; the caller has checked that they are whole.

    The old files go first, because zarr reads a shard before it writes it and stumbles over a torn one.

    Raises:
        ShapeError: The frames are of another shape than the array, which zarr would take and garble.
    """
    if frames.shape[1:] != array.shape[1:]:
        raise ShapeError(
            f"{array.path}: expected frames of shape (t, {str(array.shape[1:])[1:]}, got {frames.shape}."
        )
    for file in files_of(root, array, first_frame, len(frames)):
        file.unlink(missing_ok=True)
    array[first_frame : first_frame + len(frames)] = frames


def file_shape(array: Any) -> tuple[int, ...]:
    """Shape of what one file holds: a shard, or a chunk where there are no shards."""
    return tuple(array.shards or array.chunks)


def files_of(root: Path, array: Any, first_frame: int, frames: int) -> Iterator[Path]:
    """The files that hold a run of frames, in order; time is the first axis."""
    step = file_shape(array)
    grid = [range(math.ceil(size / part)) for size, part in zip(array.shape, step, strict=True)]
    grid[0] = range(first_frame // step[0], math.ceil((first_frame + frames) / step[0]))
    for place in product(*grid):
        yield root / array.path / array.metadata.encode_chunk_key(place)
