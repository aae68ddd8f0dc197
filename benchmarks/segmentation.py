"""How well a model finds cells in simulated films it never saw, with a naive baseline beside it.

    python -m benchmarks.segmentation [--model NAME] [--seeds 701,702] [--scenarios a,b] [--last-frame 24]
                                      [--json F] [--markdown F]

About 8 s of processor per film of 25 frames, 20 films. Scored are four frames from the first to the last; with
`--last-frame 119` late ones too, with many dead cells.

Films with seeds below 1000000 are never trained on; 501 to 520 are for developing. The baseline is Otsu's
threshold on the logarithm of counts and a watershed (`benchmarks.classical`). For targets under an effector
(`benchmarks.overlap`), the truth flattened to one class per pixel stands beside: the best that a single softmax
could reach.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.labels import CELL_ROLES, CHANNEL_ROLES, Segmenter
from assay.simulate.film import simulate_film
from assay.simulate.scenario import SCENARIOS, scenario_named
from benchmarks.classical import Classical
from benchmarks.overlap import count_under, flattened, under_effectors
from benchmarks.tables import figure, markdown_table
from models.devices import one_thread
from models.training.dataset import TrainingFrame
from models.training.evaluate import Counts, Tally, tally_frame
from models.weights import load_model

LAST_FRAME, N_SCORED = 24, 4
STANDARD = "adherent_standard"
WITHOUT = (
    ("brightfield",),
    ("death", "brightfield"),
    ("effector",),
    ("target",),
    ("effector", "target"),
    ("effector", "target", "death"),
)
LEAST_UNDER = 0.75  # IoU for targets under an effector
BARS = {"target": 0.95, "effector": 0.93}
BRIGHTFIELD_BAR, UNDER_BAR, CLASS_BAR = 0.90, 0.85, 0.99
METHODS = ("model", "baseline")


def film_frames(name: str, seed: int, *, last_frame: int = LAST_FRAME) -> list[TrainingFrame]:
    """Frames of one film as the model sees them, with their truth; frames the scenario spoils are left out."""
    scenario = scenario_named(name)
    film = simulate_film(scenario, seed=seed, n_frames=last_frame + 1)
    spoilt = {frame for frame, _ in scenario.optics.bad_frames}
    frames = [frame for frame in scored_frames(last_frame) if frame not in spoilt]
    images = [film.images(frame) for frame in frames]
    brightness = measure_brightness(images)
    roles = {role: [number] for number, (role, _) in enumerate(scenario.channels)}
    seen = []
    for frame, image in zip(frames, images, strict=True):
        slots, present = role_slots(image[None], brightness, roles)
        truth = film.truth(frame)
        seen.append(
            TrainingFrame(
                slots=slots[0],
                present=np.array(present),
                effectors=truth.of("effector").astype(np.int32),
                targets=truth.of("target").astype(np.int32),
            )
        )
    return seen


def scored_frames(last_frame: int) -> list[int]:
    """Frames evenly spread over the film, both ends among them."""
    return [round(frame) for frame in np.linspace(0, last_frame, N_SCORED)]


def without_channels(frame: TrainingFrame, roles: Sequence[str]) -> TrainingFrame:
    """The frame as if these channels had not been filmed."""
    kept = frame.present & np.array([role not in roles for role in CHANNEL_ROLES])
    return replace(frame, slots=frame.slots * kept[:, None, None], present=kept)


class Row:
    """One line of the tables: sums over the frames of a scenario."""

    def __init__(self) -> None:
        self.tallies = {method: {role: Tally() for role in CELL_ROLES} for method in METHODS}
        self.under = {name: Counts() for name in (*METHODS, "one class per pixel", "its largest pieces")}
        self.n_under = 0

    def add(
        self, frame: TrainingFrame, segmenters: Mapping[str, Segmenter], pixel_um: tuple[float, float]
    ) -> None:
        """Score all methods on one frame."""
        for method, segmenter in segmenters.items():
            [found] = segmenter.segment(frame.slots[None], present=frame.present.tolist(), pixel_um=pixel_um)
            for role, tally in tally_frame(found, frame).items():
                self.tallies[method][role] += tally
            self.under[method] += count_under(found.targets, frame, least_iou=LEAST_UNDER)
        for name, one_piece in (("one class per pixel", False), ("its largest pieces", True)):
            best = flattened(frame, in_one_piece=one_piece)
            self.under[name] += count_under(best, frame, least_iou=LEAST_UNDER)
        self.n_under += int(under_effectors(frame).sum())

    def figures(self) -> dict[str, Any]:
        """As numbers."""
        shares = {
            method: {role: tally.figures() for role, tally in of.items()}
            for method, of in self.tallies.items()
        }
        under = {name: counts.ap for name, counts in self.under.items()}
        return {**shares, "under_effectors": {"ap75": under, "targets": self.n_under}}


def main() -> None:
    """Print the tables."""
    given = _arguments()
    one_thread()
    model = load_model(given.model, device="cpu", precision=given.precision)
    segmenters: dict[str, Segmenter] = {"model": model, "baseline": Classical()}
    seeds = [int(seed) for seed in given.seeds.split(",")]
    rows: dict[str, Any] = {}
    for label, frames, pixel_um in _frames(given.scenarios.split(","), seeds, given.last_frame):
        row = Row()
        for frame in frames:
            row.add(frame, segmenters, pixel_um)
        rows[label] = row.figures()
        print(f"{label}: " + ", ".join(_cells(rows[label], "model")), flush=True)
    figures = {
        "model": dict(model.identity),
        "seeds": seeds,
        "frames": scored_frames(given.last_frame),
        "rows": rows,
    }
    page = report(figures)
    print("\n" + page)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if given.markdown:
        given.markdown.write_text(page + "\n", encoding="utf-8")


def _frames(
    scenarios: Sequence[str], seeds: Sequence[int], last_frame: int
) -> Iterator[tuple[str, list[TrainingFrame], tuple[float, float]]]:
    standard: list[TrainingFrame] = []
    for name in scenarios:
        frames = [frame for seed in seeds for frame in film_frames(name, seed, last_frame=last_frame)]
        yield name, frames, scenario_named(name).pixel_um
        standard = frames if name == STANDARD else standard
    for roles in WITHOUT if standard else ():
        label = "standard without " + ", ".join(roles)
        yield label, [without_channels(frame, roles) for frame in standard], scenario_named(STANDARD).pixel_um


def report(figures: Mapping[str, Any]) -> str:
    """The tables as markdown."""
    rows, model = figures["rows"], figures["model"]
    head = (
        "frames",
        *(
            f"{role}s {what}"
            for role in CELL_ROLES
            for what in ("AP50", "AP75", "F1", "class", "baseline AP50")
        ),
    )
    lines = [
        f"Model {model['model']}, {model['numerics']}; seeds {', '.join(map(str, figures['seeds']))}, frames "
        f"{', '.join(map(str, figures['frames']))} of each film.",
        "",
        markdown_table(head, [(name, *_cells(row, "model", "baseline")) for name, row in rows.items()]),
        "",
        "Targets under an effector (effectors cover a tenth of them or more), AP75:",
        "",
        _under_table(rows),
        "",
        *_verdicts(rows),
    ]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any], method: str, beside: str = "") -> list[str]:
    cells = []
    for role in CELL_ROLES:
        of = row[method][role]
        cells += [
            figure(of["ap50"]),
            figure(of["ap75"]),
            figure(of["f1_50"]),
            figure(of["class_right"], digits=4),
        ]
        cells += [figure(row[beside][role]["ap50"])] if beside else [f"({of['cells']})"]
    return cells


def _under_table(rows: Mapping[str, Any]) -> str:
    names = ("model", "one class per pixel", "its largest pieces", "baseline")
    table = []
    for label, row in rows.items():
        under = row["under_effectors"]
        if under["targets"] and not label.startswith("standard without"):
            table.append((label, str(under["targets"]), *(figure(under["ap75"][name]) for name in names)))
    head = (
        "frames",
        "targets",
        "model",
        "one class per pixel, at best",
        "the same, connected cells",
        "baseline",
    )
    return markdown_table(head, table)


def _verdicts(rows: Mapping[str, Any]) -> list[str]:
    """The bars that were set beforehand, and the row that comes worst off."""
    dyed = {name: row for name, row in rows.items() if name in SCENARIOS and name != "brightfield"}
    dark = {
        name: row
        for name, row in rows.items()
        if name in ("brightfield", "standard without effector, target, death")
    }
    lines = []
    for role, bar in BARS.items():
        lines.append(_worst(f"{role}s AP50", {n: r["model"][role]["ap50"] for n, r in dyed.items()}, bar))
        lines.append(
            _worst(f"{role}s class", {n: r["model"][role]["class_right"] for n, r in dyed.items()}, CLASS_BAR)
        )
        lines.append(_worst(f"brightfield only, {role}s AP50", {n: r["model"][role]["ap50"] for n, r in dark.items()},
                            BRIGHTFIELD_BAR))  # fmt: skip
    under = {n: r["under_effectors"]["ap75"]["model"] for n, r in dyed.items() if n == "overlap"}
    lines.append(_worst("targets under an effector AP75", under, UNDER_BAR))
    return [line for line in lines if line]


def _worst(what: str, values: Mapping[str, float], bar: float) -> str:
    known = {name: value for name, value in values.items() if value == value}
    if not known:
        return ""
    name = min(known, key=lambda key: known[key])
    verdict = "reached" if known[name] >= bar else "not reached"
    return f"- {what}: bar {bar:g} {verdict}, worst {known[name]:.3f} ({name})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="standard", help="name, or the path of a model's card")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seeds", default="701,702")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--last-frame", type=int, default=LAST_FRAME)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
