"""Pixels of a film strip: crops around a cell, blended into colours, outlined, written as PNG."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from assay.labels import ChannelRole, is_large
from assay.stack import Window

COLOURS: dict[ChannelRole, tuple[float, float, float]] = {
    "effector": (1.0, 0.85, 0.10),
    "target": (1.0, 0.18, 0.22),
    "nuclei": (0.45, 0.45, 1.0),
    "death": (0.10, 0.95, 1.0),
    "brightfield": (0.55, 0.55, 0.55),
}

OUTSIDE = 46
"""Grey of what lies beyond the edge of the image: unlike an empty background."""

Crop = tuple[int, int, int, int]
"""(top, left, height, width) in pixels; it may reach over the edge of the frame."""
_AROUND_PX = 4096  # side of what is read of a frame that is too large to be held

Polygon = NDArray[np.float64]
"""(N, 2) points (y, x) in units of the crop, 0 to 1."""


def png(image: NDArray[np.uint8]) -> bytes:
    """Write (Y, X) grey or (Y, X, 3) colour pixels as a PNG without dates or comments."""
    height, width = image.shape[:2]
    lines = np.zeros((height, 1 + image[0].size), dtype=np.uint8)  # each line begins with filter 0
    lines[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def compose(
    crop: NDArray[np.floating[Any]],
    channels: Mapping[ChannelRole, Sequence[int]],
    windows: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Blend channels (C, Y, X) into colours; `windows` (C, 2) gives what is black and what is full."""
    colour = np.zeros((*crop.shape[1:], 3))
    shows_cells = any(role in channels for role in ("effector", "target", "nuclei"))
    for role, numbers in channels.items():
        if role == "brightfield" and shows_cells:
            continue  # it would wash out the cells
        for channel in numbers:
            colour += stretch(crop[channel], windows[channel])[..., None] * np.array(COLOURS[role])
    return np.round(255 * np.clip(colour, 0, 1)).astype(np.uint8)


def surroundings(crop: Crop, shape: tuple[int, ...]) -> Window:
    """What to read to show a crop: the whole frame, or of one too large to be held the part around the crop."""
    if not is_large(shape):
        return slice(0, shape[-2]), slice(0, shape[-1])
    rows, columns = (
        slice(
            start := max(0, min(first + size // 2 - _AROUND_PX // 2, side - _AROUND_PX)),
            min(start + _AROUND_PX, side),
        )
        for first, size, side in zip(crop[:2], crop[2:], shape[-2:], strict=True)
    )
    return rows, columns


def crop_in(crop: Crop, window: Window) -> Crop:
    """The same crop as seen from a window of the frame."""
    return crop[0] - window[0].start, crop[1] - window[1].start, *crop[2:]


def inside_of(crop: Crop, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels of a crop lie in the frame, (height, width)."""
    return crop_of(np.broadcast_to(np.True_, shape[-2:]), crop)


def background_of(image: NDArray[Any]) -> NDArray[np.float64]:
    """(C, 2): median and noise of each channel over the whole frame, or what was read of it."""
    sample = image[:, ::4, ::4].reshape(image.shape[0], -1).astype(np.float32)
    median = np.median(sample, axis=1)
    return np.stack([median, 1.4826 * np.median(np.abs(sample - median[:, None]), axis=1)], axis=1)


def strip_windows(crops: NDArray[np.float32], backgrounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, 2): one window a channel for the whole strip, so that a rising dye is seen to rise."""
    low = np.median(backgrounds[..., 0], axis=0) + np.median(backgrounds[..., 1], axis=0)
    high = np.percentile(crops, 99.7, axis=(0, 2, 3))
    least = 12 * np.median(backgrounds[..., 1], axis=0)  # noise must not be blown up to look like signal
    return np.stack([low, np.maximum(high, low + np.maximum(least, 1e-6))], axis=1)


def stretch(pixels: NDArray[np.floating[Any]], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels between black 0 and full 1; a little brighter in the dark than straight."""
    scaled = np.clip((pixels.astype(np.float64) - window[0]) / (window[1] - window[0]), 0, 1)
    return np.asarray(scaled**0.8)


def crop_of(image: NDArray[Any], window: Crop) -> NDArray[Any]:
    """Cut (top, left, height, width) out of the last two axes; 0 beyond the edge of the image."""
    top, left, height, width = window
    out = np.zeros((*image.shape[:-2], height, width), dtype=image.dtype)
    y0, y1 = max(top, 0), min(top + height, image.shape[-2])
    x0, x1 = max(left, 0), min(left + width, image.shape[-1])
    if y1 > y0 and x1 > x0:
        out[..., y0 - top : y1 - top, x0 - left : x1 - left] = image[..., y0:y1, x0:x1]
    return out


def contours(mask: NDArray[np.bool_]) -> tuple[Polygon, ...]:
    """Outlines of a boolean image."""
    if not mask.any():
        return ()
    smooth = gaussian_filter(np.pad(mask.astype(np.float64), 1), 0.7)
    scale = np.array(mask.shape, dtype=np.float64)
    return tuple((contour - 0.5) / scale for contour in find_contours(smooth, 0.5))
