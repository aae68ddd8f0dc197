"""What each key and button of the review does: asks the session, and tells the reader what came of it."""

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_plugin.adapter import ViewerAdapter
from napari_plugin.key_table import REASON_KEYS, Key
from napari_plugin.session import ReviewSession
from napari_plugin.settling import MOST, Settlement, settlements
from napari_plugin.widgets.review_layout import ReviewLayout

_PAINTING = ("paint", "fill", "erase", "polygon", "pick")
_REASON_NAMES = {key for key, _, _ in REASON_KEYS}
_NUMBERS = {"reason": _REASON_NAMES, "settle": {str(n + 1) for n in range(MOST)}}


class ReviewActions:
    """The hands of one review; lives as long as its session is shown."""

    def __init__(
        self,
        session: ReviewSession,
        adapter: ViewerAdapter,
        parts: ReviewLayout,
        *,
        sheet: QWidget,
        centre: Callable[[], Any],
        redraw: Callable[[], Any],
    ) -> None:
        """Take hold.

        Args:
            session: Takes decisions.
            adapter: Moves the viewer.
            parts: The dock.
            sheet: The help on keys.
            centre: Shows the event in the viewer again.
            redraw: Draws the dock again, where a dragged line must go back.
        """
        self._session, self._adapter, self._parts, self._sheet = session, adapter, parts, sheet
        self._redraw = redraw
        self._acts: dict[str, Callable[[], Any]] = {
            "accept": lambda: session.decide("accept"),
            "reject": parts.decisions.show_reasons,
            "unsure": lambda: session.decide("unsure"),
            "settle": self._ask_settlement,
            "undo": session.undo,
            "redo": session.redo,
            "next": lambda: session.step(1),
            "previous": lambda: session.step(-1),
            "next_any": lambda: session.step(1, pending=False),
            "previous_any": lambda: session.step(-1, pending=False),
            "centre": centre,
            "retime": lambda: self.retime(session.frame),
            "cycle_killer": self._cycle_killer,
            "nobody": self._nobody,
            "add_missed": self._add,
            "flag": self._ask_note,
            "unflag": lambda: session.decide("flag", flag=False),
            "pause": self._pause,
            "frame_back": lambda: self._nudge(-1),
            "frame_on": lambda: self._nudge(1),
            "slower": lambda: self._change_speed(-1),
            "faster": lambda: self._change_speed(1),
            "help": lambda: sheet.setVisible(not sheet.isVisible()),
        }
        self._acts |= {f"killer_{n + 1}": lambda n=n: self._choose(n) for n in range(4)}
        self._acts |= {
            f"reason_{key}": lambda reason=reason: self._reject(reason) for key, reason, _ in REASON_KEYS
        }

        self._acts |= {f"settle_{n + 1}": lambda n=n: self._settle(n) for n in range(MOST)}
        self._offered: list[Settlement] = []

    def act(self, action: str) -> None:
        """Do what a key or a button stands for."""
        self._acts[action]()

    def retime(self, frame: int) -> None:
        """The death begins in this frame."""
        session = self._session
        if session.shown is None:
            return
        if frame == session.shown["frame"]:
            session.say(
                f"The death is at frame {frame} already: go to another frame with ← →, or drag the red line."
            )
            self._redraw()
        elif session.decide("retime", frame=int(frame)):
            session.say(f"The death begins in frame {frame} now. N goes on.", "good")
        else:
            self._redraw()

    def go_to_frame(self, frame: int) -> None:
        """Stop the film and show this frame."""
        self._parts.strip.play(False)
        self._adapter.show_frame(frame)

    def flag_with(self, note: str) -> None:
        """Keep the note of a flag."""
        self.leave_note()
        if self._session.decide("flag", flag=True, note=note):
            self._session.say("Flagged.", "good")

    def leave_note(self) -> None:
        """Back to the decisions, and to the keys."""
        self._parts.decisions.show_decisions()
        self._parts.table.setFocus()

    def _reject(self, reason: str) -> None:
        self._parts.decisions.show_decisions()
        self._session.decide("reject", reason=reason)

    def _ask_settlement(self) -> None:
        """Offer what the disagreement can be settled as."""
        session = self._session
        self._offered = []
        if session.current is not None and not session.sitting.blinded:
            self._offered = settlements(
                session.state,
                session.current,
                frame=session.frame,
                candidates=session.candidates()["effector_track_id"].tolist(),
            )
        if self._offered:
            self._parts.decisions.show_settlements([one.words for one in self._offered])
        else:
            session.say("Nothing to settle: no readers disagree about this event.")

    def _settle(self, number: int) -> None:
        offered, self._offered = self._offered, []
        self._parts.decisions.show_decisions()
        if number < len(offered) and self._session.decide("settle", **offered[number].values):
            self._session.say(f"Settled: {offered[number].words}. N goes on.", "good")

    def _nobody(self) -> None:
        if self._session.decide("killer", effector_track_id=None):
            self._session.say("Nobody killed it. N goes on.", "good")

    def _choose(self, number: int) -> None:
        session = self._session
        effectors = session.candidates()["effector_track_id"].tolist()
        if number >= len(effectors):
            touched = {0: "no effector", 1: "one effector"}.get(len(effectors), f"{len(effectors)} effectors")
            session.say(
                f"There is no candidate {number + 1}: {touched} touched this target before it died.",
                "warning",
            )
        elif session.decide("killer", effector_track_id=int(effectors[number])):
            session.say(f"Effector {effectors[number]} is the killer. N goes on.", "good")

    def _cycle_killer(self) -> None:
        shown, effectors = self._session.shown, self._session.candidates()["effector_track_id"].tolist()
        if shown is None or not effectors:
            self._session.say("No effector touched this target before it died.", "warning")
            return
        at = effectors.index(int(shown["killer"])) if shown["killer"] in effectors else -1
        self._choose((at + 1) % len(effectors))

    def _add(self) -> None:
        place = self._adapter.cursor_um
        if place is None:
            self._session.say("Put the mouse over the target that dies, then press Ins.", "warning")
        else:
            self._session.add_missed(*place)

    def _ask_note(self) -> None:
        session = self._session
        if session.current is not None:
            notes = session.state.of(session.current).notes
            mine = [note for reader, note in notes if reader == session.sitting.reader]
            self._parts.decisions.ask_note(mine[-1] if mine else "")

    def _pause(self) -> None:
        strip = self._parts.strip
        frame = strip.frame
        if strip.is_playing and frame is not None:
            self.go_to_frame(frame)
        else:
            strip.play(True)

    def _nudge(self, step: int) -> None:
        self._parts.strip.play(False)
        self._adapter.show_frame(self._adapter.frame + step)

    def _change_speed(self, step: int) -> None:
        self._session.say(f"{self._parts.strip.change_speed(step)} frames a second")


class KeyTaker:
    """Which key means which action just now."""

    def __init__(self, table: Sequence[Key], *, viewer: Any, sheet: QWidget) -> None:
        """Read the table; it works once `actions` and `parts` are given."""
        self._keys = {name.lower(): key for key in table for name in key.keys}
        self._viewer, self._sheet = viewer, sheet
        self.actions: ReviewActions | None = None
        self.parts: ReviewLayout | None = None
        self.session: ReviewSession | None = None

    def takes(self, name: str) -> bool:
        """Whether a key is ours now."""
        if self.parts is None or not self.parts.mode.isChecked() or self._is_painting():
            return False
        if name == "Esc":
            return bool(self.parts.decisions.choosing) or self._sheet.isVisible()
        return name.lower() in self._keys or name in _NUMBERS.get(self.parts.decisions.choosing, ())

    def take(self, name: str, is_held: bool) -> bool:
        """Do what it means; False where it is not ours."""
        if not self.takes(name) or self.parts is None or self.actions is None:
            return False
        choosing = self.parts.decisions.choosing
        if choosing:
            if name in _NUMBERS[choosing]:
                self.actions.act(f"{choosing}_{name}")
                return True
            self.parts.decisions.show_decisions()  # any other key takes the question back
            if name == "Esc":
                return True
        if name == "Esc":
            self._sheet.hide()
            return True
        key = self._keys[name.lower()]
        if key.repeats or not is_held:  # holding A must not accept thirty events
            self.actions.act(key.action)
        return True

    def _is_painting(self) -> bool:
        if self.session is not None and self.session.editing_labels:
            return True
        active = self._viewer.layers.selection.active
        return str(getattr(active, "mode", "pan_zoom")) in _PAINTING
