"""The light of single frames: level, noise, focus, saturation, and what does not change that should.

Knows pixels of one frame, and where its cells are. Which frames hold no usable image is `invalid_planes.py`'s.
"""

import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import FrameLabels

JUMP = 3.0
"""Light that changes this many times from one usable frame to the next comes from the lamp, not the cells."""
MIN_FRAMES_TO_JUDGE = 3
"""Shorter films have no median to be judged by; only broken planes are invalid in them."""

STRUCTURE_PX = 8
"""Side of the blocks whose steps are the contrast, in pixels."""

_STEP = 4  # pixels between samples for medians: one in sixteen is plenty
_FINE = 4  # side of the blocks whose bends are the focus
_TILE = 32  # pixels; a whole tile of one value was never recorded
_SENSOR_LIMITS = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameQuality:
    """The light of some frames of one field: arrays (T, C), rows ordered by frame.

    Intensities are raw counts. NaN means that it cannot be said: focus of an image without structure,
    saturation of floating-point pixels, signal of a frame without cells or whose cells are not known.
    """

    frame: NDArray[np.int32]  # (T,)
    mean: NDArray[np.float64]
    background: NDArray[np.float64]  # median of the pixels outside cells
    noise: NDArray[np.float64]  # standard deviation from pixel to pixel
    contrast: NDArray[np.float64]  # of neighbouring blocks of 8 pixels, noise taken off
    focus: NDArray[np.float64]  # fine over coarse structure: free of brightness, falls with blur
    saturated: NDArray[np.float64]  # share of pixels at the sensor's limit
    signal: NDArray[np.float64]  # bright part of the cells (95 % point) above background
    constant: NDArray[np.bool_]  # every pixel has the same value: nothing was recorded
    invalid: NDArray[np.float64]  # share of pixels that are NaN or infinite
    blank: NDArray[np.float64]  # share of tiles that hold nothing but the image's lowest value
    fingerprint: NDArray[np.float64]  # of the pixels: equal only where every pixel is equal

    def __len__(self) -> int:
        return len(self.frame)


def measure_frame(image: NDArray[Any], *, frame: int, labels: FrameLabels | None = None) -> FrameQuality:
    """Measure the light of one frame.

    Args:
        image: (C, Y, X) raw pixels, integers or floats.
        frame: Its number in the film.
        labels: The cells of the frame; without them all pixels count as background for the median.

    Returns:
        One row.

    Raises:
        ShapeError: `image` is not (C, Y, X), or labels and image differ in size.
    """
    if image.ndim != 3:
        raise ShapeError(f"frame {frame}: expected an image of shape (C, Y, X), got {image.shape}.")
    if labels is not None and labels.targets.shape != image.shape[1:]:
        raise ShapeError(
            f"frame {frame}: image is {image.shape[1:]} but its labels are {labels.targets.shape}."
        )
    cells = None
    if labels is not None:
        lattice = (slice(None, None, _STEP), slice(None, None, _STEP))
        cells = (labels.effectors[lattice] > 0) | (labels.targets[lattice] > 0)
    rows = [_measure_channel(channel, cells) for channel in image]
    names = [entry.name for entry in fields(FrameQuality) if entry.name != "frame"]
    columns = {name: np.array([[row[name] for row in rows]]) for name in names}
    return FrameQuality(frame=np.array([frame], dtype=np.int32), **columns)


def concatenate(qualities: Iterable[FrameQuality]) -> FrameQuality:
    """Put the frames of one field together, ordered by frame."""
    parts = list(qualities)
    order = np.argsort(np.concatenate([part.frame for part in parts]), kind="stable")
    columns = {
        entry.name: np.concatenate([getattr(part, entry.name) for part in parts])[order]
        for entry in fields(FrameQuality)
    }
    return FrameQuality(**columns)


def lamp_jumps(
    quality: FrameQuality,
    *,
    channels: Collection[int],
    masked: Collection[int] = (),
    channel_names: Sequence[str] = (),
) -> list[tuple[int, str]]:
    """Frames at which the light of a channel suddenly changes: (frame, what happened).

    Give only channels that should stay as they are: a death dye lights up by biology.
    """
    names = channel_labels(quality, channel_names)
    rows = [row for row, frame in enumerate(quality.frame.tolist()) if frame not in masked]
    found = []
    for before, now in pairwise(rows):
        for channel in sorted(channels):
            # level and contrast must both jump: a single dividing or dying cell moves only one of them
            old, new = quality.mean[before, channel], quality.mean[now, channel]
            sharp_old, sharp_new = quality.contrast[before, channel], quality.contrast[now, channel]
            if min(old, new, sharp_old, sharp_new) <= 3 * quality.noise[before, channel] / STRUCTURE_PX:
                continue
            ratio = float(sharp_new / sharp_old)
            if max(ratio, 1 / ratio) >= JUMP and (new > old) == (ratio > 1):
                factor, word = (ratio, "brighter") if ratio > 1 else (1 / ratio, "darker")
                frame = int(quality.frame[now])
                found.append((frame, f"{names[channel]} becomes {factor:.1f} times {word} at frame {frame}"))
    return found


def brightness_change_percent(
    quality: FrameQuality, *, masked: Collection[int] = (), channels: Sequence[int]
) -> tuple[float, int | None]:
    """How much the last tenth of a film is brighter than the first, in the channel that changed most.

    Compares the cells' signal where cells are known, else the background level (brightfield). Give only
    channels that should stay as they are: a death dye changes by biology.

    Returns:
        (percent, channel); negative where the film bleaches; NaN and None where it cannot be said.
    """
    rows = [row for row, frame in enumerate(quality.frame.tolist()) if frame not in masked]
    if len(rows) < MIN_FRAMES_TO_JUDGE:
        return float("nan"), None
    n = max(1, len(rows) // 10)
    changes: list[tuple[float, int]] = []
    for channel in channels:
        light = quality.signal[rows, channel]
        if not np.isfinite(light).any():
            light = quality.background[rows, channel]
        first, last = finite_median(light[:n]), finite_median(light[-n:])
        if (
            np.isfinite(first)
            and np.isfinite(last)
            and first > 3 * finite_median(quality.noise[rows, channel])
        ):
            changes.append((100.0 * (last / first - 1.0), channel))
    return max(changes, key=lambda change: abs(change[0]), default=(float("nan"), None))


def frame_ranges(frames: Iterable[int]) -> str:
    """Write frames as "3,7-9"; "" for none."""
    parts: list[list[int]] = []
    for frame in sorted(set(frames)):
        if parts and frame == parts[-1][1] + 1:
            parts[-1][1] = frame
        else:
            parts.append([frame, frame])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def channel_labels(quality: FrameQuality, channel_names: Sequence[str]) -> list[str]:
    """Names of the channels, or "channel 0" and so on where they are not given."""
    n = quality.mean.shape[1]
    return list(channel_names) if len(channel_names) == n else [f"channel {number}" for number in range(n)]


def finite_median(values: NDArray[np.float64]) -> float:
    """Median of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _measure_channel(channel: NDArray[Any], cells: NDArray[np.bool_] | None) -> dict[str, Any]:
    invalid = 0.0
    pixels = channel
    if np.issubdtype(channel.dtype, np.floating):
        finite = np.isfinite(channel)
        invalid = 1.0 - float(finite.mean())
        pixels = channel if invalid == 0.0 else np.where(finite, channel, 0.0)
    low, high = pixels.min(), pixels.max()
    sample = pixels[::_STEP, ::_STEP].astype(np.float64)
    outside = sample if cells is None or cells.all() else sample[~cells]
    background = float(np.median(outside))
    signal = (
        float("nan")
        if cells is None or not cells.any()
        else float(np.percentile(sample[cells], 95)) - background
    )
    noise = _noise(pixels)
    contrast, focus = _structure(pixels, noise)
    return {
        "mean": float(np.mean(pixels, dtype=np.float64)),
        "background": background,
        "noise": noise,
        "contrast": contrast,
        "focus": focus,
        "saturated": _saturated(pixels, high),
        "signal": signal,
        "constant": bool(low == high) or invalid == 1.0,
        "invalid": invalid,
        "blank": _blank(pixels, low),
        "fingerprint": float(zlib.crc32(np.ascontiguousarray(pixels).data)),
    }


def _blank(pixels: NDArray[Any], low: Any) -> float:
    """Share of tiles in which every pixel has the image's lowest value; small images have no tiles."""
    rows, columns = (length // _TILE for length in pixels.shape)
    if min(rows, columns) == 0:
        return 0.0
    tiles = pixels[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    return float((tiles.max(axis=(1, 3)) == low).mean())


def _noise(pixels: NDArray[Any]) -> float:
    """Noise from the median of a Laplacian's size, which smooth structure and sparse cells hardly touch.

    Source: Immerkaer 1996, doi:10.1006/cviu.1996.0060 (the kernel; the median is ours).
    """
    if min(pixels.shape) < 3:
        return float("nan")
    step = 3  # every third centre: neighbourhoods do not overlap
    rows, columns = pixels.shape[0] - 2, pixels.shape[1] - 2
    total = np.zeros((len(range(0, rows, step)), len(range(0, columns, step))), dtype=np.float64)
    for dy, line in enumerate(((1, -2, 1), (-2, 4, -2), (1, -2, 1))):
        for dx, weight in enumerate(line):
            total += weight * pixels[dy : dy + rows : step, dx : dx + columns : step].astype(np.float64)
    return float(1.4826 * np.median(np.abs(total)) / 6.0)


def _structure(pixels: NDArray[Any], noise: float) -> tuple[float, float]:
    """Contrast between blocks of 8 pixels, and how much of it bends within blocks of 4 (edges, not slopes)."""
    fine = _block_means(pixels, _FINE)
    coarse = _block_means(fine, STRUCTURE_PX // _FINE)
    if min(coarse.shape) < 3:
        return float("nan"), float("nan")
    variance = 0.0 if np.isnan(noise) else noise**2
    fine_power = _bend_power(fine) - 6 * variance / _FINE**2  # 6 = 1 + 4 + 1, the weights of a bend squared
    coarse_power = _step_power(coarse) - 2 * variance / STRUCTURE_PX**2
    contrast = float(np.sqrt(max(coarse_power, 0.0)))
    # an image whose structure drowns in noise has no focus: neither good nor bad
    if coarse_power <= variance / 4 or coarse_power <= 0.0:
        return contrast, float("nan")
    return contrast, float(np.sqrt(max(fine_power, 0.0) / coarse_power))


def _block_means(pixels: NDArray[Any], size: int) -> NDArray[np.float32]:
    y, x = (length // size * size for length in pixels.shape)
    total = pixels[0:y:size, 0:x:size].astype(np.float32)
    for dy, dx in list(np.ndindex(size, size))[1:]:
        total += pixels[dy:y:size, dx:x:size]
    total /= size * size
    return total


def _step_power(blocks: NDArray[np.float32]) -> float:
    """Mean square of the step from each block to the next, over both axes."""
    along_y, along_x = np.diff(blocks, axis=0), np.diff(blocks, axis=1)
    return float(
        (np.mean(np.square(along_y), dtype=np.float64) + np.mean(np.square(along_x), dtype=np.float64)) / 2
    )


def _bend_power(blocks: NDArray[np.float32]) -> float:
    """Mean square of the second difference over both axes: nothing on a slope, much at an edge."""
    along_y, along_x = np.diff(blocks, n=2, axis=0), np.diff(blocks, n=2, axis=1)
    return float(
        (np.mean(np.square(along_y), dtype=np.float64) + np.mean(np.square(along_x), dtype=np.float64)) / 2
    )


def _saturated(pixels: NDArray[Any], high: Any) -> float:
    """Share of pixels at the sensor's limit: cameras of 8 to 16 bits all end at one of five values."""
    if not np.issubdtype(pixels.dtype, np.integer):
        return float("nan")
    return float(np.count_nonzero(pixels == high)) / pixels.size if int(high) in _SENSOR_LIMITS else 0.0
