"""Raw frames as the model gets them: read as far as they can be read, and without the channels that hold no image.

Knows planes and what each channel shows. What is left out here is named by `unseen_frames.py` once the field was read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.brightness import Brightness, role_slots
from assay.errors import LostPixelsError
from assay.labels import CHANNEL_ROLES, CellRole, ChannelRole
from assay.stack import Stack
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


def read_frames(stack: Stack, frames: Sequence[int], *, mask: bool) -> tuple[NDArray[Any], Lost]:
    """Read frames; where a part of an image is gone for good, plane by plane, and 0 for what is lost.

    Args:
        stack: The field's film.
        frames: Which ones.
        mask: Whether planes may be lost; else the first one is an error.

    Raises:
        ImageError: The disk refuses, or a plane is lost and none may be.
    """
    try:
        return stack.read(frames), {}
    except LostPixelsError:
        if not mask:
            raise
    _, channels, height, width = stack.shape
    images = np.zeros((len(frames), channels, height, width), stack.dtype)
    lost: Lost = {}
    for place, frame in enumerate(frames):
        for channel in range(channels):
            try:
                images[place, channel] = stack.read([frame], [channel])[0, 0]
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
    slots, present = role_slots(images, brightness, roles)
    shown, hidden = [], []
    for place, frame in enumerate(frames):
        gone = {channel for at, channel in lost if at == frame}
        gone |= _without_image(images[place], brightness, roles)
        shows = [
            there and not gone.intersection(roles.get(role, ()))
            for role, there in zip(CHANNEL_ROLES, present, strict=True)
        ]
        slots[place, [n for n, there in enumerate(shows) if not there]] = 0.0
        shown.append(tuple(shows))
        hidden.append(hidden_roles(gone, roles))
    return FrameBatch(frames=frames, images=images, slots=slots, present=shown, hidden=hidden, lost=lost)


def _without_image(
    image: NDArray[Any], brightness: Brightness, roles: Mapping[ChannelRole, Sequence[int]]
) -> set[int]:
    """Channels in use that hold one flat value, or pixels that are no numbers; a death dye may rest at its background."""
    found = set()
    for role, channels in roles.items():
        for channel in channels:
            plane = image[channel]
            if np.issubdtype(plane.dtype, np.floating) and not np.isfinite(plane).all():
                found.add(channel)
            elif (low := plane.min()) == plane.max():
                away = abs(float(low) - brightness.background[channel])
                if role != "death" or away > _AT_REST * brightness.span[channel]:
                    found.add(channel)
    return found
