"""Brightness made comparable between microscopes: raw counts to the scale a model was trained on.

One scale per channel and field, from a fixed sample of the film's frames, so that no result depends on which
task, worker or batch handled a frame, and so that real changes of brightness within the film survive.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES, ChannelRole

SAMPLED_FRAMES = 8
_SAMPLED_PIXELS = 1 << 18  # per frame and channel
_NOISES_PER_SPAN = 20.0  # an empty channel is scaled by its noise, not blown up to look full
# The mean of the smaller 80 % of |a - b| of Gaussian a and b with standard deviation 1 is 0.7901.
_SIGMA_PER_TRIMMED_MEAN = 1 / 0.7901
_FLASH, _FLASH_NOISE = 3.0, 1.3  # times the frames before and after
_DARKEST, _BRIGHTEST = -1.0, 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """How bright one field's channels are, in raw counts."""

    background: NDArray[np.float64]  # (C,) level where there are no cells
    span: NDArray[np.float64]  # (C,) from there to bright cells
    median: NDArray[np.float64]  # (C,)
    spread: NDArray[np.float64]  # (C,) from dark to bright: transmitted light goes both ways


def frames_to_sample(n_frames: int, unusable: Collection[int] = ()) -> list[int]:
    """Choose the frames that set the scale: evenly spread over the film, the same ones every time."""
    usable = [frame for frame in range(n_frames) if frame not in unusable]
    if len(usable) <= SAMPLED_FRAMES:
        return usable
    places = np.linspace(0, len(usable) - 1, SAMPLED_FRAMES).round().astype(int)
    return [usable[place] for place in places]


def rows_to_sample(shape: tuple[int, int]) -> range:
    """Choose the rows of a frame that set the scale: whole ones, so that neighbours stay neighbours, evenly spread."""
    return range(0, shape[0], max(1, -(-(shape[0] * shape[1]) // _SAMPLED_PIXELS)))


def measure_brightness(frames: Iterable[NDArray[Any]]) -> Brightness:
    """Measure background, bright end and noise of every channel; see `brightness_of_rows`.

    Args:
        frames: (C, Y, X) raw images, the sampled ones.
    """
    return brightness_of_rows(frame[:, :: rows_to_sample(frame.shape[1:]).step] for frame in frames)


def brightness_of_rows(frames: Iterable[NDArray[Any]]) -> Brightness:
    """Measure background, bright end and noise of every channel.

    Frames without any contrast (black, saturated throughout) do not count, nor one lit by a flash. Where none has
    any, the channel is scaled by 1.

    Args:
        frames: (C, rows, X) `rows_to_sample` of the sampled frames.
    """
    samples: list[list[NDArray[np.float32]]] = []
    noises: list[list[float]] = []
    for frame in frames:
        for channel, image in enumerate(frame):
            if channel == len(samples):
                samples.append([])
                noises.append([])
            rows = _finite_rows(image)
            if rows.size and rows.min() < rows.max():
                samples[channel].append(rows.ravel())
                noises[channel].append(_noise(rows))
    scales = [_scale(*_without_flashes(s, n)) for s, n in zip(samples, noises, strict=True)]
    background, span, median, spread = np.array(scales, dtype=np.float64).reshape(-1, 4).T
    return Brightness(background=background, span=span, median=median, spread=spread)


def role_slots(
    frames: NDArray[Any], brightness: Brightness, roles: Mapping[ChannelRole, Sequence[int]]
) -> tuple[NDArray[np.float32], tuple[bool, ...]]:
    """Put each channel into the model's slot for its role, on the model's scale.

    Dyes: background 0, bright cells about 1. Transmitted light: median 0, dark to bright about 1. Of several
    channels in one role the brightest counts at each pixel. Pixels that are no number become background.

    Args:
        frames: (N, C, Y, X) raw images.
        brightness: Of the same field.
        roles: Role -> channel numbers.

    Returns:
        (N, R, Y, X) with one slot per entry of `CHANNEL_ROLES`, and which of them hold an image.
    """
    n, _, height, width = frames.shape
    slots = np.zeros((n, len(CHANNEL_ROLES), height, width), dtype=np.float32)
    for slot, role in enumerate(CHANNEL_ROLES):
        for place, channel in enumerate(roles.get(role, ())):
            transmitted = role == "brightfield"
            zero = (brightness.median if transmitted else brightness.background)[channel]
            unit = (brightness.spread if transmitted else brightness.span)[channel]
            scaled = (frames[:, channel].astype(np.float32) - np.float32(zero)) * np.float32(1 / unit)
            if frames.dtype.kind == "f":  # whole numbers are numbers, and to look takes longer than to scale
                np.nan_to_num(scaled, copy=False, nan=0.0, posinf=_BRIGHTEST, neginf=_DARKEST)
            np.clip(scaled, _DARKEST, _BRIGHTEST, out=scaled)
            slots[:, slot] = scaled if place == 0 else np.maximum(slots[:, slot], scaled)
    return slots, tuple(bool(roles.get(role)) for role in CHANNEL_ROLES)


def _without_flashes(
    samples: list[NDArray[np.float32]], noises: list[float]
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """Leave out a frame many times brighter, and noisier all over, than those before and after: one would set the scale."""
    spans = [float(np.subtract(*np.percentile(sample, [99.7, 5]))) for sample in samples]
    kept = [
        not (
            0 < at < len(samples) - 1
            and spans[at] > _FLASH * max(spans[at - 1], spans[at + 1])
            and noises[at] > _FLASH_NOISE * max(noises[at - 1], noises[at + 1])
        )
        for at in range(len(samples))
    ]
    return (
        [sample for sample, keep in zip(samples, kept, strict=True) if keep],
        [noise for noise, keep in zip(noises, kept, strict=True) if keep],
    )


def _finite_rows(image: NDArray[Any]) -> NDArray[np.float32]:
    """As floats, without rows that hold no numbers."""
    rows = np.asarray(image, dtype=np.float32)
    finite = np.isfinite(rows)
    return rows if finite.all() else rows[finite.all(axis=1)]


def _noise(rows: NDArray[np.float32]) -> float:
    """Pixel noise from differences of neighbours in the darker half, where edges of cells are rare.

    The mean of the smaller four fifths of the differences, not their median: in images of few counts the median
    of whole numbers is 0 or 1 and nothing between.
    """
    if rows.shape[1] < 2:
        return 0.0
    dark = rows[:, :-1] <= np.median(rows)
    differences = np.abs(np.diff(rows, axis=1))[dark]
    kept = differences.size * 4 // 5
    if kept == 0:
        return 0.0
    smaller = np.partition(differences, kept - 1)[:kept]
    return float(_SIGMA_PER_TRIMMED_MEAN * np.mean(smaller, dtype=np.float64))


def _scale(samples: list[NDArray[np.float32]], noises: list[float]) -> tuple[float, float, float, float]:
    if not samples:
        return 0.0, 1.0, 0.0, 1.0
    pooled = np.concatenate(samples)
    darkest, dark, median, bright, brightest = np.percentile(pooled, [0.5, 5, 50, 99.5, 99.7]).tolist()
    noise = float(np.median(noises))
    background = min(dark + 1.645 * noise, median)
    floor = max(_NOISES_PER_SPAN * noise, 1e-6 * max(abs(brightest), 1e-6))
    return background, max(brightest - background, floor), median, max(bright - darkest, floor)
