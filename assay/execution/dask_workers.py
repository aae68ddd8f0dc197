"""The same tasks on Dask workers, of this machine or of a cluster: a bounded window of them in flight.

Tasks carry paths and small values, never arrays; what they make lies on disk, with a commit record of its own, before
they return. So any worker, and the scheduler too, may die at any moment, and none of them decides what the answer is.
"""

import asyncio
import functools
import itertools
import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar

from assay.errors import DeviceError
from assay.execution.machine import leave_where_memory_ends, memory_limit
from assay.execution.tasks import Outcome, Task, attempt

_WINDOW_PER_WORKER = 4  # tasks in flight; bounds what the scheduler holds, whatever the plate's size
_SMALL_GROUP = 2  # times as many tasks as threads: of so few the scheduler keeps none until a worker is free
_MOMENT_S, _MOST_TOGETHER = 0.1, 16  # tasks shorter than that travel together; real work goes one at a time
_DEATHS_ALLOWED = 2  # a task that takes more workers than this with it is given up
_LOOK_EVERY_S, _HANGING_AFTER_S = 5.0, 60  # how often it is looked whether the workers are well
_STARTS, _TO_LEAVE_S = 3, 1.0  # what a worker gets to end by itself

# Dask's profilers and clocks of delays want the interpreter's lock hundreds of times a second: 8 % of two workers' time.
_UNWATCHED = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}
# The heap is kept between frames, not handed back and faulted in again; one for all threads: each with its own would keep a sixth more.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_ARENA_MAX": "1",
    **{f"DASK_{name.upper().replace('.', '__')}": str(value) for name, value in _UNWATCHED.items()},
}
DASK_SETTINGS = {
    **_UNWATCHED,
    "distributed.scheduler.allowed-failures": _DEATHS_ALLOWED,
    "distributed.scheduler.worker-saturation": 1.0,  # a task of a large group waits at no worker, none dies of its neighbour
    "distributed.scheduler.worker-ttl": f"{_HANGING_AFTER_S}s",  # a worker that hangs is given up after so long
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}

Answer = TypeVar("Answer")


class Workers(Protocol):
    """Where the worker processes come from."""

    count: int  # as many as there may be

    def start(self, opened: ExitStack) -> Any:
        """Start them, or ask for them; gives a Dask client. What must be ended is told to `opened`."""

    def look_after(self) -> None:
        """Replace those that are gone. Called now and then while tasks run.

        Raises:
            DeviceError: No worker will come.
        """


class Ended:
    """Says how many workers ended while there was work for them: each takes what it had begun with it, unseen."""

    def __init__(self, say: Callable[[str], None], why: str) -> None:
        """Take who is told, and what is most likely behind it."""
        self._say, self._why = say, why
        self._seen: set[str] = set()
        self._said = 0

    def look(self, cluster: Any) -> None:
        """Count those that are gone since the last look; said at the first, the second, the fourth, the eighth."""
        here = set(dict.keys(cluster.scheduler.workers))  # at once: the scheduler goes on in its own thread
        self._seen |= here
        n = len(self._seen - here)
        if n >= max(1, 2 * self._said):
            self._said = n
            workers = "1 worker" if n == 1 else f"{n} workers"
            self._say(f"{workers} ended at work so far; what was begun is done again. {self._why}")


class LocalWorkers:
    """Processes of this machine, one thread each; Dask replaces those that die, and we those that it gives up."""

    def __init__(self, count: int, *, say: Callable[[str], None]) -> None:
        self.count = count
        self._cluster: Any = None
        self._ended = Ended(say, "Most likely memory is short: if more end, run with fewer workers.")

    def start(self, opened: ExitStack) -> Any:
        """Start the processes, reachable from this machine only."""
        import dask
        from distributed import Client

        opened.enter_context(dask.config.set(DASK_SETTINGS))  # until the end, for workers started anew
        with _killed_workers_unmentioned():
            cluster = self._local_cluster()
            opened.callback(give_up_on, cluster.close, 30)
            opened.callback(_end_soon, cluster)
            look_for_hanging(cluster)
            client = Client(cluster)
            opened.callback(give_up_on, client.close, 10)
        self._cluster = cluster
        return client

    def _local_cluster(self) -> Any:
        """Processes and scheduler; a process that is killed while it starts fails the whole start, so it is tried again."""
        from distributed import LocalCluster, system

        whole = min(system.MEMORY_LIMIT, memory_limit() or system.MEMORY_LIMIT)
        for left in reversed(range(_STARTS)):
            try:
                return LocalCluster(
                    n_workers=self.count,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=whole // self.count,  # who takes more is ended before the system ends anyone
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any free port, so that two runs on a machine do not meet
                    silence_logs=50,
                )
            except RuntimeError as error:
                if not left:
                    raise DeviceError(
                        f"{self.count} worker processes could not be started, {_STARTS} times: {error} Run with fewer "
                        "workers, or look whether memory or the number of processes is limited (`killassay doctor`)."
                    ) from error
        raise AssertionError("no start was tried")

    def look_after(self) -> None:
        """Start anew those whose keeper died with them: a worker that is killed while it starts is not started again."""
        from distributed.core import Status

        self._ended.look(self._cluster)
        ended = (Status.closed, Status.failed)
        ask_again(
            self._cluster,
            [name for name, keeper in dict(self._cluster.workers).items() if keeper.status in ended],
            n=self.count,
        )


class DaskEngine:
    """A bounded window of tasks in flight on workers that are started when the first task comes.

    A run that finds everything done waits for no process.
    """

    def __init__(self, workers: Workers, *, run_one: Callable[[Task], Outcome] = attempt) -> None:
        """Take workers, and how one of them runs a task."""
        self.workers = workers.count
        self._workers, self._run_one, self._opened = workers, run_one, ExitStack()
        self._client: Any = None
        self._looked_at = time.monotonic()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks, a window at a time; a worker that dies is replaced and its task tried again.

        A worker that dies takes down what waits on it as well, so who is to blame is not known: the tasks that
        workers died on are tried once more at the end, each of them alone.
        """
        waiting = iter(tasks)
        if not (window := list(itertools.islice(waiting, _WINDOW_PER_WORKER * self.workers))):
            return
        if len(window) <= _SMALL_GROUP * self.workers:
            window, waiting = window[: self.workers], itertools.chain(window[self.workers :], waiting)
        client = self._started()
        running: dict[Any, tuple[Task, ...]] = {}
        suspects: list[Task] = []
        alone = False
        together = 1
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def submit(*some: tuple[Task, ...]) -> None:
            keys = [f"units-{time.monotonic_ns()}-{n}" for n in range(len(some))]  # of one name: one group
            futures = client.map(functools.partial(_attempt_all, self._run_one), some, pure=False, key=keys)
            for future, tasks in zip(futures, some, strict=True):
                running[future] = tasks
                future.add_done_callback(finished.put)

        try:
            submit(*((task,) for task in window))
            while running:
                future = self._next(finished)
                some = running.pop(future)
                if _killed(future) and not alone:
                    suspects += some
                else:
                    outcomes = _outcomes_of(future, some)
                    if outcomes is None:  # its worker died with the answer: it is done again
                        running[future] = some
                        future.add_done_callback(finished.put)
                        self._workers.look_after()
                        continue
                    together = _as_many_as_take_a_moment(outcomes)
                    yield from outcomes
                if more := tuple(itertools.islice(waiting, together)):
                    submit(more)
                if not running and suspects:
                    alone = True
                    submit((suspects.pop(0),))
        finally:
            client.cancel(list(running))

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """What a worker answers, for what only it can know."""
        future = self._started().submit(call, pure=False)
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        future.add_done_callback(finished.put)
        while True:
            with suppress(TimeoutError):
                answer: Answer = _result_of(self._next(finished))
                return answer
            future.add_done_callback(finished.put)

    def close(self) -> None:
        """End the workers, if there are any."""
        self._client = None
        self._opened.close()

    def _next(self, finished: "queue.SimpleQueue[Any]") -> Any:
        """The next task that ended; while it is waited for, the workers are looked after."""
        while True:
            if time.monotonic() - self._looked_at > _LOOK_EVERY_S:  # also where answers come without a pause
                self._looked_at = time.monotonic()
                self._workers.look_after()
            with suppress(queue.Empty):
                future = finished.get(timeout=_LOOK_EVERY_S)
                if future.done():
                    return future
                future.add_done_callback(finished.put)  # its worker died with the answer: it is done again

    def _started(self) -> Any:
        if self._client is None:
            self._opened.enter_context(_only_we_speak())
            self._client = self._workers.start(self._opened)
            self._client.register_plugin(at_work())
        return self._client


@contextmanager
def _only_we_speak() -> Iterator[None]:
    """What goes wrong with a scheduler is said once, by us, in one line; Dask would print where in its code it was."""
    import distributed  # sets levels of its own, logger by logger

    theirs = (distributed.__name__, "tornado", "asyncio")
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in theirs]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _end_soon(cluster: Any) -> None:
    """End the worker processes, also those in the middle of a unit: what they have not committed is done again."""

    async def end() -> None:
        keepers = list(cluster.workers.values())
        await asyncio.gather(
            *(keeper.close(timeout=_TO_LEAVE_S) for keeper in keepers), return_exceptions=True
        )

    with suppress(TimeoutError):
        cluster.sync(end, callback_timeout=10 * _TO_LEAVE_S)


@contextmanager
def _killed_workers_unmentioned() -> Iterator[None]:
    """Python's tracker of semaphores would warn of those that killed workers held; it reads this once, when it starts."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker:UserWarning")))
    try:
        resource_tracker.ensure_running()
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def attempt_on_gpu(gpus: tuple[str, ...], task: Task) -> Outcome:
    """Run one task in a process that sees one GPU of several, always the same."""
    take_one_gpu(gpus)
    return attempt(task)


@functools.cache
def take_one_gpu(gpus: tuple[str, ...]) -> None:
    """Of several GPUs each worker takes its own, before torch looks."""
    from distributed import get_worker

    number = str(get_worker().name).rpartition("-")[2]
    if len(gpus) > 1 and number.isdigit():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(number) % len(gpus)]


def look_for_hanging(cluster: Any) -> None:
    """Let the scheduler look often who hangs: by itself it looks once a minute, and may notice after two."""
    cluster.scheduler.periodic_callbacks["worker-ttl"].callback_time = 1000 * _LOOK_EVERY_S


def ask_again(cluster: Any, gone: Sequence[Any], **wanted: int) -> None:
    """Let a Dask cluster forget the workers or jobs that are gone, and start as many as are wanted: n, or jobs."""
    if gone:
        cluster.sync(cluster.scale_down, gone)
    if len(cluster.workers) < sum(wanted.values()):
        cluster.scale(**wanted)


def give_up_on(close: Callable[..., Any], seconds: int) -> None:
    """Close in so many seconds or not at all: the work is done or given up, slow good-byes change nothing."""
    with suppress(TimeoutError):
        close(timeout=seconds)


def at_work() -> Any:
    """What every worker is told: neither Ctrl-C nor the size of its memory is a reason to stop working, and who goes first.

    Ctrl-C on a terminal reaches every process of the run; this one ends the workers, in order. Dask pauses a worker at 80 % of its
    memory until it has less, which ours never has: it keeps its heap. The limit still ends a worker. A cluster's workers lack our
    settings, so they are told. Where memory ends, the system shall end a worker, which is replaced, not the process that hands out the work.
    """
    from distributed import WorkerPlugin
    from distributed.core import Status

    class AtWork(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            leave_where_memory_ends(worker.memory_manager.memory_limit)
            worker.memory_manager.memory_pause_fraction = False
            if worker.status == Status.paused:
                worker.status = Status.running

    return AtWork()


def _killed(future: Any) -> bool:
    from distributed.scheduler import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _attempt_all(run_one: Callable[[Task], Outcome], some: tuple[Task, ...]) -> list[Outcome]:
    """One task, or several short ones that travel together: to hand out one takes some milliseconds."""
    return [run_one(task) for task in some]


def _as_many_as_take_a_moment(outcomes: Sequence[Outcome]) -> int:
    """How many tasks like these are worth one way to a worker and back."""
    mean_s = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
    return max(1, min(_MOST_TOGETHER, int(_MOMENT_S / max(mean_s, 1e-6))))


def _outcomes_of(future: Any, some: tuple[Task, ...]) -> list[Outcome] | None:
    """How tasks ended; None where the answer does not come, because the worker that holds it is dying."""
    if _killed(future):
        return [Outcome(task=task, value=None, error=_gave_up_on(task), seconds=0.0) for task in some]
    try:
        outcomes: list[Outcome] = _result_of(future)
    except TimeoutError:
        if future.status == "error":
            raise
        return None
    return outcomes


def _gave_up_on(task: Task) -> str:
    return (
        f"{task.unit}: the worker died {_DEATHS_ALLOWED + 1} times on it, most likely for lack of memory. "
        "Run with fewer workers, or on a machine with more memory."
    )


def _result_of(future: Any) -> Any:
    from distributed import CancelledError
    from distributed.client import FutureCancelledError

    try:
        return future.result(timeout=_LOOK_EVERY_S)
    except (CancelledError, FutureCancelledError):
        raise DeviceError(
            "the Dask scheduler that handed out the work is gone. What is done is kept: run the same command again."
        ) from None
