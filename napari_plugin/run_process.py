"""The main job in a process of its own, so that neither torch nor a crash ever comes into the viewer.

No Qt: whoever shows it asks `poll` now and then.

    run = RunProcess(run_command(plate, protocol, out))
    for message in run.poll(): ...                 # progress and words, in their order
    run.cancel()                                   # what is done is kept; the same command goes on from there
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Level = Literal["info", "warning", "result"]

PATIENCE_S = 20.0  # after a Ctrl-C, before the process is told to end at once
_KILLED_AFTER_S = 10.0  # after that, before it is ended

EXITS = {
    0: "Finished.",
    2: "Stopped: something must be mended first (see the last line). What is done is kept.",
    3: "Finished, but some fields failed: they are marked in the results, never counted as zero.",
    130: "Cancelled. What is done is kept; Run goes on from there.",
    143: "Ended from outside. What is done is kept; Run goes on from there.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a step is."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A line that was said."""

    text: str
    level: Level


Message = Step | Words


def run_command(
    plate: Path, protocol: Path, out: Path, *, wells: str = "", device: str = "auto"
) -> list[str]:
    """The command line of the main job."""
    command = [*_program(), "run", str(plate), "--protocol", str(protocol), "--out", str(out)]
    command += ["--device", device, "--progress", "json"]
    return [*command, "--wells", wells] if wells.strip() else command


def check_command(plate: Path, protocol: Path | None) -> list[str]:
    """The command line of the check."""
    return [*_program(), "check", str(plate), *(["--protocol", str(protocol)] if protocol else [])]


def protocol_command(plate: Path, protocol: Path) -> list[str]:
    """The command line that writes a protocol from what the images say."""
    return [*_program(), "protocol", str(plate), "-o", str(protocol)]


class RunProcess:
    """One command at work, in a process group of its own."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it."""
        self.command = tuple(command)
        self.cancelled = False
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._timing = _Timing()
        self._cancelled_at = 0.0
        with _ctrl_c_is_heard():
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._listen, args=(stream, level), daemon=True)
            for stream, level in ((self._process.stdout, "result"), (self._process.stderr, "info"))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def exit_code(self) -> int | None:
        """The exit code once it has ended and all it said can be polled; None while it runs."""
        code = self._process.poll()
        if code is None or any(reader.is_alive() for reader in self._readers):
            return None
        return code if code >= 0 else 128 - code

    def poll(self) -> list[Message]:
        """What was said since the last call; also ends what does not heed a cancel."""
        self._press()
        told: list[Message] = []
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, Step):
                self._timing.note(message, time.monotonic())
            told.append(message)
        return told

    def minutes_left(self) -> float | None:
        """Of the step that runs now, by the speed so far; None where that is not known yet."""
        return self._timing.minutes_left(time.monotonic())

    def cancel(self) -> None:
        """Ctrl-C to the whole group; it is ended with more force if it does not heed that (`poll` sees to it)."""
        if self.exit_code is None and not self.cancelled:
            self.cancelled, self._cancelled_at = True, time.monotonic()
            self._signal(signal.SIGINT)

    def close(self) -> None:
        """End it at once and wait: the window closes."""
        for sent in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            if self._process.poll() is not None:
                break
            self._signal(sent)
            try:
                self._process.wait(timeout=3.0)
            except subprocess.TimeoutExpired:
                continue
        for reader in self._readers:
            reader.join(timeout=3.0)

    def _press(self) -> None:
        if self.cancelled and self._process.poll() is None:
            waited = time.monotonic() - self._cancelled_at
            if waited > PATIENCE_S + _KILLED_AFTER_S:
                self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            elif waited > PATIENCE_S:
                self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        try:
            if os.name == "posix":
                os.killpg(self._process.pid, number)
            elif number == signal.SIGINT:
                self._process.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined,unused-ignore]
            else:
                self._process.terminate()
        except ProcessLookupError:
            return

    def _listen(self, stream: IO[str], level: Level) -> None:
        with stream:
            for line in stream:
                self._messages.put(message_of(line.rstrip("\n"), level))


@contextmanager
def _ctrl_c_is_heard() -> Iterator[None]:
    """A process inherits a Ctrl-C that is ignored, as in a napari that a script started with `&`; Cancel would wait in vain."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def message_of(line: str, level: Level = "info") -> Message:
    """What one line of output says: progress where it is such a JSON object, else words."""
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    if isinstance(values, dict) and {"step", "done", "total"} <= values.keys():
        return Step(name=str(values["step"]), done=int(values["done"]), total=int(values["total"]))
    if isinstance(values, dict) and "say" in values:
        return Words(text=str(values["say"]), level="warning" if values.get("level") == "warning" else "info")
    bad = level == "info" and line.startswith(("killassay: ", "Traceback"))
    return Words(text=line, level="warning" if bad else level)


def exit_words(code: int) -> str:
    """What an exit code means to a user."""
    return EXITS.get(
        code, f"Stopped with exit code {code}: this is our bug. Please report it with the lines above."
    )


def minutes_words(minutes: float | None) -> str:
    """Time left as people say it; empty where it is not known."""
    if minutes is None:
        return ""
    if minutes < 1:
        return "less than a minute left"
    if minutes < 90:
        return f"about {round(minutes)} min left"
    return f"about {minutes / 60:.1f} h left"


class _Timing:
    """Speed of the step that runs now, from the units done since it began here."""

    def __init__(self) -> None:
        self._step: Step | None = None
        self._began, self._at_first, self._last = 0.0, 0, 0.0

    def note(self, step: Step, now: float) -> None:
        if self._step is None or self._step.name != step.name:
            self._began, self._at_first = now, step.done
        self._step, self._last = step, now

    def minutes_left(self, now: float) -> float | None:
        step = self._step
        if step is None or step.done <= self._at_first or step.done >= step.total:
            return None
        each = (self._last - self._began) / (step.done - self._at_first)
        return max(0.0, each * (step.total - step.done) - (now - self._last)) / 60.0


def _program() -> list[str]:
    return [sys.executable, "-m", "assay"]
