"""Whether a model became better: on held-out cells, and without forgetting what it knew of simulated frames."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assay.labels import FrameLabels
from models.devices import pick_device
from models.network import SegmentationNet
from models.predictor import Predictor
from models.training.dataset import TrainingFrame
from models.training.held_out import AnnotatedFrame, HeldOutScore, labels_of, score


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a held-out frame looked like to the model before and after."""

    frame: AnnotatedFrame
    before: FrameLabels
    after: FrameLabels


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Scores before and after, on held-out cells and on simulated frames."""

    rival: str  # whose score `before` is, in words
    before: HeldOutScore
    after: HeldOutScore
    simulated_before: HeldOutScore | None  # None: no simulated frames were given to judge by
    simulated_after: HeldOutScore | None

    def why_not(self, *, most_forgotten: float) -> str:
        """Why the model is not better; empty where it is."""
        before, after = self.before, self.after
        if not ordered(after.f1_50) > ordered(before.f1_50):
            return (
                f"on {after.cells} held-out cells it finds no more than {self.rival} (F1 at IoU 0.5 is {after.f1_50:.3f}, "
                f"was {before.f1_50:.3f})"
            )
        first, last = self.simulated_before, self.simulated_after
        if first and last and forgets(first, last, most_forgotten=most_forgotten):
            return (
                f"it forgets what the model it began from knew (AP50 on simulated frames is {last.ap50:.3f}, was "
                f"{first.ap50:.3f}; at most {most_forgotten:g} may be lost)"
            )
        return ""

    def as_json(self) -> dict[str, Any]:
        """The scores as a model's card holds them."""
        scores: dict[str, Any] = {
            "held_out": {
                "before": asdict(self.before),
                "after": asdict(self.after),
                "before_is_of": self.rival,
            }
        }
        if self.simulated_before and self.simulated_after:
            scores["simulated"] = {
                "before": asdict(self.simulated_before),
                "after": asdict(self.simulated_after),
            }
        return scores


class Judge:
    """Scores networks on the held-out and on the simulated frames."""

    def __init__(
        self,
        frames: Sequence[AnnotatedFrame],
        simulated: Sequence[TrainingFrame],
        *,
        pixel_um: float,
        device: str,
    ) -> None:
        self._frames = frames
        self._simulated = [AnnotatedFrame(name=str(n), frame=frame) for n, frame in enumerate(simulated)]
        self._pixel_um = pixel_um
        self._device = pick_device(device)

    def held_out(self, network: SegmentationNet) -> HeldOutScore:
        """How well a network does on the held-out cells."""
        return score(self._segmenter(network), self._frames, pixel_um=self._pixel_um)

    def simulated(self, network: SegmentationNet) -> HeldOutScore | None:
        """How well it does on the simulated frames; None where there are none."""
        if not self._simulated:
            return None
        return score(self._segmenter(network), self._simulated, pixel_um=self._pixel_um)

    def comparisons(self, before: SegmentationNet, after: SegmentationNet) -> list[Comparison]:
        """What two networks find in the held-out frames."""
        first, second = self._segmenter(before), self._segmenter(after)
        return [
            Comparison(
                frame=one,
                before=labels_of(first, one.frame, pixel_um=self._pixel_um),
                after=labels_of(second, one.frame, pixel_um=self._pixel_um),
            )
            for one in self._frames
        ]

    def _segmenter(self, network: SegmentationNet) -> Predictor:
        return Predictor(
            deepcopy(network), name="", sha256="", pixel_um=self._pixel_um, device=self._device
        )  # a copy: the predictor folds the normalisations away


def forgets(before: HeldOutScore, after: HeldOutScore, *, most_forgotten: float) -> bool:
    """Whether more is lost on simulated frames than may be."""
    return before.ap50 - after.ap50 > most_forgotten


def ordered(figure: float) -> float:
    """A score that can be compared: nothing to find and nothing found is the least."""
    return -1.0 if np.isnan(figure) else figure
