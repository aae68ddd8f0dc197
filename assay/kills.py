"""Which effector killed whom, by shares, and which share nobody gets.

Knows contacts and deaths of all fields of a plate. Knows nothing of pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.deaths import Death
from assay.field_events import FieldEvents, Floats, Ints, one_cell
from assay.hazards import Shares, damage_of, settle
from assay.hits import Evidence, gather
from assay.lag_fit import fit_lag_model
from assay.lag_model import LagModel
from assay.pieces import effectors_of
from assay.sameness import Sameness

__all__ = [
    "EffectorKills",
    "FieldEvents",
    "Kill",
    "LagModel",
    "credit_kills",
    "effector_kills",
    "fit_lag_model",
]

LEAST_SHARE = 0.005
"""A smaller share is not listed; nobody gets it."""

_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One effector's share in one death. The shares of a death and its uncredited share sum to 1."""

    death_id: int
    target_track_id: int
    effector_track_id: int
    contact_id: int
    share: float
    lag_min: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorKills:
    """What one effector did, counted in the three ways that people count."""

    effector_track_id: int
    hard: int  # deaths of which it has the largest share, above what nobody gets
    fractional: float  # its shares, weighted by the probability of each death
    multi_hit: int  # deaths to which it and at least one other contributed


def credit_kills(field: FieldEvents, model: LagModel) -> tuple[list[Kill], dict[int, float]]:
    """Share out every target death of a field among the effectors that touched it, and nobody.

    An effector's share is the part of the target's hazard at the onset that its contacts make up, over the
    frames that may hold the onset; where several hits are needed, also of the hits that went before. Effectors
    differ, and many never kill: each one's activity is learnt from its other contacts in the film, as far as it
    still is the same cell in them, never from the death in question. A contact that begins after the death's
    frame never counts. Where an effector's track may have changed from one cell to another within the contact, so
    much of its share goes to all that have one in this death, alike: nobody can say whose it is.

    Returns:
        Kills ordered by death and effector; death id -> the share that nobody gets. Together they sum to 1.
    """
    deaths = sorted(field.deaths, key=lambda death: death.death_id)
    ordered = replace(field, deaths=tuple(deaths))
    evidence = gather(ordered, np.asarray(model.edges_min))
    damage = damage_of(evidence) if model.hits_needed > 1 else None
    hazards = model.hazards_of(field.well)
    shares, _ = settle(evidence, hazards, Sameness(evidence), damage, rounds=_ROUNDS)
    contact_of = _largest_contacts(evidence, shares)
    effectors = effectors_of(field)
    given = shares.of_pair / evidence.death_weight[evidence.pair_death]
    listed = np.flatnonzero(given >= LEAST_SHARE).tolist()
    same = np.ones(len(given))
    for pair in listed:
        contact, track = field.contacts[contact_of[pair]], effectors[evidence.pair_effector[pair]]
        if track in field.link_doubts:
            same[pair] = one_cell(field.link_doubts[track], contact.first_frame, contact.last_frame)
    given = _spread(evidence.pair_death, given, same)
    kills: list[Kill] = []
    uncredited = {death.death_id: 1.0 for death in deaths}
    for pair in listed:
        death, contact = deaths[evidence.pair_death[pair]], field.contacts[contact_of[pair]]
        kills.append(
            Kill(
                death_id=death.death_id,
                target_track_id=death.track_id,
                effector_track_id=effectors[evidence.pair_effector[pair]],
                contact_id=contact.contact_id,
                share=float(given[pair]),
                lag_min=field.calibration.minutes(death.frame - contact.first_frame),
            )
        )
    for death_id in uncredited:
        credited = math.fsum(kill.share for kill in kills if kill.death_id == death_id)
        uncredited[death_id] = max(1.0 - credited, 0.0)
    return kills, uncredited


def _spread(death: Ints, share: Floats, same: Floats) -> Floats:
    """Shares that are listed, each as far as its contact is `same`, one cell's; the rest alike to all of its death."""
    listed = share >= LEAST_SHARE
    doubtful = np.bincount(death, weights=np.where(listed, share * (1 - same), 0.0))
    count = np.bincount(death, weights=listed)
    return np.where(listed, share * same + (doubtful / np.maximum(count, 1))[death], 0.0)


def _largest_contacts(evidence: Evidence, shares: Shares) -> list[int]:
    """Of each pair the contact with the largest part; of equal ones the last."""
    span = max(evidence.n_contacts, 1)
    contact = evidence.pieces.contact[evidence.row_piece]
    keys, place = np.unique(evidence.row_pair * span + contact, return_inverse=True)
    part = np.round(np.bincount(place, weights=shares.of_row, minlength=len(keys)), 12)
    best = [0] * len(evidence.pair_death)
    for n in np.lexsort((keys % span, part)).tolist():
        best[int(keys[n] // span)] = int(keys[n] % span)
    return best


def effector_kills(
    kills: Sequence[Kill], deaths: Sequence[Death], uncredited: Mapping[int, float], *, least_hit_share: float
) -> list[EffectorKills]:
    """Count each effector's kills in one field: hard, fractional and together with others.

    Args:
        kills: Of one field.
        deaths: Target deaths of the same field.
        uncredited: Death id -> the share that nobody gets.
        least_hit_share: From this share on an effector counts as having hit.
    """
    probability = {death.death_id: death.probability for death in deaths}
    by_death: dict[int, list[Kill]] = {}
    for kill in kills:
        by_death.setdefault(kill.death_id, []).append(kill)
    hard: dict[int, int] = {}
    joint: dict[int, int] = {}
    for death_id, mine in by_death.items():
        top = max(mine, key=lambda kill: (kill.share, -kill.effector_track_id))
        if top.share > uncredited[death_id] and probability[death_id] >= 0.5:
            hard[top.effector_track_id] = hard.get(top.effector_track_id, 0) + 1
        hitters = [kill.effector_track_id for kill in mine if kill.share >= least_hit_share]
        for effector in hitters if len(hitters) > 1 else []:
            joint[effector] = joint.get(effector, 0) + 1
    return [
        EffectorKills(
            effector_track_id=effector,
            hard=hard.get(effector, 0),
            fractional=math.fsum(
                k.share * probability[k.death_id] for k in kills if k.effector_track_id == effector
            ),
            multi_hit=joint.get(effector, 0),
        )
        for effector in sorted({kill.effector_track_id for kill in kills})
    ]
