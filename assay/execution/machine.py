"""What of this machine a process may use: a batch system or container may give less than the machine has."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GOES_FIRST = "500"  # as if it held half of the memory more, when the system looks whom to end
_LOOK_EVERY_S = 0.02  # a process that fills memory takes a second to fill one GB
_NO_LIMIT = 1 << 60  # version 1 of control groups says "none" by a number near this


def available_cores() -> int:
    """Cores this process may use, by its affinity and by the quota of its control groups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _cpu_quotas())]))


def memory_limit() -> int | None:
    """Bytes that this process and its children may hold together, by their control groups; None without such a limit."""
    found = [
        int(limit)
        for group in _groups_of("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _word(group / name)).isdigit()
    ]
    return min((limit for limit in found if limit < _NO_LIMIT), default=None)


def leave_where_memory_ends(limit_bytes: int | None) -> None:
    """Let this process end before others do: told to the system, and done by itself as soon as it holds more than its limit.

    Whoever looks from outside may look too late. Linux alone; elsewhere nothing happens.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_GOES_FIRST)
        if limit_bytes and _held_bytes():
            threading.Thread(target=_end_above, args=(limit_bytes,), daemon=True).start()


def _end_above(limit_bytes: int) -> None:
    while _held_bytes() <= limit_bytes:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _held_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_quotas() -> Iterator[float]:
    """Cores' worth of computing that each of the groups may use."""
    for group in _groups_of("cpu"):
        quota, _, period = _word(group / "cpu.max").partition(" ")
        old = _word(group / "cpu.cfs_quota_us"), _word(group / "cpu.cfs_period_us")
        for used_us, every_us in ((quota, period), old):
            if used_us.isdigit() and every_us.isdigit():
                yield int(used_us) / int(every_us)


def _groups_of(controller: str) -> Iterator[Path]:
    """The folders of the groups this process is in, the innermost first: a limit of any of them holds.

    In a container the kernel may name groups that only the host sees; what is seen is looked at.
    """
    with suppress(OSError, ValueError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _GROUPS / controllers if controllers else _GROUPS
            inner = Path(path.lstrip("/"))
            for group in (inner, *inner.parents):
                yield root / group


def _word(file: Path) -> str:
    with suppress(OSError, ValueError):
        return file.read_text(encoding="ascii").strip()
    return ""
