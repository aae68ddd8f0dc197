"""The compiled loops of `measures`: sums over the pixels of every cell.

Nothing but numbers and arrays of them. Each cell's pixels are added in row order in float64, so that a sum is the
same to the last bit however it is written.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, fetch_ahead, lent, part

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]

RUNS_AHEAD = 16  # memory that they will need is asked for


@compiled
def add_rows(
    runs: NDArray[np.int32],
    others: NDArray[np.int32],
    channels: NDArray[Any],
    top: int,
    height: int,
    counts: Longs,
    places: Longs,
    totals: Doubles,
    covered: Doubles,
) -> None:
    """Add the pixels of some rows to the sums of each label; rows of a frame come one part after the other.

    Args:
        runs: (runs, 4) of the label image in these rows, from `label_runs`, with rows counted from the frame's first.
        others: (rows, X) labels of the other role.
        channels: (C, rows, X).
        top: The first of these rows.
        height: Rows of the whole frame.
        counts: (labels, 3): pixels, those that a cell of the other role covers, runs at the edge of the image.
        places: (labels, 2): sums of rows and columns.
        totals: (C, labels): sums of each channel.
        covered: (C, labels): the same over the covered pixels alone.
    """
    runs, others, channels, counts = lent(runs), lent(others), lent(channels), lent(counts)
    places, totals, covered = lent(places), lent(totals), lent(covered)
    covers = _count(runs, others, top, height, counts, places)
    for number in range(channels.shape[0]):
        _add(runs, covers, channels[number], others, top, totals[number], covered[number])


@compiled
def spread_about_centres(
    runs: NDArray[np.int32], counts: Longs, places: Longs, pixel_um: tuple[float, float]
) -> tuple[Doubles, Doubles]:
    """Where the pixels of each label lie, from what `add_rows` summed over the whole frame; rows of what is not there are 0.

    Args:
        runs: Of the whole frame.
        counts: From `add_rows`.
        places: From there too.
        pixel_um: Size (y, x).

    Returns:
        (labels, 2): centre y and x in um;
        (labels, 3): sums of squared distances from it in um2: yy, xx, yx.
    """
    runs, counts, places = lent(runs), lent(counts), lent(places)
    centre = np.zeros((len(counts), 2), dtype=np.float64)
    for label in range(len(counts)):
        if counts[label, 0]:
            for axis in range(2):
                centre[label, axis] = places[label, axis] / counts[label, 0] * pixel_um[axis]
    moments = np.zeros((len(counts), 3), dtype=np.float64)
    _moments(runs, pixel_um, centre, moments)
    return centre, moments


@part
def _count(
    runs: NDArray[np.int32],
    others: NDArray[np.int32],
    top: int,
    height: int,
    counts: Longs,
    places: Longs,
) -> NDArray[np.bool_]:
    """Count pixels; whether a run has some that a cell of the other role covers."""
    covers = np.empty(len(runs), dtype=np.bool_)
    for r in range(len(runs)):
        _send_for(runs, r + RUNS_AHEAD, others, top)
        y, start, stop, label = runs[r, 0], runs[r, 1], runs[r, 2], runs[r, 3]
        n = np.int64(stop - start)
        counts[label, 0] += n
        places[label, 0] += n * y
        places[label, 1] += n * (start + stop - 1) // 2
        under = 0
        for x in range(start, stop):
            under += others[y - top, x] != 0
        counts[label, 1] += under
        if y == 0 or y == height - 1 or start == 0 or stop == others.shape[1]:
            counts[label, 2] += 1
        covers[r] = under > 0
    return covers


@part
def _send_for(runs: NDArray[np.int32], r: int, image: NDArray[Any], top: int) -> None:
    """Ask for the pixels of a run, as far as its first and last ones go."""
    if r < len(runs):
        row = image[runs[r, 0] - top]
        fetch_ahead(row, runs[r, 1])
        fetch_ahead(row, runs[r, 2] - 1)


@part
def _moments(
    runs: NDArray[np.int32], pixel_um: tuple[float, float], centre: Doubles, moments: Doubles
) -> None:
    for r in range(len(runs)):
        y, start, stop, label = runs[r, 0], runs[r, 1], runs[r, 2], runs[r, 3]
        dy = y * pixel_um[0] - centre[label, 0]
        yy, xx, yx = moments[label, 0], moments[label, 1], moments[label, 2]
        for x in range(start, stop):
            dx = x * pixel_um[1] - centre[label, 1]
            yy += dy * dy
            xx += dx * dx
            yx += dy * dx
        moments[label, 0], moments[label, 1], moments[label, 2] = yy, xx, yx


@part
def _add(
    runs: NDArray[np.int32],
    covers: NDArray[np.bool_],
    channel: NDArray[Any],
    others: NDArray[np.int32],
    top: int,
    totals: Doubles,
    covered: Doubles,
) -> None:
    for r in range(len(runs)):
        _send_for(runs, r + RUNS_AHEAD, channel, top)
        y, start, stop, label = runs[r, 0] - top, runs[r, 1], runs[r, 2], runs[r, 3]
        total = totals[label]
        for x in range(start, stop):
            total += np.float64(channel[y, x])
        totals[label] = total
        if covers[r]:  # seldom, so the other role's labels are left alone elsewhere
            under = covered[label]
            for x in range(start, stop):
                if others[y, x]:
                    under += np.float64(channel[y, x])
            covered[label] = under
