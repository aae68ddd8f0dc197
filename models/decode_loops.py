"""The compiled loops of `decode_cpu`: over the rows of maps, then over runs of foreground only.

Nothing but numbers and arrays of them. One file, as a changed one is compiled anew.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part
from models.decode_rules import LARGEST_VOTE, STEPS_PER_LOGIT, VOTES_PER_PX

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

LANES = 32  # pixels that are looked at together
NINTH = np.float32(1 / 9)
LOGIT_STEPS = np.float32(STEPS_PER_LOGIT)
FARTHEST = np.float32(LARGEST_VOTE)
NO_VOTE = -(2**31)
HALF_PX = VOTES_PER_PX // 2


@compiled
def decode_flat(
    flat: Floats,
    place: Longs,
    other_flat: Floats,
    other_place: Longs,
    shape: tuple[int, int],
    smooth: bool,
    thresholds: Floats,
    vote_scale: Floats,
    seed_radius: Ints,
    capture_rank: Ints,
    chance: Ints,
    sure: int,
    least_px: int,
    owned: Ints,
) -> Any:
    """Do it all in compiled code.

    Maps come as the memory that holds them and their place in it: the first value and the steps to the next
    map, row and column. So one compiled function takes all layouts.
    """
    labels = np.zeros(shape, dtype=np.int32)
    runs, fore, votes, peaks, heats = _foreground(flat, place, labels, smooth, thresholds, vote_scale)
    seeds = _seeds(labels, peaks, heats, seed_radius)
    catchment = _catchment(seeds, capture_rank, shape)
    pieces = _pieces(runs, votes, catchment, len(seeds))
    number = _kept(pieces, seeds, least_px, owned)
    _paint(labels, pieces, number)
    sums = _sums(pieces, number, fore, votes, seeds, other_flat, other_place, chance, sure)
    kept = seeds[np.flatnonzero(number[1:])]
    heat = np.empty(len(kept), dtype=np.int32)
    for k in range(len(kept)):
        heat[k] = chance[_step(heats[kept[k, 2]], len(chance))]
    return labels, kept[:, :2].copy(), heat, sums


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
    fore = np.empty(4 * width + 1024, dtype=np.float32)
    votes = np.empty((4 * width + 1024, 2), dtype=np.int32)
    peaks = np.empty((width + 256, 2), dtype=np.int32)
    heats = np.empty(width + 256, dtype=np.float32)
    rows = np.empty((3, width), dtype=np.float32)  # row y lies in rows[y % 3]
    line = np.empty(width + 2, dtype=np.float32)
    mean = np.empty(width, dtype=np.float32)
    values = np.empty((3, width), dtype=np.float32)
    least = thresholds[0]
    _row(flat, place, 0, 0, rows[0])
    for y in range(height):
        if y + 1 < height:
            _row(flat, place, 0, y + 1, rows[(y + 1) % 3])
        if smooth:
            _mean(rows[max(y - 1, 0) % 3], rows[y % 3], rows[min(y + 1, height - 1) % 3], line, mean)
        else:
            mean[:] = rows[y % 3]
        x = 0
        while x < width:
            x = _next(mean, x, width, least, True)
            if x == width:
                break
            stop = _next(mean, x, width, least, False)
            if n_runs == len(runs):
                runs = _grown(runs)
            if n_px + stop - x > len(fore):
                fore, votes = _grown(fore), _grown(votes)
            if n_peaks + stop - x > len(peaks):
                peaks, heats = _grown(peaks), _grown(heats)
            runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2], runs[n_runs, 3] = y, x, stop, n_px
            n_runs += 1
            _values(flat, place, smooth, y, x, stop, height, width, line, values)
            for k in range(stop - x):
                fore[n_px + k] = mean[x + k]
                votes[n_px + k, 0] = _landing(y, values[1, k] * vote_scale[0], height)
                votes[n_px + k, 1] = _landing(x + k, values[2, k] * vote_scale[1], width)
                if values[0, k] >= thresholds[1]:
                    peaks[n_peaks, 0], peaks[n_peaks, 1] = y, x + k
                    heats[n_peaks] = values[0, k]
                    n_peaks += 1
                    labels[y, x + k] = n_peaks
            n_px += stop - x
            x = stop
    return runs[:n_runs], fore[:n_px], votes[:n_px], peaks[:n_peaks], heats[:n_peaks]


@part
def _row(flat: Floats, place: Longs, number: int, y: int, row: Floats) -> None:
    """Copy one row of one map."""
    start, step = place[0] + number * place[1] + y * place[2], place[3]
    if step == 1:
        row[:] = flat[start : start + len(row)]
    else:
        for x in range(len(row)):
            row[x] = flat[start + x * step]


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
def _next(mean: Floats, x: int, width: int, least: np.float32, inside: bool) -> int:
    """First pixel from x on that is inside the foreground (or outside it)."""
    while x + LANES <= width:
        count = 0
        for k in range(LANES):
            count += mean[x + k] > least
        if (count > 0) if inside else (count < LANES):
            break
        x += LANES
    while x < width and (mean[x] > least) != inside:
        x += 1
    return x


@part
def _values(
    flat: Floats,
    place: Longs,
    smooth: bool,
    y: int,
    start: int,
    stop: int,
    height: int,
    width: int,
    line: Floats,
    values: Floats,
) -> None:
    """Heat and offsets from pixel `start` to `stop` of row y."""
    above = place[0] + max(y - 1, 0) * place[2]
    here = place[0] + y * place[2]
    below = place[0] + min(y + 1, height - 1) * place[2]
    step = place[3]
    n = stop - start
    for number in range(3):
        shift = (number + 1) * place[1]
        if not smooth:
            for k in range(n):
                values[number, k] = flat[here + shift + (start + k) * step]
            continue
        for k in range(n + 2):
            at = shift + min(max(start + k - 1, 0), width - 1) * step
            line[k] = (flat[above + at] + flat[here + at]) + flat[below + at]
        for k in range(n):
            values[number, k] = ((line[k] + line[k + 1]) + line[k + 2]) * NINTH


@part
def _landing(place: int, vote: np.float32, length: int) -> int:
    """Where a pixel's vote lands, in sixteenths of a pixel, on the frame."""
    if not abs(vote) < FARTHEST:
        return NO_VOTE
    return min(max(VOTES_PER_PX * place + int(np.rint(vote)), 0), VOTES_PER_PX * (length - 1))


@part
def _grown(array: Any) -> Any:
    wide = np.empty((2 * len(array), *array.shape[1:]), dtype=array.dtype)
    wide[: len(array)] = array
    return wide


@part
def _seeds(labels: Ints, peaks: Ints, heats: Floats, radius: Ints) -> Ints:
    """The peaks (row, column, number of the peak): warmest in their window, of equally warm ones the first."""
    height, width = labels.shape
    seeds = np.empty((len(peaks), 3), dtype=np.int32)
    n = 0
    for k in range(len(peaks)):
        y, x = peaks[k]
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
def _catchment(seeds: Ints, rank: Ints, shape: tuple[int, int]) -> Ints:
    """(Y, X): number from 1 of the nearest seed within the capture, of equally near ones the first."""
    catchment = np.zeros(shape, dtype=np.int32)
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
    return catchment


@part
def _pieces(runs: Ints, votes: Ints, catchment: Ints, n_seeds: int) -> Ints:
    """Runs of one owner: row, start, stop, number of the first pixel, owner, and the first run of its piece."""
    pieces = np.empty((len(runs) + 256, 6), dtype=np.int32)
    n, above, row_start = 0, 0, 0
    last_row = -2
    for r in range(len(runs)):
        y, start, stop, first = runs[r]
        if y != last_row:
            above = row_start if y == last_row + 1 else n
            above_stop = n
            row_start, last_row = n, y
        x = start
        while x < stop:
            owner = _owner(votes, first + x - start, catchment)
            end = x + 1
            while end < stop and _owner(votes, first + end - start, catchment) == owner:
                end += 1
            if n == len(pieces):
                pieces = _grown(pieces)
            pieces[n, 0], pieces[n, 1], pieces[n, 2] = y, x, end
            pieces[n, 3], pieces[n, 4], pieces[n, 5] = first + x - start, owner, n
            if owner:
                while above < above_stop and pieces[above, 2] < x:
                    above += 1
                k = above
                while k < above_stop and pieces[k, 1] <= end:
                    if pieces[k, 4] == owner:
                        _join(pieces, k, n)
                    k += 1
            n += 1
            x = end
    for k in range(n):
        pieces[k, 5] = pieces[pieces[k, 5], 5]
    return pieces[:n]


@part
def _owner(votes: Ints, k: int, catchment: Ints) -> int:
    y, x = votes[k]
    if y == NO_VOTE or x == NO_VOTE:
        return 0
    return catchment[(y + HALF_PX) // VOTES_PER_PX, (x + HALF_PX) // VOTES_PER_PX]  # type: ignore[no-any-return]


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


@part
def _paint(labels: Ints, pieces: Ints, number: Ints) -> None:
    for k in range(len(pieces)):
        y, start, stop = pieces[k, 0], pieces[k, 1], pieces[k, 2]
        labels[y, start:stop] = number[pieces[k, 4]]


@part
def _sums(
    pieces: Ints,
    number: Ints,
    fore: Floats,
    votes: Ints,
    seeds: Ints,
    other_flat: Floats,
    other_place: Longs,
    chance: Ints,
    sure: int,
) -> Longs:
    sums = np.zeros((number.max() if len(number) else 0, 6), dtype=np.int64)
    for k in range(len(pieces)):
        y, start, stop, first, owner, _ = pieces[k]
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
            dy, dx = np.int64(votes[first + i, 0] - seed_y), np.int64(votes[first + i, 1] - seed_x)
            miss_y += dy * dy
            miss_x += dx * dx
        sums[cell, 0] += stop - start
        sums[cell, 1] += own
        sums[cell, 2] += others
        sums[cell, 3] += unsure
        sums[cell, 4] += miss_y
        sums[cell, 5] += miss_x
    return sums


@part
def _step(logit: np.float32, n: int) -> int:
    """Place of a logit in the table of probabilities."""
    half = (n - 1) // 2
    step = logit * LOGIT_STEPS
    if not step > -np.float32(half):  # also what is no number
        return 0
    return int(np.rint(min(step, np.float32(half)))) + half
