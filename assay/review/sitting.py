"""One reader at work: every decision is on the disk first, then it counts.

sitting = Sitting(events, journal, reader="ana", earlier=read_logs(results))
sitting.changed.append(lambda names: table.refresh(names))
sitting.decide("accept", "B03/0/d17", dwell_ms=4200)
sitting.undo()                                            # also of what ana decided last week
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np

from assay.columns import Table
from assay.errors import ResultsError
from assay.review.decisions import EVENT_VERBS, HISTORY_VERBS, Decision, check_decision
from assay.review.events import new_event_name
from assay.review.state import (
    ACCEPTED,
    DISAGREEMENT,
    STATUSES,
    WITHDRAWN,
    ReviewState,
    replay,
)

Position = Callable[[str, int, str, int, int], tuple[float, float] | None]
"""(well, field, role, track_id, frame) -> (y_um, x_um) of a cell, None where it is not seen."""


class Journal(Protocol):
    """Where decisions are kept."""

    @property
    def sitting(self) -> str:
        """Name of the sitting, unique among all logs of a plate."""
        ...

    def append(self, record: Mapping[str, Any]) -> None:
        """Return only when the record is on the disk; raise when it is not."""
        ...


class MemoryJournal:
    """Keeps records in memory, for tests and for looking around without a trace."""

    def __init__(self, sitting: str = "memory") -> None:
        self.sitting = sitting
        self.records: list[Mapping[str, Any]] = []

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep it."""
        self.records.append(dict(record))


def utc_now() -> str:
    """The time as decisions write it, 2026-11-22T21:44:01.123Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Sitting:
    """One reader's live session over the events of a plate.

    Args:
        events: From `review_events`.
        journal: Where decisions go; must return only when they are safe.
        reader: Who decides.
        earlier: All decisions there are already, of all readers, in their order.
        blinded: Whether what the model and others say is hidden from the reader.
        position: Where a cell is, to write down with the choice of a killer; without it such a choice cannot be carried
            over to results that are made anew.
        clock: Gives the time.
    """

    def __init__(
        self,
        events: Table,
        journal: Journal,
        *,
        reader: str,
        earlier: Iterable[Decision] = (),
        blinded: bool = False,
        position: Position | None = None,
        clock: Callable[[], str] = utc_now,
    ) -> None:
        if not reader.strip():
            raise ResultsError("a review needs the name of its reader, as decisions are kept by reader.")
        self.reader, self.blinded = reader.strip(), blinded
        self.changed: list[Callable[[Sequence[str]], None]] = []
        self._journal, self._position, self._clock = journal, position, clock
        self.state: ReviewState = replay(earlier, events)
        self._number = 0
        self._not_before = _just_after(max((one.utc for one in self.state.decisions), default=""))
        mine = [
            one for one in self.state.decisions if one.reader == self.reader and one.verb not in HISTORY_VERBS
        ]
        self._done = [one for one in mine if not self.state.is_undone(one)]
        self._taken_back: list[Decision] = []

    def decide(
        self,
        verb: str,
        event: str = "",
        *,
        reason: str = "",
        note: str = "",
        dwell_ms: int = 0,
        reading: int = 1,
        **values: Any,
    ) -> Decision:
        """Decide something; when this returns, it is kept.

        Args:
            verb: One of `VERBS` but undo and redo.
            event: Name of the event; may be left out for `add`, tracks and labels.
            reason: Of a rejection, one of `REASONS`.
            note: In the reader's words.
            dwell_ms: How long the event was looked at.
            reading: 2 where a blinded reader was shown the event again.
            values: What the verb sets, e.g. frame=31 for `retime`, effector_track_id=5 (or None: nobody) for `killer`.

        Raises:
            ResultsError: There is no such event, or the values do not belong to the verb.
            StorageError: The disk refuses; the decision does not count.
        """
        values = {name: one.item() if isinstance(one, np.generic) else one for name, one in values.items()}
        if verb in HISTORY_VERBS:
            raise ResultsError(f"{verb} is not decided: call {verb}().")
        if verb == "add" and not event and {"well", "field", "target_track_id"} <= values.keys():
            event = new_event_name(values["well"], values["field"], values["target_track_id"])
        decision = Decision(
            verb=verb, event=event, values=self._with_place(verb, event, values), reason=reason, note=note,
            dwell_ms=int(dwell_ms), reading=reading, blinded=self.blinded,
        )  # fmt: skip
        check_decision(decision)
        self._refuse_senseless(decision)
        decision = replace(decision, was=self._stands(event, verb), anchor=self._anchor(decision))
        return self._keep(decision, undoes=None)

    def undo(self) -> Decision | None:
        """Take back this reader's last decision that stands; None where there is none."""
        return self._keep(self._history("undo", self._done[-1]), undoes=True) if self._done else None

    def redo(self) -> Decision | None:
        """Do again what was undone last; None where nothing was, or something was decided since."""
        return (
            self._keep(self._history("redo", self._taken_back[-1]), undoes=False)
            if self._taken_back
            else None
        )

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return bool(self._taken_back)

    @property
    def next_undo(self) -> Decision | None:
        """What `undo` would take back."""
        return self._done[-1] if self._done else None

    def status_of(self, event: str) -> str:
        """One of STATUSES."""
        return self.state.status_of(event)

    def _keep(self, decision: Decision, *, undoes: bool | None) -> Decision:
        number = self._number + 1
        utc = max(self._clock(), self._not_before)  # what was seen came before, whatever this clock says
        kept = replace(decision, reader=self.reader, sitting=self._journal.sitting, number=number, utc=utc)
        self._journal.append(kept.record())
        self._number = number
        touched = self.state.apply(kept)
        if undoes is None:
            self._done.append(kept)
            self._taken_back.clear()
        elif undoes:
            self._taken_back.append(self._done.pop())
        else:
            self._done.append(self._taken_back.pop())
        for listener in tuple(self.changed):
            listener(touched)
        return kept

    def _history(self, verb: str, meant: Decision) -> Decision:
        return Decision(
            verb=verb,
            event=meant.event,
            values={"number": meant.number, "sitting": meant.sitting},
            anchor=meant.anchor,
            blinded=self.blinded,
        )

    def _refuse_senseless(self, decision: Decision) -> None:
        state, event = self.state, decision.event
        if decision.verb == "add":
            self._refuse_second_death(decision)
        elif decision.verb in EVENT_VERBS and (
            state.row_of(event) is None or self.status_of(event) == "withdrawn"
        ):
            raise ResultsError(f"{decision.verb}: there is no event {event}.")
        if decision.verb == "settle":
            now = state.of(event)
            if now.status != DISAGREEMENT:
                raise ResultsError(f"settle {event}: its readers do not disagree.")
            needed = {"frame": "frame", "killer": "effector_track_id"}.get(now.about)
            if decision.values["status"] == "accepted" and needed and needed not in decision.values:
                raise ResultsError(
                    f"settle {event}: its readers disagree about the {now.about}; give {needed}."
                )

    def _refuse_second_death(self, decision: Decision) -> None:
        events, values = self.state.events, decision.values
        same = (events["target_track_id"] == values["target_track_id"]) & (events["field"] == values["field"])
        same &= (events["well"] == values["well"]) & (events["event"] != decision.event)
        same &= self.state.status != WITHDRAWN
        if same.any():
            name = events["event"][np.flatnonzero(same)[0]]
            raise ResultsError(
                f"add: target {values['target_track_id']} dies already in {name}; retime that event."
            )

    def _with_place(self, verb: str, event: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Where the chosen killer is, so that it is found again under another number."""
        row, effector = self.state.row_of(event), values.get("effector_track_id")
        if verb not in ("killer", "settle") or effector is None or row is None or self._position is None:
            return dict(values)
        events, frame = self.state.events, int(self.state.frame[row])
        place = self._position(
            events["well"][row], int(events["field"][row]), "effector", int(effector), frame
        )
        if place is None:
            return dict(values)
        return {**values, "effector_frame": frame, "effector_y_um": place[0], "effector_x_um": place[1]}

    def _anchor(self, decision: Decision) -> dict[str, float | int]:
        """Frame and place of the target, as the event was found; of an added one as the reader says."""
        events, row = self.state.events, self.state.row_of(decision.event)
        if row is not None and decision.verb != "add":
            frame = int(events["frame"][row])
            place: tuple[float, float] | None = (float(events["y_um"][row]), float(events["x_um"][row]))
            who = (events["well"][row], int(events["field"][row]), int(events["target_track_id"][row]))
        elif decision.verb == "add":
            values, place = decision.values, None
            frame = values["frame"]
            who = (values["well"], values["field"], values["target_track_id"])
        else:
            return {}
        if (place is None or not np.isfinite(place).all()) and self._position is not None:
            place = self._position(who[0], who[1], "target", who[2], frame)
        known = place is not None and bool(np.isfinite(place).all())
        return {"frame": frame} | (
            {"y_um": float(place[0]), "x_um": float(place[1])} if place and known else {}
        )

    def _stands(self, event: str, verb: str) -> dict[str, Any]:
        if self.state.row_of(event) is None:
            return {}
        now = self.state.of(event)
        was: dict[str, Any] = {"status": STATUSES[now.status]}
        if verb in ("retime", "settle"):
            was["frame"] = now.frame
        if verb in ("killer", "settle"):
            was["effector_track_id"] = None if np.isnan(now.killer) else int(now.killer)
        if verb == "flag":
            was["flag"] = now.flagged
        return was


def _just_after(utc: str) -> str:
    """A millisecond later; "" without a time, or where the log's is none."""
    try:
        later = datetime.fromisoformat(utc) + timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return ""
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_reviewed(status: int) -> bool:
    """Whether a status says that somebody decided."""
    return ACCEPTED <= status <= DISAGREEMENT
