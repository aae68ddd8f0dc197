import sys
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel

from napari_plugin.sessions import close_session, session_of
from napari_plugin.widgets import run_panel
from napari_plugin.widgets.run_panel import RunPanel

JOB = """
import json, sys, time
for n in range(5):
    print(json.dumps({"step": "segmentation", "done": n, "total": 4}), file=sys.stderr, flush=True)
    time.sleep(PAUSE)
print("B02   14 kills")
"""


def job(pause: float) -> list[str]:
    return [sys.executable, "-c", JOB.replace("PAUSE", str(pause))]


@pytest.fixture
def panel(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPanel:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    panel = RunPanel(ViewerModel())
    qtbot.addWidget(panel, before_close_func=lambda widget: widget.close())
    panel.show()
    return panel


def fill(panel: RunPanel, out: Path) -> None:
    panel.choose_sample()
    panel.out.setText(str(out))


def test_the_sample_plate_fills_in_the_form_and_writes_to_the_users_own_folder(
    panel: RunPanel, tmp_path: Path
):
    panel.choose_sample()
    assert Path(panel.plate.text()).name == "plate.zarr"
    assert Path(panel.protocol.text()).is_file()
    assert panel.out.text() == str(tmp_path / "data" / "killassay" / "sample-results")


def test_protocol_and_results_are_suggested_beside_the_plate(panel: RunPanel, tmp_path: Path):
    (tmp_path / "exp7.toml").write_text("")
    panel.choose_plate(tmp_path / "exp7.zarr")
    assert panel.protocol.text() == str(tmp_path / "exp7.toml")
    assert panel.out.text() == str(tmp_path / "exp7-results")


def test_nothing_starts_without_plate_protocol_and_folder(panel: RunPanel):
    panel.run()
    assert panel.process is None
    assert panel._state.text() == "Choose a plate first."


def test_progress_is_shown_and_the_results_are_opened_when_ready(
    panel: RunPanel, qtbot: Any, sample_results: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_panel, "run_command", lambda *paths, wells: job(0.05))
    fill(panel, sample_results)
    with qtbot.waitSignal(panel.finished, timeout=20_000) as ended:
        panel.run()
        assert panel._cancel.isEnabled()
        assert not panel._run.isEnabled()
    assert ended.args == [0]
    assert "B02   14 kills" in panel.log.toPlainText()
    assert panel._run.isEnabled()
    session = session_of(panel.viewer)
    assert session is not None
    assert session.results == sample_results
    assert session.current is not None
    assert "is open for review: 2 events." in panel.state_words
    close_session(panel.viewer)


def test_cancel_ends_the_job_and_says_that_what_is_done_is_kept(
    panel: RunPanel, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_panel, "run_command", lambda *paths, wells: job(30))
    fill(panel, tmp_path / "out")
    panel.run()
    qtbot.waitUntil(lambda: "0 of 4" in panel._state.text(), timeout=10_000)
    with qtbot.waitSignal(panel.finished, timeout=20_000):
        panel.cancel()
    assert panel.process is None
    assert panel._run.isEnabled()


def test_a_check_shows_the_problems_of_plate_and_protocol(panel: RunPanel, qtbot: Any, tmp_path: Path):
    panel.plate.setText(str(tmp_path / "nowhere.zarr"))
    with qtbot.waitSignal(panel.finished, timeout=60_000) as ended:
        panel.check()
    assert ended.args == [2]
    assert "nowhere.zarr" in panel.log.toPlainText()
    assert panel._state.text() == "There are problems, see below."


def test_torch_never_comes_into_the_viewer(panel: RunPanel):
    assert "torch" not in sys.modules
