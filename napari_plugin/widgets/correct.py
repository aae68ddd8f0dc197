"""The dock for corrections: who is who in time, and the outlines of single frames.

Holds buttons; what they do is in `correcting` and `corrections`. After each commit the events are scored anew in a
thread, and the dock says which of them changed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from assay.errors import AssayError
from assay.io.results import Results
from assay.io.review_logs import log_folders
from assay.review.events import review_events
from assay.review.state import replay
from napari_plugin.correcting import HINTS, Correcting
from napari_plugin.corrections import Corrections, in_words
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import session_of
from napari_plugin.widgets.correct_layout import CorrectLayout
from napari_plugin.widgets.style import DOCK_WIDTH, LEVEL_COLORS

if TYPE_CHECKING:
    import napari

_MOST_SHOWN = 6
_NO_REVIEW = "Open RESULTS for review first: corrections are kept in the review's log."
Rescore = Callable[..., Sequence[Any]]


class _Bridge(QObject):
    """Carries what a worker thread says into the window's own thread."""

    scored = Signal(object)


class CorrectWidget(QWidget):
    """Corrections of tracks and outlines in the field that the viewer shows."""

    def __init__(self, viewer: "napari.viewer.Viewer", rescore: Rescore | None = None) -> None:
        """Take the viewer's review, as soon as there is one.

        Args:
            viewer: napari gives it.
            rescore: Scores events anew; the pipeline's own where left out.
        """
        super().__init__()
        self._viewer, self._rescore = viewer, rescore
        self._session: ReviewSession | None = None
        self._correcting: Correcting | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="killassay-score")
        self._running: Future[Any] | None = None
        self._bridge = _Bridge(self)
        self._bridge.scored.connect(self._show_scored)
        self.setMinimumWidth(DOCK_WIDTH[0])
        self.setMaximumWidth(DOCK_WIDTH[1])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.parts = CorrectLayout(self)
        column.addWidget(self.parts)
        self._connect()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._look_again)
        self._begin_later = lambda _event=None: self._later.start(0)
        viewer.layers.events.inserted.connect(self._begin_later)
        viewer.dims.events.current_step.connect(self._show)
        release = _Release(self)
        self.destroyed.connect(release)
        self._release = release
        self._look_again()

    @property
    def correcting(self) -> Correcting:
        """The viewer's side, once a review is open."""
        assert self._correcting is not None
        return self._correcting

    @property
    def is_scoring(self) -> bool:
        """Whether events are being scored anew."""
        return self._running is not None and not self._running.done()

    def attach(self, session: ReviewSession) -> None:
        """Correct what a review shows; the one before is let go."""
        self.detach()
        self._session = session
        folders = log_folders(Results.open(session.results))
        corrections = Corrections(
            session.sitting,
            session.images,
            session.tables["cells"],
            folder=session.log_folder,
            more_folders=folders,
        )
        self._correcting = Correcting(self._viewer, session.images, corrections)
        self._correcting.changed.append(self._show)
        self._correcting.said.append(self.say)
        self._correcting.replaced.append(self._begin_later)
        session.moved.append(self._begin_later)
        session.sitting.changed.append(self._decided)
        session.closed.append(self.detach)
        self._correcting.refresh()
        for problem in corrections.problems:
            self.say(problem, "warning")
        self._show()

    def detach(self) -> None:
        """Let go of the review; what was painted and not committed is lost."""
        session, correcting = self._session, self._correcting
        self._session = self._correcting = None
        if correcting is not None:
            correcting.close()
        if session is not None:
            session.editing_labels = False
            listeners: tuple[tuple[list[Any], Any], ...] = (
                (session.moved, self._begin_later),
                (session.sitting.changed, self._decided),
                (session.closed, self.detach),
            )
            for of, listener in listeners:
                if listener in of:
                    of.remove(listener)
        self._show()

    def say(self, text: str, level: str = "info") -> None:
        """A line for the reader."""
        self.parts.message.setText(text)
        self.parts.message.setStyleSheet(f"color: {LEVEL_COLORS[level]};")

    def cut(self) -> None:
        """End the picked track after this frame."""
        self._track_edit(
            1,
            lambda c, field, picked: c.cut(
                field, self.correcting.role, picked[0], last_frame=self.correcting.frame
            ),
        )

    def join(self) -> None:
        """Make one track of the two that are picked."""
        self._track_edit(
            2,
            lambda c, field, picked: c.join(
                field, self.correcting.role, *picked, frame=self.correcting.frame
            ),
        )

    def swap(self) -> None:
        """Let the two that are picked change names from this frame on."""
        self._track_edit(
            2,
            lambda c, field, picked: c.swap(
                field, self.correcting.role, *picked, frame=self.correcting.frame
            ),
        )

    def commit(self) -> None:
        """Keep what was painted."""
        field = self.correcting.field
        if field is None:
            return
        self._keep(lambda: self.correcting.corrections.commit(field, self.correcting.role))

    def undo_decision(self) -> None:
        """Take back the last decision of this reader, be it a correction or not."""
        if self._session is not None:
            self._keep(lambda: [one for one in [self._session.sitting.undo()] if one is not None])  # type: ignore[union-attr]

    def _connect(self) -> None:
        parts = self.parts
        parts.role_chosen.connect(lambda role: self._correcting and self._correcting.choose_role(role))
        parts.tool_chosen.connect(lambda tool: self._correcting and self._correcting.choose_tool(tool))
        parts.tabs.currentChanged.connect(self._tab_chosen)
        parts.brush.valueChanged.connect(self._size_chosen)
        parts.protect.toggled.connect(self._protect_chosen)
        for button, act in (
            (parts.cut, self.cut),
            (parts.join, self.join),
            (parts.swap, self.swap),
            (parts.commit, self.commit),
            (parts.undo_decision, self.undo_decision),
        ):
            button.clicked.connect(lambda _checked=False, act=act: act())
        for button, name in (
            (parts.new_cell, "new_cell"),
            (parts.undo, "undo"),
            (parts.redo, "redo"),
            (parts.discard, "discard"),
        ):
            button.clicked.connect(
                lambda _checked=False, name=name: self._correcting and getattr(self._correcting, name)()
            )

    def _track_edit(self, wanted: int, edit: Callable[[Corrections, Any, list[int]], Any]) -> None:
        correcting = self.correcting
        field, picked = correcting.field, correcting.picked
        if field is None or len(picked) < wanted:
            self.say(
                "Click a cell in the picture, and Shift-click the other one."
                if wanted == 2
                else "Click a cell first.",
                "info",
            )
            return
        self._keep(lambda: [edit(correcting.corrections, field, picked)])

    def _keep(self, act: Callable[[], Sequence[Any]]) -> None:
        """Do what makes decisions, and score the events anew."""
        session = self._session
        if session is None:
            return
        before = tuple(session.state.decisions)
        try:
            made = act()
        except AssayError as error:
            self.say(f"Not kept: {error}", "warning")
            return
        if not made:
            self.say("There is nothing to commit.", "info")
            return
        undone = made[-1].verb == "undo"
        self.say(
            "Undone. Scoring again …" if undone else f"Kept: {in_words(made[-1])}. Scoring again …", "good"
        )
        self._score(session, before, tuple(session.state.decisions))

    def _score(self, session: ReviewSession, before: Sequence[Any], after: Sequence[Any]) -> None:
        rescore, bridge = self._rescore or _pipeline_rescore, self._bridge
        results, tables = session.results, session.tables

        def work() -> None:
            try:
                events = review_events(tables)
                found = rescore(results, replay(after, events), before=replay(before, events))
            except AssayError as error:
                bridge.scored.emit(error)
            else:
                bridge.scored.emit(list(found))

        self._running = self._pool.submit(work)

    def _show_scored(self, found: Any) -> None:
        if isinstance(found, AssayError):
            self.say(f"Kept, but the events could not be scored again: {found}", "warning")
            return
        n = len(found)
        lines = [f"{n} event{'s' if n != 1 else ''} changed" if n else "Kept. No event changed."]
        for one in found[:_MOST_SHOWN]:
            now = f"{one.before} → {one.after}" if one.before and one.after else one.after or one.before or ""
            lines.append(f"{one.well} target {one.target_track_id}: {one.what}  {now}")
        if n > _MOST_SHOWN:
            lines.append(f"and {n - _MOST_SHOWN} more")
        self.say("\n".join(lines), "good")

    def _decided(self, _names: Sequence[str]) -> None:
        self._begin_later()

    def _look_again(self) -> None:
        """There may be another review now, another field, or other decisions."""
        session = session_of(self._viewer)
        if session is not self._session:
            if session is not None:
                self.attach(session)
            return
        if self._correcting is not None:
            self._correcting.refresh()

    def _tab_chosen(self, tab: int) -> None:
        correcting, session = self._correcting, self._session
        if correcting is None or session is None:
            return
        outlines = tab == 1
        session.editing_labels = outlines
        correcting.start_editing() if outlines else correcting.stop_editing()
        if outlines:
            self._size_chosen(self.parts.brush.value())
            self._protect_chosen(self.parts.protect.isChecked())

    def _size_chosen(self, size: int) -> None:
        layer = self._labels_layer()
        if layer is not None:
            layer.brush_size = size

    def _protect_chosen(self, on: bool) -> None:
        layer = self._labels_layer()
        if layer is not None:
            layer.preserve_labels = on

    def _labels_layer(self) -> Any:
        name = f"{self._correcting.role}s" if self._correcting is not None else ""
        return next((one for one in self._viewer.layers if one.name == name), None)

    def _show(self, _event: Any = None) -> None:
        """Let the dock say what is picked, painted and kept."""
        correcting = self._correcting
        field = None if correcting is None else correcting.field
        self.parts.setEnabled(field is not None)
        if correcting is None or field is None:
            self.say(_NO_REVIEW)
            return
        if self.parts.message.text() == _NO_REVIEW:
            self.say("")
        frame, role = correcting.frame, correcting.role
        names = [f"{role} {track}" for track in correcting.picked]
        seen = [correcting.corrections.frames_of(field, role, track) for track in correcting.picked]
        self.parts.show_picked(names, [(int(of[0]), int(of[-1])) if len(of) else None for of in seen], frame)
        edited = correcting.overlay.edited_frames
        self.parts.show_painted(correcting.tool, HINTS[correcting.tool], edited, correcting.overlay, frame)
        self.parts.show_standing([in_words(one) for one in correcting.corrections.standing(field)])


class _Release:
    """Lets go of the viewer when the dock is destroyed, when no method of the dock can be called any more."""

    def __init__(self, widget: CorrectWidget) -> None:
        self._viewer, self._pool = widget._viewer, widget._pool
        self._callbacks = (widget._begin_later, widget._show)
        self._widget = widget

    def __call__(self) -> None:
        widget = self._widget
        self._viewer.layers.events.inserted.disconnect(self._callbacks[0])
        self._viewer.dims.events.current_step.disconnect(self._callbacks[1])
        correcting, widget._correcting = widget._correcting, None
        session, widget._session = widget._session, None
        if correcting is not None:
            correcting.close()
        if session is not None:
            for of, listener in (
                (session.moved, self._callbacks[0]),
                (session.sitting.changed, widget._decided),
                (session.closed, widget.detach),
            ):
                if listener in of:
                    of.remove(listener)
        self._pool.shutdown(wait=True, cancel_futures=True)


def _pipeline_rescore(results: Any, state: Any, *, before: Any) -> Sequence[Any]:
    from assay.pipeline.reviewed_rescore import rescore  # here: it brings half of the pipeline with it

    changed: Sequence[Any] = rescore(results, state, before=before)
    return changed
