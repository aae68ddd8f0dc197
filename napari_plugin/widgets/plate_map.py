"""The plate as a heat map: colour and number per well, and plainly no number where there is none."""

import math
from collections.abc import Mapping

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFont,
    QHelpEvent,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPen,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_plugin.plate_values import Measure, WellValue

VIRIDIS = (
    "#440154",
    "#482878",
    "#3e4a89",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
"""Dark to bright, the same order for every kind of colour vision, and in grey."""

_MARGIN = 20.0
_LEGEND = 46.0


class PlateMap(QWidget):
    """Wells that can be hovered, clicked, and walked with the arrow keys."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shape = (8, 12)
        self.selected = ""
        self._measure: Measure | None = None
        self._values: Mapping[str, WellValue] = {}
        self._places: dict[tuple[int, int], str] = {}
        self._top = 1.0
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("Plate map")

    def show_values(self, shape: tuple[int, int], measure: Measure, values: Mapping[str, WellValue]) -> None:
        """Show a plate of (rows, columns) coloured by one measure."""
        self.shape, self._measure, self._values = shape, measure, values
        self._places = {(one.row, one.column): name for name, one in values.items()}
        known = [one.value for one in values.values() if one.is_known]
        largest = max(known, default=0.0)
        self._top = measure.top if math.isfinite(measure.top) else (largest if largest > 0 else 1.0)
        self.updateGeometry()
        self.update()

    def select(self, well: str) -> None:
        """Ring a well."""
        self.selected = well
        self.update()

    def color_of(self, value: float) -> QColor:
        """Colour of a number; below zero as zero."""
        place = min(max(value / self._top, 0.0), 1.0) * (len(VIRIDIS) - 1)
        low, high = QColor(VIRIDIS[int(place)]), QColor(VIRIDIS[min(int(place) + 1, len(VIRIDIS) - 1)])
        part = place - int(place)
        mixed = [round(a + (b - a) * part) for a, b in zip(low.getRgb()[:3], high.getRgb()[:3], strict=True)]
        return QColor(*mixed)

    def well_at(self, point: QPointF) -> str:
        """Name of the well under a point; empty where there is none."""
        pitch = self._pitch()
        place = math.floor((point.y() - _MARGIN) / pitch), math.floor((point.x() - _MARGIN) / pitch)
        return self._places.get(place, "")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as a dock may be."""
        return QSize(440, self.heightForWidth(440))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Small enough for a narrow dock."""
        return QSize(280, self.heightForWidth(280))

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Square wells, and the legend below."""
        return round((width - _MARGIN - 4) / self.shape[1] * self.shape[0] + _MARGIN + _LEGEND)

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Keep the wells square: layouts of Qt do not ask for the height again by themselves."""
        self.setFixedHeight(self.heightForWidth(self.width()))

    def event(self, event: QEvent) -> bool:
        """Tooltips of wells."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            well = self.well_at(QPointF(event.pos()))
            if well:
                QToolTip.showText(event.globalPos(), self._values[well].words, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click opens the well."""
        well = self.well_at(event.position())
        if well and event.button() == Qt.MouseButton.LeftButton:
            self.select(well)
            self.chosen.emit(well)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys walk over the wells there are, Enter opens."""
        steps = {
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
        }
        key = Qt.Key(event.key())
        if key in steps and self._places:
            self._walk(*steps[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.selected:
            self.chosen.emit(self.selected)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: object) -> None:  # noqa: N802
        """Wells, names of rows and columns, legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_names(painter)
        for row in range(self.shape[0]):
            for column in range(self.shape[1]):
                self._paint_well(painter, row, column)
        if self._measure is not None:
            self._paint_legend(painter, self._measure)
        painter.end()

    def _walk(self, rows: int, columns: int) -> None:
        here = self._values.get(self.selected)
        row, column = (here.row, here.column) if here is not None else min(self._places)
        for _ in range(max(self.shape)):
            if here is not None:
                row, column = row + rows, column + columns
            if (row, column) in self._places:
                self.select(self._places[row, column])
                return

    def _pitch(self) -> float:
        return max(1.0, (self.width() - _MARGIN - 4) / self.shape[1])

    def _ink(self, alpha: int = 255) -> QColor:
        color = QColor(self.palette().windowText().color())
        color.setAlpha(alpha)
        return color

    def _paint_names(self, painter: QPainter) -> None:
        pitch = self._pitch()
        every = 1 if pitch >= 16 else 2
        painter.setPen(self._ink(170))
        painter.setFont(_font(8))
        for column in range(0, self.shape[1], every):
            box = QRectF(_MARGIN + column * pitch - 8, 0, pitch + 16, _MARGIN - 3)
            painter.drawText(
                box, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom, str(column + 1)
            )
        for row in range(0, self.shape[0], every):
            box = QRectF(0, _MARGIN + row * pitch, _MARGIN - 5, pitch)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, row_name(row))

    def _paint_well(self, painter: QPainter, row: int, column: int) -> None:
        pitch = self._pitch()
        gap = max(1.0, 0.07 * pitch)
        box = QRectF(_MARGIN + column * pitch, _MARGIN + row * pitch, pitch, pitch).adjusted(
            gap, gap, -gap, -gap
        )
        name = self._places.get((row, column))
        if name is None:  # not filmed
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._ink(28))
            middle = box.center()
            painter.drawEllipse(middle, 0.12 * pitch, 0.12 * pitch)
            return
        one = self._values[name]
        painter.setPen(QPen(self._ink(90), 1.0))
        if one.is_known:
            color = self.color_of(one.value)
            painter.setBrush(color)
            painter.drawEllipse(box)
            self._paint_number(painter, box, one.value, color)
        else:
            paint_unknown(painter, box, one.status, self._ink())
        if name == self.selected:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._ink(), 2.4))
            painter.drawEllipse(box.adjusted(-1.5, -1.5, 1.5, 1.5))

    def _paint_number(self, painter: QPainter, box: QRectF, value: float, back: QColor) -> None:
        if box.width() < 24 or self._measure is None:
            return
        painter.setPen(
            QColor("black") if back.lightnessF() > 0.45 or back.greenF() > 0.6 else QColor("white")
        )
        painter.setFont(_font(8 if box.width() >= 30 else 7))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, short_number(value, self._measure.pattern))

    def _paint_legend(self, painter: QPainter, measure: Measure) -> None:
        top = _MARGIN + self._pitch() * self.shape[0] + 8
        bar = QRectF(_MARGIN, top, 0.42 * (self.width() - _MARGIN), 11)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for n, color in enumerate(VIRIDIS):
            gradient.setColorAt(n / (len(VIRIDIS) - 1), QColor(color))
        painter.setPen(QPen(self._ink(90), 1.0))
        painter.setBrush(QBrush(gradient))
        painter.drawRect(bar)
        painter.setPen(self._ink(210))
        painter.setFont(_font(8))
        below = QRectF(bar.left(), bar.bottom() + 2, bar.width(), 15)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        words = f"{self._top:{measure.pattern}} {measure.unit}".rstrip()
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, words)
        x = bar.right() + 18
        for status, words in (("failed", "failed"), ("unknown", "no number")):
            mark = QRectF(x, top - 1, 13, 13)
            paint_unknown(painter, mark, status, self._ink())
            painter.setPen(self._ink(210))
            painter.drawText(QPointF(mark.right() + 5, mark.bottom() - 2), words)
            x += 30 + painter.fontMetrics().horizontalAdvance(words)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._ink(60))
        painter.drawEllipse(QPointF(x + 4, top + 5.5), 3, 3)
        painter.setPen(self._ink(210))
        painter.drawText(QPointF(x + 12, top + 10), "not filmed")


def paint_unknown(painter: QPainter, box: QRectF, status: str, ink: QColor) -> None:
    """A well without a number: hatched and crossed where it failed, hollow where there is nothing to count."""
    strong, weak = QColor(ink), QColor(ink)
    strong.setAlpha(190)
    weak.setAlpha(70)
    if status in ("failed", "excluded"):
        painter.setPen(QPen(strong, 1.2))
        painter.setBrush(QBrush(weak, Qt.BrushStyle.BDiagPattern))
        painter.drawEllipse(box)
        inner = box.adjusted(*(sign * 0.3 * box.width() for sign in (1, 1, -1, -1)))
        painter.drawLine(inner.topLeft(), inner.bottomRight())
        painter.drawLine(inner.topRight(), inner.bottomLeft())
        return
    painter.setPen(QPen(strong, 1.0, Qt.PenStyle.DotLine))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(box)
    painter.setPen(QPen(strong, 1.2))
    middle, half = box.center(), 0.16 * box.width()
    painter.drawLine(QPointF(middle.x() - half, middle.y()), QPointF(middle.x() + half, middle.y()))


def row_name(row: int) -> str:
    """Letter of a row, A to Z, then AA."""
    return chr(ord("A") + row) if row < 26 else f"A{chr(ord('A') + row - 26)}"


def short_number(value: float, pattern: str) -> str:
    """A number that fits into a well: without the zero before the point; tiny ones are shown to be no zero."""
    words = f"{value:{pattern}}"
    if float(words) == 0:
        return "0" if value == 0 else "~0"
    return words.replace("0.", ".", 1) if words.startswith("0.") else words


def _font(points: int) -> QFont:
    font = QFont()
    font.setPointSize(points)
    return font
