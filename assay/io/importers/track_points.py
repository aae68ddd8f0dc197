"""A CSV of tracked positions, as napari's motile tracker and many scripts write it -> a film of cells without outlines."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assay.errors import ImageError
from assay.foreign_files import csv_lines
from assay.io.lineage_films import LineageFilm
from assay.labels import CellRole
from assay.stack import FieldId

_NAMES = {
    "frame": ("frame", "t", "time", "timepoint"),
    "y": ("y", "y_px"),
    "x": ("x", "x_px"),
    "id": ("id", "node_id"),
    "parent": ("parent_id", "parent"),
    "track": ("track_id", "track"),
}


def read_track_points(path: Path, *, role: CellRole, place: FieldId) -> LineageFilm:
    """Read a table with a row per cell and frame: frame (or t), y, x in pixels, and track_id.

    A row may have an id and the id of the row it comes from (parent_id); where that one is of another track, this track is
    its daughter.

    Raises:
        ImageError: A column is missing, a value is no number, an id stands twice or names nobody.
        TableError: A track is twice in a frame, or a daughter begins before her mother ends.
    """
    try:
        reader = csv.DictReader(csv_lines(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path} cannot be read ({error}). Expected a CSV of positions.") from error
    columns = _columns(path, [str(name) for name in reader.fieldnames or ()])
    rows: list[tuple[int, int, float, float]] = []
    tracks: dict[str, int] = {}
    came_from: list[tuple[int, str, int]] = []
    for number, row in enumerate(reader, start=2):
        try:
            track = _whole(row[columns["track"]])
            rows.append(
                (_whole(row[columns["frame"]]), track, float(row[columns["y"]]), float(row[columns["x"]]))
            )
        except (TypeError, ValueError) as error:
            raise ImageError(
                f"{path}, line {number}: {error}. Expected numbers, frames and ids whole."
            ) from error
        node = row.get(columns.get("id", "")) or ""
        if node and node in tracks:
            raise ImageError(f"{path}, line {number}: id {node} stands twice. Expected every id once.")
        if node:
            tracks[node] = track
        before = row.get(columns.get("parent", "")) or ""
        if before:
            came_from.append((track, before, number))
    return _film(rows, _parents(path, came_from, tracks), role=role, place=place)


def _columns(path: Path, there: list[str]) -> dict[str, str]:
    found = {
        meaning: name
        for meaning, names in _NAMES.items()
        if (name := next((n for n in there if n.strip().lower() in names), None)) is not None
    }
    absent = [meaning for meaning in ("frame", "y", "x", "track") if meaning not in found]
    if absent:
        raise ImageError(
            f"{path}: no column for {', '.join(absent)}; there are {', '.join(there)[:120] or 'none'}. Expected frame (or t), y, x "
            "and track_id, and maybe id and parent_id."
        )
    return found


def _parents(path: Path, came_from: list[tuple[int, str, int]], tracks: Mapping[str, int]) -> dict[int, int]:
    parents: dict[int, int] = {}
    for track, before, number in came_from:
        if before not in tracks:
            raise ImageError(f"{path}, line {number}: parent_id {before} is no id of this table.")
        mother = tracks[before]
        if mother != track and parents.setdefault(track, mother) != mother:
            raise ImageError(
                f"{path}, line {number}: track {track} has two mothers, {parents[track]} and {mother}."
            )
    return parents


def _film(
    rows: list[tuple[int, int, float, float]], parents: Mapping[int, int], *, role: CellRole, place: FieldId
) -> LineageFilm:
    values = np.array(rows, dtype=np.float64).reshape(-1, 4)
    values = values[np.lexsort((values[:, 1], values[:, 0]))]
    frames = values[:, 0].astype(np.int64)
    return LineageFilm(
        place=place,
        role=role,
        shape=(int(frames.max(initial=-1)) + 1, 0, 0),
        cells={
            "frame": frames,
            "track_id": values[:, 1].astype(np.int64),
            "y_px": values[:, 2],
            "x_px": values[:, 3],
        },
        parents=parents,
    ).checked()


def _whole(text: str) -> int:
    value = float(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return int(value)
