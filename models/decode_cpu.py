"""Decoding as compiled loops, for maps in a processor's memory.

Gives bit for bit what `decode_torch` gives. Only foreground is looked at closely: its pixels are found row by
row, as runs, and all further work is on runs. Whatever is summed over pixels is a whole number.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.decode_joins import joined_owners
from models.decode_loops import find_foreground
from models.decode_pieces import keep_cells, touching_owners
from models.decode_rules import CHANCE_UNIT, SURE, Rules, chances
from models.decode_sums import sum_cells


def decode_arrays(
    maps: Tensor, other_foreground: Tensor, rules: Rules
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], int]:
    """Find the cells of one role; see `models.decode.decode` for what they are.

    Returns:
        (Y, X) labels; (n, 2) rows and columns of the seeds; (n,) their probabilities in `CHANCE_UNIT`; and
        (n, 6) sums over each cell's pixels: their number, their probability, that of the other role, how many
        are unsure, the squared misses of their votes in y and x; and the number of foreground pixels.
    """
    flat, place = _memory(maps)
    other_flat, other_place = _memory(other_foreground[None])
    shape = (int(maps.shape[1]), int(maps.shape[2]))
    found: tuple[Any, ...] = find_foreground(
        flat, place, shape, rules.smooth, rules.thresholds, rules.vote_scale, rules.seed_radius
    )
    runs, fore, votes, peaks, heats = found
    pieces, pairs, borders, size = touching_owners(runs, votes, len(fore), peaks, rules.capture_rank, shape)
    joined = joined_owners(peaks, heats, pairs, borders, size, rules)
    labels = np.empty(shape, dtype=np.int32)
    number = keep_cells(pieces, joined, peaks, rules.least_px, rules.owned, labels)
    seeds, heat, sums = sum_cells(
        pieces,
        number,
        peaks,
        fore,
        votes,
        heats,
        other_flat,
        other_place,
        chances(),
        round(SURE * CHANCE_UNIT),
    )
    return labels, seeds, heat, sums, len(fore)


def _memory(maps: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All the memory behind (C, Y, X) maps, and in it the first value and the steps to the next C, Y and X.

    The loops want pixels of a row to be neighbours, as `models.unfolding` leaves them; else the maps are copied.
    """
    maps = maps if maps.stride(2) == 1 else maps.contiguous()
    length = maps.untyped_storage().nbytes() // 4
    place = np.array([maps.storage_offset(), *maps.stride()], dtype=np.int64)
    return maps.as_strided((length,), (1,), 0).numpy(), place
