"""What a test of this folder needs and does not find is said as the reason why it is skipped."""

import os
import shutil
from pathlib import Path

import pytest

from tests.chaos import commands, slurm_node


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here: `root`, `slurm`, and `needs("tool", ...)`."""
    no_slurm = slurm_node.missing()
    for item in items:
        if item.get_closest_marker("root") and (not hasattr(os, "geteuid") or os.geteuid() != 0):
            item.add_marker(pytest.mark.skip(reason="needs root: it mounts, limits or cuts networks"))
        if item.get_closest_marker("slurm") and no_slurm:
            item.add_marker(pytest.mark.skip(reason=no_slurm))
        needed = [tool for mark in item.iter_markers("needs") for tool in mark.args]
        absent = [tool for tool in needed if shutil.which(tool) is None]
        if absent:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(absent)}"))


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> commands.Experiment:
    return commands.make_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that a rig leaves behind when it did what it does once."""
    return tmp_path / "mark"
