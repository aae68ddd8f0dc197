"""Frames of any pixel size brought to the model's own, the way the predictor does it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.frames import resized
from models.roles_seen import SAME_SCALE
from models.training.dataset import TrainingFrame
from models.training.train import PIXEL_UM


def at_model_scale(frame: TrainingFrame, *, pixel_um: tuple[float, float]) -> TrainingFrame:
    """Resample images smoothly and labels by the nearest pixel.

    Args:
        frame: At `pixel_um`.
        pixel_um: Pixel size (y, x) of the frame.
    """
    scales = [size / PIXEL_UM for size in pixel_um]
    if all(abs(scale - 1) <= SAME_SCALE for scale in scales):
        return frame
    shape = frame.effectors.shape
    height, width = (max(1, round(side * scale)) for side, scale in zip(shape, scales, strict=True))
    slots = torch.from_numpy(np.ascontiguousarray(frame.slots))
    rows, columns = _nearest(shape[0], height)[:, None], _nearest(shape[1], width)
    return replace(
        frame,
        slots=resized(slots, (height, width), smooth=True).numpy(),
        effectors=frame.effectors[rows, columns],
        targets=frame.targets[rows, columns],
        known=None if frame.known is None else frame.known[:, rows, columns],
    )


def _nearest(length: int, new_length: int) -> NDArray[np.intp]:
    return ((np.arange(new_length) + 0.5) * (length / new_length)).astype(np.intp)
