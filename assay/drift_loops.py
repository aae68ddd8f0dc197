"""The compiled loops of `drift`: ways from the cells of a frame to those of the next, and how many agree on each.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled

Floats = NDArray[np.float64]


@compiled
def ways_within(before: Floats, after: Floats, reach: float) -> Any:
    """All ways no longer than `reach` from a place to a place, both (n, 2) and in order of y: (m, 2), and whose they are.

    They are in order of where they begin, then of where they end.
    """
    count = 0
    way, owner = np.empty((0, 2)), np.empty(0, np.int64)
    for filling in range(2):
        if filling:
            way, owner = np.empty((count, 2)), np.empty(count, np.int64)
        count, first = 0, 0
        for i in range(len(before)):
            while first < len(after) and after[first, 0] - before[i, 0] < -reach:
                first += 1
            for j in range(first, len(after)):
                dy, dx = after[j, 0] - before[i, 0], after[j, 1] - before[i, 1]
                if dy > reach:
                    break
                if dy * dy + dx * dx <= reach * reach:
                    if filling:
                        way[count, 0], way[count, 1], owner[count] = dy, dx, i
                    count += 1
    return way, owner


@compiled
def agreeing(way: Floats, radius: float, reach: float) -> NDArray[np.int64]:
    """How many ways lie within `radius` of each, itself among them; none is longer than `reach`.

    They are put into boxes of that size, so that each is compared with those of nine boxes.
    """
    across = int(2 * reach / radius) + 3  # a box more on either side, so that all have neighbours
    box = np.empty(len(way), np.int64)
    first = np.zeros(across * across + 1, np.int64)
    for k in range(len(way)):
        box[k] = (int((way[k, 0] + reach) / radius) + 1) * across + int((way[k, 1] + reach) / radius) + 1
        first[box[k] + 1] += 1
    first = np.cumsum(first)
    place, filled = np.empty((len(way), 2)), first[:-1].copy()
    number = np.empty(len(way), np.int64)
    for k in range(len(way)):
        at = filled[box[k]]
        filled[box[k]] += 1
        place[at, 0], place[at, 1], number[at] = way[k, 0], way[k, 1], k
    count = np.zeros(len(way), np.int64)
    for at in range(len(way)):
        n = 0
        for row in range(-1, 2):
            middle = box[number[at]] + row * across
            for other in range(first[middle - 1], first[middle + 2]):
                dy, dx = place[other, 0] - place[at, 0], place[other, 1] - place[at, 1]
                if dy * dy + dx * dx <= radius * radius:
                    n += 1
        count[number[at]] = n
    return count
