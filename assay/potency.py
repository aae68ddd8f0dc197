"""How strongly the contacts of one well kill, under hazards that were fitted to other wells.

Knows hazards and the evidence of one well. Does not fit what wells have in common: `lag_fit.py` does.
"""

from dataclasses import replace

import numpy as np

from assay.hazards import Hazards, damage_of, expected_kills, share_deaths, strengths
from assay.hits import Evidence
from assay.sameness import Sameness, no_activity

POTENCY_KILLS = 3.0
"""The prior on a well's potency, 1, counts as so many kills."""

_CONTROL_CHANCE = 0.5  # kills of a mock well that pass for chance
_CONTROL_LEAST = 0.1
_ROUNDS = 80
_CLOSE = 1e-3


def potency_of_control(evidence: Evidence, fitted: Hazards) -> float:
    """Potency of a well that the fit took for a control: how far its contacts kill after all.

    The mode of the posterior under a gamma prior that is highest at 0: what may be chance counts as chance.
    """
    activity = no_activity(evidence)
    hazards = replace(fitted, potency=np.ones(1), hits_needed=1)
    strength = strengths(evidence, hazards, activity, None)
    expected = float(expected_kills(evidence, hazards, strength).sum())
    for _ in range(_ROUNDS):
        strength = strengths(evidence, hazards, activity, None)
        caused = float(share_deaths(evidence, hazards, activity, strength).of_row.sum())
        excess = max(caused - _CONTROL_CHANCE, _CONTROL_LEAST)
        before, potency = hazards.potency[0], excess / (POTENCY_KILLS + expected)
        hazards = replace(hazards, potency=np.array([potency]))
        if abs(potency - before) <= _CLOSE * before:
            break
    return float(hazards.potency[0])


def potency_of(evidence: Evidence, fitted: Hazards) -> float:
    """Potency of a well that the rest was not fitted to."""
    hazards, sameness = replace(fitted, potency=np.ones(1)), Sameness(evidence)
    damage = damage_of(evidence) if fitted.hits_needed > 1 else None
    activity = no_activity(evidence)
    for _ in range(_ROUNDS):
        strength = strengths(evidence, hazards, activity, damage)
        shares = share_deaths(evidence, hazards, activity, strength)
        expected = float(strength.of_piece @ (evidence.exposure @ hazards.theta)) / hazards.potency[0]
        potency = (POTENCY_KILLS + float(shares.of_row.sum())) / (POTENCY_KILLS + expected)
        moved, hazards = (
            abs(potency / hazards.potency[0] - 1.0),
            replace(hazards, potency=np.array([potency])),
        )
        strength = strengths(evidence, hazards, activity, damage)
        kills = expected_kills(evidence, hazards, strength)
        activity = sameness.activity(shares.of_pair, kills, hazards.alike)
        if moved < _CLOSE:
            break
    return float(hazards.potency[0])


def rests_on(evidence: Evidence, hazards: Hazards) -> float:
    """Few kills among many spontaneous deaths tell a potency badly: (kills / error)^2, the error being Poisson."""
    activity, hazards = no_activity(evidence), replace(hazards, hits_needed=1)
    shares = share_deaths(evidence, hazards, activity, strengths(evidence, hazards, activity, None))
    kills, alone = float(shares.of_row.sum()), float(shares.of_nobody.sum())
    return kills**2 / max(kills + alone, 1e-9) + _CONTROL_CHANCE
