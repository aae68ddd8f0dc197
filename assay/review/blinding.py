"""Reading without knowing: order and repeats from a recorded seed, and what must not be seen.

blinding = Blinding(seed=7)
for row, reading in blinding.order(events):   # a tenth of the events come back later, as reading 2
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import length
from assay.errors import ResultsError
from assay.review.queue import shuffled

HIDDEN = (
    "event",
    "well",
    "field",
    "death_id",
    "condition",
    "probability",
    "killer_track_id",
    "killer_share",
    "uncredited_share",
    "lag_min",
    "evidence",
    "flags",
    "status",
    "readers",
)
"""Columns that a blinded reader does not see: where it is, what the model says, what others said."""

_LEAST_BETWEEN = 20
"""Events between the two readings of one, so that it is not simply remembered; fewer where there are fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinding:
    """One blinded sitting; its header in the log holds these numbers, so that the order can be made again."""

    seed: int
    repeat_share: float = 0.1

    def __post_init__(self) -> None:
        if self.seed < 0 or not 0 <= self.repeat_share <= 1:
            raise ResultsError(
                f"blinding: seed {self.seed} and a share of repeats of {self.repeat_share}; expected a seed from 0 and "
                "a share from 0 to 1."
            )

    def order(self, events: Mapping[str, NDArray[Any]]) -> list[tuple[int, int]]:
        """(row of the event, reading) in the order of showing: every event once, some a second time later."""
        first = shuffled(events, seed=self.seed).tolist()
        n = length(events)
        draw = np.random.default_rng(self.seed)
        n_again = round(self.repeat_share * n)
        chosen = sorted(draw.choice(n, size=n_again, replace=False).tolist())
        slots: list[tuple[float, int, int]] = [(float(place), row, 1) for place, row in enumerate(first)]
        for place in chosen:
            soonest = min(place + _LEAST_BETWEEN, n - 1)
            later = draw.uniform(soonest, n - 1) if soonest < n - 1 else n - 1
            slots.append((float(later) + 0.5, first[place], 2))
        return [(row, reading) for _, row, reading in sorted(slots, key=lambda slot: (slot[0], slot[2]))]

    def record(self) -> dict[str, Any]:
        """For the header of the log."""
        return asdict(self)
