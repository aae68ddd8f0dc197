"""Tracks of any origin against others that are taken for true: folders of the challenge, graphs, tables of positions."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ResultsError, ShapeError
from assay.io.label_roles import FOLDERS
from assay.io.lineage_films import LineageFilm
from assay.score.cells import CellCounts, CellTally, FieldCells
from assay.score.films import total
from assay.score.matching import Ids
from assay.score.tracking import TrackCounts, count_tracks, seg

_BESIDE_PX = 1.0
_LABELS = {
    "cells_true": "cells: true",
    "cells_called": "cells: called",
    "ap50": "AP at IoU 0.50",
    "ap75": "AP at IoU 0.75",
    "edge_f1": "edge F1",
    "edges_true": "edges: true",
    "edges_called": "edges: called",
    "edges_right": "edges: in common",
    "det": "DET (CTC)",
    "seg": "SEG (CTC)",
    "tra": "TRA (CTC)",
    "complete_tracks": "complete tracks",
    "long_tracks_true": "of long true tracks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageScores:
    """Cells and tracks; what needs the outlines of both sides is NaN where one has positions only."""

    films: int
    by_outlines: bool
    cells_true: int
    cells_called: int
    ap50: float
    ap75: float
    edge_f1: float
    edges_true: int
    edges_called: int
    edges_right: int
    det: float
    seg: float
    tra: float
    complete_tracks: float
    long_tracks_true: int

    def as_dict(self) -> dict[str, float | int | bool | None]:
        """Name -> number for JSON; None where there is nothing to ask."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def score_lineages(called: Sequence[LineageFilm], true: Sequence[LineageFilm]) -> LineageScores:
    """Compare tracks with those of other films of the same cells.

    Cells match at IoU >= 0.5. Where one side has positions only, a position matches the outline it lies in (rounded to
    a pixel), or else the one whose centre is within a pixel of it.

    Args:
        called: What is scored; of each true film the one of the same field and role, or the only one.
        true: What is taken for true.

    Raises:
        ResultsError: A true film has no partner, or neither side has outlines.
        ShapeError: Two films differ in frames or size.
    """
    cells: list[CellCounts] = []
    tracks: list[TrackCounts] = []
    by_outlines = True
    for film in true:
        partner = _partner(film, called, alone=len(true) == 1)
        drawn = film.film is not None and partner.film is not None
        matched = _by_outlines(film, partner) if drawn else _by_positions(film, partner)
        by_outlines &= drawn
        cells.append(matched.counts)
        tracks.append(
            count_tracks(
                matched, true_parents=film.parents, called_parents=partner.parents, n_frames=film.shape[0]
            )
        )
    return _scores(total(cells), total(tracks), len(true), by_outlines=by_outlines)


def format_lineage_scores(scores: LineageScores) -> str:
    """The scores as plain text; "-" where there is nothing to ask."""
    plural = "" if scores.films == 1 else "s"
    how = "outlines" if scores.by_outlines else "positions in outlines"
    lines = [f"{scores.films} film{plural}, cells matched by {how}"]
    for name, value in scores.as_dict().items():
        if name in _LABELS:
            text = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
            lines.append(f"  {_LABELS[name]:<30}{text:>10}")
    return "\n".join(lines)


def _partner(film: LineageFilm, called: Sequence[LineageFilm], *, alone: bool) -> LineageFilm:
    same = [one for one in called if (one.place, one.role) == (film.place, film.role)]
    if not same and alone:
        same = [one for one in called if one.role == film.role] if len(called) > 1 else list(called)
    if len(same) != 1:
        there = ", ".join(f"{one.place}, {FOLDERS[one.role]}" for one in called[:4])
        raise ResultsError(
            f"{film.name} of the truth has no partner among what is scored ({there}). Expected a film of the same field and role, or "
            "one film on both sides."
        )
    return same[0]


def _by_outlines(true: LineageFilm, called: LineageFilm) -> FieldCells:
    if true.shape != called.shape:
        raise ShapeError(
            f"{true.name}: the true film has {true.shape} frames, rows and columns, the other {called.shape}. They are not of one "
            "film."
        )
    tally = CellTally()
    for (frame, truth), (_, labels) in zip(true.images(), called.images(), strict=True):
        tally.add(frame, truth, labels)
    return tally.finish()


def _by_positions(true: LineageFilm, called: LineageFilm) -> FieldCells:
    drawn, points = (true, called) if true.film is not None else (called, true)
    if drawn.film is None:
        raise ResultsError(
            f"{true.name}: neither side has outlines, so nobody can say which cells are the same. Expected masks on one side."
        )
    scale = drawn.calibration.pixel_um if drawn.calibration else (1.0, 1.0)
    starts, outlines = (
        np.searchsorted(of.cells["frame"], np.arange(drawn.shape[0] + 1)) for of in (points, drawn)
    )
    places, centres = (
        np.stack(
            [
                of.cells[axis] / (scale[k] if axis.endswith("_um") else 1.0)
                for k, axis in enumerate(of.centre)
            ],
            axis=1,
        )
        for of in (points, drawn)
    )
    rows: list[tuple[int, int, int]] = []
    for frame, image in drawn.images():
        mine, theirs = slice(starts[frame], starts[frame + 1]), slice(outlines[frame], outlines[frame + 1])
        pairs = _inside(image, places[mine], centres[theirs], drawn.cells["track_id"][theirs])
        tracks = points.cells["track_id"][mine]
        rows += [(frame, label, int(tracks[point])) for point, label in sorted(pairs.items())]
    frames, labels, ids = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return _matched(true, called, frames, labels if drawn is true else ids, ids if drawn is true else labels)


def _inside(
    image: NDArray[Any], places: NDArray[np.float64], centres: NDArray[np.float64], tracks: Ids
) -> dict[int, int]:
    """Which outline each position lies in; the centre of a bent outline may lie beside it."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for point, (y, x) in enumerate(np.rint(places).astype(int).tolist()):
        label = int(image[y, x]) if 0 <= y < image.shape[0] and 0 <= x < image.shape[1] else 0
        if label and label not in taken:
            pairs[point] = label
            taken.add(label)
    for point in sorted(set(range(len(places))) - set(pairs)):
        away = np.hypot(*(centres - places[point]).T)
        nearest = int(np.argmin(away)) if len(away) else -1
        if nearest >= 0 and away[nearest] <= _BESIDE_PX and int(tracks[nearest]) not in taken:
            pairs[point] = int(tracks[nearest])
            taken.add(pairs[point])
    return pairs


def _matched(
    true: LineageFilm, called: LineageFilm, frames: Ids, true_ids: Ids, called_ids: Ids
) -> FieldCells:
    n_true, n_called = len(true.cells["frame"]), len(called.cells["frame"])
    nan = float("nan")
    counts = CellCounts(
        n_true=n_true, n_called=n_called, found_50=len(frames), found_75=len(frames), seg_sum=nan
    )
    return FieldCells(
        counts=counts,
        true_frames=true.cells["frame"],
        true_ids=true.cells["track_id"],
        called_frames=called.cells["frame"],
        called_ids=called.cells["track_id"],
        match_frames=frames,
        match_true=true_ids,
        match_called=called_ids,
        cover_frames=frames,
        cover_true=true_ids,
        cover_called=called_ids,
    )


def _scores(cells: CellCounts, tracks: TrackCounts, films: int, *, by_outlines: bool) -> LineageScores:
    nan = float("nan")
    return LineageScores(
        films=films,
        by_outlines=by_outlines,
        cells_true=cells.n_true,
        cells_called=cells.n_called,
        ap50=cells.ap(cells.found_50) if by_outlines else nan,
        ap75=cells.ap(cells.found_75) if by_outlines else nan,
        edge_f1=tracks.edge_f1,
        edges_true=tracks.edges_true,
        edges_called=tracks.edges_called,
        edges_right=tracks.edges_right,
        det=tracks.det if by_outlines else nan,
        seg=seg(cells) if by_outlines else nan,
        tra=tracks.tra if by_outlines else nan,
        complete_tracks=tracks.complete_fraction,
        long_tracks_true=tracks.long_tracks,
    )
