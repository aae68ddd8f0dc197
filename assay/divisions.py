"""Which new tracks are the daughters of a cell that was there before.

Knows the linked detections of one role: where, how large, which follows which. A division shows as a new cell
beside a cell whose area has just fallen, with the mother in their middle, and both live on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REFERENCE_DETECTIONS = 5  # of the mother, whose median area counts
DAUGHTER_DETECTIONS = 3  # of each daughter: their median area counts, and fewer are no daughter
DAUGHTER_AREA = (0.25, 0.85)  # of the mother's
BOTH_AREAS = (0.5, 1.6)
FARTHEST_RADII = 2.5  # of the mother, between the daughters' centres
LARGEST_COST = 6.0
CHANCE_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Rows of the detections: the mother's last, and the first of each daughter."""

    mother: int
    daughters: tuple[int, int]


def find_divisions(
    *, frame: Ints, yx_um: Floats, area_um2: Floats, previous: Ints, last_frame: int
) -> list[Division]:
    """Find the divisions among linked detections, rows ordered by frame.

    Args:
        frame: Of each detection.
        yx_um: Position, stage drift taken off.
        area_um2: Of the mask.
        previous: The row that each follows, -1 for the first of a track.
        last_frame: Last usable frame; a daughter born shortly before it need not live longer.
    """
    detections = _Linked(frame=frame, yx_um=yx_um, area_um2=area_um2, previous=previous)
    candidates = _candidates(detections, last_frame)
    backwards = _candidates(detections.backwards(), -int(frame.min(initial=0)))
    chance = [cost for cost, *_ in backwards]
    limit = _trusted_cost([cost for cost, *_ in candidates], chance)
    return _best_of([candidate for candidate in candidates if candidate[0] <= limit])


def _candidates(detections: "_Linked", last_frame: int) -> list[tuple[float, int, int, int]]:
    """New cells, cells beside them and the mothers these had, with the cost of calling it a division."""
    chains = _Chains.of(detections.frame, detections.previous)
    found = []
    for born, other, mother in _neighbours_of_new_cells(detections):
        before = chains.before(mother, REFERENCE_DETECTIONS)
        lives = [chains.after(row, DAUGHTER_DETECTIONS) for row in (born, other)]
        ended = [detections.frame[life[-1]] < last_frame for life in lives]
        short = [len(life) < DAUGHTER_DETECTIONS and early for life, early in zip(lives, ended, strict=True)]
        if any(short) or len(before) < DAUGHTER_DETECTIONS:
            continue
        cost = _cost(
            mother_um2=float(np.median(detections.area_um2[before])),
            daughters_um2=tuple(float(np.median(detections.area_um2[life])) for life in lives),
            apart_um=float(np.hypot(*(detections.yx_um[born] - detections.yx_um[other]))),
            aside_um=float(
                np.hypot(*((detections.yx_um[born] + detections.yx_um[other]) / 2 - detections.yx_um[mother]))
            ),
        )
        if cost <= LARGEST_COST:
            found.append((cost, born, other, mother))
    return found


def _trusted_cost(costs: list[float], chance: list[float]) -> float:
    """The largest cost up to which chance explains no more than `CHANCE_SHARE` of the divisions.

    Chance is what the same search finds in the film run backwards: broken tracks and cells that come and go
    look alike both ways, divisions do not.
    """
    limit = 0.0
    decoys = np.sort(chance)
    for rank, cost in enumerate(sorted(costs), start=1):
        if np.searchsorted(decoys, cost, side="right") <= CHANCE_SHARE * rank:
            limit = cost
    return limit


def _neighbours_of_new_cells(detections: "_Linked") -> Iterator[tuple[int, int, int]]:
    """New cells, each with the cells beside it that are not new, and the row those follow."""
    frame, yx_um, previous = detections.frame, detections.yx_um, detections.previous
    followed = np.flatnonzero(previous >= 0)
    if len(followed) == 0:
        return
    widest = FARTHEST_RADII * float(np.sqrt(np.percentile(detections.area_um2, 99) / np.pi))
    new = np.flatnonzero((previous < 0) & (frame > frame[0]))
    for now in np.unique(frame[new]).tolist():
        born = new[frame[new] == now]
        first, end = np.searchsorted(frame[followed], (now, now + 1)).tolist()
        if first == end:
            continue
        others = cKDTree(yx_um[followed[first:end]])
        near = cKDTree(yx_um[born]).sparse_distance_matrix(others, widest, output_type="ndarray")
        for i, j, _ in np.sort(near, order=["i", "j"]).tolist():
            other = int(followed[first + j])
            yield int(born[i]), other, int(previous[other])


def _cost(*, mother_um2: float, daughters_um2: tuple[float, ...], apart_um: float, aside_um: float) -> float:
    """How badly this looks like a division; infinite where it cannot be one."""
    radius = np.sqrt(mother_um2 / np.pi)
    shares = np.array(daughters_um2) / mother_um2
    if (shares < DAUGHTER_AREA[0]).any() or (shares > DAUGHTER_AREA[1]).any():
        return np.inf
    if not BOTH_AREAS[0] <= shares.sum() <= BOTH_AREAS[1] or apart_um > FARTHEST_RADII * radius:
        return np.inf
    unequal, grown = np.log(shares[0] / shares[1]), np.log(shares.sum())
    return float((aside_um / (0.5 * radius)) ** 2 + (unequal / 0.4) ** 2 + (grown / 0.3) ** 2)


def _best_of(candidates: list[tuple[float, int, int, int]]) -> list[Division]:
    """The cheapest first; a detection is in one division only."""
    taken: set[int] = set()
    divisions = []
    for _, born, other, mother in sorted(candidates):
        if taken.isdisjoint((born, other)):
            taken |= {born, other}
            divisions.append(Division(mother=mother, daughters=(min(born, other), max(born, other))))
    return sorted(divisions, key=lambda division: division.daughters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linked:
    frame: Ints
    yx_um: Floats
    area_um2: Floats
    previous: Ints

    def backwards(self) -> "_Linked":
        """The same film from its end to its beginning."""
        following = np.full(len(self.previous), -1, dtype=np.int64)
        rows = np.flatnonzero(self.previous >= 0)
        following[self.previous[rows]] = rows
        return _Linked(
            frame=-self.frame[::-1],
            yx_um=self.yx_um[::-1],
            area_um2=self.area_um2[::-1],
            previous=np.where(following >= 0, len(following) - 1 - following, -1)[::-1],
        )


class _Chains:
    """Detections as chains that can be walked both ways."""

    def __init__(self, previous: Ints, following: Ints) -> None:
        self._previous = previous
        self._following = following

    @classmethod
    def of(cls, frame: Ints, previous: Ints) -> "_Chains":
        following = np.full(len(frame), -1, dtype=np.int64)
        rows = np.flatnonzero(previous >= 0)
        following[previous[rows]] = rows
        return cls(previous, following)

    def before(self, row: int, most: int) -> list[int]:
        """The row and those before it, `most` at most."""
        return self._walk(self._previous, row, most)

    def after(self, row: int, most: int) -> list[int]:
        """The row and those after it, `most` at most."""
        return self._walk(self._following, row, most)

    @staticmethod
    def _walk(way: Ints, row: int, most: int) -> list[int]:
        rows = [row]
        while len(rows) < most and way[rows[-1]] >= 0:
            rows.append(int(way[rows[-1]]))
        return rows
