"""What came of each contact, and what each effector did in the time it was watched.

Knows contacts, deaths and their credit in one field. Knows nothing of wells.
"""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from assay.field_events import FieldEvents, alive_until
from assay.kills import Kill, effector_kills
from assay.tracks import Track

Outcome = Literal["kill", "no_kill", "censored", "zombie"]

JOINT_SHARE = 0.2
"""From this share in a death on, an effector counts as one of several that killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactOutcome:
    """What came of a contact, and its effector's share in the target's death where this contact is credited."""

    contact_id: int
    outcome: Outcome
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorRecord:
    """What one effector did: expected kills beside the time in which it could have made them."""

    effector_track_id: int
    observed_min: float  # from first to last sight, up to its own death
    contact_min: float  # in contact with one live target at least
    n_contacts: int  # with live targets
    n_targets: int  # live ones that it touched
    kills: float  # expected: sum over deaths of probability x share
    kills_sd: float
    kills_hard: int  # deaths of which it has the largest share, above what nobody gets
    kills_joint: int  # deaths to which it and at least one other contributed
    mean_lag_min: float  # from contact to death, weighted by its shares; NaN without any


def contact_outcomes(
    events: FieldEvents, kills: Sequence[Kill], uncredited: Mapping[int, float], *, follow_min: float
) -> list[ContactOutcome]:
    """Say of every contact what came of it, in the order of `events.contacts`.

    "kill": credited with the largest share of the target's death, above what nobody gets. "zombie": began after
    the death, or the target was dead when first seen. "censored": the target was not followed alive for
    `follow_min` after the contact's end, so that it may yet have died of it. Else "no_kill", also where the
    target then died of another.

    Args:
        events: Of the field.
        kills: Of the same field.
        uncredited: Death id -> the share that nobody gets.
        follow_min: Time after which a contact has killed if it does.
    """
    follow = math.ceil(events.calibration.frames(follow_min))
    ends = alive_until(events)
    died = {death.track_id: death for death in events.deaths}
    shares = {(kill.target_track_id, kill.contact_id): kill.share for kill in kills}
    top = _top_contacts(kills, uncredited)
    found = []
    for contact in events.contacts:
        target, death = contact.target_track_id, died.get(contact.target_track_id)
        outcome: Outcome = "no_kill"
        if target in events.dead_targets or (death is not None and contact.first_frame > death.frame):
            outcome = "zombie"
        elif death is not None and contact.contact_id in top and death.probability >= 0.5:
            outcome = "kill"
        elif (death is None or death.probability < 0.5) and ends.get(
            target, -1
        ) < contact.last_frame + follow:
            outcome = "censored"
        share = shares.get((target, contact.contact_id), 0.0)
        found.append(ContactOutcome(contact_id=contact.contact_id, outcome=outcome, share=share))
    return found


def _top_contacts(kills: Sequence[Kill], uncredited: Mapping[int, float]) -> set[int]:
    best: dict[int, Kill] = {}
    for kill in kills:
        other = best.get(kill.death_id)
        if other is None or (kill.share, -kill.effector_track_id) > (other.share, -other.effector_track_id):
            best[kill.death_id] = kill
    return {kill.contact_id for kill in best.values() if kill.share > uncredited[kill.death_id]}


def effector_records(
    events: FieldEvents,
    effectors: Sequence[Track],
    kills: Sequence[Kill],
    uncredited: Mapping[int, float],
    *,
    died: Mapping[int, int],
    dead: AbstractSet[int],
) -> list[EffectorRecord]:
    """Count what each effector of a field did, those that touched nothing among them.

    A track is taken for one effector; where the linker breaks or mixes them up, so does this.

    Args:
        events: Of the field.
        effectors: Their tracks.
        kills: Of the field.
        uncredited: Death id -> the share that nobody gets.
        died: Effector -> frame of its own death.
        dead: Effectors that were dead when first seen; they are left out.
    """
    touching = _touching(events, kills, uncredited)
    counts = effector_kills(kills, events.deaths, uncredited, least_hit_share=JOINT_SHARE)
    counted = {one.effector_track_id: (one.hard, one.multi_hit) for one in counts}
    weights = _weights(events, kills)
    records = []
    for track in effectors:
        number = track.track_id
        if number in dead:
            continue
        parts, mine = weights.get(number, []), touching.get(number, _Touching())
        expected = math.fsum(part for part, _ in parts)
        last = min(track.last_frame, died.get(number, track.last_frame))
        hard, joint = counted.get(number, (0, 0))
        record = EffectorRecord(
            effector_track_id=number,
            observed_min=events.calibration.minutes(max(last - track.first_frame + 1, 0)),
            contact_min=events.calibration.minutes(len(mine.frames)),
            n_contacts=mine.contacts,
            n_targets=len(mine.targets),
            kills=expected,
            kills_sd=math.sqrt(max(math.fsum(part * (1 - part) for part, _ in parts), 0.0)),
            kills_hard=hard,
            kills_joint=joint,
            mean_lag_min=math.fsum(p * lag for p, lag in parts) / expected if expected > 0 else math.nan,
        )
        records.append(record)
    return records


@dataclass(slots=True)
class _Touching:
    """Of one effector: its contacts with live targets."""

    contacts: int = 0
    targets: set[int] = field(default_factory=set)
    frames: set[int] = field(default_factory=set)


def _touching(
    events: FieldEvents, kills: Sequence[Kill], uncredited: Mapping[int, float]
) -> dict[int, _Touching]:
    """A contact counts up to the death of its target."""
    outcomes = contact_outcomes(events, kills, uncredited, follow_min=0.0)
    ends = alive_until(events)
    found: dict[int, _Touching] = {}
    for contact, outcome in zip(events.contacts, outcomes, strict=True):
        if outcome.outcome == "zombie":
            continue
        mine = found.setdefault(contact.effector_track_id, _Touching())
        last = min(contact.last_frame, max(ends.get(contact.target_track_id, -1), contact.first_frame))
        mine.contacts += 1
        mine.targets.add(contact.target_track_id)
        mine.frames.update(range(contact.first_frame, last + 1))
    return found


def _weights(events: FieldEvents, kills: Sequence[Kill]) -> dict[int, list[tuple[float, float]]]:
    """Effector -> of each death its expected part and the lag."""
    probability = {death.death_id: death.probability for death in events.deaths}
    weights: dict[int, list[tuple[float, float]]] = {}
    for kill in kills:
        entry = (kill.share * probability[kill.death_id], kill.lag_min)
        weights.setdefault(kill.effector_track_id, []).append(entry)
    return weights
