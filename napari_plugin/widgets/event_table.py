"""The table of events: it shows the rows of an `EventList` and asks it to sort."""

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from assay.review.state import STATUSES
from napari_plugin.event_list import BY_VALUE, EventList
from napari_plugin.widgets.style import DIM, STATUS_COLORS

_ALIGN = {
    "left": int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter),
    "right": int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter),
}
_ROW_PX = 22
_NO_INDEX = QModelIndex()
_COLORS = [QColor(STATUS_COLORS[status]) for status in STATUSES]
_DIM = QColor(DIM)


class EventModel(QAbstractTableModel):
    """Cells are made when they are looked at, so a hundred thousand rows cost nothing."""

    def __init__(self, events: EventList, parent: QWidget) -> None:
        """Show the rows of `events`."""
        super().__init__(parent)
        self.events = events

    def rowCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Visible rows."""
        return 0 if parent.isValid() else len(self.events.visible)

    def columnCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Shown columns."""
        return 0 if parent.isValid() else len(self.events.columns)

    def data(self, index: QModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """One cell."""
        if not index.isValid() or index.row() >= len(self.events.visible):
            return None
        row, column = int(self.events.visible[index.row()]), self.events.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self.events.cell(row, column.name)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _ALIGN[column.align]
        if role == Qt.ItemDataRole.ForegroundRole:
            status = int(self.events.status[row])
            if column.name == "status":
                return _COLORS[status]
            return _DIM if status == STATUSES.index("rejected") else None
        if role == Qt.ItemDataRole.ToolTipRole and column.name in ("flags", "killer"):
            return self.events.cell(row, column.name)
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> Any:
        """Titles, and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.events.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.meaning
        return _ALIGN[column.align] if role == Qt.ItemDataRole.TextAlignmentRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the list behind; a column of -1 is the order by value."""
        name = BY_VALUE if column < 0 else self.events.columns[column].name
        self.beginResetModel()
        self.events.sort_by(name, descending=order == Qt.SortOrder.DescendingOrder)
        self.endResetModel()

    def reset(self) -> None:
        """Other rows are visible now."""
        self.beginResetModel()
        self.endResetModel()

    def redraw(self) -> None:
        """The same rows say other things."""
        if self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, self.columnCount() - 1))


class EventTable(QTableView):
    """The table; `picked` names the row of the list that the reader clicked."""

    picked = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        """An empty table."""
        super().__init__(parent)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        self.verticalHeader().setMinimumSectionSize(_ROW_PX)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setHighlightSections(False)
        self._model: EventModel | None = None
        self._is_moving = False

    def show_list(self, events: EventList) -> None:
        """Show a list of events."""
        self._model = EventModel(events, self)
        header = self.horizontalHeader()
        self.setSortingEnabled(False)
        self.setModel(self._model)
        for number, column in enumerate(events.columns):
            self.setColumnWidth(number, column.width_px)
        header.setStretchLastSection(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(not events.blinded)
        self.selectionModel().currentRowChanged.connect(self._pick)

    def show_row(self, row: int | None) -> None:
        """Select a row of the list and bring it into view."""
        if self._model is None:
            return
        place = None if row is None else self._model.events.position(row)
        self._is_moving = True
        if place is None:
            self.selectionModel().clear()
        else:
            index = self._model.index(place, 0)
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.selectionModel().setCurrentIndex(index, flags)
            self.scrollTo(index, QAbstractItemView.ScrollHint.EnsureVisible)
        self._is_moving = False

    def take_over(self, *, other_rows: bool, row: int | None) -> None:
        """Show what changed in the list."""
        if self._model is None:
            return
        if other_rows:
            self._is_moving = True
            self._model.reset()
            self._is_moving = False
            self.show_row(row)
        else:
            self._model.redraw()

    def keyboardSearch(self, search: str) -> None:  # noqa: N802
        """Letters are decisions here, no search."""

    def _pick(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._is_moving and current.isValid() and self._model is not None:
            self.picked.emit(int(self._model.events.visible[current.row()]))
