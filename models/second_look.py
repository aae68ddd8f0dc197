"""Looking twice: at the frame as it is and turned by 180 degrees. The maps are the mean of both looks.

What the network takes for a cell in one look only is dimmed, and outlines tremble less from frame to frame.

The network leaves the maps of one pixel side by side. Decoding reads one map at a time and only where cells are, so in
a processor's memory one loop makes planes of both looks.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.compiled import compiled

_COLUMNS = 64  # blocks that are worked on together, so that they stay in the cache meanwhile


def mean_of_two_looks(maps: Tensor, turned: Tensor, signs: Tensor) -> Tensor:
    """The mean of what the network leaves of frames as they are and turned by 180 degrees, at full size.

    Args:
        maps: (B, 4 * K, Y/2, X/2) float32, the four pixels of a block side by side.
        turned: The same of the turned frames.
        signs: (K,) -1 for maps that speak of a direction, which the turn reverses, else 1.

    Returns:
        (B, K, Y, X).
    """
    seen, back = maps.detach().permute(0, 2, 3, 1), turned.detach().permute(0, 2, 3, 1)
    if maps.device.type != "cpu" or not (seen.is_contiguous() and back.is_contiguous()):
        second = functional.pixel_shuffle(turned, 2).flip(2, 3) * signs[:, None, None]
        return (functional.pixel_shuffle(maps, 2) + second) / 2
    n, kinds, height, width = maps.shape
    planes = np.empty((n, kinds // 4, 2 * height, 2 * width), dtype=np.float32)
    _mean(seen.numpy(), back.numpy(), signs.numpy(), planes)
    return torch.from_numpy(planes)


@compiled
def _mean(
    maps: NDArray[np.float32],
    turned: NDArray[np.float32],
    signs: NDArray[np.float32],
    planes: NDArray[np.float32],
) -> None:
    """(B, Y/2, X/2, 4 * K) twice to (B, K, Y, X)."""
    images, height, width, _ = maps.shape
    half = np.float32(0.5)
    for n in range(images):
        for y in range(height):
            for left in range(0, width, _COLUMNS):
                right = min(left + _COLUMNS, width)
                for kind in range(len(signs)):
                    for row in range(2):
                        at = 4 * kind + 2 * row
                        opposite = 4 * kind + 3 - 2 * row
                        for x in range(left, right):
                            for column in range(2):
                                second = turned[n, height - 1 - y, width - 1 - x, opposite - column]
                                planes[n, kind, 2 * y + row, 2 * x + column] = half * (
                                    maps[n, y, x, at + column] + signs[kind] * second
                                )
