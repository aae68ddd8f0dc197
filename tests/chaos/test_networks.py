"""A scheduler that is reached by address: it dies, its wire is cut, its wire is slow; nobody believes a wrong answer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.assay.pipeline.test_run import digest
from tests.chaos.commands import ROOT, Experiment, killassay, started, units_done, wait_until
from tests.chaos.networks import HERE, THERE, Wire, wired

pytestmark = pytest.mark.slow

_ENVIRONMENT = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s", "OMP_NUM_THREADS": "1", "RIG_SECONDS": "1"}


class Machines:
    """A scheduler here, and workers here or on the other side of a wire."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self._opened, self._folder = opened, folder
        self._place = folder / "scheduler.json"

    def dask(self, role: str, *words: str, over: Wire | None = None) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *words]
        process = subprocess.Popen(
            over.there(command) if over else command,
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._opened.callback(_end, process)
        return process

    def scheduler(self, host: str) -> "subprocess.Popen[bytes]":
        process = self.dask(
            "scheduler", "--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(self._place)
        )
        wait_until(self._place.exists)
        return process

    def worker(self, host: str, *, over: Wire | None = None) -> "subprocess.Popen[bytes]":
        words = ["--host", host, "--nthreads", "1", "--no-dashboard", "--local-directory", str(self._folder)]
        return self.dask("worker", self.address, *words, over=over)

    @property
    def address(self) -> str:
        return str(json.loads(self._place.read_text())["address"])

    def cluster_file(self) -> Path:
        path = self._folder / "cluster.toml"
        path.write_text(f'[cluster]\nkind = "address"\naddress = "{self.address}"\njobs = 2\n')
        return path


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as opened:
        yield Machines(opened, tmp_path)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_scheduler_that_dies_ends_the_run_in_30_s_and_its_workers_in_60(
    experiment: Experiment, tmp_path: Path, machines: Machines
):
    out = tmp_path / "results"
    scheduler = machines.scheduler("127.0.0.1")
    workers = [machines.worker("127.0.0.1") for _ in range(2)]
    words = experiment.words(out, "--cluster", str(machines.cluster_file()))
    with started("slow", words) as process:
        wait_until(lambda: units_done(out) >= 2)
        os.killpg(scheduler.pid, signal.SIGKILL)
        ended = wait_until(lambda: process.poll() is not None, seconds=120)
        _, wrong = process.communicate(timeout=10)
    left = wait_until(lambda: all(worker.poll() is not None for worker in workers), seconds=120)
    print(json.dumps({"driver_ended_s": round(ended, 1), "workers_ended_s": round(ended + left, 1)}))  # noqa: T201
    assert process.returncode == 2, wrong
    assert "the Dask scheduler that handed out the work is gone. What is done is kept" in wrong
    assert "Traceback" not in wrong
    assert ended <= 30
    assert ended + left <= 60
    done = killassay("none", experiment.words(out))
    assert done.returncode == 0, done.stderr
    assert digest(out) == experiment.undisturbed


@pytest.mark.root
@pytest.mark.needs("ip")
def test_a_worker_behind_a_cut_wire_is_given_up_within_90_s(
    experiment: Experiment, tmp_path: Path, machines: Machines
):
    out = tmp_path / "results"
    with wired() as wire:
        machines.scheduler(HERE)
        machines.worker(HERE)
        machines.worker(THERE, over=wire)
        words = experiment.words(out, "--cluster", str(machines.cluster_file()))
        with started("slow", words) as process:
            wait_until(lambda: units_done(out) >= 2)
            wire.cut()
            cut = time.monotonic()
            said, wrong = process.communicate(timeout=300)
            took = time.monotonic() - cut
    print(json.dumps({"cut_wire_to_end_s": round(took, 1)}))  # noqa: T201
    assert process.returncode == 0, (said, wrong)
    assert digest(out) == experiment.undisturbed
    assert took <= 90 + 12  # twelve units of a second each, all on the worker that is left


@pytest.mark.root
@pytest.mark.needs("ip", "tc")
def test_a_slow_wire_that_loses_packets_changes_nothing(
    experiment: Experiment, tmp_path: Path, machines: Machines
):
    out = tmp_path / "results"
    with wired() as wire:
        try:
            wire.slow("100ms", "5%")
        except subprocess.CalledProcessError:
            pytest.skip("this kernel cannot slow a wire (netem)")
        machines.scheduler(HERE)
        machines.worker(THERE, over=wire)
        done = killassay("none", experiment.words(out, "--cluster", str(machines.cluster_file())))
    assert done.returncode == 0, done.stderr
    assert digest(out) == experiment.undisturbed
