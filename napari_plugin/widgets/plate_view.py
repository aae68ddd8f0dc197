"""The plate view: wells as a heat map; a click opens a well. Reads tables only; pixels when a well is opened."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import create_worker

from assay.errors import AssayError
from assay.stack import FieldId
from napari_plugin.layers import Images, show_field
from napari_plugin.plate_values import MEASURES, PlateValues, WellValue, plate_of, read_plate
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import session_of
from napari_plugin.widgets.plate_map import PlateMap
from napari_plugin.widgets.style import DOCK_STYLE, DOCK_WIDTH

if TYPE_CHECKING:
    from napari.viewer import Viewer

_LOOK_EVERY_MS = 700  # whether another review was opened in this viewer


class PlateView(QWidget):
    """Wells of the RESULTS under review, or of RESULTS that are only looked at."""

    def __init__(self, viewer: "Viewer") -> None:
        super().__init__()
        self.viewer = viewer
        self.plate: PlateValues | None = None
        self.values: dict[str, WellValue] = {}
        self.results: Path | None = None
        self._images: Images | None = None
        self._session: ReviewSession | None = None
        self._worker: Any = None
        self._build()
        self._look = QTimer(self)
        self._look.timeout.connect(self._follow_session)
        self._look.start(_LOOK_EVERY_MS)
        self._follow_session()

    def open_results(self, results: Path) -> None:
        """Show RESULTS that are not under review; their tables are read in the background."""
        self._leave()
        self.results = results
        self._title.setText(results.name)
        self._say(f"Reading the tables of {results} ...")
        self._worker = create_worker(_read, results)
        self._worker.returned.connect(self._show_read)
        self._worker.start()

    def choose_measure(self, name: str) -> None:
        """Colour the plate by another measure."""
        self._measure.setCurrentIndex(self._measure.findData(name))

    def open_well(self, well: str) -> None:
        """Open a well; of several fields the user chooses one."""
        if self.plate is None:
            return
        fields = self.plate.fields_of(well)
        self._map.select(well)
        self._say(self.values[well].words)
        if len(fields) == 1:
            self.open_field(fields[0])
        elif fields:
            self._choose_field(fields)

    def open_field(self, field: FieldId) -> bool:
        """Show a field in the viewer, with its first event where a review is open; False where it cannot be shown."""
        try:
            if self._session is not None and self._session.open_field(field):
                return True
            images = self._session.images if self._session is not None else self._own_images()
            if images is None:
                return False
            show_field(self.viewer, images, field)
        except AssayError as error:
            self._say(str(error))
            return False
        if self._session is not None:
            self._say(f"{field}: no event here.")
        return True

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Stop looking, and let go of images."""
        self._look.stop()
        self._leave()
        super().closeEvent(event)

    def _build(self) -> None:
        self.setMinimumWidth(DOCK_WIDTH[0])
        self.setMaximumWidth(DOCK_WIDTH[1])
        self.setStyleSheet(DOCK_STYLE)
        self._title = QLabel("No results are open")
        self._title.setStyleSheet("font-weight: bold")
        self._open = QPushButton("Open RESULTS …")
        self._open.setToolTip(
            "Looks at RESULTS without changing anything in them, on a slow network disk too."
        )
        self._open.clicked.connect(self._ask_results)
        self._measure = QComboBox()
        for n, measure in enumerate(MEASURES):
            self._measure.addItem(measure.title, measure.name)
            self._measure.setItemData(n, measure.meaning, 3)  # Qt.ToolTipRole
        self._measure.currentIndexChanged.connect(self._refresh)
        self._map = PlateMap()
        self._map.chosen.connect(self.open_well)
        self._words = QLabel()
        self._words.setWordWrap(True)
        top = QHBoxLayout()
        top.addWidget(self._title, 1)
        top.addWidget(self._open)
        layout = QVBoxLayout(self)
        for row in (top,):
            layout.addLayout(row)
        for widget in (self._measure, self._map, self._words):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _ask_results(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "RESULTS folder")
        if folder:
            self.open_results(Path(folder))

    def _follow_session(self) -> None:
        session = session_of(self.viewer)
        if session is self._session:
            return
        if session is None:
            self._leave()
            self._clear("No results are open")
            return
        self._leave()
        self._session = session
        if session.sitting.blinded:
            self._clear("Hidden while you read blinded")
            return
        session.changed.append(self._on_changed)
        self._title.setText(session.results.name)
        try:
            missing = {"wells", "fields", "effectors"} - session.tables.keys()
            self._show_plate(read_plate(session.results) if missing else plate_of(session.tables))
        except AssayError as error:
            self._say(str(error))

    def _on_changed(self, names: object) -> None:
        if self._measure.currentData() in ("reviewed", "disagreement"):
            self._refresh()

    def _show_read(self, read: PlateValues | str) -> None:
        self._worker = None
        if isinstance(read, str):
            self._say(read)
        else:
            self._show_plate(read)

    def _show_plate(self, plate: PlateValues) -> None:
        self.plate = plate
        self._say("Click a well to open it.")
        self._refresh()

    def _refresh(self) -> None:
        if self.plate is None:
            return
        measure = MEASURES[self._measure.currentIndex()]
        state = self._session.state if self._session is not None else None
        self.values = self.plate.values(measure.name, state=state)
        self._map.show_values(self.plate.shape, measure, self.values)
        self._map.setToolTip(measure.meaning)
        if self._map.selected in self.values:
            self._say(self.values[self._map.selected].words)
        if state is None and measure.name in ("reviewed", "disagreement"):
            self._say("Known when these RESULTS are open for review.")

    def _clear(self, title: str) -> None:
        self.plate, self.values = None, {}
        self._title.setText(title)
        self._map.show_values((8, 12), MEASURES[self._measure.currentIndex()], {})
        self._say("")

    def _choose_field(self, fields: tuple[FieldId, ...]) -> None:
        menu = QMenu(self)
        for field in fields:
            menu.addAction(f"Field {field.field}", lambda field=field: self.open_field(field))
        menu.popup(self._map.mapToGlobal(QPoint(self._map.width() // 3, self._map.height() // 3)))

    def _own_images(self) -> Images | None:
        if self._images is None and self.results is not None:
            self._images = Images.open(self.results)
        return self._images

    def _leave(self) -> None:
        if self._session is not None and self._on_changed in self._session.changed:
            self._session.changed.remove(self._on_changed)
        self._session = None
        self.results = None
        if self._images is not None:
            self._images.close()
            self._images = None
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _say(self, words: str) -> None:
        self._words.setText(words)


def _read(results: Path) -> PlateValues | str:
    """In a worker, where an error would be raised as a crash: words in its place."""
    try:
        return read_plate(results)
    except AssayError as error:
        return str(error)
