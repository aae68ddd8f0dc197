"""One worker against two on real work: the shipped model on a simulated plate, by workers here or by Slurm jobs.

    python -m benchmarks.scaling [--frames 96] [--size 1024 1024] [--fields 4] [--json F]
    python -m tests.chaos.slurm_node python -m benchmarks.scaling --slurm     # on a Slurm made for it, as root

A worker has a core, as on a cluster: the run with one worker is kept to one core, and each Slurm job to one. Left alone, one worker
reads and packs on the other core meanwhile (`--free`), and two gain less over it. How fast a virtual machine is changes by a fifth
within minutes, so the two runs, each `killassay run`, take turns of seconds: all processes of one stand still (SIGSTOP) while the other's
work, and each has a clock that goes in its own turns. Slurm's jobs cannot be stopped from here, so there, and with `--apart`,
one run follows the other. The quicker of `--rounds` counts. Segmentation is from the first line that says it begins to
the next step's; the whole run has start-up, tracking, credit and report in it (`--segmentation` ends the runs where tracking begins: long
films, in which what each worker does once counts little, in half the time). On an idle machine only: two workers want two
cores, and of a virtual machine's the host may give a part to others: "stolen".
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.mosaic import write_plate

ROUNDS = 1
TURN_S, ALL_DAY_S = 5.0, 86400.0
CLUSTER = (
    '[cluster]\nkind = "slurm"\njobs = {jobs}\nmemory = "3GB"\nwalltime = "01:00:00"\ninterface = "lo"\n'
)
ONE_CORE = "prologue = ['taskset -cp $((SLURM_JOB_ID % 2)) $$']\n"  # jobs take turns; clusters bind them by themselves


class TimedRun:
    """A run in a session of its own, with a clock that stands while it is stopped."""

    def __init__(
        self, plate: Path, protocol: Path, out: Path, how: list[str], on: list[str], *, whole: bool
    ) -> None:
        command = [
            *on, sys.executable, "-m", "assay", "run", str(plate), "--protocol", str(protocol), "--out", str(out),
            "--progress", "json", *how,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )
        self._worked_s, self._stolen_s, self._whole = 0.0, 0.0, whole
        self._since: tuple[float, float] | None = time.perf_counter(), stolen_s()
        self._begun: dict[str, float] = {}  # step -> when, by the own clock
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def work(self, seconds: float) -> bool:
        """Go on for so long or until the end; whether it is not reached."""
        if self._since is None:
            self._since = time.perf_counter(), stolen_s()
            os.killpg(self._process.pid, signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._reader.join()
            self._stop_clock()
            if self._process.returncode:
                raise SystemExit(f"the run ended with exit code {self._process.returncode}")
            return False
        os.killpg(self._process.pid, signal.SIGSTOP)
        self._stop_clock()
        if not self._whole and "tracking" in self._begun:
            self.end()
            return False
        return True

    def end(self) -> None:
        """Leave no process behind."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def figures(self) -> dict[str, float]:
        """Seconds of the whole run and of its segmentation, and the share of the cores that was stolen."""
        return {
            "segmentation_s": self._begun["tracking"] - self._begun["segmentation"],
            "whole_s": self._worked_s,
            "stolen": self._stolen_s / self._worked_s / (os.cpu_count() or 1),
        }

    def _stop_clock(self) -> None:
        assert self._since is not None
        self._worked_s += time.perf_counter() - self._since[0]
        self._stolen_s += stolen_s() - self._since[1]
        self._since = None

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            told = json.loads(line) if line.startswith("{") else {"say": line}
            if "step" in told:
                since = self._since
                here = self._worked_s + (time.perf_counter() - since[0] if since else 0.0)
                self._begun.setdefault(told["step"], here)
            elif told.get("level") != "info":
                print(told["say"].strip(), file=sys.stderr)


def in_turns(runs: list[TimedRun], turn_s: float) -> None:
    """Let one after the other work for a turn, until all are at their end."""
    try:
        while runs:
            runs = [run for run in runs if run.work(turn_s)]
    finally:
        for run in runs:
            run.end()


def stolen_s() -> float:
    """Seconds of processor that the host of this virtual machine gave to others since it started; 0 where nobody says."""
    stat = Path("/proc/stat")
    return (
        int(stat.read_text().split("\n")[0].split()[8]) / os.sysconf("SC_CLK_TCK") if stat.is_file() else 0.0
    )


def ways_of(folder: Path, *, slurm: bool, free: bool) -> dict[str, tuple[list[str], list[str]]]:
    """What one and two workers are called, the words of the command line for them, and what keeps them to a core."""
    if not slurm:
        one_core = [] if free else ["taskset", "-c", "0"]
        return {"1 worker": (["--workers", "1"], one_core), "2 workers": (["--workers", "2"], [])}
    ways: dict[str, tuple[list[str], list[str]]] = {}
    for jobs in (1, 2):
        path = folder / f"cluster{jobs}.toml"
        path.write_text(CLUSTER.format(jobs=jobs) + ("" if free else ONE_CORE))
        ways[f"{jobs} Slurm job{'s' * (jobs > 1)}"] = ["--cluster", str(path)], []
    return ways


def _results(folder: Path, name: str) -> Path:
    return folder / name.replace(" ", "-")  # batch systems misread spaces


def benchmark(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Make the plate and let the ways take turns."""
    plate = folder / "scaling.zarr"
    size = (given.size[0], given.size[1])
    protocol = write_plate(
        plate, wells=2, fields=max(1, given.fields // 2), frames=given.frames, size_px=size
    )
    ways = ways_of(folder, slurm=given.slurm, free=given.free)
    best: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for together in [[name] for name in ways] if given.slurm or given.apart else [list(ways)]:
            runs = {}
            for name in together:
                words, on = ways[name]
                runs[name] = TimedRun(
                    plate, protocol, _results(folder, name), words, on, whole=not given.segmentation
                )
                runs[name].work(0.0)  # starts, and stands until it is its turn
            in_turns(list(runs.values()), TURN_S if len(runs) > 1 or given.segmentation else ALL_DAY_S)
            for name, run in runs.items():
                figures = run.figures()
                shutil.rmtree(_results(folder, name))
                took = "".join(f"{figures[key]:>10.1f} s" for key in ("segmentation_s", "whole_s"))
                print(f"{name:<16}{took}{figures['stolen']:>10.1%}", flush=True)
                before = best.get(name, figures)
                best[name] = {key: min(before[key], figures[key]) for key in figures}
    one, two = best.values()
    return {
        "frames": 2 * max(1, given.fields // 2) * given.frames,
        "size_px": size,
        "best": best,
        "times": {key.removesuffix("_s"): one[key] / two[key] for key in one if key.endswith("_s")},
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, default=4, help="of two wells together")
    parser.add_argument("--frames", type=int, default=96, help="frames per film")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("Y", "X"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--slurm", action="store_true", help="Slurm jobs instead of workers of this machine")
    parser.add_argument("--free", action="store_true", help="do not keep workers to a core each")
    parser.add_argument("--segmentation", action="store_true", help="end the runs where tracking begins")
    parser.add_argument("--apart", action="store_true", help="one run after the other, not in turns")
    parser.add_argument("--work", type=Path, help="folder on a disk that the jobs see, kept; must be empty")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    folder = given.work or Path(tempfile.mkdtemp(prefix="killassay-scaling-"))
    folder.mkdir(parents=True, exist_ok=True)
    run = "up to there" if given.segmentation else "whole run"
    print(f"{'':<16}{'segmentation':>12}{run:>12}{'stolen':>10}")
    try:
        figures = benchmark(folder, given)
    finally:
        if given.work is None:
            shutil.rmtree(folder, ignore_errors=True)
    times = figures["times"]
    print(
        f"twice the workers: {times['segmentation']:.2f} times as fast in segmentation, {times['whole']:.2f} in the "
        f"run {'up to there' if given.segmentation else 'as a whole'}; {figures['frames']} frames of {given.size[0]} x {given.size[1]} px, load at the end {figures['load']:.1f}"
    )
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
