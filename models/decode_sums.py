"""The compiled loops of `decode_cpu` that tell what the maps say of each cell; sums of whole numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, fetch_ahead, lent, part
from models.decode_rules import STEPS_PER_LOGIT, VOTES_PER_PX

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

LOGIT_STEPS = np.float32(STEPS_PER_LOGIT)
PIECES_AHEAD = 16  # memory that they will need is asked for


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
    pieces, number, seeds, fore, votes = lent(pieces), lent(number), lent(seeds), lent(fore), lent(votes)
    heats, other_flat, other_place, chance = lent(heats), lent(other_flat), lent(other_place), lent(chance)
    n_cells = 0
    for k in range(len(number)):
        n_cells = max(n_cells, number[k])
    sums = np.zeros((n_cells, 6), dtype=np.int64)
    own_chance = _chances_of(fore, chance)
    for k in range(len(pieces)):
        if k + PIECES_AHEAD < len(pieces):
            y, start, stop = (
                pieces[k + PIECES_AHEAD, 0],
                pieces[k + PIECES_AHEAD, 1],
                pieces[k + PIECES_AHEAD, 2],
            )
            fetch_ahead(other_flat, other_place[0] + y * other_place[2] + start)
            fetch_ahead(other_flat, other_place[0] + y * other_place[2] + stop - 1)
        y, start, stop, first, owner = pieces[k, 0], pieces[k, 1], pieces[k, 2], pieces[k, 3], pieces[k, 4]
        cell = number[owner] - 1
        if cell < 0:
            continue
        seed_y, seed_x = VOTES_PER_PX * seeds[owner - 1, 0], VOTES_PER_PX * seeds[owner - 1, 1]
        of_other = np.uint64(other_place[0] + y * other_place[2] + start)
        own, others, unsure, miss_y, miss_x = 0, 0, 0, np.int64(0), np.int64(0)
        for i in range(np.uint64(first), np.uint64(first + stop - start)):
            own += own_chance[i]
            unsure += own_chance[i] < sure
            dy, dx = np.int64(votes[0, i]) - seed_y, np.int64(votes[1, i]) - seed_x
            miss_y += dy * dy
            miss_x += dx * dx
        for i in range(of_other, of_other + np.uint64(stop - start)):
            others += chance[_step(other_flat[i], len(chance))]
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
            heat[cell] = chance[_step(heats[k], len(chance))]
    return kept, heat, sums


@part
def _chances_of(logits: Floats, chance: Ints) -> Ints:
    """Probability of each logit, from the table."""
    found = np.empty(len(logits), dtype=np.int32)
    for k in range(len(logits)):
        found[k] = chance[_step(logits[k], len(chance))]
    return found


@part
def _step(logit: np.float32, n: int) -> Any:
    """Place of a logit in the table of probabilities; the first of what is no number."""
    half = np.float32((n - 1) // 2)
    step = logit * LOGIT_STEPS
    step = step if step > -half else -half
    return np.uint64(np.int32(np.rint(min(step, half))) + np.int32((n - 1) // 2))
