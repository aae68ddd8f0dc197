"""Writing files so that they are either there whole or not there, also after a power cut.

Knows files and folders; knows nothing of what is in them. Whatever the disk refuses becomes one clear line.

    with disk_refusals("the kills table"):
        write_whole(path, data)
"""

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.errors import StorageError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EIO: "the disk reports a hardware error",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open on this machine",
    errno.ESTALE: "the network disk lost the file",
}
_TO_DO = {
    errno.ENOSPC: "Free some space and run the same command again; what is finished is kept.",
    errno.EDQUOT: "Free some space and run the same command again; what is finished is kept.",
    errno.EROFS: "Choose a folder that may be written; results that lie here can be copied there.",
    errno.EACCES: "Choose another folder, or ask its owner.",
    errno.EPERM: "Choose another folder, or ask its owner.",
}

_FEW = 2  # files up to which each is waited for by itself; one syncfs waits for all of them at once
_PLENTY_BYTES = 1_000_000_000  # no file of ours is larger: if so much is free, it is not room that lacks
_SMALL_DISK_INODES = 10_000  # of which a run's own leftovers may be a good part
_FEW_INODES = 16  # what was begun and refused gives some back before anybody looks


def refusal(error: OSError, what: str, where: Path) -> StorageError:
    """Say in one line what the disk refused, and what to do."""
    number = error.errno if error.errno is not None else 0
    reason = _REASONS.get(number, error.strerror or str(error))
    action = _TO_DO.get(number, "Check the disk and run the same command again.")
    if number == errno.ENOSPC and _holds_no_more_files(where):
        reason = "the disk holds as many files as it can (its inodes are used up)"
        action = "Delete files there, or choose another disk, and run the same command again; what is finished is kept."
    return StorageError(f"{what} could not be written to {where}: {reason}{_free_text(where)}. {action}")


@contextmanager
def disk_refusals(what: str, where: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a StorageError.

    Args:
        what: What is being written, in the user's words.
        where: The file or folder.

    Raises:
        StorageError: The disk is full, read-only, or forbids it.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise refusal(error, what, where) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when all of it is on the disk.

    Raises:
        StorageError: The disk refuses; the old file, if there was one, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.partial")
    with disk_refusals(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files as `write_whole` does, waiting for the disk once for all of them.

    Raises:
        StorageError: The disk refuses; of the old files some may be replaced, each whole.
    """
    if len(contents) <= _FEW:
        for path, data in contents.items():
            write_whole(path, data)
        return
    mark = f"{os.getpid()}.{time.monotonic_ns()}.partial"
    partial = {path: path.with_name(f".{path.name}.{mark}") for path in contents}
    try:
        for path, data in contents.items():
            with disk_refusals(path.name, path.parent):
                partial[path].write_bytes(data)
        sync_files(partial.values())
        for path, written in partial.items():
            with disk_refusals(path.name, path.parent):
                written.replace(path)
    finally:
        for written in partial.values():
            written.unlink(missing_ok=True)
    sync_files(contents)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Make a folder under another name and rename it when all of it is there.

    Raises:
        StorageError: The disk refuses.
    """
    making = folder.with_name(f".{folder.name}.making")
    with disk_refusals(folder.name, folder.parent):
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield making
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        sync_folder(folder.parent)


def sync_files(paths: Iterable[Path]) -> None:
    """Return only when these files, and the folders that name them, are on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    kept = sorted(set(paths))
    if len(kept) > _FEW and _sync_filesystems({path.parent for path in kept}):
        return
    for path in kept:
        with disk_refusals(path.name, path.parent), path.open("rb+") as file:
            os.fsync(file.fileno())
    for folder in sorted({path.parent for path in kept}):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk; where folders cannot be opened (Windows) there is nothing to do."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with disk_refusals("a folder", folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:  # some network disks know no fsync of folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)


def sync_disk(folder: Path) -> None:
    """Put everything written so far on the disk, for folders of too many files to name."""
    if not _sync_filesystems({folder}) and hasattr(os, "sync"):
        os.sync()
    sync_folder(folder)


def _sync_filesystems(folders: Iterable[Path]) -> bool:
    """Write out all that the file systems of these folders still hold in memory; False where that cannot be asked."""
    call = _syncfs()
    if call is None:
        return False
    done: set[int] = set()
    for folder in sorted(folders):
        device = folder.stat().st_dev
        if device in done:
            continue
        with disk_refusals("a folder", folder):
            handle = os.open(folder, os.O_RDONLY)
            try:
                if call(handle) != 0:
                    number = ctypes.get_errno()
                    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                        return False
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(handle)
        done.add(device)
    return True


@lru_cache(maxsize=1)
def _syncfs() -> Any:
    """The system call, which only Linux has."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def free_bytes(path: Path) -> int:
    """Free space on the disk that holds `path`, which need not exist yet."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def require_free_space(path: Path, needed_bytes: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        StorageError: Less than `needed_bytes` are free where `path` lies.
    """
    free = free_bytes(path)
    if free < needed_bytes:
        raise StorageError(
            f"{what} needs about {size_text(needed_bytes)}, but {path} has {size_text(free)} free. "
            "Free some space or choose a folder on another disk."
        )


def size_text(size: int) -> str:
    """Bytes as a person reads them, "1.4 GB"."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _holds_no_more_files(where: Path) -> bool:
    """Whether room is left but no number for another file, or was: what was half made is taken away by now."""
    if not hasattr(os, "statvfs"):
        return False
    existing = next((place for place in (where, *where.parents) if place.exists()), where)
    try:
        said = os.statvfs(existing)
    except OSError:
        return False
    has_plenty = said.f_bavail * said.f_frsize > _PLENTY_BYTES and said.f_files < _SMALL_DISK_INODES
    return said.f_files > 0 and said.f_bavail > 0 and (said.f_favail < _FEW_INODES or has_plenty)


def _free_text(where: Path) -> str:
    try:
        return f" ({size_text(free_bytes(where))} free)"
    except OSError:
        return ""
