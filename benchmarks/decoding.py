"""What it costs to make cells of maps and to measure them, beside scikit-image on the same arrays.

    python -m benchmarks.decoding [--side 2048] [--effectors 1500] [--targets 500] [--repeats 5] [--json FILE]

One frame is drawn: effectors of radius 7 pixels and targets of radius 15, at random places, each role by itself;
the maps are those of a network that is nearly right. All figures are CPU seconds of one thread, the least of the
repeats, side by side in one run.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import peak_local_max
from skimage.measure import regionprops_table
from skimage.segmentation import watershed
from torch.nn import functional

from assay.labels import CELL_ROLES, FrameLabels
from assay.measures import measure
from assay.touching import touching_pairs
from assay.units import Calibration
from models.decode import SETTINGS, DecodedCells, decode
from models.decode_torch import averaged, decode_tensors
from models.devices import keep_freed_memory, one_thread
from models.second_look import mean_of_two_looks
from models.training.targets import role_truth

CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)
CERTAIN = 0.003  # how far from 0 and 1 the network's probabilities stay
NOISE = 0.05
SIGNS = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(len(CELL_ROLES))  # offsets turn with the frame


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--effectors", type=int, default=1500)
    parser.add_argument("--targets", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_thread()
    keep_freed_memory()  # as every worker does
    generator = np.random.default_rng(0)
    drawn = ((options.effectors, 7.0), (options.targets, 15.0))
    truth = [draw_cells(generator, n, radius, options.side) for n, radius in drawn]
    maps = torch.from_numpy(np.concatenate([said_of(labels, generator) for labels in truth]))
    figures = _figures(maps, options.repeats)
    shares = ", ".join(f"{(labels > 0).mean():.1%}" for labels in truth)
    print(f"{options.side} x {options.side} px, {options.effectors} effectors and {options.targets} targets")
    print(f"foreground of either: {shares}; CPU-ms of one thread, the least of {options.repeats}")
    for what, seconds in figures.items():
        print(f"{what:58}{1000 * seconds:9.1f}")
    for ours, theirs in (
        ("decoding, both roles", "skimage peaks and watershed, both roles"),
        ("measures, both roles, 3 channels", "skimage regionprops_table, both roles, 3 channels"),
    ):
        print(f"{theirs} / {ours}: {figures[theirs] / figures[ours]:.1f}x")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def draw_cells(generator: np.random.Generator, n: int, radius: float, side: int) -> NDArray[np.int32]:
    """(side, side) label image of `n` ellipses that may touch, and hide at most a tenth of each other."""
    labels = np.zeros((side, side), dtype=np.int32)
    drawn = 0
    while drawn < n:
        cy, cx = generator.uniform(0, side, 2)
        own, stretch = radius * generator.uniform(0.85, 1.15), generator.uniform(0.8, 1.25)
        top, left = max(int(cy - 2 * radius), 0), max(int(cx - 2 * radius), 0)
        y, x = np.ogrid[top : min(int(cy + 2 * radius), side), left : min(int(cx + 2 * radius), side)]
        inside = ((y - cy) / stretch) ** 2 + ((x - cx) * stretch) ** 2 <= own**2
        window = labels[top : top + inside.shape[0], left : left + inside.shape[1]]
        if inside.sum() > radius**2 and (window[inside] > 0).mean() < 0.1:
            drawn += 1
            window[inside & (window == 0)] = drawn
    return labels


def said_of(labels: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.float32]:
    """(4, Y, X) maps of a network that is nearly right about these cells."""
    maps = role_truth(labels)
    chance = (maps[:2] + CERTAIN) / (1 + 2 * CERTAIN)
    maps[:2] = np.log(chance / (1 - chance))
    return maps + generator.normal(0, NOISE, maps.shape).astype(np.float32)


def _figures(maps: torch.Tensor, repeats: int) -> dict[str, float]:
    cells = _decoded(maps)
    labels = FrameLabels(
        effectors=cells[0].labels,
        targets=cells[1].labels,
        effector_scores=cells[0].features.heat,
        target_scores=cells[1].features.heat,
    )
    side = maps.shape[1]
    channels = np.random.default_rng(1).integers(0, 4096, (3, side, side)).astype(np.uint16)
    folded = functional.pixel_unshuffle(maps[None], 2).contiguous(memory_format=torch.channels_last)
    smooth = [averaged(maps[i : i + 2]).sigmoid().numpy() for i in (0, 4)]
    jobs: dict[str, Callable[[], object]] = {
        "decoding, both roles": lambda: _decoded(maps),
        "mean of two looks at full size, as planes": lambda: mean_of_two_looks(
            folded, folded, lambda maps: maps, SIGNS
        ),
        "the same, by torch": lambda: _mean_by_torch(folded),
        "decoding, both roles, torch operations": lambda: _by_torch(maps),
        "skimage peaks and watershed, both roles": lambda: [_watershed(*of_role) for of_role in smooth],
        "measures, both roles, 3 channels": lambda: measure(
            labels, frame=0, channels=channels, channel_names=["a", "b", "c"], calibration=CALIBRATION
        ),
        "skimage regionprops_table, both roles, 3 channels": lambda: [
            _regionprops(of_role.labels, channels) for of_role in cells
        ],
        "touching pairs up to 3 um": lambda: touching_pairs(
            labels.effectors, labels.targets, frame=0, calibration=CALIBRATION, max_gap_um=3.0, enter_um=1.0
        ),
    }
    return {what: _least_s(job, repeats) for what, job in jobs.items()}


def _mean_by_torch(folded: torch.Tensor) -> torch.Tensor:
    maps = functional.pixel_shuffle(folded, 2)
    return (maps + maps.flip(2, 3) * SIGNS[:, None, None]) / 2


def _decoded(maps: torch.Tensor) -> list[DecodedCells]:
    return [
        decode(
            maps[start : start + 4],
            other_foreground=maps[4 - start],
            pixel_um=CALIBRATION.pixel_um,
            settings=SETTINGS[role],
        )
        for start, role in zip((0, 4), CELL_ROLES, strict=True)
    ]


def _by_torch(maps: torch.Tensor) -> None:
    import models.decode

    ours, models.decode.decode_arrays = models.decode.decode_arrays, decode_tensors
    try:
        _decoded(maps)
    finally:
        models.decode.decode_arrays = ours


def _watershed(foreground: NDArray[np.float32], heat: NDArray[np.float32]) -> None:
    peaks = peak_local_max(heat, min_distance=3, threshold_abs=0.35)
    markers = np.zeros(heat.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    watershed(-heat, markers, mask=foreground > 0.5)


def _regionprops(labels: NDArray[np.int32], channels: NDArray[np.uint16]) -> None:
    properties = ("label", "area", "centroid", "eccentricity", "intensity_mean")
    regionprops_table(labels, np.moveaxis(channels, 0, -1), properties=properties)


def _least_s(job: Callable[[], object], repeats: int) -> float:
    job()  # compiled code is loaded, memory is there
    least = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        job()
        least = min(least, time.process_time() - began)
    return least


if __name__ == "__main__":
    main()
