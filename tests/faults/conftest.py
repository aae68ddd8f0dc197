"""The bench, and the command as a user calls it, in this process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.cli import run_commands
from assay.cli.main import _exit_code
from tests.faults.bench import Bench, Templates
from tests.threshold_segmenter import make

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def killassay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, with a plain segmenter for the model: (exit code, stdout, stderr)."""
    ours = run_commands.loader_of

    def command(*words: Any, real_model: bool = False) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["killassay", *map(str, words)])
            patch.setattr(run_commands, "loader_of", ours if real_model else lambda settings, device: make)
            code = _exit_code()
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture(scope="session")
def templates_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


_KEPT: dict[Path, Templates] = {}


@pytest.fixture
def templates(templates_at: Path, killassay: Command) -> Templates:
    kept = _KEPT.setdefault(templates_at, Templates(templates_at, killassay))
    kept.run = killassay
    return kept


@pytest.fixture
def bench(tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch) -> Bench:
    root = tmp_path / "bench"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.MonkeyPatch.context() as patch:
        yield Bench(root, templates, patch)
