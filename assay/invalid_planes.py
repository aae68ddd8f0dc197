"""Which planes hold no usable image, one frame of one channel each.

Knows the light of single frames (`quality.py`) and judges a film against itself: no absolute brightness is right
or wrong. Nothing that is counted may rest on a plane that is named here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.frame_light import STRUCTURE_PX
from assay.quality import (
    MIN_FRAMES_TO_JUDGE,
    FrameQuality,
    channel_labels,
    finite_median,
    frame_ranges,
)

Fault = Literal[
    "not_recorded",
    "lost",
    "not_numbers",
    "flat",
    "partly_blank",
    "frozen",
    "dark",
    "flash",
    "overexposed",
    "out_of_focus",
]
FAULTS: Mapping[Fault, str] = {
    "not_recorded": "never recorded",
    "lost": "lost on the disk",
    "not_numbers": "not numbers",
    "flat": "black or flat",
    "partly_blank": "partly blank",
    "frozen": "frozen",
    "dark": "dark",
    "flash": "flash of light",
    "overexposed": "overexposed",
    "out_of_focus": "out of focus",
}
"""What may be wrong with a plane, worst first, and how a report says it."""

DARK_SHARE = 0.1
"""A channel is dark in a frame whose contrast is below this share of the film's median ..."""
DARK_DROP = 3.0
"""... and this many times below that of the last frame that was not dark (so slow loss is biology)."""
DIPS_SHARE = 0.2
"""A death dye, whose light grows as cells die, is dark where its contrast is below this share of that before and after."""
FOCUS_SHARE = 0.55
"""A channel is out of focus in a frame whose focus is below this share of the film's median, and whose
contrast is not above it (blur takes contrast away; a cell that rounds up adds some)."""
OVEREXPOSED_SHARE = 0.05
"""A frame is overexposed if more of a channel is at the sensor's limit, and ten times more than is usual."""
FLASH = 3.0
"""A flash multiplies the contrast of the frames before and after by this, and raises level and noise."""
FLASH_NOISE = 1.3
"""More light is noisier all over the image; a bright cell that swims by is not."""
LONGEST_DIP = 20
"""Frames; what stays away longer may be biology."""

_NEIGHBOURS = 3  # usable frames on each side that tell how a dye looks around a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidPlane:
    """One frame of one channel that holds no usable image."""

    frame: int
    channel: int
    fault: Fault
    reason: str  # in words, with the channel's name


def find_invalid_planes(
    quality: FrameQuality,
    *,
    missing_frames: Collection[int] = (),
    lost: Mapping[tuple[int, int], str] | None = None,
    channel_names: Sequence[str] = (),
    steady_channels: Collection[int] = (),
) -> tuple[InvalidPlane, ...]:
    """Name the planes that hold no usable image, each with what is wrong with it.

    Invalid are planes that were never recorded, are lost on the disk, hold pixels that are no numbers, are flat or
    have flat parts, repeat an earlier plane to the last pixel, or are dark, overexposed, lit by a flash or grossly
    out of focus compared with the film itself. Bleaching, growth and the death of every cell are slow and make
    nothing invalid.

    Args:
        quality: All measured frames of one field.
        missing_frames: Frames that were never recorded.
        lost: (frame, channel) -> why it could not be read.
        channel_names: For the reasons.
        steady_channels: Channels whose cells are there from the beginning, so all but the death dye: focus is
            judged by them, and each of them alone may go dark and come back. Without, all channels are asked, and
            a frame is dark only if all of them are.

    Returns:
        At most one fault per plane, the worst, ordered by frame and channel.
    """
    names = channel_labels(quality, channel_names)
    found: dict[tuple[int, int], InvalidPlane] = {}

    def say(frame: int, channel: int, fault: Fault, reason: str) -> None:
        plane = InvalidPlane(frame=frame, channel=channel, fault=fault, reason=reason)
        found.setdefault((frame, channel), plane)

    for frame in missing_frames:
        for channel in range(len(names)):
            say(int(frame), channel, "not_recorded", "was never recorded")
    for (frame, channel), reason in (lost or {}).items():
        say(frame, channel, "lost", f"{names[channel]} is lost: {reason}")
    for row, channel, fault, reason in _broken(quality, names, steady_channels):
        say(int(quality.frame[row]), channel, fault, reason)
    usable = np.array([[(f, c) not in found for c in range(len(names))] for f in quality.frame.tolist()])
    for find in (_frozen, _out_of_focus, _overexposed, _flashes, _dark):
        for row, channel, fault, reason in find(
            quality, usable.reshape(len(quality), -1), names, steady_channels
        ):
            say(int(quality.frame[row]), channel, fault, reason)
    return tuple(found[key] for key in sorted(found))


def mask_frames(
    quality: FrameQuality,
    *,
    missing_frames: Collection[int] = (),
    channel_names: Sequence[str] = (),
    steady_channels: Collection[int] = (),
) -> dict[int, str]:
    """Name the frames with an invalid plane, each with the first reason; settings as of `find_invalid_planes`."""
    planes = find_invalid_planes(
        quality, missing_frames=missing_frames, channel_names=channel_names, steady_channels=steady_channels
    )
    return {
        frame: next(of_frame).reason for frame, of_frame in groupby(planes, key=lambda plane: plane.frame)
    }


def dark_for_good(quality: FrameQuality, channel: int, *, masked: Collection[int] = ()) -> int | None:
    """The frame from which on a death dye that was there is gone, all at once; None where it stays.

    The dead may be washed away, or the lamp may have failed: deaths after it are not seen either way.
    """
    usable = np.array([frame not in masked for frame in quality.frame.tolist()], dtype=bool)
    rows = np.flatnonzero(usable & np.isfinite(quality.contrast[:, channel]))
    contrast = quality.contrast[rows, channel]
    least = 2 * finite_median(quality.noise[rows, channel]) / STRUCTURE_PX
    for at in range(1, len(rows) - _NEIGHBOURS + 1):
        before = finite_median(contrast[max(0, at - _NEIGHBOURS) : at])
        if before > least and (contrast[at:] < DIPS_SHARE * before).all():
            return int(quality.frame[rows[at]])
    return None


def planes_in_words(planes: Sequence[InvalidPlane], channel_names: Sequence[str]) -> str:
    """Write invalid planes as "PI: dark 3,7-9; frozen 12. GFP: lost on the disk 4"; "" for none."""
    words = []
    for channel, name in enumerate(channel_names):
        mine = [plane for plane in planes if plane.channel == channel]
        parts = [
            f"{text} {frame_ranges(plane.frame for plane in mine if plane.fault == fault)}"
            for fault, text in FAULTS.items()
            if any(plane.fault == fault for plane in mine)
        ]
        if parts:
            words.append(f"{name}: {'; '.join(parts)}")
    return ". ".join(words)


_Found = Iterator[tuple[int, int, Fault, str]]  # row, channel, what, in words
_Bools = NDArray[np.bool_]


def _broken(quality: FrameQuality, names: Sequence[str], steady: Collection[int]) -> _Found:
    """Planes of which pixels are no numbers, or all or in part of one value, as no camera makes them."""
    rest = _resting_levels(quality, steady)
    above = [3 * np.nan_to_num(finite_median(noise[noise > 0])) for noise in quality.noise.T]
    for channel, name in enumerate(names):
        usual = finite_median(quality.blank[~quality.constant[:, channel], channel])
        for row in range(len(quality)):
            invalid, mean = quality.invalid[row, channel], quality.mean[row, channel]
            blank = quality.blank[row, channel]
            if invalid > 0.0:
                yield (
                    row,
                    channel,
                    "not_numbers",
                    f"{name} holds {100 * invalid:.3g} % pixels that are not numbers",
                )
            elif quality.constant[row, channel]:
                if not rest[channel] <= mean <= rest[channel] + above[channel]:
                    value = "black" if mean == 0.0 else "one flat value"
                    yield row, channel, "flat", f"{name} is {value}: nothing was recorded"
            elif blank > 0.0 and usual == 0.0 and len(quality) >= MIN_FRAMES_TO_JUDGE:
                yield (
                    row,
                    channel,
                    "partly_blank",
                    f"{name} is one flat value in {100 * blank:.1f} % of the image",
                )


def _resting_levels(quality: FrameQuality, steady: Collection[int]) -> NDArray[np.float64]:
    """(C,) level at which a death dye may lie flat, clipped before any cell has died; infinite for other channels."""
    levels = np.full(quality.mean.shape[1], np.inf)
    for channel in set(range(len(levels))) - set(steady) if steady else ():
        if not (flat := quality.constant[:, channel]).all():
            levels[channel] = finite_median(quality.background[~flat, channel])
    return levels


def _frozen(quality: FrameQuality, usable: _Bools, names: Sequence[str], _: Collection[int]) -> _Found:
    """Planes that repeat an earlier one to the last pixel: with a camera's noise that cannot be."""
    for channel, name in enumerate(names):
        seen: dict[tuple[float, float], int] = {}
        for row in np.flatnonzero(usable[:, channel] & (quality.noise[:, channel] > 0)).tolist():
            key = (float(quality.fingerprint[row, channel]), float(quality.mean[row, channel]))
            first = seen.setdefault(key, int(quality.frame[row]))
            if first != quality.frame[row]:
                usable[row, channel] = False
                yield row, channel, "frozen", f"{name} is frame {first} once more, to the last pixel"


def _dark(quality: FrameQuality, usable: _Bools, names: Sequence[str], steady: Collection[int]) -> _Found:
    """Frames dark in all channels, or in a channel that is bright before and after."""
    whole = usable.all(axis=1)
    if whole.sum() < MIN_FRAMES_TO_JUDGE:
        return
    n = len(names)
    medians = [finite_median(quality.contrast[whole, channel]) for channel in range(n)]
    floor = [finite_median(quality.noise[whole, channel]) / STRUCTURE_PX for channel in range(n)]
    judged = [channel for channel in range(n) if medians[channel] > floor[channel]]  # the rest cannot go dark
    dark = {
        channel: _dark_rows(quality.contrast[:, channel], usable[:, channel], medians[channel])
        for channel in judged
    }
    rows = {channel: np.flatnonzero(usable[:, channel]).tolist() for channel in judged}
    bright = {channel: [row for row in rows[channel] if row not in dark[channel]] for channel in judged}
    for channel in judged:
        for row in sorted(dark[channel]):
            everywhere = all(row in dark[other] for other in judged)
            comes_back = bool(bright[channel]) and bright[channel][0] < row < bright[channel][-1]
            if everywhere or (channel in steady and comes_back):
                share = 100 * quality.contrast[row, channel] / medians[channel]
                yield row, channel, "dark", f"{names[channel]} is dark: {share:.0f} % of the film's contrast"
    for channel in sorted(set(range(n)) - set(steady)) if steady else ():
        yield from _dips(quality, usable[:, channel], channel, names[channel])


def _dark_rows(contrast: NDArray[np.float64], usable: _Bools, median: float) -> set[int]:
    """Rows far below the film's contrast that got there at once: slow loss is biology."""
    found: set[int] = set()
    last_bright = median
    for row in np.flatnonzero(usable).tolist():
        if contrast[row] < DARK_SHARE * median and contrast[row] * DARK_DROP < last_bright:
            found.add(row)
        else:
            last_bright = contrast[row]
    return found


def _dips(quality: FrameQuality, usable: _Bools, channel: int, name: str) -> _Found:
    """Rows in which a death dye is gone that is there before and after: the dead do not lose it and take it up again."""
    contrast = quality.contrast[:, channel]
    least = 2 * finite_median(quality.noise[usable, channel]) / STRUCTURE_PX  # below, darkness cannot be told

    def far_below(row: int, around: float) -> bool:
        return around > least and contrast[row] < DIPS_SHARE * around

    yield from (
        (
            row,
            channel,
            "dark",
            f"{name} is dark: {100 * contrast[row] / around:.0f} % of its contrast before and after",
        )
        for row, around in _excursions(contrast, usable, far_below, least_of=True)
    )


def _flashes(quality: FrameQuality, usable: _Bools, names: Sequence[str], _: Collection[int]) -> _Found:
    """Rows lit many times brighter than those before and after, all over the image."""
    for channel, name in enumerate(names):
        mine = usable[:, channel]
        contrast, noise, mean = (
            values[:, channel] for values in (quality.contrast, quality.noise, quality.mean)
        )
        usual = (finite_median(noise[mine]), finite_median(mean[mine])) if mine.any() else (0.0, 0.0)

        def far_above(
            row: int,
            around: float,
            contrast: NDArray[np.float64] = contrast,
            noise: NDArray[np.float64] = noise,
            mean: NDArray[np.float64] = mean,
            usual: tuple[float, float] = usual,
        ) -> bool:
            louder = noise[row] > FLASH_NOISE * usual[0] and mean[row] > usual[1]
            return bool(louder and around > 0 and contrast[row] > FLASH * around)

        for row, around in _excursions(contrast, mine, far_above, least_of=False):
            yield (
                row,
                channel,
                "flash",
                f"{name} is {contrast[row] / around:.1f} times brighter than before and after",
            )


def _excursions(
    values: NDArray[np.float64], usable: _Bools, is_off: Callable[[int, float], bool], *, least_of: bool
) -> Iterator[tuple[int, float]]:
    """Rows of short runs whose values leave those before and after, and come back: (row, value around).

    What is around is the median of a few usable rows before the run, and of those after it; of the two the one that
    is nearer to the run.
    """
    rows = np.flatnonzero(usable & np.isfinite(values)).tolist()
    pick = min if least_of else max
    at = 1
    while at < len(rows):
        before = finite_median(values[rows[max(0, at - _NEIGHBOURS) : at]])
        if not is_off(rows[at], before):
            at += 1
            continue
        end = at
        while end < len(rows) and is_off(rows[end], before):
            end += 1
        after = values[rows[end : end + _NEIGHBOURS]]
        around = pick(before, finite_median(after)) if len(after) else float("nan")
        if end - at <= LONGEST_DIP and np.isfinite(around):
            yield from ((row, around) for row in rows[at:end] if is_off(row, around))
        at = end


def _overexposed(quality: FrameQuality, usable: _Bools, names: Sequence[str], _: Collection[int]) -> _Found:
    for channel, name in enumerate(names):
        mine = usable[:, channel]
        if mine.sum() < MIN_FRAMES_TO_JUDGE:
            continue
        usual = finite_median(quality.saturated[mine, channel])
        for row in np.flatnonzero(mine).tolist():
            share = quality.saturated[row, channel]
            if share > max(OVEREXPOSED_SHARE, 10 * usual):
                yield (
                    row,
                    channel,
                    "overexposed",
                    f"{name} is overexposed: {100 * share:.0f} % of pixels at the limit",
                )


def _out_of_focus(
    quality: FrameQuality, usable: _Bools, names: Sequence[str], steady: Collection[int]
) -> _Found:
    """Frames blurred in at least half of the channels that can be judged: all channels of them."""
    whole = usable.all(axis=1)
    if whole.sum() < MIN_FRAMES_TO_JUDGE:
        return
    channels = sorted(steady) or range(len(names))
    focus = {channel: finite_median(quality.focus[whole, channel]) for channel in channels}
    contrast = {channel: finite_median(quality.contrast[whole, channel]) for channel in channels}
    for row in range(len(quality)):
        shares = [
            quality.focus[row, channel] / focus[channel]
            if quality.contrast[row, channel] < contrast[channel]
            else 1.0
            for channel in channels
            if usable[row, channel] and focus[channel] > 0 and np.isfinite(quality.focus[row, channel])
        ]
        if shares and sum(share < FOCUS_SHARE for share in shares) * 2 >= len(shares):
            text = f"out of focus: {100 * min(shares):.0f} % of the film's sharpness"
            yield from ((row, channel, "out_of_focus", text) for channel in range(len(names)))
