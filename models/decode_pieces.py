"""The compiled loops of `decode_cpu` over runs of foreground: where cells touch, and which runs are one piece.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, lent, part
from models.decode_rules import NO_VOTE, VOTES_PER_PX

SQUARE_BITS = 3
SQUARE = 1 << SQUARE_BITS  # side in pixels; of a square are listed the seeds that its votes may reach
HALF_PX, VOTE_BITS = VOTES_PER_PX // 2, VOTES_PER_PX.bit_length() - 1
KNOWN_ACROSS = (
    64  # landing places that are remembered lie in squares of this side, so that a cell's do not collide
)
KNOWN = KNOWN_ACROSS * KNOWN_ACROSS
KNOWN_MASK = np.uint64(KNOWN - 1)
ONE = np.uint64(1)

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


@compiled
def touching_owners(
    runs: Ints, votes: Ints, n_px: int, seeds: Ints, capture_rank: Ints, shape: tuple[int, int]
) -> Any:
    """Give each pixel to the seed that its vote reaches, cut the runs where that changes, and tell what lies along borders.

    Returns:
        Pieces, of which `keep_cells` makes cells; (pairs, 2) owners with a common border, the smaller first;
        (pairs, 4) sums over it: how far votes jump in y and in x, pixels side by side, pixels one above the
        other; and (owners + 1,) pixels of each owner.
    """
    runs, votes, seeds, capture_rank = lent(runs), lent(votes), lent(seeds), lent(capture_rank)
    n_seeds = len(seeds)
    first, listed, across = _within_reach(seeds, capture_rank, shape)
    owners = _owners(votes, n_px, seeds, first, listed, across, capture_rank, shape[1])
    pieces = _cut(runs, owners)
    size = np.zeros(n_seeds + 1, dtype=np.int64)
    first = np.full(n_seeds + 1, -1, dtype=np.int64)  # of the pairs of an owner
    pairs = np.empty((n_seeds + 256, 3), dtype=np.int32)  # the third leads to the owner's next pair
    sums = np.zeros((n_seeds + 256, 4), dtype=np.int64)
    n, above, above_stop, row_start = 0, 0, 0, 0
    for p in range(len(pieces)):
        y, start, stop, owner = pieces[p, 0], pieces[p, 1], pieces[p, 2], pieces[p, 4]
        if p == 0 or y != pieces[p - 1, 0]:
            above, above_stop = (row_start, p) if p and pieces[p - 1, 0] == y - 1 else (p, p)
            row_start = p
        size[owner] += stop - start
        if owner == 0:
            continue
        if n + 2 + stop - start > len(pairs):
            pairs, sums = _longer(pairs), _longer_sums(sums)
        if p > row_start and pieces[p - 1, 2] == start and pieces[p - 1, 4]:
            k, n = _pair(first, pairs, n, pieces[p - 1, 4], owner)
            _add(votes, pieces[p, 3] - 1, pieces[p, 3], 1, sums[k])
            sums[k, 2] += 1
        while above < above_stop and pieces[above, 2] <= start:
            above += 1
        q = above
        while q < above_stop and pieces[q, 1] < stop:
            if pieces[q, 4] and pieces[q, 4] != owner:
                left, right = max(start, pieces[q, 1]), min(stop, pieces[q, 2])
                k, n = _pair(first, pairs, n, pieces[q, 4], owner)
                _add(
                    votes,
                    pieces[q, 3] + left - pieces[q, 1],
                    pieces[p, 3] + left - start,
                    right - left,
                    sums[k],
                )
                sums[k, 3] += right - left
            q += 1
    return pieces, pairs[:n, :2].copy(), sums[:n].copy(), size


@compiled
def keep_cells(
    pieces: Ints, joined: Ints, seeds: Ints, least_px: int, owned: Ints, labels: Ints
) -> NDArray[np.int32]:
    """Paint the largest piece of each owner that is kept, on nothing else; label of each owner, 0 where its cell is not kept.

    Takes the owner off all other pieces, and gives the rest the owner that `joined` has for theirs.
    """
    pieces, joined, seeds, owned, labels = lent(pieces), lent(joined), lent(seeds), lent(owned), lent(labels)
    for p in range(len(pieces)):
        pieces[p, 4] = joined[pieces[p, 4]]
    _connect(pieces)
    number = _kept(pieces, seeds, least_px, owned)
    p = 0
    for y in range(len(labels)):
        row = labels[y]
        row[:] = 0
        while p < len(pieces) and pieces[p, 0] == y:
            cell = number[pieces[p, 4]]
            if cell:
                for x in range(pieces[p, 1], pieces[p, 2]):
                    row[x] = cell
            p += 1
    return number


@part
def _within_reach(seeds: Ints, rank: Ints, shape: tuple[int, int]) -> Any:
    """The seeds that capture votes in each square of the frame, and how many squares lie side by side.

    Returns:
        (squares + 1,) where each square's seeds begin in the list; the list of seeds, ascending in every square; squares
        in a row of them.
    """
    reach_y, reach_x = rank.shape[0] - 1, rank.shape[1] - 1
    across = (shape[1] - 1) // SQUARE + 1
    first = np.zeros(((shape[0] - 1) // SQUARE + 1) * across + 1, dtype=np.int64)
    listed = np.empty(0, dtype=np.int32)
    for filling in range(2):
        for k in range(len(seeds)):
            y, x = int(seeds[k, 0]), int(seeds[k, 1])
            for i in range(max(y - reach_y, 0) // SQUARE, min(y + reach_y, shape[0] - 1) // SQUARE + 1):
                dy = max(i * SQUARE - y, y - i * SQUARE - SQUARE + 1, 0)
                for j in range(max(x - reach_x, 0) // SQUARE, min(x + reach_x, shape[1] - 1) // SQUARE + 1):
                    if rank[dy, max(j * SQUARE - x, x - j * SQUARE - SQUARE + 1, 0)] < 0:
                        continue
                    square = i * across + j
                    if filling:
                        listed[first[square]] = k
                    first[square] += 1
        if not filling:  # numbers to places
            total = 0
            for square in range(len(first)):
                total, first[square] = total + first[square], total
            listed = np.empty(total, dtype=np.int32)
        else:  # filling has moved each begin to the next one's
            for square in range(len(first) - 1, 0, -1):
                first[square] = first[square - 1]
            first[0] = 0
    return first, listed, across


@part
def _owner(y: int, x: int, seeds: Ints, first: Longs, listed: Ints, across: int, rank: Ints) -> int:
    """Number from 1 of the nearest seed within the capture of a pixel, of equally near ones the first; 0 for none."""
    square = (y >> SQUARE_BITS) * across + (x >> SQUARE_BITS)
    owner, least = 0, np.int32(0)
    for i in range(first[square], first[square + 1]):
        k = int(listed[i])
        dy, dx = abs(y - seeds[k, 0]), abs(x - seeds[k, 1])
        if dy < rank.shape[0] and dx < rank.shape[1]:
            mine = rank[dy, dx]
            if mine >= 0 and (owner == 0 or mine < least):
                owner, least = k + 1, mine
    return owner


@part
def _owners(
    votes: Ints, n: int, seeds: Ints, first: Longs, listed: Ints, across: int, rank: Ints, width: int
) -> Ints:
    """Number from 1 of the seed that each pixel's vote reaches, 0 for none."""
    owners = np.empty(n, dtype=np.int32)
    known = np.full((KNOWN, 2), -1, dtype=np.int64)  # places that votes landed on, and their owners
    for k in range(n):
        to_y, to_x = int(votes[0, k]), int(votes[1, k])
        if to_y == NO_VOTE or to_x == NO_VOTE:
            owners[k] = 0
            continue
        y, x = (to_y + HALF_PX) >> VOTE_BITS, (to_x + HALF_PX) >> VOTE_BITS
        place = y * width + x
        slot = np.uint64(y * KNOWN_ACROSS + x) & KNOWN_MASK
        if known[slot, 0] != place:
            known[slot, 0] = place
            known[slot, 1] = _owner(y, x, seeds, first, listed, across, rank)
        owners[k] = known[slot, 1]
    return owners


@part
def _cut(runs: Ints, owners: Ints) -> Ints:
    """Runs of one owner: row, start, stop, number of the first pixel, owner, and their own number."""
    pieces = np.empty((len(runs) + 256, 6), dtype=np.int32)
    n = 0
    for r in range(len(runs)):
        if n + runs[r, 2] - runs[r, 1] > len(pieces):
            pieces = _longer(pieces)
        n = _cut_run(runs[r], owners, pieces, n)
    return pieces[:n]


@part
def _cut_run(run: Ints, owners: Ints, pieces: Ints, n: int) -> int:
    """Add the pieces of one run; returns how many there are now."""
    x, number = run[1], np.uint64(run[3])
    end = number + np.uint64(run[2] - run[1])
    while number < end:
        owner, begin = owners[number], number
        number += ONE
        while number < end and owners[number] == owner:
            number += ONE
        pieces[n, 0], pieces[n, 1], pieces[n, 2] = run[0], x, x + np.int32(number - begin)
        pieces[n, 3], pieces[n, 4], pieces[n, 5] = begin, owner, n
        x += np.int32(number - begin)
        n += 1
    return n


@part
def _longer(array: Ints) -> Ints:
    """The array with room for twice as many rows."""
    longer = np.empty((2 * array.shape[0], array.shape[1]), dtype=np.int32)
    longer[: array.shape[0]] = array
    return longer


@part
def _longer_sums(sums: Longs) -> Longs:
    longer = np.zeros((2 * sums.shape[0], sums.shape[1]), dtype=np.int64)
    longer[: sums.shape[0]] = sums
    return longer


@part
def _pair(first: Longs, pairs: Ints, n: int, one: int, other: int) -> Any:
    """Where the pair stands, and how many pairs there are now."""
    low, high = min(one, other), max(one, other)
    k = first[low]
    while k >= 0:
        if pairs[k, 1] == high:
            return k, n
        k = np.int64(pairs[k, 2])
    pairs[n, 0], pairs[n, 1], pairs[n, 2] = low, high, first[low]
    first[low] = n
    return np.int64(n), n + 1


@part
def _add(votes: Ints, one: int, other: int, n: int, sums: Longs) -> None:
    """Add how far the votes of n pixels lie from those of n others."""
    for k in range(n):
        sums[0] += abs(np.int64(votes[0, one + k]) - votes[0, other + k])
        sums[1] += abs(np.int64(votes[1, one + k]) - votes[1, other + k])


@part
def _connect(pieces: Ints) -> None:
    """Make the runs that touch (8 neighbours) and have one owner one piece, named after its first run."""
    above, above_stop, row_start = 0, 0, 0
    for p in range(len(pieces)):
        y, start, stop, owner = pieces[p, 0], pieces[p, 1], pieces[p, 2], pieces[p, 4]
        if p == 0 or y != pieces[p - 1, 0]:
            above, above_stop = (row_start, p) if p and pieces[p - 1, 0] == y - 1 else (p, p)
            row_start = p
        if owner == 0:
            continue
        if p > row_start and pieces[p - 1, 2] == start and pieces[p - 1, 4] == owner:
            _join(pieces, p - 1, p)
        while above < above_stop and pieces[above, 2] < start:
            above += 1
        q = above
        while q < above_stop and pieces[q, 1] <= stop:
            if pieces[q, 4] == owner:
                _join(pieces, q, p)
            q += 1
    for p in range(len(pieces)):
        pieces[p, 5] = pieces[pieces[p, 5], 5]


@part
def _join(pieces: Ints, one: int, other: int) -> None:
    """Make two runs one piece, which is named after its first run."""
    while pieces[one, 5] != one:
        pieces[one, 5] = pieces[pieces[one, 5], 5]
        one = pieces[one, 5]
    while pieces[other, 5] != other:
        other = pieces[other, 5]
    if one < other:
        pieces[other, 5] = one
    else:
        pieces[one, 5] = other


@part
def _kept(pieces: Ints, seeds: Ints, least_px: int, owned: Ints) -> Ints:
    """Label of each owner, 0 where its cell is not kept; takes the owner off all but its largest piece."""
    size = np.zeros(len(pieces), dtype=np.int64)
    for k in range(len(pieces)):
        size[pieces[k, 5]] += pieces[k, 2] - pieces[k, 1]
    best = np.full(len(seeds) + 1, -1, dtype=np.int64)
    for k in range(len(pieces)):
        owner = pieces[k, 4]
        if owner and pieces[k, 5] == k and (best[owner] < 0 or size[k] > size[best[owner]]):
            best[owner] = k
    number = np.zeros(len(seeds) + 1, dtype=np.int32)
    n = 0
    for owner in range(1, len(seeds) + 1):
        y, x = seeds[owner - 1, 0], seeds[owner - 1, 1]
        inside = owned[0] <= y < owned[1] and owned[2] <= x < owned[3]
        if inside and best[owner] >= 0 and size[best[owner]] >= least_px:
            n += 1
            number[owner] = n
    for k in range(len(pieces)):
        if pieces[k, 5] != best[pieces[k, 4]]:
            pieces[k, 4] = 0
    return number
