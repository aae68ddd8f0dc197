"""The keys of the review mode: one filter for the whole window, and the sheet that explains them."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.key_table import REASON_KEYS, Key
from napari_plugin.widgets.style import DIM, SHEET_STYLE, TEXT

_TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)
_LETTERS = range(int(Qt.Key.Key_A), int(Qt.Key.Key_Z) + 1)

Take = Callable[[str, bool], bool]
"""(name of the key, whether it is held down) -> whether it was one of ours."""


class ReviewKeys(QObject):
    """Hears every key of one main window before anybody else does, while `start`ed.

    A table would take letters for a search, the canvas for the active layer's tools; so the filter sits on the
    application and looks at nothing but keys of this window.
    """

    def __init__(self, owner: QWidget, *, takes: Callable[[str], bool], take: Take) -> None:
        """Prepare.

        Args:
            owner: A widget in the window.
            takes: Whether a key would be taken now.
            take: Does it.
        """
        super().__init__(owner)
        self._owner, self._takes, self._take = owner, takes, take
        self._is_on = False

    def start(self) -> None:
        """Begin to listen."""
        application = QApplication.instance()
        if not self._is_on and application is not None:
            application.installEventFilter(self)
            self._is_on = True

    def stop(self) -> None:
        """Stop listening."""
        application = QApplication.instance()
        if self._is_on and application is not None:
            application.removeEventFilter(self)
            self._is_on = False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Qt's hook; True where the key was ours."""
        kind = event.type()
        if kind != QEvent.Type.KeyPress and kind != QEvent.Type.ShortcutOverride:
            return False
        if not isinstance(watched, QWidget) or not isinstance(event, QKeyEvent):
            return False
        if watched.window() != self._owner.window() or _is_writing(watched):
            return False
        name = key_name(event)
        if kind == QEvent.Type.ShortcutOverride:  # keeps napari's own shortcut from taking it
            if self._takes(name):
                event.accept()
                return True
            return False
        return self._take(name, event.isAutoRepeat())


def key_name(event: QKeyEvent) -> str:
    """Name of a key as the table writes it: Shift counts with letters only, as 1 or ? need it on some keyboards."""
    kept = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and int(event.key()) in _LETTERS:
        kept |= Qt.KeyboardModifier.ShiftModifier
    name = QKeySequence(int(event.key())).toString(QKeySequence.SequenceFormat.PortableText)
    parts = [
        word
        for flag, word in (
            (Qt.KeyboardModifier.ControlModifier, "Ctrl"),
            (Qt.KeyboardModifier.AltModifier, "Alt"),
            (Qt.KeyboardModifier.ShiftModifier, "Shift"),
        )
        if kept & flag
    ]
    return "+".join([*parts, name])


def _is_writing(widget: QWidget) -> bool:
    focused = QApplication.focusWidget()
    for one in (widget, focused):
        if isinstance(one, _TEXT_FIELDS) or (isinstance(one, QComboBox) and one.isEditable()):
            return True
    return False


class KeySheet(QFrame):
    """What the keys do, over the dock."""

    def __init__(self, table: Sequence[Key], parent: QWidget) -> None:
        """Lay it out from the table; hidden at first."""
        super().__init__(parent)
        self.setObjectName("killassay_keys")
        self.setStyleSheet(SHEET_STYLE)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(18, 14, 18, 14)
        title = QLabel("<b style='font-size:15px'>Keys of the review</b>", self)
        outer.addWidget(title)
        grid = QGridLayout()
        grid.setVerticalSpacing(3)
        grid.setHorizontalSpacing(12)
        grid.setColumnStretch(1, 1)
        outer.addLayout(grid)
        row = 0
        for group in dict.fromkeys(key.group for key in table):
            head = QLabel(f"<span style='color:{DIM}'>{group.upper()}</span>", self)
            head.setContentsMargins(0, 8, 0, 1)
            grid.addWidget(head, row, 0, 1, 2)
            row += 1
            for key in [one for one in table if one.group == group]:
                grid.addWidget(_cap(" ".join(_short(name) for name in key.keys), self), row, 0)
                words = QLabel(key.title, self)
                words.setWordWrap(True)
                words.setStyleSheet(f"color:{TEXT}")
                grid.addWidget(words, row, 1)
                row += 1
        reasons = ", ".join(f"{key} {words}" for key, _, words in REASON_KEYS)
        foot = QLabel(
            f"Reasons after R: {reasons}. Keys rest while you write in a field or paint labels.", self
        )
        foot.setWordWrap(True)
        foot.setStyleSheet(f"color:{DIM}")
        outer.addSpacing(6)
        outer.addWidget(foot)
        outer.addStretch(1)
        self.hide()


def _cap(text: str, parent: QWidget) -> QLabel:
    label = QLabel(text, parent)
    label.setObjectName("killassay_cap")
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return label


def _short(name: str) -> str:
    return {"Left": "←", "Right": "→", "Ctrl+Shift+Z": "Ctrl+⇧Z"}.get(name, name.replace("Shift+", "⇧"))
