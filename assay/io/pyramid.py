"""Half-size copies of images and labels for viewers. Knows arrays only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def half_image(frames: NDArray[Any]) -> NDArray[Any]:
    """Mean of every 2 x 2 pixels of (..., Y, X); an odd last row or column is repeated; whole numbers are rounded."""
    if frames.ndim > 2:  # one plane at a time: a shard as floats is several times its size
        return np.stack([half_image(part) for part in frames])
    even = np.pad(frames, [(0, size % 2) for size in frames.shape], mode="edge")
    wide: Any = even.astype(np.float64 if even.dtype.itemsize > 2 else np.float32)
    mean = (wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]) / 4
    half: NDArray[Any] = (mean if frames.dtype.kind == "f" else np.floor(mean + 0.5)).astype(frames.dtype)
    return half


def half_labels(frames: NDArray[Any]) -> NDArray[Any]:
    """Every second row and column of (..., Y, X): labels cannot be averaged."""
    return frames[..., ::2, ::2]
