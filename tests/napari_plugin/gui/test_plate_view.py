import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPointF, Qt

from assay.columns import Table
from assay.stack import FieldId
from napari_plugin.plate_values import MEASURES, plate_of
from napari_plugin.widgets.plate_map import VIRIDIS, PlateMap, short_number
from napari_plugin.widgets.plate_view import PlateView


def place_of(plate_map: PlateMap, well: str) -> QPointF:
    """The middle of a well, found by asking the map itself all over."""
    points = [
        QPointF(x, y)
        for x in range(0, plate_map.width(), 2)
        for y in range(0, plate_map.height(), 2)
        if plate_map.well_at(QPointF(x, y)) == well
    ]
    return QPointF(np.mean([p.x() for p in points]), np.mean([p.y() for p in points]))


@pytest.fixture
def view(qtbot: Any, sample_results: Path) -> PlateView:
    view = PlateView(ViewerModel())
    qtbot.addWidget(view, before_close_func=lambda widget: widget.close())
    view.resize(480, 520)
    view.show()
    view.open_results(sample_results)
    qtbot.waitUntil(lambda: view.plate is not None, timeout=10_000)
    return view


def test_no_pixel_is_read_before_a_well_is_clicked_and_the_click_opens_it(
    view: PlateView, qtbot: Any, monkeypatch: pytest.MonkeyPatch
):
    assert view._images is None
    assert not view.viewer.layers
    at = place_of(view._map, "C03").toPoint()
    qtbot.mouseClick(view._map, Qt.MouseButton.LeftButton, pos=at)
    assert {layer.name for layer in view.viewer.layers} == {"CTDR", "GFP", "PI", "effectors", "targets"}
    assert view.viewer.layers["targets"].metadata["killassay"]["well"] == "C03"


def test_a_plate_on_a_read_only_disk_is_shown_and_left_as_it_is(
    qtbot: Any, sample_results: Path, tmp_path: Path
):
    copy = tmp_path / "results"
    shutil.copytree(sample_results, copy)
    before = sorted((p.relative_to(copy), p.stat().st_mtime_ns) for p in copy.rglob("*"))
    view = PlateView(ViewerModel())
    qtbot.addWidget(view, before_close_func=lambda widget: widget.close())
    view.open_results(copy)
    qtbot.waitUntil(lambda: view.plate is not None, timeout=10_000)
    assert view.open_field(FieldId("B02", 0))
    assert sorted((p.relative_to(copy), p.stat().st_mtime_ns) for p in copy.rglob("*")) == before


def test_the_arrow_keys_walk_over_wells_and_enter_opens(view: PlateView, qtbot: Any):
    qtbot.keyClick(view._map, Qt.Key.Key_Right)
    assert view._map.selected == "B02"
    qtbot.keyClick(view._map, Qt.Key.Key_Return)
    assert view.viewer.layers["targets"].metadata["killassay"]["well"] == "B02"


def test_results_without_tables_say_so_and_show_no_wells(qtbot: Any, tmp_path: Path):
    view = PlateView(ViewerModel())
    qtbot.addWidget(view, before_close_func=lambda widget: widget.close())
    view.open_results(tmp_path)
    qtbot.waitUntil(lambda: "is no RESULTS folder" in view._words.text(), timeout=10_000)
    assert view.values == {}


def _wells(status: list[str], kills: list[float]) -> dict[str, Table]:
    names = np.array([f"A{n + 1:02d}" for n in range(len(status))], dtype=object)
    numbers = np.array(kills)
    none = np.array([None] * len(status), dtype=object)
    wells = {
        "well": names,
        "condition": none,
        "status": np.array(status, dtype=object),
        "reason": none,
        "n_targets": numbers,
        "n_effectors": numbers,
        "kills": numbers,
        "kills_low": numbers,
        "kills_high": numbers,
        "cytolysis_percent": numbers,
    }
    fields = {"well": names, "field": np.zeros(len(names), int), "status": wells["status"], "warning": none}
    effectors = {"well": names[:0], "observed_min": np.zeros(0), "kills": np.zeros(0)}
    return {"wells": wells, "fields": fields, "effectors": effectors}


def test_a_failed_well_looks_unlike_zero_and_unlike_a_well_not_filmed(qtbot: Any):
    plate_map = PlateMap()
    qtbot.addWidget(plate_map)
    plate_map.resize(460, 400)
    plate = plate_of(_wells(["ok", "failed", "ok", "no_events"], [0.0, np.nan, 8.0, np.nan]))
    plate_map.show_values(plate.shape, MEASURES[1], plate.values("kills"))
    plate_map.show()
    picture = plate_map.grab().toImage()
    scale = picture.width() / plate_map.width()

    def patch(well: str) -> list[int]:
        middle = place_of(plate_map, well)
        rows = [(dx, dy) for dx in range(-9, 10) for dy in range(-9, 10)]
        return [
            picture.pixel(round((middle.x() + dx) * scale), round((middle.y() + dy) * scale)) & 0xFFFFFF
            for dx, dy in rows
        ]

    zero, failed, most, nothing = (patch(f"A{n:02d}") for n in (1, 2, 3, 4))
    dark, bright = (int(VIRIDIS[n][1:], 16) for n in (0, -1))
    assert dark in zero
    assert bright in most
    assert dark not in failed
    assert dark not in nothing
    assert len({tuple(zero), tuple(failed), tuple(nothing)}) == 3


@pytest.mark.parametrize(("value", "words"), [(0.0, "0"), (0.0004, "~0"), (0.0761, ".076"), (1.5, "1.500")])
def test_a_tiny_number_is_not_written_as_zero(value: float, words: str):
    assert short_number(value, ".3f") == words


def test_a_full_384_well_plate_is_drawn_in_a_fraction_of_a_second(qtbot: Any):
    tables = _wells(["ok"] * 384, np.linspace(0, 30, 384).tolist())
    names = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    for table in ("wells", "fields"):
        tables[table]["well"] = np.array(names, dtype=object)
    plate = plate_of(tables)
    plate_map = PlateMap()
    qtbot.addWidget(plate_map)
    plate_map.resize(480, 400)
    plate_map.show_values(plate.shape, MEASURES[1], plate.values("kills"))
    plate_map.show()
    began = time.perf_counter()
    plate_map.grab()
    assert time.perf_counter() - began < 0.5
