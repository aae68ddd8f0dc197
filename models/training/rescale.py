"""Frames of any pixel size brought to the model's own, the way the predictor does it."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.predictor import SAME_SCALE, resized
from models.training.dataset import TrainingFrame
from models.training.train import PIXEL_UM


def at_model_scale(frame: TrainingFrame, *, pixel_um: tuple[float, float]) -> TrainingFrame:
    """Resample images smoothly and labels by the nearest pixel.

    Args:
        frame: Slots, presence, effectors, targets at `pixel_um`.
        pixel_um: Pixel size (y, x) of the frame.
    """
    slots, present, effectors, targets = frame
    scales = [size / PIXEL_UM for size in pixel_um]
    if all(abs(scale - 1) <= SAME_SCALE for scale in scales):
        return frame
    height, width = (max(1, round(side * scale)) for side, scale in zip(slots.shape[1:], scales, strict=True))
    smooth = resized(torch.from_numpy(np.ascontiguousarray(slots)), (height, width), smooth=True).numpy()
    rows = _nearest(effectors.shape[0], height)
    columns = _nearest(effectors.shape[1], width)
    return smooth, present, effectors[rows[:, None], columns], targets[rows[:, None], columns]


def _nearest(length: int, new_length: int) -> NDArray[np.intp]:
    return ((np.arange(new_length) + 0.5) * (length / new_length)).astype(np.intp)
