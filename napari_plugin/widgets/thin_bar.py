"""How far something is, as a thin bar that is drawn with the next picture of the window.

Qt's own progress bar paints itself at once when its value changes, and with it the whole window, canvas included:
a tenth of a second for each key where the window is drawn by software.
"""

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_plugin.widgets.style import GREEN, PANEL

_HEIGHT_PX = 5


class ThinBar(QWidget):
    """A share of 1 as a bar."""

    def __init__(self, parent: QWidget) -> None:
        """Nothing done yet."""
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.share = 0.0

    def show_share(self, share: float) -> None:
        """Show how much is done, 0 to 1."""
        if share != self.share:
            self.share = share
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(PANEL))
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)
        painter.setBrush(QColor(GREEN))
        painter.drawRoundedRect(QRectF(0, 0, self.width() * self.share, self.height()), 2, 2)
        painter.end()
