"""Label images of a plate: one per field and role, written by whole shards.

Serves the frame labels in RESULTS/work (value = label in its own frame, no preview) and RESULTS/labels.zarr
(value = track_id), which is an OME-Zarr plate of its own with a small preview image, so that it opens in any
viewer without the raw data.

    labels = LabelPlate.create(
        results / "labels.zarr",
        fields=plate.fields,
        shapes={field: (T, Y, X)},                 # or one (T, Y, X) for all
        calibration=calibration,                   # or one each
        preview_channels=("CTDR", "GFP"),          # () for private labels without preview
    )
    step = labels.shard_frames(field)
    labels.write(field, "target", 0, track_ids[:step])              # (t, Y, X), whole shards
    labels.write_preview(field, 0, labels.shrink(field, images))    # images (t, C, Y, X) at full size
    files = labels.files_of(field, "target", 0)                     # for the ledger
    labels.close()                                                  # driver, at the end
    labels = LabelPlate.open(results / "labels.zarr")               # workers, readers
    labels.read(field, "target", [0, 1])                            # (2, Y, X) uint32
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.errors import DamageError, ImageError, ShapeError
from assay.io import chunks
from assay.io.checked import CheckedArray
from assay.io.display import WINDOW_FIELDS, WINDOW_FRAMES, display_window, spread
from assay.io.durable import disk_refusals, made_whole, sync_disk, write_all
from assay.io.image_groups import UNFINISHED, make_plate, per_field
from assay.io.label_groups import LABEL_DTYPE, LABEL_FOLDERS, LabelValues, make_label_arrays
from assay.io.layout import pyramid_shapes, require_whole_shards, shard_frames_of
from assay.io.metadata import (
    BLOCK,
)
from assay.io.preview import FrameShape, PreviewPlan, shrink, shrink_factor
from assay.io.pyramid import half_image, half_labels
from assay.io.sums import sum_of, write_sums
from assay.io.witness import require_as_written
from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.stack import FieldId, Window
from assay.units import Calibration


class LabelPlate:
    """Label images of all fields; may be sent to other processes, which write other shards."""

    def __init__(
        self, path: Path, shapes: Mapping[FieldId, FrameShape], *, preview_shrink: Mapping[FieldId, int]
    ) -> None:
        self.path = Path(path)
        self._shapes = dict(shapes)
        self._shrink = dict(preview_shrink)
        self._arrays: dict[str, Any] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        fields: Sequence[FieldId],
        shapes: FrameShape | Mapping[FieldId, FrameShape],
        calibration: Calibration | Mapping[FieldId, Calibration],
        preview_channels: Sequence[str] = (),
        preview_roles: Mapping[str, ChannelRole] | None = None,
        preview_windows: Mapping[str, tuple[float, float]] | None = None,
        preview_dtype: Any = np.uint16,
        pyramid: bool = True,
        name: str = "labels",
        values: LabelValues | None = None,
    ) -> Self:
        """Make all groups, arrays and metadata.

        Args:
            path: A folder that does not exist yet.
            fields: Every field.
            shapes: (T, Y, X) of the images, one for all fields or one each.
            calibration: One for all fields or one each.
            preview_channels: Names of the preview's channels; none makes no preview and no plate metadata.
            preview_roles: Channel name -> role, which gives its colour.
            preview_windows: Channel name -> (start, end) to display; all values where left out.
            preview_dtype: Type of the preview's pixels, that of the images.
            pyramid: Whether to add smaller levels for viewers.
            name: Name of the plate.
            values: What a value is, written beside each label image; None says nothing.

        Raises:
            ImageError: `path` exists.
            StorageError: The disk refuses.
        """
        path = Path(path)
        if path.exists():
            raise ImageError(f"{path} exists already. Choose another name, or delete it first.")
        by_field: dict[FieldId, FrameShape] = per_field(fields, shapes)
        calibrations: dict[FieldId, Calibration] = per_field(fields, calibration)
        shrinks = {f: shrink_factor(shape) if preview_channels else 0 for f, shape in by_field.items()}
        plate = cls(path, by_field, preview_shrink=shrinks)
        preview = PreviewPlan(
            preview_channels, preview_roles or {}, preview_windows or {}, np.dtype(preview_dtype)
        )
        with made_whole(path) as making:
            if preview_channels:
                make_plate(making, list(by_field), name=name, ngff="0.5")
            else:
                chunks.make_group(making, "", {BLOCK: {UNFINISHED: True}}, zarr_format=3)
            record = {str(f): {"shape": list(by_field[f]), "shrink": shrinks[f]} for f in by_field}
            _update_block(making, {"fields": [[f.well, f.field, *record[str(f)].values()] for f in by_field]})
            for field, shape in by_field.items():
                if preview_channels:
                    levels = len(pyramid_shapes(shape)) if pyramid else 1
                    step = plate.shard_frames(field)
                    preview.make(making, field, shape, calibrations[field], levels=levels, shard_frames=step)
                make_label_arrays(making, field, shape, calibrations[field], pyramid=pyramid, values=values)
        return plate

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open label images that exist, finished or not.

        Raises:
            ImageError: There are none, or they are not ours.
        """
        path = Path(path)
        if (path / "zarr.json").is_file():
            require_as_written(path / "zarr.json", unit="plate")
        block = _block_of(path)
        try:
            rows = [
                (FieldId(well, field), tuple(shape), shrink) for well, field, shape, shrink in block["fields"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"{path} holds no label images of killassay.") from error
        return cls(path, {f: s for f, s, _ in rows}, preview_shrink={f: k for f, _, k in rows})

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields, sorted."""
        return tuple(sorted(self._shapes))

    def moved(self, path: Path) -> "LabelPlate":
        """The same at another place."""
        return LabelPlate(path, self._shapes, preview_shrink=self._shrink)

    @property
    def finished(self) -> bool:
        """Whether `close` was reached."""
        return UNFINISHED not in _block_of(self.path)

    def shape(self, field: FieldId) -> FrameShape:
        """(T, Y, X) of a field."""
        return self._shapes[field]

    def preview_shrink(self, field: FieldId) -> int:
        """By how much the preview of a field is smaller than its labels; 0 without one."""
        return self._shrink[field]

    def shard_frames(self, field: FieldId) -> int:
        """How many frames are written together."""
        return shard_frames_of(self._shapes[field], itemsize=LABEL_DTYPE.itemsize, sharded=True)

    def shard_starts(self, field: FieldId) -> range:
        """First frame of each shard."""
        return range(0, self._shapes[field][0], self.shard_frames(field))

    def write(
        self, field: FieldId, role: CellRole, first_frame: int, labels: NDArray[np.integer[Any]]
    ) -> None:
        """Write a run of whole shards of one role.

        Args:
            field: Where it belongs.
            role: "effector" or "target".
            first_frame: Frame of `labels[0]`; a multiple of `shard_frames(field)`.
            labels: (t, Y, X) of 0 to 2^32 - 1; t a multiple of `shard_frames(field)`, or less at the film's end.

        Raises:
            ShapeError: The frames are not whole shards, or of another shape or type.
            StorageError: The disk refuses.
        """
        where = f"{field}, {LABEL_FOLDERS[role]}"
        self._require_fitting(where, field, first_frame, labels.shape)
        if labels.dtype.kind not in "iu":
            raise ShapeError(f"{where}: labels must be whole numbers, got {labels.dtype}.")
        if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(LABEL_DTYPE).max):
            raise ShapeError(f"{where}: labels must lie from 0 to {np.iinfo(LABEL_DTYPE).max}.")
        with disk_refusals(where, self.path):
            for start in range(0, len(labels), self.shard_frames(field)):
                block = labels[start : start + self.shard_frames(field)].astype(LABEL_DTYPE, copy=False)
                for level, path in enumerate(self.levels(field, role)):
                    block = half_labels(block) if level else block
                    chunks.write_frames(self.path, self._writable(path), first_frame + start, block)

    def shrink(self, field: FieldId, images: NDArray[Any]) -> NDArray[Any]:
        """Make images (t, C, Y, X) as small as the preview; may be done a few frames at a time."""
        if not self._shrink[field]:
            raise ImageError(f"{field}: these label images were made without a preview.")
        return shrink(images, self._shrink[field])

    def write_preview(self, field: FieldId, first_frame: int, small: NDArray[Any]) -> None:
        """Write a run of whole shards of the preview, made small by `shrink`.

        Raises:
            ShapeError: The frames are not whole shards, or not of the preview's size.
            StorageError: The disk refuses.
        """
        self._require_fitting(str(field), field, first_frame, (len(small), *self._shapes[field][1:]))
        with disk_refusals(f"{field}, preview", self.path):
            for level, path in enumerate(self._preview_levels(field)):
                small = half_image(small) if level else small
                chunks.write_frames(self.path, self._writable(path), first_frame, small)

    def read_preview(self, field: FieldId, frames: Sequence[int]) -> NDArray[Any]:
        """Read the preview: (len(frames), C, y, x)."""
        array = CheckedArray(self.path, f"{field.path}/0", where=f"{field}, preview", axes="tcyx")
        return array.read(list(frames), list(range(array.size("c"))))

    def read(
        self, field: FieldId, role: CellRole, frames: Sequence[int], *, window: Window | None = None
    ) -> NDArray[np.uint32]:
        """Read label images: (len(frames), Y, X), or only the rows and columns of `window`.

        Raises:
            ImageError: A chunk is damaged or was never written.
        """
        path = self.levels(field, role)[0]
        key = f"checked {path}"
        if key not in self._arrays:
            self._arrays[key] = CheckedArray(
                self.path, path, where=f"{field}, {LABEL_FOLDERS[role]}", axes="tyx"
            )
        array: CheckedArray = self._arrays[key]
        return array.read(list(frames), None, window=window).astype(LABEL_DTYPE, copy=False)

    def files_of(
        self, field: FieldId, role: CellRole, first_frame: int, frames: int | None = None
    ) -> list[Path]:
        """Files of all levels that hold a run of frames (one shard where `frames` is left out)."""
        wanted = frames or self.shard_frames(field)
        files: list[Path] = []
        for path in self.levels(field, role):
            files += chunks.files_of(self.path, self._writable(path), first_frame, wanted)
        return files

    def preview_files_of(self, field: FieldId, first_frame: int, frames: int | None = None) -> list[Path]:
        """Files of the preview that hold a run of frames."""
        wanted = frames or self.shard_frames(field)
        files: list[Path] = []
        for path in self._preview_levels(field):
            files += chunks.files_of(self.path, self._writable(path), first_frame, wanted)
        return files

    def close(self, *, with_sums: bool = True) -> None:
        """Choose display windows and take the mark of an unfinished plate off.

        Args:
            with_sums: Whether all is written, and a list of sums is kept beside it; in RESULTS the ledger knows
                what was written.
        """
        with disk_refusals("the label images", self.path):
            self.choose_windows()
            _update_block(self.path, {UNFINISHED: None})
            for field, role in product(self.fields, CELL_ROLES) if with_sums else ():
                for path in self.levels(field, role):
                    self._write_sums(path, self._shapes[field][0])
            sync_disk(self.path)

    def choose_windows(self) -> None:
        """Set the previews' display windows from what was written into them so far."""
        with disk_refusals("the label images", self.path):
            write_all(self.with_windows())

    def metadata_files(self) -> list[Path]:
        """Every file that holds no pixels, but those in which display windows are set."""
        shown = {self.path / field.path for field in self.fields if self._shrink[field]}
        return sorted(file for file in self.path.rglob("zarr.json") if file.parent not in shown)

    def window_files(self) -> list[Path]:
        """The metadata files in which display windows are set."""
        return [self.path / field.path / "zarr.json" for field in self.fields if self._shrink[field]]

    def _write_sums(self, path: str, n_frames: int) -> None:
        files = chunks.files_of(self.path, self._writable(path), 0, n_frames)
        sums = {file: sum_of(file) for file in files if file.is_file()}
        own, *above = chunks.metadata_files(self.path, path)
        write_sums(
            own.parent, self.path, {**sums, own: sum_of(own)}, {file: file.read_bytes() for file in above}
        )

    def with_windows(self) -> dict[Path, bytes]:
        """The previews' metadata files, and what they hold with display windows of what was written so far."""
        channels: list[list[NDArray[Any]]] = []
        shown = [field for field in self.fields if self._shrink[field]]
        for field in spread(shown, WINDOW_FIELDS):
            array = self._writable(f"{field.path}/0")
            for frame in spread(range(array.shape[0]), WINDOW_FRAMES):
                if all(file.is_file() for file in chunks.files_of(self.path, array, frame, 1)):
                    try:
                        planes = self.read_preview(field, [frame])[0]
                    except (
                        ImageError,
                        DamageError,
                    ):  # of a field that failed: it is shown by the others' windows
                        continue
                    channels = channels or [[] for _ in planes]
                    for values, plane in zip(channels, planes, strict=True):
                        values.append(plane)
        windows = [display_window(planes) for planes in channels]
        files = {}
        for field in shown if windows else ():
            attributes = chunks.with_windows(chunks.attributes_of(self.path, field.path), windows)
            file, data = chunks.attributes_file(self.path, field.path, attributes)
            files[file] = data
        return files

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def levels(self, field: FieldId, role: CellRole) -> list[str]:
        """The arrays of a role's label images, the full-size one first."""
        return self._levels_of(field, f"{field.path}/labels/{LABEL_FOLDERS[role]}")

    def _preview_levels(self, field: FieldId) -> list[str]:
        return self._levels_of(field, field.path)

    def _levels_of(self, field: FieldId, group: str) -> list[str]:
        if field not in self._shapes:
            raise ImageError(f"{field} has no label images in {self.path.name}.")
        paths = [f"{group}/{level}" for level in range(len(pyramid_shapes(self._shapes[field])))]
        return [path for path in paths if path == f"{group}/0" or (self.path / path).is_dir()]

    def _writable(self, path: str) -> Any:
        if path not in self._arrays:
            self._arrays[path] = chunks.open_for_writing(self.path, path)
        return self._arrays[path]

    def _require_fitting(self, where: str, field: FieldId, first_frame: int, shape: tuple[int, ...]) -> None:
        n_frames, *plane = self._shapes[field]
        if len(shape) != 3 or list(shape[1:]) != plane:
            raise ShapeError(
                f"{where}: expected frames of {plane[0]} x {plane[1]} pixels, got shape {shape}."
            )
        require_whole_shards(
            where,
            n_frames=n_frames,
            shard_frames=self.shard_frames(field),
            first_frame=first_frame,
            written=shape[0],
        )


def _block_of(path: Path) -> dict[str, Any]:
    try:
        block = chunks.attributes_of(path, "")[BLOCK]
    except (OSError, KeyError, ValueError) as error:
        raise ImageError(f"{path} holds no label images of killassay ({type(error).__name__}).") from error
    return dict(block)


def _update_block(path: Path, values: Mapping[str, Any]) -> None:
    """Set entries of our own block; None removes."""
    attributes = chunks.attributes_of(path, "")
    block = {**attributes[BLOCK], **values}
    attributes[BLOCK] = {key: value for key, value in block.items() if value is not None}
    chunks.set_attributes(path, "", attributes)
