"""When an effector truly holds on to a target within a contact, and when it only passes by.

Knows contacts, pairs, tracks and places of cells. Knows nothing of killing. A contact says how near two outlines are; here
it is asked whether the effector stands still beside the target, by a hidden Markov model with the states "engaged" and
"free", learnt from the film itself by expectation-maximisation (Baum 1970, doi:10.1214/aoms/1177697196).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.contacts import Contact, Meetings, Sight, contacts_among, meet
from assay.labels import CellMeasures, Pairs
from assay.tracks import Tracks
from assay.units import Calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEP_EDGES_UM = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 14, 20, 30, np.inf])
_GAP_EDGES_UM = np.array([0.0, 0.5, 1, 1.5, 2, 2.5, np.inf])
_JITTER_UM = (
    1.5  # per axis: what outlines of a resting pair jitter by from frame to frame, before the film says
)
_STRAY = 0.01  # share of steps while engaged that are like any other: wrong links, torn outlines
_GAP_ENGAGED = np.array([0.45, 0.18, 0.15, 0.1, 0.06, 0.04, 0.02])
_GAP_FREE = np.array([0.25, 0.12, 0.12, 0.13, 0.13, 0.13, 0.12])
_BEGINS = 0.6  # share of contacts that begin engaged
_HOLDS_MIN = 10.0  # mean time at one place
_ELSEWHERE = 0.2  # share of letting go after which it holds on elsewhere by the next frame
_FREE_MIN = 6.0  # mean time beside a target until it takes hold
_APART = 0.05  # chance of a frame above leave_um within one engagement
_PRIOR_COUNT = 30.0  # what is usual counts as so many frames
_LEAST_FREE_STEPS = 20
_ROUNDS = 40
_CLOSE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """An effector holds on to a target at one place, within a contact."""

    contact_id: int
    first_frame: int
    last_frame: int  # included
    probability: float  # mean over its frames that the effector is engaged


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
    effectors do that are near no target. How still "still" is, and how near engaged cells lie, is learnt from all
    contacts of the field, how free effectors walk from all that are near no target; where there are few, usual
    values hold. Masked and missed frames carry no evidence.

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
    beside = _places(effectors, meetings.frame, meetings.effector_label) - _places(
        targets, meetings.frame, meetings.target_label
    )
    visits = _visits_of(contacts, meetings, sight, beside)
    free = _free_steps(pairs, effectors, effector_tracks, masked_frames)
    return contacts, _holds_in(visits, contacts, meetings, free, calibration)


def _holds_in(
    visits: "_Visits",
    contacts: Sequence[Contact],
    meetings: Meetings,
    free: Floats,
    calibration: Calibration,
) -> Engagements:
    model = start = _Model.usual(free, calibration.minutes(1))
    for _ in range(_ROUNDS):
        posterior = _expect(visits, model)
        following = start.learnt(visits, posterior, model)
        close = abs(following.jitter_um - model.jitter_um) < _CLOSE
        model = following
        if close:
            break
    posterior = _expect(visits, model)
    found = [
        Engagement(
            contact_id=contacts[visits.contact[visit]].contact_id,
            first_frame=int(meetings.frame[first]),
            last_frame=int(meetings.frame[last]),
            probability=float(posterior.engaged[first : last + 1].mean()),
        )
        for visit, first, last in _most_probable(visits, model)
    ]
    probability = np.zeros(len(contacts))
    probability[visits.contact] = 1 - posterior.never
    return Engagements(
        engagements=tuple(sorted(found, key=lambda e: (e.contact_id, e.first_frame))), probability=probability
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    """The contacts as runs of rows of the meetings, the longest first."""

    contact: Ints  # place among the contacts
    first: Ints  # row
    length: Ints
    step_um: Floats  # (rows,) step beside the target since the row before
    step: Ints  # (rows,) its bin
    gap: Ints  # (rows,) bin of the gap
    apart: Ints  # (rows,) frames since the row before in which both were seen further apart

    def rows(self, k: int) -> Ints:
        """The k-th row of every visit that has as many: they are the first so many visits."""
        active = int(np.searchsorted(-self.length, -k, side="left"))
        rows: Ints = self.first[:active] + k
        return rows


def _visits_of(contacts: Sequence[Contact], meetings: Meetings, sight: Sight, beside: Floats) -> _Visits:
    span = int(meetings.frame.max()) + 2
    highest = int(meetings.target.max()) + 1
    key = (meetings.effector * highest + meetings.target) * span + meetings.frame
    names = np.array(
        [(c.effector_track_id * highest + c.target_track_id, c.first_frame, c.last_frame) for c in contacts]
    )
    first = np.searchsorted(key, names[:, 0] * span + names[:, 1])
    length = np.searchsorted(key, names[:, 0] * span + names[:, 2], side="right") - first
    order = np.argsort(-length, kind="stable")
    step = np.zeros(len(key))
    step[1:] = np.hypot(*np.diff(beside, axis=0).T)
    apart = np.zeros(len(key), dtype=np.int64)
    same = np.flatnonzero(np.diff(key) < span - 1) + 1
    same = same[meetings.frame[same] > meetings.frame[same - 1]]
    apart[same] = sight.frames_seen(
        meetings.effector[same],
        meetings.target[same],
        meetings.frame[same - 1] + 1,
        meetings.frame[same],
        enough=span,
    )
    return _Visits(
        contact=order,
        first=first[order],
        length=length[order],
        step_um=step,
        step=np.searchsorted(_STEP_EDGES_UM, step, side="right") - 1,
        gap=np.searchsorted(_GAP_EDGES_UM, meetings.gap_um, side="left"),
        apart=apart,
    )


def _places(measures: CellMeasures, frame: Ints, label: Ints) -> Floats:
    span = int(measures.label.max(initial=0)) + 1
    known = measures.frame.astype(np.int64) * span + measures.label
    order = np.argsort(known, kind="stable")
    row = order[np.searchsorted(known, frame * span + label, sorter=order)]
    return np.stack([measures.y_um[row], measures.x_um[row]], axis=1)


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
    gap_engaged: Floats
    gap_free: Floats
    begins: float
    goes_on: Floats  # from engaged: holds on, holds on elsewhere, lets go
    takes_hold: float

    @classmethod
    def usual(cls, free_steps: Floats, frame_min: float) -> "_Model":
        """What holds where a film says little: steps of free effectors are its own, if there are enough."""
        few = free_steps.sum() < _LEAST_FREE_STEPS
        free = np.diff(-np.exp(-_STEP_EDGES_UM / 10.0)) if few else free_steps + 0.5
        free = free / free.sum()
        lets_go = -np.expm1(-frame_min / _HOLDS_MIN)
        return cls(
            jitter_um=_JITTER_UM,
            step_free=free,
            gap_engaged=_GAP_ENGAGED,
            gap_free=_GAP_FREE,
            begins=_BEGINS,
            goes_on=np.array([1 - lets_go, _ELSEWHERE * lets_go, (1 - _ELSEWHERE) * lets_go]),
            takes_hold=float(-np.expm1(-frame_min / _FREE_MIN)),
        )

    @property
    def step_engaged(self) -> Floats:
        """Rayleigh's distribution by bins, and some strays."""
        still = np.diff(-np.exp(-(_STEP_EDGES_UM**2) / (2 * self.jitter_um**2)))
        return np.asarray((1 - _STRAY) * still + _STRAY * self.step_free)

    def learnt(self, visits: _Visits, seen: "_Posterior", now: "_Model") -> "_Model":
        """The same with the jitter and the gaps that were seen; these chances are the prior."""
        stray = _STRAY * now.step_free / np.maximum(now.step_engaged, 1e-300)
        held = seen.held * (1 - stray[visits.step])
        squares = 2 * _PRIOR_COUNT * self.jitter_um**2 + float(np.sum(held * visits.step_um**2))

        def share(prior: Floats, counts: Floats) -> Floats:
            total = _PRIOR_COUNT * prior + counts
            return np.asarray(total / total.sum())

        return replace(
            self,
            jitter_um=float(np.sqrt(squares / (2 * (_PRIOR_COUNT + float(held.sum()))))),
            gap_engaged=share(self.gap_engaged, seen.gaps[0]),
            gap_free=share(self.gap_free, seen.gaps[1]),
        )

    def moves(self, visits: _Visits, rows: Ints) -> Floats:
        """(5, rows): holds on, holds on elsewhere, lets go, takes hold, stays free; step included."""
        still = self.step_engaged[visits.step[rows]] * _APART ** visits.apart[rows]
        free = self.step_free[visits.step[rows]]
        chances = (*self.goes_on, self.takes_hold, 1 - self.takes_hold)
        return np.stack([chances[0] * still, *(chance * free for chance in chances[1:])])

    def sight(self, visits: _Visits, rows: Ints) -> Floats:
        """(2, rows): chance of the gap while engaged, while free."""
        return np.stack([self.gap_engaged[visits.gap[rows]], self.gap_free[visits.gap[rows]]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posterior:
    """What one pass over all visits says."""

    engaged: Floats  # (rows,) probability
    never: Floats  # (visits,) probability that it holds on from no row to the next
    held: Floats  # (rows,) probability of having held on since the row before
    gaps: Floats  # (2, bins) while engaged, while free


def _expect(visits: _Visits, model: _Model) -> _Posterior:
    """Forward and backward through all visits at once, one row of each at a time."""
    n_rows, n_visits = len(visits.step), len(visits.first)
    rows = [visits.rows(k) for k in range(int(visits.length[0]))]
    start = np.array([[model.begins], [1 - model.begins]]) * model.sight(visits, rows[0])
    forward, scale = [start / start.sum(axis=0)], [start.sum(axis=0)]
    fleeting = forward[0]  # the ways that never hold on from one row to the next
    never = np.ones(n_visits)
    for k in range(1, len(rows)):
        sight, move = model.sight(visits, rows[k]), model.moves(visits, rows[k])
        engaged, free = forward[-1][:, : len(rows[k])]
        both = sight * np.stack(
            [engaged * (move[0] + move[1]) + free * move[3], engaged * move[2] + free * move[4]]
        )
        scale.append(both.sum(axis=0))
        forward.append(both / scale[-1])
        engaged, free = fleeting[:, : len(rows[k])]
        fleeting = sight * np.stack([engaged * move[1] + free * move[3], engaged * move[2] + free * move[4]])
        fleeting /= scale[-1]
        never[: len(rows[k])] = fleeting.sum(axis=0)
    posterior = np.zeros((2, n_rows))
    held = np.zeros(n_rows)
    backward = np.ones((2, n_visits))
    for k in range(len(rows) - 1, -1, -1):
        now = forward[k] * backward[:, : len(rows[k])]
        posterior[:, rows[k]] = now / now.sum(axis=0)
        if k == 0:
            break
        move = model.moves(visits, rows[k])
        ahead = model.sight(visits, rows[k]) * backward[:, : len(rows[k])] / scale[k]
        held[rows[k]] = forward[k - 1][0, : len(rows[k])] * move[0] * ahead[0]
        backward[:, : len(rows[k])] = np.stack(
            [(move[0] + move[1]) * ahead[0] + move[2] * ahead[1], move[3] * ahead[0] + move[4] * ahead[1]]
        )
    gaps = np.zeros((2, len(_GAP_ENGAGED)))
    for state in range(2):
        gaps[state] += np.bincount(visits.gap, weights=posterior[state], minlength=len(_GAP_ENGAGED))
    return _Posterior(engaged=posterior[0], never=never, held=held, gaps=gaps)


def _most_probable(visits: _Visits, model: _Model) -> list[tuple[int, int, int]]:
    """(visit, first row, last row) of the engagements on the most probable way through each visit (Viterbi)."""
    rows = [visits.rows(k) for k in range(int(visits.length[0]))]
    start = np.array([[model.begins], [1 - model.begins]]) * model.sight(visits, rows[0])
    best = np.log(start)
    ends = best.copy()
    came: list[NDArray[np.int64]] = [np.zeros((2, len(rows[0])), dtype=np.int64)]
    for k in range(1, len(rows)):
        before = best[:, : len(rows[k])][[0, 0, 0, 1, 1]]
        way = before + np.log(model.moves(visits, rows[k]))
        engaged, free = way[[0, 1, 3]], way[[2, 4]]
        came.append(np.stack([engaged.argmax(axis=0), free.argmax(axis=0)]))
        best = np.stack([engaged.max(axis=0), free.max(axis=0)]) + np.log(model.sight(visits, rows[k]))
        ends[:, : len(rows[k])] = best
    found = []
    for visit, (first, length) in enumerate(zip(visits.first.tolist(), visits.length.tolist(), strict=True)):
        state, last = int(ends[:, visit].argmax()), length - 1
        for k in range(length - 1, -1, -1):
            how = int(came[k][state, visit])
            if state == 0 and (k == 0 or how != 0):  # the engagement begins here
                found.append((visit, first + k, first + last))
            if state == 0:
                state, last = (1 if how == 2 else 0), (k - 1 if how else last)
            else:
                state, last = (0 if how == 0 else 1), k - 1
    return found
