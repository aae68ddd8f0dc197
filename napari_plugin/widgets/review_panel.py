"""The rows of buttons of the review dock: who did it, what to decide, why rejected, a note."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QWidget,
)

from napari_plugin.event_list import number_words
from napari_plugin.key_table import REASON_KEYS
from napari_plugin.settling import MOST

Act = Callable[[str], None]
MAX_NOTE = 400
_BAR_PX, _CHOICES_PX = 34, 92


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
    """Accept, reject and the rest; after reject the reasons, after flag a line for the note, after settle as what."""

    noted = Signal(str)
    cancelled = Signal()

    def __init__(self, act: Act, parent: QWidget) -> None:
        """Four pages, the decisions first."""
        super().__init__(parent)
        self.setFixedHeight(_BAR_PX)
        self.addWidget(self._page([
            ("A  accept", "accept"),
            ("R  reject", "reject"),
            ("U  unsure", "unsure"),
            ("S  settle", "settle"),
            ("T  re-time", "retime"),
            ("F  flag", "flag"),
            ("↶  undo", "undo"),
        ], act))  # fmt: skip
        self._settle = self.widget(0).findChild(QPushButton, "settle")
        self.offer_settling(False)
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
        self._choices = _Choices(act, self)
        self.addWidget(self._choices)
        self.currentChanged.connect(lambda page: self.setFixedHeight(_CHOICES_PX if page == 3 else _BAR_PX))

    @property
    def choosing(self) -> str:
        """What the number keys choose: "reason" of a rejection, "settle" as what; empty where neither is asked."""
        return {1: "reason", 3: "settle"}.get(self.currentIndex(), "")

    def offer_settling(self, is_offered: bool) -> None:
        """Show the button that settles, or take it away."""
        if self._settle is not None:
            self._settle.setVisible(is_offered)

    def show_settlements(self, words: Sequence[str]) -> None:
        """Ask as what a disagreement is settled."""
        self._choices.show_words(words)
        self.setCurrentIndex(3)

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


class _Choices(QWidget):
    """What a disagreement can be settled as, two in a row."""

    def __init__(self, act: Act, parent: QWidget) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 2, 0, 2)
        grid.setSpacing(4)
        self._buttons = []
        for number in range(MOST):
            button = _button("", parent=self, act=act, action=f"settle_{number + 1}")
            button.setStyleSheet("font-size: 11px; padding: 2px 6px; text-align: left;")
            grid.addWidget(button, number // 2, number % 2)
            self._buttons.append(button)

    def show_words(self, words: Sequence[str]) -> None:
        """Write the choices on the buttons."""
        for number, button in enumerate(self._buttons):
            there = number < len(words)
            button.setVisible(there)
            button.setText(f"{number + 1}  {words[number]}" if there else "")
            button.setToolTip(words[number] if there else "")


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
