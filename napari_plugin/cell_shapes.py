"""Shapes that a hand draws: a round brush, the piece of a cell at a place, and a cell cut in two. Arrays only."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from assay.errors import ResultsError

_STEPS = (
    (0, 1),
    (1, 0),
    (1, 1),
    (1, -1),
)  # to half of the eight neighbours; the others are the same backwards
_REACH = 2


@lru_cache(maxsize=64)
def disk_offsets(radius_px: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels whose centres lie within a radius of the middle pixel's."""
    reach = int(radius_px)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = y**2 + x**2 <= radius_px**2
    return y[inside], x[inside]


def region_at(image: NDArray[np.integer], place: tuple[int, int]) -> NDArray[np.bool_]:
    """The connected piece of one label that holds a place, (Y, X).

    Raises:
        ResultsError: It is background that reaches the image's edge, and no hole.
    """
    pieces, _ = ndimage.label(image == image[place], structure=np.ones((3, 3)) if image[place] else None)
    region: NDArray[np.bool_] = pieces == pieces[place]
    edges = (region[0], region[-1], region[:, 0], region[:, -1])
    if not image[place] and any(edge.any() for edge in edges):
        raise ResultsError(
            "This is the background between the cells, not a hole in one. Draw a cell with the brush."
        )
    return region


def split_cell(cell: NDArray[np.bool_], one: tuple[int, int], other: tuple[int, int]) -> NDArray[np.bool_]:
    """The smaller part of a cell that is cut in two between two places in it.

    A watershed: from the middle of the lobe that each place lies in, the cell is flooded, fast where it is wide and
    slowly through a waist, and the cut lies where the two floods meet. Where both lie in one lobe, the cut is halfway
    between the places themselves. Source: Falcao 2004, doi:10.1109/TPAMI.2004.1261076 (image foresting transform).

    Args:
        cell: (Y, X), True inside.
        one: A pixel inside.
        other: Another one, connected with it.

    Raises:
        ResultsError: The two places are not connected.
    """
    rows, columns = np.flatnonzero(cell.any(axis=1)), np.flatnonzero(cell.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = cell[box]
    number = np.where(inside, np.cumsum(inside).reshape(inside.shape) - 1, -1)
    width = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    places = [(y - int(rows[0]), x - int(columns[0])) for y, x in (one, other)]
    middles = [_middle_of_lobe(width, place) for place in places]
    if middles[0] == middles[1]:
        middles, width = places, np.ones_like(width)
    seeds = [int(number[place]) for place in middles]
    times = dijkstra(_flood_graph(inside, number, width), directed=False, indices=seeds)
    if not np.isfinite(times[0, seeds[1]]):
        raise ResultsError("The two places lie in separate pieces. Give one of them a new label with Fill.")
    reached = np.isfinite(times).any(axis=0)
    of_other = reached & (times[1] < times[0])
    if of_other.sum() > (reached & ~of_other).sum():
        of_other = reached & ~of_other
    part = np.zeros(cell.shape, dtype=np.bool_)
    part[box][inside] = of_other
    return part


def _middle_of_lobe(width: NDArray[np.float64], place: tuple[int, int]) -> tuple[int, int]:
    """Where one comes to when going from a place always to where the cell is widest, within two pixels."""
    while True:
        y, x = (max(0, at - _REACH) for at in place)
        near = width[y : place[0] + _REACH + 1, x : place[1] + _REACH + 1]
        if near.max() <= width[place]:
            return place
        best = np.unravel_index(int(near.argmax()), near.shape)
        place = (y + int(best[0]), x + int(best[1]))


def _flood_graph(
    inside: NDArray[np.bool_], number: NDArray[np.int64], width: NDArray[np.float64]
) -> coo_array:
    """Neighbouring pixels of a cell, and how long the flood takes from one to the next."""
    height, length = inside.shape
    begins, ends, costs = [], [], []
    for dy, dx in _STEPS:
        here = (slice(0, height - dy), slice(max(0, -dx), length - max(0, dx)))
        there = (slice(dy, height), slice(max(0, dx), length + min(0, dx)))
        both = inside[here] & inside[there]
        begins.append(number[here][both])
        ends.append(number[there][both])
        costs.append(np.hypot(dy, dx) / ((width[here][both] + width[there][both]) / 2) ** 2)
    n = int(inside.sum())
    return coo_array(
        (np.concatenate(costs), (np.concatenate(begins), np.concatenate(ends))), shape=(n, n)
    ).tocsr()
