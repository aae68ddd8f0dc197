"""Time to event with competing risks, cells that enter late, and causes known only by shares.

Knows times and causes. Knows nothing of wells; `survival.py` compares them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError

CAUSES = ("killed", "spontaneous", "divided", "left", "lost")
"""How a target's life in the film may end; at the film's end it is censored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidence:
    """Cumulative incidence per cause (Aalen-Johansen), at the times of events.

    `at_time[k, n]` is the probability that cause k has ended a cell's life by `times_min[n]`. What is left to 1
    is `surviving`.
    """

    causes: tuple[str, ...]
    times_min: NDArray[np.float64]  # (N,), rising
    at_time: NDArray[np.float64]  # (causes, N)
    at_risk: NDArray[np.int64]  # (N,) cells under observation just before each time

    @property
    def surviving(self) -> NDArray[np.float64]:
        """Probability of none of the causes, at each time."""
        return np.asarray(1.0 - self.at_time.sum(axis=0))

    def on(self, grid_min: NDArray[np.float64], cause: str) -> NDArray[np.float64]:
        """The curve of one cause on other times: a staircase, 0 before the first event."""
        place = np.searchsorted(self.times_min, grid_min, side="right") - 1
        curve = self.at_time[self.causes.index(cause)]
        return (
            np.where(place >= 0, curve[np.maximum(place, 0)], 0.0) if len(curve) else np.zeros(len(grid_min))
        )


def aalen_johansen(
    entry_min: NDArray[np.float64],
    exit_min: NDArray[np.float64],
    causes: NDArray[np.float64],
    *,
    names: tuple[str, ...] = CAUSES,
) -> Incidence:
    """Cumulative incidence of competing ends, each cell counting from when it came into sight.

    A cell is at risk after its entry and up to its exit. A cell that ends by a cause known only in part is split
    by its shares; what its shares lack to 1 is censored at its exit.
    Source: Aalen & Johansen 1978, Scand J Statist 5:141.

    Args:
        entry_min: (N,) when each cell came into sight.
        exit_min: (N,) when its life, or our sight of it, ended.
        causes: (N, K) share of each cause in that end; all 0 for a censored cell.
        names: The K causes.

    Raises:
        ShapeError: The arrays do not fit each other.
    """
    if causes.shape != (len(entry_min), len(names)) or len(exit_min) != len(entry_min):
        raise ShapeError(
            f"expected causes of shape ({len(entry_min)}, {len(names)}) and as many exits, "
            f"got {causes.shape} and {len(exit_min)}."
        )
    ended = causes.sum(axis=1) > 0
    times = np.unique(exit_min[ended])
    entries, exits = np.sort(entry_min), np.sort(exit_min)
    at_risk = np.searchsorted(entries, times, side="left") - np.searchsorted(exits, times, side="left")
    events = np.zeros((len(names), len(times)))
    place = np.searchsorted(times, exit_min[ended])
    for number in range(len(names)):
        events[number] = np.bincount(place, weights=causes[ended, number], minlength=len(times))
    hazard = events / np.maximum(at_risk, 1)
    left = np.cumprod(1.0 - hazard.sum(axis=0))
    before = np.concatenate([[1.0], left[:-1]])
    return Incidence(
        causes=names,
        times_min=times,
        at_time=np.cumsum(before * hazard, axis=1),
        at_risk=at_risk.astype(np.int64),
    )
