"""Run a list of independent tasks: in this process, or on Dask workers on this machine.

The only importer of dask.distributed. Tasks carry paths and small values, never arrays; what they make lies on
disk, with a commit record of its own, before they return. So any engine may die at any moment, and none of
them decides what the answer is.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
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
            DeviceError: The device is gone; nothing further is started.
        """


class InProcess:
    """One task after the other, here."""

    workers = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks in their order."""
        return map(_attempt, tasks)


class DaskEngine:
    """Dask workers, one thread each, with a bounded window of tasks in flight."""

    def __init__(self, client: Any, workers: int) -> None:
        self._client = client
        self.workers = workers

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks, a window at a time; a worker that dies is replaced and its task tried again."""
        from distributed import as_completed

        waiting = iter(tasks)
        running: dict[Any, Task] = {}
        finished = as_completed()

        def submit_next() -> None:
            for task in itertools.islice(waiting, 1):
                future = self._client.submit(
                    _attempt, task, pure=False, key=f"{task.unit}-{time.monotonic_ns()}"
                )
                running[future] = task
                finished.add(future)

        for _ in range(_WINDOW_PER_WORKER * self.workers):
            submit_next()
        try:
            for future in finished:
                yield _outcome_of(future, running.pop(future))
                submit_next()
        finally:
            self._client.cancel(list(running))


def open_engine(workers: int) -> AbstractContextManager[Engine]:
    """An engine with so many workers; with one there is no scheduler at all."""
    return nullcontext(InProcess()) if workers <= 1 else _LocalCluster(workers)


def available_cores() -> int:
    """Cores this process may use (a batch system or container may give fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _LocalCluster(AbstractContextManager[Engine]):
    def __init__(self, workers: int) -> None:
        self._workers = workers

    def __enter__(self) -> Engine:
        import dask
        from distributed import Client, LocalCluster

        with dask.config.set(
            {
                "distributed.scheduler.allowed-failures": _DEATHS_ALLOWED,
                "distributed.scheduler.worker-ttl": "120s",
                "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
                "distributed.worker.memory.target": False,
                "distributed.worker.memory.spill": False,
                "distributed.worker.memory.pause": False,
            }
        ):
            self._cluster = LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port, so that two runs on a machine do not meet
                silence_logs=50,
            )
            self._client = Client(self._cluster)
        return DaskEngine(self._client, self._workers)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):  # the work is done or given up; slow good-byes change nothing
            self._client.close(timeout=10)
            self._cluster.close(timeout=30)


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
        error = f"{task.unit}: not enough memory. Run with fewer workers, or on a machine with more."
    return Outcome(task=task, value=value, error=error, seconds=time.perf_counter() - start)


def _outcome_of(future: Any, task: Task) -> Outcome:
    from distributed.scheduler import KilledWorker

    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        message = (
            f"{task.unit}: the worker died {_DEATHS_ALLOWED + 1} times on it, most likely for lack of memory. "
            "Run with fewer workers, or on a machine with more memory."
        )
        return Outcome(task=task, value=None, error=message, seconds=0.0)
    return outcome
