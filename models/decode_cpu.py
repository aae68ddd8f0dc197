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
    found = _Found(maps, rules)
    return *found.cells(other_foreground), len(found.fore)


def decode_owned(
    maps: Tensor, other_foreground: Tensor, rules: Rules
) -> tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], int, NDArray[np.int32]
]:
    """The same for a window of a large frame: of foreground only what lies in `rules.owned` is counted.

    Returns:
        As `decode_arrays`, but (runs, 4) row, first column, column after the last and label instead of labels; and last
        (n, 4) first and last row, first and last column of all that a cell was made from, maybe outside the window.
    """
    found = _Found(maps, rules)
    around = found.surroundings()
    _, seeds, heat, sums = found.cells(other_foreground)
    row, start, stop, _, owner, _ = found.pieces.T
    runs = np.stack([row, start, stop, found.number[owner]], axis=1)
    first_row, stop_row, first_column, stop_column = rules.owned.tolist()
    row, start, stop, _ = found.runs.T
    inside = np.minimum(stop, stop_column) - np.maximum(start, first_column)
    n_px = int(inside[(row >= first_row) & (row < stop_row) & (inside > 0)].sum())
    return runs[runs[:, 3] > 0], seeds, heat, sums, n_px, around[found.number > 0]


class _Found:
    """What decoding finds on its way from maps to the cells of one role."""

    def __init__(self, maps: Tensor, rules: Rules) -> None:
        flat, place = _memory(maps)
        self.rules, self.shape = rules, (int(maps.shape[1]), int(maps.shape[2]))
        found: tuple[Any, ...] = find_foreground(
            flat, place, self.shape, rules.smooth, rules.thresholds, rules.vote_scale, rules.seed_radius
        )
        self.runs, self.fore, self.votes, self.peaks, self.heats = found
        self.pieces, self.pairs, borders, size = touching_owners(
            self.runs, self.votes, len(self.fore), self.peaks, rules.capture_rank, self.shape
        )
        self.joined = joined_owners(self.peaks, self.heats, self.pairs, borders, size, rules)
        self.number = np.zeros(len(self.joined), dtype=np.int32)

    def cells(
        self, other_foreground: Tensor
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Labels, seeds, their probabilities and sums; pieces and owners are those of cells from here on."""
        other_flat, other_place = _memory(other_foreground[None])
        labels = np.empty(self.shape, dtype=np.int32)
        self.number = keep_cells(
            self.pieces, self.joined, self.peaks, self.rules.least_px, self.rules.owned, labels
        )
        seeds, heat, sums = sum_cells(
            self.pieces,
            self.number,
            self.peaks,
            self.fore,
            self.votes,
            self.heats,
            other_flat,
            other_place,
            chances(),
            round(SURE * CHANCE_UNIT),
        )
        return labels, seeds, heat, sums

    def surroundings(self) -> NDArray[np.int32]:
        """(owners + 1, 4) first and last row, first and last column of all that decides on the cell of an owner.

        That are the pixels and seeds of the owners that were joined and of those that were not but might have been, and
        around them what the mean of pixels, the window of a seed and the capture of votes reach.
        """
        row, start, stop, _, owner, _ = self.pieces.T
        seeds = self.peaks.astype(np.int64)
        reach = np.array(self.rules.capture_rank.shape) + self.rules.seed_radius + 1
        ends = [row, -row, start, 1 - stop]
        of_owner = np.full((4, len(self.joined)), np.iinfo(np.int32).max, dtype=np.int64)
        for side, end in enumerate(ends):  # the last ones turned about, so that all four are least ones
            np.minimum.at(of_owner[side], owner, end)
            of_seed = seeds[:, side // 2] * (1 - 2 * (side % 2))
            of_owner[side, 1:] = np.minimum(of_owner[side, 1:], of_seed) - reach[side // 2]
        around = of_owner.copy()
        for side in range(4):
            np.minimum.at(around[side], self.joined, of_owner[side])
            if self.rules.most_jump > 0 and len(self.pairs):
                for one, other in (self.pairs.T, self.pairs.T[::-1]):
                    np.minimum.at(around[side], self.joined[one], of_owner[side, other])
        around[1::2] *= -1
        return around.T.astype(np.int32)


def _memory(maps: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All the memory behind (C, Y, X) maps, and in it the first value and the steps to the next C, Y and X.

    The loops want pixels of a row to be neighbours, as `models.second_look` leaves them; else the maps are copied.
    """
    maps = maps if maps.stride(2) == 1 else maps.contiguous()
    length = maps.untyped_storage().nbytes() // 4
    place = np.array([maps.storage_offset(), *maps.stride()], dtype=np.int64)
    return maps.as_strided((length,), (1,), 0).numpy(), place
