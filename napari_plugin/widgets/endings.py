"""What must end with a dock: its timers, and the session behind it."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_plugin.adapter import ViewerAdapter
from napari_plugin.sessions import close_session, session_of


class Release:
    """Closes the session when the dock is gone for good, without holding the dock."""

    def __init__(self, viewer: Any) -> None:
        """Remember whose session it is."""
        self._viewer = viewer
        self.adapter: ViewerAdapter | None = None

    def __call__(self, *_: Any) -> None:
        """Close it."""
        if self.adapter is not None:
            self.adapter.let_go()
        if self._viewer is not None:
            session = session_of(self._viewer)
            if session is not None:
                for heard in (
                    session.moved,
                    session.changed,
                    session.said,
                    session.clip_ready,
                    session.closed,
                ):
                    heard.clear()
            close_session(self._viewer)
        self._viewer = None


def once(owner: QWidget, act: Callable[[], Any], wait_ms: int = 0) -> QTimer:
    """A timer that acts once each time it is started, and only once however often that was."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(wait_ms)
    timer.timeout.connect(act)
    return timer
