"""How well a model foretells what becomes of each target from what the effectors did to all others.

Knows hazards and evidence. Models that differ in how alike effectors are, or in how many hits a kill takes, are
compared by this: the likelihood of the deaths that they were fitted to would always take effectors for alike, since
the activity that an effector needs to explain one death is bought by all its other contacts.
"""

import numpy as np

from assay.field_events import Floats
from assay.hazards import Damage, Hazards, Shares, densities, expected_kills, strengths, strengths_under
from assay.hits import Evidence
from assay.sameness import Activity, Sameness


def left_out_likelihood(
    evidence: Evidence,
    hazards: Hazards,
    shares: Shares,
    activity: Activity,
    sameness: Sameness,
    damage: Damage | None,
) -> float:
    """Log probability density of each target's fate, the activities of effectors told by their other targets alone.

    An activity is gamma distributed after what was seen elsewhere, so its effector's meetings pass without a kill
    with the probability of a negative binomial of none; at a death what is then expected of each effector counts.
    """
    expected = expected_kills(evidence, hazards, strengths(evidence, hazards, activity, damage))
    kills, exposed = sameness.elsewhere(shares.of_pair, expected)
    kills, exposed = hazards.alike + kills, hazards.alike + exposed
    own = _by_meeting(sameness, expected)
    at = (kills / (exposed + own))[sameness.meeting]
    strength = strengths_under(evidence, hazards, at, damage).of_piece
    own = _by_meeting(sameness, strength * (evidence.exposure @ hazards.theta))
    survived = float(np.sum(kills * np.log1p(own / exposed)))
    strength = strength * (kills / (exposed + own))[sameness.meeting]
    part = strength[evidence.row_piece] * hazards.theta[evidence.row_bin] * evidence.row_min
    died = float(np.sum(evidence.death_weight * np.log(densities(evidence, hazards, part))))
    return died - survived - hazards.h0 * float(evidence.at_risk_min.sum())


def _by_meeting(sameness: Sameness, of_pieces: Floats) -> Floats:
    return np.bincount(sameness.meeting, weights=of_pieces, minlength=sameness.n_meetings).astype(np.float64)
