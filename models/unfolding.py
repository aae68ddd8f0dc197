"""Maps at half size, the four pixels of a block side by side, laid out as whole planes.

The network leaves the maps of one pixel side by side. Decoding reads one map at a time and only where cells are,
so planes let it leave most of the memory alone; and making them costs no more than what torch makes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.compiled import compiled

_COLUMNS = 64  # blocks that are turned about together, so that they stay in the cache meanwhile


def unfolded(maps: Tensor) -> Tensor:
    """The values of `pixel_shuffle(maps, 2)`; in a processor's memory as planes.

    Args:
        maps: (B, 4 * K, Y/2, X/2) float32.

    Returns:
        (B, K, Y, X).
    """
    by_pixel = maps.detach().permute(0, 2, 3, 1)
    if maps.device.type != "cpu" or maps.dtype != torch.float32 or not by_pixel.is_contiguous():
        return functional.pixel_shuffle(maps, 2)
    n, kinds, height, width = maps.shape
    planes = np.empty((n, kinds // 4, 2 * height, 2 * width), dtype=np.float32)
    # two neighbours in a row are moved as one number
    _turn_about(by_pixel.numpy().view(np.uint64), planes.view(np.uint64))
    return torch.from_numpy(planes)


@compiled
def _turn_about(by_pixel: NDArray[np.uint64], planes: NDArray[np.uint64]) -> None:
    """(B, Y/2, X/2, 2 * K) pairs of pixels to (B, K, Y, X/2)."""
    images, height, width, kinds = by_pixel.shape
    for n in range(images):
        for y in range(height):
            for left in range(0, width, _COLUMNS):
                right = min(left + _COLUMNS, width)
                for kind in range(kinds):
                    for x in range(left, right):
                        planes[n, kind // 2, 2 * y + kind % 2, x] = by_pixel[n, y, x, kind]
