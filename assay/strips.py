"""One cell's measures laid out along the film: a strip per row, from its first to its last sight.

Strips lie one behind the other in flat arrays, so that memory and time grow with what was seen, not with
cells x frames. Knows numbers and where they lie. Knows nothing of cells.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strips:
    """Where each row's frames lie: row n holds the places `starts[n]` up to, not including, `starts[n + 1]`."""

    starts: Ints  # (N + 1,)
    row: Ints  # (M,) row of each place
    frame: Ints  # (M,) frame of each place
    place: Ints  # (sights,) place of each sight
    used: NDArray[np.bool_]  # (sights,) not in a masked frame
    by_frame: Ints  # (M,) places ordered by frame, then row
    frame_starts: Ints  # (T + 1,) where each frame begins in `by_frame`

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1

    def lay(self, values: Floats) -> Floats:
        """Put a value per sight at its place, (M,); NaN where nothing was seen or the frame is masked."""
        flat = np.full(len(self.frame), np.nan)
        flat[self.place[self.used]] = values[self.used]
        return flat

    def of_rows(self, values: Floats) -> Floats:
        """Give every place its row's value."""
        return values[self.row]

    def quantiles(self, values: Floats, share: float) -> Floats:
        """Quantile of each row over what is seen, (N,); NaN for a row that holds nothing."""
        return segment_quantiles(values, self.starts, share)

    def medians(self, values: Floats) -> Floats:
        """Median of each row over what is seen, (N,)."""
        return segment_quantiles(values, self.starts, 0.5)

    def frame_medians(self, values: Floats) -> Floats:
        """Median of each frame over what is seen, (T,)."""
        return segment_quantiles(values[self.by_frame], self.frame_starts, 0.5)

    def frame_counts(self, values: Floats) -> Ints:
        """How many rows are seen in each frame, (T,)."""
        seen = np.isfinite(values)
        return np.bincount(self.frame[seen], minlength=len(self.frame_starts) - 1).astype(np.int64)

    def counts(self, values: Floats) -> Ints:
        """In how many frames each row is seen, (N,)."""
        return np.bincount(self.row[np.isfinite(values)], minlength=self.count).astype(np.int64)

    def ranks(self, values: Floats) -> Ints:
        """How many sights of its row lie up to each place, itself included, (M,)."""
        total = np.concatenate([[0], np.cumsum(np.isfinite(values))])
        return np.asarray(total[1:] - total[self.starts[:-1]][self.row], dtype=np.int64)

    def first_levels(self, values: Floats, sights: int) -> Floats:
        """Median of each row's first few sights, (N,)."""
        return self.medians(np.where(self.ranks(values) <= sights, values, np.nan))

    def steps(self, values: Floats) -> Floats:
        """Change from the frame before, (M,); NaN at a row's first place and beside what was not seen."""
        change = np.diff(values, prepend=np.nan)
        change[self.starts[:-1]] = np.nan
        return change

    def row_max(self, values: Floats) -> Floats:
        """Greatest value of each row, (N,)."""
        return np.maximum.reduceat(values, self.starts[:-1]) if self.count else np.zeros(0)

    def row_sum(self, values: Floats) -> Floats:
        """Sum of each row, (N,)."""
        return np.add.reduceat(values, self.starts[:-1]) if self.count else np.zeros(0)


def lay_strips(
    row: NDArray[np.int64],
    frame: NDArray[np.int64],
    *,
    n_rows: int,
    n_frames: int,
    masked_frames: Collection[int],
    further: NDArray[np.bool_] | None = None,
) -> Strips:
    """Give every row a strip of its frames.

    Args:
        row: (sights,) the row of each; every row has one sight or more.
        frame: (sights,) the frame of each.
        n_rows: Number of rows.
        n_frames: Length of the film.
        masked_frames: Frames whose sights carry nothing.
        further: (N,) rows whose strip goes on to the next usable frame after the last sight.
    """
    first = np.full(n_rows, n_frames, dtype=np.int64)
    last = np.full(n_rows, -1, dtype=np.int64)
    np.minimum.at(first, row, frame)
    np.maximum.at(last, row, frame)
    if further is not None:
        usable = np.setdiff1d(np.arange(n_frames), sorted(masked_frames))
        after = np.searchsorted(usable, last, side="right")
        known = further & (after < len(usable))
        last = np.where(known, usable[np.minimum(after, len(usable) - 1)], last) if len(usable) else last
    length = last - first + 1
    starts = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), length)
    frames = np.arange(len(rows), dtype=np.int64) - starts[:-1][rows] + first[rows]
    order = np.argsort(frames, kind="stable")
    bounds = np.searchsorted(frames[order], np.arange(n_frames + 1))
    return Strips(
        starts=starts,
        row=rows,
        frame=frames,
        place=starts[:-1][row] + frame - first[row],
        used=~np.isin(frame, sorted(masked_frames)),
        by_frame=order.astype(np.int64),
        frame_starts=bounds.astype(np.int64),
    )


@compiled
def segment_quantiles(values: Floats, starts: Ints, share: float) -> Floats:
    """Quantile of each segment over its finite values; NaN for a segment without any."""
    found = np.full(len(starts) - 1, np.nan)
    for number in range(len(starts) - 1):
        part = values[starts[number] : starts[number + 1]]
        kept = np.sort(part[np.isfinite(part)])
        if len(kept) == 0:
            continue
        place = share * (len(kept) - 1)
        low = int(np.floor(place))
        high = min(low + 1, len(kept) - 1)
        found[number] = kept[low] + (kept[high] - kept[low]) * (place - low)
    return found


@compiled
def means_near(values: Floats, starts: Ints, window: int) -> Floats:
    """Log of the mean of exp(value) over the places of the same row within the window of each."""
    near = np.empty(len(values))
    for number in range(len(starts) - 1):
        first, end = starts[number], starts[number + 1]
        peak = values[first:end].max()
        sums = np.zeros(end - first + 1)
        for place in range(first, end):
            sums[place - first + 1] = sums[place - first] + np.exp(max(values[place] - peak, -700.0))
        for place in range(first, end):
            low, high = max(place - window, first), min(place + window + 1, end)
            inside = max(sums[high - first] - sums[low - first], 1e-300)
            near[place] = peak + np.log(inside / (2 * window + 1))
    return near


@compiled
def log_sums(values: Floats, starts: Ints) -> Floats:
    """Log of the sum of exp(value) over each row."""
    total = np.empty(len(starts) - 1)
    for number in range(len(starts) - 1):
        part = values[starts[number] : starts[number + 1]]
        peak = part.max()
        total[number] = peak + np.log(np.exp(np.maximum(part - peak, -700.0)).sum())
    return total


def quantile_of(values: Floats, share: float) -> float:
    """Quantile of all finite values; NaN where there is none."""
    flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    return float(segment_quantiles(flat, np.array([0, len(flat)], dtype=np.int64), share)[0])


def median_of(values: Floats) -> float:
    """Median of all finite values; NaN where there is none."""
    return quantile_of(values, 0.5)
