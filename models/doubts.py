"""Whether a frame is like those its model was calibrated on, and whether its channels stand in the right order.

Knows the cells found in one frame and what is usual for the model. The numbers are compared with their limits over
a whole field, in `assay.segmentation_quality`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES, CellRole, ChannelRole, Doubt
from models.confidence import Confidence, Usual, curve_of
from models.decode import DecodedCells

MOST_WRONG = 0.3
"""A model that expects more of its cells to be wrong is not to be believed unseen."""
CLEARLY_BETTER = 0.015
"""So much larger must the share of right cells be for channels to be called swapped ..."""
CLEARLY_BETTER_TARGET_DEATH = 0.04  # dead targets show their dye and the death dye, live ones the former only
AS_MANY = 0.5
"""... and not fewer right cells than this share of those found as the channels are ..."""
GOOD = 0.85
"""... and so large the share itself: where no order looks right, something else is wrong."""
SWAPS: tuple[tuple[ChannelRole, ChannelRole], ...] = (
    ("effector", "target"),
    ("effector", "nuclei"),
    ("effector", "death"),
    ("target", "death"),
    ("nuclei", "death"),
)
LEAST_CELLS = 8  # fewer say nothing about their frame
_SLACK = 1.15  # of areas, beyond what was met
_LEAST_STRAY = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCells:
    """The cells of one role in one frame, and how much foreground there was for them."""

    cells: DecodedCells
    foreground_px: int
    inside_px: int | None = None  # pixels of cells, where the cells have no image of labels

    @property
    def stray(self) -> float:
        """Share of the foreground that is in no cell; NaN without foreground."""
        inside = int(np.count_nonzero(self.cells.labels)) if self.inside_px is None else self.inside_px
        return max(0.0, 1 - inside / self.foreground_px) if self.foreground_px else float("nan")

    @property
    def median_area_um2(self) -> float:
        """Of the cells; NaN where there are too few to say."""
        area = self.cells.features.area_um2
        return float(np.median(area)) if len(area) >= LEAST_CELLS else float("nan")


def frame_doubts(
    found: Mapping[CellRole, FoundCells],
    scores: Mapping[CellRole, NDArray[np.float32]],
    *,
    present: Sequence[bool],
    confidence: Confidence,
) -> tuple[Doubt, ...]:
    """What there is to say of each role that a channel shows."""
    doubts = []
    for role, of_role in found.items():
        usual = confidence.usual[curve_of(role, present)]
        enough = len(scores[role]) >= LEAST_CELLS
        wrong = 1 - float(np.mean(scores[role], dtype=np.float64)) if enough else float("nan")
        stray = of_role.stray if enough else float("nan")
        doubts += [
            Doubt(about="wrong", of=role, value=wrong, least=0.0, most=MOST_WRONG),
            Doubt(about="stray", of=role, value=stray, least=0.0, most=usual.most_stray),
            Doubt(
                about="area_um2",
                of=role,
                value=of_role.median_area_um2,
                least=usual.least_area_um2,
                most=usual.most_area_um2,
            ),
        ]
    return tuple(doubts)


def swaps_of(present: Sequence[bool]) -> list[tuple[ChannelRole, ChannelRole]]:
    """Pairs of channels that a user may have taken for each other."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    return [swap for swap in SWAPS if shown.issuperset(swap)]


def swapped(image: NDArray[np.float32], swap: tuple[ChannelRole, ChannelRole]) -> NDArray[np.float32]:
    """(R, Y, X) slots with two of them exchanged."""
    one, other = (CHANNEL_ROLES.index(role) for role in swap)
    order = list(range(len(CHANNEL_ROLES)))
    order[one], order[other] = other, one
    return image[order]


def swap_doubt(
    swap: tuple[ChannelRole, ChannelRole],
    as_they_are: Sequence[NDArray[np.float32]],
    exchanged: Sequence[NDArray[np.float32]],
) -> Doubt:
    """Compare the scores of all roles' cells, as the channels are and with two of them exchanged."""
    given, other = (np.concatenate([*scores, np.zeros(0, np.float32)]) for scores in (as_they_are, exchanged))
    gain = float("nan")
    if len(other) >= LEAST_CELLS:
        after = float(other.mean(dtype=np.float64))
        before = float(given.mean(dtype=np.float64)) if len(given) else 0.0
        enough = float(other.sum(dtype=np.float64)) >= AS_MANY * float(given.sum(dtype=np.float64))
        gain = after - before if enough and after >= GOOD else -1.0
    most = CLEARLY_BETTER_TARGET_DEATH if swap == ("target", "death") else CLEARLY_BETTER
    return Doubt(about="swap", of=" ".join(swap), value=gain, least=-1.0, most=most)


def usual_of(areas_um2: Sequence[float], strays: Sequence[float]) -> Usual:
    """What is usual, of the median areas of right cells and the stray shares of many frames."""
    area, stray = np.asarray(areas_um2), np.asarray(strays)
    return Usual(
        least_area_um2=round(float(np.quantile(area, 0.005)) / _SLACK, 1),
        most_area_um2=round(float(np.quantile(area, 0.995)) * _SLACK, 1),
        most_stray=round(max(_LEAST_STRAY, float(np.quantile(stray, 0.99))), 3),
    )
