"""Which cell died, and when.

Knows the traces of one cell. Needs no effector: who did it is asked in `kills.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from assay.changepoints import ChangeEvidence
from assay.death_cues import ROUND, SHRINK, Cue, Film, dye_cue, marker_cue, motion_cue, shape_cue
from assay.labels import CellMeasures, CellRole
from assay.tracks import Tracks
from assay.units import Calibration

FEWEST_FRAMES = 3
"""A cell seen in fewer frames, or a film of fewer, gives no death: there is no before and after."""

_SILENT = 0.03  # prior share of deaths that the dye does not show
_PASSING = 0.03  # prior share of cells whose dye rises and goes back (blush, an effector on top)
_WEAK = 0.1  # prior share of cells that change for good, but by less than a death does (glow, drift)
_BEFORE = 0.05  # prior share of cells that were dead when first seen
_DIVIDING = 0.002  # what remains of a death's odds when the cell divides later
_CUE_WINDOW_MIN = 60.0  # other cues may lead or follow the onset by this
_INTERVAL = 0.90
_WITHOUT_DYE = 0.9  # no death is surer than this without a death dye
_UNFOLDING_MIN = (
    10.0  # without a dye the terminal change unfolds: its onset is no sharper than this, each way
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The death of one cell, with the interval that holds its onset and the probability that it is one."""

    death_id: int
    role: CellRole
    track_id: int
    frame: int
    first_possible_frame: int
    last_possible_frame: int  # included
    probability: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathSurvey:
    """The deaths of one role in one field, and the cells that were dead when first seen."""

    deaths: tuple[Death, ...]  # ordered by track id
    dead_from_start: frozenset[int]  # track ids; empty without a death dye


def find_deaths(
    tracks: Tracks,
    measures: CellMeasures,
    *,
    death_channel: Sequence[str],
    marker_channels: Sequence[str],
    background: Mapping[str, NDArray[np.float64]],
    n_frames: int,
    masked_frames: Collection[int],
    calibration: Calibration,
    min_probability: float,
    others: CellMeasures | None = None,
) -> list[Death]:
    """Call the deaths of one role in one field: the cells that change for good and do not come back.

    With a death dye a death is a lasting rise of the dye inside the cell's own mask, on pixels that no cell of
    the other role covers; a rise that goes back is none. Loss of the cytoplasmic marker, shrinking, rounding
    and standstill support it, and stand in for the dye where there is none: one strong cue or two weak ones.
    Cells that are dead when first seen are no deaths of the film, and the end of a track is never a death.
    Masked frames carry no evidence. What most cells do at once is no death of any.

    Args:
        tracks: Cells of one role.
        measures: The measures that were linked.
        death_channel: Names of the death dye's channels, may be empty.
        marker_channels: Names of the role's own cytoplasmic or nuclear dyes, may be empty.
        background: (T,) median of the pixels that hold no cell, per channel; NaN where unknown.
        n_frames: Length of the film.
        masked_frames: Frames without a usable image.
        calibration: Gives the frame interval.
        min_probability: Deaths less probable than this are not listed.
        others: Cells of the other role; their glow is then not taken for dye.

    Returns:
        Deaths ordered by track id; `death_id` counts from 1.
    """
    survey = survey_deaths(
        tracks,
        measures,
        death_channel=death_channel,
        marker_channels=marker_channels,
        background=background,
        n_frames=n_frames,
        masked_frames=masked_frames,
        calibration=calibration,
        min_probability=min_probability,
        others=others,
    )
    return list(survey.deaths)


def survey_deaths(
    tracks: Tracks,
    measures: CellMeasures,
    *,
    death_channel: Sequence[str],
    marker_channels: Sequence[str],
    background: Mapping[str, NDArray[np.float64]],
    n_frames: int,
    masked_frames: Collection[int],
    calibration: Calibration,
    min_probability: float,
    others: CellMeasures | None = None,
) -> DeathSurvey:
    """Call the deaths as `find_deaths` does, and tell which cells were dead before the film saw them."""
    masked = frozenset(int(frame) for frame in masked_frames)
    film = Film(tracks=tracks, measures=measures, n_frames=n_frames, masked=masked, calibration=calibration)
    if n_frames - len(masked) < FEWEST_FRAMES or len(measures) == 0 or calibration.frame_min is None:
        return DeathSurvey(deaths=(), dead_from_start=frozenset())
    dyes = [dye_cue(film, name, background, marker_channels, others) for name in death_channel]
    supports = [marker_cue(film, name, background) for name in marker_channels]
    supports += [shape_cue(film, SHRINK), shape_cue(film, ROUND), motion_cue(film)]
    log_odds, onset = _weigh(film, dyes, supports)
    deaths = _call(film, log_odds, onset, [*dyes, *supports], min_probability, has_dye=bool(dyes))
    raised = _strongest(dyes).starts_raised if dyes else np.zeros(len(tracks.tracks), dtype=np.bool_)
    dead = frozenset(track.track_id for track, high in zip(tracks.tracks, raised, strict=True) if high)
    return DeathSurvey(deaths=tuple(deaths), dead_from_start=dead)


def _weigh(
    film: Film, dyes: Sequence[Cue], supports: Sequence[Cue]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds of death per track, and the posterior of its onset over frames, (N,) and (N, T)."""
    allowed = _allowed(film)
    if dyes:
        primary = _strongest(dyes)
    else:  # the first marker, or the shrinking where there is none, sets the time
        primary, supports = supports[0], supports[1:]
    evidence = primary.evidence
    rest = np.logaddexp(0.0, np.log(_PASSING) + evidence.passing)
    rest = np.logaddexp(rest, np.log(_WEAK) + evidence.weak)
    lasting = evidence.onset
    if dyes:
        rest = np.logaddexp(rest, np.log(_BEFORE) + evidence.before)
        lasting = np.logaddexp(np.log1p(-_SILENT) + lasting, np.log(_SILENT))
    lasting = _held_down(lasting - rest[:, None], primary.kind.strength)
    for cue in supports:
        lasting = lasting + _support(film, cue, allowed)
    lasting = np.where(allowed, lasting, -np.inf)
    count = np.maximum(allowed.sum(axis=1), 1)
    peak = np.max(np.where(allowed, lasting, -np.inf), axis=1, initial=-1e300)
    weight = np.exp(np.where(allowed, lasting - peak[:, None], -np.inf))
    total = weight.sum(axis=1)
    posterior = weight / np.where(total > 0, total, 1.0)[:, None]
    marginal = np.where(total > 0, peak + np.log(np.where(total > 0, total, 1.0)), -np.inf) - np.log(count)
    odds = marginal + _later_division(film)
    odds = np.where(primary.starts_raised & bool(dyes), -np.inf, odds)
    return odds + _prior_odds(odds), posterior


def _held_down(lasting: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Keep a cue from speaking louder than its strength, and its shape over the frames as it is."""
    if not np.isfinite(strength):
        return lasting
    best = lasting.max(axis=1, keepdims=True)
    return np.asarray(lasting - np.maximum(best - np.log(strength * lasting.shape[1]), 0.0))


def _strongest(cues: Sequence[Cue]) -> Cue:
    """Of several dyes, for each cell the one that speaks loudest; raised from the start in one is enough."""
    if len(cues) == 1:
        return cues[0]
    best = np.argmax(np.stack([cue.evidence.onset.max(axis=1) for cue in cues]), axis=0)
    rows = np.arange(len(best))
    evidence = ChangeEvidence(
        onset=np.stack([cue.evidence.onset for cue in cues])[best, rows],
        passing=np.stack([cue.evidence.passing for cue in cues])[best, rows],
        before=np.stack([cue.evidence.before for cue in cues])[best, rows],
        weak=np.stack([cue.evidence.weak for cue in cues])[best, rows],
    )
    raised = np.asarray(np.stack([cue.starts_raised for cue in cues]).any(axis=0))
    return replace(cues[0], evidence=evidence, starts_raised=raised)


def _allowed(film: Film) -> NDArray[np.bool_]:
    """Frames in which a cell may be seen to die: after its first and up to its last sight."""
    seen = np.isfinite(film.table(film.measures.y_um))
    frames = np.arange(film.n_frames)
    first = np.where(seen, frames, film.n_frames).min(axis=1)
    last = np.where(seen, frames, -1).max(axis=1)
    inside = (frames > first[:, None]) & (frames <= last[:, None])
    return np.asarray(inside & (seen.sum(axis=1) >= FEWEST_FRAMES)[:, None])


def _support(film: Film, cue: Cue, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log factor by which a cue raises the odds of a death at each frame, if it changes near it."""
    window = max(1, round(film.calibration.frames(_CUE_WINDOW_MIN)))
    onset = np.where(allowed, cue.evidence.onset, -np.inf)
    near = _log_mean_near(onset, window)
    rest = np.logaddexp(0.0, np.log(_PASSING) + cue.evidence.passing)[:, None]
    factor = np.minimum(near - rest, np.log(cue.kind.strength))
    return np.asarray(np.logaddexp(np.log1p(-cue.kind.share), np.log(cue.kind.share) + factor))


def _log_mean_near(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    peak = np.max(values, axis=1, initial=-1e300, keepdims=True)
    scaled = np.exp(np.maximum(values - peak, -700.0))
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(scaled, axis=1)], axis=1)
    frames = np.arange(values.shape[1])
    high = np.minimum(frames + window + 1, values.shape[1])
    low = np.maximum(frames - window, 0)
    return np.asarray(peak + np.log(np.maximum(sums[:, high] - sums[:, low], 1e-300) / (2 * window + 1)))


def _later_division(film: Film) -> NDArray[np.float64]:
    divides = np.array([track.end == "divided" for track in film.tracks.tracks], dtype=np.bool_)
    return np.where(divides, np.log(_DIVIDING), 0.0)


def _prior_odds(odds: NDArray[np.float64]) -> float:
    """Log prior odds of death in this field, from the field itself, held near one cell in ten."""
    share = 0.1
    for _ in range(5):
        share = (float(expit(odds + np.log(share / (1 - share))).sum()) + 1.0) / (len(odds) + 10.0)
    return float(np.log(share / (1 - share)))


def _call(
    film: Film,
    log_odds: NDArray[np.float64],
    onset: NDArray[np.float64],
    cues: Sequence[Cue],
    min_probability: float,
    *,
    has_dye: bool,
) -> list[Death]:
    probability = expit(log_odds)
    if not has_dye:
        probability = np.minimum(probability, _WITHOUT_DYE)
    cumulative = np.cumsum(onset, axis=1)
    seen = np.isfinite(film.table(film.measures.y_um))
    tail = (1 - _INTERVAL) / 2
    deaths: list[Death] = []
    for row in np.flatnonzero(probability >= min_probability):
        first, frame, last = (int(np.searchsorted(cumulative[row], q)) for q in (tail, 0.5, 1 - tail))
        if not has_dye:
            blur = int(np.ceil(film.calibration.frames(_UNFOLDING_MIN)))
            lived = np.flatnonzero(seen[row])
            first, last = max(first - blur, int(lived[0]) + 1), min(last + blur, int(lived[-1]))
        first, last = _over_gaps(seen[row], first, min(last, film.n_frames - 1))
        death = Death(
            death_id=len(deaths) + 1,
            role=film.tracks.role,
            track_id=film.tracks.tracks[row].track_id,
            frame=frame,
            first_possible_frame=first,
            last_possible_frame=last,
            probability=float(probability[row]),
            evidence=_evidence_at(film, cues, int(row), frame),
        )
        deaths.append(death)
    return deaths


def _over_gaps(seen: NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    """Widen an interval that ends among unseen frames over all of them: an onset there shows only after them."""
    while first > 1 and not seen[first - 1] and seen[: first - 1].any():
        first -= 1
    while not seen[last] and seen[last:].any():
        last += 1
    return first, last


def _evidence_at(film: Film, cues: Sequence[Cue], row: int, frame: int) -> tuple[str, ...]:
    window = max(1, round(film.calibration.frames(_CUE_WINDOW_MIN)))
    names = []
    for cue in cues:
        near = cue.evidence.onset[row, max(0, frame - window) : frame + window + 1]
        if near.max() - max(0.0, float(cue.evidence.passing[row])) > np.log(10.0):
            names.append(cue.kind.name)
    return tuple(dict.fromkeys(names))
