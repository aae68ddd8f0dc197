"""How far the counts of a film may be off: what deaths really were, who did them, and which were missed.

Knows probabilities of deaths and shares, and how many targets vanished. Knows nothing of tracks or tables.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from assay.lag_model import LagModel

INTERVAL = 0.90
DRAWS = 4000

_VAGUE = 0.5  # counts by which a Poisson mean is known before it is looked at (Jeffreys)
_UNSEEN_SHARE = 0.05  # of kills: by an effector whose contact was not seen, before the well is looked at
_UNSEEN_STEPS = 161  # values of the unseen hazard that are weighed,
_UNSEEN_MOST = 8.0  # up to so many times its usual one

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """Targets that were seen for long, were lost in mid-film and came back under no other name.

    Cells are neither made nor lost by following them badly: where a track breaks, another begins. What ends
    without a beginning burst, or was eaten; what dies unseen while its track is broken comes back dead.
    """

    lost: float  # long tracks of live targets that were lost away from the edge
    returned: float  # long tracks of live targets that appeared away from the edge
    late: float  # deaths expected in the last frames, where too little shows of them

    @property
    def missed(self) -> float:
        """Expected deaths that were not called."""
        return max(self.lost - self.returned, 0.0) + self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Draws of the true numbers of one well's film, (DRAWS,) each; spread over half a cell either way."""

    kills: Floats
    deaths: Floats


def draw_counts(
    rng: np.random.Generator,
    probability: Floats,
    caused: Floats,
    *,
    vanished: Vanished,
    model: LagModel,
    well: str,
    n_targets: int,
    has_effectors: bool,
    alone: float | None,
) -> Counts:
    """Draw what may truly have happened in the film of one well.

    Whether each death is one; whether effectors caused it, with the errors of the spontaneous hazard and of the
    well's potency, which are common to all its deaths; how many deaths that nobody gets were kills without a contact
    that was seen; how many targets that vanished had died, and of what. No more can die than were seen alive, and
    without an effector none was killed.

    Args:
        rng: Source of chance.
        probability: (deaths,) that each is a death.
        caused: (deaths,) share that effectors have in it.
        vanished: Of the well, all fields together.
        model: The plate's lag model.
        well: Its name.
        n_targets: Tracks of targets that were alive when first seen.
        has_effectors: Whether any effector was seen.
        alone: Deaths that control wells foretell of these targets without effectors; None where they do not tell.
    """
    tilt = _h0_error(rng, model) + _log_gamma(rng, model.potency_kills.get(well, model.kill_deaths))
    by_effector = logit(_with_unseen(rng, probability, np.clip(caused, 1e-6, 1 - 1e-6), alone))
    by_effector = expit(by_effector + tilt[:, None])
    shape = (DRAWS, len(probability))
    real = rng.random(shape) < probability
    killed = real & (rng.random(shape) < by_effector)
    n_real, n_killed = real.sum(axis=1), killed.sum(axis=1)
    missed = _draw_missed(rng, vanished)
    killed_share = rng.beta(n_killed + _VAGUE, n_real - n_killed + _VAGUE)
    missed_kills = rng.binomial(missed, killed_share)
    smooth = rng.random(DRAWS) - 0.5  # a count is known to half a cell at best
    most_kills = n_targets if has_effectors or n_killed.any() else 0
    return Counts(
        kills=np.clip(n_killed + missed_kills + smooth, 0.0, most_kills),
        deaths=np.clip(n_real + missed + smooth, 0.0, n_targets),
    )


def _with_unseen(
    rng: np.random.Generator, probability: Floats, caused: Floats, alone: float | None
) -> Floats:
    """Draws of the share that effectors have in each death, those among them whose contact was not seen: (DRAWS, deaths).

    A contact is missed where tracks swap or frames are far apart; its death then falls to nobody. So besides the
    spontaneous hazard there is one of unseen effectors, constant in time. Its likelihood is that of the deaths' times
    under both and what contacts add; before that it is exponential, and worth one kill in twenty of those seen.
    """
    killed = float((probability * caused).sum())
    if alone is None or alone <= 0 or killed <= 0:
        return caused[None, :]
    usual = _UNSEEN_SHARE * killed / alone  # in units of the spontaneous hazard
    hazards = np.linspace(0.0, _UNSEEN_MOST * usual, _UNSEEN_STEPS)
    total = 1.0 / (1.0 - caused)  # of each death, in the same unit
    weight = (np.log(total[None, :] + hazards[:, None]) * probability).sum(axis=1)
    weight -= hazards * (alone + 1.0 / usual)
    weight = np.exp(weight - weight.max())
    place = (np.cumsum(weight) - weight / 2) / weight.sum()
    unseen = np.interp(rng.random(DRAWS), place, hazards)
    return np.asarray(1.0 - 1.0 / (total[None, :] + unseen[:, None]))


def _draw_missed(rng: np.random.Generator, vanished: Vanished) -> NDArray[np.int64]:
    """Deaths among what vanished: both counts are Poisson, and fewer than none cannot have."""
    broken = min(vanished.lost, vanished.returned)
    net = max(vanished.lost - vanished.returned, 0.0)
    # tracks that break in one place and go on in another are counted twice or not at all
    mistaken = rng.normal(0.0, np.sqrt(broken / 2 + _VAGUE), DRAWS)
    mean = np.maximum(net + mistaken, 0.0) + vanished.late
    return np.asarray(rng.poisson(mean), dtype=np.int64)


def _h0_error(rng: np.random.Generator, model: LagModel) -> Floats:
    """Draws of the error of the log odds that effectors did it, for want of knowing the spontaneous hazard."""
    if not model.h0_odds:
        return _log_gamma(rng, model.kill_deaths) - _log_gamma(rng, model.h0_deaths)
    change, weight = np.array(model.h0_odds).T
    middle = np.cumsum(weight) - weight / 2
    drawn = np.interp(rng.random(DRAWS), middle, change)
    return np.asarray(drawn)


def _log_gamma(rng: np.random.Generator, counts: float) -> Floats:
    """Draws of the log of a rate relative to its estimate, which rests on so many counts."""
    return np.asarray(np.log(np.maximum(rng.gamma(counts, size=DRAWS), 1e-12) / counts))


def central(draws: Floats, estimate: float) -> tuple[float, float]:
    """The 90 % interval of the draws, widened where needed to hold the estimate."""
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return min(float(low), estimate), max(float(high), estimate)
