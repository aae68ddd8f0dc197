"""How well the deaths of targets are found and timed.

A called death belongs to a true one when its track is that cell; where several tracks of one cell die, the
death nearest in time is taken and the others are false. All rows of the deaths table count, whatever their
probability: `[death] min_probability` of the protocol has already decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.score.cells import ratio
from assay.score.matching import Identities

WINDOW_FRAMES = 3
WINDOW_MIN = 10.0


def window_frames(frame_min: float | None) -> float:
    """max(3 frames, 10 min), in frames; 3 where the frame interval is not known."""
    return float(WINDOW_FRAMES) if frame_min is None else max(float(WINDOW_FRAMES), WINDOW_MIN / frame_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathPairs:
    """Which called death is which true one; rows of the two tables of one field."""

    true_rows: NDArray[np.int64]
    called_rows: NDArray[np.int64]
    error_frames: NDArray[np.int64]  # called - true


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathCounts:
    """Deaths of one field, right and wrong; a pair off by more than a tolerance is wrong at that tolerance."""

    n_true: int
    n_called: int
    errors_frames: tuple[float, ...]  # of each pair, absolute, however large
    errors_min: tuple[float, ...]
    in_window: int

    def f1(self, tolerance_frames: int) -> float:
        """2 TP / (2 TP + FP + FN), a pair at most this far apart being true positive."""
        right = sum(error <= tolerance_frames for error in self.errors_frames)
        return ratio(2 * right, self.n_true + self.n_called)

    @property
    def window_f1(self) -> float:
        """The same within max(3 frames, 10 min)."""
        return ratio(2 * self.in_window, self.n_true + self.n_called)

    @property
    def median_error_frames(self) -> float:
        """Median absolute timing error of all pairs, however far apart."""
        return median(self.errors_frames)

    @property
    def median_error_min(self) -> float:
        """The same in minutes."""
        return median(self.errors_min)


def pair_deaths(true: Table, called: Table, *, targets: Identities) -> DeathPairs:
    """Pair the target deaths of one field one to one, the nearest in time first.

    Args:
        true: Rows of the deaths table, targets only.
        called: The same from RESULTS.
        targets: Who the called targets are.
    """
    of_cell: dict[int, list[int]] = {}
    for row, track_id in enumerate(true["track_id"].tolist()):
        of_cell.setdefault(track_id, []).append(row)
    candidates = []
    for row, track_id in enumerate(called["track_id"].tolist()):
        identity = targets.of_track(track_id)
        for true_row in of_cell.get(identity, []) if identity is not None else []:
            error = int(called["frame"][row]) - int(true["frame"][true_row])
            candidates.append((abs(error), true_row, row, error))
    pairs: dict[int, tuple[int, int]] = {}
    used: set[int] = set()
    for _, true_row, row, error in sorted(candidates):
        if true_row not in pairs and row not in used:
            pairs[true_row] = (row, error)
            used.add(row)
    rows = sorted(pairs.items())
    return DeathPairs(
        true_rows=np.array([true_row for true_row, _ in rows], dtype=np.int64),
        called_rows=np.array([row for _, (row, _) in rows], dtype=np.int64),
        error_frames=np.array([error for _, (_, error) in rows], dtype=np.int64),
    )


def count_deaths(pairs: DeathPairs, *, n_true: int, n_called: int, frame_min: float | None) -> DeathCounts:
    """Count one field's deaths.

    Args:
        pairs: The paired deaths.
        n_true: All target deaths of the truth.
        n_called: All target deaths of RESULTS.
        frame_min: Frame interval; None gives no errors in minutes.
    """
    errors = tuple(abs(error) for error in pairs.error_frames.tolist())
    return DeathCounts(
        n_true=n_true,
        n_called=n_called,
        errors_frames=tuple(float(error) for error in errors),
        errors_min=tuple(error * frame_min for error in errors) if frame_min is not None else (),
        in_window=sum(error <= window_frames(frame_min) for error in errors),
    )


def median(values: Sequence[float]) -> float:
    """Median; NaN of nothing."""
    return float(np.median(np.asarray(values))) if len(values) else float("nan")
