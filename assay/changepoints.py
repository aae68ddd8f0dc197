"""Where a trace leaves its resting level and stays away: evidence for every frame.

Knows numbers in units of their own noise. Knows nothing of cells: `deaths.py` says what a change means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STUDENT_NU = 4.0
"""Degrees of freedom of the noise: heavy tails, so that one odd frame proves nothing."""

_LEVELS = 28
_AMPLITUDES = 10
_WEAK_AMPLITUDES = 4
_MOST_OF_WEAK = 0.6  # of the least that counts
_LOWEST_LEVEL = 0.4  # in noise units; a mean below it is the resting level


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvidence:
    """Log Bayes factors of one kind of trace, each against "rests all the time".

    `onset[n, f]`: rises for good, frame f being the first at or after the onset. `passing[n]`: rises and comes
    back. `before[n]`: had risen before it was first seen. `weak[n]`: rises for good, but by less than counts.
    """

    onset: NDArray[np.float64]  # (N, T)
    passing: NDArray[np.float64]  # (N,)
    before: NDArray[np.float64]  # (N,)
    weak: NDArray[np.float64]  # (N,)


def change_evidence(
    traces: NDArray[np.float64],
    *,
    smallest: float,
    largest: float,
    rises_frames: Sequence[float],
    spread: float,
    passing_frames: int,
    weights: NDArray[np.float64] | None = None,
) -> ChangeEvidence:
    """Weigh, for every frame, a lasting rise a (1 - exp(-age / r)) against rest.

    The noise is Student-t with scale sqrt(1 + (spread x mean)^2). Amplitude a and rise time r are not known:
    they are summed over a grid. The onset lies between two frames, on average half a frame before the first
    frame that can show it, so ages are counted from there and the onset is not late by the time the rise
    needs to become visible. NaN carries no evidence.

    Args:
        traces: (N, T) in noise units, rest at 0, the change upwards; NaN where not seen.
        smallest: Least amplitude that counts as a change, in noise units.
        largest: Greatest amplitude to try.
        rises_frames: Rise times r to try, in frame intervals.
        spread: Noise that grows with the mean, as a share of it.
        passing_frames: Longest passing rise, in frames.
        weights: (N, T) in 0..1, how much a frame's evidence counts; None for all 1.
    """
    seen = np.isfinite(traces)
    values = np.where(seen, traces, 0.0)
    scale = seen.astype(np.float64) if weights is None else np.where(seen, weights, 0.0)
    highest = max(1.2 * largest, 2.0 * smallest)
    levels = np.geomspace(_LOWEST_LEVEL, highest, _LEVELS)
    resting = _log_student(values, 0.0, 1.0)
    gains = np.stack([(_log_student(values, m, np.hypot(1.0, spread * m)) - resting) * scale for m in levels])
    amplitudes = np.geomspace(smallest, highest, _AMPLITUDES)
    onset, after = _rises(values, gains, resting, scale, levels, amplitudes, rises_frames, spread)
    before = np.logaddexp.reduce(after[:, :, 0], axis=0) - np.log(len(amplitudes))
    below = np.geomspace(0.5, max(_MOST_OF_WEAK * smallest, 0.6), _WEAK_AMPLITUDES)
    weak, _ = _rises(values, gains, resting, scale, levels, below, rises_frames, spread)
    return ChangeEvidence(
        onset=onset,
        passing=_passing(gains, levels, passing_frames),
        before=before,
        weak=np.logaddexp.reduce(weak, axis=1) - np.log(values.shape[1]),
    )


def _rises(
    values: NDArray[np.float64],
    gains: NDArray[np.float64],
    resting: NDArray[np.float64],
    scale: NDArray[np.float64],
    levels: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    rises_frames: Sequence[float],
    spread: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evidence for a lasting rise by any of the amplitudes, (N, T), and for having risen long ago, (A, N, T)."""
    # long after the onset a dead cell may fade: only "far from rest" is asked then
    late = np.stack(
        [(_log_student(values, 0.8 * a, np.hypot(1.0, 2 * spread * a)) - resting) * scale for a in amplitudes]
    )
    after = np.flip(np.cumsum(np.flip(late, axis=2), axis=2), axis=2)
    onset = np.full(values.shape, -np.inf)
    for rise in rises_frames:
        for number, amplitude in enumerate(amplitudes):
            onset = np.logaddexp(onset, _one_rise(gains, after[number], levels, amplitude, rise))
    return onset - np.log(len(rises_frames) * len(amplitudes)), after


def _log_student(values: NDArray[np.float64], mean: float, scale: float) -> NDArray[np.float64]:
    half = (STUDENT_NU + 1) / 2
    return np.asarray(-half * np.log1p(((values - mean) / scale) ** 2 / STUDENT_NU) - np.log(scale))


def _one_rise(
    gains: NDArray[np.float64],
    after: NDArray[np.float64],
    levels: NDArray[np.float64],
    amplitude: float,
    rise: float,
) -> NDArray[np.float64]:
    frames = after.shape[1]
    young = min(frames, int(np.ceil(3 * rise)) + 1)
    total = np.zeros_like(after)
    for age in range(young):
        mean = amplitude * -np.expm1(-(age + 0.5) / rise)
        if mean >= _LOWEST_LEVEL:
            nearest = int(np.argmin(np.abs(np.log(levels / mean))))
            total[:, : frames - age] += gains[nearest][:, age:]
    if young < frames:
        total[:, : frames - young] += after[:, young:]
    return total


def _passing(gains: NDArray[np.float64], levels: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    raised = gains[levels >= 1.0]
    each = np.logaddexp.reduce(raised, axis=0) - np.log(len(raised))
    sums = np.concatenate([np.zeros((len(each), 1)), np.cumsum(each, axis=1)], axis=1)
    frames = each.shape[1]
    widths = np.unique(np.geomspace(1, max(1, min(longest, frames)), 8).astype(np.int64))
    total = np.full(len(each), -np.inf)
    for width in widths:
        ends = np.minimum(np.arange(frames) + width, frames)
        gain = sums[:, ends] - sums[:, :-1]
        total = np.logaddexp(total, np.logaddexp.reduce(gain, axis=1) - np.log(frames))
    return np.asarray(total - np.log(len(widths)))
