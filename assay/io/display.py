"""Display windows from pixels, so that a plate opens neither black nor glaring."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

WINDOW_FIELDS = 8
WINDOW_FRAMES = 3
_PERCENT = (1.0, 99.8)
_Item = TypeVar("_Item")


def spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` items, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def display_window(planes: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Start and end of one channel's display: the 1st and the 99.8th percentile of its pixels."""
    values = np.concatenate([plane.ravel() for plane in planes]).astype(np.float64) if planes else np.zeros(1)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known if len(known) else np.zeros(1), _PERCENT)
    return float(low), float(high) if high > low else float(low) + 1.0
