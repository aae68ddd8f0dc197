"""Where a trace leaves its resting level and stays away: evidence for every moment.

Knows numbers in units of their own noise. Knows nothing of cells: `deaths.py` says what a change means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part
from assay.strips import Strips

Floats = NDArray[np.float64]
Grid = tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64]]

STUDENT_NU = 4.0
"""Degrees of freedom of the noise: heavy tails, so that one odd frame proves nothing."""

PHASES = (1 / 6, 3 / 6, 5 / 6)
"""Where between two frames an onset may lie: so much of an interval before the first frame that can show it."""

_LEVELS = 28
_AMPLITUDES = 10
_WEAK_AMPLITUDES = 4
_MOST_OF_WEAK = 0.6  # of the least that counts
_LOWEST_LEVEL = 0.2  # in noise units; a mean below it is the resting level
_NEVER = -1e300
_NU = STUDENT_NU


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """The rises that are tried: amplitudes in noise units at rest, rise times in frame intervals.

    `stabilised` is the noise of a raised signal as a share of it: traces and means are drawn in by
    asinh(stabilised x) / stabilised, so that their noise is 1 at any level; 0 leaves them as they are.
    `log_weight[a, r]` is how usual each shape is; `spread` what a mean may be off by, as a share of it.
    """

    amplitudes: Floats
    rises_frames: tuple[float, ...]
    spread: float
    stabilised: float = 0.0
    log_weight: Floats | None = None

    def drawn_in(self, values: Floats) -> Floats:
        """Values with noise 1 at any level."""
        if self.stabilised == 0.0:
            return values
        return np.asarray(np.arcsinh(self.stabilised * values) / self.stabilised)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvidence:
    """Log Bayes factors of one kind of trace, each against "rests all the time".

    `onset[m, p]`: rises for good, the onset lying `phases[p]` of an interval before the frame of place m.
    `passing[n]`: rises and comes back. `before[n]`: had risen before it was first seen. `weak[n]`: rises for
    good, but by less than counts. `by_shape[n, a, r]`: rises for good in this shape, whenever.
    """

    onset: Floats  # (M, P)
    passing: Floats  # (N,)
    before: Floats  # (N,)
    weak: Floats  # (N,)
    by_shape: Floats  # (N, A, R)

    def at(self, places: slice = slice(None)) -> Floats:
        """The onset lying in the interval before each of these places, whatever the phase."""
        onset = self.onset[places]
        return np.asarray(np.logaddexp.reduce(onset, axis=1) - np.log(onset.shape[1]))


def amplitudes_between(smallest: float, largest: float) -> Floats:
    """Amplitudes to try, from the least that counts as a change to above the greatest seen."""
    return np.geomspace(smallest, max(1.2 * largest, 2.0 * smallest), _AMPLITUDES)


def change_evidence(
    strips: Strips,
    traces: Floats,
    shapes: Shapes,
    *,
    passing_frames: int,
    phases: Sequence[float] = (0.5,),
    weights: Floats | None = None,
) -> ChangeEvidence:
    """Weigh, for every moment, a lasting rise a (1 - exp(-age / r)) against rest.

    The noise is Student-t with scale sqrt(1 + (spread x mean)^2). Amplitude a and rise time r are not known:
    they are summed over. An onset lies between two frames, on average half an interval before the first frame
    that can show it; ages are counted from there. Long after the onset only "far from rest" is asked: the dead
    may fade. NaN carries no evidence. Time and memory grow with the frames in which cells are in sight.

    Args:
        strips: Where the traces' frames lie.
        traces: (M,) in noise units, rest at 0, the change upwards; NaN where not seen.
        shapes: The rises to try.
        passing_frames: Longest passing rise, in frames.
        phases: Where between two frames an onset may lie.
        weights: (M,) in 0..1, how much a frame's evidence counts; None for all 1.
    """
    seen = np.isfinite(traces)
    values = np.where(seen, shapes.drawn_in(np.where(seen, traces, 0.0)), 0.0)
    scale = seen.astype(np.float64) if weights is None else np.where(seen, weights, 0.0)
    highest = float(shapes.drawn_in(shapes.amplitudes[-1:])[0])
    levels = np.geomspace(_LOWEST_LEVEL, highest, _LEVELS)
    smallest = float(shapes.amplitudes[0])
    below = np.geomspace(min(0.5, 0.1 * smallest), max(_MOST_OF_WEAK * smallest, 0.06), _WEAK_AMPLITUDES)
    widths = np.unique(np.geomspace(1, max(1, passing_frames), 8).astype(np.int64))
    level_scales = np.hypot(1.0, shapes.spread * levels)
    strong, weak = _grid(shapes, shapes.amplitudes, levels, phases), _grid(shapes, below, levels, (0.5,))
    flat = np.full(strong[1].shape[0] * len(shapes.rises_frames), 0.0)
    usual = flat if shapes.log_weight is None else shapes.log_weight.reshape(-1)
    usual = usual - np.logaddexp.reduce(usual)
    onset, passing, before, dim, by_shape = _weigh_rows(
        strips.starts, values, scale, levels, level_scales, strong, weak, usual, widths, len(phases)
    )
    return ChangeEvidence(
        onset=onset,
        passing=passing,
        before=before,
        weak=dim,
        by_shape=by_shape.reshape(strips.count, len(shapes.amplitudes), len(shapes.rises_frames)),
    )


def _grid(shapes: Shapes, amplitudes: Floats, levels: Floats, phases: Sequence[float]) -> Grid:
    """For each rise the level its mean is nearest to at every age (-1: rest), and what is asked later."""
    young = np.array([int(np.ceil(3 * rise)) + 1 for rise in shapes.rises_frames], dtype=np.int64)
    age = np.arange(int(young.max()))[None, :] + np.asarray(phases)[:, None]  # (P, ages)
    rise = np.asarray(shapes.rises_frames)[:, None, None]
    mean = shapes.drawn_in(amplitudes[:, None, None, None] * -np.expm1(-age / rise))  # (A, R, P, ages)
    middle = np.sqrt(levels[1:] * levels[:-1])
    nearest = np.searchsorted(middle, mean).astype(np.int64)
    # as sharp as the rise itself where its noise is known, or the slowest rises would be favoured
    late_mean = shapes.drawn_in((0.9 if shapes.stabilised else 0.8) * amplitudes)
    late_scale = np.hypot(1.0, (1 if shapes.stabilised else 2) * shapes.spread * late_mean)
    return np.where(mean >= _LOWEST_LEVEL, nearest, -1), late_mean, late_scale, young


@part
def _log_student(value: float, mean: float, scale: float) -> float:
    return float(-0.5 * (_NU + 1.0) * np.log1p(((value - mean) / scale) ** 2 / _NU) - np.log(scale))


@part
def _log_sum(values: Floats) -> float:
    peak = values.max()
    if peak <= _NEVER:
        return float(peak)
    return float(peak + np.log(np.exp(values - peak).sum()))


@part
def _log_add(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return float(high if low <= _NEVER else high + np.log1p(np.exp(low - high)))


@part
def _later(values: Floats, resting: Floats, scale: Floats, mean: float, spread: float) -> Floats:
    """Evidence of all frames from each on for having risen long ago."""
    total = np.zeros(len(values) + 1)
    for frame in range(len(values) - 1, -1, -1):
        gain = 0.0
        if scale[frame] > 0:
            gain = (_log_student(values[frame], mean, spread) - resting[frame]) * scale[frame]
        total[frame] = total[frame + 1] + gain
    return total


@part
def _rises(
    values: Floats, resting: Floats, scale: Floats, gains: Floats, grid: Grid, usual: Floats, phases: int
) -> tuple[Floats, Floats, Floats]:
    """Evidence for a lasting rise at each moment (L, P), by shape (A R,), and for one before the first (A,)."""
    nearest, late_mean, late_scale, young = grid
    frames, shapes = len(values), len(late_mean) * len(young)
    each = np.empty((shapes, phases, frames))
    before = np.empty(len(late_mean))
    for a in range(len(late_mean)):
        later = _later(values, resting, scale, late_mean[a], late_scale[a])
        before[a] = later[0]
        for r in range(len(young)):
            ages = min(frames, young[r])
            for p in range(phases):
                total = each[a * len(young) + r, p]
                total[:] = 0.0
                for age in range(ages):
                    level = nearest[a, r, p, age]
                    if level >= 0:
                        for frame in range(frames - age):
                            total[frame] += gains[level, frame + age]
                for frame in range(frames - ages):
                    total[frame] += later[frame + ages]
    moments = np.empty((frames, phases))
    by_shape = np.empty(shapes)
    for frame in range(frames):
        for p in range(phases):
            moments[frame, p] = _log_sum(each[:, p, frame] + usual)
    for shape in range(shapes):  # an onset at the first sight is none of the film's
        by_shape[shape] = _log_sum(each[shape, :, 1:].copy().reshape(-1)) if frames > 1 else _NEVER
    return moments, by_shape, before


@part
def _passes(gains: Floats, levels: Floats, widths: NDArray[np.int64]) -> float:
    """Evidence that a trace rises to anywhere, and comes back."""
    frames = gains.shape[1]
    first = 0
    while first < len(levels) - 1 and levels[first] < 1.0:
        first += 1
    sums = np.zeros(frames + 1)
    for frame in range(frames):
        sums[frame + 1] = sums[frame] + _log_sum(gains[first:, frame]) - np.log(len(levels) - first)
    total = _NEVER
    for width in widths:
        for frame in range(frames):
            total = _log_add(total, sums[min(frame + width, frames)] - sums[frame])
    return float(total - np.log(frames * len(widths)))


@compiled
def _weigh_rows(
    starts: NDArray[np.int64],
    values: Floats,
    scale: Floats,
    levels: Floats,
    level_scales: Floats,
    strong: Grid,
    weak: Grid,
    usual: Floats,
    widths: NDArray[np.int64],
    phases: int,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    rows = len(starts) - 1
    onset = np.empty((len(values), phases))
    passing, before, dim = np.empty(rows), np.empty(rows), np.empty(rows)
    by_shape = np.empty((rows, len(usual)))
    weak_shapes = len(weak[1]) * len(weak[3])
    even = np.full(weak_shapes, -np.log(weak_shapes))
    for row in range(rows):
        here = slice(starts[row], starts[row + 1])
        trace, counts = values[here], scale[here]
        frames = len(trace)
        resting = np.empty(frames)
        gains = np.zeros((len(levels), frames))
        for frame in range(frames):
            resting[frame] = _log_student(trace[frame], 0.0, 1.0)
            if counts[frame] > 0:
                for level in range(len(levels)):
                    raised = _log_student(trace[frame], levels[level], level_scales[level])
                    gains[level, frame] = (raised - resting[frame]) * counts[frame]
        moments, shaped, early = _rises(trace, resting, counts, gains, strong, usual, phases)
        onset[here] = moments
        by_shape[row] = shaped
        before[row] = _log_sum(early) - np.log(len(early))
        faint, _, _ = _rises(trace, resting, counts, gains, weak, even, 1)
        dim[row] = _log_sum(faint[:, 0].copy()) - np.log(frames)
        passing[row] = _passes(gains, levels, widths)
    return onset, passing, before, dim, by_shape
