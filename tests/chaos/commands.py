"""Runs of `killassay` in processes of their own, on a small plate, and what came out of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from assay.io.results import Results
from tests.assay.pipeline.test_run import digest
from tests.small_plates import PROTOCOL, film, write_small_plate

ROOT = Path(__file__).parents[2]
WELLS = ("B02", "B03", "B04", "C02")
N_FRAMES = 36  # three units a well


@dataclass(frozen=True)
class Experiment:
    """A small plate, its protocol, and what a run that nobody disturbs makes of it."""

    plate: Path
    protocol: Path
    undisturbed: dict[str, str]

    def words(self, out: Path, *more: str) -> list[str]:
        """The command line of the main job."""
        return ["run", str(self.plate), "--protocol", str(self.protocol), "--out", str(out), *more]


def make_experiment(folder: Path) -> Experiment:
    """Write the plate and run it once."""
    films = {well: film(N_FRAMES, effectors=well != "C02", seed=n + 3) for n, well in enumerate(WELLS)}
    plate = write_small_plate(folder / "small.zarr", films)
    protocol = folder / "small.toml"
    protocol.write_text(PROTOCOL)
    experiment = Experiment(plate, protocol, {})
    done = killassay("none", experiment.words(folder / "undisturbed"))
    assert done.returncode == 0, done.stderr
    return Experiment(plate, protocol, digest(folder / "undisturbed"))


def killassay(rig: str, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with started(rig, words, **environment) as process:
        out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextmanager
def started(
    rig: str, words: list[str], *, before: Callable[[], None] | None = None, **environment: str
) -> Iterator["subprocess.Popen[str]"]:
    """Start it in a group of processes of its own, which is ended whatever happens.

    Ctrl-C reaches it, also where these tests run in the background, whose processes do not hear it.
    """

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            before()

    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.rigged", rig, *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def wait_until(happened: Callable[[], object], *, seconds: float = 600.0) -> float:
    """Seconds until it happened.

    Raises:
        TimeoutError: It did not.
    """
    start = time.monotonic()
    while not happened():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - start


def units_done(out: Path, step: str = "pixels") -> int:
    """Commit records of a step."""
    return len(list((out / "ledger" / step).glob("*.json")))


def processes_of(group: int) -> dict[int, str]:
    """Processes of a session that live, zombies left out: number -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, IndexError):
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == group and state != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def workers_of(group: int) -> list[int]:
    """The worker processes of a run."""
    return [pid for pid, words in processes_of(group).items() if "spawn_main" in words and pid != group]


def failures(out: Path) -> dict[tuple[str, str], str]:
    """What the ledger says of failed units."""
    return Results.open(out).ledger.failures()
