"""How the dock for corrections is laid out, and the words in it."""

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QSizePolicy,
    QSlider,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from assay.labels import CELL_ROLES
from napari_plugin.correcting import TOOLS
from napari_plugin.widgets.style import BLUE, DIM, DOCK_STYLE, GROUND, LINE, PANEL, TEXT

_SWATCHES = ("#ffffff", "#37c8ff")
_STYLE = f"""
{DOCK_STYLE}
QPushButton#choice:checked {{ background: #2f4a6d; border-color: {BLUE}; color: white; }}
QPushButton#main {{ background: #2b5a8c; border-color: {BLUE}; color: white; font-weight: 600; padding: 6px; }}
QPushButton#main:disabled {{ background: {PANEL}; border-color: #31353e; color: #6a707c; }}
QTabWidget::pane {{ border: 1px solid {LINE}; border-radius: 4px; top: -1px; }}
QTabBar::tab {{ background: {GROUND}; color: {DIM}; padding: 6px 18px; border: 1px solid {LINE}; border-bottom: none; font-size: 13px; }}
QTabBar::tab:selected {{ background: {PANEL}; color: {TEXT}; border-top: 2px solid {BLUE}; }}
QListWidget {{ background: {GROUND}; border: 1px solid {LINE}; color: {TEXT}; font-size: 12px; }}
QCheckBox {{ color: {TEXT}; font-size: 12px; }}
"""


class CorrectLayout(QFrame):
    """The parts of the dock from top to bottom."""

    role_chosen = Signal(str)
    tool_chosen = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        """Lay them out."""
        super().__init__(parent)
        self.setStyleSheet(_STYLE)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(7)
        self.roles = QButtonGroup(self)
        row = QHBoxLayout()
        row.addWidget(_label("Correct", dim=True))
        for number, role in enumerate(reversed(CELL_ROLES)):
            button = _choice(f"{role.capitalize()}s")
            self.roles.addButton(button, number)
            button.clicked.connect(lambda _checked, role=role: self.role_chosen.emit(role))
            row.addWidget(button, 1)
        self.roles.button(0).setChecked(True)
        column.addLayout(row)
        self.tabs = QTabWidget(self)
        self.tabs.addTab(self._tracks(), "Tracks")
        self.tabs.addTab(self._outlines(), "Outlines")
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        column.addWidget(self.tabs)
        self.message = _label("")
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(58)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.message)
        foot = QHBoxLayout()
        self.standing_title = _label("Corrections in this field", dim=True)
        foot.addWidget(self.standing_title, 1)
        self.undo_decision = QPushButton("Undo last decision", self)
        foot.addWidget(self.undo_decision)
        column.addLayout(foot)
        self.standing = QListWidget(self)
        self.standing.setMinimumHeight(70)
        column.addWidget(self.standing, 1)

    def show_picked(self, names: Sequence[str], seen: Sequence[tuple[int, int] | None], frame: int) -> None:
        """Which cells are picked, and what can be done with them in this frame."""
        for number, label in enumerate(self._picked):
            if number < len(names):
                of = seen[number]
                frames = "in no frame" if of is None else f"frames {of[0]} – {of[1]}"
                label.setText(f"<b>{names[number]}</b> &nbsp;<span style='color:{DIM}'>{frames}</span>")
            else:
                words = "click a cell in the picture" if number == 0 else "Shift-click another one"
                label.setText(f"<span style='color:{DIM}'>{words}</span>")
        self.cut.setEnabled(len(names) > 0)
        self.join.setEnabled(len(names) > 1)
        self.swap.setEnabled(len(names) > 1)
        self.cut.setText(f"Cut the first after frame {frame}")
        self.swap.setText(f"Swap from frame {frame} on")

    def show_painted(self, tool: str, hint: str, edited: Sequence[int], overlay: Any, frame: int) -> None:
        """Which tool is in the hand, and what waits to be committed."""
        self.tools.button(TOOLS.index(tool)).setChecked(True)
        self.hint.setText(hint)
        self.undo.setEnabled(overlay.can_undo)
        self.redo.setEnabled(overlay.can_redo)
        self.discard.setEnabled(frame in edited)
        self.commit.setEnabled(bool(edited))
        if not edited:
            self.painted.setText("Nothing painted that is not kept.")
        else:
            patch = overlay.patch(edited[-1])
            cells = len(patch.changed_labels) if len(edited) == 1 and patch is not None else 0
            frames = ", ".join(map(str, edited[:8])) + (" …" if len(edited) > 8 else "")
            what = f"{cells} cell{'s' if cells != 1 else ''} changed, " if cells else ""
            self.painted.setText(f"Frame{'s' if len(edited) > 1 else ''} {frames}: {what}not kept yet.")

    def show_standing(self, lines: Sequence[str]) -> None:
        """Corrections of the field, the newest on top."""
        shown = [self.standing.item(row).text() for row in range(self.standing.count())]
        wanted = list(reversed(lines))
        if shown != wanted:
            self.standing.clear()
            self.standing.addItems(wanted)

    def _tracks(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.setSpacing(6)
        self._picked = []
        for color in _SWATCHES:
            row = QHBoxLayout()
            swatch = QLabel(page)
            swatch.setFixedSize(14, 14)
            swatch.setStyleSheet(f"border: 2px solid {color}; border-radius: 7px;")
            row.addWidget(swatch)
            label = _label("")
            self._picked.append(label)
            row.addWidget(label, 1)
            column.addLayout(row)
        self.cut = QPushButton("Cut", page)
        self.cut.setToolTip("The track ends with this frame; what follows is a cell of its own.")
        self.join = QPushButton("Join the two", page)
        self.join.setToolTip(
            "One cell that was lost and found again: the earlier track goes on as the later one."
        )
        self.swap = QPushButton("Swap", page)
        self.swap.setToolTip("Two cells that were mistaken for one another change names from this frame on.")
        grid = QGridLayout()
        grid.addWidget(self.cut, 0, 0, 1, 2)
        grid.addWidget(self.join, 1, 0)
        grid.addWidget(self.swap, 1, 1)
        column.addLayout(grid)
        column.addStretch(1)
        return page

    def _outlines(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.setSpacing(6)
        self.tools = QButtonGroup(page)
        grid = QGridLayout()
        for number, tool in enumerate(TOOLS):
            button = _choice(tool.capitalize())
            self.tools.addButton(button, number)
            button.clicked.connect(lambda _checked, tool=tool: self.tool_chosen.emit(tool))
            grid.addWidget(button, number // 4, number % 4)
        self.new_cell = QPushButton("New cell", page)
        self.new_cell.setToolTip("The brush draws a cell that was not outlined at all.")
        grid.addWidget(self.new_cell, 1, 3)
        column.addLayout(grid)
        self.hint = _label("", dim=True)
        self.hint.setWordWrap(True)
        column.addWidget(self.hint)
        row = QHBoxLayout()
        row.addWidget(_label("Brush", dim=True))
        self.brush = QSlider(Qt.Orientation.Horizontal, page)
        self.brush.setRange(1, 60)
        self.brush.setValue(9)
        row.addWidget(self.brush, 1)
        self.brush_px = _label("9 px", dim=True)
        self.brush_px.setMinimumWidth(38)
        self.brush.valueChanged.connect(lambda size: self.brush_px.setText(f"{size} px"))
        row.addWidget(self.brush_px)
        self.protect = QCheckBox("leave other cells", page)
        self.protect.setToolTip("The brush does not paint over other cells.")
        self.protect.setChecked(True)
        row.addWidget(self.protect)
        column.addLayout(row)
        row = QHBoxLayout()
        self.undo, self.redo, self.discard = (QPushButton(text, page) for text in ("Undo", "Redo", "Discard"))
        self.discard.setToolTip("Forget what was painted in this frame.")
        for button in (self.undo, self.redo, self.discard):
            row.addWidget(button)
        column.addLayout(row)
        self.painted = _label("")
        self.painted.setWordWrap(True)
        column.addWidget(self.painted)
        self.commit = QPushButton("Keep and score again", page)
        self.commit.setObjectName("main")
        column.addWidget(self.commit)
        return page


def _label(text: str, *, dim: bool = False) -> QLabel:
    label = QLabel(text)
    if dim:
        label.setObjectName("dim")
    return label


def _choice(text: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName("choice")
    button.setCheckable(True)
    return button
