"""Accuracy beside StarDist, on nuclei that neither learned from: StarDist is trained here, from nothing.

    python -m benchmarks.peer_contest --data FOLDER --peers-python VENV/bin/python [--minutes 15] [--model NAME]
                                      [--labels F.npz] [--json F] [--markdown F]

StarDist's published weights cannot be fetched from where this was measured, so it learns from the same two thirds
of `dsb2018_fluo` for so many minutes of one processor, and both are scored on the held-out third. That is no test of
what StarDist can reach, which takes hours on a GPU; the minutes stand beside its figures. What it found is kept in
F.npz: with that file there, nothing is trained again.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import Segmenter
from benchmarks.peers import ONE_THREAD
from benchmarks.real_images import BASELINES, data_folder, figures_of, tally_of
from benchmarks.real_sets import DSB_LEARNED, SETS, raw_image
from benchmarks.tables import figure, markdown_table
from models.devices import one_thread
from models.training.evaluate import LEAST_IOU, Tally, count_matches
from models.weights import load_model

SET = "dsb2018_fluo"


def main() -> None:
    """Entry point."""
    given = _arguments()
    one_thread()
    data = data_folder(given.data)
    held_out = SETS[SET].images(data)
    found, about = _stardist(data, given)
    segmenters: dict[str, Segmenter] = {given.model: load_model(given.model, device="cpu"), **BASELINES}
    scores = {name: figures_of(tally_of(segmenter, held_out)) for name, segmenter in segmenters.items()}
    tally = Tally()
    for image in held_out:
        half, quarters = (
            count_matches(found[image.name], image.frame.targets, least_iou=least) for least in LEAST_IOU
        )
        tally += Tally(half=half, three_quarters=quarters)
    scores["StarDist"] = figures_of(tally)
    page = _page(scores, about, len(held_out))
    print(page)
    if given.json:
        given.json.write_text(
            json.dumps({"scores": scores, "stardist": about}, indent=1) + "\n", encoding="utf-8"
        )
    if given.markdown:
        given.markdown.write_text(page + "\n", encoding="utf-8")


def _stardist(data: Path, given: argparse.Namespace) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """The label images it made of the held-out third, and how it was trained."""
    with tempfile.TemporaryDirectory() as folder:
        out = given.labels or Path(folder) / "labels.npz"
        if not out.exists():
            images = Path(folder) / "images.npz"
            _write_images(data, images)
            command = [
                str(given.peers_python), "-m", "benchmarks.peer_stardist", "train", str(images), "--minutes",
                str(given.minutes), "--out", str(out),
            ]  # fmt: skip
            root = Path(__file__).parents[1]
            subprocess.run(
                command, check=True, cwd=root, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL
            )
        with np.load(out) as file:
            labels = {name: file[name] for name in file if name != "about"}
            names = ("processor_minutes", "steps", "images", "prob_threshold", "nms_threshold")
            return labels, dict(zip(names, file["about"].tolist(), strict=True))


def _write_images(data: Path, path: Path) -> None:
    arrays = {}
    for image in DSB_LEARNED.images(data):
        arrays[f"train_image_{image.name}"] = raw_image(data / DSB_LEARNED.folder, image.name)
        arrays[f"train_labels_{image.name}"] = image.frame.targets.astype(np.uint16)
    for image in SETS[SET].images(data):
        arrays[f"test_image_{image.name}"] = raw_image(data / DSB_LEARNED.folder, image.name)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _page(scores: dict[str, dict[str, Any]], about: dict[str, float], n_images: int) -> str:
    rows = [
        (name, figure(of["f1_50"]), figure(of["ap50"]), figure(of["ap75"])) for name, of in scores.items()
    ]
    cells = next(iter(scores.values()))["cells"]
    return "\n".join(
        [
            f"Held-out third of `{SET}`: {n_images} images, {cells} nuclei. StarDist learned from {about['images']:.0f} "
            f"images for {about['processor_minutes']:.1f} minutes of one processor, {about['steps']:.0f} steps.",
            "",
            markdown_table(("", "F1", "AP50", "AP75"), rows),
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers-python", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--model", default="standard")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
