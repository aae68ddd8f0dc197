"""What was seen in one frame: label images and the measures of each cell in them.

Knows one frame at a time. A label means nothing in the next frame; `tracks.py` gives cells their identity
through time. Effectors and targets have a label image each, because an effector on top of a target covers it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

CellRole = Literal["effector", "target"]
CELL_ROLES: tuple[CellRole, ...] = ("effector", "target")

ChannelRole = Literal["effector", "target", "nuclei", "death", "brightfield"]
CHANNEL_ROLES: tuple[ChannelRole, ...] = ("effector", "target", "nuclei", "death", "brightfield")
"""What a channel shows, in the order of a model's input slots."""

LARGEST_WHOLE_PX = 8192 * 8192
"""A frame of more pixels is never held as a whole."""


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether frames of (..., Y, X) are too large to be held."""
    return shape[-2] * shape[-1] > LARGEST_WHOLE_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One number by which a frame may be unlike those its model can be trusted on.

    `about` is "wrong" (share of the cells that the model expects to be wrong), "stray" (share of the foreground
    that is in no cell), "area_um2" (of the median cell), or "swap" (by how much larger a share of the cells the
    model expects to be right when the two channels named in `of` change places).
    """

    about: str
    of: str  # a cell role; for "swap" two channel roles, as "effector target"
    value: float  # NaN where too few cells were found to say
    least: float  # below and above is reason for doubt
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLabels:
    """The cells of one frame.

    Labels run from 1 without holes, ordered by the (y, x) of the cell's seed, so that they do not depend on
    how the frame was cut into tiles. `scores[i]` in 0..1 is the confidence in label i + 1.
    """

    effectors: NDArray[np.int32]  # (Y, X), 0 is background
    targets: NDArray[np.int32]  # (Y, X), may overlap the effectors
    effector_scores: NDArray[np.float32]
    target_scores: NDArray[np.float32]
    doubts: tuple[Doubt, ...] = ()  # what the model says of itself; nothing where it cannot

    def of(self, role: CellRole) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Label image and scores of one role."""
        if role == "effector":
            return self.effectors, self.effector_scores
        return self.targets, self.target_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFrameLabels:
    """The cells of a frame that is too large to be held as an image.

    Labels, scores and doubts are those of `FrameLabels`; `assay.label_runs.painted` makes images of some rows.
    """

    shape: tuple[int, int]  # (Y, X)
    effectors: NDArray[np.int32]  # (runs, 4) row, first column, column after the last, label; in row order
    targets: NDArray[np.int32]
    effector_scores: NDArray[np.float32]
    target_scores: NDArray[np.float32]
    doubts: tuple[Doubt, ...] = ()

    def of(self, role: CellRole) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Runs and scores of one role."""
        if role == "effector":
            return self.effectors, self.effector_scores
        return self.targets, self.target_scores


ReadSlots = Callable[[slice, slice], NDArray[np.float32]]
"""Rows and columns of a frame -> (R, y, x), one slot per entry of `CHANNEL_ROLES`."""


class Segmenter(Protocol):
    """Finds the cells in frames; `models.predictor` has the one with a network behind it.

    A frame's result depends on that frame alone: not on its batch, its tiles or its worker.
    """

    @property
    def identity(self) -> Mapping[str, str]:
        """What the labels depend on: model name, sha256 of its weights, device class, precision."""

    def segment(
        self,
        images: NDArray[np.float32],
        *,
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> list[FrameLabels]:
        """Label effectors and targets.

        Args:
            images: (N, R, Y, X), N frames with one slot per entry of `CHANNEL_ROLES`, scaled by
                `brightness.scale` (background near 0, bright cells near 1); absent slots are 0.
            present: Which of the R slots hold an image.
            pixel_um: Pixel size (y, x); the model resamples to its own.
        """


@runtime_checkable
class SegmentsLarge(Protocol):
    """A segmenter that can do without holding a frame."""

    def segment_large(
        self,
        read: ReadSlots,
        *,
        shape: tuple[int, int],
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> LargeFrameLabels:
        """Label effectors and targets of one frame, reading windows of it; the same cells as `segment` finds."""


@runtime_checkable
class KnowsSwaps(Protocol):
    """A segmenter that can tell channels that stand in each other's place."""

    def swap_doubts(
        self,
        read: ReadSlots,
        *,
        shape: tuple[int, int],
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> tuple[Doubt, ...]:
        """Compare the middle of a frame as it is with the same after exchanging two channels, pair by pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMeasures:
    """Measures of the cells of one role, rows ordered by (frame, label); one row per cell and frame.

    `means` holds each channel's mean over the whole mask; `own_means` the mean over the pixels that no cell
    of the other role covers (NaN where nothing is left), so that a dye-positive effector on top of a target
    is not taken for the target's death. Both are raw intensities.
    """

    role: CellRole
    frame: NDArray[np.int32]
    label: NDArray[np.int32]
    y_um: NDArray[np.float64]
    x_um: NDArray[np.float64]
    area_um2: NDArray[np.float64]
    eccentricity: NDArray[np.float64]  # 0 round, towards 1 elongated
    covered: NDArray[np.float64]  # share of the mask under cells of the other role
    at_border: NDArray[np.bool_]  # the mask touches the edge of the image
    score: NDArray[np.float64]
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    own_means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Effector-target pairs closer than a limit, rows ordered by (frame, effector label, target label)."""

    frame: NDArray[np.int32]
    effector_label: NDArray[np.int32]
    target_label: NDArray[np.int32]
    gap_um: NDArray[np.float64]  # edge to edge; 0 where the masks overlap or are neighbours
    interface_um: NDArray[np.float64]  # length of the effector's outline within `enter_um` of the target

    def __len__(self) -> int:
        return len(self.frame)
