"""Which cell died, and when.

Knows the traces of one cell. Needs no effector: who did it is asked in `kills.py`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from assay.changepoints import PHASES
from assay.death_cues import (
    ROUND,
    SHRINK,
    Cue,
    Film,
    dye_cue,
    marker_cue,
    motion_cue,
    shape_cue,
    still_bright,
    with_usual_shapes,
)
from assay.death_odds import CUE_WINDOW_MIN, FEWEST_SIGHTS, Field, Posterior, strongest, usual_share, weigh
from assay.labels import CellMeasures, CellRole
from assay.strips import Floats, lay_strips
from assay.tracks import Tracks
from assay.units import Calibration
from assay.vanishing import Sightings, sightings, track_places

FEWEST_FRAMES = FEWEST_SIGHTS
"""A film of fewer frames gives no death, as a cell seen in fewer does not."""

DOUBTFUL = 0.05
"""A death that is less probable than those that are listed, but not than this, is kept for a reader to look at."""

_INTERVAL = 0.90
_WITHOUT_DYE = 0.9  # no death is surer than this where no dye shows it,
_STILL_BRIGHT = 0.98  # but for that of a cell that vanished without having dimmed
_UNFOLDING_MIN = (
    10.0  # without a dye the terminal change unfolds: its onset is no sharper than this, each way
)
_JOIN_DOUBT = 0.02  # that a track put together of two is two cells
_SHOWN = np.log(10.0)  # a cue is named as evidence from these odds on


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The death of one cell, with the interval that holds its onset and the probability that it is one."""

    death_id: int
    role: CellRole
    track_id: int
    frame: int  # the first at or after the onset; that of a cell that bursts may be the first without it
    first_possible_frame: int
    last_possible_frame: int  # included
    probability: float
    evidence: tuple[str, ...]
    onset_min: float = math.nan  # median of the onset, minutes since frame 0: finer than a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathSurvey:
    """The deaths of one role in one field, and the cells that were dead when first seen."""

    deaths: tuple[Death, ...]  # ordered by track id
    dead_from_start: frozenset[int]  # track ids; without a death dye only tails of cells that died before
    doubtful: tuple[Death, ...] = ()  # less probable than those that are listed; counted nowhere


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
    """Call the deaths of one role in one field: the cells that change for good and do not come back.

    With a death dye a death is a lasting rise of the dye inside the cell's own mask, on pixels that no cell of
    the other role covers; a rise that goes back is none. Loss of the cytoplasmic marker, shrinking, rounding
    and standstill support it, and stand in for the dye where there is none: one strong cue or two weak ones.
    A cell that vanishes in the middle of the image may have burst; how probable that is the film says itself,
    for as many living cells are lost for good as turn up from nowhere. A cell that was lost for a few frames
    and seen again at its place is one cell, whose death may lie in between. Cells that are dead when first
    seen are no deaths of the film. Masked frames carry no evidence. What most cells do at once is no death.

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
        Deaths ordered by track id, `death_id` counting from 1, who was dead before the film saw it, and the deaths that
        are too doubtful to be listed but not improbable.
    """
    masked = frozenset(int(frame) for frame in masked_frames)
    if n_frames - len(masked) < FEWEST_FRAMES or len(measures) == 0 or calibration.frame_min is None:
        return DeathSurvey(deaths=(), dead_from_start=frozenset())
    field = _field(tracks, measures, n_frames, masked, calibration)
    film = field.film
    dyes = [dye_cue(film, name, background, marker_channels, others) for name in death_channel]
    supports = [marker_cue(film, name, background) for name in marker_channels]
    supports += [shape_cue(film, SHRINK), shape_cue(film, ROUND), motion_cue(film)]
    found = weigh(field, dyes, supports, [cue.kind.share for cue in supports])
    if dyes:  # look again, with what is usual in this field
        died = expit(found.log_odds) * (1 - found.burst)
        dyes = [with_usual_shapes(film, cue, died) for cue in dyes]
        found = weigh(field, dyes, supports, [usual_share(field, cue, found) for cue in supports])
    probability = _probabilities(found, still_bright(film, marker_channels, background), has_dye=bool(dyes))
    listed = probability >= min_probability
    deaths = _call(field, tracks, found, dyes, supports, np.where(listed, probability, 0.0))
    raised = strongest(dyes, film.strips).starts_raised if dyes else np.zeros(film.strips.count, np.bool_)
    dead = _dead_from_start(tracks, field.seen, raised, deaths)
    uncalled = np.where(~listed & (probability >= DOUBTFUL), probability, 0.0)
    doubtful = _call(field, tracks, found, dyes, supports, uncalled)
    settled = dead | {death.track_id for death in deaths}
    return DeathSurvey(
        deaths=tuple(deaths),
        dead_from_start=dead,
        doubtful=tuple(death for death in doubtful if death.track_id not in settled),
    )


def _field(
    tracks: Tracks, measures: CellMeasures, n_frames: int, masked: Collection[int], calibration: Calibration
) -> Field:
    seen = sightings(tracks, measures, masked_frames=masked)
    strips = lay_strips(
        seen.row_of_track[track_places(tracks)],
        measures.frame.astype(np.int64),
        n_rows=len(seen.rows),
        n_frames=n_frames,
        masked_frames=masked,
        further=seen.vanished,
    )
    usable = np.setdiff1d(np.arange(n_frames), sorted(masked))
    last = np.array([tracks.tracks[chain[-1]].last_frame for chain in seen.rows])
    doubt = np.zeros(len(measures))
    if tracks.link_confidence is not None:
        doubt = np.nan_to_num(1.0 - tracks.link_confidence, nan=0.0)
    doubt[seen.joined] = _JOIN_DOUBT
    return Field(
        film=Film(strips=strips, measures=measures, calibration=calibration),
        seen=seen,
        divides=np.array([tracks.tracks[chain[-1]].end == "divided" for chain in seen.rows], dtype=np.bool_),
        doubt=np.nan_to_num(strips.lay(doubt), nan=0.0),
        unseen_frames=(len(usable) - np.searchsorted(usable, last, side="right")).astype(np.int64),
    )


def _probabilities(found: Posterior, bright: NDArray[np.bool_], *, has_dye: bool) -> Floats:
    """How probable each row's death is; what no dye shows is never quite sure, for cells are lost in other ways too."""
    if not has_dye:
        return np.asarray(np.minimum(expit(found.log_odds), _WITHOUT_DYE))
    surest = np.where(bright, _STILL_BRIGHT, _WITHOUT_DYE)
    return np.asarray(np.minimum(expit(found.log_odds), 1.0 - (1.0 - surest) * found.burst))


def _call(
    field: Field,
    tracks: Tracks,
    found: Posterior,
    dyes: Sequence[Cue],
    supports: Sequence[Cue],
    probability: Floats,
) -> list[Death]:
    """The deaths of the rows whose probability is not 0."""
    strips, has_dye = field.film.strips, bool(dyes)
    shown = np.isfinite(strips.lay(field.film.measures.y_um))
    dyed = np.any([np.isfinite(cue.values) for cue in dyes], axis=0) if has_dye else shown
    phases = np.asarray(PHASES if has_dye else (0.5,))
    deaths: list[Death] = []
    for row in np.flatnonzero(probability).tolist():
        here = slice(strips.starts[row], strips.starts[row + 1])
        start = int(strips.frame[here][0])
        first, middle, last = _onset_quantiles(found.onset[here], phases)
        if not has_dye:
            blur = field.film.calibration.frames(_UNFOLDING_MIN)
            lived = np.flatnonzero(shown[here])
            first, last = max(first - blur, float(lived[0])), min(last + blur, float(lived[-1]))
        frame = math.ceil(middle)
        bursts = bool(found.burst[row] > 0.5)
        low, high = _over_gaps(
            (shown if bursts else dyed)[here],
            min(math.ceil(first), frame),
            max(math.ceil(last), frame),
            vanished=bursts,
        )
        chain = field.seen.rows[row]
        place = max(
            n for n, at in enumerate(chain) if n == 0 or tracks.tracks[at].first_frame < start + frame
        )
        deaths.append(
            Death(
                death_id=0,
                role=tracks.role,
                track_id=tracks.tracks[chain[place]].track_id,
                frame=start + frame,
                first_possible_frame=start + low,
                last_possible_frame=start + high,
                probability=float(probability[row]),
                evidence=_evidence_at(field, [*dyes, *supports], row, frame, burst=float(found.burst[row])),
                onset_min=field.film.calibration.minutes(1) * (start + middle),
            )
        )
    deaths.sort(key=lambda death: death.track_id)
    return [replace(death, death_id=number) for number, death in enumerate(deaths, start=1)]


def _onset_quantiles(onset: Floats, phases: Floats) -> tuple[float, float, float]:
    """Ends of the interval that holds the onset and its median, in frames since the row's first."""
    order = np.argsort(-phases)  # the greater the phase, the earlier
    mass = np.concatenate([[0.0], np.cumsum(onset[:, order].reshape(-1))])
    moment = np.arange(len(mass)) / len(phases) - 1.0  # the edges of the parts of each interval
    tail = (1 - _INTERVAL) / 2
    low, middle, high = np.interp(np.array([tail, 0.5, 1 - tail]) * mass[-1], mass, moment)
    return float(low), float(middle), float(high)


def _over_gaps(seen: NDArray[np.bool_], first: int, last: int, *, vanished: bool = False) -> tuple[int, int]:
    """Widen an interval that ends among unseen frames over all of them: an onset there shows only after them.

    What a cell did that vanished shows in the frame in which it is missed, the last one.
    """
    while first > 1 and not seen[first - 1] and seen[: first - 1].any():
        first -= 1
    while not seen[last] and seen[last:].any():
        last += 1
    if vanished and not seen[last]:
        last = len(seen) - 1
    return first, last


def _evidence_at(field: Field, cues: Sequence[Cue], row: int, frame: int, *, burst: float) -> tuple[str, ...]:
    """What spoke for the death, in words."""
    strips = field.film.strips
    window = max(1, round(field.film.calibration.frames(CUE_WINDOW_MIN)))
    start, end = int(strips.starts[row]), int(strips.starts[row + 1])
    near = slice(max(start, start + frame - window), min(end, start + frame + window + 1))
    names = ["vanished", "no_dye"] if burst > 0.5 else []
    for cue in cues:
        change = float(cue.evidence.at(near).max()) - max(0.0, float(cue.evidence.passing[row]))
        if change > _SHOWN:
            names.append(cue.kind.name)
    return tuple(dict.fromkeys(names))


def _dead_from_start(
    tracks: Tracks, seen: Sightings, raised: NDArray[np.bool_], deaths: Sequence[Death]
) -> frozenset[int]:
    """Tracks that show a dead cell all along: dead at its first sight, or what follows after it died."""
    died = {death.track_id for death in deaths if death.probability >= 0.5}
    dead: set[int] = set()
    for chain, gone in zip(seen.rows, raised.tolist(), strict=True):
        for place in chain:
            track_id = tracks.tracks[place].track_id
            if gone:
                dead.add(track_id)
            gone = gone or track_id in died
    return frozenset(dead)
