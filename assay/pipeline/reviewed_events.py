"""What decisions make of one field's deaths: the events changed, and credit anew for the deaths they touch.

The lag model stays as it was fitted, and so do the shares of deaths that nobody touched: what a reader says of one
target changes no other. A death that is accepted keeps its shares; one that is timed anew, or added, is shared out
by the model at its new frame; one whose killer a reader names goes to that effector whole, or to nobody.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.kills import Kill, LagModel, credit_kills
from assay.tracks import Track, TrackEnd

Doubts = Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]

NO_CONTACT = 0
"""Number of the contact of an effector that a reader named although no contact with the target was found."""

_ENDS: Mapping[str, TrackEnd] = {"division": "divided", "left_field": "left_field"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathChange:
    """What the decisions on one event come to."""

    event: str  # its name
    death_id: int | None  # None: a reader added it
    target_track_id: int
    rejected: str | None = None  # the reason, "" where readers give several; None: it is a death
    accepted: bool = False
    frame: int | None = None  # None: as the pipeline timed it
    killer: float | None = None  # effector's track id, NaN: nobody; None: as the model shares it out
    killer_frame: int | None = None  # in which the reader saw the killer; None: not written down
    readers: str = ""
    doubtful: Death | None = None  # as the pipeline listed it that did not call it


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedField:
    """Events of a field with their credit; the shares of a death and what nobody gets sum to 1."""

    events: FieldEvents
    kills: tuple[Kill, ...]  # ordered by death, then effector
    uncredited: Mapping[int, float]
    chosen: frozenset[int] = frozenset()  # deaths whose killer a reader named
    last_death_id: int = 0  # the largest number of any death of the field, of effectors too
    effectors: frozenset[int] | None = None  # tracks of the field's effectors; None: not known
    names: Mapping[int, str] | None = None  # of deaths that decisions touch: death id -> event
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """What is known of targets beside the tables: how each track ends for the linker, and which are one cell."""

    ends: Callable[[], Mapping[int, TrackEnd]]  # target -> end, had it not died
    later: Callable[
        [], Mapping[int, tuple[int, ...]]
    ]  # target -> tracks in which the same cell is seen again
    doubts: Callable[[], Doubts]  # of links of effectors

    def end_of(self, target: int) -> TrackEnd:
        """How its track ends for the linker; lost where that is not known."""
        return self.ends().get(target, "lost")

    def later_of(self, target: int) -> tuple[int, ...]:
        """Its later pieces; only a cell that was lost can have any."""
        return self.later().get(target, ()) if self.end_of(target) == "lost" else ()


def change_field(
    credited: CreditedField, changes: Sequence[DeathChange], lives: Lives, model: LagModel
) -> CreditedField:
    """Apply decisions to one field.

    A target whose death is rejected lived on as far as it is followed: its track ends as the linker had it
    ("division" and "left_field" say how), and it is at risk, and alive at the end, up to there. "already_dead" makes
    it a cell that was dead when first seen. An added death makes its target's later pieces those of a dead cell.

    Args:
        credited: As the pipeline had it, or after corrections of tracks.
        changes: In the order of the events' names; at most one per target can leave a death standing.
        lives: Of the field's targets.
        model: As fitted.
    """
    deaths = {death.death_id: death for death in credited.events.deaths}
    dead = set(credited.events.dead_targets)
    ends: dict[int, TrackEnd] = {}
    touched: dict[int, DeathChange] = {}
    problems: list[str] = []
    for change in sorted(changes, key=lambda one: one.rejected is None):  # first who lives, then who dies
        if change.death_id is not None and change.death_id not in deaths:
            problems.append(f"{change.event}: after corrections of tracks there is no such death any more.")
            continue
        if change.rejected is not None:
            assert change.death_id is not None
            died = deaths.pop(change.death_id)
            ends[died.track_id] = _ENDS.get(change.rejected, lives.end_of(died.track_id))
            dead -= set(lives.later_of(died.track_id))
            if change.rejected == "already_dead":
                dead |= {died.track_id, *lives.later_of(died.track_id)}
            continue
        if change.death_id is not None:  # corrections may have given the cell another track
            change = replace(change, target_track_id=deaths[change.death_id].track_id)
        change = _as_possible(change, credited, problems)
        if change.death_id is None:
            said = _why_not(change, credited.events, deaths)
            if said:
                problems.append(said)
                continue
            before = (d.death_id for d in credited.events.deaths)
            number = max([credited.last_death_id, *deaths, *before, *touched]) + 1
            deaths[number] = _added(change, number)
            dead -= {change.target_track_id}
            dead |= set(lives.later_of(change.target_track_id))
            ends[change.target_track_id] = "died"
        else:
            number = change.death_id
            deaths[number] = _as_decided(deaths[number], change)
        touched[number] = change
    events = replace(
        credited.events,
        deaths=tuple(deaths[number] for number in sorted(deaths)),
        dead_targets=frozenset(dead),
        targets=tuple(_ending(track, ends) for track in credited.events.targets),
    )
    kills, uncredited, chosen = _credit(credited, events, touched, model, lives)
    return CreditedField(
        events=events,
        kills=kills,
        uncredited=uncredited,
        chosen=chosen,
        names={number: change.event for number, change in touched.items()},
        problems=tuple(problems),
    )


def _as_possible(change: DeathChange, credited: CreditedField, problems: list[str]) -> DeathChange:
    """A decision without the frame or the killer that cannot be; says so."""
    of, frame, killer = credited.events, change.frame, change.killer
    first = {track.track_id: track.first_frame for track in of.targets}.get(change.target_track_id, 0)
    if change.death_id is not None and frame is not None and not first <= frame < of.n_frames:
        problems.append(
            f"{change.event}: frame {frame} is not within the film of target {change.target_track_id}, so the "
            "pipeline's frame stands."
        )
        change = replace(change, frame=None)
    if killer is None or math.isnan(killer) or credited.effectors is None or killer in credited.effectors:
        return change
    problems.append(f"{change.event}: there is no effector {killer:.0f}, so the model says who killed it.")
    return replace(change, killer=None)


def _why_not(change: DeathChange, events: FieldEvents, deaths: Mapping[int, Death]) -> str | None:
    track = next((t for t in events.targets if t.track_id == change.target_track_id), None)
    if track is None:
        return f"{change.event}: there is no target {change.target_track_id}, so its death is not counted."
    if any(death.track_id == change.target_track_id for death in deaths.values()):
        return f"{change.event}: target {change.target_track_id} dies already; reject that death first."
    if events.n_frames < 2:
        return f"{change.event}: the field has a single image, in which nothing dies."
    if change.frame is None or not track.first_frame <= change.frame <= events.n_frames - 1:
        return (
            f"{change.event}: frame {change.frame} is not within the film of target {change.target_track_id}."
        )
    return None


def _added(change: DeathChange, number: int) -> Death:
    assert change.frame is not None
    listed = change.doubtful
    if listed is not None and change.frame == listed.frame:  # as it was shown, with the interval of its onset
        return replace(
            listed, death_id=number, track_id=change.target_track_id, probability=1.0, evidence=_read(listed)
        )
    return Death(
        death_id=number,
        role="target",
        track_id=change.target_track_id,
        frame=change.frame,
        first_possible_frame=change.frame,
        last_possible_frame=change.frame,
        probability=1.0,
        evidence=("reader",),
    )


def _read(listed: Death) -> tuple[str, ...]:
    return (*(one for one in listed.evidence if one), "reader")


def _as_decided(death: Death, change: DeathChange) -> Death:
    """Sure where it was accepted; a frame that a reader gives is exact, and finer than it nothing is known."""
    if change.accepted:
        death = replace(death, probability=1.0)
    if change.frame is None or change.frame == death.frame:
        return death
    return replace(
        death,
        frame=change.frame,
        first_possible_frame=change.frame,
        last_possible_frame=change.frame,
        onset_min=math.nan,
    )


def _ending(track: Track, ends: Mapping[int, TrackEnd]) -> Track:
    if track.track_id not in ends or track.end == "divided":
        return track
    return replace(track, end=ends[track.track_id])


def _credit(
    before: CreditedField,
    events: FieldEvents,
    touched: Mapping[int, DeathChange],
    model: LagModel,
    lives: Lives,
) -> tuple[tuple[Kill, ...], dict[int, float], frozenset[int]]:
    """Shares as they were, but of the deaths that were touched in frame or killer."""
    was = {death.death_id: death for death in before.events.deaths}
    now = {death.death_id: death for death in events.deaths}
    anew = {number for number in touched if number not in was or now[number].frame != was[number].frame}
    kept = now.keys() - anew
    kills = [kill for kill in before.kills if kill.death_id in kept]
    uncredited = {number: before.uncredited[number] for number in sorted(kept)}
    if anew and events.n_frames > 1:
        found, nobody = credit_kills(replace(events, link_doubts=lives.doubts()), model)
        kills += [kill for kill in found if kill.death_id in anew]
        uncredited |= {number: nobody[number] for number in sorted(anew)}
    named = {number: change.killer for number, change in touched.items() if change.killer is not None}
    given = [
        kill
        for n, killer in named.items()
        if not math.isnan(killer)
        for kill in [_named(events, kills, now[n], int(killer))]
    ]
    kills = [kill for kill in kills if kill.death_id not in named] + given
    uncredited |= {number: 1.0 if math.isnan(killer) else 0.0 for number, killer in named.items()}
    kills.sort(key=lambda kill: (kill.death_id, kill.effector_track_id))
    return tuple(kills), dict(sorted(uncredited.items())), frozenset(named)


def _named(events: FieldEvents, kills: Collection[Kill], death: Death, effector: int) -> Kill:
    """All of a death to one effector: by the contact that the model credits, else by the last that began before."""
    contact = {c.contact_id: c for c in events.contacts}
    mine = [k for k in kills if k.death_id == death.death_id and k.effector_track_id == effector]
    found = contact.get(mine[0].contact_id) if mine else None
    if found is None:
        before = [
            c
            for c in events.contacts
            if (c.effector_track_id, c.target_track_id) == (effector, death.track_id)
            and c.first_frame <= death.frame
        ]
        found = max(before, key=lambda c: (c.first_frame, c.contact_id), default=None)
    lag = math.nan if found is None else events.calibration.minutes(death.frame - found.first_frame)
    return Kill(
        death_id=death.death_id,
        target_track_id=death.track_id,
        effector_track_id=effector,
        contact_id=NO_CONTACT if found is None else found.contact_id,
        share=1.0,
        lag_min=lag,
    )
