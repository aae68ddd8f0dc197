"""A blinded reader's own way through the events: the recorded order, some of them twice, and only what she said herself.

Knows decisions and the recorded order. Knows no window.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.review.blinding import Blinding
from assay.review.sitting import Sitting
from assay.review.state import PENDING, WITHDRAWN, Verdict


class BlindReading:
    """Where a blinded reader is in her order."""

    def __init__(self, sitting: Sitting, blinding: Blinding) -> None:
        """Begin before the first event."""
        self._sitting = sitting
        self._turns = blinding.order(sitting.state.events)
        self._at = -1
        self.status: NDArray[np.int8] = np.full(len(sitting.state.status), PENDING, dtype=np.int8)
        self.take(sitting.state.events["event"].tolist())

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows in the order of their first showing."""
        return np.array([row for row, reading in self._turns if reading == 1], dtype=np.int64)

    @property
    def reading(self) -> int:
        """Whether the event is shown for the first or the second time."""
        return self._turns[self._at][1] if self._at >= 0 else 1

    def take(self, names: Sequence[str]) -> None:
        """Take over what this reader said of these events."""
        state = self._sitting.state
        more = len(state.status) - len(self.status)
        if more > 0:
            self.status = np.append(self.status, np.full(more, WITHDRAWN, dtype=np.int8))
        for name in names:
            row = state.row_of(name)
            mine = state.of(name).verdicts.get(self._sitting.reader) if row is not None else None
            if row is not None:
                shown = PENDING if row < state.n_pipeline_events else WITHDRAWN
                self.status[row] = shown if mine is None else mine.status

    def frame_of(self, row: int) -> int:
        """Her own frame of the death, else the pipeline's."""
        mine = self._mine(row)
        return (
            int(self._sitting.state.events["frame"][row])
            if mine is None or mine.frame is None
            else mine.frame
        )

    def frames(self) -> NDArray[np.int64]:
        """Of every event her own frame of the death, else the pipeline's; nothing of what others said."""
        events = self._sitting.state.events
        frames: NDArray[np.int64] = np.asarray(events["frame"], dtype=np.int64).copy()
        for name in self._sitting.state.judged:
            row = self._sitting.state.row_of(name)
            if row is not None:
                frames[row] = self.frame_of(row)
        return frames

    def killer_of(self, row: int) -> float:
        """The killer she chose; NaN where she chose none."""
        mine = self._mine(row)
        return float("nan") if mine is None or mine.killer is None else mine.killer

    def step(self, step: int, *, pending: bool) -> int | None:
        """Go on to the next turn, or back; None at the end.

        Args:
            step: 1 or -1.
            pending: Only turns that were not read.
        """
        at = self._at + step
        while 0 <= at < len(self._turns):
            if not pending or not self._is_read(at):
                self._at = at
                return self._turns[at][0]
            at += step
        return None

    def show(self, row: int) -> None:
        """The reader went to an event herself: its first turn."""
        if self._at >= 0 and self._turns[self._at][0] == row:
            return
        self._at = next((at for at, turn in enumerate(self._turns) if turn == (row, 1)), self._at)

    def ahead(self, n: int) -> list[int]:
        """Rows of the next turns."""
        return [row for row, _ in self._turns[self._at + 1 : self._at + 1 + n]]

    def progress(self) -> tuple[int, int]:
        """(turns read, all turns)."""
        return sum(self._is_read(at) for at in range(len(self._turns))), len(self._turns)

    def _mine(self, row: int) -> Verdict | None:
        """What she said of it; at its second showing nothing of the first, which is what it is compared with."""
        state = self._sitting.state
        now = state.of(str(state.events["event"][row]))
        again = self._at >= 0 and self._turns[self._at] == (row, 2)
        return (now.repeats if again else now.verdicts).get(self._sitting.reader)

    def _is_read(self, at: int) -> bool:
        row, reading = self._turns[at]
        if reading == 1:
            return bool(self.status[row] != PENDING)
        state = self._sitting.state
        return self._sitting.reader in state.of(str(state.events["event"][row])).repeats
