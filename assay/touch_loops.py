"""The compiled loop of `touching`: effectors' outlines against the rows of the targets around them.

Nothing but numbers and arrays of them. Outline is visited in row order, so that a length is the same to the last
bit however it is written.
"""

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

BLOCK = 32  # pixels that are looked at together, along x and along y

Image = NDArray[np.int32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]


@compiled
def surroundings(runs: Ints, rows: Longs, shape: tuple[int, int], gaps: Doubles) -> tuple[Ints, Flags, Longs]:
    """What the loop asks of the targets of a frame again and again: see `_index` and `_blocks_near`.

    Args:
        runs: (runs, 4) of the targets, from `label_runs`.
        rows: (Y + 1,) where each row's runs begin, from there too.
        shape: Of the frame.
        gaps: As for `add_pairs`.

    Returns:
        (Y, blocks) first run that ends beyond each block's first pixel; squares near a target; and for each number of
        rows how many columns away is within reach.
    """
    reach = np.empty(len(gaps), dtype=np.int64)
    for dy in range(len(gaps)):
        reach[dy] = -1
        for dx in range(gaps.shape[1]):
            reach[dy] += gaps[dy, dx] < np.inf
    return _index(runs, rows, shape[1]), _blocks_near(runs, shape, gaps.shape), reach


@compiled
def add_pairs(
    effectors: Image,
    targets: Image,
    top: int,
    span: tuple[int, int],
    runs: Ints,
    rows: Longs,
    around_targets: tuple[Ints, Flags, Longs],
    gaps: Doubles,
    lengths: Doubles,
    near_um: float,
    found: tuple[Longs, Longs, Doubles, int],
) -> tuple[Longs, Longs, Doubles, int]:
    """Bring some rows of a frame into the smallest gap and the interface of every effector and target within reach.

    Args:
        effectors: (rows, X) labels, with the row above and below the span where the frame has them.
        targets: (rows, X) labels of the same rows.
        top: The first of these rows.
        span: First row that is looked at, and the one after the last; a frame's spans come one after the other.
        runs: (runs, 4) of the targets of the whole frame, from `label_runs`.
        rows: (Y + 1,) where each row's runs begin, from there too.
        around_targets: From `surroundings`.
        gaps: (dy, dx) gap in um of two pixels so many steps apart; infinite beyond reach. Along dx it never
            falls, so of a run of pixels in a row only the nearest counts.
        lengths: (3,) um of outline for each neighbour along x, along y and across that lies outside the cell.
        near_um: Gap up to which outline counts as interface.
        found: From the rows before: of each effector label its first pair, -1 for none; (room, 3) effector, target and
            the effector's next pair; (room, 2) gap and interface in um; how many pairs there are.

    Returns:
        `found` with what these rows say.
    """
    index, near, reach = around_targets
    first, names, sizes, n = found
    around = np.empty(4 * gaps.size, dtype=np.int32)
    around_gap = np.empty(4 * gaps.size, dtype=np.float64)
    width = effectors.shape[1]
    for y in range(span[0], span[1]):
        for block in range(near.shape[1]):
            left, right = block * BLOCK, min((block + 1) * BLOCK, width)
            if not near[y // BLOCK, block] or _is_empty(effectors[y - top, left:right]):
                continue
            for x in range(left, right):
                own = effectors[y - top, x]
                if own == 0:
                    continue
                length = _outline(effectors, y - top, x, lengths)
                if length > 0.0:
                    count = _look_around(
                        y, x, len(rows) - 1, runs, rows, index, gaps, reach, around, around_gap
                    )
                elif targets[y - top, x] != 0:
                    count, around[0], around_gap[0] = 1, targets[y - top, x], 0.0
                else:
                    continue
                for k in range(count):
                    if n == len(names):
                        names, sizes = _longer(names, sizes)
                    interface = length if around_gap[k] <= near_um else 0.0
                    n = _note(first, names, sizes, n, own, around[k], around_gap[k], interface)
    return first, names, sizes, n


@part
def _is_empty(pixels: Ints) -> bool:
    seen = np.int32(0)
    for k in range(len(pixels)):
        seen |= pixels[k]
    return bool(seen == 0)


@part
def _index(runs: Ints, rows: Longs, width: int) -> Ints:
    """(Y, blocks) first run of the row that ends beyond the block's first pixel."""
    index = np.empty((len(rows) - 1, width // BLOCK + 1), dtype=np.int32)
    for y in range(index.shape[0]):
        r = rows[y]
        for block in range(index.shape[1]):
            while r < rows[y + 1] and runs[r, 2] <= block * BLOCK:
                r += 1
            index[y, block] = r
    return index


@part
def _blocks_near(runs: Ints, shape: tuple[int, int], margin: tuple[int, int]) -> Flags:
    """Squares of `BLOCK` x `BLOCK` pixels from which a target may be within reach."""
    near = np.zeros(((shape[0] - 1) // BLOCK + 1, (shape[1] - 1) // BLOCK + 1), dtype=np.bool_)
    for r in range(len(runs)):
        y, start, last = runs[r, 0], runs[r, 1], runs[r, 2] - 1
        top, bottom = max(y - margin[0], 0) // BLOCK, min(y + margin[0], shape[0] - 1) // BLOCK
        left, right = max(start - margin[1], 0) // BLOCK, min(last + margin[1], shape[1] - 1) // BLOCK
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                near[i, j] = True
    return near


@part
def _outline(image: Image, y: int, x: int, lengths: Doubles) -> float:
    """Length of outline that a pixel stands for; beyond the image's edge the cell goes on."""
    own = image[y, x]
    above, below = max(y - 1, 0), min(y + 1, image.shape[0] - 1)
    left, right = max(x - 1, 0), min(x + 1, image.shape[1] - 1)
    total = 0.0
    total += lengths[0] * (image[y, right] != own)
    total += lengths[0] * (image[y, left] != own)
    total += lengths[1] * (image[below, x] != own)
    total += lengths[1] * (image[above, x] != own)
    total += lengths[2] * (image[below, right] != own)
    total += lengths[2] * (image[above, left] != own)
    total += lengths[2] * (image[below, left] != own)
    total += lengths[2] * (image[above, right] != own)
    return float(total)


@part
def _look_around(
    y: int,
    x: int,
    height: int,
    runs: Ints,
    rows: Longs,
    index: Ints,
    gaps: Doubles,
    reach: Longs,
    around: Ints,
    around_gap: Doubles,
) -> int:
    """Put the targets within reach of a pixel into `around`, each once, with its gap; returns how many."""
    count = 0
    for row in range(max(y - len(gaps) + 1, 0), min(y + len(gaps), height)):
        dy = abs(row - y)
        low, high = x - reach[dy], x + reach[dy]
        r = np.int64(index[row, max(low, 0) // BLOCK])
        while r < rows[row + 1] and runs[r, 1] <= high:
            if runs[r, 2] > low:
                gap = gaps[dy, max(runs[r, 1] - x, x - runs[r, 2] + 1, 0)]
                k = 0
                while k < count and around[k] != runs[r, 3]:
                    k += 1
                if k == count:
                    around[k], around_gap[k] = runs[r, 3], gap
                    count += 1
                elif gap < around_gap[k]:
                    around_gap[k] = gap
            r += 1
    return count


@part
def _note(
    first: Longs,
    names: Longs,
    sizes: Doubles,
    n: int,
    effector: int,
    target: int,
    gap: float,
    length: float,
) -> int:
    """Bring what one pixel says of a pair into the list; returns how long that is now."""
    place = first[effector]
    while place >= 0 and names[place, 1] != target:
        place = names[place, 2]
    if place < 0:
        names[n, 0], names[n, 1], names[n, 2] = effector, target, first[effector]
        sizes[n, 0], sizes[n, 1] = gap, length
        first[effector] = n
        return n + 1
    sizes[place, 0] = min(sizes[place, 0], gap)
    sizes[place, 1] += length
    return n


@part
def _longer(names: Longs, sizes: Doubles) -> tuple[Longs, Doubles]:
    longer = np.empty((2 * len(names), 3), dtype=np.int64)
    more = np.empty((2 * len(names), 2), dtype=np.float64)
    for k in range(len(names)):
        for i in range(3):
            longer[k, i] = names[k, i]
        for i in range(2):
            more[k, i] = sizes[k, i]
    return longer, more
