"""Label images in TIFF files: one file per film, or one per frame; read a few frames at a time."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.errors import ImageError, VendorFileError
from assay.io.importers.file_names import IMAGE_SUFFIXES, examples, find_images
from assay.io.importers.label_names import LabelFile, LabelNames, name_labels
from assay.io.importers.tiff_images import TiffImage, read_tiff_images
from assay.io.importers.tiff_pages import PlaneSource, TiffPages, read_plane, scan_pages
from assay.io.label_films import FilmShape, LabelFilm, named, require_shape
from assay.io.label_roles import FOLDERS, RoleWords
from assay.io.lineages import (
    CTC_NAMES,
    PIECES_NAME,
    TABLE_NAME,
    Lineage,
    ctc_lineage,
    ctc_table_beside,
    parents_in_csv,
)
from assay.labels import CellRole
from assay.stack import FieldId

_SHOWN = 4


class TiffFilm:
    """The label images of one role in one field: where each frame's pixels lie."""

    def __init__(self, planes: Mapping[int, PlaneSource], files: Sequence[tuple[str, Path]]) -> None:
        self.planes, self.files = dict(planes), tuple(files)

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Values as they are stored: (len(frames), Y, X)."""
        opened: dict[Path, tifffile.TiffFile] = {}
        try:
            return np.stack([self._plane(frame, opened) for frame in frames])
        finally:
            for tiff in opened.values():
                tiff.close()

    def _plane(self, frame: int, opened: dict[Path, tifffile.TiffFile]) -> NDArray[Any]:
        source = self.planes[frame]
        pages = _pages(source.path, source.path.stat().st_mtime_ns)
        if source.path not in opened:
            for tiff in opened.values():
                tiff.close()
            opened.clear()
            opened[source.path] = tifffile.TiffFile(source.path)
        return read_plane(source, pages, opened[source.path])


@lru_cache(maxsize=64)
def _pages(path: Path, changed: int) -> TiffPages:
    return scan_pages(path, labels=True)


class TiffLabels:
    """Label images of a plate in a folder of TIFF files, or in one."""

    def __init__(self, path: Path, labels: LabelNames, *, n_ignored: int) -> None:
        self.path, self.read_as = path, labels.read_as
        self._files: dict[tuple[str | None, int | None], dict[CellRole, list[LabelFile]]] = {}
        for file in labels.files:
            by_role = self._files.setdefault((file.well, file.field), {})
            by_role.setdefault(file.role, []).append(file)
        self.names: Mapping[CellRole, str] = {
            role: next(file.word for file in labels.files if file.role == role) or FOLDERS[role]
            for role in FOLDERS
            if any(file.role == role for file in labels.files)
        }
        self.warnings = self._told(labels, n_ignored)
        self._taken: dict[tuple[FieldId, CellRole], list[LabelFile]] = {}
        self._only: frozenset[FieldId] | None = None

    @property
    def tracked(self) -> bool:
        """A TIFF file does not say; the tables that killassay writes beside its own do."""
        folders = {
            file.path.parent
            for by_role in self._files.values()
            for files in by_role.values()
            for file in files
        }
        return all((folder / PIECES_NAME).is_file() for folder in folders)

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields that the names speak of; a film without a name of a well is A01's."""
        return tuple(sorted(FieldId(well or "A01", field or 0) for well, field in self._files))

    def for_plate(self, fields: Collection[FieldId]) -> "TiffLabels":
        """The same, knowing the plate's fields: names may leave out a field that is the only one of its well."""
        self._only = frozenset(fields)
        return self

    def film(self, place: FieldId, role: CellRole, shape: FilmShape, missing: Collection[int]) -> LabelFilm:
        """The label images of one role in one field."""
        files = self._files_of(place).get(role, [])
        where = named(place, role)
        if not files:
            raise ImageError(
                f"{where}: no such file in {self.path.name}, other fields have one. In fields without such cells give "
                "empty label images."
            )
        self._taken[place, role] = files
        if any(file.timed for file in files):
            return self._by_frame(place, role, files, shape, missing)
        if len(files) > 1:
            raise ImageError(
                f"{where} stand in {len(files)} files: {examples([file.name for file in files])}. Keep one, or give "
                "--labels-pattern with the groups that tell them apart."
            )
        image = _image_of(files[0], where)
        require_shape(place, role, (image.frames, *image.shape), shape)
        planes = {frame: image.plane(frame, 0) for frame in range(image.frames)}
        return TiffFilm(planes, [(files[0].name, files[0].path)])

    def identity(self, film: LabelFilm) -> str:
        """Name, size and time of change of every file, and which frame it is."""
        assert isinstance(film, TiffFilm)
        digest = hashlib.sha256()
        names = {path: name for name, path in film.files}
        for name, path in sorted(film.files):
            status = path.stat()
            digest.update(f"{name}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
        for frame, plane in sorted(film.planes.items()):
            digest.update(f"{frame}\t{names[plane.path]}\t{plane.page}\t{plane.offset}\n".encode())
        return digest.hexdigest()

    def lineage(self, place: FieldId, role: CellRole) -> Lineage:
        """From tracks.csv in the source folder, or from a CTC table beside the film's own files."""
        root = self.path if self.path.is_dir() else self.path.parent
        single = len(self._files) == 1 and len(self.names) == 1
        table = root / TABLE_NAME
        if table.is_file():
            return Lineage(parents=parents_in_csv(table, place, role, single=single))
        files = self._taken.get((place, role), [])
        folders = {file.path.parent for file in files}
        if len(folders) != 1:
            return Lineage()
        folder = next(iter(folders))
        others = any(
            file.path.parent == folder
            for by_role in self._files.values()
            for several in by_role.values()
            for file in several
            if file not in files
        )
        beside = ctc_table_beside(folder)
        if beside and others:
            raise ImageError(
                f"{beside} stands beside label images of several films and does not say whose it is. Give each film "
                f"a folder of its own, or write {TABLE_NAME} with the columns well, field, role, track_id, "
                "parent_track_id."
            )
        return ctc_lineage(beside) if beside else Lineage()

    def _files_of(self, place: FieldId) -> Mapping[CellRole, list[LabelFile]]:
        fields = self._only or frozenset({place})
        only_of_well = sum(other.well == place.well for other in fields) == 1
        for key in (
            (place.well, place.field),
            *([(place.well, None)] if only_of_well else []),
            *([(None, None), (None, place.field)] if len(fields) == 1 else []),
        ):
            if key in self._files:
                return self._files[key]
        if any(key[0] in (place.well, None) and key[1] is None for key in self._files):
            raise ImageError(
                f"{place}: the names in {self.path.name} do not tell the field, and the plate has {len(fields)}. Give "
                "--labels-pattern with the groups well and field."
            )
        there = ", ".join(map(str, self.fields[:_SHOWN]))
        raise ImageError(f"{place}: {self.path.name} has no labels of this field; it has {there}.")

    def _by_frame(
        self,
        place: FieldId,
        role: CellRole,
        files: Sequence[LabelFile],
        shape: FilmShape,
        missing: Collection[int],
    ) -> TiffFilm:
        where = named(place, role)
        images = [(file, _image_of(file, where)) for file in files]
        for file, image in images:
            if image.frames != 1:
                raise ImageError(
                    f"{where}: the name of {file.name} gives one time point, the file holds {image.frames} frames. Give "
                    "--labels-pattern without time."
                )
            require_shape(place, role, (shape[0], *image.shape), shape)
        frames = _frames_of(where, files, shape[0], missing)
        planes: dict[int, PlaneSource] = {}
        for file, image in images:
            frame = frames[file.name]
            if frame in planes:
                raise ImageError(
                    f"{where}, frame {frame} stands in two files: {planes[frame].path.name} and {file.name}. Keep one."
                )
            planes[frame] = image.plane(0, 0)
        return TiffFilm(planes, [(file.name, file.path) for file in files])

    def _told(self, labels: LabelNames, n_ignored: int) -> tuple[str, ...]:
        told = []
        if labels.ignored:
            names = examples([name for name, _ in labels.ignored])
            told.append(
                f"{len(labels.ignored)} TIFF files were left out, {labels.ignored[0][1]}: e.g. {names}"
            )
        if n_ignored:
            told.append(f"{n_ignored} files of other kinds were left out")
        return tuple(told)


def open_tiff_labels(path: Path, words: RoleWords, *, pattern: str | None) -> TiffLabels:
    """Open a folder of TIFF files with label images, or one such file.

    Raises:
        ImageError: There are none, or their names do not say what they are.
    """
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise ImageError(
                f"{path} is no TIFF file. Expected label images as TIFF (.tif) or OME-Zarr; save them as TIFF, e.g. "
                "Cellpose with --save_tif."
            )
        images: list[tuple[str, Path]] = [(path.name, path)]
        ignored: list[tuple[str, str]] = []
        folder = ""
    else:
        images, ignored = find_images(path)
        folder = path.resolve().name
    tables = (TABLE_NAME, PIECES_NAME, *CTC_NAMES)
    other = [name for name, _ in ignored if Path(name).name not in tables and not name.startswith(".")]
    return TiffLabels(path, name_labels(images, words, pattern=pattern, folder=folder), n_ignored=len(other))


def _image_of(file: LabelFile, where: str) -> TiffImage:
    """The film in a file: every plane is a frame, whatever the file calls it (Fiji saves films as z-stacks)."""
    try:
        images = read_tiff_images(file.path, axes="TYX", channels=None, labels=True)
    except (ImageError, VendorFileError) as error:
        raise ImageError(f"{where}: {error}") from error
    return images[0]


def _frames_of(
    where: str, files: Sequence[LabelFile], n_frames: int, missing: Collection[int]
) -> dict[str, int]:
    """Which frame each file is: numbers count from 0 or from 1, times in their order."""
    points = {file.name: file.minutes if file.minutes is not None else file.index for file in files}
    seen = sorted({point for point in points.values() if point is not None})
    if any(point is None for point in points.values()):
        without = next(name for name, point in points.items() if point is None)
        raise ImageError(f"{where}: the name {without} gives no time point, others do.")
    if any(file.minutes is not None for file in files):
        if len(seen) != n_frames:
            raise ImageError(
                f"{where}: the names give {len(seen)} times, the film has {n_frames} frames. Expected one label image per "
                "frame."
            )
        return {name: seen.index(point) for name, point in points.items() if point is not None}
    start = 1 if seen[0] >= 1 and seen[-1] == n_frames else 0
    numbers = {point - start for point in seen}
    absent = sorted(set(range(n_frames)) - numbers - set(missing))
    beyond = sorted(number for number in numbers if number >= n_frames)
    if beyond:
        raise ImageError(
            f"{where}: the names count frames {seen[0]} to {seen[-1]}, the film has {n_frames} (0 to {n_frames - 1}, or 1 to "
            f"{n_frames}). Expected one label image per frame."
        )
    if absent:
        shown = ", ".join(map(str, absent[:_SHOWN]))
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        raise ImageError(
            f"{where}: no file for frame {shown}{more} (counted from 0). A frame without cells needs an empty label image."
        )
    return {name: point - start for name, point in points.items() if point is not None}
