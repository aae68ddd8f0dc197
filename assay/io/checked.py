"""Reading arrays without ever inventing a pixel.

zarr reads a chunk that is not there as zeros, without a word. In a killing assay that is every cell gone at
once, so each block that comes back black is looked up again, and a damaged chunk is named.
"""

import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError, DamageError, ImageError, LostPixelsError
from assay.io.chunk_sizes import require_decoded_size, shard_index
from assay.io.guard import require_film_sizes, require_no_way_out, require_safe_array
from assay.io.sums import METADATA_FILES, SUMS, read_sums, sums_file
from assay.io.witness import require_as_written
from assay.stack import Window

_DECODING_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    OSError,
    EOFError,
    LookupError,
    ArithmeticError,
    zlib.error,
)
_ABSENT = np.iinfo(np.uint64).max
_FIELD = re.compile(r"([A-Z]+)/(\d+)/(\d+)/")


class CheckedArray:
    """One array of an image, opened read-only; frames and channels come first, whatever its axes.

    Args:
        root: The store.
        path: The array inside it.
        where: "well B03, field 0", for messages.
        axes: Its axes in order, of t, c, z, y and x; a z of size 1 is dropped.
    """

    def __init__(self, root: Path, path: str, *, where: str, axes: str) -> None:
        self.where, self.path, self.axes = where, path, axes
        self._root = Path(root)
        self._names: tuple[str, ...] = ()
        folder = self._root / path
        safe = require_safe_array(folder, f"{where}, {path}")
        require_no_way_out(self._root, folder, where)
        self._has_sums = _require_metadata(folder.absolute(), where)
        if len(safe.shape) != len(axes):
            raise ImageError(
                f"{where}: the array {path} has {len(safe.shape)} axes, its metadata says {axes!r}."
            )
        require_film_sizes(axes, safe.shape, where)
        self._coding = safe.coding
        self._looked_at: set[tuple[str, int, int]] = set()  # shards: name, size, time of change
        self.array = _opened(self._root, path, safe.zarr_format, where)
        self.fill = self.array.metadata.fill_value
        if self.fill is None:
            self.fill = self.array.dtype.type(0)
        self._witness: Any = None
        self._absence_is_loss = True
        self._present: dict[Path, NDArray[np.bool_] | None] = {}

    def name_channels(self, names: Sequence[str]) -> None:
        """Channel names, for messages."""
        self._names = tuple(names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in this machine's byte order."""
        native: np.dtype[Any] = self.array.dtype.newbyteorder("=")
        return native

    def size(self, axis: str) -> int:
        """Size along an axis; 1 where the array does not have it."""
        return int(self.array.shape[self.axes.index(axis)]) if axis in self.axes else 1

    def read(
        self, frames: Sequence[int], channels: Sequence[int] | None, *, window: Window | None = None
    ) -> NDArray[Any]:
        """Read planes: (frames, channels, Y, X), or (frames, Y, X) where `channels` is None.

        Args:
            frames: Which ones.
            channels: Which ones; None for an array without channels.
            window: Rows and columns, inside the image; None reads whole planes. Only chunks in it are read.

        Raises:
            ImageError: A chunk is damaged, or was never written.
        """
        window = window or (slice(0, self.size("y")), slice(0, self.size("x")))
        plane = tuple(part.stop - part.start for part in window)
        wanted = [0] if channels is None else list(channels)
        block = np.empty((len(frames), len(wanted), *plane), self.dtype)
        for run_frames, run_slice in _runs(frames):
            for run_channels, channel_slice in _runs(wanted):
                block[run_frames, run_channels] = self._read_run(run_slice, channel_slice, window)
        return block[:, 0] if channels is None else block

    def read_sparse(self, frames: Sequence[int], channels: Sequence[int] | None) -> NDArray[Any]:
        """The same, where a chunk that is not there holds the fill value: for label images of other programs."""
        self._absence_is_loss = False
        try:
            return self.read(frames, channels)
        finally:
            self._absence_is_loss = True

    def absent_frames(self) -> frozenset[int]:
        """Frames of which a chunk is not there, found from the files' names and shard indexes alone."""
        t_axis = self.axes.find("t")
        absent: set[int] = set()
        for place in product(*(range(n) for n in self._grid(self.array.chunks))):
            frames = self._frames_of(place, t_axis)
            if not absent.issuperset(frames) and not self._is_there(place):
                absent.update(frames)
        return frozenset(absent)

    def _read_run(self, frames: slice, channels: slice, window: Window) -> NDArray[Any]:
        """One contiguous run, checked, in the order t, c, y, x."""
        parts = {"t": frames, "c": channels, "z": slice(0, 1), "y": window[0], "x": window[1]}
        selection = tuple(parts[axis] for axis in self.axes)
        try:
            self._require_as_written(selection)
            self._require_decodable(selection)
        except OSError as error:  # the disk refuses, which fails this field and no other
            if isinstance(error, AssayError):
                raise
            raise self._damage(selection, error) from error
        try:
            block = np.asarray(self.array[selection])
        except _DECODING_ERRORS as error:
            raise self._damage(selection, error) from error
        if self._absence_is_loss:
            self._require_present(selection, block)
        order = [self.axes.index(axis) for axis in "tcyx" if axis in self.axes]
        rest = [axis for axis in range(block.ndim) if axis not in order]
        moved = block.transpose((*rest, *order)).reshape([block.shape[axis] for axis in order])
        for position, axis in enumerate("tcyx"):
            if axis not in self.axes:
                moved = np.expand_dims(moved, position)
        return moved.astype(self.dtype, copy=False)

    def _require_as_written(self, selection: tuple[slice, ...]) -> None:
        """Refuse files of ours that were altered since; what is not there is looked for where it reads as black."""
        step, found = self._file_shape, _FIELD.match(self.path)
        cuts = [range(w.start // s, math.ceil(w.stop / s)) for w, s in zip(selection, step, strict=True)]
        for place in product(*cuts):
            name = f"{self.path}/{self.array.metadata.encode_chunk_key(place)}"
            t_axis = self.axes.find("t")
            first = place[t_axis] * step[t_axis] if t_axis >= 0 else 0
            unit = f"{found[1]}{found[2]}_{found[3]}_{first:06d}" if found else None
            if not (self._root / name).is_file():
                continue
            try:
                require_as_written(self._root / name, unit=unit)
            except DamageError as error:
                if not self._has_sums:  # of RESULTS, which can be made anew
                    raise
                inside = tuple(
                    slice(max(w.start, at * s), min(w.stop, (at + 1) * s))
                    for w, at, s in zip(selection, place, step, strict=True)
                )
                raise LostPixelsError(
                    f"{self._name(inside)}: the chunk {name} is damaged ({error.why}). Restore it from a copy, or exclude "
                    "the field."
                ) from error

    def _require_present(self, selection: tuple[slice, ...], block: NDArray[Any]) -> None:
        for part, inside in self._chunk_parts(selection):
            values = block[inside]
            if self._is_fill(values.flat[0]) and self._is_fill(values).all() and not self._was_written(part):
                raise LostPixelsError(
                    f"{self._name(part)}: the chunk {self._chunk_name(part)} was never written or was deleted. It "
                    "would read as black, which looks like every cell gone. Restore it from a copy. If the program "
                    "that wrote the plate leaves out black chunks, write it again with empty chunks kept."
                )

    def _require_decodable(self, selection: tuple[slice, ...]) -> None:
        """Look at the compressed bytes first: no chunk may fill the memory, or be read beyond its end."""
        names = {self._chunk_name(part): part for part, _ in self._chunk_parts(selection)}
        for name, part in names.items():
            file = self._root / name
            if not file.is_file():
                continue
            status = file.stat()
            key = (name, status.st_size, status.st_mtime_ns)
            if key not in self._looked_at:
                require_decoded_size(file, self._coding, name, self._name(part))
            if self._coding.index:
                self._looked_at.add(key)

    def _is_fill(self, values: Any) -> Any:
        return np.isnan(values) if self.fill != self.fill else values == self.fill

    def _was_written(self, part: tuple[slice, ...]) -> bool:
        """Read a black part again as if absent chunks held another value: what stays black is on the disk."""
        if self._witness is None:
            other = self.array.dtype.type(0 if self.fill != self.fill or self.fill else 1)
            inner = self.array.async_array
            metadata = replace(inner.metadata, fill_value=other)
            witness = type(inner)(metadata=metadata, store_path=inner.store_path, config=inner.config)
            self._witness = type(self.array)(witness)
        try:
            return bool(self._is_fill(np.asarray(self._witness[part])).all())
        except _DECODING_ERRORS as error:
            raise self._damage(part, error) from error

    def _chunk_parts(
        self, selection: tuple[slice, ...]
    ) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Cut a selection along the chunks: (where in the array, where in the block)."""
        cuts = []
        for wanted, size in zip(selection, self.array.chunks, strict=True):
            edges = range(wanted.start // size * size, wanted.stop, size)
            cuts.append([slice(max(edge, wanted.start), min(edge + size, wanted.stop)) for edge in edges])
        for part in product(*cuts):
            inside = tuple(
                slice(piece.start - wanted.start, piece.stop - wanted.start)
                for piece, wanted in zip(part, selection, strict=True)
            )
            yield part, inside

    def _damage(self, selection: tuple[slice, ...], error: Exception) -> ImageError:
        """Find the chunk that cannot be read, and name it."""
        for part, _ in self._chunk_parts(selection):
            try:
                self.array[part]
            except _DECODING_ERRORS as cause:
                # a disk that refuses may answer tomorrow: that is no loss
                kind = ImageError if isinstance(cause, OSError) and cause.errno else LostPixelsError
                return kind(
                    f"{self._name(part)}: the chunk {self._chunk_name(part)} is damaged ({_first_line(cause)}). "
                    "Restore it from a copy, or exclude the field."
                )
        return ImageError(f"{self._name(selection)}: {self.path} cannot be read ({_first_line(error)}).")

    def _name(self, part: tuple[slice, ...]) -> str:
        """Well, field, frame and channel of a part of the array."""
        places = dict(zip(self.axes, part, strict=True))
        name = self.where
        if "t" in places:
            first, last = places["t"].start, places["t"].stop - 1
            name += f", frame {first}" if first == last else f", frames {first} to {last}"
        if "c" in places and places["c"].stop - places["c"].start == 1 and self._names:
            name += f", channel {self._names[places['c'].start]}"
        return name

    def _chunk_name(self, part: tuple[slice, ...]) -> str:
        place = [piece.start // size for piece, size in zip(part, self._file_shape, strict=True)]
        return f"{self.path}/{self.array.metadata.encode_chunk_key(tuple(place))}"

    @property
    def _file_shape(self) -> tuple[int, ...]:
        return tuple(self.array.shards or self.array.chunks)

    def _grid(self, step: Sequence[int]) -> list[int]:
        return [math.ceil(size / part) for size, part in zip(self.array.shape, step, strict=True)]

    def _frames_of(self, place: tuple[int, ...], t_axis: int) -> range:
        if t_axis < 0:
            return range(1)
        step = self.array.chunks[t_axis]
        return range(place[t_axis] * step, min((place[t_axis] + 1) * step, self.array.shape[t_axis]))

    def _is_there(self, place: tuple[int, ...]) -> bool:
        part = tuple(
            slice(index * step, index * step + 1)
            for index, step in zip(place, self.array.chunks, strict=True)
        )
        file = self._root / self._chunk_name(part)
        if file not in self._present:
            self._present[file] = self._index_of(file) if file.is_file() else None
        index = self._present[file]
        if index is None or self.array.shards is None:
            return index is not None
        inside = tuple(i % n for i, n in zip(place, index.shape, strict=True))
        return bool(index[inside])

    def _index_of(self, file: Path) -> NDArray[np.bool_]:
        """Which chunks of a shard are there, from the table at its end."""
        if self.array.shards is None:
            return np.ones(1, bool)
        grid = [shard // chunk for shard, chunk in zip(self.array.shards, self.array.chunks, strict=True)]
        with file.open("rb") as shard:
            offsets = shard_index(shard, file.stat().st_size, self._coding)
        if offsets is None:
            raise ImageError(
                f"{self.where}: the shard {file.name} of {self.path} has no readable index of its chunks."
            )
        present: NDArray[np.bool_] = (offsets[:, 0] != _ABSENT).reshape(grid)
        return present


def _require_metadata(folder: Path, where: str) -> bool:
    """Refuse metadata of ours that was altered; returns whether a list of sums vouches for the array."""
    if not sums_file(folder).is_file():
        for name in METADATA_FILES:
            if (folder / name).is_file():
                require_as_written(folder / name, unit="plate")
        return False
    try:
        sums = read_sums(folder)
        for name in METADATA_FILES:
            if sums.get(folder / name) is not None:
                require_as_written(folder / name, sums=sums)
    except DamageError as error:
        raise ImageError(f"{where}: {error}") from error
    altered = sums.altered_groups()
    if altered:
        raise ImageError(
            f"{where}: {altered[0]} does not say any more what killassay wrote there. Restore it from a copy; if it was "
            f"changed on purpose, delete {SUMS} in {folder.name}/ beside it, which vouched for it."
        )
    return True


def _opened(root: Path, path: str, zarr_format: int, where: str) -> Any:
    """The array, once its metadata is known to be harmless; loading zarr takes longer than refusing."""
    import zarr

    try:
        store = zarr.storage.LocalStore(root, read_only=True)  # a text could be taken for an address
        return zarr.open_array(store, path=path, mode="r", zarr_format=zarr_format)
    except _DECODING_ERRORS as error:
        raise ImageError(f"{where}: the array {path} cannot be opened ({_first_line(error)}).") from error


def _runs(numbers: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Cut numbers into runs of consecutive ones: (place in the list, the run itself)."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield slice(start, end), slice(numbers[start], numbers[end - 1] + 1)
            start = end


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
