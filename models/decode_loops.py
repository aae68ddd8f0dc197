"""The compiled loops of `decode_cpu` over the rows of maps: foreground, and the seeds in it.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew. Rows are looked at one after the
other while they lie in the cache: a row's seeds are known a few rows later, and no image of the frame is kept. A loop in
which an array may be replaced by a longer one counts the array's holders at every turn, so rows are read while there
is room, and room is made outside, and there they are `lent`. Places in `flat` have no sign, because an index that might be
negative would be looked at twice. The rows below are asked for before they are needed: memory is slow to begin.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, fetch_ahead, lent, part
from models.decode_rules import LARGEST_VOTE, NO_VOTE, VOTES_PER_PX

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

LANES = 8  # pixels whose flags are looked at together, as one number
BLOCK = 32  # columns that are computed together where some are foreground: shorter loops would go one by one
BLOCK_LANES = BLOCK // LANES
AT_ONCE = 16  # values that memory brings together
NONE_INSIDE, ALL_INSIDE = np.uint64(0), np.uint64(0x0101010101010101)
ZERO = np.float32(0)
NINTH = np.float32(1 / 9)
FARTHEST = np.float32(LARGEST_VOTE)
COLD = np.float32(np.nan)  # no number is smaller, larger or as large
NOTHING, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
LANE_BITS, IN_LANE = np.uint64(3), np.uint64(LANES - 1)


@compiled
def find_foreground(
    flat: Floats,
    place: Longs,
    shape: tuple[int, int],
    smooth: bool,
    thresholds: Floats,
    vote_scale: Floats,
    seed_radius: Ints,
) -> Any:
    """Find the foreground, what each of its pixels says, and the seeds in it.

    Maps come as the memory that holds them and their place in it: the first value and the steps to the next
    map and row; pixels of a row are neighbours.

    Returns:
        Runs of foreground (row, start, stop, number of the first pixel); foreground and votes of its pixels, of which
        only as many votes are filled as there are pixels; seeds (row, column) and their heat.
    """
    height, width = shape
    y, counts = 0, np.zeros(3, dtype=np.int64)  # rows that are done; runs, pixels and seeds in them
    room = height * width // 8 + 2 * width
    runs = np.empty((room // 8 + width, 4), dtype=np.int32)
    fore, votes = np.empty(room, dtype=np.float32), np.empty((2, room), dtype=np.int32)
    seeds, heats = np.empty((room // 64 + width, 2), dtype=np.int32), np.empty(room // 64 + width, np.float32)
    side = (
        2 * seed_radius[0] + 1
    )  # rows whose heat is at hand, those about the row whose seeds are looked for
    warmth = np.full((side, width + 2 * seed_radius[1]), COLD, dtype=np.float32)
    warm_x, n_warm = np.empty((side, width), dtype=np.int32), np.zeros(side, dtype=np.int64)
    while True:
        y = _rows(
            flat, place, y, shape, smooth, thresholds, vote_scale, seed_radius,
            counts, runs, fore, votes, seeds, heats, warmth, warm_x, n_warm,
        )  # fmt: skip
        if y == height + seed_radius[0]:
            break
        if counts[0] + width > len(runs):
            runs = _longer(runs)
        if counts[1] + width > len(fore):
            fore, votes = _more(fore), _wider(votes)
        if counts[2] + width > len(seeds):
            seeds, heats = _longer(seeds), _more(heats)
    return runs[: counts[0]], fore[: counts[1]], votes, seeds[: counts[2]], heats[: counts[2]]


@part
def _rows(
    flat: Floats,
    place: Longs,
    y: int,
    shape: tuple[int, int],
    smooth: bool,
    thresholds: Floats,
    vote_scale: Floats,
    seed_radius: Ints,
    counts: Longs,
    runs: Ints,
    fore: Floats,
    votes: Ints,
    seeds: Ints,
    heats: Floats,
    warmth: Floats,
    warm_x: Ints,
    n_warm: Longs,
) -> int:
    """Look at row after row from y on while there is room, and say which comes next.

    The seeds of a row are looked for when as many rows below it are known as the window of a seed has; at the end these
    are rows beyond the frame.
    """
    height, width = shape
    flat, place, runs, fore, votes, seeds, heats, warmth, warm_x, n_warm = (
        lent(flat), lent(place), lent(runs), lent(fore), lent(votes), lent(seeds), lent(heats), lent(warmth),
        lent(warm_x), lent(n_warm),
    )  # fmt: skip
    held = np.empty((4, width + 2), dtype=np.float32)
    held_votes = np.empty((2, width), dtype=np.int32)
    held_flags = np.zeros((2, -(-width // BLOCK) * BLOCK), dtype=np.uint8)
    line, heat, seen = lent(held)[0], lent(held)[1], lent(held)[2:]  # of this row and the next
    to_y, to_x = lent(held_votes)[0], lent(held_votes)[1]
    flags = lent(held_flags)
    lanes = flags.view(np.uint64)
    least, warm, margin = thresholds[0], thresholds[1], int(seed_radius[1])
    n_runs, n_px, n_seeds = counts[0], np.uint64(counts[1]), counts[2]
    _look(flat, place, y, shape, smooth, least, line, seen[y % 2], flags[y % 2])
    while (
        y < height + seed_radius[0]
        and n_runs + width <= len(runs)
        and np.int64(n_px) + width <= len(fore)
        and n_seeds + width <= len(seeds)
    ):
        slot, now, then = y % len(warmth), y % 2, (y + 1) % 2
        _cool(warmth[slot], warm_x[slot], int(n_warm[slot]), margin)
        if y + 1 < height:
            _look(flat, place, y + 1, shape, smooth, least, line, seen[then], flags[then])
            _send_for(flat, place, y + 1, lanes[then], lanes[now])
        found, said = 0, 0  # columns before `said` have their heat and votes
        stop = 0 if y < height else width
        while True:
            start = _next(flags[now], lanes[now], stop, width, True)
            if start == width:
                break
            stop = _next(flags[now], lanes[now], start, width, False)
            if stop > said:
                said, first = min(-(-stop // BLOCK) * BLOCK, width), max(said, start // BLOCK * BLOCK)
                at = place[0] + y * place[2] + place[1]
                _mean(flat, at, place[2], y, first, said, width, height, smooth, line, heat)
                _land(flat, at + place[1], vote_scale[0], VOTES_PER_PX * y, 0, height, first, said, to_y)
                _land(flat, at + 2 * place[1], vote_scale[1], 0, VOTES_PER_PX, width, first, said, to_x)
            runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2], runs[n_runs, 3] = y, start, stop, n_px
            n_runs += 1
            for x in range(np.uint64(start), np.uint64(stop)):
                fore[n_px], votes[0, n_px], votes[1, n_px] = seen[now, x], to_y[x], to_x[x]
                n_px += ONE
            for x in range(start, stop):
                if heat[x] >= warm:
                    warm_x[slot, found] = x
                    warmth[slot, x + margin] = heat[x]
                    found += 1
        n_warm[slot] = found
        if y >= seed_radius[0]:
            n_seeds = _seeds_of(
                y - int(seed_radius[0]), seed_radius, warmth, warm_x, n_warm, seeds, heats, n_seeds
            )
        y += 1
    counts[0], counts[1], counts[2] = n_runs, n_px, n_seeds
    return y + 0 * (len(held) + len(held_votes) + len(held_flags))  # they were lent until here


@part
def _look(
    flat: Floats,
    place: Longs,
    y: int,
    shape: tuple[int, int],
    smooth: bool,
    least: np.float32,
    line: Floats,
    seen: Floats,
    flags: Any,
) -> None:
    """What is foreground in a row; beyond the frame nothing is looked at."""
    height, width = shape
    if y >= height:
        return
    row = place[0] + y * place[2]
    for x in range(0, width, AT_ONCE):
        fetch_ahead(flat, row + 2 * place[2] + x)
    _mean(flat, row, place[2], y, 0, width, width, height, smooth, line, seen)
    for x in range(width):
        flags[x] = np.uint8(1) if seen[x] > least else np.uint8(0)


@part
def _send_for(flat: Floats, place: Longs, y: int, lanes: Any, above: Any) -> None:
    """Ask for the heat and the offsets of a row where it is foreground, the heat of the rows about it included.

    What the row above asked for is on its way.
    """
    heat, step = place[0] + y * place[2] + place[1], place[2]
    for k in range(0, len(lanes), BLOCK_LANES):
        if not _any_of(lanes, k):
            continue
        x = k * LANES
        for row in range(heat + step if _any_of(above, k) else heat - step, heat + 2 * step, step):
            for at in range(row + x - 1, row + x + BLOCK, AT_ONCE):  # the mean reaches one to the left
                fetch_ahead(flat, at)
            fetch_ahead(flat, row + x + BLOCK)  # and one to the right
        for at in range(x, x + BLOCK, AT_ONCE):
            fetch_ahead(flat, heat + place[1] + at)
            fetch_ahead(flat, heat + 2 * place[1] + at)


@part
def _any_of(lanes: Any, k: int) -> bool:
    """Whether any pixel of a block is foreground."""
    some = lanes[k]
    for more in range(1, BLOCK_LANES):
        some |= lanes[k + more]
    return bool(some != NOTHING)


@part
def _cool(warmth: Floats, warm_x: Ints, n: int, margin: int) -> None:
    """Forget the row that had this place before."""
    for k in range(n):
        warmth[margin + warm_x[k]] = COLD


@part
def _seeds_of(
    y: int,
    radius: Ints,
    warmth: Floats,
    warm_x: Ints,
    n_warm: Longs,
    seeds: Ints,
    heats: Floats,
    n: int,
) -> int:
    """List the seeds of a row: warmest in their window, of equally warm ones the first; returns how many there are now."""
    ry, rx, slot = int(radius[0]), int(radius[1]), y % len(warmth)
    for k in range(n_warm[slot]):
        x = int(warm_x[slot, k])
        if _is_highest(warmth, y, x + rx, 1, 1) and _is_highest(warmth, y, x + rx, ry, rx):
            seeds[n, 0], seeds[n, 1], heats[n] = y, x, warmth[slot, x + rx]
            n += 1
    return n


@part
def _is_highest(warmth: Floats, y: int, x: int, ry: int, rx: int) -> bool:
    side = len(warmth)
    own = warmth[y % side, x]
    for row in range(y - ry, y + 1):
        of_row = warmth[row % side]
        for column in range(x - rx, x + rx + 1 if row < y else x):
            if of_row[column] >= own:
                return False
    for row in range(y, y + ry + 1):
        of_row = warmth[row % side]
        for column in range(x + 1 if row == y else x - rx, x + rx + 1):
            if of_row[column] > own:
                return False
    return True


@part
def _mean(
    flat: Floats,
    row: int,
    step: int,
    y: int,
    start: int,
    stop: int,
    width: int,
    height: int,
    smooth: bool,
    line: Floats,
    mean: Floats,
) -> None:
    """Mean over 3x3 pixels (if `smooth`) of one row from `start` to `stop`; beyond the edge lies what lies there.

    `row` is where row y begins, `step` leads to the next.
    """
    here, above, below = row, row - (step if y else 0), row + (step if y + 1 < height else 0)
    n, to = np.uint64(stop - start), np.uint64(start)
    if not smooth:
        middle = np.uint64(here + start)
        for k in range(n):
            mean[to + k] = flat[middle + k]
        return
    left, right = max(start - 1, 0), min(stop + 1, width)
    shift = np.uint64(left - start + 1)  # 1 at the left edge
    high, middle, low = np.uint64(above + left), np.uint64(here + left), np.uint64(below + left)
    for k in range(np.uint64(right - left)):
        line[k + shift] = (flat[high + k] + flat[middle + k]) + flat[low + k]
    if left == start:
        line[0] = line[1]
    if right == stop:
        line[n + ONE] = line[n]
    for k in range(n):
        mean[to + k] = ((line[k] + line[k + ONE]) + line[k + TWO]) * NINTH


@part
def _land(
    flat: Floats,
    row: int,
    scale: np.float32,
    origin: int,
    apart: int,
    length: int,
    start: int,
    stop: int,
    votes: Ints,
) -> None:
    """Where the votes of a row land on the frame, in sixteenths of a pixel; its pixels lie `apart`."""
    last = np.int32(VOTES_PER_PX * (length - 1))
    first = np.uint64(row)
    for x in range(np.uint64(start), np.uint64(stop)):
        votes[x] = _landing(flat[first + x] * scale, np.int32(origin + np.int64(x) * apart), last)


@part
def _next(flags: Any, lanes: Any, x: int, width: int, inside: bool) -> int:
    """First pixel from x on that is inside the foreground (or outside it)."""
    passed = ALL_INSIDE if not inside else NONE_INSIDE
    at, end, flag = np.uint64(x), np.uint64(width), np.uint8(0 if inside else 1)
    while at < end:
        if at & IN_LANE == NOTHING:
            lane = at >> LANE_BITS
            while lane < np.uint64(len(lanes)) and lanes[lane] == passed:
                lane += ONE
            at = lane << LANE_BITS
            if at >= end:
                break
        if flags[at] != flag:
            return np.int64(at)  # type: ignore[return-value]
        at += ONE
    return width


@part
def _landing(vote: np.float32, place: np.int32, last: np.int32) -> np.int32:
    near = abs(vote) < FARTHEST
    landing = place + np.int32(np.rint(vote if near else ZERO))
    return min(max(landing, np.int32(0)), last) if near else NO_VOTE


@part
def _longer(array: Ints) -> Ints:
    """The array with room for twice as many rows."""
    longer = np.empty((2 * array.shape[0], array.shape[1]), dtype=array.dtype)
    longer[: array.shape[0]] = array
    return longer


@part
def _wider(array: Ints) -> Ints:
    """The array with room for twice as many columns."""
    wider = np.empty((array.shape[0], 2 * array.shape[1]), dtype=array.dtype)
    wider[:, : array.shape[1]] = array
    return wider


@part
def _more(array: Floats) -> Floats:
    """The array with room for twice as many values."""
    more = np.empty(2 * array.shape[0], dtype=array.dtype)
    more[: array.shape[0]] = array
    return more
