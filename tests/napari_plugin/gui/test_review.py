import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from assay.io.results import Results
from assay.io.review_logs import open_log, read_logs
from assay.io.tables import read_table
from assay.review.events import review_events
from assay.review.sitting import Sitting
from assay.review.state import replay
from napari_plugin.key_table import REASON_KEYS
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import close_session, open_session, session_of
from napari_plugin.widgets.review import ReviewWidget
from tests.napari_plugin.many_events import results_with_events, with_uncalled

CTRL, SHIFT, NO = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.NoModifier,
)


class Review:
    """A viewer with the review dock, and a hand on its keys."""

    def __init__(self, viewer: Any, results: Path) -> None:
        open_session(viewer, results, reader="ana")
        self.viewer = viewer
        self.widget = ReviewWidget(viewer)
        viewer.window.add_dock_widget(
            self.widget, name="Review events", area="right", add_vertical_stretch=False
        )
        session = session_of(viewer)
        assert session is not None
        self.session: ReviewSession = session
        self.settle()

    def settle(self) -> None:
        """Wait until the event is drawn and the next clips are made."""
        limit = time.monotonic() + 60
        while (self.widget.is_busy or not self.session.is_ahead) and time.monotonic() < limit:
            QApplication.processEvents()
            time.sleep(0.005)
        QApplication.processEvents()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NO, *, into: QWidget | None = None) -> None:
        QTest.keyClick(into or self.widget.parts.table, key, modifier)
        self.settle()

    def status(self, event: str) -> str:
        return self.session.sitting.status_of(event)

    @property
    def current(self) -> str:
        assert self.session.current is not None
        return self.session.current

    def close(self) -> None:
        close_session(self.viewer)


@pytest.fixture
def results(sample_results: Path, tmp_path: Path) -> Path:
    return results_with_events(sample_results, tmp_path / "results", n=12)


@pytest.fixture
def review(make_napari_viewer_proxy: Any, results: Path) -> Any:
    made = Review(make_napari_viewer_proxy(show=True), results)
    yield made
    made.close()


def test_an_event_is_decided_with_one_key_and_the_next_pending_one_is_shown(review: Review):
    parts, session = review.widget.parts, review.session
    order = [str(session.state.events["event"][row]) for row in session.events.visible]
    assert review.current == order[0]
    review.press(Qt.Key.Key_A)
    assert (review.status(order[0]), review.current) == ("accepted", order[1])
    review.press(Qt.Key.Key_U, into=review.widget.window())  # wherever the focus is
    assert (review.status(order[1]), review.current) == ("unsure", order[2])
    review.press(Qt.Key.Key_R)
    assert (review.status(order[2]), review.current) == ("pending", order[2])
    review.press(Qt.Key.Key_2)
    assert (review.status(order[2]), review.current) == ("rejected", order[3])
    assert session.state.of(order[2]).verdicts["ana"].reason == REASON_KEYS[1][1] == "division"
    assert parts.progress.text().startswith("3 of 12 reviewed")
    assert parts.table.selectionModel().currentIndex().row() == 3
    review.press(Qt.Key.Key_Z, CTRL)
    assert (review.status(order[2]), review.current) == ("pending", order[2])
    review.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert review.status(order[2]) == "rejected"
    kept = replay(read_logs(Results.open(session.results)), session.state.events)
    assert kept.status.tolist() == session.state.status.tolist()


def test_time_and_killer_are_corrected_and_stay_before_the_eyes(review: Review):
    session, event = review.session, review.current
    shown = session.shown
    assert shown is not None
    frame, killer = shown["frame"], shown["killer"]
    review.press(Qt.Key.Key_Right)
    assert session.frame == frame + 1 == review.viewer.dims.current_step[0]
    review.press(Qt.Key.Key_T)
    assert (int(session.state.frame[session.row]), review.current) == (frame + 1, event)
    candidates = session.candidates()["effector_track_id"].tolist()
    assert killer == candidates[0]
    review.press(Qt.Key.Key_2)
    assert session.shown_killer() == candidates[1]
    review.press(Qt.Key.Key_E)
    assert session.shown_killer() == candidates[0]
    review.press(Qt.Key.Key_0)
    assert session.shown_killer() is None
    assert (review.status(event), review.current) == ("accepted", event)
    review.press(Qt.Key.Key_4)
    assert "no candidate 4: 2 effectors" in review.widget.parts.message.text()
    review.widget.parts.traces.retimed.emit(frame + 3)  # the red line was dragged
    assert int(session.state.frame[session.row]) == frame + 3


def test_keys_rest_while_a_filter_is_written_and_while_labels_are_painted(review: Review):
    event, box = review.current, review.widget.parts.filter_box
    box.setFocus()
    QTest.keyClicks(box, "p<0.5 a")
    assert (box.text(), review.status(event)) == ("p<0.5 a", "pending")
    box.setText("p<0.5")
    QTest.keyClick(box, Qt.Key.Key_Return)
    visible = review.session.events.visible
    assert (review.session.state.events["probability"][visible] < 0.5).all()
    assert len(visible) == 6
    box.setText("nonsense:1")
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert 'there is no column "nonsense"' in review.widget.parts.message.text()
    assert len(review.session.events.visible) == 6
    review.widget.parts.table.setFocus()
    review.session.editing_labels = True
    review.press(Qt.Key.Key_A)
    assert review.status(review.current) == "pending"
    review.session.editing_labels = False
    review.widget.parts.mode.setChecked(False)
    review.press(Qt.Key.Key_A)
    assert review.status(review.current) == "pending"


def test_a_flag_has_a_note_and_a_missed_death_is_added_where_the_mouse_is(review: Review):
    session, parts = review.session, review.widget.parts
    review.press(Qt.Key.Key_F)
    QTest.keyClicks(parts.decisions.note, "two cells?")
    QTest.keyClick(parts.decisions.note, Qt.Key.Key_Return)
    row = session.row
    assert session.state.flagged[row] and session.state.of(review.current).notes == (("ana", "two cells?"),)
    assert session.events.cell(row, "flags").startswith("⚑")
    review.press(Qt.Key.Key_F, SHIFT)
    assert not session.state.flagged[row]
    cells = session.field_cells()
    dying = set(session.state.events["target_track_id"].tolist())
    spare = [
        track for track in range(1, 30) if len(cells.track("target", track).frame) and track not in dying
    ]
    if not spare:  # every target dies in the table: adding is refused in words
        where = cells.track("target", min(dying)).near(session.frame)
        assert session.add_missed(*where) is False
        assert "dies already" in parts.message.text()
    assert session.add_missed(-500.0, -500.0) is False
    assert "No target within 15" in parts.message.text()


def test_the_pair_is_outlined_in_the_middle_of_a_picture_that_is_really_drawn(review: Review):
    viewer, session = review.viewer, review.session
    shown, key = session.shown, session.clip_key(session.row)
    assert shown is not None and key is not None
    assert viewer.dims.current_step[0] == shown["frame"]
    target = session.field_cells().track("target", key.target).near(shown["frame"])
    killer = session.field_cells().track("effector", int(shown["killer"])).near(shown["frame"])
    assert target is not None and killer is not None
    middle = (np.array(target) + np.array(killer)) / 2
    assert np.allclose(viewer.scene.camera.center[-2:], middle, atol=1e-6)
    outlined = viewer.layers["pair and candidates"]
    assert len(outlined.data) > 10
    is_pair = outlined.edge_color[:, 3] == 1  # the others and the ways are faint
    here = outlined.data[is_pair & (outlined.data[:, 0, 0] == shown["frame"])]
    calibration = session.images.of(key.field).calibration
    box = np.array([here[:, 0, 1:].min(axis=0), here[:, 0, 1:].max(axis=0)]) * np.array(calibration.pixel_um)
    assert (box[0] < np.array(target)).all() and (np.array(target) < box[1]).all()
    picture = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
    assert picture.std() > 5
    red = (picture[..., 0] > 200) & (picture[..., 1] < 130) & (picture[..., 2] < 140)
    yellow = (picture[..., 0] > 220) & (picture[..., 1] > 190) & (picture[..., 2] < 90)
    assert red.sum() > 50 and yellow.sum() > 50


def test_a_death_that_was_not_called_is_a_question_and_one_key_makes_it_an_event(
    make_napari_viewer_proxy: Any, sample_results: Path, tmp_path: Path
):
    results = results_with_events(sample_results, tmp_path / "results", n=2)
    cells = read_table(results / "tables", "cells")
    here = (cells["well"] == "B02") & (cells["role"] == "target") & (cells["frame"] == 6)
    dying = set(read_table(results / "tables", "deaths")["track_id"].tolist())
    target = next(one for one in cells["track_id"][here].tolist() if one not in dying)
    review = Review(make_napari_viewer_proxy(show=True), with_uncalled(results, target=target, frame=6))
    session, parts = review.session, review.widget.parts
    assert parts.progress.text().startswith("0 of 2 reviewed")
    (row,) = np.flatnonzero(session.state.is_uncalled).tolist()
    event = str(session.state.events["event"][row])
    session.go(event)
    review.settle()
    assert parts.title.text().startswith(f"B02 · did target {target} die at ")
    review.press(Qt.Key.Key_A)
    assert review.status(event) == "accepted"
    assert parts.progress.text().startswith("1 of 3 reviewed")
    review.press(Qt.Key.Key_Z, CTRL)
    assert parts.progress.text().startswith("0 of 2 reviewed")
    review.close()


def test_a_third_reader_settles_with_two_keys_what_two_others_disagree_about(
    make_napari_viewer_proxy: Any, results: Path
):
    for reader, verb, more in (("ben", "accept", {}), ("cleo", "reject", {"reason": "debris"})):
        log = open_log(Results.open(results), reader=reader)
        events = review_events(
            {n: read_table(results / "tables", n) for n in ("deaths", "kills", "contacts")}
        )
        event = str(events["event"][0])
        Sitting(events, log, reader=reader).decide(verb, event, **more)
        log.close()
    review = Review(make_napari_viewer_proxy(show=True), results)
    decisions = review.widget.parts.decisions
    settle = decisions.findChild(QPushButton, "settle")
    assert settle is not None
    review.press(Qt.Key.Key_S)
    assert "Nothing to settle" in review.widget.parts.message.text() and not decisions.choosing
    review.session.sort_by("disagreement")
    review.session.go(event)
    review.settle()
    assert settle.isVisible()
    review.press(Qt.Key.Key_S)
    assert decisions.choosing == "settle"
    review.press(Qt.Key.Key_2)
    assert review.status(event) == "rejected"
    assert "Settled: no death (cleo)" in review.widget.parts.message.text()
    assert not settle.isVisible() and not decisions.choosing
    review.press(Qt.Key.Key_Z, CTRL)
    assert review.status(event) == "disagreement"
    review.close()


@pytest.mark.parametrize("n", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_many_events_are_reviewed_and_nothing_is_left_behind(
    make_napari_viewer_proxy: Any, sample_results: Path, tmp_path: Path, n: int
):
    """Three hundred take minutes of drawing by software: `KILLASSAY_SOAK=1`."""
    if n > 100 and os.environ.get("KILLASSAY_SOAK") != "1":
        pytest.skip("the long soak runs with KILLASSAY_SOAK=1")
    results = results_with_events(sample_results, tmp_path / "many", n=n)
    review = Review(make_napari_viewer_proxy(show=True), results)
    keys = [Qt.Key.Key_A, Qt.Key.Key_U, Qt.Key.Key_R, Qt.Key.Key_A, Qt.Key.Key_2, Qt.Key.Key_T]
    for number in range(20):
        _one_event(review, keys[number % len(keys)])
    gc.collect()
    widgets, timers = len(QApplication.allWidgets()), _timers(review.widget)
    threads = threading.active_count()
    for number in range(1000):
        if review.session.progress()[0] == n:
            break
        _one_event(review, keys[number % len(keys)])
    gc.collect()
    assert review.session.progress()[:2] == (n, n)
    assert len(QApplication.allWidgets()) <= widgets + 2
    assert _timers(review.widget) == timers
    assert threading.active_count() <= threads
    decisions = read_logs(Results.open(results))
    kept = replay(decisions, review.session.state.events)
    assert kept.status.tolist() == review.session.state.status.tolist()
    assert "All events are reviewed." in review.widget.parts.message.text()
    review.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("killassay")]
    assert review.widget.session is None


def _one_event(review: Review, key: Qt.Key) -> None:
    """Decide without waiting for the clips, as a hurried reader does."""
    QTest.keyClick(review.widget.parts.table, key)
    if key == Qt.Key.Key_R:
        QTest.keyClick(review.widget.parts.table, Qt.Key.Key_4)
    if key in (Qt.Key.Key_2, Qt.Key.Key_T):
        QTest.keyClick(review.widget.parts.table, Qt.Key.Key_A)
    QApplication.processEvents()


def _timers(widget: QWidget) -> int:
    return len(widget.findChildren(QTimer))
