"""Cores and memory that a container or batch job gives, read from control groups as the kernel lays them out."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.execution import available_cores, machine, memory_limit

GB = 1_000_000_000


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 16 cores whose control groups are files of a test."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return tmp_path


def lay_out(folder: Path, own: str, files: dict[str, str]) -> None:
    (folder / "own").write_text(own)
    for name, text in files.items():
        file = folder / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


V2 = "0::/jobs/one\n"
V1 = "4:memory:/jobs/one\n2:cpu,cpuacct:/jobs/one\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (V2, {"jobs/one/memory.max": f"{2 * GB}"}, 2 * GB),
        (V2, {"jobs/one/memory.max": "max", "jobs/memory.max": f"{3 * GB}"}, 3 * GB),
        (V2, {"jobs/one/memory.max": f"{4 * GB}", "memory.max": f"{3 * GB}"}, 3 * GB),
        (V2, {"jobs/one/memory.max": "max"}, None),
        (V1, {"memory/jobs/one/memory.limit_in_bytes": f"{GB}"}, GB),
        (V1, {"memory/jobs/one/memory.limit_in_bytes": "9223372036854771712"}, None),
        # inside a container the kernel names a group of the host; what can be seen is the container's own
        (V1.replace("jobs", "docker/abc"), {"memory/memory.limit_in_bytes": f"{GB}"}, GB),
        (V2, {}, None),
        ("", {}, None),
        (V2, {"jobs/one/memory.max": "much"}, None),
    ],
)
def test_the_smallest_limit_on_the_way_up_holds(
    groups: Path, own: str, files: dict[str, str], limit: int | None
):
    lay_out(groups, own, files)
    assert memory_limit() == limit


def test_a_system_without_control_groups_has_no_limit(groups: Path):
    assert memory_limit() is None
    assert available_cores() == 16


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (V2, {"jobs/one/cpu.max": "200000 100000"}, 2),
        (V2, {"jobs/one/cpu.max": "150000 100000"}, 2),
        (V2, {"jobs/one/cpu.max": "20000 100000"}, 1),
        (V2, {"jobs/one/cpu.max": "max 100000", "jobs/cpu.max": "400000 100000"}, 4),
        (V2, {"jobs/one/cpu.max": "6400000 100000"}, 16),
        (
            V1,
            {
                "cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/jobs/one/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            V1,
            {
                "cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/jobs/one/cpu.cfs_period_us": "100000",
            },
            16,
        ),
        (V2, {"jobs/one/cpu.max": "200000"}, 16),
    ],
)
def test_a_quota_of_computing_time_counts_as_cores(groups: Path, own: str, files: dict[str, str], cores: int):
    lay_out(groups, own, files)
    assert available_cores() == cores


def test_a_process_that_takes_more_than_its_share_ends_by_itself():
    """But not as long as it keeps to its share."""
    hog = (
        "import sys; from assay.execution.machine import leave_where_memory_ends, _held_bytes\n"
        "leave_where_memory_ends(_held_bytes() + 200_000_000)\n"
        "held = [bytearray(100_000_000)]; import time; time.sleep(0.3); print('below', flush=True)\n"
        "for _ in range(100): held.append(bytearray(20_000_000)); time.sleep(0.02)\n"
        "print('above')"
    )
    done = subprocess.run(
        [sys.executable, "-c", hog], capture_output=True, text=True, timeout=60, check=False
    )
    if sys.platform == "linux":
        assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["below"])
    else:
        assert done.stdout.split() == ["below", "above"]
