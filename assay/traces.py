"""One cell's measures laid out along the film, cleaned of what all cells of the field do together.

Knows tracks, measures and the background. Knows nothing of death.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.labels import CellMeasures
from assay.tracks import Tracks

_FIRST_FRAMES = 7  # frames that tell a cell's resting level
_EARLIEST_FRAMES = 3
_ALIVE_NOISE = 6.0  # noise units above rest that may still be rest, in the first look
_ENOUGH_CELLS = 5  # fewer cells than this cannot tell what the field does as a whole
_PRIOR_FRAMES = 10.0  # weight of the field's noise in a cell's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """One measure of all cells of a field, in units of its noise at rest; upwards is towards death."""

    values: NDArray[np.float64]  # (N, T), NaN where not seen
    noise: NDArray[np.float64]  # (N,), one noise unit in the measure's own unit
    spread: float  # of resting levels between cells, in the measure's own unit
    starts_raised: NDArray[np.bool_]  # (N,), far from rest when first seen


def lay_out(
    tracks: Tracks,
    measures: CellMeasures,
    values: NDArray[np.float64],
    *,
    n_frames: int,
    masked_frames: Collection[int],
) -> NDArray[np.float64]:
    """Give every track a row and every frame a column, (N, T); NaN where not seen or masked."""
    rows = track_rows(tracks)
    table = np.full((len(tracks.tracks), n_frames), np.nan)
    table[rows, measures.frame] = values
    table[:, sorted(masked_frames)] = np.nan
    return table


def track_rows(tracks: Tracks) -> NDArray[np.int64]:
    """For every measure its track's place in `tracks.tracks`."""
    ids = np.array([track.track_id for track in tracks.tracks], dtype=np.int64)
    return np.searchsorted(ids, tracks.track_id)


def quantile_of_rows(table: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Quantile of each row over what is seen; NaN for a row that holds nothing."""
    if table.shape[1] == 0:
        return np.full(len(table), np.nan)
    ordered = np.sort(table, axis=1)  # NaN last
    count = np.isfinite(table).sum(axis=1)
    place = share * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    rows = np.arange(len(table))
    left, right = ordered[rows, low], ordered[rows, high]
    return np.asarray(np.where(count > 0, left + (right - left) * (place - low), np.nan))


def median_of_rows(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row over what is seen."""
    return quantile_of_rows(table, 0.5)


def quantile_of(values: NDArray[np.float64], share: float) -> float:
    """Quantile of all finite values; NaN where there is none."""
    return float(quantile_of_rows(values.reshape(1, -1), share)[0])


def median_of(values: NDArray[np.float64]) -> float:
    """Median of all finite values; NaN where there is none."""
    return float(median_of_rows(values.reshape(1, -1))[0])


def in_noise_units(
    table: NDArray[np.float64], *, floor: float, margin: float | None = None, spread_share: float = 0.0
) -> Traces:
    """Bring traces to rest at 0 and noise 1, each cell by its own past.

    What most cells do at once (a lamp that jumps, bleaching, focus) is taken out. A cell's resting level comes
    from the frames in which it rests. With a margin, cells that start further than that above the others count
    as raised from the start, and cannot pass for cells at rest.

    Args:
        table: (N, T) in the measure's own unit, upwards is towards death; NaN where not seen.
        floor: Smallest noise to believe in, in the same unit.
        margin: How far above the others a resting cell may start at least; None: anywhere.
        spread_share: The noise is at least this share of the spread of resting levels between cells: cells
            wander within what cells differ by.
    """
    noise = _difference_noise(table, floor)
    table = table - _jumps(table, noise)
    rest, middle, spread = _first_rest(table)
    noise = max(noise, spread_share * spread)
    ceiling = np.inf if margin is None else middle + max(3 * spread, 4 * noise, margin)
    earliest = first_levels(table, _EARLIEST_FRAMES)  # a cell may die soon after it is first seen
    starts_raised = np.where(np.isfinite(earliest), earliest, rest) > ceiling
    rest = np.minimum(np.fmin(rest, earliest), ceiling)
    for _ in range(2):
        resting = np.where(table - rest[:, None] < _ALIVE_NOISE * noise, table, np.nan)
        trend = _common(resting - rest[:, None])
        table = table - trend
        resting = resting - trend
        own = median_of_rows(resting)
        enough = np.isfinite(resting).sum(axis=1) >= 3
        rest = np.minimum(np.where(enough, own, rest), ceiling)
    scale = _own_noise(resting - rest[:, None], noise)
    return Traces(
        values=(table - rest[:, None]) / scale[:, None],
        noise=scale,
        spread=spread,
        starts_raised=starts_raised,
    )


def _difference_noise(table: NDArray[np.float64], floor: float) -> float:
    steps = np.abs(np.diff(table, axis=1))
    each = median_of_rows(steps)
    each = each[np.isfinite(steps).sum(axis=1) >= 3]
    if len(each) == 0:
        return floor
    # the calmer cells: dead ones flicker more than living ones
    return max(floor, float(1.4826 / np.sqrt(2) * np.quantile(each, 0.4)))


def _jumps(table: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Steps that most cells make between the same two frames, summed along the film, (T,)."""
    frames = table.shape[1]
    moved = np.zeros(frames)
    seen = [t for t in range(frames) if np.isfinite(table[:, t]).sum() >= _ENOUGH_CELLS]
    for before, now in itertools.pairwise(seen):
        steps = table[:, now] - table[:, before]
        steps = steps[np.isfinite(steps)]
        if len(steps) < _ENOUGH_CELLS:
            continue
        middle = float(np.median(steps))
        agree = float(np.mean(steps * np.sign(middle) > abs(middle) / 2))
        if abs(middle) > 2 * noise and agree >= 0.6:
            moved[now] = middle
    return np.cumsum(moved)


def _first_rest(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Resting level of each cell from its first frames, their middle, and their spread on the lower side."""
    first = first_levels(table)
    middle = median_of(first)
    below = middle - first[first <= middle]
    spread = 1.4826 * median_of(below) if len(below) else 0.0
    return np.where(np.isfinite(first), first, middle), middle, spread


def first_levels(table: NDArray[np.float64], frames: int = _FIRST_FRAMES) -> NDArray[np.float64]:
    """Median of each row's first few sights."""
    order = np.cumsum(np.isfinite(table), axis=1)
    return median_of_rows(np.where(order <= frames, table, np.nan))


def _common(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the resting cells do together, (T,), smooth; 0 where too few of them are seen."""
    enough = np.isfinite(away).sum(axis=0) >= _ENOUGH_CELLS
    middle = np.where(enough, median_of_rows(away.T), 0.0)
    return np.where(np.isfinite(middle), middle, 0.0)


def _own_noise(away: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    count = np.isfinite(away).sum(axis=1)
    own = 1.4826 * median_of_rows(np.abs(away))
    usual = median_of(own[count >= 5]) if (count >= 5).any() else noise
    usual = max(usual, noise)
    own = np.where(np.isfinite(own), own, usual)
    weight = count / (count + _PRIOR_FRAMES)
    return np.asarray(np.maximum(np.sqrt((1 - weight) * usual**2 + weight * own**2), 0.5 * noise))


def neighbour_glow(
    measures: CellMeasures,
    signal: NDArray[np.float64],
    *,
    others: tuple[CellMeasures, NDArray[np.float64]] | None,
) -> NDArray[np.float64]:
    """Light that bright neighbours spill into each cell, up to a constant share.

    The sum over neighbours of signal x exp(-(distance / reach)^2) with a reach of 0.7 cell diameters.

    Args:
        measures: The cells.
        signal: Brightness of each, above background.
        others: Cells of the other role with their brightness.
    """
    glow = np.zeros(len(measures))
    if len(measures) == 0:
        return glow
    reach = 0.7 * float(np.median(np.sqrt(measures.area_um2 * 4 / np.pi)))
    frames, starts = np.unique(measures.frame, return_index=True)
    for frame, start, stop in zip(frames, starts, [*starts[1:], len(measures)], strict=True):
        here = slice(int(start), int(stop))
        cells = np.column_stack([measures.y_um[here], measures.x_um[here]])
        light = np.where(np.isfinite(signal[here]), np.maximum(signal[here], 0.0), 0.0)
        glow[here] = _spill(cells, cells, light, reach)
        if others is not None:
            there = others[0].frame == frame
            sources = np.column_stack([others[0].y_um[there], others[0].x_um[there]])
            light = np.where(np.isfinite(others[1][there]), np.maximum(others[1][there], 0.0), 0.0)
            glow[here] += _spill(cells, sources, light, reach)
    return glow


def _spill(
    cells: NDArray[np.float64], sources: NDArray[np.float64], light: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    if len(sources) == 0:
        return np.zeros(len(cells))
    pairs = cKDTree(cells).sparse_distance_matrix(cKDTree(sources), 2.5 * reach, output_type="ndarray")
    pairs = np.sort(pairs[pairs["v"] > 0], order=["i", "j"])
    gain = np.exp(-((pairs["v"] / reach) ** 2)) * light[pairs["j"]]
    return np.bincount(pairs["i"], weights=gain, minlength=len(cells)).astype(np.float64)


def spilled_share(signal: NDArray[np.float64], glow: NDArray[np.float64], *, noise: float) -> float:
    """Which share of the glow is seen in cells that are dark themselves; 0 where none is lit."""
    lit = np.isfinite(signal) & (glow > 5 * noise) & (signal < glow)
    if lit.sum() < 20:
        return 0.0
    return float(np.clip(np.median(signal[lit] / glow[lit]), 0.0, 0.6))
