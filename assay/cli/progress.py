"""How a long command tells where it is: a bar on a terminal, plain lines elsewhere, JSON lines for other programs."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_SECONDS_BETWEEN_LINES = 10.0


class Reporter:
    """Shows steps and their progress on stderr; results go to stdout."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._total = self._done = 0
        self._last_line = 0.0

    @contextmanager
    def live(self) -> Iterator[Self]:
        """Show bars while the block runs, where there is a terminal to show them on."""
        if self.quiet or not sys.stderr.isatty():
            yield self
            return
        with Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        ) as bars:
            self._bars = bars
            try:
                yield self
            finally:
                self._bars = None

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins: how many units it has, how many are there already."""
        self._step, self._total, self._done = step, total, done
        self._last_line = time.monotonic()
        if self._bars is not None:
            self._task = self._bars.add_task(step, total=total, completed=done)
        elif not self.quiet:
            already = f", {done} already done" if done else ""
            self._console.print(f"{step}: {total - done} to do{already}", markup=False)

    def advance(self) -> None:
        """One more unit is done."""
        self._done += 1
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task)
        elif not self.quiet and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(f"{self._step}: {self._done} of {self._total}", markup=False)

    def say(self, line: str) -> None:
        """Tell something worth knowing."""
        if not self.quiet:
            self._console.print(plain(line), markup=False)

    def detail(self, line: str) -> None:
        """Tell something that only --verbose users want to know."""
        if self.verbose:
            self.say(line)


class JsonReporter(Reporter):
    """The same for another program: one JSON object a line on stderr, each step and each unit of it at once.

    `{"step": "segmentation", "done": 3, "total": 24}`, or `{"say": "failed: ..."}` with "level" "info" or "warning".
    """

    @contextmanager
    def live(self) -> Iterator[Self]:
        """Nothing to draw."""
        yield self

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""
        self._step, self._total, self._done = step, total, done
        self._tell(step=step, done=done, total=total)

    def advance(self) -> None:
        """One more unit is done."""
        self._done += 1
        self._tell(step=self._step, done=self._done, total=self._total)

    def say(self, line: str) -> None:
        """Tell something worth knowing."""
        loud = line.startswith(("WARNING", "failed"))
        self._tell(say=plain(line), level="warning" if loud else "info")

    def _tell(self, **values: Any) -> None:
        sys.stderr.write(json.dumps(values) + "\n")
        sys.stderr.flush()


def plain(line: str) -> str:
    """Names come from files: no control characters reach a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in line)
