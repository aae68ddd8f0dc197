"""StarDist measured in an environment of its own, for `benchmarks.peers`.

PEERS_PYTHON -m benchmarks.peer_stardist serve SCENE.npz
PEERS_PYTHON -m benchmarks.peer_stardist train IMAGES.npz --minutes 15 --out LABELS.npz
"""

import argparse
import contextlib
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_protocol import serve, versions

N_RAYS, GRID = 32, (2, 2)
PROB, NMS = 0.5, 0.4  # StarDist's own defaults
PATCH_PX, BATCH, STEPS = 128, 4, 25
RATE = 1e-3


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("serve", "train"))
    parser.add_argument("images", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0, help="of processor time")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    tensorflow = import_module("tensorflow")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    with contextlib.redirect_stdout(sys.stderr):
        if given.do == "serve":
            _serve(given.images)
        else:
            _train(given.images, given.out, given.minutes)


def _serve(path: Path) -> None:
    """Network with random weights; polygons from ideal maps of the same frame."""
    models, geometry, utils, nms = (
        import_module(f"stardist.{name}") for name in ("models", "geometry", "utils", "nms")
    )
    with np.load(path) as file:
        image = np.moveaxis(file["image"], 0, -1).astype(np.float32)  # (Y, X, C)
        labels, roles = file["labels"], file["roles"]
    config = models.Config2D(axes="YXC", n_channel_in=image.shape[-1], grid=GRID, n_rays=N_RAYS, n_classes=2)
    model = models.StarDist2D(config, name="random", basedir=None)
    prob = utils.edt_prob(labels)[:: GRID[0], :: GRID[1]]
    dist = np.maximum(geometry.star_dist(labels, N_RAYS, grid=GRID), 1e-3)
    candidates = nms._ind_prob_thresh(prob, PROB, b=2)
    points = np.stack(np.nonzero(candidates), axis=1) * np.array(GRID)
    chance = np.eye(3, dtype=np.float32)[roles[labels[:: GRID[0], :: GRID[1]]]]

    def polygons() -> int:
        found, _ = model._instances_from_prediction(
            labels.shape, prob[candidates], dist[candidates], points=points,
            prob_class=chance[candidates], prob_thresh=PROB, nms_thresh=NMS,
        )  # fmt: skip
        return int(found.max())

    jobs = {
        "network": lambda: model.keras_model.predict(image[None], verbose=0),
        "network, called straight": lambda: model.keras_model(image[None], training=False),
        "cells": polygons,
    }
    about = {
        "versions": versions("stardist", "tensorflow-cpu", "tensorflow", "numpy"),
        "parameters": int(model.keras_model.count_params()),
        "settings": f"grid {GRID}, {N_RAYS} rays, n_classes 2, prob {PROB}, nms {NMS}",
        "candidates": len(points),
    }
    with contextlib.redirect_stdout(sys.__stdout__):
        serve(jobs, about)


def _train(path: Path, out: Path, minutes: float) -> None:
    """Train from nothing on `train_*`, find the cells of `test_*`, write their label images."""
    models, keras = import_module("stardist.models"), import_module("keras")
    with np.load(path) as file:
        names = sorted(name.removeprefix("train_image_") for name in file if name.startswith("train_image_"))
        images = [_normal(file[f"train_image_{name}"]) for name in names]
        labels = [file[f"train_labels_{name}"].astype(np.int32) for name in names]
        tests = {
            name.removeprefix("test_image_"): _normal(file[name])
            for name in sorted(file)
            if "test_image" in name
        }
    rng = np.random.default_rng(1)
    config = models.Config2D(
        axes="YX", n_channel_in=1, grid=GRID, n_rays=N_RAYS, train_patch_size=(PATCH_PX, PATCH_PX),
        train_batch_size=BATCH, train_learning_rate=RATE, train_reduce_lr=None, train_tensorboard=False,
        use_gpu=False,
    )  # fmt: skip
    held = slice(0, None, 10)  # to watch it and to set its thresholds
    seen = [n for n in range(len(images)) if n % 10]
    began = time.process_time()

    class Budget(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if time.process_time() - began > 60 * minutes:
                self.model.stop_training = True
                raise StopIteration

    with tempfile.TemporaryDirectory() as folder:
        model = models.StarDist2D(config, name="contest", basedir=folder)
        model.prepare_for_training()
        budget = Budget()
        model.callbacks = [budget]
        with contextlib.suppress(StopIteration):
            model.train(
                [images[n] for n in seen], [labels[n] for n in seen],
                validation_data=(images[held], labels[held]), seed=1, epochs=100_000, steps_per_epoch=STEPS,
                augmenter=lambda x, y: _augmented(x, y, rng),
            )  # fmt: skip
        spent = time.process_time() - began
        thresholds = model.optimize_thresholds(images[held], labels[held])
        found = {name: model.predict_instances(image)[0].astype(np.int32) for name, image in tests.items()}
    about = np.array([spent / 60, budget.steps, len(seen), thresholds["prob"], thresholds["nms"]])
    np.savez_compressed(out, about=about, **found)


def _normal(image: NDArray[Any]) -> NDArray[np.float32]:
    low, high = np.percentile(image, [1, 99.8])
    return ((image - low) / max(high - low, 1e-6)).astype(np.float32)


def _augmented(
    image: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """As StarDist's own example: turns, flips, brightness, noise."""
    turn, flip = int(rng.integers(4)), bool(rng.integers(2))
    image, labels = np.rot90(image, turn), np.rot90(labels, turn)
    if flip:
        image, labels = image[::-1], labels[::-1]
    image = image * np.float32(rng.uniform(0.6, 2)) + np.float32(rng.uniform(-0.2, 0.2))
    noise = 0.02 * rng.uniform(0, 1) * rng.standard_normal(image.shape)
    return (image + noise).astype(np.float32), labels


if __name__ == "__main__":
    main()
