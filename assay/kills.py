"""Which effector killed whom, by shares, and which share nobody gets.

Knows contacts and deaths of all fields of a plate. Knows nothing of pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.contacts import Contact
from assay.deaths import Death
from assay.lag_model import (
    FieldEvents,
    LagModel,
    alive_until,
    contact_exposure,
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

_LIKENESS = (0.25, 0.4, 0.7, 1.2, 2.5, 5.0, 20.0, 1000.0)
_USUAL_LIKENESS = 0.6  # half of all effectors do next to nothing
_LIKENESS_SPREAD = 2.0  # how firmly, as sd of the logarithm
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

    An effector's share is the part of the target's hazard at the onset that its contacts make up, averaged
    over the frames that may hold the onset. Effectors differ, and many never kill: each one's activity is
    learnt from its other contacts in the film, never from the death in question. A contact that begins after
    the death's frame never counts.

    Returns:
        Kills ordered by death and effector; death id -> the share that nobody gets. Together they sum to 1.
    """
    deaths = sorted(field.deaths, key=lambda death: death.death_id)
    hazards = _hazards(field, deaths, model)
    shares = _settle(hazards, model.h0_per_min)
    kills: list[Kill] = []
    uncredited = {death.death_id: 1.0 for death in deaths}
    for pair, (place, effector) in enumerate(hazards.pairs):
        share = float(shares[pair])
        if share < LEAST_SHARE:
            continue
        death, best = deaths[place], hazards.best_contact[pair]
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
    for death_id in uncredited:
        given = math.fsum(kill.share for kill in kills if kill.death_id == death_id)
        uncredited[death_id] = max(1.0 - given, 0.0)
    return kills, uncredited


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hazards:
    """Hazard that each effector's contacts put on each dying target, for every frame that may hold the onset."""

    pairs: tuple[tuple[int, int], ...]  # (place of the death, effector), in order
    best_contact: tuple[Contact, ...]  # per pair, the contact with the largest part
    pair_effector: NDArray[np.int64]  # (pairs,) place of the effector in `expected`
    pair_weight: NDArray[np.float64]  # (pairs,) probability of the death
    row_pair: NDArray[np.int64]  # (rows,)
    row_onset: NDArray[np.int64]  # (rows,)
    row_hazard: NDArray[np.float64]  # (rows,) per minute, at usual activity
    onset_weight: NDArray[np.float64]  # (onsets,) of each death they sum to 1
    expected: NDArray[np.float64]  # (effectors,) kills that its contacts would lead to at usual activity


def _hazards(field: FieldEvents, deaths: Sequence[Death], model: LagModel) -> _Hazards:
    edges = np.asarray(model.edges_min)
    theta = model.potency.get(field.well, 1.0) * np.asarray(model.kernel_per_min2)
    frame_min = field.calibration.minutes(1)
    effectors = sorted({contact.effector_track_id for contact in field.contacts})
    place_of = {effector: place for place, effector in enumerate(effectors)}
    led_to = contact_exposure(field, edges, ends=alive_until(field)) @ theta
    owner = np.array([place_of[contact.effector_track_id] for contact in field.contacts], dtype=np.int64)
    touching = contacts_by_target(field.contacts)
    pairs: list[tuple[int, int]] = []
    best: list[Contact] = []
    row_pair: list[int] = []
    row_onset: list[int] = []
    row_hazard: list[float] = []
    onset_weight: list[float] = []
    for place, death in enumerate(deaths):
        contacts = [c for c in touching.get(death.track_id, []) if c.first_frame <= death.frame]
        frames, chances = onset_weights(death)
        parts = np.stack(
            [contact_minutes(contacts, int(f), edges, frame_min) @ theta for f in frames], axis=1
        )
        for effector in sorted({contact.effector_track_id for contact in contacts}):
            mine = [n for n, contact in enumerate(contacts) if contact.effector_track_id == effector]
            row_pair += [len(pairs)] * len(frames)
            row_onset += range(len(onset_weight), len(onset_weight) + len(frames))
            row_hazard += parts[mine].sum(axis=0).tolist()
            pairs.append((place, effector))
            best.append(contacts[max(mine, key=lambda n: (parts[n] @ chances, contacts[n].contact_id))])
        onset_weight += chances.tolist()
    return _Hazards(
        pairs=tuple(pairs),
        best_contact=tuple(best),
        pair_effector=np.array([place_of[effector] for _, effector in pairs], dtype=np.int64),
        pair_weight=np.array([deaths[place].probability for place, _ in pairs]),
        row_pair=np.array(row_pair, dtype=np.int64),
        row_onset=np.array(row_onset, dtype=np.int64),
        row_hazard=np.array(row_hazard, dtype=np.float64),
        onset_weight=np.array(onset_weight, dtype=np.float64),
        expected=np.bincount(owner, weights=led_to, minlength=len(effectors)).astype(np.float64),
    )


def _settle(hazards: _Hazards, h0: float) -> NDArray[np.float64]:
    """Shares per pair, with the likeness of the field's effectors under which the deaths are least surprising."""
    best, shares = -np.inf, np.zeros(len(hazards.pairs))
    for alike in _LIKENESS:
        fit, candidate = _share_out(hazards, h0, alike)
        fit -= 0.5 * (math.log(alike / _USUAL_LIKENESS) / _LIKENESS_SPREAD) ** 2
        if fit > best:
            best, shares = fit, candidate
    return shares


def _share_out(hazards: _Hazards, h0: float, alike: float) -> tuple[float, NDArray[np.float64]]:
    """Shares per pair and each effector's activity, in turn; and the log likelihood of the deaths.

    An effector's activity is the mean of a gamma posterior: prior of mean 1 and shape `alike` (small: few
    effectors do most of the killing), its expected kills as exposure, its shares in all other deaths as kills.
    """
    count, onsets, effectors = len(hazards.pairs), len(hazards.onset_weight), len(hazards.expected)
    activity = np.ones(count)
    shares, fit = np.zeros(count), 0.0
    for _ in range(_ROUNDS):
        strength = hazards.row_hazard * activity[hazards.row_pair]
        total = h0 + np.bincount(hazards.row_onset, weights=strength, minlength=onsets)
        part = (hazards.onset_weight / total)[hazards.row_onset] * strength
        shares = np.bincount(hazards.row_pair, weights=part, minlength=count).astype(np.float64)
        mine = shares * hazards.pair_weight
        kills = np.bincount(hazards.pair_effector, weights=mine, minlength=effectors).astype(np.float64)
        others = np.maximum(kills[hazards.pair_effector] - mine, 0.0)
        activity = (alike + others) / (alike + hazards.expected[hazards.pair_effector])
        all_in = float(np.sum(hazards.expected * (alike + kills) / (alike + hazards.expected)))
        fit = float(np.sum(hazards.onset_weight * np.log(total))) - all_in
    return fit, shares


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
