"""How the stage moved from frame to frame, read from the cells themselves.

Knows measures of one field's cells. Most cells stay nearly where they were, so among all ways from a cell of
one frame to a cell of the next, the ways of resting cells agree on one step: the stage's.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from assay.drift_loops import agreeing, ways_within
from assay.labels import CellMeasures
from assay.units import Calibration

LARGEST_JUMP_UM = 60.0  # no stage step beyond this is looked for
AGREEMENT_UM = (2.0, 4.0, 8.0)  # cells rest, creep or wander: the closest agreement that is certain is taken
LEAST_CELLS = 5  # that must agree
CERTAINTY = 6.0  # standard deviations above what chance would make agree
MOST_CELLS = 1000  # of a frame that are asked; beyond, every n-th
JUMP_PREMIUM = 1.3  # a far step needs this many times the agreement of a near one

Floats = NDArray[np.float64]


def estimate_drift(
    measures: Sequence[CellMeasures],
    *,
    n_frames: int,
    masked_frames: Collection[int],
    calibration: Calibration,
) -> Floats:
    """Find where the stage stood at each frame, relative to the first usable one.

    Between two usable frames the step is the median way of the cells that agree. Where too few agree, as in
    films of moving cells only, the step is 0: unknown drift is never guessed.

    Args:
        measures: Cells of all roles.
        n_frames: Frames of the film.
        masked_frames: Frames without a usable image; they take the place of the frame before.
        calibration: Gives the pixel size, which limits how well cells can agree.

    Returns:
        (T, 2) displacement (y, x) of the picture's content, in um; take it off the coordinates.
    """
    places = [_places(cells) for cells in measures]
    drift = np.zeros((n_frames, 2))
    before: int | None = None
    for frame in range(n_frames):
        drift[frame] = drift[max(frame - 1, 0)]
        if frame in masked_frames:
            continue
        if before is not None:
            pairs = [(role[before], role[frame]) for role in places if before in role and frame in role]
            drift[frame] += _step(pairs, calibration)
        before = frame
    return drift


def _places(cells: CellMeasures) -> dict[int, Floats]:
    """Positions of each frame that has cells, in an order that does not depend on the rows'."""
    order = np.lexsort((cells.x_um, cells.y_um, cells.frame))
    frame = cells.frame[order]
    place = np.stack([cells.y_um[order], cells.x_um[order]], axis=1)
    cuts = np.flatnonzero(np.diff(frame)) + 1
    first = np.concatenate([[0], cuts])[: len(frame)].astype(np.int64)
    parts = np.split(place, cuts)
    return {int(frame[start]): part for start, part in zip(first.tolist(), parts, strict=False)}


def _step(pairs: Sequence[tuple[Floats, Floats]], calibration: Calibration) -> Floats:
    """The step on which the cells of two frames agree; 0 where they do not."""
    ways = [_ways(before, after) for before, after in pairs]
    way = np.concatenate([found for found, _ in ways]) if ways else np.zeros((0, 2))
    if len(way) == 0:
        return np.zeros(2)
    offsets = np.cumsum([0, *(len(before) for before, _ in pairs)])
    cell = np.concatenate([owner + start for (_, owner), start in zip(ways, offsets, strict=False)])
    for agreement in AGREEMENT_UM:
        radius = max(agreement, agreement / AGREEMENT_UM[0] * 1.5 * calibration.mean_pixel_um)
        peak = _peak(way, radius)
        if peak is not None:
            return _refined(way, cell, peak, 2 * radius)
    return np.zeros(2)


def _ways(before: Floats, after: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """All ways from a cell to a cell of the next frame, and whose way it is."""
    asked = before[:: math.ceil(len(before) / MOST_CELLS)]
    way, owner = ways_within(asked, after, LARGEST_JUMP_UM)
    return way, owner


def _peak(way: Floats, radius: float) -> Floats | None:
    """The way that most others agree with, if more do than chance would make."""
    count = agreeing(way, radius, LARGEST_JUMP_UM)
    length = np.hypot(way[:, 0], way[:, 1])
    wanted = np.where(length <= 2 * radius, count, count / JUMP_PREMIUM)
    most = np.flatnonzero(wanted == wanted.max())
    best = int(most[np.lexsort((way[most, 1], way[most, 0], length[most]))[0]])
    chance = len(way) * (radius / LARGEST_JUMP_UM) ** 2
    enough = max(LEAST_CELLS, chance + CERTAINTY * math.sqrt(chance))
    return way[best] if wanted[best] >= enough else None


def _refined(way: Floats, cell: NDArray[np.int64], peak: Floats, radius: float) -> Floats:
    """Median of the ways near the peak, one a cell, about itself until it stands."""
    centre = peak
    for _ in range(3):
        away = np.hypot(*(way - centre).T)
        near = np.flatnonzero(away <= radius)
        order = near[np.lexsort((away[near], cell[near]))]
        _, first = np.unique(cell[order], return_index=True)
        centre = np.median(way[order[first]], axis=0)
    return centre
