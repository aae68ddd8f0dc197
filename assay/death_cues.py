"""What speaks for the death of a cell: dye, loss of the marker, shrinking, rounding, standstill.

Knows the traces of one cell. Weighing the cues against each other is `deaths.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.changepoints import ChangeEvidence, change_evidence
from assay.labels import CellMeasures
from assay.traces import (
    first_levels,
    in_noise_units,
    lay_out,
    median_of,
    median_of_rows,
    neighbour_glow,
    quantile_of,
    spilled_share,
)
from assay.tracks import Tracks
from assay.units import Calibration

_LEAST_OF_BRIGHT = 0.12  # of the field's brightest dye: a smaller rise is no death
_LEAST_SPREADS = 2.5  # nor one within what living cells differ by
_LEAST_NOISE = 4.0
_SPREAD_SHARE = 0.25
_MOST_BLED = 0.3
_BATCH = 128  # tracks weighed together: bounds memory, changes no result
_LONGEST_PASSING_MIN = 90.0  # a blush, or a mitosis


@dataclass(frozen=True, slots=True, kw_only=True)
class CueKind:
    """How one kind of change looks and how far it may speak for a death."""

    name: str
    least: float  # least change that counts, in the measure's own unit; 0: noise alone decides
    floor: float  # smallest noise to believe in, in the same unit
    rises_min: tuple[float, ...]
    spread: float
    strength: float  # the most it may multiply the odds by
    share: float  # of deaths that show it
    temper: float  # below 1: neighbouring frames err together, so each counts less


DYE = CueKind(
    name="dye", least=0.0, floor=0.0, rises_min=(2.0, 6.0, 12.0, 25.0, 50.0),
    spread=0.25, strength=np.inf, share=1.0, temper=0.7,
)  # fmt: skip
MARKER = CueKind(
    name="marker_loss", least=0.5, floor=0.03, rises_min=(3.0, 15.0, 45.0),
    spread=0.15, strength=50.0, share=0.7, temper=0.6,
)  # fmt: skip
SHRINK = CueKind(
    name="shrink", least=0.25, floor=0.03, rises_min=(5.0, 25.0),
    spread=0.15, strength=12.0, share=0.5, temper=0.5,
)  # fmt: skip
ROUND = CueKind(
    name="rounding", least=0.25, floor=0.03, rises_min=(5.0, 25.0),
    spread=0.15, strength=4.0, share=0.3, temper=0.3,
)  # fmt: skip
STILL = CueKind(
    name="motion_stop", least=0.7, floor=0.1, rises_min=(5.0,),
    spread=0.15, strength=4.0, share=0.3, temper=0.2,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What one kind of change says of every cell of the field."""

    kind: CueKind
    evidence: ChangeEvidence
    starts_raised: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What every step needs to know of the field."""

    tracks: Tracks
    measures: CellMeasures
    n_frames: int
    masked: frozenset[int]
    calibration: Calibration

    def table(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A row per track, a column per frame."""
        return lay_out(self.tracks, self.measures, values, n_frames=self.n_frames, masked_frames=self.masked)


def dye_cue(
    film: Film,
    channel: str,
    background: Mapping[str, NDArray[np.float64]],
    markers: Sequence[str],
    others: CellMeasures | None,
) -> Cue:
    """Weigh the rise of a death dye on the cell's own pixels.

    Taken out first: what the cell's other dyes bleed into the channel (a cell that rounds up for mitosis grows
    brighter in all of them), and what bright neighbours spill over.
    """
    measures = film.measures
    signal = above(measures, channel, background)
    for marker in markers:
        held = above(measures, marker, background)
        signal = signal - _bled_share(film, signal, held) * held
    noise = _row_noise(film, signal)
    shine = None
    if others is not None:
        shine = (others, _lit(others.means[channel] - background[channel][others.frame], noise))
    glow = neighbour_glow(measures, _lit(signal, noise), others=shine)
    signal = signal - spilled_share(signal, glow, noise=noise) * glow
    table = film.table(signal)
    seen = ~np.isin(measures.frame, sorted(film.masked))
    bright = quantile_of(signal[seen], 0.995) - median_of(first_levels(table))
    least = _LEAST_OF_BRIGHT * max(bright, 0.0) if np.isfinite(bright) else 0.0
    traces = in_noise_units(table, floor=_smallest_noise(signal), margin=least, spread_share=_SPREAD_SHARE)
    least = max(_LEAST_NOISE, max(least, _LEAST_SPREADS * traces.spread) / float(np.median(traces.noise)))
    cover = np.nan_to_num(film.table(np.sqrt(np.clip(1 - measures.covered, 0.05, 1.0))), nan=0.0)
    return Cue(
        kind=DYE,
        evidence=_evidence(film, traces.values, DYE, least, cover),
        starts_raised=traces.starts_raised,
    )


def above(
    measures: CellMeasures, channel: str, background: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Brightness of the cells' own pixels above the background of their frame."""
    return np.asarray(measures.own_means[channel] - background[channel][measures.frame])


def _bled_share(film: Film, signal: NDArray[np.float64], held: NDArray[np.float64]) -> float:
    """Which share of a marker shows in the death channel, from the first sights of each cell."""
    seen, there = first_levels(film.table(signal)), first_levels(film.table(held))
    known = np.isfinite(seen) & np.isfinite(there)
    if known.sum() < 5:
        return 0.0
    bright = known & (there >= np.median(there[known])) & (there > 0)
    return float(np.clip(np.median(seen[bright] / there[bright]), 0.0, _MOST_BLED)) if bright.any() else 0.0


def _row_noise(film: Film, signal: NDArray[np.float64]) -> float:
    steps = np.abs(np.diff(film.table(signal), axis=1))
    steps = steps[np.isfinite(steps)]
    return max(_smallest_noise(signal), 1.05 * float(np.median(steps)) if len(steps) else 0.0)


def _smallest_noise(signal: NDArray[np.float64]) -> float:
    known = np.abs(signal[np.isfinite(signal)])
    return max(1e-3 * float(known.max(initial=0.0)), 1e-9)


def _lit(signal: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    return np.where(signal > 8 * noise, signal, 0.0)


def marker_cue(film: Film, channel: str, background: Mapping[str, NDArray[np.float64]]) -> Cue:
    """Weigh the loss of a dye that living cells hold: of all of it, for a cell that rounds up only packs it."""
    measures = film.measures
    total = above(measures, channel, background) * measures.area_um2
    known = total[np.isfinite(total)]
    bottom = max(0.03 * float(np.median(known)), 1e-6) if len(known) else 1.0
    return _log_cue(film, np.where(measures.at_border, np.nan, -np.log(np.maximum(total, bottom))), MARKER)


def shape_cue(film: Film, kind: CueKind) -> Cue:
    """Weigh shrinking, or rounding; a mask cut by the edge of the image tells neither."""
    measures = film.measures
    value = -np.log(np.maximum(measures.area_um2, 1e-6)) if kind is SHRINK else -measures.eccentricity
    return _log_cue(film, np.where(measures.at_border, np.nan, value), kind)


def motion_cue(film: Film) -> Cue:
    """Weigh that a cell comes to a standstill."""
    y, x = film.table(film.measures.y_um), film.table(film.measures.x_um)
    dy, dx = np.diff(y, axis=1), np.diff(x, axis=1)
    for step in (dy, dx):  # what all cells do together is the stage
        drift = median_of_rows(step.T)
        step -= np.where(np.isfinite(drift), drift, 0.0)
    speed = np.full_like(y, np.nan)
    speed[:, 1:] = np.hypot(dy, dx)
    typical = speed[np.isfinite(speed)]
    offset = 0.2 * float(np.median(typical)) + 1e-3 if len(typical) else 1.0
    return _log_cue(film, -np.log(speed + offset), STILL, rows=True)


def _log_cue(film: Film, values: NDArray[np.float64], kind: CueKind, *, rows: bool = False) -> Cue:
    table = values if rows else film.table(values)
    table[:, sorted(film.masked)] = np.nan
    traces = in_noise_units(table, floor=kind.floor)
    typical = float(np.median(traces.noise))
    least = max(3.0, kind.least / typical)
    return Cue(
        kind=kind,
        evidence=_evidence(film, traces.values, kind, least, None),
        starts_raised=np.zeros(len(table), dtype=np.bool_),
    )


def _evidence(
    film: Film,
    values: NDArray[np.float64],
    kind: CueKind,
    least: float,
    weights: NDArray[np.float64] | None,
) -> ChangeEvidence:
    rises = tuple(max(0.3, film.calibration.frames(rise)) for rise in kind.rises_min)
    longest = max(2, round(film.calibration.frames(_LONGEST_PASSING_MIN)))
    scale = np.full(values.shape, kind.temper) if weights is None else kind.temper * weights
    largest = float(np.max(values, where=np.isfinite(values), initial=0.0))
    parts = [
        change_evidence(
            values[start : start + _BATCH],
            smallest=least,
            largest=largest,
            rises_frames=rises,
            spread=kind.spread,
            passing_frames=longest,
            weights=scale[start : start + _BATCH],
        )
        for start in range(0, len(values), _BATCH)
    ]
    return ChangeEvidence(
        onset=np.concatenate([part.onset for part in parts]),
        passing=np.concatenate([part.passing for part in parts]),
        before=np.concatenate([part.before for part in parts]),
        weak=np.concatenate([part.weak for part in parts]),
    )
