"""Processes that die, hang or are told to stop, at any moment: the same bytes when the run goes on."""

import json
import os
import random
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.assay.pipeline.test_run import digest
from tests.chaos.commands import (
    Experiment,
    failures,
    killassay,
    processes_of,
    started,
    units_done,
    wait_until,
    workers_of,
)

pytestmark = pytest.mark.slow

KILLS = 5
NOTICED_S, ENDED_S = 90.0, 5.0


def test_workers_killed_again_and_again_change_nothing(experiment: Experiment, tmp_path: Path):
    out, chance = tmp_path / "results", random.Random(7)
    with started("slow", experiment.words(out, "--workers", "2"), RIG_SECONDS="2") as process:
        for _ in range(KILLS):
            before = units_done(out)
            wait_until(lambda: killed_one_of(workers_of(process.pid), chance))
            wait_until(lambda seen=before: process.poll() is not None or units_done(out) > seen)
        said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, (said, wrong)
    assert digest(out) == experiment.undisturbed


def killed_one_of(workers: list[int], chance: random.Random) -> bool:
    """Whether there was one to kill; the last of them may be about to end by itself."""
    if not workers:
        return False
    with suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
        return True
    return False


def test_a_run_killed_with_its_scheduler_leaves_no_worker_and_goes_on(experiment: Experiment, tmp_path: Path):
    out = tmp_path / "results"
    words = experiment.words(out, "--workers", "2")
    with started("slow", words, RIG_SECONDS="1") as process:
        wait_until(lambda: units_done(out) >= 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not processes_of(process.pid), seconds=60)
    kept = units_done(out)
    done = killassay("none", words)
    assert done.returncode == 0, done.stderr
    assert 3 <= kept < 12
    assert f"segmentation: {12 - kept} to do, {kept} already done" in done.stderr
    assert digest(out) == experiment.undisturbed


def test_a_worker_that_hangs_is_replaced_within_90_s(experiment: Experiment, tmp_path: Path, mark: Path):
    out = tmp_path / "results"
    with started("hanging", experiment.words(out, "--workers", "2"), RIG_MARK=str(mark)) as process:
        wait_until(mark.exists)
        hung = wait_until(lambda: process.poll() is not None or units_done(out) == 12)
        said, wrong = process.communicate(timeout=120)
    assert process.returncode == 0, (said, wrong)
    assert digest(out) == experiment.undisturbed
    print(json.dumps({"hung_worker_s": round(hung, 1)}))  # noqa: T201 - a figure of docs/reliability.md
    assert 55 < hung <= NOTICED_S


def test_one_interrupt_ends_a_run_in_5_s_and_what_is_done_is_kept(
    experiment: Experiment, tmp_path: Path, mark: Path
):
    for workers in ("1", "2"):
        out = tmp_path / f"results-{workers}"
        words = experiment.words(out, "--workers", workers)
        mark.unlink(missing_ok=True)
        with started("stubborn", words, RIG_MARK=str(mark)) as process:
            wait_until(mark.exists)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
            ended = wait_until(lambda one=process: one.poll() is not None, seconds=60)
            _, wrong = process.communicate(timeout=10)
            print(json.dumps({"workers": workers, "interrupt_s": round(ended, 1)}))  # noqa: T201
            assert process.returncode == 130, wrong
            assert wrong.splitlines()[-1] == (
                "killassay: interrupted; what is done is kept, the same command goes on from there"
            )
            assert "Traceback" not in wrong
            assert ended <= ENDED_S
            wait_until(lambda one=process: not processes_of(one.pid), seconds=10)
    done = killassay("none", words)
    assert done.returncode == 0, done.stderr
    assert digest(out) == experiment.undisturbed


def test_a_second_interrupt_ends_it_at_once(experiment: Experiment, tmp_path: Path, mark: Path):
    words = experiment.words(tmp_path / "results", "--workers", "2")
    with started("stubborn", words, RIG_MARK=str(mark)) as process:
        wait_until(mark.exists)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        ended = wait_until(lambda: process.poll() is not None, seconds=60)
        _, wrong = process.communicate(timeout=10)
        assert process.returncode in (130, -signal.SIGINT), wrong
        print(json.dumps({"second_interrupt_s": round(ended, 1)}))  # noqa: T201
        assert ended <= 2.0
        wait_until(lambda: not processes_of(process.pid), seconds=10)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_cluster_that_takes_the_node_back_gets_143_and_the_run_goes_on(
    experiment: Experiment, tmp_path: Path, workers: str
):
    out = tmp_path / "results"
    words = experiment.words(out, "--workers", workers)
    with started("slow", words, RIG_SECONDS="1") as process:
        wait_until(lambda: units_done(out) >= 2)
        os.kill(process.pid, signal.SIGTERM)
        ended = wait_until(lambda: process.poll() is not None, seconds=60)
        _, wrong = process.communicate(timeout=10)
    assert process.returncode == 143, wrong
    assert ended <= ENDED_S
    done = killassay("none", words)
    assert done.returncode == 0, done.stderr
    assert digest(out) == experiment.undisturbed


def test_a_second_run_into_the_same_results_is_refused(experiment: Experiment, tmp_path: Path):
    out = tmp_path / "results"
    with started("slow", experiment.words(out), RIG_SECONDS="1") as process:
        wait_until(lambda: units_done(out) >= 1)
        second = killassay("none", experiment.words(out))
        assert second.returncode == 2
        assert f"is in use by pid {process.pid} on" in second.stderr
        said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, (said, wrong)
    assert digest(out) == experiment.undisturbed


def test_a_lock_of_another_machine_counts_as_alive_until_it_is_deleted(
    experiment: Experiment, tmp_path: Path
):
    out = tmp_path / "results"
    out.mkdir()
    assert killassay("none", experiment.words(out, "--wells", "B02")).returncode == 0
    lock = out / ".run.lock"
    lock.write_text(json.dumps({"pid": 4, "host": "node17", "started": "9", "since": "2026-11-01T00:00:00"}))
    refused = killassay("none", experiment.words(out))
    assert refused.returncode == 2
    assert "in use by pid 4 on node17 since 2026-11-01T00:00:00" in refused.stderr
    assert f"if it is surely dead, delete {lock}" in refused.stderr
    lock.unlink()
    assert killassay("none", experiment.words(out)).returncode == 0
    assert digest(out) == experiment.undisturbed


def test_256_open_files_are_enough(experiment: Experiment, tmp_path: Path):
    out = tmp_path / "results"

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    with started("none", experiment.words(out, "--workers", "2"), before=few_files) as process:
        said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, (said, wrong)
    assert digest(out) == experiment.undisturbed


def test_a_unit_that_kills_its_workers_is_set_aside_and_the_rest_is_done(
    experiment: Experiment, tmp_path: Path
):
    out = tmp_path / "results"
    words = experiment.words(out, "--workers", "2")
    done = killassay("deadly", words)
    assert done.returncode == 3, done.stderr
    assert "FAILED well B03, field 0: B03_0_000000: the worker died 3 times on it" in done.stdout
    assert {unit for _, unit in failures(out)} == {"B03_0_000000"}
    assert units_done(out) == 9  # the units of the three other wells
    mended = killassay("none", words)
    assert mended.returncode == 0, mended.stderr
    assert "segmentation: 3 to do, 9 already done" in mended.stderr
    assert digest(out) == experiment.undisturbed
