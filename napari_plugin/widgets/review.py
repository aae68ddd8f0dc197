"""The review dock: one event at a time, before the reader's eyes and under the reader's keys.

Holds a session; asks it, and shows what it says. Each decision is on the disk before the next event is drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QFileDialog, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from assay.errors import AssayError
from napari_plugin.adapter import ViewerAdapter
from napari_plugin.clips import ClipKey
from napari_plugin.event_filter import FilterError
from napari_plugin.event_traces import event_traces
from napari_plugin.key_table import Key
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import open_session, session_of
from napari_plugin.user_keys import user_keys
from napari_plugin.widgets.endings import Release, once
from napari_plugin.widgets.film_strip import Moment
from napari_plugin.widgets.keys import KeySheet, ReviewKeys
from napari_plugin.widgets.review_actions import KeyTaker, ReviewActions
from napari_plugin.widgets.review_layout import ReviewLayout
from napari_plugin.widgets.style import DOCK_WIDTH, LEVEL_COLORS

if TYPE_CHECKING:
    import napari

_MESSAGE_MS = 6000


class _Bridge(QObject):
    """Carries what a worker thread says into the window's own thread."""

    clip_ready = Signal(object)


class ReviewWidget(QWidget):
    """Review of the kills of one RESULTS folder."""

    def __init__(self, viewer: "napari.viewer.Viewer", keys: Sequence[Key] | None = None) -> None:
        """Take the viewer's session, or offer to open one.

        Args:
            viewer: napari gives it.
            keys: The table of keys; as set in napari's preferences where left out.
        """
        super().__init__()
        keys, self._keys_problem = user_keys() if keys is None else (keys, "")
        self._viewer = viewer
        self._session: ReviewSession | None = None
        self._adapter: ViewerAdapter | None = None
        self.setMinimumWidth(DOCK_WIDTH[0])
        self.setMaximumWidth(DOCK_WIDTH[1])
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._outer = QVBoxLayout(self)
        self._outer.setContentsMargins(0, 0, 0, 0)
        self._open_button: QPushButton | None = QPushButton("Open RESULTS for review …", self)
        self._open_button.clicked.connect(self._choose_results)
        self._outer.addWidget(self._open_button)
        self._parts: ReviewLayout | None = None
        self._sheet = KeySheet(keys, self)
        self._taker = KeyTaker(keys, viewer=viewer, sheet=self._sheet)
        self._filter_keys = ReviewKeys(self, takes=self._taker.takes, take=self._taker.take)
        self._bridge = _Bridge(self)
        self._bridge.clip_ready.connect(self._clip_is_ready)
        self._draw = once(self, self._draw_event)
        self._moves = False  # another event is shown in the dock, not yet on the canvas
        self._jump = once(self, self._show_in_viewer)
        self._outline = once(self, self._draw_outlines)
        self._filtering = once(self, self._apply_filter, 150)
        self._forget_message = once(self, lambda: self._show_message("", "info"), _MESSAGE_MS)
        release = Release(viewer)
        self.destroyed.connect(release)
        self._release = release
        session = session_of(viewer)
        if session is not None:
            self.attach(session)

    @property
    def session(self) -> ReviewSession | None:
        """The review at work."""
        return self._session

    @property
    def parts(self) -> ReviewLayout:
        """What the dock is made of, once a review is open."""
        assert self._parts is not None
        return self._parts

    @property
    def is_reviewing(self) -> bool:
        """Whether the keys decide."""
        return self._parts is not None and self._parts.mode.isChecked()

    @property
    def is_busy(self) -> bool:
        """Whether the event that is shown is not all drawn yet."""
        return any(timer.isActive() for timer in (self._draw, self._jump, self._outline))

    def open(self, results: Path, *, reader: str | None = None) -> None:
        """Open RESULTS and show the first event.

        Raises:
            AssayError: They cannot be reviewed.
        """
        self.attach(open_session(self._viewer, results, reader=reader))

    def attach(self, session: ReviewSession) -> None:
        """Show a session; the one before is let go."""
        self.detach()
        if self._open_button is not None:
            self._open_button.hide()
        self._session = session
        self._adapter = ViewerAdapter(self._viewer, session.images, on_frame=self._frame_changed)
        self._release.adapter = self._adapter
        self._parts = parts = ReviewLayout(session.events, self._act, self)
        self._outer.addWidget(parts)
        actions = ReviewActions(
            session, self._adapter, parts, sheet=self._sheet, centre=self._jump.start, redraw=self._draw.start
        )
        self._taker.actions, self._taker.parts, self._taker.session = actions, parts, session
        parts.table.picked.connect(self._picked)
        parts.strip.frame_chosen.connect(actions.go_to_frame)
        parts.traces.frame_chosen.connect(actions.go_to_frame)
        parts.traces.retimed.connect(actions.retime)
        parts.decisions.noted.connect(actions.flag_with)
        parts.decisions.cancelled.connect(actions.leave_note)
        parts.filter_box.textChanged.connect(lambda _text: self._filtering.start())
        parts.filter_box.returnPressed.connect(self._leave_filter)
        parts.order.activated.connect(self._reorder)
        parts.mode.toggled.connect(self._switch_mode)
        parts.help.clicked.connect(lambda: self._act("help"))
        session.moved.append(self._moved)
        session.changed.append(self._changed)
        session.said.append(self._show_message)
        session.clip_ready.append(self._bridge.clip_ready.emit)
        session.closed.append(self.detach)
        self._sheet.raise_()
        self._show_progress()
        parts.mode.setChecked(True)
        if session.current is None:
            if not session.step(1) and not session.step(1, pending=False) and session.field is not None:
                self._adapter.show_field(session.field)
        else:
            self._moved()
        for notice in [*session.notices, *([self._keys_problem] if self._keys_problem else [])]:
            self._show_message(notice, "warning")
            self._forget_message.stop()  # where decisions are kept must not pass unread: it stays until the next word

    def detach(self) -> None:
        """Let go of the session; it stays open."""
        session, parts, adapter = self._session, self._parts, self._adapter
        self._session, self._parts, self._adapter = None, None, None
        self._taker.actions, self._taker.parts, self._taker.session = None, None, None
        self._release.adapter = None
        self._filter_keys.stop()
        for timer in (
            self._draw,
            self._jump,
            self._outline,
            self._filtering,
            self._forget_message,
        ):
            timer.stop()
        if session is not None:
            listeners: tuple[tuple[list[Any], Any], ...] = (
                (session.moved, self._moved),
                (session.changed, self._changed),
                (session.said, self._show_message),
                (session.clip_ready, self._bridge.clip_ready.emit),
                (session.closed, self.detach),
            )
            for heard, listener in listeners:
                if listener in heard:
                    heard.remove(listener)
        if adapter is not None:
            adapter.close()
        if parts is not None:
            parts.stop()
            self._outer.removeWidget(parts)
            parts.deleteLater()
        if self._open_button is not None:
            self._open_button.show()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Listen to keys while the dock is there."""
        super().showEvent(event)
        self._set_keys()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """No keys for a dock that nobody sees."""
        self._filter_keys.stop()
        super().hideEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """The sheet of keys covers the dock."""
        super().resizeEvent(event)
        self._sheet.setGeometry(self.rect().adjusted(8, 44, -8, -8))

    def _act(self, action: str) -> None:
        if self._taker.actions is not None:
            self._taker.actions.act(action)

    def _leave_filter(self) -> None:
        self._filtering.stop()
        self._apply_filter()
        self.parts.table.setFocus()

    def _picked(self, row: int) -> None:
        if self._session is not None:
            self._session.go(str(self._session.state.events["event"][row]))

    def _moved(self) -> None:
        """Another event: the dock first, the canvas when the dock is painted; keys that come before are served first."""
        self.parts.decisions.show_decisions()
        self.parts.strip.play(True, when_told=True)  # each of its pictures paints the whole window again
        self.parts.table.show_row(self._session.row if self._session else None)
        for timer in (self._jump, self._outline):  # of the event before
            timer.stop()
        self._moves = True
        self._draw.start()

    def _changed(self, names: Sequence[str]) -> None:
        session = self._session
        assert session is not None
        self.parts.table.take_over(other_rows=session.take_other_rows(), row=session.row)
        self._show_progress()
        if session.current in names:
            self._draw.start()
            self._outline.start()

    def _draw_event(self) -> None:
        session, parts = self._session, self.parts
        if self._moves:  # a turn of its own, after the dock is painted
            self._moves = False
            self._jump.start()
        if session is None or session.shown is None or session.row is None:
            return
        shown, key = session.shown, session.clip_key(session.row)
        assert key is not None
        clip, images = session.clip(), session.images.of(key.field)
        killer = session.shown_killer()
        moment = Moment(
            frame=int(shown["frame"]),
            first_possible=int(shown["first_possible_frame"]),
            last_possible=int(shown["last_possible_frame"]),
            frame_min=images.calibration.frame_min,
            killer=killer,
        )
        parts.show_words(session)
        parts.show_candidates(session.candidates(), killer=killer, blinded=session.sitting.blinded)
        parts.strip.show_clip(clip, moment)
        roles = session.channel_of
        parts.traces.show_traces(
            event_traces(
                key,
                session.field_cells(),
                clip,
                dye=roles("death"),
                marker=roles("target"),
                n_frames=images.shape[0],
            ),
            moment,
        )

    def _show_in_viewer(self) -> None:
        session, adapter = self._session, self._adapter
        if session is None or adapter is None or session.row is None:
            return
        key = session.clip_key(session.row)
        assert key is not None
        killer = session.shown_killer()
        try:
            if adapter.show_field(key.field):  # took its time: let keys in between
                self._jump.start()
                return
            adapter.show_event(key.field, key.frame, key.target, killer, session.field_cells())
        except AssayError as error:
            self.parts.strip.go_on()
            session.say(str(error), "warning")
            return
        if session.frame != adapter.frame:
            self._frame_changed(adapter.frame)
        self._draw_outlines()
        self.parts.strip.go_on()

    def _draw_outlines(self) -> None:
        session, adapter = self._session, self._adapter
        if session is None or adapter is None or session.field is None or session.shown is None:
            return
        adapter.draw_outlines(
            session.clip(),
            int(session.shown["target_track_id"]),
            session.shown_killer(),
            session.field_cells(),
            session.images.of(session.field).calibration,
        )

    def _clip_is_ready(self, key: ClipKey) -> None:
        if self._session is not None and key == self._session.clip_key(self._session.row):
            self._draw.start()
            self._outline.start()

    def _frame_changed(self, frame: int) -> None:
        if self._session is not None and self._parts is not None:
            self._session.frame = frame
            self._parts.strip.show_viewer_frame(frame)
            self._parts.traces.show_frame(frame)

    def _show_progress(self) -> None:
        if self._session is not None:
            self.parts.show_progress(*self._session.progress())

    def _show_message(self, text: str, level: str) -> None:
        if self._parts is not None:
            self._parts.message.setText(text)
            self._parts.message.setStyleSheet(f"color: {LEVEL_COLORS[level]}")
            if text:
                self._forget_message.start()

    def _apply_filter(self) -> None:
        if self._session is None:
            return
        text = self.parts.filter_box.text()
        try:
            self._session.events.filter_by(text, keep=None)
        except FilterError as error:
            self.parts.show_filter(refused=True)
            self._show_message(str(error), "warning")
            return
        self.parts.show_filter(refused=False)
        n, total = len(self._session.events.visible), self._session.progress()[1]
        if text:
            self._show_message(f"{n} of {total} events pass the filter.", "info")
        self.parts.table.take_over(other_rows=True, row=self._session.row)
        self._session.want_clips()

    def _reorder(self, number: int) -> None:
        if self._session is not None:
            self._session.sort_by(self.parts.order.itemData(number))
            self.parts.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
            self.parts.table.take_over(other_rows=True, row=self._session.row)

    def _switch_mode(self, is_on: bool) -> None:
        self.parts.show_mode(is_on)
        self._set_keys()

    def _set_keys(self) -> None:
        if self.is_reviewing and self.isVisible():
            self._filter_keys.start()
        else:
            self._filter_keys.stop()

    def _choose_results(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "RESULTS of killassay")
        if folder:
            try:
                self.open(Path(folder))
            except AssayError as error:
                assert self._open_button is not None
                self._open_button.setText(f"{error}\n\nOpen other RESULTS …")
