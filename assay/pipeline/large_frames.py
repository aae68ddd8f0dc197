"""Frames too large to be held: read part by part, each part no more often than it must be.

Knows the raw pixels of one frame and what its channels show. What is found in it is `measured_frames.py`'s.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.brightness import Brightness, role_slots
from assay.errors import LostPixelsError
from assay.frame_light import ChannelLight
from assay.labels import CellRole, ChannelRole
from assay.pipeline.reading import Lost, holds_no_image, what_shows
from assay.quality import FrameQuality, quality_of
from assay.stack import Stack

ROWS_AT_ONCE = 1536  # whole chunks, blocks and neighbourhoods, and pixels of a preview
_WIDE_PX = 32_768  # of wider frames half as many

ReadRows = Callable[[slice], NDArray[Any]]
"""Rows -> (rows, X) of one channel."""
Shrink = Callable[[NDArray[Any]], NDArray[Any]]
"""(rows, X) -> the same for a preview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFrame:
    """One frame after a first look at all of it."""

    stack: Stack
    frame: int
    brightness: Brightness
    roles: Mapping[ChannelRole, Sequence[int]]
    lights: tuple[ChannelLight, ...]  # of each channel
    small: Mapping[int, NDArray[Any]]  # channel -> (y, x) of the preview
    present: tuple[bool, ...]  # which slots hold an image
    hidden: frozenset[CellRole]  # roles that no image shows
    lost: Lost

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.stack.shape[2], self.stack.shape[3]

    def read(self, rows: slice, columns: slice | None = None) -> NDArray[Any]:
        """Raw pixels (C, y, x) of a window, or of whole rows; 0 where a plane is lost."""
        columns = slice(0, self.shape[1]) if columns is None else columns
        size = (self.stack.shape[1], rows.stop - rows.start, columns.stop - columns.start)
        part = np.zeros(size, self.stack.dtype)
        for channel in range(size[0]):  # one at a time: what decoding takes beside the pixels is that of one
            if (self.frame, channel) not in self.lost:
                part[channel] = self.stack.read([self.frame], [channel], window=(rows, columns))[0, 0]
        return part

    def read_slots(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """The same on the model's scale, (R, y, x); 0 in slots without an image."""
        slots: NDArray[np.float32] = role_slots(self.read(rows, columns)[None], self.brightness, self.roles)[
            0
        ][0]
        slots[[n for n, there in enumerate(self.present) if not there]] = 0.0
        return slots


def look_through(
    stack: Stack,
    frame: int,
    *,
    brightness: Brightness,
    roles: Mapping[ChannelRole, Sequence[int]],
    mask: bool,
    shrink: Shrink,
    previewed: Sequence[int],
) -> LargeFrame:
    """Read all of a frame once: its light, its preview, which planes are lost, and which hold no image.

    Args:
        stack: The field's film.
        frame: Which one.
        brightness: Of the field.
        roles: Role -> channel numbers.
        mask: Whether planes may be lost; else the first one is an error.
        shrink: Makes rows as small as the preview.
        previewed: The channels that it shows.

    Raises:
        ImageError: The disk refuses, or a plane is lost and none may be.
    """
    shape = stack.shape[2], stack.shape[3]
    lights: list[ChannelLight] = []
    small: dict[int, NDArray[Any]] = {}
    lost: Lost = {}
    for channel in range(stack.shape[1]):
        how = shrink if channel in previewed else None
        try:
            light, tiny = _seen(_rows_of(stack, frame, channel), shape, how)
        except LostPixelsError as error:
            if not mask:
                raise
            lost[frame, channel] = str(error)
            light, tiny = _seen(_nothing(shape, stack.dtype), shape, how)
        lights.append(light)
        if tiny is not None:
            small[channel] = tiny
    gone = {channel for _, channel in lost}
    for role, channels in roles.items():
        for channel in channels:
            light = lights[channel]
            if light.holds_no_numbers or holds_no_image(light.flat_at, role, channel, brightness):
                gone.add(channel)
    present, hidden = what_shows(gone, roles)
    return LargeFrame(
        stack=stack,
        frame=frame,
        brightness=brightness,
        roles=roles,
        lights=tuple(lights),
        small=small,
        present=present,
        hidden=hidden,
        lost=lost,
    )


def give_memory_back() -> None:
    """Hand memory that was freed back to the system, where the C library can: threads that decode chunks keep theirs."""
    trim = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def light_of(stack: Stack, frame: int) -> FrameQuality:
    """The light of a frame whose cells are not known, whatever its size.

    Raises:
        ImageError: The disk refuses, or a plane is lost.
    """
    shape = stack.shape[2], stack.shape[3]
    lights = [_seen(_rows_of(stack, frame, channel), shape, None)[0] for channel in range(stack.shape[1])]
    return quality_of(lights, frame=frame)


def _seen(
    read: ReadRows, shape: tuple[int, int], shrink: Shrink | None
) -> tuple[ChannelLight, NDArray[Any] | None]:
    """The light of one channel, and its preview."""
    light, small = ChannelLight(shape), []
    for rows in _parts(shape):
        part = read(rows)
        light.add(part)
        if shrink is not None:
            small.append(shrink(part))
    return light, np.concatenate(small) if small else None


def _parts(shape: tuple[int, int]) -> Iterator[slice]:
    height, width = shape
    step = ROWS_AT_ONCE if width <= _WIDE_PX else ROWS_AT_ONCE // 2
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _rows_of(stack: Stack, frame: int, channel: int) -> ReadRows:
    def read(rows: slice) -> NDArray[Any]:
        part: NDArray[Any] = stack.read([frame], [channel], window=(rows, slice(0, stack.shape[3])))[0, 0]
        return part

    return read


def _nothing(shape: tuple[int, int], dtype: np.dtype[Any]) -> ReadRows:
    return lambda rows: np.zeros((rows.stop - rows.start, shape[1]), dtype)
