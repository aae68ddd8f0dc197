"""The naive baseline: thresholds and a watershed on the distance to the edge, as a lab's own script has them.

Roles are told apart the plain way: a cell in the effector dye is an effector, one in the target dye a target, a
nucleus that lies mostly under effector dye is no target; without any dye, small pieces are effectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_local, threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from assay.labels import CHANNEL_ROLES, ChannelRole, FrameLabels

Threshold = Literal["otsu", "otsu of logarithm", "local"]
_DARK = 0.2  # of the span: about where empty field lies in raw counts, so that the logarithm sees the same
_LOCAL_UM = 40.0  # window of the local threshold
_TEXTURE_UM = 2.5  # window of the spread of transmitted light
_LARGEST_EFFECTOR_UM2 = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of the cells beforehand, in um."""

    smooth_um: float
    apart_um: float  # centres of two cells
    smallest_um2: float


EFFECTOR = Shape(smooth_um=0.65, apart_um=3.25, smallest_um2=25.0)
TARGET = Shape(smooth_um=1.3, apart_um=7.0, smallest_um2=105.0)
NUCLEUS = Shape(smooth_um=0.65, apart_um=4.0, smallest_um2=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classical:
    """A `Segmenter` without a network."""

    threshold: Threshold = "otsu of logarithm"

    @property
    def identity(self) -> Mapping[str, str]:
        """What it is."""
        return {"model": f"{self.threshold}, watershed"}

    def segment(
        self, images: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[FrameLabels]:
        """Label effectors and targets in (N, R, Y, X) frames."""
        shown = [role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there]
        return [
            self._frame(dict(zip(CHANNEL_ROLES, frame, strict=True)), shown, pixel_um) for frame in images
        ]

    def _frame(
        self,
        slots: Mapping[ChannelRole, NDArray[np.float32]],
        shown: Sequence[ChannelRole],
        pixel_um: tuple[float, float],
    ) -> FrameLabels:
        empty = np.zeros(slots["target"].shape, dtype=np.int32)
        effectors = self.cells(slots["effector"], EFFECTOR, pixel_um) if "effector" in shown else empty
        targets = empty
        if "target" in shown:
            targets = self.cells(slots["target"], TARGET, pixel_um)
        elif "nuclei" in shown:
            targets = _without_covered(self.cells(slots["nuclei"], NUCLEUS, pixel_um), effectors > 0)
        elif "brightfield" in shown:
            targets, small = self._transmitted(slots["brightfield"], pixel_um)
            effectors = effectors if "effector" in shown else small
        return FrameLabels(
            effectors=effectors,
            targets=targets,
            effector_scores=np.ones(int(effectors.max()), dtype=np.float32),
            target_scores=np.ones(int(targets.max()), dtype=np.float32),
        )

    def cells(
        self, image: NDArray[np.floating], shape: Shape, pixel_um: tuple[float, float]
    ) -> NDArray[np.int32]:
        """Cells that are brighter than what is around them."""
        size = float(np.sqrt(pixel_um[0] * pixel_um[1]))
        smooth = gaussian(np.asarray(image, dtype=np.float32), shape.smooth_um / size, preserve_range=True)
        if self.threshold == "local":
            window = 2 * round(_LOCAL_UM / size / 2) + 1
            # above its surroundings, and above the dark half of the image: else empty field is full of cells
            mask = (smooth > threshold_local(smooth, window)) & (smooth > 0.5 * threshold_otsu(smooth))
        elif smooth.max() > smooth.min():
            scale = np.log(np.maximum(smooth + _DARK, 0.01)) if "logarithm" in self.threshold else smooth
            mask = scale > threshold_otsu(scale)
        else:
            mask = np.zeros(smooth.shape, dtype=bool)
        return _parted(mask, shape, size)

    def _transmitted(
        self, image: NDArray[np.floating], pixel_um: tuple[float, float]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Large and small pieces of where transmitted light is uneven."""
        size = float(np.sqrt(pixel_um[0] * pixel_um[1]))
        window = max(3, round(_TEXTURE_UM / size))
        mean = ndi.uniform_filter(np.asarray(image, dtype=np.float64), window)
        square = ndi.uniform_filter(np.asarray(image, dtype=np.float64) ** 2, window)
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        mask = (
            spread > threshold_otsu(spread) if spread.max() > spread.min() else np.zeros(spread.shape, bool)
        )
        pieces = _parted(mask, EFFECTOR, size)
        area_um2 = np.bincount(pieces.ravel()) * size**2
        small = area_um2 < _LARGEST_EFFECTOR_UM2
        return _numbered(pieces * ~small[pieces]), _numbered(pieces * small[pieces])


def _parted(mask: NDArray[np.bool_], shape: Shape, size: float) -> NDArray[np.int32]:
    mask = remove_small_objects(mask, max_size=round(shape.smallest_um2 / size**2))
    mask = ndi.binary_fill_holes(mask)
    distance = gaussian(ndi.distance_transform_edt(mask), 1.0)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    apart = max(1, round(shape.apart_um / size))
    peaks = peak_local_max(distance, min_distance=apart, labels=label(mask), exclude_border=False)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found: NDArray[np.int32] = watershed(-distance, seeds, mask=mask).astype(np.int32)
    return found


def _without_covered(labels: NDArray[np.int32], cover: NDArray[np.bool_]) -> NDArray[np.int32]:
    size = np.bincount(labels.ravel())
    covered = np.bincount(labels[cover], minlength=len(size))
    return _numbered(np.where((2 * covered > size)[labels], 0, labels))


def _numbered(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    kept = np.bincount(labels.ravel()) > 0
    kept[0] = False
    number = np.cumsum(kept) * kept
    return number[labels].astype(np.int32)  # type: ignore[no-any-return]
