"""A few of the thousand cases of `tests/chaos/test_corruption.py`, for every test run."""

from pathlib import Path

import pytest

from tests.chaos.corruption import is_well, summary
from tests.chaos.test_corruption import cases


def test_damaged_files_are_named_and_change_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = cases(tmp_path, range(60))
    assert not [case for case in found if not is_well(case)], summary(found)
