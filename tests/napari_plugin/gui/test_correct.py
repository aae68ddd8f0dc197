"""The dock for corrections on a viewer model: what a click does, and what is kept."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from assay.io.results import Results
from assay.io.review_logs import read_logs
from assay.stack import FieldId
from napari_plugin.layers import show_field
from napari_plugin.sessions import close_session, open_session
from napari_plugin.widgets.correct import CorrectWidget

B02 = FieldId("B02", 0)


class Scored:
    """Stands for the pipeline's scoring: says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, results: Path, state: Any, *, before: Any) -> list[Any]:
        self.asked.append((len(before.decisions), len(state.decisions)))
        changed = SimpleNamespace(
            well="B02", target_track_id=3, what="killer", before="effector 1", after="effector 2"
        )
        return [changed]


@pytest.fixture
def results(sample_results: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_results, tmp_path / "results"))


@pytest.fixture
def viewer(results: Path) -> Iterator[ViewerModel]:
    model = ViewerModel()
    session = open_session(model, results, reader="ana")
    show_field(model, session.images, B02)
    yield model
    close_session(model)


@pytest.fixture
def scored() -> Scored:
    return Scored()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: Any, scored: Scored) -> Iterator[CorrectWidget]:
    widget = CorrectWidget(viewer, rescore=scored)
    qtbot.addWidget(widget)
    yield widget


def middle(dock: CorrectWidget, label: int) -> tuple[int, int]:
    where = np.argwhere(dock.correcting.overlay.frame(dock.correcting.frame) == label)
    y, x = where[np.abs(where - where.mean(axis=0)).sum(axis=1).argmin()]
    return int(y), int(x)


def labels_shown(dock: CorrectWidget) -> list[int]:
    found = np.unique(dock.correcting.overlay.frame(dock.correcting.frame))
    return [int(label) for label in found if label]


def test_tracks_are_picked_cut_and_swapped_and_the_events_that_changed_are_named(
    dock: CorrectWidget, viewer: ViewerModel, scored: Scored, results: Path, qtbot: Any
):
    first, second = labels_shown(dock)[:2]
    viewer.dims.set_current_step(0, 2)
    assert not dock.parts.cut.isEnabled()
    dock.correcting.click(*middle(dock, first))
    assert dock.parts.cut.isEnabled()
    assert not dock.parts.swap.isEnabled()
    dock.correcting.click(*middle(dock, second), more=True)
    assert dock.correcting.picked == [first, second]
    assert len(viewer.layers["picked cells"].data)
    dock.parts.swap.click()
    qtbot.waitUntil(lambda: "1 event changed" in dock.parts.message.text())
    assert "B02 target 3: killer  effector 1 → effector 2" in dock.parts.message.text()
    assert scored.asked == [(0, 1)]
    dock.parts.cut.click()
    qtbot.waitUntil(lambda: len(scored.asked) == 2)
    decisions = read_logs(Results.open(results))
    assert [one.verb for one in decisions] == ["swap", "split"]
    assert decisions[1].values["frame"] == 3
    assert dock.parts.standing.count() == 2
    shown = np.asarray(viewer.layers["targets"].data[3])
    assert shown[middle(dock, first)] == second
    dock.parts.undo_decision.click()
    qtbot.waitUntil(lambda: len(scored.asked) == 3)
    assert dock.parts.standing.count() == 1


def test_outlines_are_split_kept_and_shown_and_the_labels_on_disk_stay(
    dock: CorrectWidget, viewer: ViewerModel, scored: Scored, results: Path, qtbot: Any
):
    label = labels_shown(dock)[0]
    before = {file: file.read_bytes() for file in (results / "labels.zarr").rglob("*") if file.is_file()}
    dock.parts.tabs.setCurrentIndex(1)
    layer = viewer.layers["targets"]
    assert layer.editable
    frame = dock.correcting.frame
    where = np.argwhere(dock.correcting.overlay.frame(frame) == label)
    dock.correcting.choose_tool("split")
    dock.correcting.click(*where[2])
    assert "other one" in dock.parts.message.text()
    dock.correcting.click(*where[-3])
    assert "2 cells changed" in dock.parts.painted.text()
    assert dock.parts.commit.isEnabled()
    dock.parts.undo.click()
    assert not dock.parts.commit.isEnabled()
    dock.parts.redo.click()
    dock.parts.commit.click()
    qtbot.waitUntil(lambda: len(scored.asked) == 1)
    (decision,) = read_logs(Results.open(results))
    assert decision.verb == "labels"
    assert (results / "review" / decision.values["patch"]).is_file()
    dock.parts.tabs.setCurrentIndex(0)
    assert not layer.editable
    shown = np.asarray(layer.data[frame])
    assert shown[tuple(where[-3])] != shown[tuple(where[2])]
    after = {file: file.read_bytes() for file in (results / "labels.zarr").rglob("*") if file.is_file()}
    assert after == before


def test_naparis_brush_paints_the_picked_cell_in_this_frame_only(dock: CorrectWidget, viewer: ViewerModel):
    label = labels_shown(dock)[0]
    dock.parts.tabs.setCurrentIndex(1)
    dock.correcting.choose_tool("brush")
    assert dock.correcting.tool == "pick"  # nothing is picked yet
    dock.correcting.click(*middle(dock, label))
    dock.correcting.choose_tool("brush")
    layer = viewer.layers["targets"]
    assert (layer.mode, layer.selected_label, layer.brush_size) == ("paint", label, 9)
    layer.paint((0, 2, 2), label)
    assert dock.correcting.overlay.frame(0)[2, 2] == label
    assert dock.correcting.overlay.frame(1)[2, 2] != label
    assert dock.correcting.overlay.edited_frames == (0,)
    dock.correcting.undo()
    assert dock.correcting.overlay.edited_frames == ()


def test_what_cannot_be_done_is_said_and_nothing_is_kept(dock: CorrectWidget, results: Path, scored: Scored):
    first, second = labels_shown(dock)[:2]
    dock.correcting.click(*middle(dock, first))
    dock.correcting.click(*middle(dock, second), more=True)
    dock.parts.join.click()
    assert "both are seen in frame 0" in dock.parts.message.text()
    dock.parts.tabs.setCurrentIndex(1)
    dock.correcting.choose_tool("remove")
    dock.correcting.click(0, 0)
    assert "No target here" in dock.parts.message.text()
    dock.correcting.choose_tool("merge")
    dock.correcting.click(*middle(dock, first))
    dock.correcting.click(*middle(dock, first))
    assert "into another" in dock.parts.message.text()
    assert scored.asked == []
    assert read_logs(Results.open(results)) == []


def test_another_field_that_the_review_shows_later_can_be_painted_too(
    dock: CorrectWidget, viewer: ViewerModel, qtbot: Any
):
    """The review shows a field after its event is told, when the corrections have looked at the layers already."""
    session = dock._session
    assert session is not None
    dock.parts.tabs.setCurrentIndex(1)
    show_field(viewer, session.images, FieldId("C03", 0))
    qtbot.waitUntil(lambda: viewer.layers["targets"].data is dock.correcting.overlay, timeout=5000)
    assert dock.correcting.field == FieldId("C03", 0)
    label = labels_shown(dock)[0]
    dock.correcting.click(*middle(dock, label))
    dock.correcting.choose_tool("brush")
    viewer.layers["targets"].paint((dock.correcting.frame, 1, 1), dock.correcting.brush_label)
    assert dock.correcting.overlay.frame(dock.correcting.frame)[1, 1] == label


def test_review_keys_rest_while_outlines_are_drawn_and_a_closed_review_leaves_the_dock_idle(
    dock: CorrectWidget, viewer: ViewerModel
):
    session = dock._session
    assert session is not None
    dock.parts.tabs.setCurrentIndex(1)
    assert session.editing_labels
    dock.parts.tabs.setCurrentIndex(0)
    assert not session.editing_labels
    close_session(viewer)
    assert not dock.parts.isEnabled()
    assert "Open RESULTS" in dock.parts.message.text()
