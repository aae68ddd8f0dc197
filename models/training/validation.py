"""Looking in on a training: scores of frames that it does not learn from, and what it found in them."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from assay.labels import CELL_ROLES, FrameLabels
from models.network import SegmentationNet
from models.predictor import Predictor
from models.training.dataset import TrainingFrame
from models.training.evaluate import evaluate

Draw = Callable[[int, Sequence[FrameLabels], Sequence[FrameLabels]], None]
"""Is shown the step, what was found at the look before, and what is found now."""


class Validator:
    """Scores the network on some frames now and then.

    Args:
        frames: With truth, at the model's pixel size.
        pixel_um: That size.
        draw: Makes a picture of it; None makes none.
    """

    def __init__(self, frames: Sequence[TrainingFrame], *, pixel_um: float, draw: Draw | None = None) -> None:
        self._frames = frames
        self._pixel_um = (pixel_um, pixel_um)
        self._draw = draw
        self._before: Sequence[FrameLabels] = ()

    def __call__(self, network: SegmentationNet, step: int) -> Mapping[str, float]:
        """AP at IoU 0.5 of both roles."""
        model = Predictor(
            copy.deepcopy(network).cpu(),
            name="",
            sha256="",
            pixel_um=self._pixel_um[0],
            device=torch.device("cpu"),
        )
        scores = evaluate(model, self._frames, pixel_um=self._pixel_um[0])
        if self._draw:
            found = [self._found(model, frame) for frame in self._frames]
            self._draw(step, self._before or found, found)
            self._before = found
        return {f"AP50 of {role}s": round(scores[role]["ap50"], 4) for role in CELL_ROLES}

    def _found(self, model: Predictor, frame: TrainingFrame) -> FrameLabels:
        images = np.asarray(frame.slots, dtype=np.float32)[None]
        return model.segment(images, present=frame.present.tolist(), pixel_um=self._pixel_um)[0]
