"""One field's events read back from its part of the result tables, in the form that crediting wants."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents, link_doubts
from assay.labels import CellRole
from assay.pipeline.cells import read_event_table, read_field_measures, read_tracks
from assay.pipeline.event_tables import engagements_of
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.unseen_frames import read_unseen
from assay.pipeline.work_files import read_facts, work_file
from assay.survival import FieldOutcome
from assay.tracks import Track


def events_of(plan: RunPlan, field: FieldPlan) -> FieldEvents:
    """Contacts, target deaths and target tracks of one field."""
    condition = plan.protocol.condition_of(field.field.well)
    contacts = read_event_table(field, "contacts")
    return FieldEvents(
        well=field.field.well,
        field=field.field.field,
        kind=condition.kind if condition else None,
        n_frames=field.shape[0],
        calibration=field.calibration,
        contacts=contacts_in(contacts),
        deaths=deaths_in(read_event_table(field, "deaths"), "target"),
        targets=tracks_in(read_event_table(field, "tracks"), "target"),
        dead_targets=frozenset(_dead_from_start(field)["target"]),
        engagements=engagements_in(contacts),
        link_doubts=_doubts(field),
    )


def engagements_in(contacts: Table) -> dict[int, list[tuple[int, int, float]]] | None:
    """Every time an effector held on in each contact; None where nobody asked.

    Tables of before these were written know the longest time of each contact alone.
    """
    asked = np.isfinite(contacts["engaged_probability"])
    if not asked.any():
        return None
    told = np.array([bool(text) for text in contacts["engagements"]], dtype=np.bool_)
    held = np.isfinite(contacts["engaged_first_frame"]) | told
    names = (
        "contact_id",
        "engagements",
        "engaged_first_frame",
        "engaged_last_frame",
        "engaged_probability",
    )
    rows = zip(*(contacts[name][held].tolist() for name in names), strict=True)
    return {
        number: engagements_of(text) if text else [(int(first), int(last), sure)]
        for number, text, first, last, sure in rows
    }


def _dead_from_start(field: FieldPlan) -> dict[str, list[int]]:
    return read_facts(work_file(field.results, "dead_from_start", field.field))


def _doubts(field: FieldPlan) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Of effectors; none where another program followed them."""
    tracks = read_tracks(field, "effector")
    if tracks.link_confidence is None:
        return {}
    measures = read_field_measures(field, "effector")
    return link_doubts(tracks.track_id, measures.frame.astype(np.int64), tracks.link_confidence)


def outcome_of(field: FieldPlan, events: FieldEvents, uncredited: Mapping[int, float]) -> FieldOutcome:
    """The same with the shares that nobody gets and what else a summary needs."""
    unseen = read_unseen(field.results, field.field)
    usable = sorted(set(range(field.shape[0])) - set(unseen.death))
    dead = _dead_from_start(field)
    return FieldOutcome(
        events=events,
        uncredited=uncredited,
        effectors=tracks_in(read_event_table(field, "tracks"), "effector"),
        first_valid_frame=usable[0] if usable else 0,
        last_valid_frame=usable[-1] if usable else 0,
        n_valid_frames=len(usable),
        dead_targets=frozenset(dead["target"]),
        dead_effectors=frozenset(dead["effector"]),
        max_gap_frames=field.protocol.tracking.max_gap_frames,
    )


def uncredited_in(deaths: Table, field: FieldPlan) -> dict[int, float]:
    """Death id -> the share that nobody gets, of one field's target deaths in the plate's table."""
    here = (deaths["well"] == field.field.well) & (deaths["field"] == field.field.field)
    here &= deaths["role"] == "target"
    return dict(
        zip(deaths["death_id"][here].tolist(), deaths["uncredited_share"][here].tolist(), strict=True)
    )


def contacts_in(table: Table) -> tuple[Contact, ...]:
    """The contacts of one field's rows."""
    names = (
        "contact_id",
        "effector_track_id",
        "target_track_id",
        "first_frame",
        "last_frame",
        "min_gap_um",
        "mean_interface_um",
        "starts_censored",
        "ends_censored",
    )
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    return tuple(Contact(**dict(zip(names, row, strict=True))) for row in rows)


def deaths_in(table: Table, role: CellRole) -> tuple[Death, ...]:
    """The deaths of one role in one field's rows."""
    names = (
        "death_id",
        "track_id",
        "frame",
        "first_possible_frame",
        "last_possible_frame",
        "probability",
        "onset_min",
    )
    mine = table["role"] == role
    rows = zip(*(table[name][mine].tolist() for name in names), table["evidence"][mine], strict=True)
    return tuple(
        Death(role=role, evidence=tuple(row[-1].split("+")), **dict(zip(names, row[:-1], strict=True)))
        for row in rows
    )


def tracks_in(table: Table, role: CellRole) -> tuple[Track, ...]:
    """The tracks of one role in one field's rows."""
    names = (
        "track_id",
        "first_frame",
        "last_frame",
        "parent_track_id",
        "start",
        "end",
        "min_link_confidence",
    )
    mine = table["role"] == role
    return tuple(
        Track(
            track_id=track_id,
            first_frame=first,
            last_frame=last,
            parent_track_id=None if np.isnan(parent) else int(parent),
            start=start,
            end=end,
            min_link_confidence=None if np.isnan(confidence) else confidence,
        )
        for track_id, first, last, parent, start, end, confidence in zip(
            *(table[name][mine].tolist() for name in names), strict=True
        )
    )
