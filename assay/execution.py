"""Run a list of independent tasks: in this process, or on Dask workers on this machine.

The only importer of dask.distributed. Tasks carry paths and small values, never arrays; what they make lies on
disk, with a commit record of its own, before they return. So any engine may die at any moment, and none of
them decides what the answer is.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from assay.errors import AssayError, DeviceError, StorageError
from assay.stack import FieldId

_WINDOW_PER_WORKER = 4  # tasks in flight; bounds what the scheduler holds, whatever the plate's size
_DEATHS_ALLOWED = 2  # a task that takes more workers than this with it is given up

# The heap is kept between frames instead of being handed back and faulted in again.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
}
_DASK_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS_ALLOWED,
    "distributed.scheduler.worker-saturation": 1.0,  # a task waits at no worker: none dies of its neighbour
    "distributed.scheduler.worker-ttl": "120s",
    "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One unit of work: a function and its arguments, both picklable."""

    unit: str  # unique name, as it stands in the ledger
    field: FieldId | None  # the field that fails with it; None for the whole plate
    call: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended; `error` is what the user can mend, None where all went well."""

    task: Task
    value: Any
    error: str | None
    seconds: float


class Engine(Protocol):
    """Runs tasks and hands back each as it ends, in any order."""

    workers: int

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run all tasks.

        Raises:
            StorageError: The disk refuses; nothing further is started.
            DeviceError: The device is gone or memory is full; nothing further is started.
        """


class InProcess:
    """One task after the other, here."""

    workers = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks in their order."""
        return map(_attempt, tasks)


class DaskEngine:
    """Dask workers on this machine, one thread each, with a bounded window of tasks in flight.

    They are started when the first task comes: a run that finds everything done waits for no process.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._opened = ExitStack()
        self._client: Any = None

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks, a window at a time; a worker that dies is replaced and its task tried again.

        A worker that dies takes down what waits on it as well, so who is to blame is not known: the tasks that
        workers died on are tried once more at the end, each of them alone.
        """
        from distributed import as_completed

        waiting = iter(tasks)
        window = list(itertools.islice(waiting, _WINDOW_PER_WORKER * self.workers))
        if not window:
            return
        client = self._started()
        running: dict[Any, Task] = {}
        suspects: list[Task] = []
        alone = False
        finished = as_completed(loop=client.loop)

        def submit(task: Task) -> None:
            key = f"{task.unit}-{time.monotonic_ns()}"
            future = client.submit(_attempt, task, pure=False, key=key)
            running[future] = task
            finished.add(future)

        try:
            for task in window:
                submit(task)
            for future in finished:
                task = running.pop(future)
                if _killed(future) and not alone:
                    suspects.append(task)
                else:
                    yield _outcome_of(future, task)
                for task in itertools.islice(waiting, 1):
                    submit(task)
                if not running and suspects:
                    alone = True
                    submit(suspects.pop(0))
        finally:
            client.cancel(list(running))

    def close(self) -> None:
        """End the workers, if there are any."""
        self._client = None
        self._opened.close()

    def _started(self) -> Any:
        if self._client is None:
            import dask
            from distributed import Client, LocalCluster

            with dask.config.set(_DASK_SETTINGS):
                cluster = LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any free port, so that two runs on a machine do not meet
                    silence_logs=50,
                )
                self._opened.callback(_give_up_on, cluster.close, 30)
                self._client = Client(cluster)
                self._opened.callback(_give_up_on, self._client.close, 10)
            self._client.register_plugin(_deaf_to_interrupts())
        return self._client


def _give_up_on(close: Callable[..., Any], seconds: int) -> None:
    """Close in so many seconds or not at all: the work is done or given up, slow good-byes change nothing."""
    with suppress(TimeoutError):
        close(timeout=seconds)


def _deaf_to_interrupts() -> Any:
    """Ctrl-C on a terminal reaches every process of the run; this one ends the workers, in order."""
    from distributed import WorkerPlugin

    class DeafToInterrupts(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return DeafToInterrupts()


@contextmanager
def open_engine(workers: int) -> Iterator[Engine]:
    """An engine with so many workers; with one there is no scheduler at all."""
    if workers <= 1:
        yield InProcess()
        return
    engine = DaskEngine(workers)
    try:
        yield engine
    finally:
        engine.close()


def available_cores() -> int:
    """Cores this process may use (a batch system or container may give fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _attempt(task: Task) -> Outcome:
    """Run one task; what a user can mend becomes part of the outcome, what stops everything is raised."""
    start = time.perf_counter()
    error: str | None = None
    value: Any = None
    try:
        value = task.call(*task.arguments)
    except (StorageError, DeviceError):
        raise
    except AssayError as problem:
        error = str(problem)
    except MemoryError:
        raise DeviceError(
            f"{task.unit}: not enough memory. Run with fewer workers, or on a machine with more; what is done is kept."
        ) from None
    return Outcome(task=task, value=value, error=error, seconds=time.perf_counter() - start)


def _killed(future: Any) -> bool:
    from distributed.scheduler import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _outcome_of(future: Any, task: Task) -> Outcome:
    if _killed(future):
        message = (
            f"{task.unit}: the worker died {_DEATHS_ALLOWED + 1} times on it, most likely for lack of memory. "
            "Run with fewer workers, or on a machine with more memory."
        )
        return Outcome(task=task, value=None, error=message, seconds=0.0)
    outcome: Outcome = future.result()
    return outcome
