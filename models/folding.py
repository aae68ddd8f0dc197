"""Images and maps to half size in a processor's memory, as the network wants them laid."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.compiled import compiled

_BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}  # values are moved, whatever they are
_COLUMNS = 64  # blocks that are turned about together, so that they stay in the cache meanwhile


def folded(planes: Tensor, slots: int, *, turned: bool = False) -> Tensor:
    """What the network's first convolution reads: `pixel_unshuffle` of the images, and the flags of every block.

    In a processor's memory one loop makes it, with all that belongs to a block side by side. No gradient goes through it.

    Args:
        planes: (B, slots + flags, Y, X).
        slots: How many of them are images.
        turned: By 180 degrees, and then folded.

    Returns:
        (B, 4 * slots + flags, Y/2, X/2), in torch's memory format `channels_last`.
    """
    bits = _BITS.get(planes.dtype)
    if planes.device.type != "cpu" or bits is None:
        planes = planes.flip(2, 3) if turned else planes
        images = functional.pixel_unshuffle(planes[:, :slots], 2)
        flags = planes[:, slots:, ::2, ::2]
        return torch.cat([images, flags], dim=1).contiguous(memory_format=torch.channels_last)
    n, kinds, height, width = planes.shape
    blocks = torch.empty((n, height // 2, width // 2, 3 * slots + kinds), dtype=bits)
    _side_by_side(planes.detach().contiguous().view(bits).numpy(), slots, turned, blocks.numpy())
    return blocks.view(planes.dtype).permute(0, 3, 1, 2)


def halved(x: Tensor) -> Tensor:
    """`max_pool2d(x, 2)` in two thirds of its time, where nobody asks which pixel was the greatest."""
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])  # (B, C, Y, X) -> (B, C, Y/2, X)
    return torch.maximum(rows[..., ::2], rows[..., 1::2])  # -> (B, C, Y/2, X/2)


@compiled
def _side_by_side(planes: NDArray[Any], slots: int, turned: bool, blocks: NDArray[Any]) -> None:
    """(B, slots + flags, Y, X) to (B, Y/2, X/2, 4 * slots + flags)."""
    images, kinds, _, _ = planes.shape
    _, height, width, _ = blocks.shape
    step = -1 if turned else 1
    first_y, first_x = (2 * height - 1, 2 * width - 1) if turned else (0, 0)
    for n in range(images):
        for y in range(height):
            for left in range(0, width, _COLUMNS):
                right = min(left + _COLUMNS, width)
                for slot in range(slots):
                    for x in range(left, right):
                        for corner in range(4):
                            blocks[n, y, x, 4 * slot + corner] = planes[
                                n,
                                slot,
                                first_y + step * (2 * y + corner // 2),
                                first_x + step * (2 * x + corner % 2),
                            ]
                for flag in range(slots, kinds):
                    for x in range(left, right):
                        blocks[n, y, x, 3 * slots + flag] = planes[
                            n, flag, first_y + step * 2 * y, first_x + step * 2 * x
                        ]
