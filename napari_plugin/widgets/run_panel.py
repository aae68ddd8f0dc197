"""Run the main job from napari: choose plate, protocol and folder, check, run, watch, cancel, open what came out.

The job is the command line in a process of its own: torch never comes into the viewer.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QCloseEvent, QFontDatabase
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from assay.errors import AssayError
from assay.io.review_sidecars import user_data_folder
from assay.io.sample import sample_folder
from napari_plugin.run_process import (
    Message,
    RunProcess,
    Step,
    check_command,
    exit_words,
    minutes_words,
    protocol_command,
    run_command,
)
from napari_plugin.sample import SAMPLE_RESULTS
from napari_plugin.widgets.style import AMBER, DOCK_STYLE, DOCK_WIDTH, GREEN, GROUND, LINE

if TYPE_CHECKING:
    from napari.viewer import Viewer

_POLL_MS = 150
_GOOD, _BAD = GREEN, AMBER


class RunPanel(QWidget):
    """Plate and protocol in, RESULTS out."""

    finished = Signal(int)
    """The command ended, with its exit code."""

    def __init__(self, viewer: "Viewer") -> None:
        super().__init__()
        self.viewer = viewer
        self.process: RunProcess | None = None
        self.job = ""  # "check", "protocol" or "run"
        self._build()
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._poll)

    @property
    def state_words(self) -> str:
        """The line on how things stand."""
        return self._state.text()

    def choose_plate(self, plate: Path) -> None:
        """Take a plate; protocol and RESULTS are suggested beside it where nothing was chosen."""
        self.plate.setText(str(plate))
        beside = plate.with_suffix(".toml")
        if not self.protocol.text() and beside.is_file():
            self.protocol.setText(str(beside))
        if not self.out.text():
            self.out.setText(str(plate.with_name(plate.stem + "-results")))

    def choose_sample(self) -> None:
        """Take the sample plate; its RESULTS go to the user's own data folder."""
        try:
            folder = sample_folder()
        except AssayError as error:
            self.tell(str(error), _BAD)
            return
        self.plate.setText(str(folder / "plate.zarr"))
        self.protocol.setText(str(folder / "plate.toml"))
        self.out.setText(str(sample_results_folder()))

    def check(self) -> None:
        """Check plate and protocol; takes seconds."""
        if self._needs(self.plate, "a plate"):
            protocol = Path(self.protocol.text()) if self.protocol.text() else None
            self._start("check", check_command(Path(self.plate.text()), protocol))

    def make_protocol(self) -> None:
        """Write a protocol from what the images say, to be looked through by a person."""
        if self._needs(self.plate, "a plate"):
            plate = Path(self.plate.text())
            target = Path(self.protocol.text()) if self.protocol.text() else plate.with_suffix(".toml")
            self.protocol.setText(str(target))
            self._start("protocol", protocol_command(plate, target))

    def run(self) -> None:
        """Start the main job, or go on with it."""
        if (
            self._needs(self.plate, "a plate")
            and self._needs(self.protocol, "a protocol")
            and self._needs(self.out, "a folder for RESULTS")
        ):
            paths = Path(self.plate.text()), Path(self.protocol.text()), Path(self.out.text())
            self._start("run", run_command(*paths, wells=self.wells.text()))

    def cancel(self) -> None:
        """Stop the job; what is done is kept."""
        if self.process is not None:
            self.process.cancel()
            self.tell("Cancelling: what is under way is finished or given up; what is done is kept.")
            self._cancel.setEnabled(False)

    def tell(self, words: str, color: str = "") -> None:
        """One line on how things stand."""
        self._state.setText(words)
        self._state.setStyleSheet(f"color: {color}" if color else "")

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """The job ends with its panel, and can be resumed."""
        self._clock.stop()
        if self.process is not None:
            self.process.close()
            self.process = None
        super().closeEvent(event)

    def _build(self) -> None:
        self.setMinimumWidth(DOCK_WIDTH[0])
        self.setMaximumWidth(DOCK_WIDTH[1])
        self.setStyleSheet(DOCK_STYLE)
        self.plate, self.protocol, self.out, self.wells = (QLineEdit() for _ in range(4))
        self.plate.setPlaceholderText("OME-Zarr plate, or one image")
        self.protocol.setPlaceholderText("the experiment's settings, TOML")
        self.out.setPlaceholderText("RESULTS folder; an existing one is resumed")
        self.wells.setPlaceholderText("all, or for example B02, B03")
        grid = QGridLayout()
        rows = (
            ("Plate", self.plate, self._ask_plate),
            ("Protocol", self.protocol, self._ask_protocol),
            ("Results", self.out, self._ask_out),
            ("Wells", self.wells, None),
        )
        for n, (name, field, ask) in enumerate(rows):
            grid.addWidget(QLabel(name), n, 0)
            grid.addWidget(field, n, 1)
            if ask is not None:
                button = QPushButton("…")
                button.setFixedWidth(30)
                button.clicked.connect(ask)
                grid.addWidget(button, n, 2)
        self._sample = _button(
            "Sample plate", self.choose_sample, "Fill in the sample plate that comes with killassay"
        )
        self._make = _button("Make protocol", self.make_protocol, "Write a protocol from what the images say")
        self._check = _button("Check", self.check, "Validate plate and protocol; takes seconds")
        self._run = _button("Run", self.run, "Start, or go on with what is there already")
        self._cancel = _button("Cancel", self.cancel, "Stop; what is done is kept")
        self._show = _button("Open results", self.open_results, "Open what came out for review")
        first, second = QHBoxLayout(), QHBoxLayout()
        for button in (self._sample, self._make, self._check):
            first.addWidget(button)
        for button in (self._run, self._cancel, self._show):
            second.addWidget(button)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._state = QLabel("Choose a plate, then Check and Run.")
        self._state.setWordWrap(True)
        self._state.setMinimumHeight(2 * self._state.fontMetrics().lineSpacing() + 6)
        self._run.setObjectName("accept")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(2000)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.log.setStyleSheet(f"QPlainTextEdit {{ background: {GROUND}; border: 1px solid {LINE}; }}")
        for field in (self.plate, self.protocol, self.out):
            field.textChanged.connect(field.setToolTip)
        layout = QVBoxLayout(self)
        for part in (grid, first, second):
            layout.addLayout(part)
        for widget in (self._bar, self._state, self.log):
            layout.addWidget(widget)
        self._set_busy(False)

    def open_results(self) -> None:
        """Open RESULTS for review in this viewer; where they hold no event, their images."""
        from napari_plugin.opening import open_in_viewer

        try:
            words = open_in_viewer(self.viewer, Path(self.out.text()))
        except AssayError as error:
            self.tell(str(error), _BAD)
            return
        self.tell(words, _GOOD)

    def _start(self, job: str, command: list[str]) -> None:
        if self.process is not None:
            return
        self.log.clear()
        self.job, self.process = job, RunProcess(command)
        self._bar.setRange(0, 0)
        self.tell({"check": "Checking ...", "protocol": "Writing a protocol ...", "run": "Starting ..."}[job])
        self._set_busy(True)
        self._clock.start(_POLL_MS)

    def _poll(self) -> None:
        if self.process is None:
            return
        code = self.process.exit_code  # before the messages: after it there are no more
        for message in self.process.poll():
            self._show_message(message)
        if code is not None:
            self._end(code)

    def _show_message(self, message: Message) -> None:
        if not isinstance(message, Step):
            self.log.appendPlainText(message.text)
            return
        assert self.process is not None
        self._bar.setRange(0, max(message.total, 1))
        self._bar.setValue(message.done if message.total else 1)
        left = minutes_words(self.process.minutes_left())
        if not self.process.cancelled:
            self.tell(f"{message.name}: {message.done} of {message.total}" + (f", {left}" if left else ""))

    def _end(self, code: int) -> None:
        self._clock.stop()
        self.process = None
        self._bar.setRange(0, 1)
        self._bar.setValue(1 if code in (0, 3) else 0)
        words = exit_words(code)
        if self.job == "check":
            words = "Plate and protocol are fine." if code == 0 else "There are problems, see below."
        elif self.job == "protocol" and code == 0:
            words = "Protocol written. Look through it, the conditions above all, then Check."
        self.tell(words, _GOOD if code == 0 else _BAD)
        self._set_busy(False)
        self.finished.emit(code)
        if self.job == "run" and code in (0, 3):
            self.open_results()

    def _set_busy(self, busy: bool) -> None:
        for widget in (self.plate, self.protocol, self.out, self.wells):
            widget.setEnabled(not busy)
        for button in (self._sample, self._make, self._check, self._run, self._show):
            button.setEnabled(not busy)
        self._cancel.setEnabled(busy)

    def _needs(self, field: QLineEdit, what: str) -> bool:
        if field.text().strip():
            return True
        self.tell(f"Choose {what} first.", _BAD)
        return False

    def _ask_plate(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Plate")
        if folder:
            self.choose_plate(Path(folder))

    def _ask_protocol(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Protocol", filter="TOML (*.toml)")
        if file:
            self.protocol.setText(file)

    def _ask_out(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "RESULTS folder")
        if folder:
            self.out.setText(folder)


def sample_results_folder() -> Path:
    """Where the sample's RESULTS lie once it was run from here."""
    return user_data_folder() / SAMPLE_RESULTS


def _button(words: str, act: object, meaning: str) -> QPushButton:
    button = QPushButton(words)
    button.setToolTip(meaning)
    button.clicked.connect(act)
    return button
