"""The film of one event in a loop: the pair in colours, and the death dye beside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_plugin.adapter import color_of
from napari_plugin.clips import Clip
from napari_plugin.widgets.style import CYAN, DIM, GROUND, LINE, RED, TEXT

SPEEDS = (2, 4, 8, 12, 20)  # frames a second
_TIMELINE_PX = 26
_GAP_PX = 6
_REST = 4  # ticks that the loop rests on its last frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the death is, for the film's marks."""

    frame: int
    first_possible: int
    last_possible: int
    frame_min: float | None
    killer: int | None


class FilmStrip(QWidget):
    """Plays a clip; `frame_chosen` is where the reader clicked on its time line."""

    frame_chosen = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        """Nothing to show yet."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(266)
        self._clip: Clip | None = None
        self._moment: Moment | None = None
        self._pictures: list[tuple[QImage, QImage | None]] = []
        self._place = 0
        self._rest = 0
        self._viewer_frame = 0
        self._speed = SPEEDS.index(8)
        self._note = "No event"
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._is_playing, self._waits = True, False

    @property
    def is_playing(self) -> bool:
        """Whether the loop runs."""
        return self._is_playing

    @property
    def frame(self) -> int | None:
        """The frame that is shown."""
        return None if self._clip is None else self._clip.first_frame + self._place

    def show_clip(self, clip: Clip | None, moment: Moment | None, *, note: str = "Reading images …") -> None:
        """Play a clip from its beginning; None says `note`. The same clip goes on where it was."""
        same = clip is not None and clip is self._clip
        self._clip, self._moment, self._note = clip, moment, note
        if not same:
            self._pictures = [] if clip is None else _pictures(clip)
            self._place = self._rest = 0
        self._set_timer()
        self.update()

    def show_viewer_frame(self, frame: int) -> None:
        """Mark the frame of the big picture; a stopped film goes there."""
        self._viewer_frame = frame
        if not self._is_playing and self._clip is not None:
            self._place = int(np.clip(frame - self._clip.first_frame, 0, self._clip.n_frames - 1))
        self.update()

    def play(self, is_playing: bool, *, when_told: bool = False) -> None:
        """Run or stop the loop; `when_told` runs it once `go_on` is called."""
        self._is_playing, self._waits = is_playing, when_told
        self._set_timer()
        self.update()

    def go_on(self) -> None:
        """Run the loop that waits to be told."""
        if self._waits:
            self.play(True)

    def change_speed(self, step: int) -> int:
        """Play faster or slower; returns frames a second."""
        self._speed = int(np.clip(self._speed + step, 0, len(SPEEDS) - 1))
        self._set_timer()
        return SPEEDS[self._speed]

    def stop(self) -> None:
        """Stop for good."""
        self._timer.stop()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click on the time line goes to that frame, one on the film stops or plays it."""
        if self._clip is None:
            return
        if event.position().y() < self.height() - _TIMELINE_PX:
            self.play(not self._is_playing)
            return
        share = event.position().x() / max(self.width(), 1)
        frame = self._clip.first_frame + int(np.clip(share * self._clip.n_frames, 0, self._clip.n_frames - 1))
        self.play(False)
        self.frame_chosen.emit(frame)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the frame that is on."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(GROUND))
        if self._clip is None or not self._pictures:
            painter.setPen(QColor(DIM))
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), self._note)
            painter.end()
            return
        side = min((self.width() - _GAP_PX) / 2, self.height() - _TIMELINE_PX - _GAP_PX)
        left = (self.width() - 2 * side - _GAP_PX) / 2
        colours, dye = self._pictures[self._place]
        self._pane(painter, QRectF(left, 0, side, side), colours, "", thin=False)
        second = QRectF(left + side + _GAP_PX, 0, side, side)
        self._pane(
            painter,
            second,
            dye if dye is not None else colours,
            "death dye" if dye is not None else "",
            thin=True,
        )
        self._captions(painter, QRectF(left, 0, side, side))
        self._time_line(painter)
        painter.end()

    def _pane(self, painter: QPainter, place: QRectF, picture: QImage, title: str, *, thin: bool) -> None:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, True)
        painter.drawImage(place, picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setClipRect(place)
        assert self._clip is not None
        killer = self._moment.killer if self._moment else None
        for cell, frames in self._clip.outlines.items():
            color = QColor(color_of(cell, killer))
            is_pair = cell[0] == "target" or cell[1] == killer
            if thin and not is_pair:
                continue
            path = _path(frames[self._place], self._clip, place)
            if is_pair and not thin:  # a dark casing, so that it shows on bright cells too
                painter.setPen(QPen(QColor(0, 0, 0, 150), 3.6))
                painter.drawPath(path)
            painter.setPen(QPen(color, 1.8 if is_pair and not thin else 1.0))
            painter.drawPath(path)
        painter.setClipping(False)
        at_death = self._moment is not None and self.frame == self._moment.frame
        painter.setPen(QPen(QColor(RED if at_death else LINE), 3.0 if at_death else 1.0))
        painter.drawRect(place.adjusted(0.5, 0.5, -0.5, -0.5))
        if title:
            _label(painter, QPointF(place.left() + 8, place.top() + 18), title, CYAN)

    def _captions(self, painter: QPainter, place: QRectF) -> None:
        assert self._clip is not None
        _label(painter, QPointF(place.left() + 8, place.top() + 18), self._time_words(), TEXT)
        if self._moment is not None and self.frame == self._moment.frame:
            _label(painter, QPointF(place.left() + 8, place.top() + 36), "death", RED)
        if not self._clip.has_images:
            _label(
                painter,
                QPointF(place.left() + 8, place.bottom() - 30),
                "raw images are not in their place",
                DIM,
            )
        size_um = self._clip.colours.shape[2] * self._clip.pixel_um[1]
        bar = 10.0 / size_um * place.width()
        y = place.bottom() - 10
        painter.setPen(QPen(QColor(TEXT), 3))
        painter.drawLine(QPointF(place.left() + 9, y), QPointF(place.left() + 9 + bar, y))
        _label(painter, QPointF(place.left() + 14 + bar, y + 4), "10 µm", TEXT)

    def _time_words(self) -> str:
        words = f"frame {self.frame}"
        if self._moment is None or self._moment.frame_min is None or self.frame is None:
            return words
        minutes = (self.frame - self._moment.frame) * self._moment.frame_min
        sign = "+" if minutes > 0 else "−" if minutes < 0 else ""
        return f"{words}   {sign}{abs(minutes):g} min"

    def _time_line(self, painter: QPainter) -> None:
        assert self._clip is not None
        n, top = self._clip.n_frames, self.height() - _TIMELINE_PX + 4
        step = self.width() / n
        for place in range(n):
            frame = self._clip.first_frame + place
            box = QRectF(place * step + 1, top + 4, step - 2, 9)
            color = QColor(LINE)
            if self._moment and self._moment.first_possible <= frame <= self._moment.last_possible:
                color = QColor("#7d3a41")
            if self._moment and frame == self._moment.frame:
                color = QColor(RED)
            painter.fillRect(box, color)
            if place == self._place:
                painter.fillRect(box.adjusted(0, -4, 0, 4), QColor(TEXT))
            if frame == self._viewer_frame:
                painter.setPen(QPen(QColor(CYAN), 1.6))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(box.adjusted(-0.5, -2.5, 0.5, 2.5))
        painter.setPen(QColor(DIM))

    def _tick(self) -> None:
        if self._clip is None:
            return
        if self._place + 1 < self._clip.n_frames:
            self._place += 1
        elif self._rest < _REST:
            self._rest += 1
            return
        else:
            self._place = self._rest = 0
        self.update()

    def _set_timer(self) -> None:
        if self._is_playing and not self._waits and self._clip is not None:
            self._timer.start(1000 // SPEEDS[self._speed])
        else:
            self._timer.stop()


def _pictures(clip: Clip) -> list[tuple[QImage, QImage | None]]:
    return [
        (_rgb(clip.colours[n]), None if clip.dye is None else _grey(clip.dye[n]))
        for n in range(clip.n_frames)
    ]


def _rgb(pixels: NDArray[np.uint8]) -> QImage:
    height, width = pixels.shape[:2]
    return QImage(
        np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    ).copy()


def _grey(pixels: NDArray[np.uint8]) -> QImage:
    height, width = pixels.shape
    data = np.ascontiguousarray(pixels).tobytes()
    return QImage(data, width, height, width, QImage.Format.Format_Grayscale8).copy()


def _path(polygons: tuple[NDArray[np.float64], ...], clip: Clip, place: QRectF) -> QPainterPath:
    path = QPainterPath()
    height, width = clip.colours.shape[1:3]
    for polygon in polygons:
        ys = (polygon[:, 0] - clip.top + 0.5) / height * place.height() + place.top()
        xs = (polygon[:, 1] - clip.left + 0.5) / width * place.width() + place.left()
        path.moveTo(float(xs[0]), float(ys[0]))
        for x, y in zip(xs[1:].tolist(), ys[1:].tolist(), strict=True):
            path.lineTo(x, y)
    return path


def _label(painter: QPainter, where: QPointF, text: str, color: str) -> None:
    painter.setPen(QColor(0, 0, 0, 200))
    painter.drawText(where + QPointF(1, 1), text)
    painter.setPen(QColor(color))
    painter.drawText(where, text)
