"""How arrays are cut on disk: chunks, shards and pyramid levels. Pure arithmetic, no files.

The shard is the unit of writing: two writers in one shard silently lose data, so whoever writes takes whole
shards in time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from assay.errors import ShapeError

CHUNK_PX = 512
SHARD_FRAMES = 16
MAX_SHARD_BYTES = 256_000_000  # decoded
WIDE_SHARD_PX = 4096  # side of a shard of a frame that alone is larger than that
PYRAMID_STOP_PX = 512  # no further level once the smaller side is this small


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLayout:
    """How one array lies on disk; `shards` is None where every chunk is a file of its own."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None

    @property
    def shard_frames(self) -> int:
        """Frames that are written together."""
        return self.shards[0] if self.shards is not None else self.chunks[0]


def array_layout(shape: Sequence[int], *, itemsize: int, sharded: bool, shard_frames: int) -> ArrayLayout:
    """Cut a (T, ..., Y, X) array into chunks of one plane's tiles, and those into shards of several frames."""
    *leading, height, width = shape
    chunk_y, chunk_x = min(CHUNK_PX, height), min(CHUNK_PX, width)
    ones = (1,) * len(leading)
    chunks = (*ones, chunk_y, chunk_x)
    if not sharded:
        return ArrayLayout(shape=tuple(shape), chunks=chunks, shards=None)
    shard_y, shard_x = _round_up(height, chunk_y), _round_up(width, chunk_x)
    if shard_y * shard_x * itemsize > MAX_SHARD_BYTES:
        shard_y, shard_x = min(shard_y, WIDE_SHARD_PX), min(shard_x, WIDE_SHARD_PX)
    shards = (shard_frames, *ones[1:], shard_y, shard_x)
    return ArrayLayout(shape=tuple(shape), chunks=chunks, shards=shards)


def shard_frames_of(shape: Sequence[int], *, itemsize: int, sharded: bool) -> int:
    """Frames per shard: 16, fewer where the film is shorter or its frames are large; 1 without shards."""
    if not sharded:
        return 1
    frames, height, width = shape[0], shape[-2], shape[-1]
    plane = _round_up(height, min(CHUNK_PX, height)) * _round_up(width, min(CHUNK_PX, width)) * itemsize
    fitting = SHARD_FRAMES
    while fitting > 1 and fitting * plane > MAX_SHARD_BYTES:
        fitting //= 2
    return min(fitting, frames)


def pyramid_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of the levels, each half as high and wide, until the smaller side is 512 px or less."""
    shapes = [tuple(shape)]
    while min(shapes[-1][-2:]) > PYRAMID_STOP_PX:
        *leading, height, width = shapes[-1]
        shapes.append((*leading, math.ceil(height / 2), math.ceil(width / 2)))
    return shapes


def require_whole_shards(
    where: str, *, n_frames: int, shard_frames: int, first_frame: int, written: int
) -> None:
    """Refuse frames that begin or end inside a shard.

    Raises:
        ShapeError: They do, or lie outside the film.
    """
    end = first_frame + written
    if written < 1 or first_frame < 0 or end > n_frames:
        raise ShapeError(
            f"{where}: frames {first_frame} to {end - 1} do not lie in a film of {n_frames} frames."
        )
    if first_frame % shard_frames or (end % shard_frames and end != n_frames):
        raise ShapeError(
            f"{where}: frames {first_frame} to {end - 1} are not whole shards of {shard_frames} frames. Write "
            f"runs that begin at a multiple of {shard_frames} and end before one, or at the film's end."
        )


def _round_up(size: int, step: int) -> int:
    return math.ceil(size / step) * step
