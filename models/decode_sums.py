"""The compiled loops of `decode_cpu` that tell what the maps say of each cell; sums of whole numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part
from models.decode_rules import STEPS_PER_LOGIT, VOTES_PER_PX

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

LOGIT_STEPS = np.float32(STEPS_PER_LOGIT)


@compiled
def sum_cells(
    pieces: Ints,
    number: Ints,
    seeds: Ints,
    fore: Floats,
    votes: Ints,
    heats: Floats,
    other_flat: Floats,
    other_place: Longs,
    chance: Ints,
    sure: int,
) -> Any:
    """Seeds, their probabilities, and sums over pixels, of the cells that `decode_loops` kept."""
    n_cells = 0
    for k in range(len(number)):
        n_cells = max(n_cells, number[k])
    sums = np.zeros((n_cells, 6), dtype=np.int64)
    for k in range(len(pieces)):
        y, start, stop, first, owner = pieces[k, 0], pieces[k, 1], pieces[k, 2], pieces[k, 3], pieces[k, 4]
        cell = number[owner] - 1
        if cell < 0:
            continue
        seed_y, seed_x = VOTES_PER_PX * seeds[owner - 1, 0], VOTES_PER_PX * seeds[owner - 1, 1]
        of_other = other_place[0] + y * other_place[2]
        own, others, unsure, miss_y, miss_x = 0, 0, 0, np.int64(0), np.int64(0)
        for i in range(stop - start):
            own_chance = chance[_step(fore[first + i], len(chance))]
            own += own_chance
            unsure += own_chance < sure
            others += chance[_step(other_flat[of_other + (start + i) * other_place[3]], len(chance))]
            dy, dx = np.int64(votes[0, first + i]) - seed_y, np.int64(votes[1, first + i]) - seed_x
            miss_y += dy * dy
            miss_x += dx * dx
        sums[cell, 0] += stop - start
        sums[cell, 1] += own
        sums[cell, 2] += others
        sums[cell, 3] += unsure
        sums[cell, 4] += miss_y
        sums[cell, 5] += miss_x
    kept, heat = np.empty((n_cells, 2), dtype=np.int32), np.empty(n_cells, dtype=np.int32)
    for k in range(len(seeds)):
        cell = number[k + 1] - 1
        if cell >= 0:
            kept[cell, 0], kept[cell, 1] = seeds[k, 0], seeds[k, 1]
            heat[cell] = chance[_step(heats[seeds[k, 2]], len(chance))]
    return kept, heat, sums


@part
def _step(logit: np.float32, n: int) -> int:
    """Place of a logit in the table of probabilities."""
    half = (n - 1) // 2
    step = logit * LOGIT_STEPS
    if not step > -np.float32(half):  # also what is no number
        return 0
    return int(np.rint(min(step, np.float32(half)))) + half
