"""One worker against two on real work: the shipped model on a simulated plate, by workers here or by Slurm jobs.

    python -m benchmarks.scaling [--frames 96] [--size 1024 1024] [--fields 4] [--json F]
    python -m tests.chaos.slurm_node python -m benchmarks.scaling --slurm     # on a Slurm made for it, as root

A worker has a core, as on a cluster: the run with one worker is kept to one core, and each Slurm job to one. Left alone, one worker
reads and packs on the other core meanwhile (`--free`), and two gain less over it. Runs take turns (1, 2, 1, 2), each `killassay run`
in a process of its own, and the quicker of two counts. Segmentation is from the first line that says it begins to the next step's;
the whole run has start-up, tracking, credit and report in it. On an idle machine only: two workers want two cores, and of a virtual
machine's the host may give a part to others: "stolen".
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.mosaic import write_plate

ROUNDS = 2
CLUSTER = (
    '[cluster]\nkind = "slurm"\njobs = {jobs}\nmemory = "3GB"\nwalltime = "01:00:00"\ninterface = "lo"\n'
)
ONE_CORE = "prologue = ['taskset -cp $((SLURM_JOB_ID % 2)) $$']\n"  # jobs take turns; clusters bind them by themselves


def timed_run(plate: Path, protocol: Path, out: Path, how: list[str], on: list[str]) -> dict[str, float]:
    """Seconds of a run, whole and of its segmentation."""
    command = [
        *on, sys.executable, "-m", "assay", "run", str(plate), "--protocol", str(protocol), "--out", str(out),
        "--progress", "json", *how,
    ]  # fmt: skip
    started, stolen = time.perf_counter(), stolen_s()
    begun: dict[str, float] = {}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            told = json.loads(line) if line.startswith("{") else {"say": line}
            if "step" in told:
                begun.setdefault(told["step"], time.perf_counter())
            elif told.get("level") != "info":
                print(told["say"].strip(), file=sys.stderr)
    whole = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return {
        "whole_s": whole,
        "segmentation_s": begun["tracking"] - begun["segmentation"],
        "stolen": (stolen_s() - stolen) / whole / (os.cpu_count() or 1),
    }


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
        for name, (words, on) in ways.items():
            out = folder / "results"
            figures = timed_run(plate, protocol, out, words, on)
            shutil.rmtree(out)
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
    parser.add_argument("--work", type=Path, help="folder on a disk that the jobs see, kept; must be empty")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    folder = given.work or Path(tempfile.mkdtemp(prefix="killassay-scaling-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'':<16}{'segmentation':>12}{'whole run':>12}{'stolen':>10}")
    try:
        figures = benchmark(folder, given)
    finally:
        if given.work is None:
            shutil.rmtree(folder, ignore_errors=True)
    times = figures["times"]
    print(
        f"twice the workers: {times['segmentation']:.2f} times as fast in segmentation, {times['whole']:.2f} in the "
        f"whole run; {figures['frames']} frames of {given.size[0]} x {given.size[1]} px, load at the end {figures['load']:.1f}"
    )
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
