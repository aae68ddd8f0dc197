import shutil
from pathlib import Path
from typing import Any

from napari_plugin.opening import open_in_viewer
from napari_plugin.sessions import session_of
from napari_plugin.widgets.blinded import BlindedPanel
from napari_plugin.widgets.review import ReviewWidget


def docks(viewer: Any) -> list[ReviewWidget]:
    return [one for one in viewer.window.dock_widgets.values() if isinstance(one, ReviewWidget)]


def test_one_review_dock_shows_whatever_is_under_review(
    make_napari_viewer_proxy: Any, sample_results: Path, tmp_path: Path, qtbot: Any
):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(sample_results, first)
    shutil.copytree(sample_results, second)
    viewer = make_napari_viewer_proxy()
    assert "first is open for review: 2 events." in open_in_viewer(viewer, first, reader="ana")
    open_in_viewer(viewer, second, reader="ana")
    panel = BlindedPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Blinded reading")
    panel.begin()
    (dock,) = docks(viewer)
    session = session_of(viewer)
    assert session is not None
    assert session.sitting.blinded
    assert session.results == second
    assert dock.session is session
    assert len(viewer.window.dock_widgets) == 2
    panel.end()
    assert docks(viewer)[0].session is session_of(viewer)
    panel.close()
