"""One reader reviewing one RESULTS folder in one viewer: which event, what comes next, what was decided.

Knows results, decisions and images. Knows no window: widgets listen, and ask.

    session.moved.append(dock.show_event)    # a session is opened by `sessions.open_session`
    session.decide("accept")                 # the next pending event of the visible order is shown
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from assay.columns import Table
from assay.errors import AssayError, ResultsError
from assay.io.review_logs import ReviewLog
from assay.labels import ChannelRole
from assay.review.blinding import Blinding
from assay.review.events import ContactBook, event_row
from assay.review.queue import review_order
from assay.review.sitting import Journal, Sitting
from assay.review.state import PENDING, STATUSES, ReviewState
from assay.stack import FieldId
from napari_plugin.blind_reading import BlindReading
from napari_plugin.candidate_rows import with_killer
from napari_plugin.cell_book import CellBook, FieldCells
from napari_plugin.clip_store import ClipStore
from napari_plugin.clips import Clip, ClipKey, make_clip
from napari_plugin.event_list import EventList
from napari_plugin.event_words import end_words, history_words
from napari_plugin.layers import Images

ADVANCING = ("accept", "reject", "unsure")
"""Decisions after which the next event is shown; a new time or killer stays, so that the reader sees it."""
MAX_CANDIDATES = 4
AHEAD = 3  # clips made before they are looked at
NEAR_UM = 15.0  # a missed event is added to a target whose centre is so near the cursor
_LONG_LOOK_MS = 120_000  # a coffee is no decision
_RECENT = 30


class ReviewSession:
    """A review at work. Widgets put functions into `moved`, `changed`, `said`, `clip_ready` and `closed`."""

    def __init__(
        self,
        results: Path,
        images: Images,
        tables: dict[str, Table],
        sitting: Sitting,
        *,
        blinding: Blinding | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Begin, before the first event.

        Args:
            results: The RESULTS folder.
            images: Of the plate.
            tables: The result tables as the pipeline wrote them.
            sitting: Takes the decisions.
            blinding: Gives the order of a blinded sitting.
            journal: Closed with the session.
        """
        self.images, self.tables, self.sitting = images, tables, sitting
        self.results = results
        self.blind = None if blinding is None else BlindReading(sitting, blinding)
        rows = self.blind.rows if self.blind is not None else self._rows_by("value")
        self.events = EventList(sitting.state, worth=rows, blind=self.blind)
        self._other_rows = False
        self.field: FieldId | None = None
        self.current: str | None = None
        self.frame = 0  # that the viewer shows; the adapter keeps it
        self.editing_labels = False
        self.moved: list[Callable[[], None]] = []
        self.changed: list[Callable[[Sequence[str]], None]] = []
        self.said: list[Callable[[str, str], None]] = []
        self.clip_ready: list[Callable[[ClipKey], None]] = []
        self.closed: list[Callable[[], None]] = []
        self.cells = CellBook(tables["cells"])
        self.notices: list[str] = []  # to say when somebody listens
        self._contacts = ContactBook(tables)
        self._journal = journal
        self._shown_at = time.monotonic()
        self._dwells: list[int] = []
        self._is_closed = False
        sitting.changed.append(self._after_decision)
        self.clips = ClipStore(self._make_clip, ready=self._tell_ready)

    @property
    def log_folder(self) -> Path:
        """Where the log of this sitting lies, and with it the corrections of outlines."""
        return self._journal.path.parent if isinstance(self._journal, ReviewLog) else self.results / "review"

    @property
    def state(self) -> ReviewState:
        """What stands."""
        return self.sitting.state

    @property
    def row(self) -> int | None:
        """Row of the event that is shown."""
        return None if self.current is None else self.state.row_of(self.current)

    @property
    def sidecar(self) -> Path | None:
        """Where decisions are kept if RESULTS may not be written; None where they lie in RESULTS."""
        return self.log_folder if isinstance(self._journal, ReviewLog) and self._journal.is_sidecar else None

    @property
    def shown(self) -> dict[str, Any] | None:
        """The event that is shown: its row, with the frame and killer that stand."""
        row = self.row
        if row is None:
            return None
        found = event_row(self.state.events, row)
        return {**found, "frame": self.events.frame_of(row), "killer": self.events.killer_of(row)}

    def shown_killer(self) -> int | None:
        """The effector that stands as the killer of the event that is shown; None for nobody, and where blinded."""
        shown = self.shown
        if shown is None or np.isnan(shown["killer"]):
            return None
        return int(shown["killer"])

    def minutes(self, event: dict[str, Any]) -> float:
        """Minutes since frame 0 of an event's frame."""
        calibration = self.images.of(FieldId(str(event["well"]), int(event["field"]))).calibration
        return float("nan") if calibration.frame_min is None else calibration.minutes(int(event["frame"]))

    def channel_of(self, role: ChannelRole) -> str | None:
        """Name of the first channel of a role, None where the film has none."""
        named = self.images.protocol.channels.get(role, ()) if self.images.protocol is not None else ()
        return named[0] if named else None

    def candidates(self) -> Table:
        """Effectors that could have done it, the most credited first; the chosen one is among them."""
        shown = self.shown
        return {"effector_track_id": np.zeros(0, np.int64)} if shown is None else self._candidates_of(shown)

    def field_cells(self) -> FieldCells:
        """The cells of the field that is shown; there must be one."""
        return self.cells.of(cast(FieldId, self.field))

    def clip(self) -> Clip | None:
        """The film of the event that is shown; None while it is made, and where it could not be (that is said)."""
        key = self.clip_key(self.row)
        try:
            return None if key is None else self.clips.get(key)
        except AssayError as error:
            self.say(str(error), "warning")
            return None

    def clip_key(self, row: int | None) -> ClipKey | None:
        """What the clip of a row is of."""
        if row is None:
            return None
        event = event_row(self.state.events, row)
        event |= {"frame": self.events.frame_of(row), "killer": self.events.killer_of(row)}
        effectors = tuple(int(one) for one in self._candidates_of(event)["effector_track_id"])
        return ClipKey(
            event=str(event["event"]),
            field=FieldId(str(event["well"]), int(event["field"])),
            frame=event["frame"],
            target=int(event["target_track_id"]),
            effectors=effectors,
        )

    def go(self, event: str) -> None:
        """Show an event.

        Raises:
            ResultsError: There is none of that name.
        """
        row = self.state.row_of(event)
        if row is None:
            raise ResultsError(f"there is no event {event}.")
        self._show_row(row)

    def step(self, step: int = 1, *, pending: bool = True) -> bool:
        """Show the next event of the visible order, or the one before; False at the end, which is said."""
        if self.blind is not None:
            return self._step_blind(step, pending=pending)
        row = self.events.next_row(self.row, step=step, pending=pending)
        if row is None and pending and step > 0:  # from the top again: some were left behind
            row = self.events.next_row(None, pending=True)
            if row is not None and row != self.row:
                self.say("Start of the list again: these were left pending.")
        if row is None or row == self.row:
            self.say(end_words(step, pending=pending, n_pending=self.state.counts()["pending"]))
            return False
        self._show_row(row)
        return True

    def open_field(self, field: FieldId) -> bool:
        """Show the first event of a field, a pending one if there is any; False where it has none."""
        events = self.state.events
        here = [
            row
            for row in self.events.visible.tolist()
            if events["well"][row] == field.well and int(events["field"][row]) == field.field
        ]
        pending = [row for row in here if self.events.status[row] == PENDING]
        if here:
            self._show_row((pending or here)[0])
        return bool(here)

    def decide(self, verb: str, *, reason: str = "", note: str = "", **values: Any) -> bool:
        """Decide on the event that is shown; False where that was refused, which is said.

        The decision is on the disk when this returns. After an accept, reject or unsure the next pending event of
        the visible order is shown.
        """
        if self.current is None:
            self.say("No event is shown: press N for the next pending one.", "warning")
            return False
        advances = verb in ADVANCING and self.blind is None
        following = self.events.next_row(self.row) if advances else None
        reading = 1 if self.blind is None else self.blind.reading
        dwell = round((time.monotonic() - self._shown_at) * 1000)
        try:
            self.sitting.decide(
                verb, self.current, reason=reason, note=note, dwell_ms=dwell, reading=reading, **values
            )
        except AssayError as error:
            self.say(f"Not kept: {error}", "warning")
            return False
        if verb in ADVANCING:
            self._dwells.append(min(dwell, _LONG_LOOK_MS))
            if following is not None:
                self._show_row(following)
            else:
                self.step(1)
        return True

    def add_missed(self, y_um: float, x_um: float) -> bool:
        """Add a death that the pipeline missed: of the target at this place, in the frame that is shown."""
        if self.field is None:
            return False
        near = self.field_cells().nearest("target", self.frame, y_um, x_um)
        if near is None or near[1] > NEAR_UM:
            self.say(f"No target within {NEAR_UM:g} µm of the cursor in frame {self.frame}.", "warning")
            return False
        values: dict[str, Any] = {
            "well": self.field.well,
            "field": self.field.field,
            "target_track_id": near[0],
            "frame": self.frame,
        }
        try:
            added = self.sitting.decide("add", **values)
        except AssayError as error:
            self.say(f"Not added: {error}", "warning")
            return False
        self.go(added.event)
        self.say(
            f"Added: target {near[0]} dies at frame {self.frame}. Choose its killer with 1-4, or 0 for nobody.",
            "good",
        )
        return True

    def undo(self) -> bool:
        """Take back this reader's last decision, and show its event."""
        return self._turn(self.sitting.undo, "Nothing to undo.", "Undone")

    def redo(self) -> bool:
        """Do again what was undone last."""
        return self._turn(self.sitting.redo, "Nothing to redo.", "Done again")

    def say(self, text: str, level: str = "info") -> None:
        """Tell the reader something; level is info, good or warning."""
        for listener in tuple(self.said):
            listener(text, level)

    def progress(self) -> tuple[int, int, float | None]:
        """(reviewed, all, minutes left or None where not known yet), of the events that are not withdrawn."""
        counts = self.state.counts()
        total = sum(counts.values()) - counts["withdrawn"]
        if self.blind is not None:
            done, total = self.blind.progress()
            counts["pending"] = total - done
        else:
            done = total - counts["pending"]
        if len(self._dwells) < 3:
            return done, total, None
        typical = float(np.median(self._dwells[-_RECENT:]))
        return done, total, counts["pending"] * typical / 60_000

    def sort_by(self, sort: str) -> None:
        """Read in one of the orders of `assay.review.queue`."""
        self.events.seeks_disagreements = sort == "disagreement"
        self.events.set_worth(self._rows_by(sort))
        self.want_clips()

    def take_other_rows(self) -> bool:
        """Whether other rows are visible since this was asked last."""
        other, self._other_rows = self._other_rows, False
        return other

    def close(self) -> None:
        """Stop the threads and close the log; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.clips.close()
        self.images.close()
        if isinstance(self._journal, ReviewLog):
            self._journal.close()
        for listener in tuple(self.closed):
            listener()
        heard = (self.moved, self.changed, self.said, self.clip_ready, self.closed, self.sitting.changed)
        for listeners in heard:
            listeners.clear()

    def _show_row(self, row: int) -> None:
        events = self.state.events
        self.current = str(events["event"][row])
        self.field = FieldId(str(events["well"][row]), int(events["field"][row]))
        self._shown_at = time.monotonic()
        if self.blind is not None:
            self.blind.show(row)
        self.want_clips()
        for listener in tuple(self.moved):
            listener()

    def want_clips(self) -> None:
        """Ask for the clip that is shown and for the next few."""
        self.clips.want(self._keys_ahead())

    @property
    def is_ahead(self) -> bool:
        """Whether the clips that are wanted next are there."""
        return self.clips.has(self._keys_ahead())

    def _turn(self, act: Callable[[], Any], nothing: str, done: str) -> bool:
        try:
            decision = act()
        except AssayError as error:
            self.say(f"Not kept: {error}", "warning")
            return False
        if decision is None:
            self.say(nothing)
            return False
        row = self.state.row_of(decision.event) if decision.event else None
        if row is not None and STATUSES[self.state.status[row]] != "withdrawn":
            self._show_row(row)
        else:
            self.step(1, pending=False)
        self.say(f"{done}: {history_words(decision, self.state, blinded=self.sitting.blinded)}", "good")
        return True

    def _after_decision(self, names: Sequence[str]) -> None:
        self.events.take_blind(names)
        self._other_rows |= self.events.refresh(keep=self.row)
        self._tell_changed(names)
        if self.current in names:
            self.want_clips()

    def _tell_changed(self, names: Sequence[str]) -> None:
        for listener in tuple(self.changed):
            listener(names)

    def _tell_ready(self, key: ClipKey) -> None:
        for listener in tuple(self.clip_ready):
            listener(key)

    def _keys_ahead(self) -> list[ClipKey]:
        rows, row = [], self.row
        if self.blind is not None and row is not None:
            rows, row = [row, *self.blind.ahead(AHEAD)], None
        while row is not None and len(rows) <= AHEAD:
            rows.append(row)
            row = self.events.next_row(row)
        return [key for key in map(self.clip_key, rows) if key is not None]

    def _rows_by(self, sort: str) -> np.ndarray[Any, Any]:
        return review_order(self.state.events, self.state, sort=sort, wells=self.tables["wells"])

    def _step_blind(self, step: int, *, pending: bool) -> bool:
        assert self.blind is not None
        row = self.blind.step(step, pending=pending)
        if row is None:
            self.say("All events are read." if pending and step > 0 else "No more events that way.")
            return False
        self._show_row(row)
        return True

    def _make_clip(self, key: ClipKey) -> Clip:
        films = self.images.of(key.field)
        made = make_clip(key, films, self.cells.of(key.field))
        for channel in films.channels:  # the frame that the viewer will show
            channel.film.frame(key.frame)
        return made

    def _candidates_of(self, event: dict[str, Any]) -> Table:
        found = self._contacts.candidates(event, frame=event["frame"])
        return with_killer(found, float(event["killer"]), most=MAX_CANDIDATES)
