"""How probable it is that each cell dies, and when: all cues of a field weighed together.

Knows what each cue says and who vanished. `deaths.py` makes deaths of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from assay.changepoints import ChangeEvidence
from assay.death_cues import Cue, Film
from assay.strips import Floats, Strips, log_sums, means_near
from assay.vanishing import Sightings, burst_log_odds, lost_for_good

FEWEST_SIGHTS = 3
"""A cell seen in fewer frames gives no death: there is no before and after."""

CUE_WINDOW_MIN = 60.0
"""Other cues may lead or follow the onset by this."""

_MOST_SUPPORT = 20.0  # the most by which all other cues together multiply the odds where there is a dye
_SILENT = 0.015  # prior share of deaths that the dye does not show
_PASSING = 0.03  # prior share of cells whose dye rises and goes back (blush, an effector on top)
_WEAK = 0.2  # prior share of cells that change for good, but by less than a death does (glow, drift)
_BEFORE = 0.05  # prior share of cells that were dead when first seen
_DIVIDING = 0.002  # what remains of a death's odds when the cell divides later
_CUE_DEATHS = 8.0  # weight, in deaths, of what is usual of a cue before the field has shown it
_BURSTING_MIN = 8.0  # mean time from the onset until a cell that bursts is gone
_GOES_SOON_MIN = 30.0  # a dying cell that vanishes does so within this after the dye begins to enter
_GOES_SOON = 0.1  # prior share of deaths that do
_MOST_OF_GOING = 20.0  # the most by which going may multiply the odds of a death
_MOST_COVERED, _LEAST_SCORE = 0.5, 0.5  # beyond these a cell is easily lost
_LAST_SIGHTS = 3
_LEAST_LIT = 0.01  # least share of cells that may be dead already
_NEVER = -1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What the evidence says of each row: whether it died, and when."""

    log_odds: Floats  # (N,)
    onset: Floats  # (M, P), sums to 1 over each row that may die
    burst: Floats  # (N,) part of the odds that rests on the cell having vanished without dye


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A film whose tracks were put together."""

    film: Film
    seen: Sightings
    divides: NDArray[np.bool_]  # (N,)
    unseen_frames: NDArray[np.int64]  # (N,) usable frames after the last sight
    doubt: Floats  # (M,) probability that the sight is of another cell than the one before


def weigh(field: Field, dyes: Sequence[Cue], supports: Sequence[Cue], shares: Sequence[float]) -> Posterior:
    """Put all that is known of each row together.

    Args:
        field: The field.
        dyes: Death dyes; without, the first support sets the time.
        supports: The other cues.
        shares: Of deaths, how many show each support.
    """
    film, strips = field.film, field.film.strips
    allowed = allowed_places(film)
    primary, shown = (strongest(dyes, strips), supports) if dyes else (supports[0], supports[1:])
    support = np.zeros(len(allowed))
    for cue, share in zip(shown, shares[len(supports) - len(shown) :], strict=True):
        support += np.logaddexp(np.log1p(-share), np.log(share) + _log_factor(film, cue, allowed))
    if dyes:  # a division that was missed halves marker and size as well: they cannot stand in for the dye
        support = np.minimum(support, np.log(_MOST_SUPPORT))
    near_end = allowed & _near_last_sight(strips, film.calibration.frames(_GOES_SOON_MIN))
    swaps = _swaps(field, primary) if dyes else np.zeros(strips.count)
    lasting = _lasting(strips, primary, swaps, has_dye=bool(dyes)) + support[:, None]
    lasting = lasting + np.where(near_end, _going(field)[strips.row], 0.0)[:, None]
    odds, onset = _marginal(strips, lasting, allowed)
    raised = primary.starts_raised & bool(dyes)
    odds = np.where(raised, -np.inf, odds + np.where(field.divides, np.log(_DIVIDING), 0.0))
    odds = odds + _prior_odds(odds)
    if not dyes:  # what a cell without dye does before it vanishes has been weighed already
        return Posterior(log_odds=odds, onset=onset, burst=np.zeros(len(odds)))
    plain = _in_plain_sight(film) & (odds < 0) & ~raised
    burst = burst_log_odds(
        field.seen,
        unseen_frames=field.unseen_frames,
        vanished=field.seen.vanished & plain,
        turned_up=field.seen.turned_up & ~raised,
        deaths=float(expit(odds).sum()),
    )
    burst = burst + np.maximum(strips.row_max(np.where(near_end, support, 0.0)), 0.0)
    both = np.logaddexp(odds, burst)
    part = np.where(burst > -np.inf, np.exp(burst - np.where(burst > -np.inf, both, 0.0)), 0.0)
    mixed = onset * (1 - part)[strips.row][:, None]
    mixed += _burst_onset(film, np.asarray(primary.phases)) * part[strips.row][:, None]
    return Posterior(log_odds=both, onset=mixed, burst=part)


def usual_share(field: Field, cue: Cue, found: Posterior) -> float:
    """Which share of the field's deaths shows a cue, held near what is usual and never above it."""
    film, share = field.film, cue.kind.share
    factor = np.log(share) + _log_factor(film, cue, allowed_places(film))
    shown = np.exp(factor - np.logaddexp(np.log1p(-share), factor))
    died = expit(found.log_odds) * (1 - found.burst)
    of_row = film.strips.row_sum(shown * found.onset.sum(axis=1))
    learnt = float((_CUE_DEATHS * share + died @ of_row) / (_CUE_DEATHS + died.sum()))
    return min(learnt, share)  # more than usual would let the cue stand in for the dye


def strongest(cues: Sequence[Cue], strips: Strips) -> Cue:
    """Of several dyes, for each cell the one that speaks loudest; raised from the start in one is enough."""
    if len(cues) == 1:
        return cues[0]
    best = np.argmax(np.stack([strips.row_max(cue.evidence.onset.max(axis=1)) for cue in cues]), axis=0)
    rows, places = np.arange(len(best)), np.arange(len(strips.row))
    evidence = ChangeEvidence(
        onset=np.stack([cue.evidence.onset for cue in cues])[best[strips.row], places],
        passing=np.stack([cue.evidence.passing for cue in cues])[best, rows],
        before=np.stack([cue.evidence.before for cue in cues])[best, rows],
        weak=np.stack([cue.evidence.weak for cue in cues])[best, rows],
        by_shape=np.stack([cue.evidence.by_shape for cue in cues])[best, rows],
    )
    step = np.stack([cue.step for cue in cues])[best[strips.row], places]
    raised = np.asarray(np.stack([cue.starts_raised for cue in cues]).any(axis=0))
    return replace(cues[0], evidence=evidence, step=step, starts_raised=raised)


def allowed_places(film: Film) -> NDArray[np.bool_]:
    """Places at which a cell may be seen to die: after its first and up to its last sight, (M,)."""
    strips = film.strips
    shown = strips.lay(film.measures.y_um)
    seen = np.isfinite(shown)
    ranks, counts = strips.ranks(shown), strips.counts(shown)[strips.row]
    return np.asarray((ranks - seen >= 1) & (ranks - seen < counts) & (counts >= FEWEST_SIGHTS))


def _swaps(field: Field, dye: Cue) -> Floats:
    """Evidence that a track goes over to a cell that is dead already, (N,): a step of the dye at a doubtful link."""
    strips, seen = field.film.strips, np.isfinite(dye.values)
    lit = np.where(seen, dye.values > dye.shapes.amplitudes[0], np.nan).astype(np.float64)
    share = np.bincount(strips.frame[seen], weights=lit[seen], minlength=len(strips.frame_starts) - 1)
    share = np.maximum(share / np.maximum(strips.frame_counts(lit), 1), _LEAST_LIT)
    chance = field.doubt * share[strips.frame]
    log_chance = np.where(chance > 0, np.log(np.maximum(chance, 1e-300)), _NEVER)
    return np.asarray(log_sums(log_chance + dye.step, strips.starts))


def _lasting(strips: Strips, primary: Cue, swaps: Floats, *, has_dye: bool) -> Floats:
    """Log odds of an onset at each moment against all that is no death, by the cue that sets the time, (M, P)."""
    evidence = primary.evidence
    rest = np.logaddexp(0.0, np.log(_PASSING) + evidence.passing)
    rest = np.logaddexp(rest, np.log(_WEAK) + evidence.weak)
    lasting = evidence.onset
    if has_dye:
        rest = np.logaddexp(np.logaddexp(rest, swaps), np.log(_BEFORE) + evidence.before)
        lasting = np.logaddexp(np.log1p(-_SILENT) + lasting, np.log(_SILENT))
    lasting = lasting - rest[strips.row][:, None]
    if not np.isfinite(primary.kind.strength):
        return np.asarray(lasting)
    # keep the cue from speaking louder than its strength, and its shape over the frames as it is
    loudest = strips.row_max(lasting.max(axis=1)) - np.log(primary.kind.strength * np.diff(strips.starts))
    return np.asarray(lasting - np.maximum(loudest, 0.0)[strips.row][:, None])


def _log_factor(film: Film, cue: Cue, allowed: NDArray[np.bool_]) -> Floats:
    """Log factor by which a cue that shows a death raises its odds at each place, if it changes near it."""
    window = max(1, round(film.calibration.frames(CUE_WINDOW_MIN)))
    onset = np.where(allowed, cue.evidence.at(), _NEVER)
    near = means_near(onset, film.strips.starts, window)
    rest = np.logaddexp(0.0, np.log(_PASSING) + cue.evidence.passing)[film.strips.row]
    return np.asarray(np.minimum(near - rest, np.log(cue.kind.strength)))


def _marginal(strips: Strips, lasting: Floats, allowed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Log odds of each row, whenever, and the posterior of the moment."""
    lasting = np.where(allowed[:, None], lasting, _NEVER)
    peak = strips.row_max(lasting.max(axis=1))
    weight = np.where(allowed[:, None], np.exp(lasting - peak[strips.row][:, None]), 0.0)
    total = strips.row_sum(weight.sum(axis=1))
    known = total > 0
    total = np.where(known, total, 1.0)
    moments = np.maximum(strips.row_sum(allowed.astype(np.float64)), 1) * lasting.shape[1]
    odds = np.where(known, peak + np.log(total) - np.log(moments), -np.inf)
    return odds, weight / total[strips.row][:, None]


def _prior_odds(odds: Floats) -> float:
    """Log prior odds of death in this field, from the field itself, held near one cell in ten."""
    share = 0.1
    for _ in range(5):
        share = (float(expit(odds + np.log(share / (1 - share))).sum()) + 1.0) / (len(odds) + 10.0)
    return float(np.log(share / (1 - share)))


def _going(field: Field) -> Floats:
    """By how much a death shortly before is more probable for a cell that then vanishes, log, (N,)."""
    lost = lost_for_good(field.seen, field.seen.turned_up, field.unseen_frames) / max(len(field.seen.rows), 1)
    factor = np.clip(np.log(_GOES_SOON / lost), 0.0, np.log(_MOST_OF_GOING))
    return np.where(field.seen.vanished, factor, 0.0)


def _near_last_sight(strips: Strips, frames: float) -> NDArray[np.bool_]:
    last = strips.frame[strips.starts[1:] - 1]
    return np.asarray(strips.frame >= last[strips.row] - max(1.0, frames))


def _in_plain_sight(film: Film) -> NDArray[np.bool_]:
    """Rows whose last sights were neither covered nor doubtful, (N,)."""
    strips, measures = film.strips, film.measures
    sure = np.where(np.isfinite(measures.score), measures.score, 1.0)
    covered, score = strips.lay(measures.covered), strips.lay(sure)
    late = strips.counts(score)[strips.row] - strips.ranks(score) < _LAST_SIGHTS
    most = strips.medians(np.where(late, covered, np.nan))
    least = strips.medians(np.where(late, score, np.nan))
    enough = strips.counts(score) >= FEWEST_SIGHTS
    return np.asarray(enough & (most <= _MOST_COVERED) & (least >= _LEAST_SCORE))


def _burst_onset(film: Film, phases: Floats) -> Floats:
    """When a cell began to burst that is gone in the next frame after its last sight, (M, P): a little before."""
    strips = film.strips
    lead = film.calibration.frames(_BURSTING_MIN)
    gone = strips.frame[strips.starts[1:] - 1].astype(np.float64)[strips.row][:, None]
    sights = np.where(np.isfinite(strips.lay(film.measures.y_um)), strips.frame, -1).astype(np.float64)
    last = np.minimum(strips.row_max(sights)[strips.row][:, None], gone - 1)
    moment = strips.frame[:, None] - phases[None, :]
    latest = np.exp(-np.maximum(gone - moment, 0.0) / lead)
    weight = np.where(moment < last, np.exp(-(last - moment) / lead) - latest, 1.0 - latest)
    weight[strips.starts[:-1]] = 0.0
    total = strips.row_sum(weight.sum(axis=1))
    return np.asarray(weight / np.maximum(total, 1e-300)[strips.row][:, None])
