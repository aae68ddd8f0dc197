"""What a frame costs on this machine, step by step, beside plain scipy and a nearest-neighbour rule.

Knows scenes and every room from measures to deaths. Times are of the processor, so that a busy machine does not count.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.killbench.baselines import chain_scene
from assay.killbench.ours import link_scene, survey_scene, touch_scene
from assay.killbench.scene import Scene, simulate
from assay.labels import FrameLabels
from assay.measures import measure
from assay.touching import touching_pairs
from assay.units import Calibration

SIZE_PX, PIXEL_UM = 2048, 0.65
N_TARGETS, N_EFFECTORS = 1200, 800
RADIUS_PX = {"target": 13, "effector": 6}
LIMIT_UM, ENTER_UM = 3.0, 1.0
_CALIBRATION = Calibration(pixel_um=(PIXEL_UM, PIXEL_UM), frame_min=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor time of one step."""

    step: str
    ours_ms: float
    plain_ms: float | None  # of the plain way, where there is one
    per: str


def speed_costs(*, repeats: int = 3) -> list[Cost]:
    """Time every step, the best of `repeats` after a first go that does not count.

    A frame is 2048 x 2048 pixels with 1200 targets, 800 effectors and three channels; a film is a scene of "medium".
    """
    targets, effectors, channels = _frame()
    labels = FrameLabels(
        effectors=effectors,
        targets=targets,
        effector_scores=np.ones(N_EFFECTORS, dtype=np.float32),
        target_scores=np.ones(N_TARGETS, dtype=np.float32),
    )
    names = ("a", "b", "c")
    scene = simulate("medium", 0)
    tracks = link_scene(scene)
    steps: list[tuple[str, Callable[[], object], Callable[[], object] | None, int, str]] = [
        (
            "measure cells",
            lambda: measure(
                labels, frame=0, channels=channels, channel_names=names, calibration=_CALIBRATION
            ),
            lambda: _plain_measures((targets, effectors), channels),
            1,
            "frame of 2048 x 2048",
        ),
        (
            "touching pairs",
            lambda: touching_pairs(
                effectors, targets, frame=0, calibration=_CALIBRATION, max_gap_um=LIMIT_UM, enter_um=ENTER_UM
            ),
            lambda: _plain_pairs(effectors, targets),
            1,
            "frame of 2048 x 2048",
        ),
        (
            "link",
            lambda: link_scene(scene),
            lambda: chain_scene(scene),
            scene.n_frames,
            _cells_a_frame(scene),
        ),
        ("contacts", lambda: touch_scene(scene, tracks), None, scene.n_frames, _cells_a_frame(scene)),
        (
            "deaths of targets",
            lambda: survey_scene(scene, tracks),
            None,
            scene.n_frames,
            _cells_a_frame(scene),
        ),
    ]
    return [
        Cost(
            step=name,
            ours_ms=_best_ms(ours, repeats) / frames,
            plain_ms=None if plain is None else _best_ms(plain, repeats) / frames,
            per=per,
        )
        for name, ours, plain, frames, per in steps
    ]


def speed_text(costs: list[Cost]) -> str:
    """The costs as lines of text."""
    lines = [f"{'':<20}{'killassay':>12}{'plain':>12}  ms of the processor per"]
    for cost in costs:
        plain = "-" if cost.plain_ms is None else f"{cost.plain_ms:.2f}"
        lines.append(f"{cost.step:<20}{cost.ours_ms:>12.2f}{plain:>12}  {cost.per}")
    return "\n".join(lines) + "\n"


def _cells_a_frame(scene: Scene) -> str:
    cells = sum(len(measures) for measures in scene.measures.values()) / scene.n_frames
    return f"frame of {cells:.0f} cells"


def _best_ms(step: Callable[[], object], repeats: int) -> float:
    step()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        step()
        seconds.append(time.process_time() - began)
    return 1000 * min(seconds)


def _frame() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]:
    """Discs at random places and an image of noise in each channel."""
    rng = np.random.default_rng(0)
    targets, effectors = (np.zeros((SIZE_PX, SIZE_PX), dtype=np.int32) for _ in range(2))
    for image, count, radius in (
        (targets, N_TARGETS, RADIUS_PX["target"]),
        (effectors, N_EFFECTORS, RADIUS_PX["effector"]),
    ):
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = y**2 + x**2 <= radius**2
        corners = rng.integers(0, SIZE_PX - 2 * radius - 1, (count, 2))
        for label, (top, left) in enumerate(corners.tolist(), start=1):
            image[top : top + 2 * radius + 1, left : left + 2 * radius + 1][disc] = label
    channels = rng.integers(0, 4000, (3, SIZE_PX, SIZE_PX)).astype(np.uint16)
    return targets, effectors, channels


def _plain_measures(
    images: tuple[NDArray[np.int32], NDArray[np.int32]], channels: NDArray[np.uint16]
) -> list[object]:
    """Area, centre and means of each role's cells as a script of a lab takes them."""
    found: list[object] = []
    for image in images:
        index = np.unique(image)[1:]
        found += [
            ndimage.sum_labels(image > 0, image, index),
            ndimage.center_of_mass(image > 0, image, index),
        ]
        found += [ndimage.mean(channel, image, index) for channel in channels]
    return found


def _plain_pairs(effectors: NDArray[np.int32], targets: NDArray[np.int32]) -> dict[tuple[int, int], float]:
    """The nearest target of every effector's pixel, from a distance transform."""
    distance, (row, column) = ndimage.distance_transform_edt(targets == 0, return_indices=True)
    y, x = np.nonzero((effectors > 0) & (distance * PIXEL_UM <= LIMIT_UM))
    pairs: dict[tuple[int, int], float] = {}
    near = zip(
        effectors[y, x].tolist(),
        targets[row[y, x], column[y, x]].tolist(),
        distance[y, x].tolist(),
        strict=True,
    )
    for effector, target, apart in near:
        pairs[effector, target] = min(pairs.get((effector, target), np.inf), apart * PIXEL_UM)
    return pairs
