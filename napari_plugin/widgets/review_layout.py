"""How the review dock is laid out, and the words in it."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from assay.columns import Table
from assay.review.state import STATUSES
from napari_plugin.event_filter import HINT
from napari_plugin.event_list import EventList
from napari_plugin.event_words import headline, is_asked, progress_words, status_words, verdict_line
from napari_plugin.session import ReviewSession
from napari_plugin.widgets.event_table import EventTable
from napari_plugin.widgets.film_strip import FilmStrip
from napari_plugin.widgets.review_panel import Act, DecisionBar, KillerBar
from napari_plugin.widgets.style import DIM, DOCK_STYLE, STATUS_COLORS
from napari_plugin.widgets.thin_bar import ThinBar
from napari_plugin.widgets.traces import Traces

ORDERS = (
    ("value", "most valuable first"),
    ("probability", "least probable first"),
    ("disagreement", "disagreements first"),
    ("well", "by well"),
    ("time", "by time"),
    ("random", "random"),
    ("audit", "audit sample"),
)


class ReviewLayout(QFrame):
    """The parts of the dock from top to bottom."""

    def __init__(self, events: EventList, act: Act, parent: QWidget) -> None:
        """Lay them out; `act` gets the actions of the buttons."""
        super().__init__(parent)
        self.setStyleSheet(DOCK_STYLE)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        column.addLayout(self._head())
        self.bar = ThinBar(self)
        column.addWidget(self.bar)
        self.title = QLabel(self)
        self.title.setStyleSheet("font-size: 15px; font-weight: 600;")
        column.addWidget(self.title)
        self.verdict = QLabel(self)
        self.verdict.setWordWrap(True)
        column.addWidget(self.verdict)
        self.strip = FilmStrip(self)
        column.addWidget(self.strip)
        self.killers = KillerBar(act, self)
        column.addWidget(self.killers)
        self.decisions = DecisionBar(act, self)
        column.addWidget(self.decisions)
        self.traces = Traces(self)
        column.addWidget(self.traces)
        self.message = QLabel(self)
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(18)
        column.addWidget(self.message)
        column.addLayout(self._filter_row(blinded=events.blinded))
        self.table = EventTable(self)
        self.table.setMinimumHeight(120)
        self.table.show_list(events)
        column.addWidget(self.table, 1)

    def show_words(self, session: ReviewSession) -> None:
        """Say who died, when, by whom, and what stands."""
        shown, row = session.shown, session.row
        if shown is None or row is None or session.current is None:
            return
        blinded = session.sitting.blinded
        now = session.state.of(session.current)
        status = STATUSES[session.events.status[row]]
        asked = is_asked(shown, status, blinded=blinded)
        self.title.setText(headline(shown, blinded=blinded, time_min=session.minutes(shown), asked=asked))
        words = verdict_line(shown, blinded=blinded, killer_chosen=bool(now.killer_chosen), asked=asked)
        said = status_words(status, now.about, now.notes, blinded=blinded)
        self.decisions.offer_settling(status == "disagreement")
        self.verdict.setText(f"{words}<br><span style='color:{STATUS_COLORS[status]}'>●&nbsp;{said}</span>")

    def show_candidates(self, found: Table, *, killer: int | None, blinded: bool) -> None:
        """Write the candidates on their buttons."""
        self.killers.show_candidates(
            found["effector_track_id"].tolist(),
            found["share"].tolist(),
            found["duration_min"].tolist(),
            killer=killer,
            blinded=blinded,
        )

    def show_progress(self, done: int, total: int, minutes: float | None) -> None:
        """How far the review is."""
        self.progress.setText(progress_words(done, total, minutes))
        self.bar.show_share(done / max(total, 1))

    def show_mode(self, is_on: bool) -> None:
        """Say whether the keys decide."""
        self.mode.setText("● REVIEW MODE" if is_on else "review mode off")
        self.mode.setToolTip(
            "Keys decide while this is on." if is_on else "Keys are napari's own; click to review."
        )

    def show_filter(self, *, refused: bool) -> None:
        """Frame the box where its filter is not understood."""
        name = "refused" if refused else ""
        if self.filter_box.objectName() != name:
            self.filter_box.setObjectName(name)
            self.filter_box.style().unpolish(self.filter_box)
            self.filter_box.style().polish(self.filter_box)

    def stop(self) -> None:
        """Stop what runs by itself."""
        self.strip.stop()
        self.traces.stop()

    def _head(self) -> Any:
        row = QHBoxLayout()
        self.mode = QPushButton("review mode off", self)
        self.mode.setObjectName("mode")
        self.mode.setCheckable(True)
        self.mode.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row.addWidget(self.mode)
        self.progress = QLabel(self)
        self.progress.setStyleSheet(f"color: {DIM}")
        row.addWidget(self.progress, 1)
        self.help = QPushButton("?", self)
        self.help.setFixedWidth(28)
        self.help.setToolTip("the keys")
        self.help.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row.addWidget(self.help)
        return row

    def _filter_row(self, *, blinded: bool) -> Any:
        row = QHBoxLayout()
        self.filter_box = QLineEdit(self)
        self.filter_box.setPlaceholderText("filter:  " + ("time<120  status:pending" if blinded else HINT))
        self.filter_box.setClearButtonEnabled(True)
        self.filter_box.setToolTip(f"Terms with blanks between them, all must hold:  {HINT}")
        row.addWidget(self.filter_box, 1)
        self.order = QComboBox(self)
        for name, words in ORDERS:
            self.order.addItem(words, name)
        self.order.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.order.setVisible(not blinded)
        row.addWidget(self.order)
        return row
