"""A run that is killed (SIGKILL) before its n-th change to the disk, and what is left of it.

The run is a fork of this process, so fifty of them take a minute. A change is a file opened for writing, a rename, a
removal, a new folder or a wait for the disk, inside RESULTS; the first run counts them, later ones die at one.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assay.pipeline.cells
import assay.pipeline.pixels
import assay.pipeline.run
from assay.io.ledger import Ledger
from assay.io.results import Results
from assay.pipeline.run import RunOptions
from tests.assay.pipeline.test_run import run

_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "open")
_UNITS = {
    "scale_field": "brightness",
    "_segment": "pixels",
    "link_field": "link",
    "write_labels": "labels",
    "find_events": "events",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """How far a run came."""

    at: str  # what it was about to do when it was killed; "" where it ended
    changes: int
    started: int  # units of work that were begun
    committed: int  # and those with a record

    @property
    def lost(self) -> int:
        """Units that have to be done again."""
        return self.started - self.committed


def killed_run(
    plate: Path,
    out: Path,
    note: Path,
    *,
    change: int,
    options: RunOptions | None = None,
    last_deed: Callable[[], None] = lambda: None,
) -> Killed:
    """Run in a fork that dies before this change to the disk (0: never), after its last deed."""
    note.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _watch(out, note, change, last_deed)
            run(plate, out, options=options)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert change == 0 or status == signal.SIGKILL, (status, note.read_text()[-300:])
    lines = note.read_text().splitlines()
    steps = set(_UNITS.values())
    records = (
        sum(len(Results.open(out).ledger.records(step)) for step in steps)
        if (out / "results.json").is_file()
        else 0
    )
    changes = [line for line in lines if line.split()[0] not in ("unit", "commit", "forget")]
    return Killed(
        at=changes[-1] if change else "",
        changes=len(changes),
        started=sum(line.startswith("unit ") for line in lines),
        committed=records,
    )


def committed(note: Path) -> list[tuple[str, str]]:
    """(step, unit) of every commit that came back, and was not taken back since."""
    done: dict[tuple[str, str], None] = {}
    for line in note.read_text().splitlines():
        words = line.split()
        if words[0] == "commit":
            done[words[1], words[2]] = None
        elif words[0] == "forget":
            done.pop((words[1], words[2]), None)
    return list(done)


def _watch(out: Path, note: Path, change: int, last_deed: Callable[[], None]) -> None:
    """Note every change to the disk inside `out` and every unit begun, and die before the chosen one."""
    log = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    root, left = f"{out}{os.sep}", [change]

    def count(what: str) -> None:
        os.write(log, f"{what}\n".encode())
        left[0] -= 1
        if left[0] == 0:
            last_deed()
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not isinstance(args[0], str | Path):
            return
        path = str(args[0])
        if not path.startswith(root) or (event == "open" and not _writes(args)):
            return
        count(f"{event} {path.removeprefix(root)}")

    sync = os.fsync

    def fsync(handle: int) -> None:
        count("fsync")
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(hook)
    _note_commits(log)
    for name in _UNITS:
        room = assay.pipeline.pixels if name in ("scale_field", "_segment") else assay.pipeline.cells
        setattr(room, name, _noted(getattr(room, name), log))
        if hasattr(assay.pipeline.run, name):
            setattr(assay.pipeline.run, name, getattr(room, name))


def _note_commits(log: int) -> None:
    commit, forget = Ledger.commit, Ledger.forget

    def noted_commit(ledger: Ledger, step: str, unit: str, *args: Any, **named: Any) -> Any:
        record = commit(ledger, step, unit, *args, **named)
        os.write(log, f"commit {step} {unit}\n".encode())
        return record

    def noted_forget(ledger: Ledger, step: str, unit: str) -> None:
        os.write(log, f"forget {step} {unit}\n".encode())
        forget(ledger, step, unit)

    Ledger.commit, Ledger.forget = noted_commit, noted_forget  # type: ignore[method-assign]


def _noted(call: Callable[..., Any], log: int) -> Callable[..., Any]:
    def noted(*args: Any, **named: Any) -> Any:
        os.write(log, f"unit {call.__name__}\n".encode())
        return call(*args, **named)

    return noted


def _writes(args: tuple[Any, ...]) -> bool:
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
