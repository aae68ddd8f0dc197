"""The compiled loops of `decode_cpu` over the rows of maps: foreground, seeds, and the hop to them.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew. A loop in which an array may be
replaced by a longer one counts the array's holders at every turn, so rows are read while there is room, and room is
made outside. Places in `flat` have no sign, because an index that might be negative would be looked at twice.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part
from models.decode_rules import LARGEST_VOTE, VOTES_PER_PX

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

LANES = 8  # pixels whose flags are looked at together, as one number
BLOCK = 32  # columns that are computed together where some are foreground: shorter loops would go one by one
NONE_INSIDE, ALL_INSIDE = np.uint64(0), np.uint64(0x0101010101010101)
ZERO = np.float32(0)
NINTH = np.float32(1 / 9)
FARTHEST = np.float32(LARGEST_VOTE)
NO_VOTE = np.int32(-(2**31))
HALF_PX, SHIFT = VOTES_PER_PX // 2, np.uint64(VOTES_PER_PX.bit_length() - 1)
ONE, TWO = np.uint64(1), np.uint64(2)


@compiled
def find_owners(
    flat: Floats,
    place: Longs,
    shape: tuple[int, int],
    smooth: bool,
    thresholds: Floats,
    vote_scale: Floats,
    seed_radius: Ints,
    capture_rank: Ints,
) -> Any:
    """Find the foreground, the seeds in it and whose each of its pixels is; labels are zeros still.

    Maps come as the memory that holds them and their place in it: the first value and the steps to the next
    map and row; pixels of a row are neighbours.
    """
    labels = np.zeros(shape, dtype=np.int32)
    runs, fore, votes, peaks, heats = _foreground(flat, place, labels, smooth, thresholds, vote_scale)
    seeds = _seeds(labels, peaks, heats, seed_radius)
    _catch(labels, peaks, seeds, capture_rank)
    return labels, runs, _owners(votes, len(fore), labels), seeds, fore, votes, heats


@part
def _foreground(
    flat: Floats, place: Longs, labels: Ints, smooth: bool, thresholds: Floats, vote_scale: Floats
) -> Any:
    """Runs of foreground (row, start, stop, number of the first pixel), and what each of their pixels says.

    A pixel warm enough for a seed gets its number among such from 1 in `labels`. Of the votes only as many are
    filled as there are pixels.
    """
    height, width = labels.shape
    y, counts = 0, np.zeros(3, dtype=np.int64)  # rows that are done; runs, pixels and peaks in them
    room = height * width // 8 + 2 * width
    runs = np.empty((room // 8 + width, 4), dtype=np.int32)
    fore, votes = np.empty(room, dtype=np.float32), np.empty((2, room), dtype=np.int32)
    heats, peaks = np.empty(room, dtype=np.float32), np.empty((room, 2), dtype=np.int32)
    while True:
        y = _rows(
            flat, place, y, smooth, thresholds, vote_scale, counts, runs, fore, votes, heats, peaks, labels
        )
        if y == height:
            break
        if counts[0] + width > len(runs):
            runs = _longer(runs)
        if counts[1] + width > len(fore):
            fore, votes = _more(fore), _wider(votes)
            heats, peaks = _more(heats), _longer(peaks)
    return runs[: counts[0]], fore[: counts[1]], votes, peaks[: counts[2]], heats[: counts[2]]


@part
def _rows(
    flat: Floats,
    place: Longs,
    y: int,
    smooth: bool,
    thresholds: Floats,
    vote_scale: Floats,
    counts: Longs,
    runs: Ints,
    fore: Floats,
    votes: Ints,
    heats: Floats,
    peaks: Ints,
    labels: Ints,
) -> int:
    """Look at row after row from y on while there is room, and say which comes next."""
    height, width = labels.shape
    line, seen = np.empty(width + 2, dtype=np.float32), np.empty(width, dtype=np.float32)
    heat, to_y, to_x = np.empty(width, np.float32), np.empty(width, np.int32), np.empty(width, np.int32)
    flags = np.zeros(-(-width // LANES) * LANES, dtype=np.uint8)
    lanes = flags.view(np.uint64)
    least, warm = thresholds[0], thresholds[1]
    n_runs, n_px, n_peaks = np.uint64(counts[0]), np.uint64(counts[1]), np.uint64(counts[2])
    while y < height and n_runs + width <= len(runs) and n_px + width <= len(fore):
        _mean(flat, place[0] + y * place[2], place[2], y, 0, width, height, smooth, line, seen)
        for x in range(width):
            flags[x] = np.uint8(1) if seen[x] > least else np.uint8(0)
        stop, said = 0, 0  # columns before `said` have their heat and votes
        while True:
            start = _next(flags, lanes, stop, width, True)
            if start == width:
                break
            stop = _next(flags, lanes, start, width, False)
            if stop > said:
                said, first = min(-(-stop // BLOCK) * BLOCK, width), max(said, start // BLOCK * BLOCK)
                at = place[0] + y * place[2] + place[1]
                _mean(flat, at, place[2], y, first, said, height, smooth, line, heat)
                _land(flat, at + place[1], vote_scale[0], VOTES_PER_PX * y, 0, height, first, said, to_y)
                _land(flat, at + 2 * place[1], vote_scale[1], 0, VOTES_PER_PX, width, first, said, to_x)
            runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2], runs[n_runs, 3] = y, start, stop, n_px
            n_runs += ONE
            for x in range(np.uint64(start), np.uint64(stop)):
                fore[n_px], votes[0, n_px], votes[1, n_px] = seen[x], to_y[x], to_x[x]
                n_px += ONE
                if heat[x] >= warm:
                    peaks[n_peaks, 0], peaks[n_peaks, 1], heats[n_peaks] = y, x, heat[x]
                    n_peaks += ONE
                    labels[y, x] = n_peaks
        y += 1
    counts[0], counts[1], counts[2] = n_runs, n_px, n_peaks
    return y


@part
def _mean(
    flat: Floats,
    row: int,
    step: int,
    y: int,
    start: int,
    stop: int,
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
    left, right = max(start - 1, 0), min(stop + 1, len(mean))
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
    passed = NONE_INSIDE if inside else ALL_INSIDE
    while x < width:
        if x % LANES == 0 and lanes[x // LANES] == passed:
            x += LANES
        elif (flags[x] != 0) == inside:
            return x
        else:
            x += 1
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


@part
def _seeds(labels: Ints, peaks: Ints, heats: Floats, radius: Ints) -> Ints:
    """The peaks (row, column, number of the peak): warmest in their window, of equally warm ones the first."""
    height, width = labels.shape
    seeds = np.empty((len(peaks), 3), dtype=np.int32)
    n = 0
    for k in range(len(peaks)):
        y, x = peaks[k, 0], peaks[k, 1]
        if _is_highest(labels, heats, k, y, x, 1, 1, height, width) and _is_highest(
            labels, heats, k, y, x, radius[0], radius[1], height, width
        ):
            seeds[n, 0], seeds[n, 1], seeds[n, 2] = y, x, k
            n += 1
    return seeds[:n]


@part
def _is_highest(
    labels: Ints, heats: Floats, k: int, y: int, x: int, ry: int, rx: int, height: int, width: int
) -> bool:
    for row in range(max(y - ry, 0), min(y + ry + 1, height)):
        for column in range(max(x - rx, 0), min(x + rx + 1, width)):
            other = labels[row, column] - 1
            if other >= 0 and (heats[other] > heats[k] or (heats[other] == heats[k] and other < k)):
                return False
    return True


@part
def _catch(catchment: Ints, peaks: Ints, seeds: Ints, rank: Ints) -> None:
    """Write the number from 1 of the nearest seed within the capture, of equally near ones the first.

    Into the image that held the peaks: one image more would cost as much as all of this.
    """
    shape = catchment.shape
    for k in range(len(peaks)):
        catchment[peaks[k, 0], peaks[k, 1]] = 0
    reach_y, reach_x = rank.shape[0] - 1, rank.shape[1] - 1
    for k in range(len(seeds)):
        y, x = seeds[k, 0], seeds[k, 1]
        for row in range(max(y - reach_y, 0), min(y + reach_y + 1, shape[0])):
            for column in range(max(x - reach_x, 0), min(x + reach_x + 1, shape[1])):
                mine = rank[abs(row - y), abs(column - x)]
                if mine < 0:
                    continue
                there = catchment[row, column] - 1
                if there < 0 or mine < rank[abs(row - seeds[there, 0]), abs(column - seeds[there, 1])]:
                    catchment[row, column] = k + 1


@part
def _owners(votes: Ints, n: int, catchment: Ints) -> Ints:
    """Number from 1 of the seed that each pixel's vote reaches, 0 for none; leaves the catchment empty."""
    owners = np.empty(n, dtype=np.int32)
    for k in range(n):
        y, x = votes[0, k], votes[1, k]
        if y == NO_VOTE or x == NO_VOTE:
            owners[k] = 0
        else:
            owners[k] = catchment[np.uint64(y + HALF_PX) >> SHIFT, np.uint64(x + HALF_PX) >> SHIFT]
    catchment[:] = 0
    return owners
