"""What a frame costs beside StarDist and Cellpose 3: processor time of one thread, network and cells.

    python -m benchmarks.peers --peers-python VENV/bin/python [--model NAME] [--rounds 3] [--json F] [--markdown F]

About 4 minutes, most of them Cellpose's. The others live in an environment of their own, so that the product does
not depend on them: `python -m venv VENV && VENV/bin/pip install stardist tensorflow-cpu cellpose==3.1.1.2 torch`.

One simulated frame of 2048 x 2048 px with about 2000 cells. Each program runs in a process with one thread and the
same settings of the allocator; they take turns, and the least of the rounds counts. The others' published weights
are not at hand, so their networks have random ones, which cost the same; their cells come from ideal maps of the
same frame, made with their own code, because random maps would hold no cells. Reading, normalising and resampling
of the others are left out; ours are all in. They find one label image, ours two (effectors and targets).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from benchmarks.tables import markdown_table

SIDE_PX = 2048
TARGETS_PER_MM2 = 575.0  # with as many effectors: 2000 cells in such a frame
SEED = 502
MOST_THREADS = 1.1  # processor seconds per second by the clock; more is more than one thread
BARS = {"StarDist": 5.0, "Cellpose 3": 40.0}
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
         "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1",
    ),
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}  # fmt: skip


def main() -> None:
    """Entry point."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.npz"
        n_cells = write_scene(scene, side_px=given.side)
        figures = contest(scene, given)
    figures["frame"] = {"side_px": given.side, "cells": n_cells, "seed": SEED}
    page = report(figures)
    print(page)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if given.markdown:
        given.markdown.write_text(page + "\n", encoding="utf-8")


def write_scene(path: Path, *, side_px: int) -> int:
    """Simulate the frame and write what each program gets; gives how many cells it holds."""
    standard = scenario_named("adherent_standard")
    targets = replace(standard.targets, density_per_mm2=TARGETS_PER_MM2)
    scenario = replace(standard, shape_px=(side_px, side_px), targets=targets)
    film = simulate_film(scenario, seed=SEED, n_frames=1)
    image, truth = film.images(0), film.truth(0)
    roles = {role: [number] for number, (role, _) in enumerate(scenario.channels)}
    slots, present = role_slots(image[None], measure_brightness([image]), roles)
    effectors, targets_seen = truth.effectors.astype(np.int32), truth.targets.astype(np.int32)
    shift = int(effectors.max())
    flat = np.where(effectors > 0, effectors, np.where(targets_seen > 0, targets_seen + shift, 0))
    _, number = np.unique(flat, return_inverse=True)  # 0 stays 0, no holes
    labels = number.reshape(flat.shape).astype(np.int32)
    role_of = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    role_of[labels[effectors > 0]] = 1
    role_of[labels[(effectors == 0) & (targets_seen > 0)]] = 2
    np.savez(path, image=image, slots=slots[0], present=np.array(present), labels=labels, roles=role_of)
    return int(labels.max())


def contest(scene: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Let the programs take turns."""
    ours = [
        sys.executable,
        "-m",
        "benchmarks.peer_ours",
        str(scene),
        given.model,
        given.precision,
        *given.widths,
    ]
    commands = {"killassay": ours}
    if given.peers_python:
        python = str(given.peers_python)
        commands["StarDist"] = [python, "-m", "benchmarks.peer_stardist", "serve", str(scene)]
        commands["Cellpose 3"] = [python, "-m", "benchmarks.peer_cellpose", str(scene)]
    rounds = {"killassay": given.rounds, "StarDist": given.rounds, "Cellpose 3": given.cellpose_rounds}
    programs = {name: Program(name, command) for name, command in commands.items() if rounds[name]}
    try:
        for program in programs.values():
            program.warm()
        for turn in range(max(rounds.values())):
            for name, program in programs.items():
                if turn < rounds[name]:
                    program.take_turn()
    finally:
        for program in programs.values():
            program.end()
    return {
        "programs": {name: program.figures() for name, program in programs.items()},
        "machine": {"processor": platform.processor() or platform.machine(), "load": os.getloadavg()[0],
                    "cores": os.cpu_count()},
    }  # fmt: skip


class Program:
    """One program in a process of its own, and what its jobs cost."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD},
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self.about = self._reply()
        self.turns: list[dict[str, dict[str, float]]] = []

    def warm(self) -> None:
        """Once without counting, so that compiled code and the allocator settle; but a minute of network is long."""
        for job in self.about["jobs"]:
            if (self.name, job) != ("Cellpose 3", "network"):
                self._ask(job)

    def take_turn(self) -> None:
        """Run every job once."""
        self.turns.append({job: self._ask(job) for job in self.about["jobs"]})

    def figures(self) -> dict[str, Any]:
        """Least processor time of each job, and how many threads there were at the most."""
        least = {job: min(turn[job]["cpu_s"] for turn in self.turns) for job in self.about["jobs"]}
        threads = max(cost["cpu_s"] / cost["wall_s"] for turn in self.turns for cost in turn.values())
        answers = {job: cost["answer"] for job, cost in self.turns[-1].items() if "answer" in cost}
        return {**self.about, "cpu_s": least, "found": answers, "threads": threads, "rounds": len(self.turns),
                "parts": parts_of(self.name, least)}  # fmt: skip

    def end(self) -> None:
        """Let the process go."""
        _stream(self._process.stdin).close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _ask(self, job: str) -> Any:
        stdin = _stream(self._process.stdin)
        stdin.write(job + "\n")
        stdin.flush()
        return self._reply()

    def _reply(self) -> Any:
        line = _stream(self._process.stdout).readline()
        if not line:
            raise SystemExit(f"{self.name}: its process ended; its own words are above.")
        return json.loads(line)


def parts_of(name: str, cpu_s: dict[str, float]) -> dict[str, float]:
    """Network and cells of one program, in processor seconds.

    Of StarDist's two ways to call its network the cheaper counts. Our cells are all that the whole way takes
    beyond the network: maps brought back, averaged and decoded, for two roles.
    """
    if name == "killassay":
        return {
            "network": cpu_s["network"],
            "cells": max(0.0, cpu_s["all of it"] - cpu_s["network of the model"]),
        }
    network = min(seconds for job, seconds in cpu_s.items() if job.startswith("network"))
    return {"network": network, "cells": cpu_s["cells"]}


def report(figures: dict[str, Any]) -> str:
    """The table, with the bars that were set beforehand."""
    frame, machine, programs = figures["frame"], figures["machine"], figures["programs"]
    whole = {name: sum(program["parts"].values()) for name, program in programs.items()}
    rows = []
    for name, program in programs.items():
        parts, ratio = program["parts"], whole[name] / whole["killassay"]
        bar = f"{ratio:.1f} (bar {BARS[name]:g})" if name in BARS else "1"
        versions = ", ".join(f"{package} {number}" for package, number in program["versions"].items())
        cells = max((n for n in program["found"].values() if isinstance(n, int)), default=0)
        rows.append(
            (name, f"{parts['network']:.2f}", f"{parts['cells']:.3f}", f"{whole[name]:.2f}", bar, str(cells),
             f"{program['threads']:.2f}", str(program["rounds"]), f"{versions}; {program['settings']}")
        )  # fmt: skip
    head = (
        "",
        "network, CPU-s",
        "cells, CPU-s",
        "together",
        "times ours",
        "cells found",
        "threads",
        "rounds",
        "what",
    )
    lines = [
        f"One frame of {frame['side_px']} x {frame['side_px']} px, {frame['cells']} cells, one thread each, "
        f"{machine['cores']} cores, load {machine['load']:.1f}.",
        "",
        markdown_table(head, rows),
    ]
    crowded = [name for name, program in programs.items() if program["threads"] > MOST_THREADS]
    if crowded:
        lines += [
            "",
            f"More than one thread was at work in {', '.join(crowded)}: its figures are processor time all the same.",
        ]
    return "\n".join(lines)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers-python", type=Path, help="python of the others' environment; ours alone without"
    )
    parser.add_argument("--model", default="standard")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--widths", nargs="?", default=(), type=lambda text: (text,), help="e.g. 32,64,128,256"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cellpose-rounds", type=int, default=1, help="0 leaves it out")
    parser.add_argument("--side", type=int, default=SIDE_PX)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
