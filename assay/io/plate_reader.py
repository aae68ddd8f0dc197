"""Reading OME-Zarr plates and images, 0.4 and 0.5, a few frames at a time.

Opens read-only, and never invents a pixel: a chunk that is missing or damaged is an error that names it.

    plate = open_plate(path)                                  # a single image is a plate of one well, A01
    for field in plate.fields:
        stack = plate.stack(field, calibration=protocol.calibration)
        images = stack.read([0, 1, 2], channels=[0])          # (3, 1, Y, X)
    key = plate.field_identity(field)                         # changes with the files; only looks at their names
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.io.checked import CheckedArray
from assay.io.guard import inner_path
from assay.io.image_info import ImageInfo, group_attributes, image_info, ome_of
from assay.io.metadata import BLOCK, UNFINISHED
from assay.io.sums import METADATA_FILES, SUMS
from assay.protocol import CalibrationSettings
from assay.stack import FieldId, Window, well_name
from assay.units import Calibration

MissingChunks = Literal["fail", "mask"]
MAX_WELLS, MAX_FIELDS = 3456, 100_000  # the largest plates have so many wells
_DIGITS = 9  # of a field's number
_NO_PIXELS = {*METADATA_FILES, SUMS}


class PlateStack:
    """The film of one field on disk. Light to send to another process: only its place travels."""

    def __init__(
        self,
        path: Path,
        field_id: FieldId,
        info: ImageInfo,
        *,
        given: CalibrationSettings,
        missing_chunks: MissingChunks,
    ) -> None:
        self._path, self._field, self._info = path, field_id, info
        self._missing_chunks: MissingChunks = missing_chunks
        self._opened: CheckedArray | None = None
        self._absent: frozenset[int] | None = None
        array = self._array
        if array.size("z") != 1:
            raise ImageError(
                f"{field_id}: the image is a z-stack of {array.size('z')} planes, which is not supported yet. "
                "Project it to one plane first."
            )
        self._shape = (array.size("t"), array.size("c"), array.size("y"), array.size("x"))
        self._dtype = array.dtype
        self._names = info.channel_names(self._shape[1], str(field_id))
        array.name_channels(self._names)
        self._calibration = info.calibration(str(field_id), self._shape[0], given)

    @property
    def field(self) -> FieldId:
        """Which field this is."""
        return self._field

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, Y, X)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._dtype

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names as the microscope gave them, in order of C."""
        return self._names

    @property
    def calibration(self) -> Calibration:
        """Pixel size and frame interval."""
        return self._calibration

    @property
    def missing_frames(self) -> frozenset[int]:
        """Frames that were never recorded; with `missing_chunks="mask"` also those that lack a chunk."""
        declared = frozenset(frame for frame in self._info.missing_frames if 0 <= frame < self._shape[0])
        if self._missing_chunks == "fail":
            return declared
        if self._absent is None:
            self._absent = self._array.absent_frames()
        return declared | self._absent

    def read(
        self,
        frames: Sequence[int],
        channels: Sequence[int] | None = None,
        *,
        window: Window | None = None,
    ) -> NDArray[Any]:
        """Read frames, all channels or the given ones: (len(frames), len(channels), Y, X).

        Args:
            frames: Which ones.
            channels: Which ones; None is all.
            window: Rows and columns; None is all. Only the chunks that it meets are read.

        Raises:
            ImageError: A chunk is missing or damaged, or a frame was never recorded.
        """
        chosen = list(range(self._shape[1])) if channels is None else list(channels)
        for number, size, axis in ((frames, self._shape[0], "frame"), (chosen, self._shape[1], "channel")):
            outside = next((n for n in number if not 0 <= n < size), None)
            if outside is not None:
                raise ImageError(f"{self._field}: {axis} {outside} was asked for, of 0 to {size - 1}.")
        missing = sorted(self.missing_frames.intersection(frames))
        if missing:
            raise ImageError(
                f"{self._field}, frame {missing[0]}: this frame was never recorded and holds no image."
            )
        return self._array.read(list(frames), chosen, window=window)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    @property
    def _array(self) -> CheckedArray:
        if self._opened is None:
            info = self._info
            self._opened = CheckedArray(self._path, info.array_path, where=str(self._field), axes=info.axes)
            self._opened.name_channels(self.__dict__.get("_names", ()))
        return self._opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A plate on disk.

    `groups` says where each field's image lies inside it ("" for a single image). A well whose metadata cannot
    be read stands in `broken` with the reason, as one field that cannot be opened.
    """

    path: Path
    name: str
    groups: dict[FieldId, str]
    broken: dict[FieldId, str] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Every field, sorted."""
        return tuple(sorted({*self.groups, *self.broken}))

    @property
    def is_single_image(self) -> bool:
        """Whether this is one image, taken as a plate of one well."""
        return list(self.groups.values()) == [""]

    def info(self, field: FieldId) -> ImageInfo:
        """What the metadata of a field says.

        Raises:
            ImageError: The plate has no such field, or its metadata is damaged.
        """
        if field in self.broken:
            raise ImageError(self.broken[field])
        if field not in self.groups:
            raise ImageError(f"{field} is not in {self.path.name}, which has {_some(self.fields)}.")
        return image_info(self.path, self.groups[field], str(field))

    def stack(
        self,
        field: FieldId,
        *,
        calibration: CalibrationSettings | Calibration | None = None,
        missing_chunks: MissingChunks = "fail",
    ) -> PlateStack:
        """Open a field's film.

        Args:
            field: Which one.
            calibration: What the protocol gives by hand; it goes before what the image says.
            missing_chunks: "fail" raises on reading a frame that lacks a chunk; "mask" lists such frames in
                `missing_frames`.

        Raises:
            ImageError: The image is damaged, or of a kind that is not read.
            CalibrationError: There is no pixel size, or no frame interval in a film.
        """
        given = CalibrationSettings()
        if calibration is not None:
            given = CalibrationSettings(pixel_um=calibration.pixel_um, frame_min=calibration.frame_min)
        return PlateStack(self.path, field, self.info(field), given=given, missing_chunks=missing_chunks)

    def identity(self) -> str:
        """Which plate this is: a hash of its metadata. Stays the same when a lost chunk is restored."""
        digest = hashlib.sha256()
        for field_id in self.fields:
            digest.update(f"{field_id}\n".encode())
            for folder in self._metadata_folders(field_id):
                _add_metadata(digest, folder)
        return digest.hexdigest()

    def field_identity(self, field: FieldId) -> str:
        """What a field's pixels are, for resume: metadata, and each chunk file's name, size and time of change."""
        digest = hashlib.sha256()
        folders = self._metadata_folders(field)
        for folder in folders:
            _add_metadata(digest, folder)
        for name, size, changed in sorted(files_below(folders[-1])):
            digest.update(f"{name}\t{size}\t{changed}\n".encode())
        return digest.hexdigest()

    def _metadata_folders(self, field: FieldId) -> list[Path]:
        """The image's folder and its array's; what is broken is said when the field is opened."""
        if field in self.broken:
            return [self.path / field.row / field.column]
        image = self.path / self.groups[field]
        try:
            return [image, self.path / self.info(field).array_path]
        except ImageError:
            return [image]


def open_plate(path: Path | str) -> Plate:
    """Open an OME-Zarr plate, or a single image as a plate of one well A01.

    Raises:
        ImageError: It is no OME-Zarr plate or image, is damaged, or was never finished.
    """
    path = Path(path)
    if not path.is_dir():
        raise ImageError(
            f"{path} does not exist. Give the path of an OME-Zarr plate."
            if not path.exists()
            else f"{path} is a file. Expected a folder, an OME-Zarr plate."
        )
    attributes = group_attributes(path, str(path))
    record = attributes.get(BLOCK)
    if isinstance(record, dict) and record.get(UNFINISHED):
        raise ImageError(f"{path} was never finished: the program that wrote it was stopped. Make it again.")
    ome = ome_of(attributes, str(path))
    if "plate" in ome:
        return _plate_of(path, ome["plate"], attributes)
    if "multiscales" not in ome:
        held = ", ".join(sorted(ome)) or "no metadata"
        raise ImageError(f"{path} is neither an OME-Zarr plate nor an image (it holds {held}).")
    return Plate(path=path, name=path.stem, groups={FieldId("A01", 0): ""}, attrs=attributes)


def _plate_of(path: Path, plate: Any, attributes: dict[str, Any]) -> Plate:
    try:
        wells = [well["path"] for well in plate["wells"]]
        name = str(plate.get("name") or path.stem)
    except (LookupError, TypeError, AttributeError) as error:
        raise ImageError(f"{path}: the plate's metadata is damaged ({error!r:.200}).") from error
    if len(wells) > MAX_WELLS:
        raise ImageError(
            f"{path}: the metadata lists {len(wells)} wells, which no plate has (at most {MAX_WELLS})."
        )
    groups: dict[FieldId, str] = {}
    broken: dict[FieldId, str] = {}
    for well_path in wells:
        folder = inner_path(path, well_path, str(path))
        row, _, column = well_path.partition("/")
        if "/" in column:
            raise ImageError(f"{path}: the well path {well_path!r} is not row/column, e.g. B/03.")
        well = well_name(f"{row}{column}")
        try:
            listed = _listed_images(folder, well)
        except ImageError as error:
            broken[FieldId(well, 0)] = str(error)
            continue
        for number, image in _numbered(listed):
            inner_path(folder, image, f"well {well}")
            if FieldId(well, number) in groups:
                raise ImageError(
                    f"{FieldId(well, number)}: the plate {path.name} lists it twice. Take one out of it."
                )
            groups[FieldId(well, number)] = f"{well_path}/{image}"
        if len(groups) > MAX_FIELDS:
            raise ImageError(f"{path}: the metadata lists more than {MAX_FIELDS} fields, which no plate has.")
    if not groups and not broken:
        raise ImageError(f"{path}: the plate has no fields. Restore its metadata, or import it again.")
    return Plate(path=path, name=name, groups=groups, broken=broken, attrs=attributes)


def _listed_images(folder: Path, well: str) -> list[Any]:
    where = f"well {well}"
    ome = ome_of(group_attributes(folder, where), where)
    try:
        images = [image["path"] for image in ome["well"]["images"]]
    except (LookupError, TypeError) as error:
        raise ImageError(f"{where}: the well's metadata is damaged ({error!r:.200}).") from error
    if len(images) > MAX_FIELDS:
        raise ImageError(f"{where}: the metadata lists {len(images)} fields, which no well has.")
    return images


def _numbered(paths: list[Any]) -> list[tuple[int, Any]]:
    """Fields by the number that is their path, else by their place."""
    if all(isinstance(path, str) and path.isdecimal() and len(path) <= _DIGITS for path in paths):
        return [(int(path), path) for path in paths]
    return list(enumerate(paths))


def _add_metadata(digest: Any, folder: Path) -> None:
    """Bytes of the metadata files, whole or damaged."""
    for name in METADATA_FILES:
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())


def files_below(folder: Path, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of every file of pixels; none where the folder is gone."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name not in _NO_PIXELS and not entry.name.endswith(".partial"):
                status = entry.stat()
                yield f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns


def _some(fields: Sequence[FieldId]) -> str:
    shown = "; ".join(map(str, fields[:4]))
    return shown if len(fields) <= 4 else f"{shown} and {len(fields) - 4} more"
