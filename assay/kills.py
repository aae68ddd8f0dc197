"""Which effector killed whom, by shares, and which share nobody gets.

Knows contacts and deaths of all fields of a plate. Knows nothing of pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.contacts import Contact
from assay.deaths import Death
from assay.lag_model import (
    FieldEvents,
    LagModel,
    contact_minutes,
    contacts_by_target,
    fit_lag_model,
    onset_weights,
)

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

    An effector's share is the part of the target's hazard at the onset that its contacts make up, averaged
    over the frames that may hold the onset. A contact that begins after the death's frame never counts.

    Returns:
        Kills ordered by death and effector; death id -> the share that nobody gets. Together they sum to 1.
    """
    touching = contacts_by_target(field.contacts)
    kills: list[Kill] = []
    uncredited: dict[int, float] = {}
    for death in sorted(field.deaths, key=lambda death: death.death_id):
        contacts = [c for c in touching.get(death.track_id, []) if c.first_frame <= death.frame]
        credits = _contact_shares(death, contacts, field, model)
        mine = _kills_of(death, contacts, credits, field)
        kills += mine
        uncredited[death.death_id] = 1.0 - math.fsum(kill.share for kill in mine)
    return kills, uncredited


def _contact_shares(
    death: Death, contacts: Sequence[Contact], field: FieldEvents, model: LagModel
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    shares = np.zeros(len(contacts))
    if not contacts:
        return shares
    edges, theta = np.asarray(model.edges_min), np.asarray(model.kernel_per_min2)
    for frame, chance in zip(*onset_weights(death), strict=True):
        hazard = contact_minutes(contacts, int(frame), edges, field.calibration.minutes(1)) @ theta
        shares += chance * hazard / (model.h0_per_min + hazard.sum())
    return shares


def _kills_of(
    death: Death,
    contacts: Sequence[Contact],
    credits: np.ndarray[tuple[int], np.dtype[np.float64]],
    field: FieldEvents,
) -> list[Kill]:
    kills = []
    for effector in sorted({contact.effector_track_id for contact in contacts}):
        mine = [n for n, contact in enumerate(contacts) if contact.effector_track_id == effector]
        share = math.fsum(credits[mine])
        if share < LEAST_SHARE:
            continue
        best = contacts[max(mine, key=lambda n: (credits[n], contacts[n].contact_id))]
        kills.append(
            Kill(
                death_id=death.death_id,
                target_track_id=death.track_id,
                effector_track_id=effector,
                contact_id=best.contact_id,
                share=share,
                lag_min=field.calibration.minutes(death.frame - best.first_frame),
            )
        )
    return kills


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
