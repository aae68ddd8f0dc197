"""The command as a user calls it, in this process."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from assay.cli.main import _exit_code

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def killassay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: (exit code, stdout, stderr)."""

    def command(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["killassay", *map(str, words)])
        code = _exit_code()
        out, err = capfd.readouterr()
        return code, out, err

    return command
