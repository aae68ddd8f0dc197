"""Cutting a frame into windows such that nobody can tell afterwards.

Each window brings a halo as wide as the network can see, and only what lies inside it is kept. At the frame's
own edge there is no halo: the network meets the edge there as it would in the whole frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One window along one axis, in pixels: what is read, and the part of it that is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int

    @property
    def kept(self) -> slice:
        """The kept part, counted from the window's start."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)


def padded_length(length: int, *, stride: int) -> int:
    """The smallest multiple of `stride` that holds `length` pixels."""
    return -(-length // stride) * stride


def spans(length: int, *, tile_px: int, halo_px: int, stride: int) -> list[Span]:
    """Windows of equal length over one axis; they depend on its length only.

    Args:
        length: Pixels of the padded axis, a multiple of `stride`.
        tile_px: Largest window; an axis no longer than this is one window.
        halo_px: How far the network sees, a multiple of `stride`.
        stride: Windows begin and end on its multiples.

    Raises:
        ModelError: A tile would hold nothing but halo.
    """
    if length <= tile_px:
        return [Span(start=0, stop=length, keep_start=0, keep_stop=length)]
    if tile_px < 2 * halo_px + stride or tile_px % stride or halo_px % stride:
        raise ModelError(
            f"tile_px is {tile_px}, expected a multiple of {stride} and at least {2 * halo_px + stride}: "
            f"the network sees {halo_px} px to every side."
        )
    count = -(-(length - 2 * halo_px) // (tile_px - 2 * halo_px))
    step = padded_length(-(-(length - 2 * halo_px) // count), stride=stride)
    count = -(-(length - 2 * halo_px) // step)  # rounding up the step may have made a window needless
    window = step + 2 * halo_px
    found = []
    for index in range(count):
        start = min(index * step, length - window)
        keep_start = index * step + halo_px if index else 0
        keep_stop = length if index == count - 1 else (index + 1) * step + halo_px
        found.append(Span(start=start, stop=start + window, keep_start=keep_start, keep_stop=keep_stop))
    return found


def windows(
    shape: tuple[int, int], *, tile_px: int, halo_px: int, stride: int
) -> Iterator[tuple[Span, Span]]:
    """All windows of a padded frame, (y, x), row by row."""
    columns = spans(shape[1], tile_px=tile_px, halo_px=halo_px, stride=stride)
    for row in spans(shape[0], tile_px=tile_px, halo_px=halo_px, stride=stride):
        for column in columns:
            yield row, column
