"""The screenshot tour: the sample plate is opened, reviewed, read blinded, corrected and run, and photographed each time.

`python -m tools.tour [--results RESULTS] [--to DIR] [--only review,plate,...]`. Without RESULTS the sample is run first,
from the run panel. Works on a copy; needs Xvfb, as only there napari really draws. A person must look at the pictures.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.virtual_screen import use_virtual_screen

WINDOW = (1600, 980)
STOPS = ("run", "review", "plate", "correct", "blinded")


class Tour:
    """One viewer, walked through; each stop leaves its pictures."""

    def __init__(self, results: Path | None, to: Path) -> None:
        import napari

        self.to, self.work = to, Path(tempfile.mkdtemp(prefix="killassay-tour-"))
        self.results = self.work / "sample-results"
        if results is not None:
            shutil.copytree(results, self.results, ignore=shutil.ignore_patterns("review"))
        self.viewer = napari.Viewer(title="killassay", show=True)
        self.viewer.window.resize(*WINDOW)
        self._docks: list[Any] = []
        self.review: Any = None

    def run(self) -> None:
        """A run from the panel, watched: the whole sample where no RESULTS were given, else one well of it anew."""
        from napari_plugin.widgets.run_panel import RunPanel

        panel = RunPanel(self.viewer)
        self.dock(panel, "Run a plate")
        panel.choose_sample()
        whole = not self.results.is_dir()
        panel.out.setText(str(self.results if whole else self.work / "one-well"))
        panel.wells.setText("" if whole else "B02")
        panel.check()
        self.wait(lambda: panel.process is None, at_most_s=120)
        self.shoot("run-checked")
        panel.run()
        self.wait(
            lambda: "segmentation: " in panel.state_words and "left" in panel.state_words, at_most_s=300
        )
        self.shoot("run-at-work")
        self.wait(lambda: panel.process is None, at_most_s=1800)
        self.wait(lambda: bool(self._review_docks()), at_most_s=60)
        self.settle(4.0)
        self.shoot("run-finished")
        self.undock()

    def open_review(self) -> None:
        """The review at its first event."""
        from napari_plugin.opening import open_in_viewer

        open_in_viewer(self.viewer, self.results, reader="ana")
        self.review = self._review_docks()[0]
        self.settle()

    def review_events(self) -> None:
        """Accept, re-time, choose another killer, undo, reject, help: by the keys that a reader presses."""
        self.open_review()
        self.shoot("review-opened")
        self.show_clearest()
        self.shoot("review")
        self.press("N")
        for key in ("A", "A", "A"):
            self.press(key)
        self.settle()
        self.shoot("review-accepted")
        self.show_clearest()
        self.press("Right")
        self.press("Right")
        self.press("T")
        self.settle()
        self.shoot("review-retimed")
        self.press("2")
        self.settle()
        self.shoot("review-another-killer")
        self.press("Ctrl+Z")
        self.press("Ctrl+Z")
        self.settle()
        self.shoot("review-undone")
        self.press("R")
        self.settle(1.0)
        self.shoot("review-reject-why")
        self.press("1")
        self.press("?")
        self.settle()
        self.shoot("review-keys")
        self.press("?")
        self.show_uncalled()
        self.undock()

    def show_clearest(self, well: str = "") -> None:
        """The kill with the largest share that lies well inside the image, in the frame of the death."""
        import numpy as np

        from napari_plugin.sessions import session_of

        session = session_of(self.viewer)
        assert session is not None
        events = session.state.events
        inside = np.ones(len(events["event"]), dtype=bool)
        for axis in ("y_um", "x_um"):
            inside &= (events[axis] > 45) & (events[axis] < np.nanmax(events[axis]) - 35)
        if well:
            inside &= events["well"] == well
        share = np.where(inside & (events["death_id"] > 0), np.nan_to_num(events["killer_share"]), -1)
        session.go(str(events["event"][int(np.argmax(share))]))
        self.settle(3.0)

    def show_uncalled(self) -> None:
        """The likeliest of the deaths that were too doubtful to be called, where there is one."""
        import numpy as np

        from napari_plugin.sessions import session_of

        session = session_of(self.viewer)
        assert session is not None
        rows = np.flatnonzero(session.state.is_uncalled)
        if len(rows):
            best = rows[np.argmax(session.state.events["probability"][rows])]
            session.go(str(session.state.events["event"][best]))
            self.settle()
            self.shoot("review-uncalled")

    def plate_view(self) -> None:
        """The plate as a heat map, by kills per effector-hour and by what is reviewed."""
        from napari_plugin.widgets.plate_view import PlateView

        view = PlateView(self.viewer)
        if self.review is None:
            view.open_results(self.results)
        self.dock(view, "Plate view")
        self.wait(lambda: view.plate is not None, at_most_s=30)
        view.open_well("B03")
        self.settle()
        if self.review is not None:
            self.show_clearest("B03")
        self.shoot("plate-view")
        view.choose_measure("reviewed")
        self.settle(1.0)
        self.shoot("plate-reviewed")
        self.undock()

    def blinded(self) -> None:
        """A blinded sitting under way."""
        from napari_plugin.widgets.blinded import BlindedPanel

        self.open_review()
        panel = BlindedPanel(self.viewer)
        self.dock(panel, "Blinded reading", area="left")
        panel.reader.setText("ben")
        panel.seed.setValue(42)
        panel.begin()
        for key in ("A", "U"):
            self.press(key)
        self.settle()
        self.shoot("blinded")
        panel.end()
        self.settle(1.0)
        self.undock()

    def correct(self) -> None:
        """An outline is painted larger and kept; the events that this touches are judged again."""
        from napari_plugin.sessions import open_session
        from napari_plugin.widgets.correct import CorrectWidget

        session = open_session(self.viewer, self.results, reader="ana")
        widget = CorrectWidget(self.viewer)
        self.dock(widget, "Correct cells and tracks")
        self.show_clearest()
        shown = session.shown
        assert shown is not None
        assert session.field is not None
        images = session.images.of(session.field)
        y, x = (
            shown[f"{axis}_um"] / size for axis, size in zip("yx", images.calibration.pixel_um, strict=True)
        )
        self.viewer.dims.set_current_step(0, shown["frame"])
        self.viewer.scene.camera.center = (0, shown["y_um"], shown["x_um"])
        self.viewer.scene.camera.zoom = 10
        widget.parts.tabs.setCurrentIndex(1)
        correcting = widget.correcting
        correcting.click(y, x)
        correcting.choose_tool("brush")
        layer = self.viewer.layers["targets"]
        for step in range(6):  # towards the killer's side, over a stretch of three cell widths
            layer.paint((shown["frame"], y, x - 12 + 2 * step), correcting.brush_label)
        self.settle()
        self.shoot("correct-painted")
        widget.commit()
        self.wait(lambda: not widget.is_scoring, at_most_s=120)
        self.settle(1.0)
        self.shoot("correct-kept")
        self.undock()

    def dock(self, widget: Any, name: str, *, area: str = "right") -> None:
        """Add a dock."""
        self._docks.append(self.viewer.window.add_dock_widget(widget, name=name, area=area))
        self.settle(0.5)

    def undock(self) -> None:
        """Close the docks of a stop."""
        for dock in self._docks:
            dock.widget().close()
            self.viewer.window.remove_dock_widget(dock)
        self._docks.clear()
        for widget in self._review_docks():
            self.viewer.window.remove_dock_widget(widget)
        self.viewer.window.resize(*WINDOW)
        self.settle(0.3)

    def _review_docks(self) -> list[Any]:
        from napari_plugin.widgets.review import ReviewWidget

        return [one for one in self.viewer.window.dock_widgets.values() if isinstance(one, ReviewWidget)]

    def press(self, key: str) -> None:
        """Press a key as a reader would, on whatever has the focus."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        pressed = QKeySequence(key)[0]
        self.review.setFocus()
        target = QApplication.focusWidget() or self.review
        QTest.keyClick(target, pressed.key(), pressed.keyboardModifiers())
        self.settle(0.4)

    def settle(self, seconds: float = 2.5) -> None:
        """Let films load and everything be painted."""
        from napari_plugin.sessions import session_of

        def is_drawn() -> bool:
            session = session_of(self.viewer)
            return session is None or (
                session.is_ahead and not any(one.is_busy for one in self._review_docks())
            )

        self.wait(is_drawn, at_most_s=60.0)
        self.wait(lambda: False, at_most_s=seconds)

    def wait(self, done: Callable[[], bool], *, at_most_s: float) -> None:
        """Let the window live until something is so."""
        from qtpy.QtWidgets import QApplication

        limit = time.monotonic() + at_most_s
        while time.monotonic() < limit and not done():
            QApplication.processEvents()
            time.sleep(0.01)

    def shoot(self, name: str) -> None:
        """Photograph the window; a black one is an error."""
        import numpy as np
        from PIL import Image

        shot = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        colors = len(np.unique(shot[::4, ::4].reshape(-1, 3), axis=0))
        if colors < 200:
            raise SystemExit(f"{name}: the window is not drawn ({colors} colours).")
        path = self.to / f"{name}.png"
        Image.fromarray(shot).save(path, optimize=True)
        print(path, f"{path.stat().st_size / 1000:.0f} kB", flush=True)

    def end(self) -> None:
        """Close the window and delete the copy."""
        from napari_plugin.sessions import close_session

        self.undock()
        close_session(self.viewer)
        self.viewer.close()
        shutil.rmtree(self.work, ignore_errors=True)


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="RESULTS of the sample plate; else it is run first")
    parser.add_argument("--to", type=Path, default=Path("build/tour"))
    parser.add_argument("--only", default=",".join(STOPS))
    args = parser.parse_args()
    only = args.only.split(",")
    if args.results is None and "run" not in only:
        sys.exit("expected --results, or the stop `run`, which makes them.")
    use_virtual_screen()
    args.to.mkdir(parents=True, exist_ok=True)
    tour = Tour(args.results, args.to)
    stops = (tour.run, tour.review_events, tour.plate_view, tour.correct, tour.blinded)
    try:
        for name, stop in zip(STOPS, stops, strict=True):
            if name in only:
                stop()
    finally:
        tour.end()


if __name__ == "__main__":
    main()
