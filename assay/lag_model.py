"""How long after a contact a target dies of it, and how often targets die of nothing: one model per plate.

Knows the shape of the hazards (`hazards.py`). `lag_fit.py` fits it, `kills.py` credits with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assay.hazards import Hazards
from assay.pieces import N_AGES

CONTROL_KINDS = ("target_only", "mock")
"""Wells in which no effector kills: what dies there, dies by itself."""

USUAL_LIKENESS = 0.6
"""Shape of the activities of effectors where nothing is known: half of all do next to nothing."""

_TOLD = 0.1  # h0 is told if the share that nobody gets is known within this, each way


@dataclass(frozen=True, slots=True, kw_only=True)
class LagModel:
    """Fitted hazards. `kernel_per_min2[b]` holds for lags from `edges_min[b]` to `edges_min[b + 1]`."""

    edges_min: tuple[float, ...]
    kernel_per_min2: tuple[float, ...]  # deaths per minute, per minute of contact
    h0_per_min: float
    h0_deaths: float  # deaths the spontaneous hazard rests on, prior included
    kill_deaths: float  # deaths the kernel rests on, prior included
    potency: Mapping[str, float]  # well -> its contacts' strength compared with the plate's
    potency_kills: Mapping[str, float]  # well -> how many kills, seen without others, would tell it as well
    has_controls: bool
    readiness: tuple[float, ...] = (1.0,) * N_AGES  # per age of a contact
    alike: float = USUAL_LIKENESS  # shape of the activities of effectors
    hits_needed: int = 1
    log_likelihoods: Mapping[int, float] = field(default_factory=dict)  # hits needed -> of the plate's deaths
    h0_odds: tuple[tuple[float, float], ...] = ()
    """(change of the log odds that effectors did it, its weight) under other values of h0."""
    nobody_share: tuple[float, float] = (0.0, 0.0)
    """90 % interval of what nobody gets of the sample wells' deaths."""
    fitted_fields: tuple[int, int] = (0, 0)
    """To how many fields it was fitted, of how many that may kill; (0, 0) is not known."""

    @property
    def tells_h0(self) -> bool:
        """Whether spontaneous deaths can be told from kills on this plate."""
        return self.has_controls or self.nobody_share[1] - self.nobody_share[0] <= 2 * _TOLD

    def kernel(self, lags_min: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hazard per minute that a minute of contact causes after each lag; 0 beyond the longest."""
        place = np.searchsorted(self.edges_min, lags_min, side="left") - 1
        inside = (place >= 0) & (place < len(self.kernel_per_min2))
        steps = np.asarray(self.kernel_per_min2)
        return np.where(inside, steps[np.clip(place, 0, len(steps) - 1)], 0.0)

    @property
    def kills_per_contact_min(self) -> float:
        """Deaths that a minute of contact leads to in the end; hits, where several are needed."""
        return float(np.sum(np.diff(self.edges_min) * np.asarray(self.kernel_per_min2)))

    @property
    def median_lag_min(self) -> float:
        """Half of the killed targets die sooner after the minute of contact that killed them."""
        return self.lag_min_of(0.5)

    def lag_min_of(self, share: float) -> float:
        """Within this lag such a share of the killed targets dies."""
        mass = np.diff(self.edges_min) * np.asarray(self.kernel_per_min2)
        total = np.concatenate([[0.0], np.cumsum(mass)])
        return float(np.interp(total[-1] * share, total, self.edges_min))

    def hazards_of(self, well: str) -> Hazards:
        """As the sums over one field of a well want them."""
        return Hazards(
            h0=self.h0_per_min,
            theta=np.asarray(self.kernel_per_min2),
            widths=np.diff(self.edges_min),
            potency=np.array([self.potency.get(well, 1.0)]),
            readiness=np.asarray(self.readiness),
            alike=self.alike,
            hits_needed=self.hits_needed,
        )
