"""Rows of the reviewed tables of one field, and what the decisions on each event come to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length, table_of_rows, take
from assay.deaths import Death
from assay.lag_model import LagModel
from assay.pipeline.credit_tables import FOLLOWED
from assay.pipeline.credited import FilmFacts
from assay.pipeline.doubtful import doubtful_death
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_corrections import TrackNow
from assay.pipeline.reviewed_events import NO_CONTACT, CreditedField, DeathChange
from assay.review.state import ACCEPTED, REJECTED, ReviewState
from assay.serial_killing import contact_outcomes, effector_records
from assay.stack import FieldId
from assay.survival import FieldOutcome


def changes_of(state: ReviewState) -> dict[FieldId, tuple[DeathChange, ...]]:
    """What the decisions come to, field by field; events that are unsure or in dispute stay as they were."""
    found: dict[FieldId, list[DeathChange]] = {}
    decided = np.flatnonzero(np.isin(state.status, (ACCEPTED, REJECTED)))
    is_uncalled = state.is_uncalled
    for row in decided.tolist():
        uncalled, rejected = bool(is_uncalled[row]), state.status[row] == REJECTED
        added = uncalled or row >= state.n_pipeline_events
        if added and rejected:
            continue
        event = str(state.events["event"][row])
        change = DeathChange(
            event=event,
            death_id=None if added else int(state.events["death_id"][row]),
            target_track_id=int(state.events["target_track_id"][row]),
            rejected=_reason(state, event) if rejected else None,
            accepted=not rejected,
            frame=int(state.frame[row]) if added or state.retimed[row] else None,
            killer=float(state.killer[row]) if state.killer_chosen[row] else None,
            killer_frame=_killer_frame(state, event) if state.killer_chosen[row] else None,
            readers="+".join(sorted(state.of(event).verdicts)),
            doubtful=_as_listed(state, row) if uncalled else None,
        )
        place = FieldId(str(state.events["well"][row]), int(state.events["field"][row]))
        found.setdefault(place, []).append(change)
    return {place: tuple(found[place]) for place in sorted(found)}


def _as_listed(state: ReviewState, row: int) -> Death:
    """A death that was not called, as the pipeline listed it."""
    return doubtful_death({name: column[row] for name, column in state.events.items()}, 0)


def with_tracks_now(change: DeathChange, track_now: TrackNow) -> DeathChange:
    """The same after corrections of tracks: decisions name cells as the run called them when they were shown."""
    if change.killer is not None and not math.isnan(change.killer) and change.killer_frame is not None:
        now = track_now("effector", int(change.killer), change.killer_frame)
        change = replace(change, killer=float(now))
    if change.death_id is None and change.frame is not None:
        change = replace(change, target_track_id=track_now("target", change.target_track_id, change.frame))
    return change


def _killer_frame(state: ReviewState, event: str) -> int:
    """In which frame the killer that stands was seen by the reader who chose it last."""
    row = state.row_of(event)
    assert row is not None
    for one in reversed(state.decisions_on(event)):
        if one.values.get("effector_track_id") == state.killer[row]:
            return int(one.values.get("effector_frame", state.frame[row]))
    return int(state.frame[row])


def _reason(state: ReviewState, event: str) -> str:
    reasons = {one.reason for one in state.of(event).verdicts.values() if one.status == REJECTED}
    return reasons.pop() if len(reasons) == 1 else ""


def outcome_in(credited: CreditedField, facts: FilmFacts, base: BasePlate, place: FieldId) -> FieldOutcome:
    """What a summary of wells takes."""
    from assay.pipeline.events_of import tracks_in

    return FieldOutcome(
        events=credited.events,
        uncredited=credited.uncredited,
        effectors=tracks_in(base.rows("tracks", place), "effector"),
        first_valid_frame=facts.first_valid_frame,
        last_valid_frame=facts.last_valid_frame,
        n_valid_frames=facts.n_valid_frames,
        dead_targets=credited.events.dead_targets,
        dead_effectors=frozenset(facts.dead_effectors),
        max_gap_frames=facts.max_gap_frames,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldBlock:
    """One field after its decisions."""

    credited: CreditedField
    outcome: FieldOutcome
    tables: Mapping[str, Table]  # its rows


def field_block(base: BasePlate, place: FieldId, credited: CreditedField) -> FieldBlock:
    """All rows of one field that follow from its events and their credit."""
    facts = base.films[place]
    outcome = outcome_in(credited, facts, base, place)
    tables = {
        "deaths": _deaths(base.rows("deaths", place), credited),
        "kills": _kills(credited),
        "tracks": _tracks(base.rows("tracks", place), credited),
    }
    if credited.events.n_frames > 1:
        tables["contacts"] = _contacts(base.rows("contacts", place), credited, base.model)
        tables["effectors"] = _effectors(base.rows("deaths", place), credited, outcome)
    return FieldBlock(credited=credited, outcome=outcome, tables=tables)


def _deaths(rows: Table, credited: CreditedField) -> Table:
    """The field's rows with what changed of target deaths; gone ones left out, added ones at the end."""
    now = {death.death_id: death for death in credited.events.deaths}
    is_target = rows["role"] == "target"
    kept = ~is_target | np.isin(rows["death_id"], sorted(now))
    table = {name: column.copy() for name, column in take(rows, kept).items()}
    before = set(rows["death_id"][is_target].tolist())
    for row in np.flatnonzero(table["role"] == "target").tolist():
        death = now[int(table["death_id"][row])]
        table["probability"][row] = death.probability
        table["uncredited_share"][row] = credited.uncredited[death.death_id]
        if death.frame == table["frame"][row]:
            continue
        for name in ("frame", "first_possible_frame", "last_possible_frame", "onset_min"):
            table[name][row] = getattr(death, name)
        table["time_min"][row] = credited.events.calibration.minutes(death.frame)
    added = [death for number, death in sorted(now.items()) if number not in before]
    if not added:
        return table
    new = table_of_rows(
        "deaths",
        [
            {
                "well": credited.events.well,
                "field": credited.events.field,
                "death_id": death.death_id,
                "role": death.role,
                "track_id": death.track_id,
                "frame": death.frame,
                "first_possible_frame": death.first_possible_frame,
                "last_possible_frame": death.last_possible_frame,
                "time_min": credited.events.calibration.minutes(death.frame),
                "onset_min": death.onset_min,
                "probability": death.probability,
                "evidence": "+".join(death.evidence),
                "uncredited_share": credited.uncredited[death.death_id],
            }
            for death in added
        ],
    )
    return {name: np.concatenate([column, new[name]]) for name, column in table.items()}


def _kills(credited: CreditedField) -> Table:
    known = [kill.contact_id != NO_CONTACT for kill in credited.kills]
    table = {
        "well": _text(credited.events.well, len(known)),
        "field": np.full(len(known), credited.events.field, dtype=np.int64),
    }
    for name in ("death_id", "target_track_id", "effector_track_id", "contact_id"):
        table[name] = np.array([getattr(kill, name) for kill in credited.kills], dtype=np.int64)
    if not all(known):
        table["contact_id"] = np.where(known, table["contact_id"], np.nan)
    for name in ("share", "lag_min"):
        table[name] = np.array([getattr(kill, name) for kill in credited.kills], dtype=np.float64)
    return table


def _tracks(rows: Table, credited: CreditedField) -> Table:
    ends = {track.track_id: track.end for track in credited.events.targets}
    end = rows["end"].copy()
    for row in np.flatnonzero(rows["role"] == "target").tolist():
        end[row] = ends.get(int(rows["track_id"][row]), end[row])
    return {**rows, "end": end}


def _contacts(rows: Table, credited: CreditedField, model: LagModel) -> Table:
    of = credited.events
    found = contact_outcomes(of, credited.kills, credited.uncredited, follow_min=model.lag_min_of(FOLLOWED))
    died = {death.track_id: death.frame for death in of.deaths} | dict.fromkeys(of.dead_targets, -1)
    late = [c.first_frame > died.get(c.target_track_id, of.n_frames) for c in of.contacts]
    outcomes = np.empty(length(rows), dtype=object)
    outcomes[:] = [one.outcome for one in found]
    return {
        **rows,
        "target_dead": np.array(late, dtype=np.bool_),
        "outcome": outcomes,
        "kill_share": np.array([one.share for one in found], dtype=np.float64),
    }


def _effectors(deaths: Table, credited: CreditedField, outcome: FieldOutcome) -> Table:
    mine = (deaths["role"] == "effector") & (deaths["probability"] >= 0.5)
    died = dict(zip(deaths["track_id"][mine].tolist(), deaths["frame"][mine].tolist(), strict=True))
    records = effector_records(
        credited.events,
        outcome.effectors,
        credited.kills,
        credited.uncredited,
        died=died,
        dead=outcome.dead_effectors,
    )
    rows: list[dict[str, Any]] = [
        {"well": credited.events.well, "field": credited.events.field}
        | {name: getattr(record, name) for name in record.__dataclass_fields__}
        for record in records
    ]
    return table_of_rows("effectors", rows)


def _text(value: str | None, n: int) -> NDArray[Any]:
    column = np.empty(n, dtype=object)
    column[:] = value
    return column


def review_columns(
    deaths: Table, base: Table, state: ReviewState, events: Mapping[tuple[str, int, int], str]
) -> dict[str, NDArray[Any]]:
    """What readers said of each row of the reviewed deaths, and what the pipeline had there.

    Args:
        deaths: The reviewed ones.
        base: The pipeline's.
        state: What stands.
        events: (well, field, death id) -> event, of added deaths.
    """
    n = length(deaths)
    names = ("event", "review", "reviewed_by")
    columns: dict[str, NDArray[Any]] = {name: _text(None, n) for name in names}
    columns |= {name: np.full(n, math.nan) for name in ("pipeline_frame", "pipeline_probability")}
    was = {key: row for row, key in enumerate(_keys(base))}
    row_of = {
        (str(w), int(f), int(d)): row
        for row, (w, f, d) in enumerate(
            zip(*(state.events[name][: state.n_pipeline_events].tolist() for name in _KEY), strict=True)
        )
    }
    targets = np.flatnonzero(deaths["role"] == "target")
    keys = _keys(deaths)
    for at in targets.tolist():
        before = was.get(keys[at])
        row = row_of.get(keys[at])
        if before is None:
            row = state.row_of(events.get(keys[at], ""))
        else:
            columns["pipeline_frame"][at] = base["frame"][before]
            columns["pipeline_probability"][at] = base["probability"][before]
        if row is None:
            continue
        event = str(state.events["event"][row])
        columns["event"][at] = event
        columns["review"][at] = "added" if before is None else state.status_of(event)
        columns["reviewed_by"][at] = "+".join(sorted(state.of(event).verdicts)) or None
    return columns


_KEY = ("well", "field", "death_id")


def _keys(table: Table) -> list[tuple[str, int, int]]:
    return list(zip(*(table[name].tolist() for name in _KEY), strict=True))
