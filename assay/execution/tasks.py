"""What is run: tasks that know nothing of each other, and how each ended."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from assay.errors import AssayError, DeviceError, StorageError
from assay.stack import FieldId


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

    def ask(self, call: Callable[[], Any]) -> Any:
        """What the machine that does the work answers; only it knows its devices."""


class InProcess:
    """One task after the other, here."""

    workers = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run the tasks in their order."""
        return map(attempt, tasks)

    def ask(self, call: Callable[[], Any]) -> Any:
        """Answer here."""
        return call()


def attempt(task: Task) -> Outcome:
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
