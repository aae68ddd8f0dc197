"""Raw frames as the model gets them: read as far as they can be read, and without the channels that hold no image.

Knows planes and what each channel shows. What is left out here is named by `unseen_frames.py` once the field was read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.brightness import Brightness, role_slots
from assay.errors import LostPixelsError
from assay.labels import CHANNEL_ROLES, CellRole, ChannelRole
from assay.stack import Stack, Window
from assay.unseen import hidden_roles

Lost = dict[tuple[int, int], str]
"""(frame, channel) -> why that plane could not be read."""
_AT_REST = (
    0.05  # of its span: so near its background a death dye may lie flat, clipped before any cell has died
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBatch:
    """Some frames, raw and on the model's scale."""

    frames: list[int]
    images: NDArray[Any]  # (N, C, Y, X); 0 where a plane is lost
    slots: NDArray[np.float32]  # (N, R, Y, X)
    present: list[tuple[bool, ...]]  # per frame, which slots hold an image
    hidden: list[frozenset[CellRole]]  # per frame, the roles that no image shows
    lost: Lost


def read_frames(
    stack: Stack, frames: Sequence[int], *, mask: bool, window: Window | None = None
) -> tuple[NDArray[Any], Lost]:
    """Read frames; where a part of an image is gone for good, plane by plane, and 0 for what is lost.

    Args:
        stack: The field's film.
        frames: Which ones.
        mask: Whether planes may be lost; else the first one is an error.
        window: Rows and columns; None is all.

    Raises:
        ImageError: The disk refuses, or a plane is lost and none may be.
    """
    try:
        return stack.read(frames, window=window), {}
    except LostPixelsError:
        if not mask:
            raise
    _, channels, *whole = stack.shape
    height, width = whole if window is None else (part.stop - part.start for part in window)
    images = np.zeros((len(frames), channels, height, width), stack.dtype)
    lost: Lost = {}
    for place, frame in enumerate(frames):
        for channel in range(channels):
            try:
                images[place, channel] = stack.read([frame], [channel], window=window)[0, 0]
            except LostPixelsError as error:
                lost[frame, channel] = str(error)
    return images, lost


def bring_frames(
    stack: Stack,
    frames: list[int],
    *,
    brightness: Brightness,
    roles: Mapping[ChannelRole, Sequence[int]],
    mask: bool,
) -> FrameBatch:
    """Read frames and put them on the model's scale; a slot whose channel holds no image is said to be empty.

    Raises:
        ImageError: As of `read_frames`.
    """
    images, lost = read_frames(stack, frames, mask=mask)
    slots, _ = role_slots(images, brightness, roles)
    shown, hidden = [], []
    for place, frame in enumerate(frames):
        gone = {channel for at, channel in lost if at == frame}
        gone |= _without_image(images[place], brightness, roles)
        shows, without = what_shows(gone, roles)
        slots[place, [n for n, there in enumerate(shows) if not there]] = 0.0
        shown.append(shows)
        hidden.append(without)
    return FrameBatch(frames=frames, images=images, slots=slots, present=shown, hidden=hidden, lost=lost)


def what_shows(
    gone: Collection[int], roles: Mapping[ChannelRole, Sequence[int]]
) -> tuple[tuple[bool, ...], frozenset[CellRole]]:
    """Which slots of the model hold an image, and the roles that none shows, where these channels hold none."""
    shows = tuple(bool(roles.get(role)) and not set(gone).intersection(roles[role]) for role in CHANNEL_ROLES)
    return shows, hidden_roles(gone, roles)


def holds_no_image(flat_at: float | None, role: ChannelRole, channel: int, brightness: Brightness) -> bool:
    """Whether a channel holds one flat value and nothing else; a death dye may rest at its background."""
    if flat_at is None:
        return False
    away = abs(flat_at - brightness.background[channel])
    return bool(role != "death" or away > _AT_REST * brightness.span[channel])


def _without_image(
    image: NDArray[Any], brightness: Brightness, roles: Mapping[ChannelRole, Sequence[int]]
) -> set[int]:
    """Channels in use that hold one flat value, or pixels that are no numbers."""
    found = set()
    for role, channels in roles.items():
        for channel in channels:
            plane = image[channel]
            numbers = not np.issubdtype(plane.dtype, np.floating) or bool(np.isfinite(plane).all())
            flat_at = float(low) if numbers and (low := plane.min()) == plane.max() else None
            if not numbers or holds_no_image(flat_at, role, channel, brightness):
                found.add(channel)
    return found
