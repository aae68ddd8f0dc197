"""The light of one channel of one frame, whose rows may come one part after the other.

Knows pixels, and how densely to look at them. What it says of a frame does not depend on how the frame was cut, but for
the last digits of sums of what are no whole numbers.
"""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRUCTURE_PX = 8
"""Side of the blocks whose steps are the contrast, in pixels."""
PART_ROWS = 96
"""A part of a frame, but for the last, has a multiple of so many rows: it cuts no block and no neighbourhood."""

_STEP = 4  # pixels between samples for medians: one in sixteen is plenty
_NOISE_STEP = 3  # every third centre: neighbourhoods do not overlap
_SPARSE_STEP = 12  # of both, in frames of more pixels than these
_SPARSE_FROM_PX = 8192 * 8192
_FINE = 4  # side of the blocks whose bends are the focus
_TILE = 32  # pixels; a whole tile of one value was never recorded
_SENSOR_LIMITS = (255, 1023, 4095, 16383, 65535)


def sample_step(shape: tuple[int, int]) -> int:
    """Pixels from one sample to the next, along both axes; where there are cells is asked at the samples only."""
    return _SPARSE_STEP if shape[0] * shape[1] > _SPARSE_FROM_PX else _STEP


class ChannelLight:
    """What is known of a channel from the rows that were added.

    Args:
        shape: Of the whole frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape, self._step = shape, sample_step(shape)
        self._noise_step = _NOISE_STEP if self._step == _STEP else self._step
        self._samples: list[NDArray[Any]] = []
        self._bends: list[NDArray[np.float64]] = []
        self._brightest: list[NDArray[Any]] = []  # of each tile
        self._low: Any = None
        self._high: Any = None
        self._total, self._finite, self._at_limit, self._checksum = 0.0, 0, 0, 0
        self._rows, self._noise = 0, float("nan")
        self._fine, self._coarse = _Differences(2), _Differences(1)

    def add(self, rows: NDArray[Any]) -> None:
        """Add the rows below those that were added."""
        pixels = rows
        if np.issubdtype(rows.dtype, np.floating):
            finite = np.isfinite(rows)
            here = int(np.count_nonzero(finite))
            self._finite += here
            pixels = rows if here == rows.size else np.where(finite, rows, 0.0)
        else:
            self._finite += rows.size
        self._add_limits(pixels)
        self._total += float(np.sum(pixels, dtype=np.float64))
        self._samples.append(np.ascontiguousarray(pixels[:: self._step, :: self._step]))
        if min(self._shape) >= 3:
            self._bends.append(_laplacians(pixels, self._noise_step))
        high, wide = (length // _TILE for length in pixels.shape)
        tiles = pixels[: high * _TILE, : wide * _TILE].reshape(high, _TILE, wide, _TILE)
        self._brightest.append(tiles.max(axis=(1, 3)))
        fine = _block_means(pixels, _FINE)
        self._fine.add(fine)
        self._coarse.add(_block_means(fine, STRUCTURE_PX // _FINE))
        self._checksum = zlib.crc32(np.ascontiguousarray(pixels).data, self._checksum)
        self._rows += len(rows)
        if self._rows == self._shape[0] and self._bends:  # they are many more than the samples
            self._noise = _noise(self._bends)
            self._bends = []

    @property
    def holds_no_numbers(self) -> bool:
        """Whether a pixel is NaN or infinite."""
        return self._finite < self._size

    @property
    def flat_at(self) -> float | None:
        """The one value that all pixels have; None where they differ."""
        return float(self._low) if self._low == self._high else None

    def measured(self, cells: NDArray[np.bool_] | None) -> dict[str, Any]:
        """What `FrameQuality` says of the channel.

        Args:
            cells: Whether there is a cell, at the samples; None where that is not known.
        """
        sample = np.concatenate(self._samples).astype(np.float64)
        outside = sample if cells is None or cells.all() else sample[~cells]
        background = float(np.median(outside))
        signal = (
            float("nan")
            if cells is None or not cells.any()
            else float(np.percentile(sample[cells], 95)) - background
        )
        contrast, focus = self._structure(self._noise)
        invalid = 1.0 - self._finite / self._size
        return {
            "mean": self._total / self._size,
            "background": background,
            "noise": self._noise,
            "contrast": contrast,
            "focus": focus,
            "saturated": self._saturated(),
            "signal": signal,
            "constant": bool(self._low == self._high) or invalid == 1.0,
            "invalid": invalid,
            "blank": self._blank(),
            "fingerprint": float(self._checksum),
        }

    @property
    def _size(self) -> int:
        return self._shape[0] * self._shape[1]

    def _add_limits(self, pixels: NDArray[Any]) -> None:
        low, high = pixels.min(), pixels.max()
        self._low = low if self._low is None else min(self._low, low)
        if self._high is None or high > self._high:
            self._high, self._at_limit = high, 0
        if high == self._high and _is_limit(high):
            self._at_limit += int(np.count_nonzero(pixels == high))

    def _saturated(self) -> float:
        """Share of pixels at the sensor's limit: cameras of 8 to 16 bits all end at one of five values."""
        if not np.issubdtype(self._high.dtype, np.integer):
            return float("nan")
        return float(self._at_limit) / self._size

    def _blank(self) -> float:
        """Share of tiles in which every pixel has the image's lowest value; small images have no tiles."""
        brightest = np.concatenate(self._brightest)
        return float((brightest == self._low).mean()) if brightest.size else 0.0

    def _structure(self, noise: float) -> tuple[float, float]:
        """Contrast between blocks of 8 pixels, and how much of it bends within blocks of 4 (edges, not slopes)."""
        if min(side // STRUCTURE_PX for side in self._shape) < 3:
            return float("nan"), float("nan")
        variance = 0.0 if np.isnan(noise) else noise**2
        # 6 = 1 + 4 + 1, the weights of a bend squared
        fine_power = self._fine.power - 6 * variance / _FINE**2
        coarse_power = self._coarse.power - 2 * variance / STRUCTURE_PX**2
        contrast = float(np.sqrt(max(coarse_power, 0.0)))
        # an image whose structure drowns in noise has no focus: neither good nor bad
        if coarse_power <= variance / 4 or coarse_power <= 0.0:
            return contrast, float("nan")
        return contrast, float(np.sqrt(max(fine_power, 0.0) / coarse_power))


class _Differences:
    """Mean square of differences over both axes: of steps from block to block (order 1), or of bends (order 2).

    A bend is nothing on a slope and much at an edge.
    """

    def __init__(self, order: int) -> None:
        self._order = order
        self._last: NDArray[np.float32] | None = None
        self._sums, self._counts = [0.0, 0.0], [0, 0]

    def add(self, blocks: NDArray[np.float32]) -> None:
        """Add the rows of blocks below those that were added."""
        joined = blocks if self._last is None else np.concatenate([self._last, blocks])
        for axis, values in ((0, joined), (1, blocks)):
            differences = np.diff(values, n=self._order, axis=axis)
            self._sums[axis] += float(np.sum(np.square(differences), dtype=np.float64))
            self._counts[axis] += differences.size
        self._last = joined[-self._order :].copy()

    @property
    def power(self) -> float:
        """Mean over the two axes."""
        along_y, along_x = (total / n for total, n in zip(self._sums, self._counts, strict=True))
        return (along_y + along_x) / 2


def _noise(bends: list[NDArray[np.float64]]) -> float:
    """Noise from the median of a Laplacian's size, which smooth structure and sparse cells hardly touch.

    Source: Immerkaer 1996, doi:10.1006/cviu.1996.0060 (the kernel; the median is ours).
    """
    return float(1.4826 * np.median(np.abs(np.concatenate(bends))) / 6.0)


def _laplacians(pixels: NDArray[Any], step: int) -> NDArray[np.float64]:
    rows, columns = max(pixels.shape[0] - 2, 0), pixels.shape[1] - 2
    total = np.zeros((len(range(0, rows, step)), len(range(0, columns, step))), dtype=np.float64)
    for dy, line in enumerate(((1, -2, 1), (-2, 4, -2), (1, -2, 1))):
        for dx, weight in enumerate(line):
            total += weight * pixels[dy : dy + rows : step, dx : dx + columns : step].astype(np.float64)
    return total


def _block_means(pixels: NDArray[Any], size: int) -> NDArray[np.float32]:
    y, x = (length // size * size for length in pixels.shape)
    total = pixels[0:y:size, 0:x:size].astype(np.float32)
    for dy, dx in list(np.ndindex(size, size))[1:]:
        total += pixels[dy:y:size, dx:x:size]
    total /= size * size
    return total


def _is_limit(value: Any) -> bool:
    return bool(np.issubdtype(value.dtype, np.integer)) and int(value) in _SENSOR_LIMITS
