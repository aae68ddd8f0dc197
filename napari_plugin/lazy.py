"""Images of one field as lazy arrays: a frame is read when it is shown."""

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

ReadFrames = Callable[[Sequence[int]], NDArray[Any]]
"""Frame numbers -> (t, ..., Y, X)."""


def lazy_film(read: ReadFrames, *, shape: tuple[int, ...], dtype: DTypeLike) -> da.Array:
    """A film (T, ..., Y, X) that reads one frame at a time.

    Args:
        read: Reads the frames it is asked for.
        shape: Of the whole film.
        dtype: Of its pixels.
    """

    def block(block_info: Any = None) -> NDArray[Any]:
        frame = block_info[None]["array-location"][0][0]
        return read([frame])

    chunks = ((1,) * shape[0], *((size,) for size in shape[1:]))
    return da.map_blocks(block, chunks=chunks, dtype=np.dtype(dtype), meta=np.empty((0,) * len(shape), dtype))
