"""Writing images as an OME-Zarr plate, or as one OME-Zarr image.

The driver makes all groups and metadata at once; then each run of whole shards is written once, by one writer,
in any order and any process. Until `close` the plate carries a mark and is refused on reading.

    fields = [FieldId("B02", 0), FieldId("B03", 0)]
    with PlateWriter.create(
        path,
        fields=fields,
        shapes=(145, 3, 1040, 1408),                # or one per field: {field: (T, C, Y, X)}
        dtype=np.uint16,
        channel_names=("CTDR", "GFP", "PI"),
        channel_roles={"CTDR": "effector", "GFP": "target", "PI": "death"},
        calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=4.0),
    ) as writer:
        for field in fields:
            for first in writer.shard_starts(field):
                writer.write(field, first, frames[first : first + writer.shard_frames(field)])
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.errors import ImageError, ShapeError
from assay.io import chunks
from assay.io.display import WINDOW_FIELDS, WINDOW_FRAMES, display_window, spread
from assay.io.durable import disk_refusals, made_whole, sync_disk, write_whole
from assay.io.image_groups import UNFINISHED, ImagePlan, Shape, make_plate, per_field, require_possible
from assay.io.layout import pyramid_shapes, require_whole_shards
from assay.io.ledger import Output
from assay.io.metadata import BLOCK, Ngff
from assay.io.pyramid import half_image
from assay.io.sums import sum_of, write_sums
from assay.labels import ChannelRole
from assay.stack import FieldId
from assay.units import Calibration


class PlateWriter:
    """Writes the images of a plate; may be sent to other processes, which write other shards."""

    def __init__(self, path: Path, fields: Mapping[FieldId, Shape], *, is_plate: bool = True) -> None:
        self.path = Path(path)
        self._shapes = dict(fields)
        self._is_plate = is_plate
        self._missing: dict[FieldId, set[int]] = {}
        self._sums: dict[Path, Output] = {}
        self._arrays: dict[str, Any] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        fields: Sequence[FieldId],
        shapes: Shape | Mapping[FieldId, Shape],
        dtype: DTypeLike,
        channel_names: Sequence[str],
        calibration: Calibration | Mapping[FieldId, Calibration],
        channel_roles: Mapping[str, ChannelRole] | None = None,
        channel_colours: Mapping[str, str] | None = None,
        missing_frames: Mapping[FieldId, Collection[int]] | None = None,
        source_files: Mapping[FieldId, Sequence[str]] | None = None,
        ngff: Ngff = "0.5",
        name: str | None = None,
        form: Literal["plate", "image"] = "plate",
    ) -> Self:
        """Make all groups, arrays and metadata.

        Args:
            path: A folder that does not exist yet.
            fields: Every field of the plate; exactly one for `form="image"`.
            shapes: (T, C, Y, X), one for all fields or one each.
            dtype: Type of the pixels: whole numbers or floats.
            channel_names: In order of C; the same for all fields.
            calibration: One for all fields or one each.
            channel_roles: Channel name -> role, which gives the colour; may be left out.
            channel_colours: Channel name -> "RRGGBB", before the role's.
            missing_frames: Frames that were never recorded; write zeros there.
            source_files: Names of the files each field came from, for the record.
            ngff: OME-Zarr version.
            name: Name of the plate.
            form: "plate", or "image" for one image without plate and wells.

        Raises:
            ImageError: `path` exists, or a setting is impossible.
            StorageError: The disk refuses.
        """
        path = Path(path)
        by_field = per_field(fields, shapes)
        pixel_type = np.dtype(dtype)
        require_possible(
            path, by_field, pixel_type, channel_names, channel_colours or {}, ngff=ngff, form=form
        )
        writer = cls(path, by_field, is_plate=form == "plate")
        plan = ImagePlan(pixel_type, tuple(channel_names), channel_roles or {}, channel_colours or {}, ngff)
        calibrations = per_field(fields, calibration)
        with made_whole(path) as making:
            if form == "plate":
                make_plate(making, list(by_field), name=name or path.stem, ngff=ngff)
            for field, shape in by_field.items():
                record = {
                    "frames_declared": shape[0],
                    "missing_frames": sorted((missing_frames or {}).get(field, ())),
                    "source_files": list((source_files or {}).get(field, ())),
                    "empty_chunks_written": True,
                    "sums": True,
                    "channel_roles": dict(channel_roles or {}),
                }
                if form == "image":
                    record[UNFINISHED] = True
                plan.make_image(making, writer._group(field), shape, calibrations[field], record)
        return writer

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields of the plate, sorted."""
        return tuple(sorted(self._shapes))

    def shape(self, field: FieldId) -> Shape:
        """(T, C, Y, X) of a field."""
        return self._shapes[field]

    def shard_frames(self, field: FieldId) -> int:
        """How many frames are written together."""
        return chunks.file_shape(self._array(field, 0))[0]

    def shard_starts(self, field: FieldId) -> range:
        """First frame of each run that `write` takes."""
        return range(0, self._shapes[field][0], self.shard_frames(field))

    def write(self, field: FieldId, first_frame: int, frames: NDArray[Any]) -> None:
        """Write a run of whole shards, all channels, and its pyramid.

        Args:
            field: Where it belongs.
            first_frame: Frame of `frames[0]`; a multiple of `shard_frames(field)`.
            frames: (t, C, Y, X); t a multiple of `shard_frames(field)`, or less at the film's end.

        Raises:
            ShapeError: The frames are not whole shards, or of another shape or type than declared.
            StorageError: The disk refuses.
        """
        array = self._array(field, 0)
        _check_frames(f"{field}", array, frames)
        n_frames = array.shape[0]
        step = self.shard_frames(field)
        require_whole_shards(
            str(field), n_frames=n_frames, shard_frames=step, first_frame=first_frame, written=len(frames)
        )
        with disk_refusals(f"{field}", self.path):
            for start in range(0, len(frames), step):
                block = frames[start : start + step]
                first = first_frame + start
                for level in range(len(pyramid_shapes(array.shape))):
                    block = half_image(block) if level else block
                    written = self._array(field, level)
                    chunks.write_frames(self.path, written, first, block)
                    for file in chunks.files_of(self.path, written, first, len(block)):
                        self._sums[file] = sum_of(file)

    def mark_missing(self, field: FieldId, frames: Collection[int]) -> None:
        """Record frames found to be missing while writing; `close` of this writer puts it down."""
        self._missing.setdefault(field, set()).update(frames)

    def files_of(self, field: FieldId, first_frame: int, frames: int | None = None) -> list[Path]:
        """Files of all levels that hold a run of frames (one shard where `frames` is left out)."""
        files: list[Path] = []
        for level in range(len(pyramid_shapes(self._shapes[field]))):
            array = self._array(field, level)
            files += chunks.files_of(self.path, array, first_frame, frames or self.shard_frames(field))
        return files

    def close(self) -> None:
        """Check that everything was written, choose display windows, and take the mark off.

        Raises:
            ImageError: Frames were never written.
            StorageError: The disk refuses.
        """
        for field in self.fields:
            self._require_written(field)
        with disk_refusals("the plate", self.path):
            windows = self._windows()
            finished = dict(self._finished_image(field, windows) for field in self.fields)
            if self._is_plate:
                root = chunks.attributes_of(self.path, "")
                root[BLOCK].pop(UNFINISHED, None)
                marked, text = chunks.attributes_file(self.path, "", root)
            else:  # the one image carries the mark itself
                marked, text = finished.popitem()
            for file, data in finished.items():
                write_whole(file, data)
            for field in self.fields:
                self._write_sums(field, {marked: text})
            sync_disk(self.path)
            write_whole(marked, text)  # last: it says that all is there

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close after success; after an error the plate keeps its mark."""
        if kind is None:
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def _group(self, field: FieldId) -> str:
        return field.path if self._is_plate else ""

    def _array(self, field: FieldId, level: int) -> Any:
        if field not in self._shapes:
            raise ImageError(f"{field} was not declared when the plate {self.path.name} was created.")
        path = f"{self._group(field)}/{level}".lstrip("/")
        if path not in self._arrays:
            self._arrays[path] = chunks.open_for_writing(self.path, path)
        return self._arrays[path]

    def _require_written(self, field: FieldId) -> None:
        for first in self.shard_starts(field):
            absent = next((file for file in self.files_of(field, first) if not file.is_file()), None)
            if absent is not None:
                last = min(first + self.shard_frames(field), self._shapes[field][0]) - 1
                raise ImageError(
                    f"{field}: frames {first} to {last} were never written "
                    f"({absent.relative_to(self.path)} is absent), so {self.path.name} stays unfinished."
                )

    def _windows(self) -> list[tuple[float, float]]:
        """Display window of each channel, from the smallest level of a few frames of a few fields."""
        n_channels = next(iter(self._shapes.values()))[1]
        samples: list[list[NDArray[Any]]] = [[] for _ in range(n_channels)]
        for field in spread(self.fields, WINDOW_FIELDS):
            array = self._array(field, len(pyramid_shapes(self._shapes[field])) - 1)
            missing = set(self._record(field)["missing_frames"])
            for frame in spread([f for f in range(array.shape[0]) if f not in missing], WINDOW_FRAMES):
                for channel in range(n_channels):
                    samples[channel].append(np.asarray(array[frame, channel]))
        return [display_window(planes) for planes in samples]

    def _record(self, field: FieldId) -> dict[str, Any]:
        record: dict[str, Any] = chunks.attributes_of(self.path, self._group(field))[BLOCK]
        frames = {*record["missing_frames"], *self._missing.get(field, ())}
        return {**record, "missing_frames": sorted(frames)}

    def _finished_image(self, field: FieldId, windows: Sequence[tuple[float, float]]) -> tuple[Path, bytes]:
        """The metadata file of a field and what it holds in the end."""
        group, record = self._group(field), self._record(field)
        record.pop(UNFINISHED, None)
        attributes = chunks.with_windows(chunks.attributes_of(self.path, group), windows)
        return chunks.attributes_file(self.path, group, {**attributes, BLOCK: record})

    def _write_sums(self, field: FieldId, to_come: Mapping[Path, bytes]) -> None:
        """Write the list of sums of each level: its chunks, its metadata and that of all groups above it."""
        for level in range(len(pyramid_shapes(self._shapes[field]))):
            array = self._array(field, level)
            files = chunks.files_of(self.path, array, 0, self._shapes[field][0])
            sums = {file: self._sums.get(file) or sum_of(file) for file in files}
            folder = self.path / array.path
            groups = {}
            for file in chunks.metadata_files(self.path, array.path):
                if file.parent == folder:
                    sums[file] = sum_of(file)
                elif file.name != ".zgroup":
                    groups[file] = to_come.get(file) or file.read_bytes()
            write_sums(folder, self.path, sums, groups)


def _check_frames(where: str, array: Any, frames: NDArray[Any]) -> None:
    if frames.ndim != 4 or frames.shape[1:] != array.shape[1:]:
        raise ShapeError(
            f"{where}: expected frames of shape (t, C, Y, X) = (t, {str(array.shape[1:])[1:]}, got {frames.shape}."
        )
    if not np.can_cast(frames.dtype, array.dtype, "safe"):
        raise ShapeError(f"{where}: expected pixels of type {array.dtype}, got {frames.dtype}.")
