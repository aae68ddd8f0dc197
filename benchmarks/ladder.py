"""Where the error comes from: one simulated plate, run with ever more true inputs in the place of ours.

    python -m benchmarks.ladder --scenario adherent_standard --seed 501 --work FOLDER --json F

Simulates the plate, finds the cells by our outlines and by the true ones (both kept in FOLDER, so that the second
time takes seconds), then climbs: all ours; true outlines; true tracks too; true contacts too; true deaths too. Beside
it, ours with a single true input, and two simple rules of who did it on our own tracks and deaths. Every rung goes
through the pipeline's own steps; the scores are those of `killassay score`.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ladder_films import Outlines, find_cells, make_plate
from benchmarks.ladder_rungs import RUNGS, Stage, climb, make_stage
from benchmarks.tables import figure, markdown_table

COLUMNS = {
    "end-to-end F1": "end_to_end_f1",
    "kill F1": "kill_f1",
    "top effector right": "kill_top_effector_right",
    "death F1 in window": "death_f1_within_window",
    "contact episode F1": "contact_episode_f1",
    "edge F1 effectors": "effector_edge_f1",
    "edge F1 targets": "target_edge_f1",
    "kills true": "kill_n_true",
    "called": "kill_n_called",
    "kills per well: bias": "well_kills_bias",
    "absolute": "well_kills_absolute_error",
    "relative": "well_kills_relative_error",
}

Scores = dict[str, Any]


def ladder_of(
    work: Path,
    *,
    scenario: str,
    seed: int,
    replicates: int = 1,
    n_frames: int | None = None,
    only: Sequence[str] = (),
) -> dict[str, Scores]:
    """Climb all rungs of one plate.

    Args:
        work: Folder of this plate; what is there is kept.
        scenario: What is simulated.
        seed: Of the simulation.
        replicates: Wells per condition.
        n_frames: Length of the films; the scenario's own when None.
        only: Names of rungs; empty for all.

    Returns:
        Rung -> scores, as `killassay score --json` writes them, and the processor seconds that the rung took.
    """
    plate = make_plate(work, scenario=scenario, seed=seed, replicates=replicates, n_frames=n_frames)
    pixels: dict[Outlines, Path] = {}
    stages: dict[tuple[Outlines, bool], Stage] = {}
    scores: dict[str, Scores] = {}
    for rung in RUNGS:
        if only and rung.name not in only:
            continue
        started = time.process_time()
        if rung.outlines not in pixels:
            pixels[rung.outlines] = find_cells(plate, rung.outlines)
        wanted = (rung.outlines, rung.true_tracks)
        if wanted not in stages:
            stages[wanted] = make_stage(plate, rung, pixels[rung.outlines])
        scores[rung.name] = climb(stages[wanted], rung).as_dict()
        scores[rung.name]["cpu_s"] = time.process_time() - started
        logging.info("%s: %s", rung.name, figure(scores[rung.name]["end_to_end_f1"]))
    return scores


def table_of(scores: Mapping[str, Scores]) -> str:
    """One line a rung."""
    rows = [[name, *(_cell(each.get(key)) for key in COLUMNS.values())] for name, each in scores.items()]
    return markdown_table(["input", *COLUMNS], rows)


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, int) else figure(value)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for plates and what is kept of them")
    parser.add_argument("--replicates", type=int, default=1, help="wells per condition")
    parser.add_argument("--frames", type=int, default=None)
    parser.add_argument("--rungs", default="", help="only these, by name, with commas between")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    scores = ladder_of(
        given.work / f"{given.scenario}-{given.seed}",
        scenario=given.scenario,
        seed=given.seed,
        replicates=given.replicates,
        n_frames=given.frames,
        only=[name.strip() for name in given.rungs.split(",") if name.strip()],
    )
    if given.json is not None:
        given.json.write_text(json.dumps(scores, indent=1))
    sys.stdout.write(f"{table_of(scores)}\n")


if __name__ == "__main__":
    main()
