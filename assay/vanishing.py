"""Where cells vanish or turn up in the middle of the image, and how often that is only us losing sight of them.

Knows tracks and where each begins and ends. Knows nothing of dyes; `deaths.py` weighs what a vanished cell means.

Losing a cell (a missed outline, two outlines become one, identities change places) looks alike forwards and
backwards in time: as many cells then turn up from nowhere as vanish into nowhere. A cell that bursts only
vanishes. So the film itself says how often a vanished cell was lost: as often as cells turn up.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.labels import CellMeasures
from assay.tracks import Track, Tracks

SAME_CELL_FRAMES = 6
"""A track that begins so soon after another ended at its place is the same cell."""

_RETURN_FRAMES = 18  # a cell that is seen again so much later at its place had not vanished
_SAME_PLACE = 0.6  # of a cell's diameter
_LASTING = 5  # sights: shorter tracks are too often no cell at all
_NO_SPECK = 3  # sights: a speck seen once or twice is not the lost cell
_CHANCE = 0.5  # cells that may be lost for good even where none turned up
_BURST_SHARE = 0.05  # of deaths, before the field has shown any
_BURST_LEAST = 0.25
_MISSES_ROOM = 1.0  # sd by which the number of lost cells is taken larger than that of cells that turned up


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """Tracks put together where a cell was lost for a few frames: row -> its tracks, in order of time."""

    rows: tuple[tuple[int, ...], ...]  # places in `Tracks.tracks`
    row_of_track: NDArray[np.int64]  # (tracks,)
    vanished: NDArray[np.bool_]  # (rows,) ends in the middle of the image and is not seen there again
    turned_up: NDArray[np.bool_]  # (rows,) begins in the middle of image and film, where no cell was lost
    gaps: NDArray[np.int64]  # lengths in frames of all gaps within rows
    joined: NDArray[np.int64]  # sights with which a row goes on in another track


def sightings(tracks: Tracks, measures: CellMeasures, *, masked_frames: Collection[int] = ()) -> Sightings:
    """Put together the tracks of cells that were lost for a few frames, and say who vanished.

    A lost cell and one that turns up at its place soon after are one, nearest pairs first; a cell has at most
    one tail and one head. Cells that turn up there later only say that the first had not vanished. Who was lost
    over a run of masked frames in which a cell may go away has not vanished: nobody looked.
    """
    masked = frozenset(masked_frames)
    first, last = _ends(tracks, measures)
    diameter = float(np.sqrt(np.median(measures.area_um2) * 4 / np.pi)) if len(measures) else 0.0
    lost = [n for n, track in enumerate(tracks.tracks) if track.end == "lost"]
    count = np.bincount(track_places(tracks), minlength=len(tracks.tracks))
    new = [n for n, track in enumerate(tracks.tracks) if track.start == "appeared" and count[n] >= _NO_SPECK]
    where = np.stack([measures.y_um, measures.x_um], axis=1)
    follows, returned, seen_before = _pairs(
        tracks.tracks, lost, new, where[last], where[first], _SAME_PLACE * diameter
    )
    rows = _chains(len(tracks.tracks), follows)
    row_of = np.zeros(len(tracks.tracks), dtype=np.int64)
    for row, chain in enumerate(rows):
        row_of[list(chain)] = row
    sights = np.bincount(row_of[track_places(tracks)], minlength=len(rows))
    vanishes = np.array(
        [
            tracks.tracks[chain[-1]].end == "lost"
            and chain[-1] not in returned
            and _unwatched(tracks.tracks[chain[-1]].last_frame, 1, masked) < SAME_CELL_FRAMES
            for chain in rows
        ]
    )
    appears = np.array(
        [
            tracks.tracks[chain[0]].start == "appeared"
            and chain[0] not in seen_before
            and _unwatched(tracks.tracks[chain[0]].first_frame, -1, masked) < SAME_CELL_FRAMES
            and tracks.tracks[chain[0]].first_frame >= SAME_CELL_FRAMES
            for chain in rows
        ]
    )
    enough = sights >= _LASTING
    return Sightings(
        rows=rows,
        row_of_track=row_of,
        vanished=vanishes.astype(np.bool_) & enough,
        turned_up=appears.astype(np.bool_) & enough,
        joined=first[sorted(follows.values())],
        gaps=_gap_lengths(row_of[track_places(tracks)], measures.frame.astype(np.int64)),
    )


def _unwatched(frame: int, step: int, masked: Collection[int]) -> int:
    """How many masked frames follow on a frame, or precede it."""
    count = 0
    while frame + step * (count + 1) in masked:
        count += 1
    return count


def track_places(tracks: Tracks) -> NDArray[np.int64]:
    """For every measure its track's place in `tracks.tracks`."""
    ids = np.array([track.track_id for track in tracks.tracks], dtype=np.int64)
    return np.searchsorted(ids, tracks.track_id)


def _ends(tracks: Tracks, measures: CellMeasures) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the measures that are each track's first and last sight."""
    order = np.lexsort((measures.frame, tracks.track_id))
    bounds = np.flatnonzero(np.diff(tracks.track_id[order], prepend=-1))
    return order[bounds], order[np.append(bounds[1:], len(order)) - 1] if len(order) else order


def _pairs(
    tracks: Sequence[Track],
    lost: Sequence[int],
    new: Sequence[int],
    left_um: NDArray[np.float64],
    came_um: NDArray[np.float64],
    reach_um: float,
) -> tuple[dict[int, int], set[int], set[int]]:
    """Lost track -> the one that follows it; lost tracks that returned; new ones whose cell had been seen."""
    follows: dict[int, int] = {}
    returned: set[int] = set()
    before: set[int] = set()
    if not lost or not new or reach_um <= 0:
        return follows, returned, before
    near = cKDTree(left_um[list(lost)]).sparse_distance_matrix(
        cKDTree(came_um[list(new)]), reach_um, output_type="ndarray"
    )
    candidates = []
    for i, j, distance in zip(near["i"].tolist(), near["j"].tolist(), near["v"].tolist(), strict=True):
        gap = tracks[new[j]].first_frame - tracks[lost[i]].last_frame
        if 1 <= gap <= _RETURN_FRAMES:
            candidates.append((gap > SAME_CELL_FRAMES, distance, gap, lost[i], new[j]))
    for late, _, _, ended, began in sorted(candidates):
        if ended in returned or began in before:
            continue
        returned.add(ended)
        before.add(began)
        if not late:
            follows[ended] = began
    return follows, returned, before


def _chains(count: int, follows: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    heads = sorted(set(range(count)) - set(follows.values()))
    chains = []
    for head in heads:
        chain = [head]
        while chain[-1] in follows:
            chain.append(follows[chain[-1]])
        chains.append(tuple(chain))
    return tuple(chains)


def _gap_lengths(row: NDArray[np.int64], frame: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many frames each interruption of a row lasts."""
    order = np.lexsort((frame, row))
    step = np.diff(frame[order])
    inside = np.diff(row[order]) == 0
    return np.asarray(step[inside & (step > 1)] - 1)


def lost_for_good(
    seen: Sightings, turned_up: NDArray[np.bool_], unseen_frames: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How many living cells of the film are lost for so many frames that it may have been for good, (rows,).

    As many as turn up, and somewhat more; towards the film's end also those that would still have come back.
    """
    count = float(turned_up.sum())
    lost = count + _CHANCE + _MISSES_ROOM * np.sqrt(count)
    longer = np.array([float((seen.gaps >= frames).sum()) for frames in range(1, SAME_CELL_FRAMES + 1)])
    soon = longer[np.clip(unseen_frames, 1, SAME_CELL_FRAMES) - 1]
    return np.asarray(lost + np.where(unseen_frames < SAME_CELL_FRAMES, soon, 0.0))


def burst_log_odds(
    seen: Sightings,
    *,
    unseen_frames: NDArray[np.int64],
    vanished: NDArray[np.bool_],
    turned_up: NDArray[np.bool_],
    deaths: float,
) -> NDArray[np.float64]:
    """Log odds that a cell that is not seen any more has burst rather than been lost, (rows,).

    Args:
        seen: The tracks, put together.
        unseen_frames: (rows,) usable frames after the last sight.
        vanished: (rows,) cells that vanished, alive and in plain sight until then.
        turned_up: (rows,) cells that turned up, alive.
        deaths: Deaths that the field shows otherwise.

    Returns:
        -inf for rows that did not vanish.
    """
    for_good = float(np.sum(vanished & (unseen_frames >= SAME_CELL_FRAMES)))
    lost = float(lost_for_good(seen, turned_up, np.array([SAME_CELL_FRAMES]))[0])
    usual = _BURST_LEAST + _BURST_SHARE * deaths
    burst = usual
    for _ in range(50):  # Poisson counts of both kinds, a gamma prior of one event on those that burst
        burst = (1.0 + for_good * burst / (burst + lost)) / (1.0 / usual + 1.0)
    by_chance = lost_for_good(seen, turned_up, unseen_frames)
    return np.where(vanished & (unseen_frames >= 1), np.log(burst / by_chance), -np.inf)
