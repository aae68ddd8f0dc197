"""What it costs to find who touches whom in a frame, beside the usual ways, and which pairs these get wrong.

    python -m benchmarks.touching [--side 2048] [--effectors 800] [--targets 1200] [--repeats 7] [--json FILE]

One frame is drawn: effectors of radius 7 pixels and targets of radius 13, each role by itself, so that they overlap.
Figures are CPU milliseconds of one thread, the least of the repeats. The other ways are asked for gaps of at most 3
pixels, as ours in its first row; only "pixels of the outlines, two trees" has our definition, and it gives no interface.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from scipy.spatial import cKDTree
from skimage.segmentation import expand_labels

from assay.touching import touching_pairs
from assay.units import Calibration
from benchmarks.decoding import draw_cells

CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)
GAP_PX = 3
Labels = NDArray[np.int32]
Named = set[tuple[int, int]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--effectors", type=int, default=800)
    parser.add_argument("--targets", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    effectors = draw_cells(generator, options.effectors, 7.0, options.side)
    targets = draw_cells(generator, options.targets, 13.0, options.side)
    exact = ours(effectors, targets, GAP_PX * 0.65)
    ways: dict[str, Callable[[], Named]] = {
        f"touching_pairs, gap <= {GAP_PX} pixels": lambda: ours(effectors, targets, GAP_PX * 0.65),
        **{f"touching_pairs, gap <= {um} um": lambda um=um: ours(effectors, targets, um) for um in (1, 3, 5, 10)},
        "pixels of the outlines, two trees": lambda: by_trees(effectors, targets),
        "expand_labels, then neighbours": lambda: by_growing(effectors, targets),
        "centres within 20 pixels": lambda: by_centres(effectors, targets),
    }  # fmt: skip
    rows = []
    for what, way in ways.items():
        found = way()
        row = {"way": what, "ms": least_ms(way, options.repeats), "pairs": len(found)}
        if not what.endswith(" um"):
            row |= {"precision": len(found & exact) / len(found), "recall": len(found & exact) / len(exact)}
        rows.append(row)
        asked = f"{row['precision']:10.3f}{row['recall']:8.3f}" if "precision" in row else ""
        print(f"{what:40}{row['ms']:9.1f} ms{row['pairs']:7d} pairs{asked}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def ours(effectors: Labels, targets: Labels, max_gap_um: float) -> Named:
    """Pairs by the product."""
    pairs = touching_pairs(
        effectors, targets, frame=0, calibration=CALIBRATION, max_gap_um=max_gap_um, enter_um=1.0
    )
    return set(zip(pairs.effector_label.tolist(), pairs.target_label.tolist(), strict=True))


def by_trees(effectors: Labels, targets: Labels) -> Named:
    """Pixels of the outlines within the limit of each other."""
    one, other = (np.argwhere(_outline(image)) for image in (effectors, targets))
    near = cKDTree(one).query_ball_tree(cKDTree(other), GAP_PX + 1 + 1e-9)
    hits = np.repeat(np.arange(len(near)), [len(row) for row in near])
    places = np.array([place for row in near for place in row], dtype=np.int64)
    found = set(
        zip(effectors[tuple(one[hits].T)].tolist(), targets[tuple(other[places].T)].tolist(), strict=True)
    )
    both = (effectors > 0) & (targets > 0)
    return found | set(zip(effectors[both].tolist(), targets[both].tolist(), strict=True))  # fmt: skip


def _outline(image: Labels) -> NDArray[np.bool_]:
    padded = np.pad(image, 1, mode="edge")
    inner = np.ones(image.shape, dtype=bool)
    for dy, dx in ((0, 1), (1, 0), (1, 2), (2, 1)):
        inner &= padded[dy : dy + image.shape[0], dx : dx + image.shape[1]] == image
    return (image > 0) & ~inner


def by_growing(effectors: Labels, targets: Labels) -> Named:
    """Both roles grown by half the limit; neighbours then touch. Cells of one role stop each other."""
    one, other = (expand_labels(image, (GAP_PX + 1) / 2) for image in (effectors, targets))
    found: Named = set()
    for a, b in ((one, other), (one[1:], other[:-1]), (one[:-1], other[1:]), (one[:, 1:], other[:, :-1]),
                 (one[:, :-1], other[:, 1:])):  # fmt: skip
        both = (a > 0) & (b > 0)
        found |= set(zip(a[both].tolist(), b[both].tolist(), strict=True))
    return found


def by_centres(effectors: Labels, targets: Labels) -> Named:
    """Centres no further apart than the sum of usual radii, as celldetective and others count."""
    names = [np.unique(image[image > 0]) for image in (effectors, targets)]
    centres = [
        np.array(center_of_mass(image > 0, image, of))
        for image, of in zip((effectors, targets), names, strict=True)
    ]
    near = cKDTree(centres[0]).query_ball_tree(cKDTree(centres[1]), 20.0)
    return {(int(names[0][k]), int(names[1][other])) for k, row in enumerate(near) for other in row}


def least_ms(job: Callable[[], object], repeats: int) -> float:
    """Processor time, the least of the repeats."""
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        job()
        least = min(least, time.process_time() - started)
    return 1000 * least


if __name__ == "__main__":
    main()
