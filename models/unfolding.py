"""Images to half size, the four pixels of a block side by side, and maps back again, in a processor's memory.

The network leaves the maps of one pixel side by side. Decoding reads one map at a time and only where cells are,
so planes let it leave most of the memory alone; and making them costs no more than what torch makes.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.compiled import compiled

_BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}  # values are moved, whatever they are
_COLUMNS = 64  # blocks that are turned about together, so that they stay in the cache meanwhile


def folded(planes: Tensor, slots: int) -> Tensor:
    """What the network's first convolution reads: `pixel_unshuffle` of the images, and the flags of every block.

    In a processor's memory one loop makes it, with all that belongs to a block side by side. No gradient goes through it.

    Args:
        planes: (B, slots + flags, Y, X).
        slots: How many of them are images.

    Returns:
        (B, 4 * slots + flags, Y/2, X/2), in torch's memory format `channels_last`.
    """
    bits = _BITS.get(planes.dtype)
    if planes.device.type != "cpu" or bits is None:
        images = functional.pixel_unshuffle(planes[:, :slots], 2)
        flags = planes[:, slots:, ::2, ::2]
        return torch.cat([images, flags], dim=1).contiguous(memory_format=torch.channels_last)
    n, kinds, height, width = planes.shape
    blocks = torch.empty((n, height // 2, width // 2, 3 * slots + kinds), dtype=bits)
    _side_by_side(planes.detach().contiguous().view(bits).numpy(), slots, blocks.numpy())
    return blocks.view(planes.dtype).permute(0, 3, 1, 2)


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


@compiled
def _side_by_side(planes: NDArray[Any], slots: int, blocks: NDArray[Any]) -> None:
    """(B, slots + flags, Y, X) to (B, Y/2, X/2, 4 * slots + flags)."""
    images, kinds, _, _ = planes.shape
    _, height, width, _ = blocks.shape
    for n in range(images):
        for y in range(height):
            for left in range(0, width, _COLUMNS):
                right = min(left + _COLUMNS, width)
                for slot in range(slots):
                    for x in range(left, right):
                        for corner in range(4):
                            blocks[n, y, x, 4 * slot + corner] = planes[
                                n, slot, 2 * y + corner // 2, 2 * x + corner % 2
                            ]
                for flag in range(slots, kinds):
                    for x in range(left, right):
                        blocks[n, y, x, 3 * slots + flag] = planes[n, flag, 2 * y, 2 * x]
