"""What stands after all decisions: replayed from the logs, or kept up to date while a reader works; both are the same.

Every event's state follows from the decisions on it that were not undone, in their order, and from nothing else.
Readers never overwrite each other: where they contradict, the event is a disagreement until somebody settles it.
A retime or a killer also says that the death is real. An accept stands for the event as it was shown, with its
frame, and unless blinded with its killer. Frames up to `SAME_FRAMES` apart are no contradiction.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length
from assay.review.decisions import TRACK_VERBS, Decision

STATUSES = ("pending", "accepted", "rejected", "unsure", "disagreement", "withdrawn")
"""Codes of `ReviewState.status`; only an event that a reader added can be withdrawn (its adding was undone)."""
PENDING, ACCEPTED, REJECTED, UNSURE, DISAGREEMENT, WITHDRAWN = range(6)

SAME_FRAMES = 2
"""Two readers whose frames of a death are so close mean the same moment."""

_VERDICTS = {"accept": ACCEPTED, "add": ACCEPTED, "retime": ACCEPTED, "killer": ACCEPTED, "reject": REJECTED}
_VERDICTS |= {"unsure": UNSURE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one reader says of an event."""

    status: int  # code of STATUSES
    frame: int | None = None  # None: as it was shown
    killer: float | None = None  # effector's track id; NaN: nobody; None: as it was shown
    reason: str = ""
    blinded: bool = False
    sees_killer: bool = True  # whether an accept speaks of the killer too


@dataclass(slots=True)
class EventState:
    """What stands on one event; compare by value."""

    status: int = PENDING
    frame: int = 0
    killer: float = math.nan
    retimed: bool = False
    killer_chosen: bool = False
    flagged: bool = False
    settled: bool = False
    about: str = ""  # what a disagreement is about: death, frame or killer
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # reader -> what stands of hers
    repeats: dict[str, Verdict] = field(default_factory=dict)  # second readings, which change nothing
    notes: tuple[tuple[str, str], ...] = ()  # (reader, note)


class ReviewState:
    """What stands now. Read it; `Sitting` and `replay` change it.

    The arrays have one entry per row of `events`, which holds the pipeline's events, those it did not call last, and then
    those that readers added, in the order of their adding; rows never move.
    """

    def __init__(self, events: Table) -> None:
        self.events: Table = dict(events)
        self.decisions: list[Decision] = []
        self._idle: list[str] = []
        self._texts: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        self._undone: set[tuple[str, int]] = set()
        self._by_key: dict[tuple[str, int], Decision] = {}
        self._of_event: dict[str, list[Decision]] = {}
        self._rows = {name: row for row, name in enumerate(events["event"].tolist())}
        self.n_pipeline_events = length(events)
        self._state: dict[str, EventState] = {}
        self.status = np.full(self.n_pipeline_events, PENDING, dtype=np.int8)
        self.frame: NDArray[np.int64] = np.asarray(events["frame"], dtype=np.int64).copy()
        self.killer: NDArray[np.float64] = np.asarray(events["killer_track_id"], dtype=np.float64).copy()
        self.retimed = np.zeros(self.n_pipeline_events, dtype=bool)
        self.killer_chosen = np.zeros(self.n_pipeline_events, dtype=bool)
        self.flagged = np.zeros(self.n_pipeline_events, dtype=bool)
        self.n_readers = np.zeros(self.n_pipeline_events, dtype=np.int16)

    def row_of(self, event: str) -> int | None:
        """Row of an event; None where there is none of that name."""
        return self._rows.get(event)

    def status_of(self, event: str) -> str:
        """One of STATUSES."""
        return STATUSES[self.status[self._rows[event]]]

    def of(self, event: str) -> EventState:
        """All that stands on an event."""
        if event in self._state:
            return self._state[event]
        frame, killer = self.shown(event)
        return EventState(frame=frame, killer=killer)

    @property
    def judged(self) -> list[str]:
        """Events on which there was ever a decision."""
        return list(self._state)

    def shown(self, event: str) -> tuple[int, float]:
        """(frame, killer) as the pipeline had them; of an added event as its first reader had them."""
        row = self._rows[event]
        return int(self.events["frame"][row]), float(self.events["killer_track_id"][row])

    def decisions_on(self, event: str) -> list[Decision]:
        """Decisions on an event that stand, in order, undone ones left out."""
        return [one for one in self._of_event.get(event, ()) if one.key not in self._undone]

    def is_undone(self, decision: Decision) -> bool:
        """Whether it was undone, and not done again."""
        return decision.key in self._undone

    @property
    def track_edits(self) -> list[Decision]:
        """Splits, joins and swaps of tracks that stand, in order."""
        return [one for one in self.decisions if one.verb in TRACK_VERBS and one.key not in self._undone]

    @property
    def label_edits(self) -> list[Decision]:
        """Changes of label images that stand, in order."""
        return [one for one in self.decisions if one.verb == "labels" and one.key not in self._undone]

    @property
    def added(self) -> list[str]:
        """Events that readers added and that stand."""
        names = self.events["event"][self.n_pipeline_events :].tolist()
        return [name for name in names if self.status[self._rows[name]] != WITHDRAWN]

    @property
    def problems(self) -> list[str]:
        """Decisions that say nothing here, in words."""
        lost = [one for name, said in self._of_event.items() if name not in self._rows for one in said]
        return self._idle + [f"{_said(one)}: there is no event {one.event}." for one in lost]

    def texts(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """(code of every row, the different texts in order, which the codes count) of a text column; kept until a row comes."""
        if name not in self._texts:
            self._texts[name] = coded(self.events[name])
        return self._texts[name]

    @property
    def is_uncalled(self) -> NDArray[np.bool_]:
        """Rows of deaths that the pipeline found too doubtful to call."""
        uncalled = np.asarray(self.events["death_id"] == 0)
        uncalled[self.n_pipeline_events :] = False
        return uncalled

    @property
    def counts_as_event(self) -> NDArray[np.bool_]:
        """Rows that are events: those that were not called only where a reader says that they are deaths."""
        said = (self.status == ACCEPTED) | (self.status == DISAGREEMENT)
        return np.asarray((self.status != WITHDRAWN) & (said | ~self.is_uncalled), dtype=bool)

    def counts(self) -> dict[str, int]:
        """How many events have which status; deaths that were not called count once a reader says that they are deaths."""
        found = np.bincount(self.status[self.counts_as_event], minlength=len(STATUSES)).tolist()
        found[WITHDRAWN] = int(np.sum(self.status == WITHDRAWN))
        return dict(zip(STATUSES, found, strict=True))

    def apply(self, decision: Decision) -> list[str]:
        """Take one more decision; returns the names of the events that it changes."""
        touched = self.take(decision)
        for name in touched:
            self.settle_row(name)
        return touched

    def take(self, decision: Decision) -> list[str]:
        """Write a decision down without drawing the conclusion; `settle_row` does that."""
        if decision.key in self._by_key:
            self._idle.append(f"{_said(decision)} is there twice; the second is not counted.")
            return []
        self._by_key[decision.key] = decision
        self.decisions.append(decision)
        if decision.verb in ("undo", "redo"):
            return self._turn(decision)
        if decision.verb in TRACK_VERBS or decision.verb == "labels":
            return []
        self._of_event.setdefault(decision.event, []).append(decision)
        if decision.event not in self._rows:
            if decision.verb != "add":  # of an event that is added later, by another clock
                return []
            self._append_row(decision)
        return [decision.event]

    def settle_row(self, event: str) -> None:
        """Draw the conclusion from the decisions that stand on an event."""
        row = self._rows[event]
        now = conclude(
            self.decisions_on(event), shown=self.shown(event), is_added=row >= self.n_pipeline_events
        )
        self._state[event] = now
        self.status[row], self.frame[row], self.killer[row] = now.status, now.frame, now.killer
        self.retimed[row], self.killer_chosen[row], self.flagged[row] = (
            now.retimed,
            now.killer_chosen,
            now.flagged,
        )
        self.n_readers[row] = len(now.verdicts)

    def _turn(self, decision: Decision) -> list[str]:
        key = (str(decision.values.get("sitting") or decision.sitting), int(decision.values["number"]))
        meant = self._by_key.get(key)
        if meant is None or meant.reader != decision.reader or meant.verb in ("undo", "redo"):
            self._idle.append(
                f"{_said(decision)}: no decision {key[1]} of {decision.reader} to {decision.verb}."
            )
            return []
        (self._undone.add if decision.verb == "undo" else self._undone.discard)(key)
        return [meant.event] if meant.event in self._rows else []

    def _append_row(self, decision: Decision) -> None:
        known = _row_of_added(decision, self.events)
        self.events = {
            name: np.append(column, _cell(known.get(name), column)) for name, column in self.events.items()
        }
        self._texts.clear()
        self._rows[decision.event] = len(self.status)
        self.status = np.append(self.status, np.int8(WITHDRAWN))
        self.frame = np.append(self.frame, np.int64(decision.values["frame"]))
        self.killer = np.append(self.killer, np.nan)
        for name in ("retimed", "killer_chosen", "flagged", "n_readers"):
            column = getattr(self, name)
            setattr(self, name, np.append(column, np.zeros(1, dtype=column.dtype)))


def coded(column: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """(code of every row, the different texts in order); None is an empty text."""
    texts = [text or "" for text in column.tolist()]
    order = {text: code for code, text in enumerate(sorted(set(texts)))}
    codes = np.fromiter(map(order.__getitem__, texts), dtype=np.int64, count=len(texts))
    return codes, list(order)


def texts_of(events: Table, state: ReviewState, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """`coded` of a text column; the state keeps the codes of its own events' texts."""
    return state.texts(name) if events[name] is state.events[name] else coded(events[name])


def replay(decisions: Iterable[Decision], events: Table) -> ReviewState:
    """The state after these decisions, in their order."""
    state = ReviewState(events)
    touched: dict[str, None] = {}
    for decision in decisions:
        touched.update(dict.fromkeys(state.take(decision)))
    for name in touched:
        state.settle_row(name)
    return state


def conclude(decisions: Iterable[Decision], *, shown: tuple[int, float], is_added: bool) -> EventState:
    """What follows from the decisions on one event that stand.

    Args:
        decisions: In their order, undone ones left out.
        shown: (frame, killer) as the pipeline had them.
        is_added: The pipeline had no such event.
    """
    now = EventState(frame=shown[0], killer=shown[1])
    flags: dict[str, bool] = {}
    opinions: dict[str, Verdict] = {}  # what counts: the settlement, and what was said after it
    adders: set[str] = set()
    for one in decisions:
        if one.note:
            now.notes = (*now.notes, (one.reader, one.note))
        if one.verb == "flag":
            flags[one.reader] = bool(one.values["flag"])
        elif one.verb == "settle":
            opinions = {"": _with_standing(_settlement(one), opinions, shown)}
            now.settled = True
        elif one.reading == 2:
            now.repeats[one.reader] = _moved(now.repeats.get(one.reader), one)
        else:
            if one.verb == "add":
                adders.add(one.reader)
            verdict = _moved(now.verdicts.get(one.reader), one)
            if not one.blinded and one.was.get("status") == "accepted" and one.verb in ("accept", "killer"):
                verdict = _with_standing(verdict, opinions, shown)  # shown as others had it by then
            now.verdicts[one.reader] = opinions[one.reader] = verdict
    now.flagged = any(flags.values())
    if is_added and not adders:
        return replace(now, status=WITHDRAWN, verdicts={}, repeats={}, settled=False)
    if opinions:
        _weigh(now, list(opinions.values()), shown)
    return now


def _moved(before: Verdict | None, one: Decision) -> Verdict:
    """A reader's verdict after one more of her decisions: an accept keeps her frame and killer, a rejection does too."""
    base = before or Verdict(status=PENDING)
    verdict = replace(base, status=_VERDICTS[one.verb], reason=one.reason, blinded=one.blinded)
    if one.verb == "accept":
        verdict = replace(verdict, sees_killer=not one.blinded)
    if one.verb in ("retime", "add"):
        verdict = replace(
            verdict, frame=int(one.values["frame"]), sees_killer=base.sees_killer and before is not None
        )
    if one.verb == "killer":
        verdict = replace(verdict, killer=_killer_of(one.values), sees_killer=True)
    return verdict


def _settlement(one: Decision) -> Verdict:
    values = one.values
    killer = _killer_of(values) if "effector_track_id" in values else None
    frame = int(values["frame"]) if "frame" in values else None
    status = {"accepted": ACCEPTED, "rejected": REJECTED, "unsure": UNSURE}[values["status"]]
    return Verdict(status=status, frame=frame, killer=killer)


def _with_standing(verdict: Verdict, opinions: Mapping[str, Verdict], shown: tuple[int, float]) -> Verdict:
    """A verdict with the frame and killer that it leaves open as those who say death agree on them."""
    yes = [one for one in opinions.values() if one.status == ACCEPTED]
    frames, killers, chosen = _named(yes, shown)
    if verdict.frame is None and frames and max(frames) - min(frames) <= SAME_FRAMES:
        verdict = replace(verdict, frame=sorted(frames)[(len(frames) - 1) // 2])
    if verdict.killer is None and chosen and all(_same_killer(one, chosen[0]) for one in killers):
        verdict = replace(verdict, killer=chosen[0])
    return verdict


def _named(yes: list[Verdict], shown: tuple[int, float]) -> tuple[list[int], list[float], list[float]]:
    """(frames, killers, killers that were chosen and not only seen) of those who say death."""
    frames = [one.frame if one.frame is not None else shown[0] for one in yes]
    chosen = [one.killer for one in yes if one.killer is not None]
    seen = [shown[1] for one in yes if one.killer is None and one.sees_killer]
    return frames, chosen + seen, chosen


def _weigh(now: EventState, opinions: list[Verdict], shown: tuple[int, float]) -> None:
    statuses = {one.status for one in opinions}
    certain = statuses - {UNSURE}
    if len(certain) > 1:
        now.status, now.about = DISAGREEMENT, "death"
        return
    now.status = certain.pop() if certain else UNSURE
    if now.status != ACCEPTED:
        return
    yes = [one for one in opinions if one.status == ACCEPTED]
    frames, killers, chosen = _named(yes, shown)
    if max(frames) - min(frames) > SAME_FRAMES:
        now.status, now.about = DISAGREEMENT, "frame"
    elif any(not _same_killer(one, killers[0]) for one in killers):
        now.status, now.about = DISAGREEMENT, "killer"
    else:
        now.frame = sorted(frames)[(len(frames) - 1) // 2]
        now.retimed = now.frame != shown[0]
        if chosen:
            now.killer, now.killer_chosen = chosen[0], True


def _same_killer(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _killer_of(values: Mapping[str, Any]) -> float:
    effector = values["effector_track_id"]
    return math.nan if effector is None else float(effector)


def _row_of_added(decision: Decision, events: Table) -> dict[str, Any]:
    """What is known of an event that a reader added; the rest is unknown."""
    known: dict[str, Any] = {
        **decision.anchor,
        **decision.values,
        "event": decision.event,
        "evidence": "reader",
    }
    frame = known["frame"]
    known |= {"first_possible_frame": frame, "last_possible_frame": frame, "probability": 1.0}
    known |= {"death_id": 0, "flags": "added", "n_candidates": 0, "condition": ""}
    here = np.flatnonzero(events["well"] == known["well"])
    if len(here):
        known["condition"] = events["condition"][here[0]]
    film = here[(events["field"][here] == known["field"]) & (events["frame"][here] > 0)]
    frame_min = events["time_min"][film] / events["frame"][film]
    if len(film) and np.ptp(frame_min) <= 1e-6 * abs(frame_min[0]):  # a film of even intervals
        known["time_min"] = float(frame_min[0]) * frame
    return known


def _cell(value: Any, column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype == object:
        cell = np.empty(1, dtype=object)
        cell[0] = value
        return cell
    unknown = np.nan if column.dtype.kind == "f" else 0
    return np.array([unknown if value is None else value], dtype=column.dtype)


def _said(decision: Decision) -> str:
    return f"{decision.verb} of {decision.reader or 'nobody'} ({decision.sitting} {decision.number})"
