"""When an effector truly holds on to a target within a contact, and when it only passes by.

Knows contacts, pairs, tracks and places of cells. Knows nothing of killing. A contact says how near two outlines are; here
it is asked whether the effector stands still beside the target, by a hidden Markov model of each effector: it is free, or
engaged with one of the targets beside it. Learnt from the film itself by expectation-maximisation (Baum 1970,
doi:10.1214/aoms/1177697196).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.contacts import Contact, Meetings, Sight, contacts_among, meet
from assay.engagement_loops import Floats, Ints, Moments, Odds, Posterior, expect
from assay.labels import CellMeasures, Pairs
from assay.tracks import Tracks
from assay.units import Calibration

_STEP_EDGES_UM = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 14, 20, 30, np.inf])
_FACE_EDGES = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.65])
_GAP_EDGES_UM = np.array([0.0, 0.5, 1, 1.5, 2, 2.5, np.inf])
_JITTER_UM = (
    1.5  # per axis: what outlines of a resting pair jitter by from frame to frame, before the film says
)
_STRAY = 0.01  # share of steps while engaged that are like any other: wrong links, torn outlines
_GAP_ENGAGED = np.array([0.45, 0.18, 0.15, 0.1, 0.06, 0.04, 0.02])
_GAP_FREE = np.array([0.25, 0.12, 0.12, 0.13, 0.13, 0.13, 0.12])
_BEGINS = 0.3  # chance that a free effector takes hold of a target as it comes to it
_HOLDS_MIN = 25.0  # mean time at one place
_ELSEWHERE = 0.2  # share of letting go after which it has hold of another place or target by the next frame
_FREE_MIN = 15.0  # mean time beside a target until it takes hold
_APART = 0.05  # chance of a frame above leave_um within one engagement
_PRIOR_COUNT = 30.0  # what is usual counts as so many frames,
_PRIOR_NEAR = 3000.0  # of how near cells lie: one effector that rests inside a target would teach it wrongly
_LEAST_FREE_STEPS = 20
_ROUNDS = 40
_CLOSE = 1e-4
_LEAST = 0.1  # a frame that is less likely to be engaged belongs to no engagement

COUNTED = 0.3
"""So probable an engagement is counted: then as many are as there are (killbench's medium)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """An effector may hold on to a target at one place, within a contact."""

    contact_id: int
    first_frame: int
    last_frame: int  # included
    probability: float  # mean over its frames that the effector is engaged

    @property
    def is_counted(self) -> bool:
        """Whether it is probable enough."""
        return self.probability >= COUNTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagements:
    """What the contacts of one field hold."""

    engagements: tuple[Engagement, ...]  # by (contact, first frame); a contact may hold none or several
    probability: Floats  # per contact: the effector holds on from one of its frames to the next at least


def find_held_contacts(
    pairs: Pairs,
    *,
    effectors: CellMeasures,
    effector_tracks: Tracks,
    targets: CellMeasures,
    target_tracks: Tracks,
    masked_frames: Collection[int],
    calibration: Calibration,
    enter_um: float,
    leave_um: float,
    bridge_frames: int,
    min_frames: int,
) -> tuple[list[Contact], Engagements]:
    """Find the contacts, and tell those in which the effector holds on from those in which it passes by.

    An engaged effector keeps its place beside the target, whatever the stage and the target do; a free one walks as
    effectors do that are near no target. It holds on to one target at a time: who stands still beside two is engaged
    with the one beside which it stands stiller and at whose outline it lies as engaged cells do, as surely as that
    tells. How still "still" is, how engaged cells lie, and how long they hold on is learnt from all contacts of the
    field, how free effectors walk from all that are near no target; where there are few, usual values hold. Masked
    and missed frames carry no evidence.

    Args:
        pairs: Pairs of the whole film, with every pair up to `leave_um` at least.
        effectors: The effectors of the whole film.
        effector_tracks: Their tracks.
        targets: The targets of the whole film.
        target_tracks: Their tracks.
        masked_frames: Frames that hold no usable image.
        calibration: Gives the frame interval.
        enter_um: Gap at which a contact begins.
        leave_um: Gap above which it ends.
        bridge_frames: Frames above `leave_um` that do not end it.
        min_frames: A shorter contact, from first to last frame, is none.

    Returns:
        The contacts as `find_contacts` gives them, and when effectors hold on in them.

    Raises:
        ShapeError: `pairs` names a cell that is not in the measures.
        ProtocolError: `leave_um` is smaller than `enter_um`.
    """
    meetings, sight = meet(
        pairs,
        effectors=effectors,
        effector_tracks=effector_tracks,
        targets=targets,
        target_tracks=target_tracks,
        masked_frames=masked_frames,
        leave_um=leave_um,
    )
    contacts = contacts_among(
        meetings, sight, enter_um=enter_um, bridge_frames=bridge_frames, min_frames=min_frames
    )
    if not contacts:
        return [], Engagements(engagements=(), probability=np.zeros(0))
    seen = _Sights.of(meetings, sight, effectors, targets)
    model = _Model.usual(
        _free_steps(pairs, effectors, effector_tracks, masked_frames), seen.near, calibration.minutes(1)
    )
    return contacts, _holds_in(seen, _moments_of(contacts, meetings), model, contacts)


def _holds_in(
    sights: "_Sights", moments: Moments, usual: "_Model", contacts: Sequence[Contact]
) -> Engagements:
    model = usual
    for _ in range(_ROUNDS):
        posterior = expect(moments, model.odds(sights), len(contacts))
        following = usual.learnt(sights, moments, posterior, model)
        close = abs(following.jitter_um - model.jitter_um) < _CLOSE
        model = following
        if close:
            break
    posterior = expect(moments, model.odds(sights), len(contacts))
    return Engagements(
        engagements=tuple(_runs(moments, posterior, contacts)), probability=1 - posterior.never
    )


def _runs(moments: Moments, posterior: Posterior, contacts: Sequence[Contact]) -> list[Engagement]:
    """Runs of frames of a contact that are engaged alike, at one place: surely enough to be counted, or less so."""
    order = np.lexsort((moments.moment, moments.contact))
    order = order[moments.row[order] >= 0]
    contact, engaged = moments.contact[order], posterior.engaged[order]
    sure = (engaged >= _LEAST) + (engaged >= COUNTED).astype(np.int64)
    begins = np.ones(len(order), dtype=np.bool_)
    gripped_anew = posterior.held[order][1:] < 0.5 * np.minimum(engaged[1:], engaged[:-1])
    begins[1:] = (np.diff(contact) != 0) | (np.diff(sure) != 0) | gripped_anew
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(order)) - 1
    return [
        Engagement(
            contact_id=contacts[contact[a]].contact_id,
            first_frame=int(moments.frame[order[a]]),
            last_frame=int(moments.frame[order[b]]),
            probability=float(engaged[a : b + 1].mean()),
        )
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
        if sure[a]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sights:
    """What is seen in each row of the meetings."""

    step_um: Floats  # step beside the target since the row before
    step: Ints  # its bin
    near: Ints  # bin of how much of the effector's outline lies at the target's, where they touch, else of the gap
    apart: Ints  # frames since the row before in which both were seen further apart

    @classmethod
    def of(
        cls, meetings: Meetings, sight: Sight, effectors: CellMeasures, targets: CellMeasures
    ) -> "_Sights":
        effector = _rows_of(effectors, meetings.frame, meetings.effector_label)
        target = _rows_of(targets, meetings.frame, meetings.target_label)
        step = np.zeros(len(effector))
        step[1:] = np.hypot(
            np.diff(effectors.y_um[effector] - targets.y_um[target]),
            np.diff(effectors.x_um[effector] - targets.x_um[target]),
        )
        later = 1 + np.flatnonzero((np.diff(meetings.effector) == 0) & (np.diff(meetings.target) == 0))
        apart = np.zeros(len(step), dtype=np.int64)
        apart[later] = sight.frames_seen(
            meetings.effector[later],
            meetings.target[later],
            meetings.frame[later - 1] + 1,
            meetings.frame[later],
            enough=int(meetings.frame.max()) + 2,
        )
        outline_um = 2 * np.sqrt(np.pi * effectors.area_um2[effector])
        face = np.searchsorted(
            _FACE_EDGES, meetings.interface_um / np.maximum(outline_um, 1e-9), side="right"
        )
        gap = np.searchsorted(_GAP_EDGES_UM, meetings.gap_um, side="left")
        return cls(
            step_um=step,
            step=np.searchsorted(_STEP_EDGES_UM, step, side="right") - 1,
            near=np.where(gap == 0, face, len(_FACE_EDGES) + gap),
            apart=apart,
        )


def _rows_of(measures: CellMeasures, frame: Ints, label: Ints) -> Ints:
    span = int(measures.label.max(initial=0)) + 1
    known = measures.frame.astype(np.int64) * span + measures.label
    order = np.argsort(known, kind="stable")
    rows: Ints = order[np.searchsorted(known, frame * span + label, sorter=order)]
    return rows


def _moments_of(contacts: Sequence[Contact], meetings: Meetings) -> Moments:
    """The contacts of each effector beside each other, in the frames in which it is seen beside a target."""
    span, highest = int(meetings.frame.max()) + 2, int(meetings.target.max()) + 1
    key = (meetings.effector * highest + meetings.target) * span + meetings.frame
    effector, target, first, last = np.array(
        [(c.effector_track_id, c.target_track_id, c.first_frame, c.last_frame) for c in contacts]
    ).T
    pair = (effector * highest + target) * span
    rows, _ = _ranges(np.searchsorted(key, pair + first), np.searchsorted(key, pair + last) + 1)
    times = np.unique(meetings.effector[rows] * span + meetings.frame[rows])
    begun, ended = (np.searchsorted(times, effector * span + frame) for frame in (first, last))
    moment, contact = _ranges(begun, ended + 1)  # entry by entry of one contact after the other
    asked = pair[contact] + times[moment] % span
    place = np.minimum(np.searchsorted(key, asked), len(key) - 1)
    order = np.lexsort((contact, moment))
    at = np.argsort(order)
    goes_on = np.flatnonzero(np.diff(contact) == 0)
    before, after = np.full(len(order), -1), np.full(len(order), -1)
    before[at[goes_on + 1]] = at[goes_on]
    after[at[goes_on]] = at[goes_on + 1]
    opens = np.ones(len(times), dtype=np.bool_)
    opens[1:] = np.diff(times) > 1
    opens[moment[order][before >= 0]] = False
    return Moments(
        begin=np.searchsorted(moment[order], np.arange(len(times) + 1)),
        opens=opens,
        moment=moment[order],
        contact=contact[order],
        frame=times[moment[order]] % span,
        row=np.where(key[place] == asked, place, -1)[order],
        before=before,
        after=after,
    )


def _ranges(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """start, start + 1, ..., stop - 1 of every range, and which range each is of."""
    length = stop - start
    of = np.repeat(np.arange(len(length)), length)
    return np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - start, length), of


def _free_steps(
    pairs: Pairs, effectors: CellMeasures, tracks: Tracks, masked_frames: Collection[int]
) -> Floats:
    """How many steps of effectors that are near no target fall into each bin."""
    span = int(effectors.label.max(initial=0)) + 1
    near = np.unique(pairs.frame.astype(np.int64) * span + pairs.effector_label)
    order = np.lexsort((effectors.frame, tracks.track_id))
    frame = effectors.frame[order].astype(np.int64)
    alone = ~np.isin(frame * span + effectors.label[order], near) & ~np.isin(frame, sorted(masked_frames))
    steps = np.hypot(np.diff(effectors.y_um[order]), np.diff(effectors.x_um[order]))
    usable = (np.diff(tracks.track_id[order]) == 0) & (np.diff(frame) == 1) & alone[1:] & alone[:-1]
    return np.histogram(steps[usable], _STEP_EDGES_UM)[0].astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """Chances of what is seen while engaged and while free, and of going from one to the other."""

    jitter_um: float  # per axis, of steps while engaged
    step_free: Floats
    near_engaged: Floats
    near_free: Floats
    begins: float
    takes_hold: float
    stays: float

    @classmethod
    def usual(cls, free_steps: Floats, near: Ints, frame_min: float) -> "_Model":
        """What holds where a film says little: steps of free effectors are its own, if there are enough."""
        few = free_steps.sum() < _LEAST_FREE_STEPS
        free = np.diff(-np.exp(-_STEP_EDGES_UM / 10.0)) if few else free_steps + 0.5
        faces = 1.0 + np.bincount(near, minlength=len(_FACE_EDGES) + 1)[: len(_FACE_EDGES) + 1]
        near_engaged, near_free = (
            np.concatenate([gaps[0] * faces / faces.sum(), gaps[1:]]) for gaps in (_GAP_ENGAGED, _GAP_FREE)
        )
        return cls(
            jitter_um=_JITTER_UM,
            step_free=free / free.sum(),
            near_engaged=near_engaged,
            near_free=near_free,
            begins=_BEGINS,
            takes_hold=float(-np.expm1(-frame_min / _FREE_MIN)),
            stays=float(np.exp(-frame_min / _HOLDS_MIN)),
        )

    @property
    def step_engaged(self) -> Floats:
        """Rayleigh's distribution by bins, and some strays."""
        still = np.diff(-np.exp(-(_STEP_EDGES_UM**2) / (2 * self.jitter_um**2)))
        return np.asarray((1 - _STRAY) * still + _STRAY * self.step_free)

    def odds(self, sights: _Sights) -> Odds:
        """How much likelier what each row shows is while engaged than while free."""
        return Odds(
            still=(self.step_engaged / self.step_free)[sights.step] * _APART**sights.apart,
            near=(self.near_engaged / self.near_free)[sights.near],
            begins=self.begins,
            takes_hold=self.takes_hold,
            stays=self.stays,
            elsewhere=_ELSEWHERE,
        )

    def learnt(self, sights: _Sights, moments: Moments, seen: Posterior, now: "_Model") -> "_Model":
        """The same as the film shows it under `now`; these chances are the prior."""
        rows, new = moments.row >= 0, moments.before < 0
        row, engaged = moments.row[rows], seen.engaged[rows]
        stray = _STRAY * now.step_free / np.maximum(now.step_engaged, 1e-300)
        held = seen.held[rows] * (1 - stray[sights.step[row]])
        squares = 2 * _PRIOR_COUNT * self.jitter_um**2 + float(np.sum(held * sights.step_um[row] ** 2))
        taken, free = seen.engaged - seen.held, seen.free[moments.moment]

        def share(prior: Floats, weight: Floats) -> Floats:
            counts = np.bincount(sights.near[row], weights=weight, minlength=len(prior))
            return np.asarray((_PRIOR_NEAR * prior + counts) / (_PRIOR_NEAR + counts.sum()))

        def chance(prior: float, yes: Floats, no: Floats) -> float:
            return float((_PRIOR_COUNT * prior + yes.sum()) / (_PRIOR_COUNT + yes.sum() + no.sum()))

        lets_go = seen.engaged[moments.after >= 0].sum() - seen.held.sum()
        return replace(
            self,
            jitter_um=float(np.sqrt(squares / (2 * (_PRIOR_COUNT + float(held.sum()))))),
            near_engaged=share(self.near_engaged, engaged),
            near_free=share(self.near_free, 1 - engaged),
            begins=chance(self.begins, taken[new], free[new]),
            takes_hold=chance(self.takes_hold, taken[rows & ~new], free[rows & ~new]),
            stays=chance(self.stays, seen.held, lets_go),
        )
