import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.errors import StorageError
from assay.io.durable import disk_refusals


def refused(folder: Path) -> str:
    with (
        pytest.raises(StorageError, match="the ledger could not be written") as caught,
        disk_refusals("the ledger", folder),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    return str(caught.value)


def test_a_disk_without_numbers_for_files_is_not_called_full_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_files=100, f_favail=0, f_bavail=5000))
    assert "the disk holds as many files as it can (its inodes are used up)" in refused(tmp_path)
    assert "Delete files there" in refused(tmp_path)


def test_a_disk_without_bytes_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_files=100, f_favail=9, f_bavail=0))
    assert "the disk is full" in refused(tmp_path / "not" / "yet" / "there")
