"""Whether a model knows when it is wrong: its confidence against what is true, and what makes it doubt a field.

    python -m benchmarks.confidence [--model NAME] [--seeds 701,702] [--scenarios a,b] [--json FILE]

A cell is right where it matches a true cell of its role at an intersection over union of 0.5 (0.7 beside it).
Rows are of the cells that stand in the results; those that the model holds for wrong and does not call are in the
rows that say so. Films with seeds below 1000000 are neither trained on nor calibrated on. Baselines: the plain
product of vote concentration, foreground and heat, and the concentration alone.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.brightness import measure_brightness, role_slots
from assay.labels import CELL_ROLES, Doubt
from assay.segmentation_quality import doubts_table, segmentation_warnings
from assay.simulate.film import simulate_film
from assay.simulate.scenario import Scenario, scenario_named
from models.confidence import Confidence, curve_of
from models.decode import SETTINGS, product_scores
from models.devices import one_thread
from models.predictor import LEAST_CONFIDENCE, Predictor
from models.training.calibrate import right_cells
from models.weights import card_of, load_model

SCENARIOS = "adherent_standard,suspension,et5,overlap,nuclei,brightfield,late_death,mock,sample"
STANDARD_LIKE = ("adherent_standard", "suspension", "late_death", "mock")
WITHOUT: tuple[tuple[str, ...], ...] = (
    ("brightfield",),
    ("death", "brightfield"),
    ("effector",),
    ("target",),
    ("effector", "target"),
    ("effector", "target", "death"),
)
FRAMES, N_FRAMES, BINS = (0, 12, 24), 25, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Cells of some frames: what was said of each, and whether it was right."""

    confidence: NDArray[np.float64]
    product: NDArray[np.float64]
    concentration: NDArray[np.float64]
    right: NDArray[np.bool_]
    right_70: NDArray[np.bool_]

    def figures(self) -> dict[str, float]:
        """One row of the table."""
        return {
            "cells": float(len(self.right)),
            "right": float(self.right.mean()) if len(self.right) else float("nan"),
            "said": float(self.confidence.mean()) if len(self.right) else float("nan"),
            "auroc": auroc(self.confidence, self.right),
            "auroc_iou70": auroc(self.confidence, self.right_70),
            "ece": calibration_error(self.confidence, self.right),
            "auroc_product": auroc(self.product, self.right),
            "ece_product": calibration_error(self.product, self.right),
            "auroc_concentration": auroc(self.concentration, self.right),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFrame:
    """One frame as the model sees it."""

    name: str
    slots: NDArray[np.float32]
    present: tuple[bool, ...]
    truth: dict[str, NDArray[np.int32]]
    pixel_um: tuple[float, float]


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Chance that a right cell has the higher score than a wrong one, ties half; NaN where one kind lacks."""
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if not n_right or not n_wrong:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[right].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def calibration_error(scores: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance of what is said from what is true, over bins of equally many cells."""
    if not len(scores):
        return float("nan")
    parts = np.array_split(np.argsort(scores, kind="stable"), bins)
    return float(sum(len(p) * abs(scores[p].mean() - right[p].mean()) for p in parts if len(p)) / len(scores))


def reliability(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """(said, true, cells) of each bin."""
    parts = np.array_split(np.argsort(scores, kind="stable"), BINS)
    return [(float(scores[p].mean()), float(right[p].mean()), len(p)) for p in parts if len(p)]


def film_frames(
    name: str, images: Sequence[NDArray[np.uint16]], scenario: Scenario, without: Sequence[str] = ()
) -> Iterator[tuple[NDArray[np.float32], tuple[bool, ...]]]:
    """Slots and presence of each image, on the brightness of them all."""
    brightness = measure_brightness(images)
    roles = {role: [n] for n, (role, _) in enumerate(scenario.channels) if role not in without}
    for image in images:
        slots, present = role_slots(image[None], brightness, roles)
        yield slots[0], present


def score_cells(model: Predictor, confidence: Confidence, frame: FilmFrame) -> dict[str, Scored]:
    """Both roles' cells of one frame, those too unlikely to be called included."""
    shape = (frame.slots.shape[1], frame.slots.shape[2])
    found = model.found(frame.slots, present=frame.present, pixel_um=frame.pixel_um)
    scored = {}
    for role, of_role in found.items():
        image, features = of_role.cells.labels, of_role.cells.features
        scores = confidence.scores(
            features, role=role, present=frame.present, shape=shape, pixel_um=frame.pixel_um
        )
        scored[role] = Scored(
            confidence=scores.astype(np.float64),
            product=product_scores(features, SETTINGS[role]).astype(np.float64),
            concentration=1 / (1 + (features.vote_miss_um.astype(np.float64) / 2) ** 2),
            right=right_cells(image, frame.truth[role]),
            right_70=right_cells(image, frame.truth[role], least_iou=0.7),
        )
    return scored


def called(cells: Scored) -> Scored:
    """Those of the cells that stand in the results."""
    kept = cells.confidence >= LEAST_CONFIDENCE
    return Scored(**{name: getattr(cells, name)[kept] for name in Scored.__dataclass_fields__})


def pooled(parts: Sequence[Scored]) -> Scored:
    """The cells of several frames."""
    return Scored(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Scored.__dataclass_fields__
        }
    )


def worlds(seeds: Sequence[int], scenarios: Sequence[str]) -> Iterator[FilmFrame]:
    """Frames of all films; the standard scenario with channels left out too."""
    for name in scenarios:
        for seed in seeds:
            scenario = scenario_named(name)
            film = simulate_film(scenario, seed=seed, n_frames=N_FRAMES)
            images = [film.images(frame) for frame in FRAMES]
            truths = [
                {role: film.truth(frame).of(role).astype(np.int32) for role in CELL_ROLES} for frame in FRAMES
            ]
            for without in ((), *WITHOUT) if name == "adherent_standard" else ((),):
                said = f"{name} without {', '.join(without)}" if without else name
                seen = film_frames(name, images, scenario, without)
                for (slots, present), truth in zip(seen, truths, strict=True):
                    yield FilmFrame(
                        name=said, slots=slots, present=present, truth=truth, pixel_um=scenario.pixel_um
                    )


def spoiled(seed: int) -> Iterator[tuple[str, list[FilmFrame]]]:
    """Films that ought to be doubted, each with its name."""
    for name in ("adherent_standard", "suspension"):
        scenario = scenario_named(name)
        film = simulate_film(scenario, seed=seed, n_frames=N_FRAMES)
        images = [film.images(frame) for frame in FRAMES]
        generator = np.random.default_rng(seed)
        noise = [generator.poisson(200, image.shape).astype(np.uint16) for image in images]
        blurred = [
            generator.poisson(ndimage.gaussian_filter(image.astype(float), (0, 8, 8))).astype(np.uint16)
            for image in images
        ]
        inverted = [image.copy() for image in images]
        for image in inverted:
            image[3] = image[3].max() + image[3].min() - image[3]
        double = (2 * scenario.pixel_um[0], 2 * scenario.pixel_um[1])
        half = (scenario.pixel_um[0] / 2, scenario.pixel_um[1] / 2)
        dyes = ("effector", "target", "death")
        for said, these, pixel_um, without in (
            ("as it is", images, scenario.pixel_um, ()),
            ("pixel size twice too large", images, double, ()),
            ("pixel size half of what it is", images, half, ()),
            ("out of focus", blurred, scenario.pixel_um, ()),
            ("noise only", noise, scenario.pixel_um, ()),
            ("brightfield inverted, no dyes", inverted, scenario.pixel_um, dyes),
            ("brightfield inverted, with dyes", inverted, scenario.pixel_um, ()),
        ):
            frames = [
                FilmFrame(name=said, slots=slots, present=present, truth={}, pixel_um=pixel_um)
                for slots, present in film_frames(name, these, scenario, without)
            ]
            yield f"{name}, {said}", frames


def exchanged(frame: FilmFrame, one: int, other: int) -> FilmFrame:
    """The frame with two channels swapped by mistake."""
    order = list(range(len(frame.slots)))
    order[one], order[other] = other, one
    return FilmFrame(
        name=frame.name,
        slots=frame.slots[order],
        present=frame.present,
        truth={},
        pixel_um=frame.pixel_um,
    )


def _window(slots: NDArray[np.float32], rows: slice, columns: slice) -> NDArray[np.float32]:
    return slots[:, rows, columns]


def field_warnings(model: Predictor, frames: Sequence[FilmFrame]) -> list[str]:
    """What the report would say of a field with these frames."""
    tables = []
    for number, frame in enumerate(frames):
        kind = {"present": frame.present, "pixel_um": frame.pixel_um}
        [labels] = model.segment(frame.slots[None], **kind)  # type: ignore[arg-type]
        swaps: tuple[Doubt, ...] = ()
        if number < 2:
            here = partial(_window, frame.slots)
            swaps = model.swap_doubts(here, shape=frame.slots.shape[1:], **kind)  # type: ignore[arg-type]
        tables.append(doubts_table(number, (*labels.doubts, *swaps)))
    return segmentation_warnings(tables, masked=())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="standard")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seeds", default="701,702")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--only", choices=("cells", "fields"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_thread()
    model = load_model(options.model, device="cpu", precision=options.precision)
    confidence = card_of(options.model).confidence
    if confidence is None:
        raise SystemExit(f"{options.model} is not calibrated: killassay models calibrate CARD")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    report: dict[str, object] = {}
    if options.only != "fields":
        report["cells"] = _cells(model, confidence, seeds, options.scenarios.split(","))
    if options.only != "cells":
        report["fields"] = _fields(model, seeds)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _cells(
    model: Predictor, confidence: Confidence, seeds: Sequence[int], scenarios: Sequence[str]
) -> dict[str, dict[str, float]]:
    kinds: dict[str, list[Scored]] = defaultdict(list)
    for frame in worlds(seeds, scenarios):
        for role, scored in score_cells(model, confidence, frame).items():
            dyed = "without dye" if "without" in curve_of(role, frame.present) else "with dye"
            kinds[f"{role}s, {frame.name}"].append(called(scored))
            kinds[f"{role}s, all {dyed}"].append(called(scored))
            kinds[f"{role}s, all"].append(called(scored))
            kinds["all cells"].append(called(scored))
            kinds[f"{role}s, all with those not called"].append(scored)
            kinds["all cells with those not called"].append(scored)
    rows = {name: pooled(parts).figures() for name, parts in sorted(kinds.items())}
    for name, of in rows.items():
        print(
            f"{name:62}cells {of['cells']:6.0f} right {of['right']:.3f} said {of['said']:.3f} | AUROC "
            f"{of['auroc']:.3f} (IoU .7 {of['auroc_iou70']:.3f}) ECE {of['ece']:.3f} | product AUROC "
            f"{of['auroc_product']:.3f} ECE {of['ece_product']:.3f} | concentration AUROC "
            f"{of['auroc_concentration']:.3f}",
            flush=True,
        )
    for role in CELL_ROLES:
        cells = pooled(kinds[f"{role}s, all"])
        for said, true, n in reliability(cells.confidence, cells.right):
            print(f"{role}s: said {said:.3f}, true {true:.3f}, {n} cells")
    return rows


def _fields(model: Predictor, seeds: Sequence[int]) -> dict[str, list[str]]:
    """What is said of fields: nothing of good ones, something of spoiled ones."""
    said: dict[str, list[str]] = {}
    right_order: list[tuple[str, list[FilmFrame]]] = []
    for seed in seeds:
        frames = defaultdict(list)
        for frame in worlds([seed], SCENARIOS.split(",")):
            frames[frame.name].append(frame)
        right_order += [(f"{name} {seed}", of) for name, of in frames.items()]
        for name, of in spoiled(seed):
            said[f"{name} {seed}"] = field_warnings(model, of)
    swaps = ((0, 1), (0, 3), (1, 3), (0, 2))
    for name, of in right_order:
        said[f"right order: {name}"] = field_warnings(model, of)
        for one, other in swaps:
            if of[0].present[one] and of[0].present[other] and "without" not in name:
                wrong = [exchanged(frame, one, other) for frame in of]
                said[f"swapped {one} and {other}: {name}"] = field_warnings(model, wrong)
    for name, warnings in said.items():
        print(f"{name:75}{'; '.join(warnings) or '-'}", flush=True)
    return said


if __name__ == "__main__":
    main()
