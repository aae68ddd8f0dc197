"""A screen in memory (Xvfb) on which napari really draws, for tests and screenshots.

Only Qt's xcb platform on an X screen draws the canvas; Qt's own `offscreen` leaves it black without an error. The
screen vanishes with its last window, so nothing is left behind, not even by a killed process.

`python -m tools.virtual_screen COMMAND ...` runs a command on a screen of its own.
"""

import atexit
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = (
    "xvfb libgl1 libgl1-mesa-dri libegl1 libopengl0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0 "
    "libxcb-render-util0 libxcb-randr0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0 libdbus-1-3 "
    "libfontconfig1 libglib2.0-0"
)
_LOADED_BY_QT = ("libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-keysyms.so.1", "libxkbcommon-x11.so.0")
INSTALL = f"apt-get install -y --no-install-recommends {PACKAGES}"


def has_screen() -> bool:
    """Whether windows can be drawn here, on a screen in memory or on the user's own.

    Without the libraries that its xcb platform loads Qt ends the whole process.
    """
    try:
        for library in _LOADED_BY_QT:
            ctypes.CDLL(library)
    except OSError:
        return False
    return shutil.which("Xvfb") is not None or bool(os.environ.get("DISPLAY"))


def use_virtual_screen(*, size: tuple[int, int] = (1200, 1920)) -> None:
    """Send this process's windows to a screen of its own; without Xvfb to the user's.

    napari's settings are kept apart from the user's. Call it before Qt is imported.

    Args:
        size: Of the screen in pixels, (y, x).

    Raises:
        RuntimeError: Xvfb is there but does not start.
    """
    private = Path(tempfile.mkdtemp(prefix="killassay-screen-"))
    private.chmod(0o700)
    os.environ["NAPARI_CONFIG"] = str(private / "napari.yaml")
    os.environ["XDG_RUNTIME_DIR"] = str(private)
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    if shutil.which("Xvfb") is None:
        return
    os.environ["LIBGL_ALWAYS_SOFTWARE"] = "1"
    height, width = size
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
    with (private / "xvfb.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "-terminate"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal must not take the screen away before the windows
        )
    atexit.register(_take_away, server, private)
    assert server.stdout is not None
    with server.stdout as told:
        number = told.readline().strip()
    if not number:
        raise RuntimeError(f"Xvfb did not start: {(private / 'xvfb.log').read_text().strip()}")
    os.environ["DISPLAY"] = f":{number}"


def _take_away(server: subprocess.Popen[str], private: Path) -> None:
    server.terminate()
    server.wait()
    shutil.rmtree(private, ignore_errors=True)


if __name__ == "__main__":
    use_virtual_screen()
    os.execvp(sys.argv[1], sys.argv[1:])
