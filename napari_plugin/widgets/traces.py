"""Curves of an event over its frames, with the onset as a line that can be dragged."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_plugin.adapter import CANDIDATE_COLOR, EFFECTOR_COLOR
from napari_plugin.event_traces import EventTraces
from napari_plugin.widgets.film_strip import Moment
from napari_plugin.widgets.style import CYAN, DIM, GROUND, LINE, RED, TEXT

_TITLES = ("dye", "area µm²", "gap µm")
_HEIGHT_PX = 232
_GAP_TOP_UM = 20.0


class Traces(QWidget):
    """Three plots over one time axis; `retimed` is the frame to which the reader dragged the onset."""

    retimed = Signal(int)
    frame_chosen = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        """Empty plots."""
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._canvas = pg.GraphicsLayoutWidget(self)
        self._canvas.setBackground(GROUND)
        self._canvas.ci.setSpacing(2)
        self._canvas.ci.setContentsMargins(2, 4, 6, 2)
        layout.addWidget(self._canvas)
        self._plots = [self._plot(number, title) for number, title in enumerate(_TITLES)]
        self._onsets = [_line(RED, 2.0, movable=True) for _ in self._plots]
        self._nows = [_line(CYAN, 1.0, movable=False) for _ in self._plots]
        self._intervals = [_interval() for _ in self._plots]
        for plot, onset, now, interval in zip(
            self._plots, self._onsets, self._nows, self._intervals, strict=True
        ):
            for item in (interval, now, onset):
                plot.addItem(item, ignoreBounds=True)
            onset.sigDragged.connect(self._dragged)
            onset.sigPositionChangeFinished.connect(self._dropped)
        self._curves: list[tuple[Any, Any]] = []
        self._canvas.scene().sigMouseClicked.connect(self._clicked)
        self._frame = 0

    def show_traces(self, traces: EventTraces | None, moment: Moment | None) -> None:
        """Draw an event; None clears."""
        for plot, curve in self._curves:
            plot.removeItem(curve)
        self._curves = []
        has_event = traces is not None and moment is not None
        for item in (*self._onsets, *self._intervals):
            item.setVisible(has_event)
        if traces is None or moment is None:
            return
        dye, area, gap = self._plots
        self._draw(dye, traces.marker, "#ff4d57", 1.0)
        self._draw(dye, traces.dye, CYAN, 2.0)
        self._draw(area, traces.area, TEXT, 1.6)
        for effector, curve in traces.gaps:
            is_killer = effector == moment.killer
            color = EFFECTOR_COLOR if is_killer else CANDIDATE_COLOR
            self._draw(gap, curve, color, 2.4 if is_killer else 1.2, z=2 if is_killer else 1)
        dye.setYRange(-0.05, 1.08, padding=0)
        top = float(np.nanmax(traces.area[1])) if len(traces.area[1]) else 1.0
        area.setYRange(0, top * 1.1, padding=0)
        gap.setYRange(-1.5, _GAP_TOP_UM, padding=0)
        dye.setXRange(traces.first_frame - 0.5, traces.last_frame + 0.5, padding=0)
        self._mark(moment)

    def show_frame(self, frame: int) -> None:
        """Mark the frame that the viewer shows."""
        self._frame = frame
        for line in self._nows:
            line.setValue(frame)

    def stop(self) -> None:
        """Let go of the plots."""
        self._canvas.scene().sigMouseClicked.disconnect(self._clicked)
        self._canvas.clear()
        self._canvas.close()

    def _plot(self, row: int, title: str) -> Any:
        plot = self._canvas.addPlot(row=row, col=0)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.showGrid(x=True, y=False, alpha=0.12)
        for name in ("left", "bottom"):
            axis = plot.getAxis(name)
            axis.setPen(pg.mkPen(LINE))
            axis.setTextPen(pg.mkPen(DIM))
            axis.setStyle(tickFont=_small_font(self), tickLength=-4)
        plot.getAxis("left").setWidth(58)
        plot.setLabel("left", title, color=DIM, size="8pt")
        if row < len(_TITLES) - 1:
            plot.getAxis("bottom").setStyle(showValues=False)
            plot.getAxis("bottom").setHeight(4)
        else:
            plot.setLabel("bottom", "frame", color=DIM, size="8pt")
        if row:
            plot.setXLink(self._canvas.getItem(0, 0))
        return plot

    def _draw(self, plot: Any, curve: Any, color: str, width: float, *, z: int = 1) -> None:
        if curve is None:
            return
        item = pg.PlotCurveItem(*curve, pen=pg.mkPen(color, width=width), connect="finite", antialias=True)
        item.setZValue(z)
        plot.addItem(item)
        self._curves.append((plot, item))

    def _mark(self, moment: Moment) -> None:
        for onset, interval in zip(self._onsets, self._intervals, strict=True):
            onset.blockSignals(True)
            onset.setValue(moment.frame)
            onset.blockSignals(False)
            interval.setRegion((moment.first_possible - 0.5, moment.last_possible + 0.5))

    def _dragged(self, line: Any) -> None:
        for other in self._onsets:
            if other is not line:
                other.blockSignals(True)
                other.setValue(line.value())
                other.blockSignals(False)
        self.frame_chosen.emit(round(line.value()))

    def _dropped(self, line: Any) -> None:
        self.retimed.emit(max(0, round(line.value())))

    def _clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            where = self._plots[0].vb.mapSceneToView(event.scenePos())
            self.frame_chosen.emit(max(0, round(where.x())))


def _line(color: str, width: float, *, movable: bool) -> Any:
    line = pg.InfiniteLine(angle=90, movable=movable, pen=pg.mkPen(color, width=width))
    if movable:
        line.setHoverPen(pg.mkPen(color, width=width + 2))
        line.setCursor(Qt.CursorShape.SizeHorCursor)
    line.setZValue(5 if movable else 4)
    return line


def _interval() -> Any:
    region = pg.LinearRegionItem(movable=False, brush=pg.mkBrush(255, 107, 116, 45), pen=pg.mkPen(None))
    region.setZValue(0)
    return region


def _small_font(widget: QWidget) -> Any:
    font = widget.font()
    font.setPointSizeF(7.5)
    return font
