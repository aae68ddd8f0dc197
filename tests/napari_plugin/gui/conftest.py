"""Tests with windows, on a screen in memory. Without one, or without napari, they skip and say what to install."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import frame_labels, scene  # noqa: F401 (fixtures)
from tools.virtual_screen import INSTALL, has_screen, use_virtual_screen


def _missing() -> str:
    """What is missing for windows, and the line that installs it; empty where nothing is."""
    required = os.environ.get("KILLASSAY_REQUIRE_GUI") == "1"
    if not has_screen() or (required and shutil.which("Xvfb") is None):
        return f"no screen to draw on: {INSTALL}"
    wanted = ("napari", "pyqtgraph", "superqt", "pytestqt")
    absent = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not any(importlib.util.find_spec(name) for name in ("PySide6", "PyQt6")):
        absent.append("PySide6")
    return f"no {', '.join(absent)}: pip install -e '.[napari,dev]'" if absent else ""


_MISSING = _missing()
pytest_plugins: list[str] = []
if not _MISSING:
    use_virtual_screen()
    os.environ.setdefault("QT_API", "pyside6" if importlib.util.find_spec("PySide6") else "pyqt6")
    os.environ.setdefault("PYTEST_QT_API", os.environ["QT_API"])
    pytest_plugins = ["pytestqt.plugin", "napari.utils._testsupport"]


class _NoWindows(pytest.Module):
    """A file of tests on a machine without windows: not even imported."""

    def collect(self) -> Any:
        if os.environ.get("KILLASSAY_REQUIRE_GUI") == "1":
            pytest.fail(f"KILLASSAY_REQUIRE_GUI=1, and {_MISSING}", pytrace=False)
        pytest.skip(_MISSING, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return _NoWindows.from_parent(parent, path=module_path) if _MISSING else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gui)


@pytest.fixture(autouse=True)
def _really_drawn(qapp: Any) -> Iterator[None]:
    """Qt's offscreen platform passes every test with a black canvas."""
    assert qapp.platformName() == "xcb", f"Qt draws on {qapp.platformName()!r}, which leaves the canvas black"
    yield


@pytest.fixture(scope="session")
def sample_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RESULTS of a small made plate, two wells, run once for all tests that only read it."""
    from tests.assay.pipeline.test_run import run
    from tests.small_plates import film, write_small_plate

    folder = tmp_path_factory.mktemp("plate")
    run(write_small_plate(folder / "small.zarr", {"B02": film(20), "C03": film(20)}), folder / "results")
    return folder / "results"
