"""A plain segmenter for tests of everything around the model: threshold, connected pixels, no network.

Deterministic, quick, and honest about each frame alone; its labels are good enough to link and to touch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.labels import CHANNEL_ROLES, FrameLabels

_EFFECTOR_SLOTS = ("effector",)
_TARGET_SLOTS = ("target", "nuclei", "brightfield")
_SMALLEST_UM2 = 20.0


class ThresholdSegmenter:
    """Finds what is brighter than a third of the brightest, in each role's own channel."""

    @property
    def identity(self) -> Mapping[str, str]:
        return {"name": "threshold", "device": "cpu"}

    def segment(
        self, images: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[FrameLabels]:
        smallest = max(1, round(_SMALLEST_UM2 / (pixel_um[0] * pixel_um[1])))
        return [_one_frame(frame, present, smallest) for frame in images]


def make() -> ThresholdSegmenter:
    return ThresholdSegmenter()


def _one_frame(slots: NDArray[np.float32], present: Sequence[bool], smallest: int) -> FrameLabels:
    effectors, effector_scores = _label(slots, present, _EFFECTOR_SLOTS, smallest)
    targets, target_scores = _label(slots, present, _TARGET_SLOTS, smallest)
    return FrameLabels(
        effectors=effectors, targets=targets, effector_scores=effector_scores, target_scores=target_scores
    )


def _label(
    slots: NDArray[np.float32], present: Sequence[bool], wanted: Sequence[str], smallest: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    place = next((n for n, role in enumerate(CHANNEL_ROLES) if role in wanted and present[n]), None)
    if place is None:
        return np.zeros(slots.shape[1:], dtype=np.int32), np.zeros(0, dtype=np.float32)
    smooth = ndimage.gaussian_filter(slots[place].astype(np.float64), 1.5)
    found, n = ndimage.label(smooth > 0.33)
    sizes = np.bincount(found.ravel(), minlength=n + 1)
    keep = sizes >= smallest
    keep[0] = False
    new = np.zeros(n + 1, dtype=np.int32)
    new[keep] = np.arange(1, keep.sum() + 1)
    return new[found], np.ones(int(keep.sum()), dtype=np.float32)
