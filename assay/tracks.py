"""Which labels of successive frames are the same cell.

Knows the measures of one field's cells and the calibration. Knows nothing of contacts, deaths or kills.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.divisions import Division, find_divisions
from assay.drift import estimate_drift as estimate_drift
from assay.errors import ShapeError
from assay.labels import CellMeasures, CellRole
from assay.link_passes import link_film
from assay.linking import Detections, Links, Reach
from assay.looks import features_of
from assay.units import Calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TrackStart = Literal["movie_start", "entered", "divided", "appeared"]
TrackEnd = Literal["movie_end", "died", "divided", "left_field", "lost"]

_SLIVER_UM = 3.0  # what is left of a cell at the image's edge is overlooked when it reaches in less far


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One cell through time. "lost" is a statement about us, never about the cell."""

    track_id: int
    first_frame: int
    last_frame: int  # included
    parent_track_id: int | None
    start: TrackStart
    end: TrackEnd
    min_link_confidence: float | None = None  # None: no link, or nobody has judged them


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """The cells of one role in one field.

    `track_id[i]` belongs to row i of the `CellMeasures` that were linked; every row has one, from 1.
    Ids are ordered by (first frame, label in it), so they do not depend on how the work was cut.
    `link_confidence[i]` is the probability that row i shows the same cell as the track's row before: NaN in the
    first row of a track, None where another program, or the truth, said who is who.
    """

    role: CellRole
    track_id: NDArray[np.int64]
    tracks: tuple[Track, ...]  # ordered by track_id
    link_confidence: NDArray[np.float64] | None = None


def link(
    measures: CellMeasures,
    *,
    n_frames: int,
    masked_frames: Collection[int],
    calibration: Calibration,
    field_shape: tuple[int, int],
    max_gap_frames: int,
    max_um_per_min: float,
    drift_um: Floats | None = None,
    marker_channels: Collection[str] | None = None,
) -> Tracks:
    """Follow the cells of one role through the film.

    The linker measures how the cells of this film move and how constant they look, and links again with what
    it measured. Positions are taken relative to the drifting stage. The order of rows does not matter.

    Args:
        measures: The cells of all usable frames.
        n_frames: Frames of the film.
        masked_frames: Frames without a usable image: skipped, and not counted as misses.
        calibration: Pixel size and frame interval; a film of one frame needs no interval.
        field_shape: (Y, X) of the images, in pixels.
        max_gap_frames: Usable frames in which a cell may be missed and still be the same cell.
        max_um_per_min: No cell is linked over a longer way, apart from what outlines jitter.
        drift_um: (T, 2) from `estimate_drift`; None for a stage that does not drift.
        marker_channels: Channels whose dye sits in these cells, by which one is told from another; None for all.
            Other channels speak of the place and not of the cell.

    Raises:
        CalibrationError: The film has several frames but no frame interval.
        ShapeError: A measured frame is masked or beyond the film.
    """
    usable = [frame for frame in range(n_frames) if frame not in masked_frames]
    if not np.isin(measures.frame, usable).all():
        wrong = int(measures.frame[~np.isin(measures.frame, usable)][0])
        raise ShapeError(
            f"frame {wrong} has {measures.role} measures, but is masked or beyond the {n_frames} frames of the "
            "film; leave its measures out."
        )
    order = np.lexsort((measures.label, measures.frame))
    drift = np.zeros((n_frames, 2)) if drift_um is None else drift_um
    film, yx_um = _film_of(measures, order, usable, calibration, field_shape, drift)
    reach = _reach_of(film, calibration, max_um_per_min, n_frames, max_gap_frames)
    features, twins = features_of(measures, order, marker_channels)
    detections = Detections(
        frame=film.frame,
        yx_um=yx_um,
        features=features,
        twins=twins,
        near_edge=film.edge_um <= reach.slack_um + reach.um_per_frame / 3,
    )
    field_um2 = field_shape[0] * field_shape[1] * calibration.pixel_area_um2
    links = link_film(
        detections,
        frames=usable,
        reach=reach,
        max_gap_frames=max_gap_frames,
        area_um2=field_um2,
        smallest_um=0.15 * calibration.mean_pixel_um,
    )
    divisions = find_divisions(
        frame=film.frame,
        yx_um=yx_um,
        area_um2=film.area_um2,
        previous=links.previous,
        last_frame=usable[-1] if usable else 0,
    )
    return _tracks_of(measures.role, film, links, divisions, order)


def track_by_labels(
    measures: CellMeasures,
    *,
    n_frames: int,
    masked_frames: Collection[int],
    calibration: Calibration,
    field_shape: tuple[int, int],
    parents: Mapping[int, int],
    drift_um: Floats | None = None,
) -> Tracks:
    """Tracks of cells that another program has followed: a label is the same cell in all frames.

    Ids stay as they are; a cell may be missing from frames in between. A mother is taken to have divided where
    at least two of her daughters begin after her last frame: one daughter alone may be the same cell again.

    Args:
        measures: The cells of all usable frames; `label` is the track id.
        n_frames: Frames of the film.
        masked_frames: Frames without a usable image.
        calibration: Pixel size and frame interval.
        field_shape: (Y, X) of the images, in pixels.
        parents: Daughter -> mother; ids that do not occur are left out.
        drift_um: (T, 2) from `estimate_drift`; None for a stage that does not drift.
    """
    usable = [frame for frame in range(n_frames) if frame not in masked_frames]
    order = np.lexsort((measures.frame, measures.label))
    drift = np.zeros((n_frames, 2)) if drift_um is None else drift_um
    film, yx_um = _film_of(measures, order, usable, calibration, field_shape, drift)
    label = measures.label[order].astype(np.int64)
    begins = np.diff(label, prepend=0) != 0
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(label)) - 1 if len(firsts) else firsts
    previous = np.where(begins, -1, np.arange(len(label)) - 1)
    place = np.searchsorted(film.usable, film.frame)
    links = Links(
        previous=previous,
        frames=np.where(begins, 0, place - place[previous]),
        step_um=np.where(begins[:, None], 0.0, yx_um - yx_um[previous]),
        velocity_um=np.full((len(label), 2), np.nan),
        change=np.zeros((len(label), 0)),
        weight=np.zeros((len(label), 0)),
        confidence=np.full(len(label), np.nan),
    )
    lives = {
        int(label[a]): (int(film.frame[a]), int(film.frame[b])) for a, b in zip(firsts, lasts, strict=True)
    }
    mothers = _mothers(parents, lives)
    divided = set(mothers.values())
    starts, ends = (
        _how_tracks_begin(film, links, firsts.tolist()),
        _how_tracks_end(film, links, lasts.tolist()),
    )
    tracks = tuple(
        Track(
            track_id=number,
            first_frame=first,
            last_frame=last,
            parent_track_id=mothers.get(number),
            start="divided" if number in mothers else start,
            end="divided" if number in divided else end,
        )
        for (number, (first, last)), start, end in zip(lives.items(), starts, ends, strict=True)
    )
    return Tracks(role=measures.role, track_id=measures.label.astype(np.int64), tracks=tracks)


def _mothers(parents: Mapping[int, int], lives: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Daughter -> mother of the divisions that the lives of the tracks allow."""
    daughters: dict[int, list[int]] = {}
    for child, mother in sorted(parents.items()):
        if child in lives and mother in lives and lives[child][0] > lives[mother][1]:
            daughters.setdefault(mother, []).append(child)
    return {child: mother for mother, born in daughters.items() if len(born) > 1 for child in born}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Film:
    """Rows ordered by (frame, label), and what the ends of tracks are judged by."""

    frame: Ints
    area_um2: Floats
    edge_um: Floats  # from the mask's edge to the image's, as if it were round
    centre_um: Floats  # from the mask's centre to the image's edge
    drift_um: Floats
    usable: Ints


def _film_of(
    measures: CellMeasures,
    order: Ints,
    usable: Sequence[int],
    calibration: Calibration,
    field_shape: tuple[int, int],
    drift_um: Floats,
) -> tuple[_Film, Floats]:
    """The rows in order, and where each lies, stage drift taken off."""
    centre_um = _centre_to_edge_um(measures, calibration, field_shape)
    film = _Film(
        frame=measures.frame[order].astype(np.int64),
        area_um2=measures.area_um2[order],
        edge_um=(centre_um - np.sqrt(measures.area_um2 / np.pi))[order],
        centre_um=centre_um[order],
        drift_um=drift_um,
        usable=np.array(usable, dtype=np.int64),
    )
    place = np.stack([measures.y_um[order], measures.x_um[order]], axis=1)
    return film, place - film.drift_um[film.frame]


def _centre_to_edge_um(
    measures: CellMeasures, calibration: Calibration, field_shape: tuple[int, int]
) -> Floats:
    height, width = (
        (size - 1) * pixel for size, pixel in zip(field_shape, calibration.pixel_um, strict=True)
    )
    ways = (measures.y_um, height - measures.y_um, measures.x_um, width - measures.x_um)
    edge: Floats = np.minimum.reduce(ways)
    return edge


def _reach_of(
    film: _Film, calibration: Calibration, max_um_per_min: float, n_frames: int, max_gap_frames: int
) -> Reach:
    """Gate of the linker: outlines jitter by some pixels and by a part of the cell's size."""
    radius = float(np.sqrt(np.median(film.area_um2) / np.pi)) if len(film.area_um2) else 0.0
    return Reach(
        um_per_frame=max_um_per_min * calibration.minutes(1) if n_frames > 1 else 0.0,
        slack_um=max(3 * calibration.mean_pixel_um, 0.4 * radius),
        most_frames=max_gap_frames + 1,
    )


def _tracks_of(
    role: CellRole, film: _Film, links: Links, divisions: Sequence[Division], order: Ints
) -> Tracks:
    """Number the chains of links and say how each begins and ends."""
    previous = links.previous.copy()
    mothers: dict[int, int] = {}  # first row of a daughter -> last row of its mother
    for division in divisions:
        for daughter in division.daughters:
            previous[daughter] = -1
            mothers[daughter] = division.mother
    track_of: list[int] = []
    firsts: list[int] = []
    for row, before in enumerate(previous.tolist()):
        if before < 0:
            firsts.append(row)
        track_of.append(track_of[before] if before >= 0 else len(firsts))
    ids = np.array(track_of, dtype=np.int64)
    lasts = np.zeros(len(firsts), dtype=np.int64)
    lasts[ids - 1] = np.arange(len(ids))
    starts, ends = _how_tracks_begin(film, links, firsts), _how_tracks_end(film, links, lasts.tolist())
    divided = set(mothers.values())
    confidence = np.where(previous >= 0, links.confidence, np.nan)
    least = _least(confidence, ids, len(firsts))
    tracks = tuple(
        Track(
            track_id=number,
            first_frame=int(film.frame[first]),
            last_frame=int(film.frame[last]),
            parent_track_id=int(ids[mothers[first]]) if first in mothers else None,
            start="divided" if first in mothers else start,
            end="divided" if last in divided else end,
            min_link_confidence=None if np.isnan(smallest) else smallest,
        )
        for number, (first, last, start, end, smallest) in enumerate(
            zip(firsts, lasts.tolist(), starts, ends, least.tolist(), strict=True), start=1
        )
    )
    track_id, of_rows = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids))
    track_id[order], of_rows[order] = ids, confidence
    return Tracks(role=role, track_id=track_id, tracks=tracks, link_confidence=of_rows)


def _least(confidence: Floats, ids: Ints, n_tracks: int) -> Floats:
    """The smallest confidence of each track; NaN where it has no link."""
    least = np.full(n_tracks, np.inf)
    known = np.isfinite(confidence)
    np.minimum.at(least, ids[known] - 1, confidence[known])
    least[np.isinf(least)] = np.nan
    return least


def _how_tracks_begin(film: _Film, links: Links, firsts: Sequence[int]) -> list[TrackStart]:
    rows = np.array(firsts, dtype=np.int64)
    place = np.searchsorted(film.usable, film.frame[rows])
    before = film.usable[np.maximum(place - 1, 0)]
    entered = _within_a_step_of_the_edge(film, links, rows, before)
    names: list[TrackStart] = ["entered" if near else "appeared" for near in entered.tolist()]
    return ["movie_start" if at == 0 else name for at, name in zip(place.tolist(), names, strict=True)]


def _how_tracks_end(film: _Film, links: Links, lasts: Sequence[int]) -> list[TrackEnd]:
    rows = np.array(lasts, dtype=np.int64)
    place = np.searchsorted(film.usable, film.frame[rows])
    final = len(film.usable) - 1
    left = _within_a_step_of_the_edge(film, links, rows, film.usable[np.minimum(place + 1, final)])
    names: list[TrackEnd] = ["left_field" if near else "lost" for near in left.tolist()]
    return ["movie_end" if at == final else name for at, name in zip(place.tolist(), names, strict=True)]


def _within_a_step_of_the_edge(film: _Film, links: Links, rows: Ints, neighbour: Ints) -> NDArray[np.bool_]:
    """Could the cell have been beyond the image's edge in the neighbouring frame?

    It could where its centre is no further from the edge than nine of ten steps of these cells, the stage's own
    and the sliver that may be overlooked are long. That its mask touches the edge says little: most such cells
    stay for hours, and some die there.
    """
    steps = np.hypot(*links.step_um[(links.previous >= 0) & (links.frames == 1)].T)
    usual = float(np.percentile(steps, 90)) if len(steps) else 0.0
    stage = np.hypot(*(film.drift_um[neighbour] - film.drift_um[film.frame[rows]]).T)
    near: NDArray[np.bool_] = film.centre_um[rows] <= usual + stage + _SLIVER_UM
    return near


def track_ids_of(
    measures: CellMeasures,
    tracks: Tracks,
    *,
    frame: NDArray[np.integer[Any]],
    label: NDArray[np.integer[Any]],
) -> NDArray[np.int64]:
    """Look up which track each (frame, label) belongs to.

    Raises:
        ShapeError: The measures hold no such cell, or are not those that were linked.
    """
    if len(measures) != len(tracks.track_id):
        raise ShapeError(
            f"{len(measures)} {measures.role} measures but track ids for {len(tracks.track_id)}; "
            "expected the measures that were linked."
        )
    span = int(max(measures.label.max(initial=0), label.max(initial=0))) + 1
    known = measures.frame.astype(np.int64) * span + measures.label
    order = np.argsort(known, kind="stable")
    wanted = frame.astype(np.int64) * span + label
    place = np.searchsorted(known, wanted, sorter=order)
    found = place < len(known)
    found[found] = known[order[place[found]]] == wanted[found]
    if not found.all():
        first = int(np.flatnonzero(~found)[0])
        raise ShapeError(f"frame {frame[first]} has no {measures.role} with label {label[first]}.")
    return tracks.track_id[order[place]]


def step_and_spacing_um(measures: CellMeasures, tracks: Tracks) -> tuple[float, float]:
    """How far cells move from frame to frame, and how far apart they are: where steps are longer, who is who is a guess.

    Returns:
        The step that 19 in 20 stay below, and the median distance to the nearest cell of the same role, in um;
        NaN where there is nothing to measure.
    """
    place = np.stack([measures.y_um, measures.x_um], axis=1)
    order = np.lexsort((measures.frame, tracks.track_id))
    next_frame = np.diff(measures.frame[order]) == 1
    same = (np.diff(tracks.track_id[order]) == 0) & next_frame
    steps = np.hypot(*np.diff(place[order], axis=0)[same].T) if same.any() else np.zeros(0)
    nearest = []
    for frame in np.unique(measures.frame):
        here = place[measures.frame == frame]
        if len(here) > 1:
            nearest.append(cKDTree(here).query(here, k=2)[0][:, 1])
    return (
        float(np.percentile(steps, 95)) if len(steps) else float("nan"),
        float(np.median(np.concatenate(nearest))) if nearest else float("nan"),
    )
