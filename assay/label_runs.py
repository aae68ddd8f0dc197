"""Label images as runs of one label in a row: what the compiled loops over cells read instead of single pixels."""

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

LANES = 32  # pixels that are looked at together

Ints = NDArray[np.int32]


@compiled
def label_runs(image: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """List the runs of one label in one row, in row order; background is no run.

    Args:
        image: (Y, X) labels, 0 is background.

    Returns:
        (runs, 4): row, first column, column after the last, label; and (Y + 1,): the runs of row y are those from
        the y-th up to, not including, the next number.
    """
    height, width = image.shape
    runs = np.empty((width + 1024, 4), dtype=np.int32)
    rows = np.zeros(height + 1, dtype=np.int64)
    n = 0
    for y in range(height):
        row = image[y]
        x = 0
        while x < width:
            if row[x] == 0:
                if x + LANES <= width and _is_empty(row[x : x + LANES]):
                    x += LANES
                    continue
                while x < width and row[x] == 0:
                    x += 1
                if x == width:
                    break
            start = x
            while x < width and row[x] == row[start]:
                x += 1
            if n == len(runs):
                runs = _twice(runs)
            runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3] = y, start, x, row[start]
            n += 1
        rows[y + 1] = n
    return runs[:n], rows


@compiled
def painted(runs: Ints, rows: tuple[int, int], columns: tuple[int, int]) -> Ints:
    """The label image that runs stand for, from the first row and column up to, not including, the last.

    Args:
        runs: (runs, 4) in row order, as `label_runs` gives them; those of other rows may be among them.
        rows: First row, and the one after the last.
        columns: First column, and the one after the last.
    """
    image = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), dtype=np.int32)
    for r in range(np.searchsorted(runs[:, 0], rows[0]), len(runs)):
        if runs[r, 0] >= rows[1]:
            break
        for x in range(max(runs[r, 1], columns[0]), min(runs[r, 2], columns[1])):
            image[runs[r, 0] - rows[0], x - columns[0]] = runs[r, 3]
    return image


def thinned(runs: Ints, step: int) -> Ints:
    """The runs of an image of which only every `step`-th row and column is kept, from the first on.

    Args:
        runs: (runs, 4) in row order.
        step: 1 keeps all.
    """
    if step == 1:
        return runs
    kept = runs[runs[:, 0] % step == 0]
    kept[:, 0] //= step
    kept[:, 1:3] = -(-kept[:, 1:3] // step)
    few: Ints = kept[kept[:, 1] < kept[:, 2]]
    return few


@part
def _is_empty(pixels: Ints) -> bool:
    seen = np.int32(0)
    for k in range(LANES):
        seen |= pixels[k]
    return bool(seen == 0)


@part
def _twice(runs: Ints) -> Ints:
    longer = np.empty((2 * runs.shape[0], 4), dtype=np.int32)
    for k in range(runs.shape[0]):
        for i in range(4):
            longer[k, i] = runs[k, i]
    return longer
