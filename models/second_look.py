"""Looking twice: at the frame as it is and turned by 180 degrees. The maps are the mean of both looks.

What the network takes for a cell in one look only is dimmed, and outlines tremble less from frame to frame.

The network leaves the maps of one pixel side by side. Decoding reads one map at a time and only where cells are, so in
a processor's memory one loop makes planes of both looks.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.compiled import compiled

_COLUMNS = 64  # blocks that are worked on together, so that they stay in the cache meanwhile
_ROWS = 16  # of blocks, whose maps are made and read again while they lie in the cache


def mean_of_two_looks(
    features: Tensor, turned: Tensor, maps_of: Callable[[Tensor], Tensor], signs: Tensor
) -> Tensor:
    """The mean of what the network says of frames as they are and turned by 180 degrees, at full size.

    Args:
        features: (B, C, Y/2, X/2) of the frames as they are.
        turned: The same of the turned frames.
        maps_of: Features -> (B, 4 * K, Y/2, X/2) float32, the four pixels of a block side by side; each block by itself.
        signs: (K,) -1 for maps that speak of a direction, which the turn reverses, else 1.

    Returns:
        (B, K, Y, X).
    """
    if features.device.type != "cpu":
        seen, back = (
            functional.pixel_shuffle(maps_of(features), 2),
            functional.pixel_shuffle(maps_of(turned), 2),
        )
        return (seen + back.flip(2, 3) * signs[:, None, None]) / 2
    n, _, height, width = features.shape
    planes = np.empty((n, len(signs), 2 * height, 2 * width), dtype=np.float32)
    for number in range(n):
        for top in range(0, height, _ROWS):
            bottom = min(top + _ROWS, height)
            seen = maps_of(features[number : number + 1, :, top:bottom])
            back = maps_of(turned[number : number + 1, :, height - bottom : height - top])
            _mean(_side_by_side(seen), _side_by_side(back), signs.numpy(), top, planes[number])
    return torch.from_numpy(planes)


def _side_by_side(maps: Tensor) -> NDArray[np.float32]:
    """(1, 4 * K, y, x) -> (y, x, 4 * K)."""
    return maps[0].detach().permute(1, 2, 0).contiguous().numpy()


@compiled
def _mean(
    maps: NDArray[np.float32],
    turned: NDArray[np.float32],
    signs: NDArray[np.float32],
    top: int,
    planes: NDArray[np.float32],
) -> None:
    """Rows of blocks from `top` on, (y, X/2, 4 * K) twice, to (K, Y, X)."""
    height, width, _ = maps.shape
    half = np.float32(0.5)
    for y in range(height):
        for left in range(0, width, _COLUMNS):
            right = min(left + _COLUMNS, width)
            for kind in range(len(signs)):
                for row in range(2):
                    at = 4 * kind + 2 * row
                    opposite = 4 * kind + 3 - 2 * row
                    for x in range(left, right):
                        for column in range(2):
                            second = turned[height - 1 - y, width - 1 - x, opposite - column]
                            planes[kind, 2 * (top + y) + row, 2 * x + column] = half * (
                                maps[y, x, at + column] + signs[kind] * second
                            )
