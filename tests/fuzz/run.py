"""Break every kind of input a number of times and look what comes of it: `python -m tests.fuzz.run --cases 5000`.

What is allowed: it is read as if nothing had happened, or refused with an `AssayError` of one clear line, within 5 s
and with little memory. Pixels, labels and decisions of files that hold checksums are as they were, or refused.
"""

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from assay.errors import AssayError
from tests.fuzz.inputs import INPUTS, Input, copy_of

MAX_SECONDS = 5.0
MAX_GROWTH_MB = 500.0


class Hung(BaseException):
    """A case took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one case ended: `refused`, `read`, or a bug."""

    name: str
    number: int
    outcome: str  # refused | read | BUG ...
    detail: str = ""

    @property
    def is_bug(self) -> bool:
        return self.outcome.startswith("BUG")


class Fuzzer:
    """One kind of input, laid out once and copied for each case."""

    def __init__(self, kind: Input, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.template = folder / "whole"
        self.template.mkdir(parents=True)
        self.files = [file.relative_to(self.template) for file in kind.make(self.template)]
        assert self.files, f"{kind.name}: nothing to break"
        with _quiet():
            self.truth = kind.read(copy_of(self.template, folder / "check"))

    def case(self, number: int) -> Verdict:
        """Break one file by the case's own seed, and read."""
        rng = np.random.Generator(np.random.PCG64([number, *self.kind.name.encode()]))
        work = copy_of(self.template, self.folder / "case")
        file = work / self.files[int(rng.integers(len(self.files)))]
        file.write_bytes(self.kind.change(file.read_bytes(), rng))
        if self.kind.after is not None:
            self.kind.after(work)
        outcome, detail = self._read(work)
        return Verdict(name=self.kind.name, number=number, outcome=outcome, detail=detail)

    def _read(self, work: Path) -> tuple[str, str]:
        before = _peak_mb()
        try:
            with _limit(MAX_SECONDS), _quiet():
                found = self.kind.read(work)
        except AssayError as error:
            outcome = _judged(str(error))
        except Hung:
            outcome = "BUG hang", f"more than {MAX_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
            place = traceback.extract_tb(error.__traceback__)
            ours = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
                for frame in place
                if "/assay/" in frame.filename or "/models/" in frame.filename
            ]
            outcome = (
                "BUG exception",
                f"{type(error).__name__}: {str(error)[:160]} at {' < '.join(ours[-3:][::-1])}",
            )
        else:
            same = self.truth is None or found is None or np.array_equal(found, self.truth)
            outcome = ("read", "") if same else ("BUG silent", "read other values without a word")
        if (growth := _peak_mb() - before) > MAX_GROWTH_MB:
            return "BUG memory", f"{growth:.0f} MB more"
        return outcome


def _judged(message: str) -> tuple[str, str]:
    if len(message) > 2000:
        return "BUG message", f"{len(message)} letters: {message[:80]}"
    return "refused", message


def cases(folder: Path, each: int, first: int = 0) -> Iterator[Verdict]:
    """So many cases of every kind."""
    for number, kind in enumerate(INPUTS):
        fuzzer = Fuzzer(kind, folder / str(number))
        for case in range(first, first + each):
            yield fuzzer.case(case)


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hung

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextmanager
def _quiet() -> Iterator[None]:
    """tifffile tells a logger, numpy warns; neither is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    settings: Any = parser.parse_args()
    kinds = [kind for kind in INPUTS if settings.only in kind.name]
    INPUTS[:] = kinds
    each = -(-settings.cases // len(kinds))
    counts: Counter[tuple[str, str]] = Counter()
    bugs: dict[tuple[str, str], list[int]] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for verdict in cases(Path(folder), each, settings.first):
            counts[verdict.name, verdict.outcome] += 1
            if verdict.is_bug:
                bugs.setdefault((f"{verdict.name}: {verdict.outcome}", verdict.detail), []).append(
                    verdict.number
                )
    for (name, outcome), count in sorted(counts.items()):
        sys.stdout.write(f"{count:5d}  {outcome:14s} {name}\n")
    for (name, detail), numbers in sorted(bugs.items()):
        sys.stdout.write(f"{name}: {detail}  [{len(numbers)}: {numbers[:4]}]\n")
    n = sum(counts.values())
    sys.stdout.write(
        f"{n} cases, {sum(map(len, bugs.values()))} bugs, {time.monotonic() - started:.0f} s, peak {_peak_mb():.0f} MB\n"
    )
    return 1 if bugs else 0


if __name__ == "__main__":
    sys.exit(main())
