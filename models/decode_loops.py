"""The compiled loops of `decode_cpu` over the rows of maps: foreground, seeds, and the hop to them.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew.
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
NONE_INSIDE, ALL_INSIDE = np.uint64(0), np.uint64(0x0101010101010101)
ZERO = np.float32(0)
NINTH = np.float32(1 / 9)
FARTHEST = np.float32(LARGEST_VOTE)
NO_VOTE = np.int32(-(2**31))
HALF_PX = VOTES_PER_PX // 2


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
    map, row and column. So one compiled function takes all layouts.
    """
    labels = np.zeros(shape, dtype=np.int32)
    runs, fore, votes, peaks, heats = _foreground(flat, place, labels, smooth, thresholds, vote_scale)
    seeds = _seeds(labels, peaks, heats, seed_radius)
    _catch(labels, peaks, seeds, capture_rank)
    return labels, runs, _owners(votes, labels), seeds, fore, votes, heats


@part
def _foreground(
    flat: Floats, place: Longs, labels: Ints, smooth: bool, thresholds: Floats, vote_scale: Floats
) -> Any:
    """Runs of foreground (row, start, stop, number of the first pixel), and what each of their pixels says.

    A pixel warm enough for a seed gets its number among such from 1 in `labels`.
    """
    height, width = labels.shape
    n_runs, n_px, n_peaks = 0, 0, 0
    runs = np.empty((width + 256, 4), dtype=np.int32)
    fore = np.empty((1, 4 * width + 1024), dtype=np.float32)
    votes = np.empty((2, 4 * width + 1024), dtype=np.int32)
    peaks = np.empty((width + 256, 2), dtype=np.int32)
    heats = np.empty((1, width + 256), dtype=np.float32)
    rows = np.empty((3, width), dtype=np.float32)  # row y lies in rows[y % 3]
    line, mean = np.empty(width + 2, dtype=np.float32), np.empty(width, dtype=np.float32)
    heat = np.empty(width, dtype=np.float32)
    flags = np.zeros(-(-width // LANES) * LANES, dtype=np.uint8)
    lanes = flags.view(np.uint64)
    least, warm = thresholds[0], thresholds[1]
    _row(flat, place, 0, 0, rows[0])
    for y in range(height):
        if y + 1 < height:
            _row(flat, place, 0, y + 1, rows[(y + 1) % 3])
        if smooth:
            _mean(rows[max(y - 1, 0) % 3], rows[y % 3], rows[min(y + 1, height - 1) % 3], line, mean)
        seen = mean if smooth else rows[y % 3]
        _flag(seen, least, flags)
        stop = 0
        while True:
            start = _next(flags, lanes, stop, width, True)
            if start == width:
                break
            stop = _next(flags, lanes, start, width, False)
            n = stop - start
            if n_runs == len(runs):
                runs = _longer(runs)
            if n_px + n > fore.shape[1]:
                fore, votes = _wider(fore), _wider(votes)
            if n_peaks + n > len(peaks):
                peaks, heats = _longer(peaks), _wider(heats)
            runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2], runs[n_runs, 3] = y, start, stop, n_px
            n_runs += 1
            _say(seen[start:stop], fore[0, n_px : n_px + n])
            at, step = place[0] + 2 * place[1] + y * place[2] + start * place[3], place[3]
            to_y, to_x = votes[0, n_px : n_px + n], votes[1, n_px : n_px + n]
            _land(flat, at, step, vote_scale[0], VOTES_PER_PX * y, 0, height, to_y)
            _land(flat, at + place[1], step, vote_scale[1], VOTES_PER_PX * start, VOTES_PER_PX, width, to_x)
            _heat(flat, place, smooth, y, start, stop, labels.shape, line, heat)
            for k in range(n):
                if heat[k] >= warm:
                    peaks[n_peaks, 0], peaks[n_peaks, 1] = y, start + k
                    heats[0, n_peaks] = heat[k]
                    n_peaks += 1
                    labels[y, start + k] = n_peaks
            n_px += n
    return runs[:n_runs], fore[0, :n_px], votes[:, :n_px], peaks[:n_peaks], heats[0, :n_peaks]


@part
def _row(flat: Floats, place: Longs, number: int, y: int, row: Floats) -> None:
    """Copy one row of one map."""
    start, step = place[0] + number * place[1] + y * place[2], place[3]
    if step == 1:
        _say(flat[start : start + len(row)], row)
    else:
        for x in range(len(row)):
            row[x] = flat[start + x * step]


@part
def _say(source: Floats, to: Floats) -> None:
    for k in range(len(to)):
        to[k] = source[k]


@part
def _mean(above: Floats, here: Floats, below: Floats, line: Floats, mean: Floats) -> None:
    """Mean over 3x3 pixels of one row; beyond the edge lies what lies at the edge."""
    width = len(mean)
    for x in range(width):
        line[x + 1] = (above[x] + here[x]) + below[x]
    line[0], line[width + 1] = line[1], line[width]
    for x in range(width):
        mean[x] = ((line[x] + line[x + 1]) + line[x + 2]) * NINTH


@part
def _flag(seen: Floats, least: np.float32, flags: Any) -> None:
    for x in range(len(seen)):
        flags[x] = np.uint8(1) if seen[x] > least else np.uint8(0)


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
def _heat(
    flat: Floats,
    place: Longs,
    smooth: bool,
    y: int,
    start: int,
    stop: int,
    shape: tuple[int, int],
    line: Floats,
    heat: Floats,
) -> None:
    """Heat from pixel `start` to `stop` of row y."""
    n, step = stop - start, np.uint64(place[3])
    left, right = (max(start - 1, 0), min(stop + 1, shape[1])) if smooth else (start, stop)
    # places without a sign: an index that might be negative would be looked at twice
    first = place[0] + place[1] + left * place[3]
    middle = np.uint64(first + y * place[2])
    if not smooth:
        for k in range(np.uint64(n)):
            heat[k] = flat[middle + k * step]
        return
    above = np.uint64(first + max(y - 1, 0) * place[2])
    below = np.uint64(first + min(y + 1, shape[0] - 1) * place[2])
    shift = np.uint64(left - start + 1)  # 1 where the run begins at the edge
    if step == 1:
        for k in range(np.uint64(right - left)):
            line[k + shift] = (flat[above + k] + flat[middle + k]) + flat[below + k]
    else:
        for k in range(np.uint64(right - left)):
            at = k * step
            line[k + shift] = (flat[above + at] + flat[middle + at]) + flat[below + at]
    if left == start:
        line[0] = line[1]
    if right == stop:
        line[n + 1] = line[n]
    for k in range(n):
        heat[k] = ((line[k] + line[k + 1]) + line[k + 2]) * NINTH


@part
def _land(
    flat: Floats, at: int, step: int, scale: np.float32, first: int, apart: int, length: int, votes: Ints
) -> None:
    """Where the votes of a run land on the frame, in sixteenths of a pixel; its pixels lie `apart`."""
    last = np.int32(VOTES_PER_PX * (length - 1))
    start = np.uint64(at)
    if step == 1:
        for k in range(np.uint64(len(votes))):
            votes[k] = _landing(flat[start + k] * scale, np.int32(first + np.int64(k) * apart), last)
    else:
        for k in range(np.uint64(len(votes))):
            vote = flat[start + k * np.uint64(step)] * scale
            votes[k] = _landing(vote, np.int32(first + np.int64(k) * apart), last)


@part
def _landing(vote: np.float32, place: np.int32, last: np.int32) -> np.int32:
    near = abs(vote) < FARTHEST
    landing = place + np.int32(np.rint(vote if near else ZERO))
    return min(max(landing, np.int32(0)), last) if near else NO_VOTE


@part
def _longer(array: Ints) -> Ints:
    """The array with room for twice as many rows."""
    longer = np.empty((2 * array.shape[0], array.shape[1]), dtype=array.dtype)
    for k in range(array.shape[0]):
        for i in range(array.shape[1]):
            longer[k, i] = array[k, i]
    return longer


@part
def _wider(array: Any) -> Any:
    """The array with room for twice as many columns."""
    wider = np.empty((array.shape[0], 2 * array.shape[1]), dtype=array.dtype)
    for i in range(array.shape[0]):
        for k in range(array.shape[1]):
            wider[i, k] = array[i, k]
    return wider


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
def _owners(votes: Ints, catchment: Ints) -> Ints:
    """Number from 1 of the seed that each pixel's vote reaches, 0 for none; leaves the catchment empty."""
    owners = np.empty(votes.shape[1], dtype=np.int32)
    for k in range(votes.shape[1]):
        y, x = votes[0, k], votes[1, k]
        voted = y != NO_VOTE and x != NO_VOTE
        owners[k] = catchment[(y + HALF_PX) // VOTES_PER_PX, (x + HALF_PX) // VOTES_PER_PX] if voted else 0
    catchment[:] = 0
    return owners
