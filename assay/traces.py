"""One cell's measures along the film, cleaned of what all cells of the field do together.

Knows strips of numbers. Knows nothing of death.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled
from assay.labels import CellMeasures
from assay.strips import Strips, median_of, quantile_of
from assay.tracks import Tracks

Floats = NDArray[np.float64]

FIRST_SIGHTS = 7
"""Sights that tell a cell's resting level."""

_EARLIEST_SIGHTS = 3
_ALIVE_NOISE = 6.0  # noise units above rest that may still be rest, in the first look
_ENOUGH_CELLS = 5  # fewer cells than this cannot tell what the field does as a whole
_PRIOR_SIGHTS = 10.0  # weight of the field's noise in a cell's own
_STEP_NOISE = 1.4826 / np.sqrt(2)  # from the median of steps between two frames
_FEWEST_STEPS = 20  # below, there is no darkest quarter
_DARKEST = 0.25
_LEAST_SPREAD = 0.1  # of the noise: cells are not more alike than this
_LEAST_RISE = 1.5  # noise units by which a trace must lie higher after a split
_DRAWN = 0.3  # keeps a few bright frames from deciding where a trace is split
_RAISED = 8.0  # noise units above rest from which on the noise grows with the signal
_FLICKER = (0.08, 0.5)  # what the noise of a raised signal may be, as a share of it
_USUAL_FLICKER = 0.25
_FEWEST_RAISED = 30
_CLIPPED = 3.0
_USUAL_INDEPENDENCE = 0.7
_INDEPENDENCE = (0.3, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """One measure of all cells of a field, in units of its noise at rest; upwards is towards death."""

    values: Floats  # (M,) on the strips, NaN where not seen
    noise: Floats  # (N,), one noise unit in the measure's own unit
    spread: float  # of resting levels between cells, in the measure's own unit
    starts_raised: NDArray[np.bool_]  # (N,), far from rest when first seen


def lay_out(
    tracks: Tracks,
    measures: CellMeasures,
    values: Floats,
    *,
    n_frames: int,
    masked_frames: Collection[int],
) -> Floats:
    """A row per track and a column per frame, (N, T), for rules that look at whole rows; NaN where not seen."""
    ids = np.array([track.track_id for track in tracks.tracks], dtype=np.int64)
    table = np.full((len(ids), n_frames), np.nan)
    table[np.searchsorted(ids, tracks.track_id), measures.frame] = values
    table[:, sorted(masked_frames)] = np.nan
    return table


def in_noise_units(
    strips: Strips,
    values: Floats,
    *,
    floor: float,
    margin: float | None = None,
    spread_share: float = 0.0,
) -> Traces:
    """Bring traces to rest at 0 and noise 1, each cell by its own past.

    What most cells do at once (a lamp that jumps, bleaching, focus) is taken out. A cell's resting level comes
    from the frames in which it rests. With a margin, cells that start further than that above the others count
    as raised from the start, and cannot pass for cells at rest.

    Args:
        strips: Where the cells' frames lie.
        values: (M,) in the measure's own unit, upwards is towards death; NaN where not seen.
        floor: Smallest noise to believe in, in the same unit.
        margin: How far above the others a resting cell may start at least; None: anywhere.
        spread_share: The noise is at least this share of the spread of resting levels between cells: cells
            wander within what cells differ by.
    """
    noise = difference_noise(strips, values, floor, rises=margin is not None)
    values = values - _jumps(strips, values, noise)[strips.frame]
    rest, middle, spread = _first_rest(strips, values)
    noise = max(noise, spread_share * spread)
    ceiling = np.inf if margin is None else middle + max(3 * spread, 4 * noise, margin)
    earliest = strips.first_levels(values, _EARLIEST_SIGHTS)  # a cell may die soon after it is first seen
    starts_raised = np.where(np.isfinite(earliest), earliest, rest) > ceiling
    rest = np.minimum(np.fmin(rest, earliest), ceiling)
    for _ in range(2):
        near = values - strips.of_rows(rest) < _ALIVE_NOISE * noise
        if margin is not None:
            near &= before_the_rise(strips, (values - strips.of_rows(rest)) / noise)
        resting = np.where(near, values, np.nan)
        trend = _common(strips, resting - strips.of_rows(rest))[strips.frame]
        values = values - trend
        resting = resting - trend
        if margin is None:
            enough = strips.counts(resting) >= 3
            rest = np.where(enough, strips.medians(resting), rest)
        else:
            rest = _held_rest(strips, resting, middle, noise=noise, spread=spread)
        rest = np.minimum(rest, ceiling)
    scale = _own_noise(strips, resting - strips.of_rows(rest), noise)
    return Traces(
        values=(values - strips.of_rows(rest)) / strips.of_rows(scale),
        noise=scale,
        spread=spread,
        starts_raised=starts_raised,
    )


def difference_noise(strips: Strips, values: Floats, floor: float, *, rises: bool = False) -> float:
    """Noise of the calmer cells, from what they change between two frames; dead ones flicker more than living.

    Of a signal that rises for good (`rises`) it is asked of the darkest quarter of all steps: in a field where
    most cells die early, the calmer cells are not calm.
    """
    steps = strips.steps(values)
    if rises and np.isfinite(steps).sum() >= _FEWEST_STEPS:
        level = values - steps / 2
        dark = level <= quantile_of(level, _DARKEST)
        return max(floor, float(_STEP_NOISE * median_of(np.abs(steps[dark]))))
    steps = np.abs(steps)
    each = strips.medians(steps)[strips.counts(steps) >= 3]
    if len(each) > 0:
        return max(floor, float(_STEP_NOISE * np.quantile(each, 0.4)))
    few = median_of(steps)  # in a film of three or four frames no cell makes three steps
    return max(floor, float(_STEP_NOISE * few)) if np.isfinite(few) else floor


def flicker(strips: Strips, traces: Traces) -> float:
    """Noise of a raised signal as a share of it, from what raised cells change between two frames."""
    before = np.concatenate([[np.nan], traces.values[:-1]])
    before[strips.starts[:-1]] = np.nan
    level = (traces.values + before) / 2
    raised = np.isfinite(level) & (np.fmin(traces.values, before) > _RAISED)
    if raised.sum() < _FEWEST_RAISED:
        return _USUAL_FLICKER
    share = np.abs(traces.values - before)[raised] / level[raised]
    return float(np.clip(_STEP_NOISE * np.median(share), *_FLICKER))


def independence(strips: Strips, traces: Traces) -> float:
    """How much a further frame tells: 1 where resting frames err on their own, less where neighbours err alike."""
    resting = before_the_rise(strips, traces.values) & (traces.values < _ALIVE_NOISE)
    away = np.clip(np.where(resting, traces.values, np.nan), -_CLIPPED, _CLIPPED)
    before = np.concatenate([[np.nan], away[:-1]])
    before[strips.starts[:-1]] = np.nan
    both = np.isfinite(away) & np.isfinite(before)
    if both.sum() < _FEWEST_RAISED:
        return _USUAL_INDEPENDENCE
    alike = float(np.mean(away[both] * before[both]) / max(np.mean(away[both] ** 2), 1e-12))
    return float(np.clip((1 - alike) / (1 + alike), *_INDEPENDENCE))


def _jumps(strips: Strips, values: Floats, noise: float) -> Floats:
    """Steps that most cells make between the same two frames, summed along the film, (T,)."""
    frames = len(strips.frame_starts) - 1
    moved = np.zeros(frames)
    seen = np.flatnonzero(strips.frame_counts(values) >= _ENOUGH_CELLS)
    for before, now in zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True):
        here = strips.by_frame[strips.frame_starts[now] : strips.frame_starts[now + 1]]
        there = here - (now - before)
        both = there >= strips.starts[strips.row[here]]
        steps = values[here[both]] - values[there[both]]
        steps = steps[np.isfinite(steps)]
        if len(steps) < _ENOUGH_CELLS:
            continue
        middle = float(np.median(steps))
        agree = float(np.mean(steps * np.sign(middle) > abs(middle) / 2))
        if abs(middle) > 2 * noise and agree >= 0.6:
            moved[now] = middle
    return np.cumsum(moved)


def _first_rest(strips: Strips, values: Floats) -> tuple[Floats, float, float]:
    """Resting level of each cell from its first frames, their middle, and their spread on the lower side."""
    first = strips.first_levels(values, FIRST_SIGHTS)
    middle = median_of(first)
    below = middle - first[first <= middle]
    spread = 1.4826 * median_of(below) if len(below) else 0.0
    return np.where(np.isfinite(first), first, middle), middle, spread


def _held_rest(strips: Strips, resting: Floats, middle: float, *, noise: float, spread: float) -> Floats:
    """Resting level of each cell, held near the others' as firmly as they are alike: few sights tell little."""
    weight = (noise / max(spread, _LEAST_SPREAD * noise)) ** 2
    own, count = strips.medians(resting), strips.counts(resting)
    return np.asarray((np.where(count > 0, own, 0.0) * count + middle * weight) / (count + weight))


def before_the_rise(strips: Strips, away: Floats) -> NDArray[np.bool_]:
    """Places before the one rise that splits a trace best, all where there is none; in noise units above rest."""
    return _before(np.arcsinh(_DRAWN * away) / _DRAWN, strips.starts, _LEAST_RISE)


@compiled
def _before(values: Floats, starts: NDArray[np.int64], least: float) -> NDArray[np.bool_]:
    kept = np.ones(len(values), dtype=np.bool_)
    for row in range(len(starts) - 1):
        first, end = starts[row], starts[row + 1]
        count, total = 0, 0.0
        for place in range(first, end):
            if np.isfinite(values[place]):
                count += 1
                total += values[place]
        best, split, low, seen = 0.0, end, 0.0, 0
        for place in range(first, end - 1):
            if not np.isfinite(values[place]):
                continue
            low += values[place]
            seen += 1
            if seen < 2 or seen == count:
                continue
            rise = (total - low) / (count - seen) - low / seen
            gain = rise * rise * seen * (count - seen) / count
            if rise > least and gain > best:
                best, split = gain, place + 1
        kept[split:end] = False
    return kept


def _common(strips: Strips, away: Floats) -> Floats:
    """What the resting cells do together, (T,); 0 where too few of them are seen."""
    middle = strips.frame_medians(away)
    return np.where((strips.frame_counts(away) >= _ENOUGH_CELLS) & np.isfinite(middle), middle, 0.0)


def _own_noise(strips: Strips, away: Floats, noise: float) -> Floats:
    count = strips.counts(away)
    own = 1.4826 * strips.medians(np.abs(away))
    usual = median_of(own[count >= 5]) if (count >= 5).any() else noise
    usual = max(usual, noise)
    own = np.where(np.isfinite(own), own, usual)
    weight = count / (count + _PRIOR_SIGHTS)
    return np.asarray(np.maximum(np.sqrt((1 - weight) * usual**2 + weight * own**2), 0.5 * noise))
