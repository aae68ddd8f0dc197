"""Which settings of the decoding find most cells, on films that nothing is scored on.

    python -m benchmarks.decode_sweep [--model NAME] [--seeds 501,502] [--scenarios a,b] [--json FILE]

The network runs once a frame; then one setting after another is varied around `models.decode.SETTINGS`, pooled
over all frames of all films. Only films with seeds from 501 to 520 are allowed: those that a figure is quoted
from must not have chosen anything.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from assay.labels import CELL_ROLES, CellRole
from assay.simulate.scenario import scenario_named
from benchmarks.segmentation import film_frames
from models.decode import SETTINGS, DecodeSettings, decode
from models.devices import one_thread
from models.training.evaluate import Counts, count_matches
from models.weights import load_model

SCENARIOS = "adherent_standard,et5,suspension,overlap,nuclei"
CHOSEN_ON = range(501, 521)
VARIED: Mapping[CellRole, Mapping[str, Sequence[float]]] = {
    "effector": {
        "min_foreground": (0.35, 0.4, 0.45, 0.55),
        "min_heat": (0.15, 0.2, 0.25, 0.3, 0.4),
        "seed_radius_um": (1.3, 1.6, 2.6, 3.2),
        "capture_um": (3.0, 4.0, 6.5, 8.0),
        "most_jump": (0.03, 0.06, 0.1),
        "min_area_um2": (8.0, 12.0, 20.0, 25.0),
    },
    "target": {
        "min_foreground": (0.35, 0.4, 0.45, 0.55),
        "min_heat": (0.2, 0.25, 0.3, 0.35, 0.45, 0.5),
        "seed_radius_um": (2.0, 2.5, 4.0, 5.0),
        "capture_um": (5.0, 7.0, 12.0, 15.0),
        "most_jump": (0.0, 0.06, 0.09, 0.15, 0.2),
        "min_area_um2": (8.0, 25.0, 40.0),
    },
}
LEAST_IOU = (0.5, 0.75)
Frame = tuple[torch.Tensor, Mapping[CellRole, np.ndarray], tuple[float, float], str]


def main() -> None:
    """Print a table per role."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="standard")
    parser.add_argument("--seeds", default="501,502")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    if not set(seeds) <= set(CHOSEN_ON):
        parser.error(f"settings are chosen on films {CHOSEN_ON[0]} to {CHOSEN_ON[-1]} only, got {seeds}")
    one_thread()
    frames = list(_frames(options.model, seeds, options.scenarios.split(",")))
    rows: dict[str, dict[str, float]] = {}
    for role in CELL_ROLES:
        base = SETTINGS[role]
        print(f"{role}s: {base}")
        settings = {"as it is": base} | {
            f"{name} {value:g}": dataclasses.replace(base, **{name: value})
            for name, values in VARIED[role].items()
            for value in values
        }
        for what, one in settings.items():
            rows[f"{role} {what}"] = figures = _scored(frames, role, one)
            shown = "   ".join(f"{name} {value:.4f}" for name, value in figures.items())
            print(f"  {what:24}{shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _frames(model_name: str, seeds: Sequence[int], scenarios: Sequence[str]) -> Iterator[Frame]:
    model = load_model(model_name, device="cpu", precision="auto")
    for name in scenarios:
        for seed in seeds:
            for frame in film_frames(name, seed):
                maps = torch.from_numpy(model.maps(frame.slots, present=frame.present.tolist()))
                yield maps, {role: frame.of(role) for role in CELL_ROLES}, scenario_named(name).pixel_um, name


def _scored(frames: Sequence[Frame], role: CellRole, settings: DecodeSettings) -> dict[str, float]:
    """AP over all frames, and the worst scenario's."""
    start = 4 * CELL_ROLES.index(role)
    counts: dict[tuple[str, float], Counts] = {}
    for maps, truth, pixel_um, name in frames:
        cells = decode(
            maps[start : start + 4], other_foreground=maps[4 - start], pixel_um=pixel_um, settings=settings
        )
        for least in LEAST_IOU:
            found = count_matches(cells.labels, truth[role], least_iou=least)
            counts[name, least] = counts.get((name, least), Counts()) + found
    names = sorted({name for name, _ in counts})
    pooled = {least: sum((counts[name, least] for name in names), Counts()) for least in LEAST_IOU}
    worst = min(names, key=lambda name: counts[name, 0.5].ap)
    return {
        "AP50": pooled[0.5].ap,
        "AP75": pooled[0.75].ap,
        "F1": pooled[0.5].f1,
        f"AP50 of {worst}": counts[worst, 0.5].ap,
    }


if __name__ == "__main__":
    main()
