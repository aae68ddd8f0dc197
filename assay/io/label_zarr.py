"""Label images in an OME-Zarr plate or image, `labels/NAME` below each image: read a few frames at a time.

Also those that killassay wrote itself: RESULTS/labels.zarr and PLATE-truth/labels.zarr, whose values are track ids.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import length
from assay.errors import ImageError, TableError
from assay.io.checked import CheckedArray
from assay.io.image_info import group_attributes, image_info, ome_of
from assay.io.label_films import FilmShape, LabelFilm, named, require_shape
from assay.io.label_groups import LABEL_VALUES
from assay.io.label_plate import LabelPlate
from assay.io.label_roles import FOLDERS, OPTIONS, RoleWords
from assay.io.lineages import Lineage
from assay.io.metadata import BLOCK
from assay.io.plate_reader import files_below, open_plate
from assay.io.tables import read_table
from assay.labels import CellRole
from assay.stack import FieldId

_MARKS = ("results.json", "scenario.json")  # beside a labels.zarr of ours, whose values are track ids


class ZarrFilm:
    """The label images of one role in one field of a zarr store."""

    def __init__(self, root: Path, array: str, *, where: str, axes: str, keeps_empty_chunks: bool) -> None:
        self.root, self.array, self._where, self._axes = root, array, where, axes
        self._keeps_empty_chunks = keeps_empty_chunks

    @property
    def shape(self) -> FilmShape:
        """(T, Y, X)."""
        array = self._opened()
        return array.size("t"), array.size("y"), array.size("x")

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Values as they are stored: (len(frames), Y, X).

        In stores of other programs a chunk that is not there holds no cell: they leave out black chunks.
        """
        array = self._opened()
        channels = [0] if "c" in self._axes else None
        if self._keeps_empty_chunks:
            block = array.read(list(frames), channels)
        else:
            block = array.read_sparse(list(frames), channels)
        return block[:, 0] if channels else block

    def nothing_written(self) -> bool:
        """Whether no chunk of the film was ever written."""
        return len(self._opened().absent_frames()) == self.shape[0] and not any(
            files_below(self.root / self.array)
        )

    def require_plane(self, place: FieldId, role: CellRole) -> None:
        """Refuse z-stacks and several channels."""
        array = self._opened()
        for axis in "zc":
            if array.size(axis) != 1:
                raise ImageError(
                    f"{named(place, role)} have {array.size(axis)} planes along {axis}. Expected one (t, y, x)."
                )

    def _opened(self) -> CheckedArray:
        return _array(self.root, self.array, self._where, self._axes)


@lru_cache(maxsize=8)
def _array(root: Path, path: str, where: str, axes: str) -> CheckedArray:
    return CheckedArray(root, path, where=where, axes=axes)


class ZarrLabels:
    """Label images of a plate or of one image."""

    def __init__(
        self, path: Path, groups: Mapping[FieldId, str], *, words: RoleWords, single: bool, ours: bool
    ) -> None:
        self.path, self._groups, self._single, self._ours = path, dict(groups), single, ours
        self.warnings: tuple[str, ...] = ()
        self.names = self._roles(words)

    @property
    def read_as(self) -> str:
        """What they were taken for."""
        return "OME-Zarr image" if self._single else "OME-Zarr plate"

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields there are labels of."""
        return tuple(sorted(self._groups))

    @property
    def tracked(self) -> bool:
        """Whether the labels themselves say that a value is the same cell through time."""
        group = f"{next(iter(self._groups.values()))}/labels/{next(iter(self.names.values()))}".lstrip("/")
        block = group_attributes(self.path / group, str(self.path)).get(BLOCK)
        said = block.get(LABEL_VALUES) if isinstance(block, Mapping) else None
        if said is not None:
            return bool(said == "track_id")
        marked = any((self.path.parent / mark).is_file() for mark in _MARKS)
        return self._ours and self.path.name == "labels.zarr" and marked

    def film(self, place: FieldId, role: CellRole, shape: FilmShape, missing: Collection[int]) -> LabelFilm:
        """The label images of one role in one field."""
        where = named(place, role)
        name = self.names[role]
        group = self._group_of(place)
        there = _listed(self.path, group, where)
        if name not in there:
            raise ImageError(
                f"{where}: {self.path.name} has no label image {name!r} there, it has {', '.join(there) or 'none'}. In "
                "fields without such cells give an empty one."
            )
        info = image_info(self.path, f"{group}/labels/{name}".lstrip("/"), where)
        film = ZarrFilm(
            self.path, info.array_path, where=where, axes=info.axes, keeps_empty_chunks=self._ours
        )
        film.require_plane(place, role)
        require_shape(place, role, film.shape, shape)
        if film.nothing_written():
            raise ImageError(f"{where}: nothing was ever written into {info.array_path} of {self.path.name}.")
        return film

    def identity(self, film: LabelFilm) -> str:
        """Name, size and time of change of every file of the film."""
        assert isinstance(film, ZarrFilm)
        digest = hashlib.sha256()
        for name, size, changed in sorted(files_below(film.root / film.array)):
            digest.update(f"{name}\t{size}\t{changed}\n".encode())
        return digest.hexdigest()

    def lineage(self, place: FieldId, role: CellRole) -> Lineage:
        """Daughter -> mother, from the tables beside labels that killassay wrote."""
        tables = self.path.parent / "tables"
        if not self._ours or not tables.is_dir():
            return Lineage()
        try:
            table = read_table(tables, "tracks")
        except TableError:
            return Lineage()
        rows = (table["well"] == place.well) & (table["field"] == place.field) & (table["role"] == role)
        if not length(table):
            return Lineage()
        ids, counts = np.unique(table["track_id"][rows], return_counts=True)
        if (counts > 1).any():
            raise ImageError(
                f"{named(place, role)}: track {ids[counts > 1][0]} stands twice in {tables / 'tracks.parquet'}. Expected "
                "one row per track; make the tables again."
            )
        rows &= ~np.isnan(table["parent_track_id"])
        children, mothers = table["track_id"][rows], table["parent_track_id"][rows]
        parents = {int(child): int(mother) for child, mother in zip(children, mothers, strict=True)}
        return Lineage(parents=parents)

    def _group_of(self, place: FieldId) -> str:
        if self._single:
            return next(iter(self._groups.values()))
        if place not in self._groups:
            raise ImageError(f"{place}: {self.path.name} has no labels of this field.")
        return self._groups[place]

    def _roles(self, words: RoleWords) -> dict[CellRole, str]:
        """Which label image shows which role, the same in every field."""
        there: dict[str, None] = {}
        for place, group in self._groups.items():
            there |= dict.fromkeys(_listed(self.path, group, str(place)))
        found: dict[CellRole, list[str]] = {}
        for name in there:
            said = words.find(name)
            if said is not None:
                found.setdefault(said[0], []).append(name)
        listed = ", ".join(there) or "none"
        for role in words.asked if words.given else ():
            if role not in found:
                raise ImageError(
                    f"{self.path}: no label image {words.given[role]!r} for {FOLDERS[role]}; there are {listed}."
                )
        for role, names in found.items():
            exact = [name for name in names if name == words.given.get(role, FOLDERS[role])]
            if len(names) > 1 and len(exact) != 1:
                raise ImageError(
                    f"{self.path}: the label images {', '.join(names)} could all be {FOLDERS[role]}. Say which one with "
                    f"{OPTIONS[role]} NAME."
                )
            found[role] = exact or names
        if not found:
            raise ImageError(
                f"{self.path}: none of its label images ({listed}) is called after a role. Expected labels/effectors or "
                "labels/targets; say which is which with --labels-effectors NAME or --labels-targets NAME."
            )
        return {role: names[0] for role, names in sorted(found.items())}


def open_zarr_labels(path: Path, words: RoleWords) -> ZarrLabels:
    """Open the label images of an OME-Zarr plate or image.

    Raises:
        ImageError: It is none, or holds no label images.
    """
    attributes = group_attributes(path, str(path))
    block = attributes.get(BLOCK)
    if isinstance(block, Mapping) and "fields" in block and isinstance(block["fields"], list):
        plate = LabelPlate.open(path)
        groups = {place: place.path for place in plate.fields}
        return ZarrLabels(path, groups, words=words, single=False, ours=True)
    opened = open_plate(path)
    if opened.broken and not opened.groups:
        raise ImageError(next(iter(opened.broken.values())))
    return ZarrLabels(path, opened.groups, words=words, single=opened.is_single_image, ours=False)


def _listed(root: Path, group: str, where: str) -> list[str]:
    """Names of the label images below an image; none where there is no `labels` group."""
    folder = root / group / "labels" if group else root / "labels"
    if not folder.is_dir():
        return []
    names = ome_of(group_attributes(folder, where), where).get("labels") or ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ImageError(f"{where}: the list of label images is damaged.")
    return list(names)
