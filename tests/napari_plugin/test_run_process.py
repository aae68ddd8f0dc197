import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from napari_plugin import run_process
from napari_plugin.run_process import (
    Message,
    RunProcess,
    Step,
    Words,
    check_command,
    exit_words,
    message_of,
    minutes_words,
    run_command,
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def to_the_end(process: RunProcess, *, within_s: float = 30.0) -> tuple[int, list[Message]]:
    told: list[Message] = []
    limit = time.monotonic() + within_s
    while time.monotonic() < limit:
        code = process.exit_code
        told += process.poll()
        if code is not None:
            return code, told
        time.sleep(0.01)
    process.close()
    raise AssertionError(f"still running; said {told}")


def until_said(process: RunProcess, text: str) -> None:
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        if any(isinstance(one, Words) and one.text == text for one in process.poll()):
            return
        time.sleep(0.01)
    raise AssertionError(f"never said {text!r}")


def test_progress_and_words_come_in_their_order_and_none_is_lost():
    code = """
import json, sys
for n in range(300):
    print(json.dumps({"step": "segmentation", "done": n, "total": 300}), file=sys.stderr)
print("B02: 14 kills")
"""
    exit_code, told = to_the_end(RunProcess(python(code)))
    assert exit_code == 0
    steps = [one.done for one in told if isinstance(one, Step)]
    assert steps == list(range(300))
    assert Words(text="B02: 14 kills", level="result") in told


@pytest.mark.parametrize("started", ["in the foreground", "in the background, where Ctrl-C is ignored"])
def test_cancel_sends_ctrl_c_and_the_job_may_clean_up(started: str):
    code = """
import sys, time
try:
    print("working", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("what is done is kept", flush=True)
    sys.exit(130)
"""
    heard = signal.default_int_handler if started == "in the foreground" else signal.SIG_IGN
    before = signal.signal(signal.SIGINT, heard)
    try:
        process = RunProcess(python(code))
        assert signal.getsignal(signal.SIGINT) is heard
    finally:
        signal.signal(signal.SIGINT, before)
    until_said(process, "working")
    process.cancel()
    exit_code, told = to_the_end(process)
    assert exit_code == 130
    assert Words(text="what is done is kept", level="result") in told
    assert "Cancelled. What is done is kept" in exit_words(exit_code)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_cancel_reaches_the_workers_of_the_job_too():
    code = """
import subprocess, sys
code = "import time; print('up', flush=True); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
try:
    print(worker.stdout.readline().strip(), flush=True)
    worker.wait()
except KeyboardInterrupt:
    worker.wait(timeout=10)  # whether it ended: an interrupted wait may lose with which code
    print("worker ended", flush=True)
    sys.exit(130)
"""
    process = RunProcess(python(code))
    until_said(process, "up")
    process.cancel()
    exit_code, told = to_the_end(process)
    assert exit_code == 130
    assert any(isinstance(one, Words) and one.text == "worker ended" for one in told)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_job_that_does_not_heed_ctrl_c_is_terminated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_process, "PATIENCE_S", 0.2)
    code = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
    process = RunProcess(python(code))
    until_said(process, "deaf")
    process.cancel()
    assert to_the_end(process)[0] == 128 + signal.SIGTERM


def test_closing_the_window_leaves_no_job_behind():
    process = RunProcess(python("import time; print('up', flush=True); time.sleep(60)"))
    until_said(process, "up")
    process.close()
    assert process.exit_code is not None


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ('{"step": "tracking", "done": 1, "total": 6}', "info", Step(name="tracking", done=1, total=6)),
        ('{"say": "failed: B02", "level": "warning"}', "info", Words(text="failed: B02", level="warning")),
        ("killassay: no such plate", "info", Words(text="killassay: no such plate", level="warning")),
        ("[1, 2]", "result", Words(text="[1, 2]", level="result")),
        ("{broken", "info", Words(text="{broken", level="info")),
    ],
)
def test_a_line_is_progress_only_where_it_is_such_an_object(line: str, level: str, message: Message):
    assert message_of(line, level) == message


def test_time_left_is_from_the_speed_of_the_units_done_here():
    timing = run_process._Timing()
    timing.note(Step(name="segmentation", done=10, total=40), 0.0)  # 10 were there already
    assert timing.minutes_left(0.0) is None
    timing.note(Step(name="segmentation", done=12, total=40), 60.0)  # 30 s each, 28 to go
    assert timing.minutes_left(60.0) == pytest.approx(14.0)
    assert timing.minutes_left(120.0) == pytest.approx(13.0)
    timing.note(Step(name="tracking", done=0, total=6), 100.0)
    assert timing.minutes_left(100.0) is None


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(None, ""), (0.4, "less than a minute left"), (12.4, "about 12 min left"), (150.0, "about 2.5 h left")],
)
def test_time_left_is_said_as_people_say_it(minutes: float | None, words: str):
    assert minutes_words(minutes) == words


def test_the_commands_are_those_of_the_command_line():
    plate, protocol = Path("p.zarr"), Path("p.toml")

    def after_module(command: Sequence[str]) -> list[str]:
        assert command[:3] == [sys.executable, "-m", "assay"]
        return list(command[3:])

    assert after_module(check_command(plate, protocol)) == ["check", "p.zarr", "--protocol", "p.toml"]
    run = after_module(run_command(plate, protocol, Path("r"), wells="B02"))
    assert run[:2] == ["run", "p.zarr"]
    assert run[-4:] == ["--progress", "json", "--wells", "B02"]


def test_an_unknown_exit_code_is_called_our_bug():
    assert "our bug" in exit_words(1)
