import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest

from assay.errors import DeviceError, ImageError, StorageError
from assay.execution import Engine, Outcome, Task, available_cores, open_engine
from assay.execution.dask_workers import DaskEngine, LocalWorkers
from assay.stack import FieldId

OOM_SCORE = Path("/proc/self/oom_score_adj")


def _double(number: int) -> int:
    return 2 * number


def _fail() -> None:
    raise ImageError("well B02, field 0: frame 3 is torn.")


def _disk_full() -> None:
    raise StorageError("no space left")


def _no_memory() -> None:
    raise MemoryError


def _die_once(mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupted() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return os.getpid()


def task(number: int) -> Task:
    return Task(unit=f"unit {number}", field=FieldId("B02", 0), call=_double, arguments=(number,))


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[int, Engine]]:
    """In this process, and two Dask workers that all tests share."""
    with open_engine(1) as here, open_engine(2) as dask:
        yield {1: here, 2: dask}


def run(engine: Engine, *tasks: Task) -> dict[str, Outcome]:
    return {outcome.task.unit: outcome for outcome in engine.run(tasks)}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_ends_and_a_mendable_error_stops_no_other(engines: dict[int, Engine], workers: int):
    broken = Task(unit="broken", field=FieldId("B02", 0), call=_fail, arguments=())
    outcomes = run(engines[workers], task(0), broken, *(task(n) for n in range(1, 20)))
    assert outcomes["broken"].error == "well B02, field 0: frame 3 is torn."
    assert [outcomes[f"unit {n}"].value for n in range(20)] == [2 * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_everything(engines: dict[int, Engine], workers: int):
    full = Task(unit="full", field=None, call=_disk_full, arguments=())
    with pytest.raises(StorageError, match="no space left"):
        run(engines[workers], full)


@pytest.mark.parametrize("workers", [1, 2])
def test_too_little_memory_stops_everything_and_says_what_to_do(engines: dict[int, Engine], workers: int):
    hungry = Task(unit="B02_0_000000", field=FieldId("B02", 0), call=_no_memory, arguments=())
    with pytest.raises(
        DeviceError,
        match=r"^B02_0_000000: not enough memory\. Run with fewer workers, or on a machine with more; what is done is "
        r"kept\.$",
    ):
        run(engines[workers], task(0), hungry, task(1))


def test_a_worker_that_is_killed_is_replaced_and_its_task_done_again(
    engines: dict[int, Engine], tmp_path: Path
):
    fatal = Task(unit="fatal", field=None, call=_die_once, arguments=(tmp_path / "died",))
    assert run(engines[2], fatal)["fatal"].value == 7


@pytest.mark.skipif(not OOM_SCORE.is_file(), reason="only Linux says who goes first where memory ends")
def test_where_memory_ends_a_worker_goes_before_the_run(engines: dict[int, Engine]):
    ours = int(OOM_SCORE.read_text())
    asked = Task(unit="score", field=None, call=OOM_SCORE.read_text, arguments=())
    assert int(run(engines[2], asked)["score"].value) == 500
    assert int(OOM_SCORE.read_text()) == ours < 500


def test_a_worker_that_ended_at_work_is_said(tmp_path: Path):
    """Its work is done again without a word otherwise: a run whose workers die of their memory would only be slow."""
    said: list[str] = []
    workers = LocalWorkers(2, say=said.append)
    engine = DaskEngine(workers)
    try:
        run(engine, task(0))
        workers.look_after()
        assert said == []
        run(engine, Task(unit="fatal", field=None, call=_die_once, arguments=(tmp_path / "died",)))
        workers.look_after()
        workers.look_after()
    finally:
        engine.close()
    (line,) = said
    assert line.startswith("1 worker ended at work so far; what was begun is done again. Most likely memory")


def test_a_task_that_kills_every_worker_is_given_up_and_takes_no_other_with_it(engines: dict[int, Engine]):
    deadly = Task(unit="deadly", field=FieldId("B02", 0), call=_die, arguments=())
    outcomes = run(engines[2], task(0), deadly, *(task(n) for n in range(1, 12)))
    assert outcomes["deadly"].error is not None
    assert "deadly: the worker died 3 times on it" in outcomes["deadly"].error
    assert [outcomes[f"unit {n}"].value for n in range(12)] == [2 * n for n in range(12)]


def test_workers_do_not_die_of_an_interrupt_that_is_meant_for_the_run(engines: dict[int, Engine]):
    first = run(
        engines[2], *(Task(unit=f"{n}", field=None, call=_interrupted, arguments=()) for n in range(4))
    )
    again = run(
        engines[2], *(Task(unit=f"{n}", field=None, call=_interrupted, arguments=()) for n in range(4))
    )
    assert {outcome.value for outcome in again.values()} <= {outcome.value for outcome in first.values()}


def test_workers_are_started_for_the_first_task_only():
    before = time.perf_counter()
    with open_engine(8) as engine:
        assert run(engine) == {}
    assert time.perf_counter() - before < 1.0


def test_leaving_early_leaves_no_worker_behind():
    with open_engine(2) as engine:
        tasks = [Task(unit=f"pid {n}", field=None, call=os.getpid, arguments=()) for n in range(8)]
        outcomes = engine.run(tasks)
        worker = next(outcomes).value
        outcomes.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(worker, 0)


def _who_looks_on() -> tuple[list[str], float]:
    """Dask's threads and clocks that sample what a worker does, and every how many milliseconds its event loop is timed."""
    from distributed import get_worker

    clocks = get_worker().periodic_callbacks
    threads = [thread.name for thread in threading.enumerate()]
    return [name for name in [*clocks, *threads] if "profile" in name.lower()], clocks["tick"].callback_time


def _heaps() -> str | None:
    return os.environ.get("MALLOC_ARENA_MAX")


def test_workers_that_dask_has_given_up_are_started_anew_as_the_first_were():
    workers = LocalWorkers(2, say=[].append)
    engine = DaskEngine(workers)
    try:
        assert run(engine, task(0))["unit 0"].value == 0
        cluster = workers._cluster
        for keeper in list(cluster.workers.values()):
            cluster.sync(keeper.close)  # as after a kill while the worker starts: nobody restarts it
        assert {outcome.value for outcome in run(engine, *map(task, range(4))).values()} == {0, 2, 4, 6}
        calls = {"looks": _who_looks_on, "heaps": _heaps}
        told = run(
            engine, *(Task(unit=unit, field=None, call=call, arguments=()) for unit, call in calls.items())
        )
        assert {unit: outcome.value for unit, outcome in told.items()} == {"looks": ([], 1000), "heaps": "1"}
    finally:
        engine.close()


_HELD: list[bytearray] = []


def _fill_memory(share: float) -> str:
    """Hold so much of this worker's memory for good, and let Dask see it."""
    import psutil
    from distributed import get_worker

    manager = get_worker().memory_manager
    while psutil.Process().memory_info().rss < share * manager.memory_limit:
        _HELD.append(bytearray(os.urandom(1 << 20)) * 4)
    time.sleep(0.5)
    return str(manager.memory_pause_fraction)


class _OfACluster:
    """A worker with Dask's own settings, as the jobs of a batch system have them."""

    count = 1

    def start(self, opened):
        from distributed import Client, LocalCluster

        cluster = opened.enter_context(
            LocalCluster(
                n_workers=1, threads_per_worker=1, memory_limit="700MB", dashboard_address="127.0.0.1:0"
            )
        )
        return opened.enter_context(Client(cluster))

    def look_after(self) -> None: ...


def test_a_worker_whose_memory_stays_nearly_full_works_on():
    # Dask pauses workers at 80 % until they have less: a run on a cluster stood still for good
    engine = DaskEngine(_OfACluster())
    look, fill = (
        Task(unit=unit, field=None, call=_fill_memory, arguments=(share,))
        for unit, share in (("look", 0.0), ("fill", 0.87))
    )
    try:
        assert run(engine, look)["look"].value == "False"
        found = run(engine, fill, *map(task, range(3)))
    finally:
        engine.close()
    assert {unit: outcome.value for unit, outcome in found.items()} == {
        "fill": "False",
        "unit 0": 0,
        "unit 1": 2,
        "unit 2": 4,
    }


def test_no_task_is_no_work(engines: dict[int, Engine]):
    assert run(engines[1]) == run(engines[2]) == {}


def test_tasks_run_in_other_processes(engines: dict[int, Engine]):
    here = Task(unit="pid", field=None, call=os.getpid, arguments=())
    assert run(engines[2], here)["pid"].value != os.getpid()
    assert run(engines[1], here)["pid"].value == os.getpid()


def test_the_time_of_a_task_is_its_own(engines: dict[int, Engine]):
    slow = Task(unit="slow", field=None, call=time.sleep, arguments=(0.05,))
    assert 0.05 <= run(engines[1], slow)["slow"].seconds < 1.0


def test_no_task_waits_behind_a_long_one_while_a_worker_is_free(tmp_path: Path):
    """However many are handed out with it, and without what Dask does later against waiting in the wrong place."""
    with dask.config.set({"distributed.scheduler.work-stealing": False}), open_engine(2) as engine:
        for n_quick in (1, 3, 4, 11):
            release = tmp_path / f"{n_quick} are done"
            tasks = [Task(unit=f"{n}", field=None, call=time.sleep, arguments=(0.2,)) for n in range(n_quick)]
            tasks.insert(0, Task(unit="long", field=None, call=_wait_for, arguments=(release,)))
            came = []
            for outcome in engine.run(tasks):
                came.append(outcome.task.unit)
                if len(came) == n_quick:
                    release.touch()
            assert came[-1] == "long"


def test_there_is_at_least_one_core():
    assert available_cores() >= 1


def _wait_for(file: Path) -> None:
    end = time.monotonic() + 30.0
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)


def _gpu() -> tuple[int, str | None]:
    time.sleep(0.05)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def test_each_worker_sees_one_gpu_of_its_own_and_keeps_it():
    tasks = [Task(unit=f"gpu {n}", field=None, call=_gpu, arguments=()) for n in range(24)]
    with open_engine(2, gpus=("GPU-a", "GPU-b")) as engine:
        seen = {outcome.value for outcome in engine.run(tasks)}
    assert len(seen) == 2  # one GPU for one process
    assert {gpu for _, gpu in seen} == {"GPU-a", "GPU-b"}


def _threads() -> tuple[str | None, str | None]:
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS")


def test_a_worker_computes_with_one_thread(engines: dict[int, Engine]):
    told = Task(unit="threads", field=None, call=_threads, arguments=())
    assert run(engines[2], told)["threads"].value == ("1", "1")


def test_nobody_interrupts_a_worker_to_see_what_it_does(engines: dict[int, Engine]):
    looked = Task(unit="looks", field=None, call=_who_looks_on, arguments=())
    assert run(engines[2], looked)["looks"].value == ([], 1000)


def test_no_more_tasks_are_made_than_are_in_flight(engines: dict[int, Engine]):
    made = 0

    def many() -> Iterator[Task]:
        nonlocal made
        for number in range(10_000_000):
            made += 1
            yield task(number)

    outcomes = engines[2].run(many())
    for done in range(1, 41):
        next(outcomes)
        assert made <= done + 4 * 2 * 16  # four a worker, of at most sixteen short ones
    outcomes.close()  # type: ignore[attr-defined]


def _instant(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_short_tasks_travel_together_and_each_ends_once(engines: dict[int, Engine]):
    tasks = [Task(unit=f"short {n}", field=None, call=_instant, arguments=(n,)) for n in range(500)]
    values = [outcome.value for outcome in engines[2].run(tasks)]
    assert sorted(number for number, _ in values) == list(range(500))
    assert len({pid for _, pid in values}) == 2


def test_a_short_task_that_kills_its_worker_takes_no_fellow_traveller_with_it(engines: dict[int, Engine]):
    deadly = Task(unit="deadly", field=FieldId("B02", 0), call=_die, arguments=())
    outcomes = run(engines[2], *map(task, range(100)), deadly, *map(task, range(100, 140)))
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["deadly"]
    assert [outcomes[f"unit {n}"].value for n in range(140)] == [2 * n for n in range(140)]


def test_long_tasks_travel_alone(engines: dict[int, Engine]):
    made = 0

    def slow() -> Iterator[Task]:
        nonlocal made
        for number in range(100):
            made += 1
            yield Task(unit=f"slow {number}", field=None, call=time.sleep, arguments=(0.06,))

    outcomes = engines[2].run(slow())
    for done in range(1, 9):
        next(outcomes)
        assert made <= done + 4 * 2
    outcomes.close()  # type: ignore[attr-defined]


def test_the_scheduler_looks_every_five_seconds_who_hangs():
    workers = LocalWorkers(1, say=[].append)
    engine = DaskEngine(workers)
    try:
        run(engine, task(0))
        scheduler = workers._cluster.scheduler
        assert scheduler.worker_ttl == 60
        assert scheduler.periodic_callbacks["worker-ttl"].callback_time == 5000
    finally:
        engine.close()


def test_workers_that_die_while_they_start_are_started_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
):
    tried: list[int] = []

    def dying(**settings: object) -> None:
        tried.append(1)
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", dying)
    with (
        open_engine(2) as engine,
        pytest.raises(DeviceError, match=r"2 worker processes could not be started, 3 times: Nanny failed"),
    ):
        run(engine, task(0))
    assert len(tried) == 3
