"""Which frames hold a usable image, and what a person should look at before believing a field.

Knows the light of single frames (level, noise, focus, saturation), the film's own medians, and a few numbers
about its cells. Judges a film against itself: no absolute brightness is right or wrong.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import FrameLabels

DARK_SHARE = 0.1
"""A channel is dark in a frame whose contrast is below this share of the film's median ..."""
DARK_DROP = 3.0
"""... and this many times below that of the last frame that was not dark (so slow loss is biology)."""
FOCUS_SHARE = 0.55
"""A channel is out of focus in a frame whose focus is below this share of the film's median, and whose
contrast is not above it (blur takes contrast away; a cell that rounds up adds some)."""
OVEREXPOSED_SHARE = 0.05
"""A frame is overexposed if more of a channel is at the sensor's limit, and ten times more than is usual."""
JUMP = 3.0
"""Light that changes this many times from one usable frame to the next comes from the lamp, not the cells."""
MIN_FRAMES_TO_JUDGE = 3
"""Shorter films have no median to be judged by; only broken frames are masked in them."""

_STEP = 4  # pixels between samples for medians: one in sixteen is plenty
_FINE, _COARSE = 4, 8  # block sizes, in pixels, of the two scales whose ratio is the focus
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


def mask_frames(
    quality: FrameQuality,
    *,
    missing_frames: Collection[int] = (),
    channel_names: Sequence[str] = (),
    steady_channels: Collection[int] = (),
) -> dict[int, str]:
    """Name the frames that hold no usable image, each with the reason.

    No cell may be born, die or be lost because of a masked frame. Masked are frames that were never
    recorded, hold invalid or constant pixels, are dark (shutter, lamp), overexposed or grossly out of focus
    compared with the film itself. Bleaching, growth and the death of every cell are slow and mask nothing.

    Args:
        quality: All measured frames of one field.
        missing_frames: Frames that were never recorded.
        channel_names: For the reasons.
        steady_channels: Channels whose cells are there from the beginning, so all but the death dye: focus is
            judged by them, and if one of them alone goes dark and comes back, its frames are masked. Without,
            all channels are asked, and a frame is dark only if all of them are.

    Returns:
        frame -> reason, in order of frame.
    """
    names = channel_labels(quality, channel_names)
    reasons = {int(frame): "was never recorded" for frame in missing_frames}
    usable = np.ones(len(quality), dtype=bool)
    rest = _resting_levels(quality, steady_channels)
    for row, frame in enumerate(quality.frame.tolist()):
        broken = _broken(quality, row, names, rest)
        if broken is not None:
            reasons.setdefault(frame, broken)
        usable[row] = frame not in reasons
    if usable.sum() >= MIN_FRAMES_TO_JUDGE:
        judged = sorted(steady_channels) or range(len(names))
        blurred, dark = _out_of_focus(quality, usable, judged), _dark(quality, usable, names, steady_channels)
        for row, reason in {**blurred, **_overexposed(quality, usable, names), **dark}.items():
            reasons.setdefault(int(quality.frame[row]), reason)
    return dict(sorted(reasons.items()))


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
            if min(old, new, sharp_old, sharp_new) <= 3 * quality.noise[before, channel] / _COARSE:
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
    }


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
    coarse = _block_means(fine, _COARSE // _FINE)
    if min(coarse.shape) < 3:
        return float("nan"), float("nan")
    variance = 0.0 if np.isnan(noise) else noise**2
    fine_power = _bend_power(fine) - 6 * variance / _FINE**2  # 6 = 1 + 4 + 1, the weights of a bend squared
    coarse_power = _step_power(coarse) - 2 * variance / _COARSE**2
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


def _resting_levels(quality: FrameQuality, steady: Collection[int]) -> NDArray[np.float64]:
    """(C,) level at which a death dye may lie flat, clipped before any cell has died; infinite for other channels."""
    levels = np.full(quality.mean.shape[1], np.inf)
    for channel in set(range(len(levels))) - set(steady) if steady else ():
        if not (flat := quality.constant[:, channel]).all():
            levels[channel] = finite_median(quality.background[~flat, channel])
    return levels


def _broken(quality: FrameQuality, row: int, names: Sequence[str], rest: NDArray[np.float64]) -> str | None:
    for channel, name in enumerate(names):
        if quality.invalid[row, channel] > 0.0:
            return f"{name} holds {100 * quality.invalid[row, channel]:.3g} % pixels that are not numbers"
        if quality.constant[row, channel] and not quality.mean[row, channel] >= rest[channel]:
            black = quality.mean[row, channel] == 0.0
            return f"{name} is {'black' if black else 'one flat value'}: nothing was recorded"
    return None


def _dark(
    quality: FrameQuality, usable: NDArray[np.bool_], names: Sequence[str], steady: Collection[int]
) -> dict[int, str]:
    """Frames dark in all channels, or in a steady channel that is bright before and after."""
    n = len(names)
    medians = [finite_median(quality.contrast[usable, channel]) for channel in range(n)]
    floor = [finite_median(quality.noise[usable, channel]) / _COARSE for channel in range(n)]
    judged = [channel for channel in range(n) if medians[channel] > floor[channel]]  # the rest cannot go dark
    dark = {channel: _dark_rows(quality.contrast[:, channel], usable, medians[channel]) for channel in judged}
    rows = np.flatnonzero(usable).tolist()
    bright = {channel: [row for row in rows if row not in dark[channel]] for channel in judged}
    found: dict[int, str] = {}
    for row in rows:
        everywhere = bool(judged) and all(row in dark[channel] for channel in judged)
        for channel in judged:
            comes_back = row in dark[channel] and bright[channel][0] < row < bright[channel][-1]
            if everywhere or (channel in steady and comes_back):
                share = 100 * quality.contrast[row, channel] / medians[channel]
                found.setdefault(row, f"{names[channel]} is dark: {share:.0f} % of the film's contrast")
    return found


def _dark_rows(contrast: NDArray[np.float64], usable: NDArray[np.bool_], median: float) -> set[int]:
    """Rows far below the film's contrast that got there at once: slow loss is biology."""
    found: set[int] = set()
    last_bright = median
    for row in np.flatnonzero(usable).tolist():
        if contrast[row] < DARK_SHARE * median and contrast[row] * DARK_DROP < last_bright:
            found.add(row)
        else:
            last_bright = contrast[row]
    return found


def _overexposed(quality: FrameQuality, usable: NDArray[np.bool_], names: Sequence[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for channel, name in enumerate(names):
        usual = finite_median(quality.saturated[usable, channel])
        for row in np.flatnonzero(usable).tolist():
            share = quality.saturated[row, channel]
            if share > max(OVEREXPOSED_SHARE, 10 * usual):
                found.setdefault(row, f"{name} is overexposed: {100 * share:.0f} % of pixels at the limit")
    return found


def _out_of_focus(
    quality: FrameQuality, usable: NDArray[np.bool_], channels: Sequence[int]
) -> dict[int, str]:
    """Frames blurred in at least half of the channels that can be judged."""
    focus = {channel: finite_median(quality.focus[usable, channel]) for channel in channels}
    contrast = {channel: finite_median(quality.contrast[usable, channel]) for channel in channels}
    found: dict[int, str] = {}
    for row in np.flatnonzero(usable).tolist():
        shares = [
            quality.focus[row, channel] / focus[channel]
            if quality.contrast[row, channel] < contrast[channel]
            else 1.0
            for channel in channels
            if focus[channel] > 0 and np.isfinite(quality.focus[row, channel])
        ]
        if shares and sum(share < FOCUS_SHARE for share in shares) * 2 >= len(shares):
            found[row] = f"out of focus: {100 * min(shares):.0f} % of the film's sharpness"
    return found
