import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.errors import StorageError
from assay.io.durable import disk_refusals


def disk(*, files: int, blocks: int) -> SimpleNamespace:
    """What is left of a disk, as the system says it."""
    return SimpleNamespace(
        f_files=100, f_favail=files, f_bavail=blocks, f_bfree=blocks, f_blocks=9000, f_frsize=4096
    )


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
    monkeypatch.setattr(os, "statvfs", lambda place: disk(files=0, blocks=5000))
    assert "the disk holds as many files as it can (its inodes are used up)" in refused(tmp_path)
    assert "Delete files there" in refused(tmp_path)


def test_a_disk_without_bytes_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "statvfs", lambda place: disk(files=9, blocks=0))
    assert "the disk is full" in refused(tmp_path / "not" / "yet" / "there")


def test_a_read_only_disk_says_where_to_go(tmp_path: Path):
    with (
        pytest.raises(
            StorageError,
            match=r"read-only .*\. Choose a folder that may be written; results .* copied there\.$",
        ),
        disk_refusals("the lock", tmp_path),
    ):
        raise OSError(errno.EROFS, "Read-only file system")
