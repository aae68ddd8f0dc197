"""The network: role slots in, maps of foreground, centre heat and offsets out.

Knows tensors only: no files, no device choice, no numpy. Per cell role it says, for every pixel, whether a
cell lies there, how near the pixel is to that cell's centre, and where the centre is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.folding import folded, halved
from models.fused import can_fuse, convolve_add_and_rectify, convolve_and_rectify
from models.second_look import mean_of_two_looks

FOREGROUND, HEAT, OFFSET_Y, OFFSET_X = range(4)
MAPS_PER_ROLE = 4
OFFSET_UNIT_PX = 8.0  # offsets are spoken of in this unit, so that all maps are of one size
STRIDE = 16  # sides of the input must be multiples of this
HALO_PX = 96  # further from a cut than this, a map does not know of the cut (test_network counts it)


SIZES: Mapping[str, tuple[int, ...]] = {
    "fast": (32, 32, 64, 64),
    "standard": (32, 64, 128, 256),
    "accurate": (64, 96, 128, 256),
}
"""Channels of the four levels. In multiples of 32, because processors compute in blocks of 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What fixes the shape of every weight."""

    slots: int
    cell_roles: int
    widths: tuple[int, ...] = SIZES["standard"]

    @property
    def maps(self) -> int:
        """Number of maps that come out: foreground, heat, offset y and x of each cell role."""
        return self.cell_roles * MAPS_PER_ROLE


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self._in_one_pass = False

    def forward(self, x: Tensor) -> Tensor:
        """Give features of the same size in y and x."""
        if self._in_one_pass:
            h = convolve_and_rectify(x, self.conv1)  # (B, inputs, Y, X) -> (B, outputs, Y, X)
            return convolve_add_and_rectify(h, self.shortcut(x), self.conv2)
        h = functional.relu(
            self.norm1(self.conv1(x)), inplace=True
        )  # (B, inputs, Y, X) -> (B, outputs, Y, X)
        h = self.norm2(self.conv2(h))  # -> (B, outputs, Y, X)
        return functional.relu(h + self.shortcut(x), inplace=True)

    def fuse(self, *, in_one_pass: bool) -> None:
        """Fold the normalisations into the convolutions, for inference; `in_one_pass` also sum and relu."""
        self.conv1, self.norm1 = _folded(self.conv1, self.norm1), nn.Identity()  # type: ignore[assignment]
        self.conv2, self.norm2 = _folded(self.conv2, self.norm2), nn.Identity()  # type: ignore[assignment]
        self._in_one_pass = in_one_pass


class SegmentationNet(nn.Module):
    """A residual U-Net of four levels that works at half resolution and below.

    The 2x2 space-to-depth stem makes the finest level a quarter of the work, and costs no detail: the maps
    come back at full resolution the same way.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        slots, widths = architecture.slots, architecture.widths
        self.slots = slots
        self._folds_in_a_loop = False
        inputs = (4 * slots + slots, *widths[:-1])
        self.encoder = nn.ModuleList(ResidualBlock(i, o) for i, o in zip(inputs, widths, strict=True))
        finer, coarser = widths[:-1], widths[1:]
        self.rise = nn.ModuleList(nn.Conv2d(c, f, 1) for f, c in zip(finer, coarser, strict=True))
        self.decoder = nn.ModuleList(ResidualBlock(f, f) for f in finer)
        self.head = nn.Conv2d(widths[0], 4 * architecture.maps, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """Turn slots and their presence flags into maps.

        Args:
            planes: (B, 2 * slots, Y, X): the images of the slots, then one constant plane per slot that is
                1 where the slot holds an image; Y and X are multiples of `STRIDE`.

        Returns:
            (B, maps, Y, X): per cell role foreground logit, centre heat logit, offset y, offset x
            in units of `OFFSET_UNIT_PX`.
        """
        maps = self._maps(self._features(planes))  # -> (B, 4 * maps, Y/2, X/2)
        return functional.pixel_shuffle(maps, 2)  # -> (B, maps, Y, X)

    def look_twice(self, planes: Tensor) -> Tensor:
        """The maps, as `forward` gives them, as the mean of two looks: the second at the frames turned by 180 degrees."""
        features = self._features(planes)  # -> (B, widths[0], Y/2, X/2)
        turned = self._features(planes, turned=True)  # -> (B, widths[0], Y/2, X/2)
        of_a_role = torch.ones(MAPS_PER_ROLE, device=planes.device)
        of_a_role[OFFSET_Y:] = -1  # offsets point the other way
        return mean_of_two_looks(features, turned, self._maps, of_a_role.repeat(self.architecture.cell_roles))

    def maps_by_block(self, planes: Tensor) -> Tensor:
        """The maps as training reads them, without the turning about of memory that an image of them costs.

        Args:
            planes: As for `forward`.

        Returns:
            (maps, 4, N): the four pixels of each of the N = B * Y/2 * X/2 blocks, as `in_blocks` lays out truth.
        """
        x = self._features(planes)  # (B, 2 * slots, Y, X) -> (B, widths[0], Y/2, X/2)
        with torch.autocast(x.device.type, enabled=False):
            flat = x.float().permute(0, 2, 3, 1).flatten(0, 2)  # -> (N, widths[0])
            bias = self.head.bias
            assert bias is not None
            maps = torch.addmm(bias[:, None], self.head.weight.flatten(1), flat.T)  # -> (4 * maps, N)
        return maps.view(self.architecture.maps, 4, -1)

    def _features(self, planes: Tensor, *, turned: bool = False) -> Tensor:
        if self._folds_in_a_loop:
            x = folded(planes, self.slots, turned=turned)  # -> (B, 5 * slots, Y/2, X/2)
        else:
            planes = planes.flip(2, 3) if turned else planes
            images = functional.pixel_unshuffle(planes[:, : self.slots], 2)  # -> (B, 4 * slots, Y/2, X/2)
            flags = planes[:, self.slots :, ::2, ::2]  # -> (B, slots, Y/2, X/2)
            x = torch.cat([images, flags], dim=1)  # -> (B, 5 * slots, Y/2, X/2)
            x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                x = halved(x) if self._folds_in_a_loop else functional.max_pool2d(x, 2)
            x = block(x)  # -> (B, widths[level], Y/2^(level+1), ...)
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            up = functional.interpolate(self.rise[level](x), scale_factor=2.0, mode="nearest")
            x = self.decoder[level](skips[level] + up)  # -> (B, widths[level], Y/2^(level+1), ...)
        return x

    def _maps(self, x: Tensor) -> Tensor:
        # In float32 whatever came before: rounded heat would make ties between pixels.
        with torch.autocast(x.device.type, enabled=False):
            maps: Tensor = self.head(x.float())  # -> (B, 4 * maps, Y/2, X/2)
        return maps

    def for_inference(self, dtype: torch.dtype, *, one_pass: bool = True) -> "SegmentationNet":
        """Fold normalisations away and convert all but the head to `dtype`; changes this network.

        Args:
            dtype: In which the convolutions are computed.
            one_pass: Let a CPU add and rectify within the convolution, where it can, and fold images in a compiled
                loop. An export says no.
        """
        self.eval()
        on_cpu = next(self.parameters()).device.type == "cpu"
        for block in (*self.encoder, *self.decoder):
            block.fuse(in_one_pass=one_pass and on_cpu and can_fuse(dtype))
        self._folds_in_a_loop = one_pass and on_cpu
        self.to(dtype)
        self.head.float()
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def in_blocks(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay out truth as `SegmentationNet.maps_by_block` gives maps: (B, K, Y, X) -> (K, 4, B * Y/2 * X/2)."""
    images, kinds, height, width = planes.shape
    blocks = planes.reshape(images, kinds, height // 2, 2, width // 2, 2)
    laid = blocks.transpose(1, 3, 5, 0, 2, 4)  # -> (K, 2, 2, B, Y/2, X/2)
    return np.ascontiguousarray(laid).reshape(kinds, 4, -1)


def _folded(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    if not isinstance(norm, nn.BatchNorm2d):  # folded already
        return conv
    return fuse_conv_bn_eval(conv.eval(), norm.eval())
