"""One role of one field as a film of cells with their tracks: what other tracking programs read and write.

Comes from RESULTS, PLATE-truth, a folder of the Cell Tracking Challenge or a GEFF graph; goes into the last two.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length, take
from assay.errors import CalibrationError, ResultsError, TableError
from assay.io.image_info import image_info
from assay.io.label_films import FilmShape, LabelFilm, values_of
from assay.io.label_plate import LabelPlate
from assay.io.label_roles import FOLDERS
from assay.io.tables import read_table
from assay.labels import CELL_ROLES, CellRole
from assay.stack import FieldId
from assay.track_pieces import require_once
from assay.units import Calibration

_KEYS = ("well", "field", "role")
READ_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageFilm:
    """Cells, their masks and their tracks.

    `cells` has a row per cell and frame, ordered by (frame, track_id): `frame`, `track_id`, the centre and area of the
    mask in um where the calibration is known and in pixels where not, and whatever else is known.
    """

    place: FieldId
    role: CellRole
    shape: FilmShape
    cells: Table
    parents: Mapping[int, int] = field(default_factory=dict)  # daughter -> mother
    film: LabelFilm | None = None  # value = track_id; None: nobody drew outlines
    calibration: Calibration | None = None

    @property
    def name(self) -> str:
        """How messages begin."""
        return f"{self.place}, {FOLDERS[self.role]}"

    @property
    def centre(self) -> tuple[str, str]:
        """Columns of the centres, (y, x)."""
        return ("y_um", "x_um") if "y_um" in self.cells else ("y_px", "x_px")

    def checked(self) -> "LineageFilm":
        """The same, if its tracks can be.

        Raises:
            TableError: A track is twice in a frame, or a daughter begins before her mother ends.
        """
        frames, ids = self.cells["frame"], self.cells["track_id"]
        try:
            require_once(frames, ids)
        except TableError as error:
            raise TableError(f"{self.name}: {error}") from error
        tracks, firsts, lasts = spans_of(frames, ids)
        begins = dict(zip(tracks.tolist(), firsts.tolist(), strict=True))
        ends = dict(zip(tracks.tolist(), lasts.tolist(), strict=True))
        for child, mother in sorted(self.parents.items()):
            if child not in begins or mother not in begins:
                absent = child if child not in begins else mother
                raise TableError(
                    f"{self.name}: track {absent} is the daughter or mother of another, but no cell has that id. Expected every "
                    "track of the table among the cells."
                )
            if begins[child] <= ends[mother]:
                raise TableError(
                    f"{self.name}: track {child} begins in frame {begins[child]}, its mother {mother} ends only in frame "
                    f"{ends[mother]}. Expected daughters to begin after their mother's last frame."
                )
        return self

    def images(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Each frame and its label image (Y, X), whose values are track ids.

        Raises:
            ResultsError: The label images hold other cells than the table.
            ImageError: A label image is damaged.
        """
        assert self.film is not None, "a film without outlines has no images"
        starts = np.searchsorted(self.cells["frame"], np.arange(self.shape[0] + 1))
        for first in range(0, self.shape[0], READ_FRAMES):
            run = range(first, min(first + READ_FRAMES, self.shape[0]))
            for frame, image in zip(run, self.film.read(run), strict=True):
                known = self.cells["track_id"][starts[frame] : starts[frame + 1]]
                seen, _ = values_of(image)
                if not np.array_equal(seen[seen > 0], known):
                    odd = np.setxor1d(seen[seen > 0], known)
                    raise ResultsError(
                        f"{self.name}, frame {frame}: track {odd[0]} is in the label image or in the table, not in both. They "
                        "are of two runs; run the same `killassay run` again."
                    )
                yield frame, image


def spans_of(
    frames: NDArray[Any], track_ids: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Tracks in rising order, first frame and last frame of each."""
    tracks, place = np.unique(track_ids, return_inverse=True)
    firsts, lasts = np.full(len(tracks), np.iinfo(np.int64).max), np.full(len(tracks), -1)
    np.minimum.at(firsts, place, frames)
    np.maximum.at(lasts, place, frames)
    return tracks, firsts, lasts


class PlateFilm:
    """Label images of one role in one field of labels that killassay wrote."""

    def __init__(self, labels: LabelPlate, place: FieldId, role: CellRole) -> None:
        self._labels, self._place, self._role = labels, place, role

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Track ids: (len(frames), Y, X)."""
        return self._labels.read(self._place, self._role, frames)


def films_of_results(results: Path) -> tuple[list[LineageFilm], list[str]]:
    """The films of RESULTS or of PLATE-truth, and why fields are left out.

    Raises:
        ResultsError: There are no finished results.
        TableError: A table is missing or damaged, or a track stands twice.
    """
    if not (results / "labels.zarr").is_dir() or not (results / "tables").is_dir():
        raise ResultsError(
            f"{results} has no label images and tables. Expected a RESULTS folder of a finished `killassay run`, a folder of the "
            "Cell Tracking Challenge (mask000.tif, res_track.txt), or a GEFF graph."
        )
    labels = LabelPlate.open(results / "labels.zarr")
    tables = {name: read_table(results / "tables", name) for name in ("cells", "tracks")}
    left_out = _failed(results)
    films = [
        _film_of(labels, tables, place, role)
        for place in labels.fields
        if place not in left_out
        for role in CELL_ROLES
    ]
    return films, [f"{place} left out: {reason}" for place, reason in sorted(left_out.items())]


def _failed(results: Path) -> dict[FieldId, str]:
    if not (results / "tables" / "fields.parquet").is_file():
        return {}  # the truth of a simulation has no failed fields
    fields = read_table(results / "tables", "fields")
    rows = zip(*(fields[name].tolist() for name in ("well", "field", "status", "reason")), strict=True)
    return {
        FieldId(well, number): reason or status for well, number, status, reason in rows if status == "failed"
    }


def _film_of(labels: LabelPlate, tables: Mapping[str, Table], place: FieldId, role: CellRole) -> LineageFilm:
    cells, tracks = (_rows_of(tables[name], place, role) for name in ("cells", "tracks"))
    order = np.lexsort((cells["track_id"], cells["frame"]))
    where = f"{place}, {FOLDERS[role]}"
    ids, counts = np.unique(tracks["track_id"], return_counts=True)
    if (counts > 1).any():
        raise TableError(
            f"{where}: track {ids[counts > 1][0]} stands twice in tracks.parquet. Expected one row per track: ids must be "
            "unique within field and role. Make the tables again with `killassay report --format tables`."
        )
    if not np.array_equal(ids, np.unique(cells["track_id"])):
        odd = np.setxor1d(ids, np.unique(cells["track_id"]))
        raise TableError(
            f"{where}: track {odd[0]} is in tracks.parquet or in cells.parquet, not in both. They are of two runs; make the "
            "tables again with `killassay report --format tables`."
        )
    known = ~np.isnan(tracks["parent_track_id"])
    parents = dict(
        zip(
            tracks["track_id"][known].tolist(),
            tracks["parent_track_id"][known].astype(int).tolist(),
            strict=True,
        )
    )
    info = image_info(labels.path, f"{place.path}/labels/{FOLDERS[role]}", where)
    if info.pixel_um is None:
        raise CalibrationError(
            f"{where}: the label images have no pixel size. Run the same `killassay run` again."
        )
    n_frames = labels.shape(place)[0]
    return LineageFilm(
        place=place,
        role=role,
        shape=labels.shape(place),
        cells={name: column[order] for name, column in cells.items() if name not in _KEYS},
        parents=parents,
        film=PlateFilm(labels, place, role),
        calibration=Calibration(pixel_um=info.pixel_um, frame_min=info.frame_min if n_frames > 1 else None),
    ).checked()


def _rows_of(table: Table, place: FieldId, role: CellRole) -> Table:
    if not length(table):
        return dict(table)
    return take(
        table, (table["well"] == place.well) & (table["field"] == place.field) & (table["role"] == role)
    )
