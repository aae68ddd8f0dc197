"""Blinded reading: the events in a shuffled order that is recorded, without condition, well, or what anybody said.

Every tenth event comes a second time, which tells how far the reader agrees with herself.
"""

import math
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from assay.errors import AssayError
from assay.review.agreement import Agreement, PairAgreement, agreement
from assay.review.blinding import Blinding
from napari_plugin.opening import show_review_dock
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import open_session, session_of
from napari_plugin.widgets.style import DOCK_STYLE, DOCK_WIDTH

if TYPE_CHECKING:
    from napari.viewer import Viewer

_LOOK_EVERY_MS = 500
_MAX_SEED = 999_999
_HIDDEN = (
    "Hidden from you: condition, well and field, what the model says and how sure it is, and what other readers said. "
    "Your decisions are written to the log as blinded, with the seed of the order."
)


class BlindedPanel(QWidget):
    """Begins and ends a blinded sitting on the RESULTS that are under review, and says how far readers agree."""

    def __init__(self, viewer: "Viewer") -> None:
        super().__init__()
        self.viewer = viewer
        self._session: ReviewSession | None = None
        self._build()
        self._look = QTimer(self)
        self._look.timeout.connect(self._follow)
        self._look.start(_LOOK_EVERY_MS)
        self._follow()

    @property
    def is_blinded(self) -> bool:
        """Whether a blinded sitting is under way."""
        return self._session is not None and self._session.sitting.blinded

    def begin(self) -> None:
        """Begin a blinded sitting with the name, seed and repeats of the form."""
        reader = self.reader.text().strip()
        if not reader:
            self._tell("Give your name first: agreement is counted by reader.")
            return
        share = self.repeats.value() / 100
        self._reopen(reader, Blinding(seed=self.seed.value(), repeat_share=share))

    def end(self) -> None:
        """Show everything again, and how far readers agree."""
        if self._session is not None:
            self._reopen(self._session.sitting.reader, None)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Stop looking."""
        self._look.stop()
        self._leave()
        super().closeEvent(event)

    def _build(self) -> None:
        self.setMinimumWidth(DOCK_WIDTH[0])
        self.setMaximumWidth(DOCK_WIDTH[1])
        self.setStyleSheet(DOCK_STYLE)
        self.reader = QLineEdit()
        self.reader.setPlaceholderText("your name, as it stands in the log")
        self.seed = QSpinBox()
        self.seed.setRange(0, _MAX_SEED)
        self.seed.setValue(secrets.randbelow(_MAX_SEED + 1))
        self.seed.setToolTip("The same seed gives the same order again; it is written into the log.")
        self.repeats = QSpinBox()
        self.repeats.setRange(0, 100)
        self.repeats.setValue(10)
        self.repeats.setSuffix(" % a second time")
        form = QFormLayout()
        form.addRow("Reader", self.reader)
        form.addRow("Order, seed", self.seed)
        form.addRow("Repeats", self.repeats)
        self.begin_button, self.end_button = (
            QPushButton("Begin blinded reading"),
            QPushButton("End, show everything"),
        )
        self.begin_button.clicked.connect(self.begin)
        self.end_button.clicked.connect(self.end)
        row = QHBoxLayout()
        row.addWidget(self.begin_button)
        row.addWidget(self.end_button)
        self._badge, self._words, self._agreement = QLabel(), QLabel(), QLabel()
        self._badge.setAlignment(Qt.AlignmentFlag.AlignCenter)
        for label in (self._badge, self._words, self._agreement):
            label.setWordWrap(True)
        self._agreement.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.addWidget(self._badge)
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self._words)
        layout.addWidget(self._agreement)
        layout.addStretch(1)

    def _reopen(self, reader: str, blinding: Blinding | None) -> None:
        if self._session is None:
            self._tell("Open RESULTS for review first.")
            return
        results: Path = self._session.results
        self._leave()
        try:
            session = open_session(self.viewer, results, reader=reader, blinding=blinding)
        except AssayError as error:
            self._tell(str(error))
            return
        show_review_dock(self.viewer, session)
        self._follow()

    def _follow(self) -> None:
        session = session_of(self.viewer)
        if session is self._session and session is not None:
            return
        self._leave()
        self._session = session
        if session is not None:
            session.changed.append(self._on_changed)
            if not self.reader.text():
                self.reader.setText(session.sitting.reader)
        self._show()

    def _on_changed(self, names: object) -> None:
        self._show()

    def _show(self) -> None:
        blinded, session = self.is_blinded, self._session
        self._badge.setText("READING BLINDED" if blinded else "Everything is shown")
        colors = "background: #8b5cf6; color: white" if blinded else "background: #3a3f4b; color: #c9ced8"
        self._badge.setStyleSheet(f"{colors}; padding: 6px; border-radius: 4px; font-weight: bold")
        for widget in (self.reader, self.seed, self.repeats):
            widget.setEnabled(not blinded)
        self.begin_button.setEnabled(session is not None and not blinded)
        self.end_button.setEnabled(blinded)
        if session is None:
            self._tell("Open RESULTS for review first.")
            self._agreement.setText("")
        elif blinded:
            done, total, _ = session.progress()
            self._tell(f"{done} of {total} readings done.\n\n{_HIDDEN}")
            self._agreement.setText("")  # what others said is hidden, and so is how far one agrees
        else:
            self._tell("")
            self._agreement.setText(agreement_words(agreement(session.state)))

    def _leave(self) -> None:
        if self._session is not None and self._on_changed in self._session.changed:
            self._session.changed.remove(self._on_changed)
        self._session = None

    def _tell(self, words: str) -> None:
        self._words.setText(words)


def agreement_words(found: Agreement) -> str:
    """How far readers agree, in a few lines of HTML."""
    lines = [_pair_words(f"{pair.reader} and {pair.other}", pair) for pair in found.pairs]
    lines += [
        _pair_words(f"{pair.reader} with her or his own second readings", pair) for pair in found.repeats
    ]
    if not lines:
        return "Agreement is shown once two readers, or one reader twice, decided on the same events."
    if found.n_disagreements:
        lines.append(f"{found.n_disagreements} disagreements are not settled.")
    return "<br>".join(["<b>Agreement</b>", *lines])


def _pair_words(who: str, pair: PairAgreement) -> str:
    if not pair.n:
        return f"{who}: no event on which both were sure."
    if math.isnan(pair.kappa):
        kappa = "all verdicts the same one, so kappa says nothing"
    else:
        kappa = f"kappa {pair.kappa:.2f} ({pair.kappa_low:.2f} to {pair.kappa_high:.2f})"
    words = f"{who}: {pair.n} events, {kappa}"
    if pair.n_killers:
        words += f", same killer in {100 * pair.killer_agreement:.0f} % of {pair.n_killers}"
    if math.isfinite(pair.median_dt_frames):
        words += f", times {pair.median_dt_frames:g} frames apart (median)"
    return words + "."
