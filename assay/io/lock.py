"""One run at a time in a folder: a small file that says who works there.

A lock whose owner died on this machine is taken over; of an owner on another machine nothing is known, so it
counts as alive.
"""

import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from assay.errors import ResultsError


def take_lock(file: Path, folder: Path, *, beside: Sequence[str] = ("*",)) -> dict[str, Any]:
    """Write the lock and return what it says.

    Args:
        file: The lock, `.<name>.lock` in `folder`.
        folder: What it locks, for messages.
        beside: Patterns of the names of other locks of the folder that may be held at the same time.

    Raises:
        ResultsError: Somebody else holds it, or one that may not be held beside it.
        OSError: The disk refuses.
    """
    ours = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": _started(os.getpid()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with _one_taker(folder):
        for held in living_locks(folder):
            if held == file or not any(fnmatch(_name(held), pattern) for pattern in beside):
                raise _in_use(folder, held)
        if (
            file.exists()
        ):  # of somebody who died; where nobody holds it nothing is removed, lest it be just taken
            file.unlink(missing_ok=True)
        try:
            with file.open("x", encoding="utf-8") as stream:
                json.dump(ours, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except FileExistsError as error:  # taken on another machine in this very moment
            raise _in_use(folder, file) from error
    return ours


def living_locks(folder: Path) -> list[Path]:
    """The locks of a folder whose owners may live, by name."""
    held = [(file, _owner(file)) for file in sorted(folder.glob(".*.lock"))]
    return [file for file, owner in held if owner is not None and _may_live(owner)]


def require_no_links_out(folder: Path) -> None:
    """Refuse to write where a link, put there by whoever made the folder, would lead the writing elsewhere.

    Raises:
        ResultsError: There is such a link.
    """
    root, waiting = folder.resolve(), [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not Path(entry.path).resolve().is_relative_to(root):
                        raise ResultsError(
                            f"{entry.path} is a link that leads out of {folder}, so nothing is written there. Delete the link, or "
                            "choose another folder for --out."
                        )
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))


def release_lock(file: Path, ours: Mapping[str, Any]) -> None:
    """Remove the lock if it is still ours."""
    if _owner(file) == ours:
        file.unlink(missing_ok=True)


@contextmanager
def _one_taker(folder: Path) -> Iterator[None]:
    """Keep two runs of this machine from taking over the same dead lock at once; the kernel ends it with us."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _name(file: Path) -> str:
    return file.name.removeprefix(".").removesuffix(".lock")


def _in_use(folder: Path, file: Path) -> ResultsError:
    owner = _owner(file) or {}
    return ResultsError(
        f"{folder} is in use by pid {owner.get('pid', '?')} on {owner.get('host', '?')} since "
        f"{owner.get('since', '?')} ({_name(file)}). Wait until it ends; if it is surely dead, delete {file}."
    )


def _owner(file: Path) -> dict[str, Any] | None:
    """Who holds the lock; None where nobody does, empty where it is torn."""
    try:
        return dict(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {}


def _may_live(owner: Mapping[str, Any]) -> bool:
    if not owner:
        return False  # torn: whoever wrote it died doing so
    if owner.get("host") != socket.gethostname():
        return True
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if platform.system() == "Windows":
        return True  # asking would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = owner.get("started")
    return started is None or _started(pid) is None or started == _started(pid)


def _started(pid: int) -> str | None:
    """When a process began, to tell it from a later one of the same number; None where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
