"""Which seeds lie in one cell: where two cells meet, their pixels' votes jump from one centre to the other.

Knows what was summed along the borders of the seeds' pixels; the same for the compiled loops and for torch.
"""

import numpy as np
from numpy.typing import NDArray

from models.decode_rules import VOTES_PER_PX, Rules


def joined_owners(
    seeds: NDArray[np.int32],
    heat: NDArray[np.float32],
    pairs: NDArray[np.integer],
    sums: NDArray[np.int64],
    size: NDArray[np.int64],
    rules: Rules,
) -> NDArray[np.int32]:
    """Whose cell the pixels of each seed go to.

    Within a cell that has two peaks of heat the votes drift from one to the other along a long border. Between
    two cells they jump, by more than half of the way from centre to centre. So two seeds are of one cell where
    (mean jump / distance of the seeds) / (length of the border / square root of the smaller area) lies below
    `Rules.most_jump`. Distances are the sum of those in y and x.

    Args:
        seeds: (n, 2) rows and columns.
        heat: (n,) of the seeds.
        pairs: (pairs, 2) numbers from 1 of seeds whose pixels are neighbours (of 4), the smaller first.
        sums: (pairs, 4) over the border: jump in y and x in `VOTES_PER_PX`, pixels side by side, pixels one
            above the other.
        size: (n + 1,) pixels of each seed.
        rules: Pixel size and limit.

    Returns:
        (n + 1,) number of the warmest seed of the cell, of equally warm ones the first; 0 of 0.
    """
    joined = np.arange(len(seeds) + 1, dtype=np.int32)
    if rules.most_jump <= 0 or not len(pairs):
        return joined
    um_y, um_x = rules.pixel_um
    one, other = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    steps = np.abs(seeds[one - 1].astype(np.int64) - seeds[other - 1])
    apart = steps[:, 0] * um_y + steps[:, 1] * um_x
    jump = (sums[:, 0] * um_y + sums[:, 1] * um_x) / (VOTES_PER_PX * (sums[:, 2] + sums[:, 3]))
    border = sums[:, 2] * um_y + sums[:, 3] * um_x
    across = np.sqrt(np.minimum(size[one], size[other]) * (um_y * um_x))
    for k in np.flatnonzero(jump * across < rules.most_jump * apart * border).tolist():
        _join(joined, heat, _of(joined, int(one[k])), _of(joined, int(other[k])))
    return np.array([_of(joined, k) for k in range(len(joined))], dtype=np.int32)


def _of(joined: NDArray[np.int32], number: int) -> int:
    while joined[number] != number:
        number = int(joined[number])
    return number


def _join(joined: NDArray[np.int32], heat: NDArray[np.float32], one: int, other: int) -> None:
    if one == other:
        return
    low, high = min(one, other), max(one, other)
    if heat[high - 1] > heat[low - 1]:
        low, high = high, low
    joined[high] = low
