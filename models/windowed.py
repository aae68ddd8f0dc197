"""Whole frames through a network window by window, giving way when memory runs out.

How many windows go at once, and how large they are, changes speed and memory only: see `models.tiling`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from assay.errors import DeviceError
from models.network import HALO_PX, STRIDE
from models.tiling import Span, windows

MIN_TILE_PX = 512  # smaller windows would be mostly halo
_PIXELS_AT_ONCE = {"cpu": 1, "cuda": 1 << 23}  # a CPU is fastest with one window, a GPU wants to be filled


class WindowedNetwork:
    """Maps of whole frames.

    Args:
        compute: (B, planes, Y, X) windows -> (B, maps, Y, X) on the same device.
        maps: How many maps come out.
        device: Where it computes, to choose `batch` and to name it in errors.
        batch: Windows per pass; None for what suits the device.
        tile_px: Longest side of a window.
    """

    def __init__(
        self,
        compute: Callable[[Tensor], Tensor],
        *,
        maps: int,
        device: torch.device,
        batch: int | None,
        tile_px: int,
    ) -> None:
        self._compute = compute
        self._maps = maps
        self._device = device
        self.batch = None if batch is None else max(1, batch)
        self.tile_px = tile_px

    def batch_of(self, shape: tuple[int, int]) -> int:
        """Windows per pass for frames of this padded shape, and so many frames are worth bringing at once."""
        if self.batch is not None:
            return self.batch
        window_px = min(shape[0], self.tile_px) * min(shape[1], self.tile_px)
        return max(1, _PIXELS_AT_ONCE[self._device.type] // window_px)

    def __call__(self, planes: Tensor) -> Tensor:
        """(N, planes, Y, X) -> (N, maps, Y, X); sides are multiples of `STRIDE`.

        When memory runs out the batch is halved, then the windows, for this call and all that follow.

        Raises:
            DeviceError: Memory does not even hold the smallest window.
        """
        while True:
            try:
                return self._window_by_window(planes)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._give_way((planes.shape[2], planes.shape[3]))  # here the error no longer holds on to tensors

    def _window_by_window(self, planes: Tensor) -> Tensor:
        shape = (planes.shape[2], planes.shape[3])
        batch = self.batch_of(shape)
        grid = list(windows(shape, tile_px=self.tile_px, halo_px=HALO_PX, stride=STRIDE))
        if len(grid) == 1 and len(planes) <= batch:
            return self._compute(planes)
        jobs = [(frame, *window) for frame in range(len(planes)) for window in grid]
        out = torch.empty((len(planes), self._maps, *shape), device=planes.device)
        for start in range(0, len(jobs), batch):
            some = jobs[start : start + batch]
            maps = self._compute(stacked([planes[n, :, _all(y), _all(x)] for n, y, x in some]))
            for one, (n, y, x) in zip(maps, some, strict=True):
                out[n, :, y.keep_start : y.keep_stop, x.keep_start : x.keep_stop] = one[:, y.kept, x.kept]
        return out

    def _give_way(self, shape: tuple[int, int]) -> None:
        batch = self.batch_of(shape)
        longest = min(max(shape), self.tile_px)
        if batch > 1:
            self.batch = batch // 2
        elif longest > MIN_TILE_PX:
            self.tile_px = max(MIN_TILE_PX, longest // 2 // STRIDE * STRIDE)
        else:
            raise out_of_memory(self._device, f"one window of {shape_text(shape, self.tile_px)} pixels")
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found no memory; for GPUs it has a class of its own, for CPUs only a message."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def out_of_memory(device: torch.device, what: str) -> DeviceError:
    """The error that says so, and what to do."""
    if device.type == "cpu":
        todo = "Run with fewer workers, or on a machine with more memory"
    else:
        todo = "Let other programs leave it, or run with `--device cpu`"
    return DeviceError(f"device {device} ran out of memory on {what}. {todo}; what is done is kept.")


def shape_text(shape: tuple[int, int], most: int) -> str:
    """`Y x X` of the largest window."""
    return " x ".join(str(min(side, most)) for side in shape)


def stacked(tensors: list[Tensor]) -> Tensor:
    """One batch of several; a single one is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def _all(span: Span) -> slice:
    return slice(span.start, span.stop)
