"""What speaks for the death of a cell: dye, loss of the marker, shrinking, rounding, standstill.

Knows the traces of one cell. Weighing the cues against each other is `deaths.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.changepoints import PHASES, ChangeEvidence, Shapes, amplitudes_between, change_evidence
from assay.glow import neighbour_glow, spilled_share
from assay.labels import CellMeasures
from assay.strips import Floats, Strips, median_of, quantile_of
from assay.traces import FIRST_SIGHTS, flicker, in_noise_units, independence
from assay.units import Calibration

_LEAST_OF_BRIGHT = 0.08  # of the field's brightest dye: a smaller rise is no death
_LEAST_SPREADS = 2.5  # nor one within what living cells differ by
_LEAST_NOISE = 4.0
_SPREAD_SHARE = 0.25
_MOST_BLED = 0.3
_LONGEST_PASSING_MIN = 90.0  # a blush, or a mitosis
_STEADY_SIGHTS = 5  # sights whose median tells how bright a cell is
_MISFIT = 0.12  # what a mean of the dye may be off by, its noise being accounted for
_SURE = 0.9  # doubtful deaths teach nothing, or glow would teach that deaths are faint
_AT_ONCE = 0.1  # frame intervals
_FEWEST_SURE = 2.0  # sure deaths; fewer teach nothing
_USUAL_DEATHS = 4.0  # weight, in deaths, of what is usual elsewhere
_USUAL_SPREAD = 0.6  # sd of the logarithm of the dye's rise between deaths
_ODD = 0.02  # share of deaths whose dye rises by anything
_LAST_SIGHTS = 3
_STILL_BRIGHT = 0.7  # of a cell's brightness at first: it has not dimmed


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
    temper: float  # below 1: neighbouring frames err together, so each counts less; of the dye it is measured


DYE = CueKind(
    name="dye", least=0.0, floor=0.0, rises_min=(2.0, 5.0, 9.0, 15.0, 25.0, 50.0),
    spread=0.25, strength=np.inf, share=1.0, temper=1.0,
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
class Film:
    """What every step needs to know of the field: whose sights lie where."""

    strips: Strips
    measures: CellMeasures
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What one kind of change says of every cell of the field."""

    kind: CueKind
    evidence: ChangeEvidence
    starts_raised: NDArray[np.bool_]
    values: Floats  # (M,) in noise units at rest
    shapes: Shapes
    weights: Floats  # (M,)
    step: Floats  # (M,) of a dye: evidence for a rise within the interval before a frame; else empty

    @property
    def phases(self) -> tuple[float, ...]:
        """Where between two frames an onset may lie."""
        return PHASES if self.kind is DYE else (0.5,)


def dye_cue(
    film: Film,
    channel: str,
    background: Mapping[str, Floats],
    markers: Sequence[str],
    others: CellMeasures | None,
) -> Cue:
    """Weigh the rise of a death dye on the cell's own pixels.

    Taken out first: what the cell's other dyes bleed into the channel (a cell that rounds up for mitosis grows
    brighter in all of them), and what bright neighbours spill over.
    """
    strips = film.strips
    signal = _own_dye(film, channel, background, markers, others)
    values = strips.lay(signal)
    bright = _brightest(strips, values) - median_of(strips.first_levels(values, _STEADY_SIGHTS))
    least = _LEAST_OF_BRIGHT * max(bright, 0.0) if np.isfinite(bright) else 0.0
    traces = in_noise_units(
        strips, values, floor=_smallest_noise(signal), margin=least, spread_share=_SPREAD_SHARE
    )
    least = max(_LEAST_NOISE, max(least, _LEAST_SPREADS * traces.spread) / float(np.median(traces.noise)))
    weights = strips.lay(np.sqrt(np.clip(1 - film.measures.covered, 0.05, 1.0))) * independence(
        strips, traces
    )
    shapes = _shapes(film, DYE, traces.values, least, stabilised=flicker(strips, traces))
    return _cue(film, DYE, traces.values, shapes, np.nan_to_num(weights, nan=0.0), traces.starts_raised)


def with_usual_shapes(film: Film, cue: Cue, probability: Floats) -> Cue:
    """Weigh again, having learnt from the field's sure deaths how far and how fast its dye rises."""
    probability = np.where(probability >= _SURE, probability, 0.0)
    by_shape = cue.evidence.by_shape
    peak = by_shape.max(axis=(1, 2), keepdims=True)
    share = np.exp(by_shape - peak)
    share *= (probability / share.sum(axis=(1, 2)))[:, None, None]
    shapes = replace(cue.shapes, log_weight=_usual_shapes(cue.shapes, share.sum(axis=0)))
    return _cue(film, cue.kind, cue.values, shapes, cue.weights / cue.kind.temper, cue.starts_raised)


def _usual_shapes(shapes: Shapes, deaths: Floats) -> Floats:
    """Log weights of amplitudes and rise times: log-normal around the field's amplitudes, rise times as they are.

    Args:
        shapes: What was tried.
        deaths: (A, R) how many deaths look so.
    """
    size = np.log(shapes.amplitudes)
    count = float(deaths.sum())
    if count < _FEWEST_SURE:
        return np.zeros(deaths.shape)
    by_size = deaths.sum(axis=1)
    middle = float(by_size @ size) / count
    variance = (_USUAL_DEATHS * _USUAL_SPREAD**2 + float(by_size @ (size - middle) ** 2)) / (
        _USUAL_DEATHS + count
    )
    bell = np.exp(-0.5 * (size - middle) ** 2 / variance)
    usual = (1 - _ODD) * bell / bell.sum() + _ODD / len(size)
    rises = deaths.sum(axis=0) + _USUAL_DEATHS / deaths.shape[1]
    return np.asarray(np.log(usual)[:, None] + np.log(rises / rises.sum())[None, :])


def _own_dye(
    film: Film,
    channel: str,
    background: Mapping[str, Floats],
    markers: Sequence[str],
    others: CellMeasures | None,
) -> Floats:
    """Dye of each cell above background, bleed and spill taken out."""
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
    return np.asarray(signal - spilled_share(signal, glow, noise=noise) * glow)


def _brightest(strips: Strips, values: Floats) -> float:
    """The field's brightest dye that lasts: a single flash is none."""
    return quantile_of(values, 0.995)


def above(measures: CellMeasures, channel: str, background: Mapping[str, Floats]) -> Floats:
    """Brightness of the cells' own pixels above the background of their frame."""
    return np.asarray(measures.own_means[channel] - background[channel][measures.frame])


def _bled_share(film: Film, signal: Floats, held: Floats) -> float:
    """Which share of a marker shows in the death channel, from the first sights of each cell."""
    strips = film.strips
    seen = strips.first_levels(strips.lay(signal), FIRST_SIGHTS)
    there = strips.first_levels(strips.lay(held), FIRST_SIGHTS)
    known = np.isfinite(seen) & np.isfinite(there)
    if known.sum() < 5:
        return 0.0
    bright = known & (there >= np.median(there[known])) & (there > 0)
    return float(np.clip(np.median(seen[bright] / there[bright]), 0.0, _MOST_BLED)) if bright.any() else 0.0


def _row_noise(film: Film, signal: Floats) -> float:
    step = median_of(np.abs(film.strips.steps(film.strips.lay(signal))))
    return max(_smallest_noise(signal), 1.05 * step if np.isfinite(step) else 0.0)


def _smallest_noise(signal: Floats) -> float:
    known = np.abs(signal[np.isfinite(signal)])
    return max(1e-3 * float(known.max(initial=0.0)), 1e-9)


def _lit(signal: Floats, noise: float) -> Floats:
    return np.where(signal > 8 * noise, signal, 0.0)


def marker_cue(film: Film, channel: str, background: Mapping[str, Floats]) -> Cue:
    """Weigh the loss of a dye that living cells hold: of all of it, for a cell that rounds up only packs it."""
    measures = film.measures
    total = above(measures, channel, background) * measures.area_um2
    known = total[np.isfinite(total)]
    bottom = max(0.03 * float(np.median(known)), 1e-6) if len(known) else 1.0
    lost = np.where(measures.at_border, np.nan, -np.log(np.maximum(total, bottom)))
    return _log_cue(film, film.strips.lay(lost), MARKER)


def still_bright(film: Film, channels: Sequence[str], background: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Rows that are as bright at their last sights as at their first, in every one of their own dyes, (N,).

    A cell that bleaches, or sinks out of focus, dims before it is lost. Without a dye of its own nobody can tell: False.
    """
    strips = film.strips
    bright = np.full(strips.count, bool(channels))
    for channel in channels:
        light = strips.lay(above(film.measures, channel, background))
        late = strips.counts(light)[strips.row] - strips.ranks(light) < _LAST_SIGHTS
        first = strips.first_levels(light, _STEADY_SIGHTS)
        bright &= (first > 0) & (strips.medians(np.where(late, light, np.nan)) >= _STILL_BRIGHT * first)
    return bright


def shape_cue(film: Film, kind: CueKind) -> Cue:
    """Weigh shrinking, or rounding; a mask cut by the edge of the image tells neither."""
    measures = film.measures
    value = -np.log(np.maximum(measures.area_um2, 1e-6)) if kind is SHRINK else -measures.eccentricity
    return _log_cue(film, film.strips.lay(np.where(measures.at_border, np.nan, value)), kind)


def motion_cue(film: Film) -> Cue:
    """Weigh that a cell comes to a standstill."""
    strips = film.strips
    away = []
    for place in (film.measures.y_um, film.measures.x_um):
        step = strips.steps(strips.lay(place))
        drift = strips.frame_medians(step)  # what all cells do together is the stage
        away.append(step - np.where(np.isfinite(drift), drift, 0.0)[strips.frame])
    speed = np.hypot(*away)
    usual = median_of(speed)
    offset = 0.2 * usual + 1e-3 if np.isfinite(usual) else 1.0
    return _log_cue(film, -np.log(speed + offset), STILL)


def _log_cue(film: Film, values: Floats, kind: CueKind) -> Cue:
    traces = in_noise_units(film.strips, values, floor=kind.floor)
    least = max(3.0, kind.least / float(np.median(traces.noise)))
    shapes = _shapes(film, kind, traces.values, least, stabilised=0.0)
    raised = np.zeros(film.strips.count, dtype=np.bool_)
    return _cue(film, kind, traces.values, shapes, np.ones(len(values)), raised)


def _shapes(film: Film, kind: CueKind, values: Floats, least: float, *, stabilised: float) -> Shapes:
    largest = float(np.max(values, where=np.isfinite(values), initial=0.0))
    return Shapes(
        amplitudes=amplitudes_between(least, largest),
        rises_frames=tuple(max(0.3, film.calibration.frames(rise)) for rise in kind.rises_min),
        spread=_MISFIT if stabilised else kind.spread,
        stabilised=stabilised,
    )


def _cue(
    film: Film, kind: CueKind, values: Floats, shapes: Shapes, weights: Floats, raised: NDArray[np.bool_]
) -> Cue:
    scale = kind.temper * weights
    evidence = change_evidence(
        film.strips,
        values,
        shapes,
        passing_frames=max(2, round(film.calibration.frames(_LONGEST_PASSING_MIN))),
        phases=PHASES if kind is DYE else (0.5,),
        weights=scale,
    )
    step = np.zeros(0)
    if kind is DYE:
        at_once = replace(shapes, rises_frames=(_AT_ONCE,), log_weight=None)
        step = change_evidence(film.strips, values, at_once, passing_frames=1, weights=scale).at()
    return Cue(
        kind=kind,
        evidence=evidence,
        starts_raised=raised,
        values=values,
        shapes=shapes,
        weights=scale,
        step=step,
    )
