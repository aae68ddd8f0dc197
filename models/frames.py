"""Frames as the network takes them: checked, of finite numbers, and of its pixel size.

Knows nothing of devices or windows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.errors import ImageError, ShapeError
from assay.labels import CELL_ROLES, CHANNEL_ROLES, ChannelRole
from models.decode_torch import averaged
from models.network import MAPS_PER_ROLE, OFFSET_Y

_LOOKED_AT_UM = 500.0  # a side of the part that is looked at for swapped channels


def resized(image: Tensor, shape: tuple[int, int], *, smooth: bool) -> Tensor:
    """Bring (C, Y, X) to `shape`: smoothly, averaging where it shrinks, or by the nearest pixel."""
    if tuple(image.shape[1:]) == shape or not len(image):
        return image if len(image) else image.new_zeros((0, *shape))
    if smooth:
        return functional.interpolate(image[None], shape, mode="bilinear", antialias=True)[0]
    return functional.interpolate(image[None], shape, mode="nearest-exact")[0]


def brought_back(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Bring maps to the frame's grid, after a mean over 3x3 pixels: logits smoothly, offsets without mixing two cells'."""
    by_role = averaged(maps).reshape(len(CELL_ROLES), MAPS_PER_ROLE, *maps.shape[1:])
    back = by_role.new_empty((*by_role.shape[:2], *shape))
    for of_role, of_back in zip(by_role, back, strict=True):
        of_back[:OFFSET_Y] = resized(of_role[:OFFSET_Y], shape, smooth=True)
        of_back[OFFSET_Y:] = resized(of_role[OFFSET_Y:], shape, smooth=False)
    return back.flatten(0, 1)


def require_frames(images: NDArray[np.float32], present: Sequence[bool]) -> None:
    """Refuse frames of another shape than (N, R, Y, X), and another number of flags.

    Raises:
        ShapeError: They are.
    """
    slots = len(CHANNEL_ROLES)
    if images.ndim != 4 or images.shape[1] != slots or 0 in images.shape[2:] or len(present) != slots:
        raise ShapeError(
            f"frames to segment are {images.shape} with {len(present)} presence flags, expected "
            f"(frames, {slots}, y, x) and {slots} flags: one slot per role of {', '.join(CHANNEL_ROLES)}."
        )


def require_numbers(image: Tensor, role: ChannelRole) -> None:
    """Refuse NaN and infinity; their sum would not be finite, and a sum is much faster than a look at each."""
    if not bool(image.sum().isfinite()) and not bool(image.isfinite().all()):
        raise ImageError(
            f"the {role} channel holds values that are no numbers (NaN or infinite); "
            "expected finite ones. Mend the image, or leave the frame out."
        )


def middle(length: int, pixel_um: float) -> slice:
    """The middle of a side, at most `_LOOKED_AT_UM` of it."""
    kept = min(length, max(1, round(_LOOKED_AT_UM / pixel_um)))
    start = (length - kept) // 2
    return slice(start, start + kept)
