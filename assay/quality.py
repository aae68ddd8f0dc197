"""The light of single frames: level, noise, focus, saturation, and what does not change that should.

Knows pixels of one frame, and where its cells are. Which frames hold no usable image is `invalid_planes.py`'s.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.frame_light import STRUCTURE_PX, ChannelLight, sample_step
from assay.labels import FrameLabels, LargeFrameLabels

JUMP = 3.0
"""Light that changes this many times from one usable frame to the next comes from the lamp, not the cells."""
MIN_FRAMES_TO_JUDGE = 3
"""Shorter films have no median to be judged by; only broken planes are invalid in them."""


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
    lights = [ChannelLight((image.shape[1], image.shape[2])) for _ in image]
    for light, channel in zip(lights, image, strict=True):
        light.add(channel)
    cells = None
    if labels is not None:
        step = sample_step((image.shape[1], image.shape[2]))
        cells = (labels.effectors[::step, ::step] > 0) | (labels.targets[::step, ::step] > 0)
    return quality_of(lights, frame=frame, cells=cells)


def quality_of(
    lights: Sequence[ChannelLight], *, frame: int, cells: NDArray[np.bool_] | None = None
) -> FrameQuality:
    """The light of one frame whose rows were added to the light of each channel.

    Args:
        lights: Of each channel, all rows added.
        frame: Its number in the film.
        cells: Whether there is a cell, every `sample_step` pixels; without, all pixels count as background.
    """
    rows = [light.measured(cells) for light in lights]
    names = [entry.name for entry in fields(FrameQuality) if entry.name != "frame"]
    columns = {name: np.array([[row[name] for row in rows]]) for name in names}
    return FrameQuality(frame=np.array([frame], dtype=np.int32), **columns)


def cells_at_samples(labels: LargeFrameLabels) -> NDArray[np.bool_]:
    """Where there is a cell, every `sample_step` pixels of a frame that is too large to be held."""
    from assay.label_runs import painted, thinned  # here, so that who looks a plate over need not wait

    step = sample_step(labels.shape)
    height, width = (-(-side // step) for side in labels.shape)
    seen = np.zeros((height, width), dtype=np.bool_)
    for runs in (labels.effectors, labels.targets):
        seen |= painted(thinned(runs, step), (0, height), (0, width)) > 0
    return seen


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
