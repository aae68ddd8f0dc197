"""Cells at rest that were missed for some frames and found again at their place.

Knows detections and the links of an earlier pass. A linker that goes from frame to frame gives a missed cell's track to
whoever passes by; seen from both sides of the gap, a cell that rests, is gone and rests there again was there meanwhile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.link_loops import best_pairs, pairs_in_reach
from assay.link_odds import pair_odds
from assay.looks import LooksModel
from assay.motion import LinkModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REST_REACH = 3.0  # deviations of a resting cell's step within which it is at its place
KEEPS_RESTING = 0.85  # as `STAY_IN_MODE` of the linker
MISSED_SHARES = (0.02, 0.3)  # of a resting cell's frames
LEAST_LEAVING = 0.05  # of the frames of resting cells: that the cell leaves
LEAST_RESTING = 30  # links of resting cells to measure anything from
SURE_LINK = 0.98  # links as sure as this are never taken apart
LOOKS_LIMITS = (-8.0, 12.0)  # what looks may say against and for


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Detections in the order of frames, and whom each follows by the links so far."""

    place: Ints  # (N,) of its frame among the usable ones
    yx_um: Floats  # (N, 2), stage drift taken off
    looks: Floats  # (N, F) averages over the detection and what follows
    weight: Floats  # (N, F) detections that these are worth
    previous: Ints  # (N,) row, -1: none
    confidence: Floats  # (N,) of these links


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """Stays of unseen cells, one row each."""

    before: Ints  # row of the detection before the gap
    after: Ints  # row of the one after it
    probability: Floats  # that both are one cell


def find_stays(
    film: Linked,
    *,
    frames: Sequence[int],
    most_missed: int,
    area_um2: float,
    motion: LinkModel,
    looks: LooksModel,
) -> Stays:
    """Find cells that rest, are missed for one to `most_missed` frames, and are at their place again.

    On one side of the gap at least, the cell is seen there in two frames.
    Against it stands that one cell left the place and another came to it meanwhile: as often as the links say that
    resting cells leave and that cells arrive per area, and as far as the links that would be taken apart are sure.

    Args:
        film: The detections and their links so far.
        frames: The usable frames, in order.
        most_missed: Usable frames in which a cell may be missed and still be the same cell.
        area_um2: Of the field.
        motion: How these cells move.
        looks: How constant they look.
    """
    came, left = _at_rest(film, motion)
    linked = np.flatnonzero(film.previous >= 0)
    waited = film.place[linked] - film.place[film.previous[linked]]
    once, twice = (int((came[linked] & (waited == k)).sum()) for k in (1, 2))
    if once < LEAST_RESTING or len(frames) < 3:  # between two frames none can be missed
        return _best([], len(film.place))
    missed = float(np.clip(twice / (once + twice), *MISSED_SHARES))
    arrivals = int((~came & (film.place > 0)).sum()) / max(len(frames) - 1, 1) / area_um2
    leaves = float(np.mean(~left[came & (film.place < len(frames) - 1)]))
    against = math.log(max(arrivals, 1e-12)) + math.log(max(leaves, LEAST_LEAVING))
    in_sure, out_sure = _sureness(film)
    limit = math.log(SURE_LINK / (1 - SURE_LINK))
    ends, begins = ~left & (out_sure < limit), ~came & (in_sure < limit)
    state = np.zeros((len(film.place), 4))
    state[:, 3] = np.where(came, 1 - KEEPS_RESTING, 1.0) * motion.moving_share
    firsts = np.searchsorted(film.place, np.arange(len(frames) + 1))
    pairs: list[tuple[Ints, Ints, Floats]] = []
    for at in range(len(frames)):
        mine = firsts[at] + np.flatnonzero(ends[firsts[at] : firsts[at + 1]])
        for wait in range(2, min(most_missed + 2, len(frames) - at)):
            theirs = firsts[at + wait] + np.flatnonzero(begins[firsts[at + wait] : firsts[at + wait + 1]])
            gap = np.full(len(mine), float(frames[at + wait] - frames[at]))
            reach = _at_place_um(motion, gap)
            start, found = pairs_in_reach(film.yx_um[mine], reach, film.yx_um[theirs])
            odds = pair_odds(
                start,
                found,
                film.yx_um[mine],
                state[mine],
                film.looks[mine],
                film.weight[mine],
                gap,
                out_sure[mine] + against - (wait - 1) * math.log(missed),
                film.yx_um[theirs],
                np.zeros((len(theirs), 4)),
                film.looks[theirs],
                film.weight[theirs],
                in_sure[theirs],
                motion.table(),
                looks.table(),
                np.array(LOOKS_LIMITS),
            )
            who = mine[np.repeat(np.arange(len(mine)), np.diff(start))]
            kept = (odds > 0) & (came[who] | left[theirs[found]])
            pairs.append((who[kept], theirs[found[kept]], odds[kept]))
    return _best(pairs, len(film.place))


def _at_place_um(motion: LinkModel, frames: Floats | Ints) -> Floats:
    """How far from its place a resting cell may be seen after so many frames."""
    return np.asarray(REST_REACH * motion.still_um * np.sqrt((1 + frames) / 2))


def _sureness(film: Linked) -> tuple[Floats, Floats]:
    """Log odds of the link to each detection and of the one from it, 0 where it is not even likely."""
    linked = np.flatnonzero(film.previous >= 0)
    sure = np.clip(film.confidence[linked], 0.5, 1 - 1e-6)
    into, onward = np.zeros(len(film.place)), np.zeros(len(film.place))
    into[linked] = np.log(sure / (1 - sure))
    onward[film.previous[linked]] = into[linked]
    return into, onward


def _at_rest(film: Linked, motion: LinkModel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each detection's cell came to it, and left it, at rest, by the links so far."""
    came, left = np.zeros(len(film.place), np.bool_), np.zeros(len(film.place), np.bool_)
    rows = np.flatnonzero(film.previous >= 0)
    step = np.hypot(*(film.yx_um[rows] - film.yx_um[film.previous[rows]]).T)
    still = step <= _at_place_um(motion, film.place[rows] - film.place[film.previous[rows]])
    came[rows] = still
    left[film.previous[rows[still]]] = True
    return came, left


def _best(pairs: Sequence[tuple[Ints, Ints, Floats]], n: int) -> Stays:
    """Of all that may be, the stays with the largest sum of odds: one before and one after each gap."""
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    before, after, odds = (np.concatenate(each) for each in zip(nothing, *pairs, strict=True))
    order = np.lexsort((after, before))
    before, after, odds = before[order], after[order], odds[order]
    start = np.searchsorted(before, np.arange(n + 1))
    taken = best_pairs(start, after, odds, n)
    chosen = np.sort(taken[taken >= 0])
    return Stays(before=before[chosen], after=after[chosen], probability=1 / (1 + np.exp(-odds[chosen])))
