"""Against a real Slurm: jobs come, die and are asked for again; the answer does not change."""

import gc
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import DeviceError
from assay.execution import ClusterSettings, Outcome, Task, open_engine
from tests.chaos import slurm_node

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    # dask-jobqueue leaves the files of its keys to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(bool(slurm_node.missing()), reason=slurm_node.missing() or "Slurm is here"),
]

SETTINGS = ClusterSettings(kind="slurm", jobs=2, memory="1GB", walltime="00:20:00", interface="lo")


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm_node.slurm_node(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(autouse=True)
def files_of_keys() -> Iterator[None]:
    yield
    gc.collect()  # while their warnings are not heard


def _slow_square(number: int) -> tuple[int, str]:
    time.sleep(0.3)
    return number * number, os.environ.get("SLURM_JOB_ID", "")


def squares(n: int) -> list[Task]:
    return [Task(unit=f"unit {k}", field=None, call=_slow_square, arguments=(k,)) for k in range(n)]


def run(folder: Path, tasks: Iterable[Task], settings: ClusterSettings = SETTINGS) -> Iterator[Outcome]:
    with open_engine(0, cluster=settings, shared=(folder,), logs=folder / "jobs") as engine:
        yield from engine.run(tasks)


def numbers(outcomes: Iterable[Outcome]) -> list[int]:
    return sorted(outcome.value[0] for outcome in outcomes)


def test_the_work_is_done_by_jobs_and_none_is_left_behind(tmp_path: Path):
    outcomes = list(run(tmp_path, squares(24)))
    assert numbers(outcomes) == [k * k for k in range(24)]
    assert len({outcome.value[1] for outcome in outcomes} - {""}) == 2
    time.sleep(3)
    assert slurm_node.jobs() == []


def test_a_job_that_is_cancelled_is_asked_for_again(tmp_path: Path):
    cancelled: list[str] = []

    def cancel_one() -> None:
        while len(running := slurm_node.jobs()) < 2:
            time.sleep(0.5)
        time.sleep(8)
        subprocess.run(["scancel", running[0]], check=True)
        cancelled.append(running[0])

    thread = threading.Thread(target=cancel_one)
    thread.start()
    outcomes: list[Outcome] = []

    def others() -> set[str]:
        return {outcome.value[1] for outcome in outcomes} - set(cancelled)

    until_replaced = itertools.takewhile(lambda task: not cancelled or len(others()) < 2, squares(3000))
    for outcome in run(tmp_path, until_replaced):
        outcomes.append(outcome)
    thread.join()
    assert len(others()) == 2, f"{cancelled} was not replaced: only {others()} worked"
    assert numbers(outcomes) == [k * k for k in range(len(outcomes))]


def test_jobs_whose_script_does_not_work_stop_the_run_with_what_they_said(tmp_path: Path):
    broken = ClusterSettings(
        kind="slurm",
        jobs=1,
        memory="1GB",
        walltime="00:20:00",
        interface="lo",
        prologue=("echo 'no module called cuda' >&2", "exit 1"),
    )
    with pytest.raises(
        DeviceError, match=r"jobs ended before a worker came, the last said: 'no module called cuda'"
    ):
        list(run(tmp_path, squares(4), broken))


def test_jobs_for_a_queue_that_is_not_there_stop_the_run_with_what_slurm_said(tmp_path: Path):
    nowhere = replace(SETTINGS, queue="nowhere")
    with pytest.raises(DeviceError, match=r"slurm did not take \d+ jobs, and said: .*[Ii]nvalid partition"):
        list(run(tmp_path, squares(4), nowhere))


def test_a_node_that_does_not_see_the_plate_says_so(tmp_path: Path):
    with (
        open_engine(0, cluster=SETTINGS, shared=(tmp_path / "nowhere",), logs=tmp_path / "jobs") as engine,
        pytest.raises(
            DeviceError, match=r"does not see .*nowhere, which .* has\. Put plate and RESULTS on a disk"
        ),
    ):
        list(engine.run(squares(2)))
