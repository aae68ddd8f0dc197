"""What is measured of one frame once its cells are known: every cell, the touching pairs, and the light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellMeasures, CellRole, FrameLabels, LargeFrameLabels, Pairs
from assay.measures import measure, measure_large
from assay.pipeline.large_frames import LargeFrame
from assay.pipeline.plan import FieldPlan
from assay.quality import FrameQuality, cells_at_samples, measure_frame, quality_of
from assay.touching import touching_pairs, touching_pairs_large

_ROWS_AT_ONCE = 512  # of all channels of a frame that is not held


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFrame:
    """One frame's rows of the private tables."""

    measures: Mapping[CellRole, CellMeasures]
    quality: FrameQuality
    pairs: Pairs


def measured(plan: FieldPlan, frame: int, image: NDArray[Any], labels: FrameLabels) -> MeasuredFrame:
    """Measure a frame that is held."""
    return MeasuredFrame(
        measures=measure(
            labels,
            frame=frame,
            channels=image,
            channel_names=plan.channel_names,
            calibration=plan.calibration,
        ),
        quality=measure_frame(image, frame=frame, labels=labels),
        pairs=touching(plan, frame, labels),
    )


def measured_large(plan: FieldPlan, large: LargeFrame, labels: LargeFrameLabels) -> MeasuredFrame:
    """Measure a frame that is too large to be held."""
    quality = quality_of(large.lights, frame=large.frame, cells=cells_at_samples(labels))
    return MeasuredFrame(
        measures=measure_large(
            labels,
            frame=large.frame,
            read=large.read,
            channel_names=plan.channel_names,
            calibration=plan.calibration,
            rows_at_once=_ROWS_AT_ONCE,
        ),
        quality=quality,
        pairs=touching(plan, large.frame, labels),
    )


def touching(plan: FieldPlan, frame: int, labels: FrameLabels | LargeFrameLabels) -> Pairs:
    """The touching pairs of a frame."""
    contact = plan.protocol.contact
    how: dict[str, Any] = {
        "frame": frame,
        "calibration": plan.calibration,
        "max_gap_um": contact.leave_um,
        "enter_um": contact.enter_um,
    }
    if isinstance(labels, LargeFrameLabels):
        return touching_pairs_large(labels, **how)
    return touching_pairs(labels.effectors, labels.targets, **how)


def with_runs(
    shape: tuple[int, int], effectors: NDArray[np.int32], targets: NDArray[np.int32]
) -> LargeFrameLabels:
    """The cells of a frame from their runs alone, of which nobody asks how sure they are."""

    def unsure(runs: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.zeros(int(runs[:, 3].max(initial=0)), np.float32)

    return LargeFrameLabels(
        shape=shape,
        effectors=effectors,
        targets=targets,
        effector_scores=unsure(effectors),
        target_scores=unsure(targets),
    )
