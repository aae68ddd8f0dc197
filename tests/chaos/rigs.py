"""What a worker is made to do in the middle of a run: die, hang, eat memory, or take its time.

Each stands in the place of `segment_runs` and then does what that does. `RIG_MARK` names a file: what is to happen once
happens when it is not there.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.pipeline.pixels import segment_runs
from assay.pipeline.plan import FieldPlan

POISONED_WELL = "B03"


def slow(plan: FieldPlan, runs: Sequence[tuple[int, int]], *rest: Any) -> None:
    """Every unit takes `RIG_SECONDS` longer."""
    time.sleep(float(os.environ.get("RIG_SECONDS", "0.5")))
    segment_runs(plan, runs, *rest)


def deadly(plan: FieldPlan, runs: Sequence[tuple[int, int]], *rest: Any) -> None:
    """One well kills the process that looks at it, as a fault in a decoder does."""
    if plan.field.well == POISONED_WELL:
        os.kill(os.getpid(), signal.SIGKILL)
    segment_runs(plan, runs, *rest)


def greedy(plan: FieldPlan, runs: Sequence[tuple[int, int]], *rest: Any) -> None:
    """One well asks for more memory than there is, bit by bit, until it is stopped."""
    held = []
    while plan.field.well == POISONED_WELL:
        held.append(bytearray(os.urandom(1 << 20) * 16))
        time.sleep(0.02)
    segment_runs(plan, runs, *rest)


def hanging(plan: FieldPlan, runs: Sequence[tuple[int, int]], *rest: Any) -> None:
    """The first unit stops its process: it neither works nor dies, as on a disk that does not answer."""
    if _first():
        os.kill(os.getpid(), signal.SIGSTOP)
    segment_runs(plan, runs, *rest)


def stubborn(plan: FieldPlan, runs: Sequence[tuple[int, int]], *rest: Any) -> None:
    """Every unit is a long call that hears nothing."""
    _mark().touch()
    end = time.monotonic() + float(os.environ.get("RIG_SECONDS", "60"))
    while time.monotonic() < end:
        sum(range(1_000_000))
    segment_runs(plan, runs, *rest)


def _first() -> bool:
    try:
        with _mark().open("x"):
            return True
    except FileExistsError:
        return False


def _mark() -> Path:
    return Path(os.environ["RIG_MARK"])
