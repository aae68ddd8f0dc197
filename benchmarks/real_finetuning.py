"""Fine-tuning on real images, some of them left out: what a lab would gain from outlining a few of its own.

The images left out are never learned from, and nothing is chosen on them: the model of the last step is taken,
better or not.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.cli.training import FIRST_TRAINING_SEED, simulated_frames
from assay.labels import Segmenter
from benchmarks.real_images import BASELINES, figures_of, tally_of
from benchmarks.real_sets import SETS, RealImage, digest, folds_of
from models.training.dataset import TrainingFrame
from models.training.finetune import FinetuneSettings, finetune
from models.training.held_out import AnnotatedFrame
from models.training.rescale import at_model_scale
from models.weights import load_model, load_network, read_card

N_FOLDS = {"adcc_mcf7": 5, "t98g_phase": 8}
BARS = {"adcc_mcf7": {"f1_50": 0.85, "ap50": 0.76}, "t98g_phase": {"ap50": 0.55}}
_SIMULATED_SEED = FIRST_TRAINING_SEED + 41_000_000  # no shipped model has learned from these frames
_N_SIMULATED = 48


def cross_validate(name: str, data: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Learn and score fold by fold; what is in `given.results` already is kept.

    Raises:
        SystemExit: There is no file for the results, or it belongs to other settings.
    """
    if given.results is None:
        raise SystemExit("--results says where the folds are written to; give a file, F.json.")
    images = SETS[name].images(data)
    n_folds = given.folds or N_FOLDS[name]
    card = load_network(given.model)[0]
    settings = {
        "set": name,
        "images": digest(images),
        "model": given.model,
        "sha256": card.sha256,
        "learned_from": card.training_data,
        "minutes": given.minutes,
        "n_folds": n_folds,
        "bars": BARS[name],
    }
    figures = _resumed(given.results, settings)
    wanted = [int(fold) for fold in given.only.split(",") if fold] or range(n_folds)
    simulated: list[TrainingFrame] = []
    for number, left_out in enumerate(folds_of(images, n_folds)):
        if number not in wanted or str(number) in figures["folds"]:
            continue
        simulated = simulated or list(simulated_frames(_N_SIMULATED, seed=_SIMULATED_SEED))
        figures["folds"][str(number)] = _fold(images, left_out, simulated, given)
        given.results.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    figures["folds"] = {key: figures["folds"][key] for key in sorted(figures["folds"], key=int)}
    return figures


def _fold(
    images: Sequence[RealImage],
    left_out: Sequence[RealImage],
    simulated: Sequence[TrainingFrame],
    given: argparse.Namespace,
) -> dict[str, Any]:
    frames = [
        AnnotatedFrame(
            name=image.name,
            group=image.group,
            frame=at_model_scale(image.frame, pixel_um=(image.pixel_um,) * 2),
        )
        for image in images
    ]
    before = load_model(given.model, device="cpu", precision=given.precision)
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "tuned.json"
        finetune(
            frames,
            base=given.model,
            out=card,
            held_out=[image.name for image in left_out],
            mixed=simulated,
            judged=[],
            settings=FinetuneSettings(minutes=given.minutes, device="cpu", force=True),
            log=lambda line: print("  " + line, flush=True),
        )
        training = read_card(card).training or {}
        after = load_model(card, device="cpu", precision=given.precision)
        ways: dict[str, Segmenter] = {"fine-tuned": after, "before": before, **BASELINES}
        scores = {way: figures_of(tally_of(segmenter, left_out)) for way, segmenter in ways.items()}
    return {
        "left_out": sorted({image.group for image in left_out}),
        "images": len(left_out),
        "learned_from": len(images) - len(left_out),
        "steps": training["steps"],
        "processor_minutes": training["processor_minutes"],
        **scores,
    }


def _resumed(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {"settings": settings, "folds": {}}
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if figures["settings"] != settings:
        raise SystemExit(
            f"{path}: its folds were made with {figures['settings']}, asked for is {settings}. Give another file."
        )
    return figures
