"""The rows of buttons of the review dock: who did it, what to decide, why rejected, a note."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QStackedWidget, QWidget

from napari_plugin.event_list import number_words
from napari_plugin.key_table import REASON_KEYS

Act = Callable[[str], None]
MAX_NOTE = 400


class KillerBar(QWidget):
    """The candidates as buttons 1 to 4 and nobody as 0; the one that stands is framed."""

    def __init__(self, act: Act, parent: QWidget) -> None:
        """Five buttons; `act` gets the action of the one pressed."""
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self._buttons = []
        for number in (1, 2, 3, 4, 0):
            button = _button("", parent=self, act=act, action="nobody" if number == 0 else f"killer_{number}")
            button.setToolTip("who did it: effector, minutes in contact before the death, share of the death")
            row.addWidget(button, 1)
            self._buttons.append(button)

    def show_candidates(
        self,
        effectors: Sequence[int],
        shares: Sequence[float],
        minutes: Sequence[float],
        *,
        killer: int | None,
        blinded: bool,
    ) -> None:
        """Write the candidates on the buttons."""
        for number, button in enumerate(self._buttons[:4]):
            there = number < len(effectors)
            button.setEnabled(there)
            text = f"{number + 1}  –"
            if there:
                share = "" if blinded else f"  {number_words(shares[number], '{:.2f}')}"
                text = f"{number + 1}  eff {effectors[number]}\n{number_words(minutes[number], '{:.0f} min')}{share}"
            button.setText(text)
            _name(button, "chosen" if there and effectors[number] == killer and not blinded else "")
        self._buttons[4].setText("0  nobody")
        _name(self._buttons[4], "chosen" if killer is None and not blinded else "")


class DecisionBar(QStackedWidget):
    """Accept, reject, unsure and the rest; after reject the reasons; after flag a line for the note."""

    noted = Signal(str)
    cancelled = Signal()

    def __init__(self, act: Act, parent: QWidget) -> None:
        """Three pages, the decisions first."""
        super().__init__(parent)
        self.setFixedHeight(34)
        self.addWidget(self._page([
            ("A  accept", "accept"),
            ("R  reject", "reject"),
            ("U  unsure", "unsure"),
            ("T  re-time", "retime"),
            ("F  flag", "flag"),
            ("↶  undo", "undo"),
        ], act))  # fmt: skip
        self.addWidget(
            self._page(
                [(f"{key}  {words}", f"reason_{key}") for key, _, words in REASON_KEYS], act, small=True
            )
        )
        page = QWidget(self)
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 2, 0, 2)
        row.addWidget(QLabel("⚑ note", page))
        self.note = _NoteLine(page)
        self.note.setMaxLength(MAX_NOTE)
        self.note.setPlaceholderText("why it is flagged; Enter keeps it, Esc leaves it")
        self.note.returnPressed.connect(lambda: self.noted.emit(self.note.text().strip()))
        self.note.left.connect(self.cancelled)
        row.addWidget(self.note, 1)
        self.addWidget(page)

    @property
    def is_choosing(self) -> bool:
        """Whether the reasons are shown."""
        return self.currentIndex() == 1

    def show_decisions(self) -> None:
        """Back to the decisions."""
        self.setCurrentIndex(0)

    def show_reasons(self) -> None:
        """Ask why it is rejected."""
        self.setCurrentIndex(1)

    def ask_note(self, text: str) -> None:
        """Ask for the note of a flag."""
        self.setCurrentIndex(2)
        self.note.setText(text)
        self.note.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _page(self, buttons: Sequence[tuple[str, str]], act: Act, *, small: bool = False) -> QWidget:
        page = QWidget(self)
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 2, 0, 2)
        row.setSpacing(4)
        for text, action in buttons:
            button = _button(text, parent=page, act=act, action=action)
            button.setObjectName(action)
            if small:
                button.setStyleSheet("font-size: 11px; padding: 4px 2px;")
            row.addWidget(button, 1)
        return page


class _NoteLine(QLineEdit):
    """A line that Esc leaves."""

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Esc leaves."""
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)


def _button(text: str, *, parent: QWidget, act: Act, action: str) -> QPushButton:
    button = QPushButton(text, parent)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.clicked.connect(lambda _checked=False, action=action: act(action))
    return button


def _name(button: QPushButton, name: str) -> None:
    """Change what the style sheet calls it."""
    if button.objectName() != name:
        button.setObjectName(name)
        button.style().unpolish(button)
        button.style().polish(button)
