"""Steps 2 and 3, one field at a time and on tables: tracks, contacts, deaths, and the labels of the tracks."""

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, columns_of, make_table, table_of_rows
from assay.contacts import Contact
from assay.deaths import Death, survey_deaths
from assay.engagements import Engagements, find_held_contacts
from assay.io.large_labels import read_label_runs, write_label_runs
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.tables import read_arrays, read_table, write_arrays, write_table
from assay.labels import CELL_ROLES, CellMeasures, CellRole, ChannelRole, is_large
from assay.measures import concatenate as concatenate_measures
from assay.pipeline.doubtful import DOUBTFUL_DEATHS
from assay.pipeline.event_tables import (
    cells_table,
    contact_rows,
    death_rows,
    doubtful_rows,
    sorted_cells,
    track_rows,
)
from assay.pipeline.large_frames import give_memory_back
from assay.pipeline.outlines import track_given
from assay.pipeline.pixels import field_unit_of, frame_labels_path, unit_of
from assay.pipeline.plan import FieldPlan
from assay.pipeline.unseen_frames import (
    background_levels,
    facts_of,
    invalid_frames,
    judge_planes,
    read_field_quality,
    read_unseen,
    runs_with_images,
    see,
    seen_cells,
)
from assay.pipeline.work_files import (
    measures_file,
    read_facts,
    read_linked,
    read_measures,
    read_pairs,
    work_file,
    write_facts,
)
from assay.touching import concatenate_pairs
from assay.tracks import Tracks, estimate_drift, link
from assay.unseen import Unseen

_LARGEST_LOOKUP = 1 << 22  # labels up to here are looked up in a table of their own size
_OTHER: dict[CellRole, CellRole] = {"effector": "target", "target": "effector"}
# Dyes that sit in the cell itself, so that a dying cell loses them.
_MARKER_ROLES: dict[CellRole, tuple[ChannelRole, ...]] = {"effector": ("effector",), "target": ("target",)}


def link_field(plan: FieldPlan) -> None:
    """Judge the field's frames, follow its cells through the usable ones, and keep who is who."""
    results, unit = Results.open(plan.results), field_unit_of(plan)
    if results.ledger.is_done("link", unit, plan.link_key()):
        return
    results.ledger.forget("link", unit)
    started = time.perf_counter()
    planes = judge_planes(plan)
    unseen = see(plan, planes)
    measures = {role: _all_measures(plan, role, unseen) for role in CELL_ROLES}
    nobody = set(unseen.roles["effector"]) & set(unseen.roles["target"])
    n_frames = plan.shape[0]
    drift = estimate_drift(
        list(measures.values()), n_frames=n_frames, masked_frames=nobody, calibration=plan.calibration
    )
    facts = {**facts_of(plan, planes, unseen), "drift_um": _largest_um(drift)}
    outputs = [write_facts(work_file(plan.results, "link", plan.field), facts)]
    for role in CELL_ROLES:
        tracks = _link_role(plan, measures[role], unseen.roles[role], drift)
        outputs += _write_tracks(plan, measures[role], tracks)
    results.ledger.commit("link", unit, plan.link_key(), outputs, seconds=time.perf_counter() - started)
    if is_large(plan.shape):
        give_memory_back()


def write_labels(plan: FieldPlan, first: int, end: int) -> None:
    """Write one run of label images whose values are track ids."""
    results, unit = Results.open(plan.results), unit_of(plan, first)
    if results.ledger.is_done("labels", unit, plan.labels_key(), compare=True):
        return
    results.ledger.forget("labels", unit)
    started = time.perf_counter()
    source = LabelPlate.open(frame_labels_path(plan.results))
    target = LabelPlate.open(plan.results / "labels.zarr")
    outputs = []
    write = _write_large_tracks if is_large(plan.shape) else _write_tracks_of_run
    for role in CELL_ROLES:
        write(plan, role, range(first, end), source, target)
        outputs += target.files_of(plan.field, role, first, end - first)
    target.write_preview(plan.field, first, source.read_preview(plan.field, range(first, end)))
    outputs += target.preview_files_of(plan.field, first, end - first)
    results.ledger.commit("labels", unit, plan.labels_key(), outputs, seconds=time.perf_counter() - started)


def find_events(plan: FieldPlan) -> None:
    """Find a field's contacts and deaths, and write its part of the result tables."""
    results, unit = Results.open(plan.results), field_unit_of(plan)
    if results.ledger.is_done("events", unit, plan.events_key()):
        return
    results.ledger.forget("events", unit)
    started = time.perf_counter()
    unseen = read_unseen(plan.results, plan.field)
    measures = {role: read_field_measures(plan, role) for role in CELL_ROLES}
    tracks = {role: read_tracks(plan, role) for role in CELL_ROLES}
    deaths, dead_from_start, doubtful = _deaths(plan, measures, tracks, unseen)
    contacts, engaged = _contacts(plan, measures, tracks, unseen.frames)
    cells = [
        cells_table(plan, measures[role], tracks[role], deaths, dead_from_start[role]) for role in CELL_ROLES
    ]
    outputs = [_keep(plan, "cells", sorted_cells(cells))]
    del cells, measures  # a film of large frames has a million of them
    outputs += [
        _keep(plan, "tracks", table_of_rows("tracks", track_rows(plan, tracks, deaths))),
        _keep(
            plan,
            "contacts",
            table_of_rows(
                "contacts", contact_rows(plan, contacts, engaged, deaths, dead_from_start["target"])
            ),
        ),
        _keep(plan, "deaths", table_of_rows("deaths", death_rows(plan, deaths))),
        _keep(plan, DOUBTFUL_DEATHS, table_of_rows(DOUBTFUL_DEATHS, doubtful_rows(plan, doubtful))),
        write_facts(
            work_file(plan.results, "dead_from_start", plan.field),
            {role: sorted(ids) for role, ids in dead_from_start.items()},
        ),
    ]
    results.ledger.commit("events", unit, plan.events_key(), outputs, seconds=time.perf_counter() - started)
    if is_large(plan.shape):
        give_memory_back()


def read_field_measures(plan: FieldPlan, role: CellRole) -> CellMeasures:
    """The measures of one role over the frames that show it; known once the field is linked."""
    unseen = read_unseen(plan.results, plan.field)
    invalid = invalid_frames(plan.results, plan.field, plan.channel_names)
    return seen_cells(_all_measures(plan, role, unseen), unseen, invalid)


def masked_frames(plan: FieldPlan) -> dict[int, str]:
    """Frames in which effectors or targets cannot be seen, with the reason; known once the field is linked."""
    return read_unseen(plan.results, plan.field).frames


def drift_um(plan: FieldPlan) -> float:
    """Largest stage displacement from frame 0; known once the field is linked."""
    return float(read_facts(work_file(plan.results, "link", plan.field))["drift_um"])


def read_tracks(plan: FieldPlan, role: CellRole) -> Tracks:
    """The field's tracks of one role, as they were linked."""
    return read_linked(plan.results, plan.field, role)


def event_file(plan: FieldPlan, table: str) -> Any:
    """Path of one field's part of a result table."""
    return work_file(plan.results, f"table_{table}", plan.field)


def read_event_table(plan: FieldPlan, table: str) -> Table:
    """One field's part of a result table."""
    return read_table(event_file(plan, table), table)


def _link_role(
    plan: FieldPlan, measures: CellMeasures, masked: Mapping[int, str], drift: NDArray[np.float64]
) -> Tracks:
    given = plan.given.get(measures.role)
    if given is not None and given.tracked:
        return track_given(plan, measures, masked, drift)
    tracking = plan.protocol.tracking
    fastest = (
        tracking.effector_max_um_per_min if measures.role == "effector" else tracking.target_max_um_per_min
    )
    return link(
        measures,
        n_frames=plan.shape[0],
        masked_frames=masked,
        calibration=plan.calibration,
        field_shape=plan.shape[2:],
        max_gap_frames=tracking.max_gap_frames,
        max_um_per_min=fastest,
        drift_um=drift,
        marker_channels=plan.names_of(*_MARKER_ROLES[measures.role]),
    )


def _write_tracks_of_run(
    plan: FieldPlan, role: CellRole, frames: range, source: LabelPlate, target: LabelPlate
) -> None:
    rows = _track_rows(plan, role, frames)
    frame_labels = source.read(plan.field, role, frames)
    relabelled = np.empty_like(frame_labels)
    for place, frame in enumerate(frames):
        here = rows["frame"] == frame
        relabelled[place] = _relabelled(frame_labels[place], rows["label"][here], rows["track_id"][here])
    target.write(plan.field, role, frames[0], relabelled)


def _write_large_tracks(
    plan: FieldPlan, role: CellRole, frames: range, source: LabelPlate, target: LabelPlate
) -> None:
    rows = _track_rows(plan, role, frames)
    for frame in frames:
        here = rows["frame"] == frame
        runs = read_label_runs(source, plan.field, role, frame)
        give_memory_back()
        label = runs[:, 3].astype(np.uint32)
        runs[:, 3] = _relabelled(label, rows["label"][here], rows["track_id"][here])
        del label
        if not runs[:, 3].all():
            runs = runs[runs[:, 3] > 0]
        write_label_runs(target, plan.field, role, frame, runs)
        del runs
        give_memory_back()


def _relabelled(image: NDArray[np.uint32], label: NDArray[Any], track_id: NDArray[Any]) -> NDArray[np.uint32]:
    """Track ids in the place of labels; 0 where a cell of a masked frame was. Given labels may be large."""
    if image.max(initial=0) < _LARGEST_LOOKUP:
        ids = np.zeros(int(image.max(initial=0)) + 1, dtype=np.uint32)
        ids[label] = track_id
        return ids[image]
    order = np.argsort(label)
    known = np.concatenate([[0], label[order]])
    ids = np.concatenate([[0], track_id[order]]).astype(np.uint32)
    at = np.minimum(np.searchsorted(known, image), len(known) - 1)
    return np.where(known[at] == image, ids[at], np.uint32(0))


def _largest_um(drift: NDArray[np.float64]) -> float:
    away = np.hypot(*drift.T)
    return float(np.nanmax(away)) if len(away) else 0.0


def _all_measures(plan: FieldPlan, role: CellRole, unseen: Unseen) -> CellMeasures:
    """As they were measured, without the frames that do not show the role."""
    files = [measures_file(plan.results, role, plan.field, first) for first, _ in runs_with_images(plan)]
    measures = concatenate_measures([read_measures(file, role) for file in files])
    return seen_cells(measures, unseen, {})


def _write_tracks(plan: FieldPlan, measures: CellMeasures, tracks: Tracks) -> list[Any]:
    rows: Table = {"frame": measures.frame, "label": measures.label, "track_id": tracks.track_id}
    if tracks.link_confidence is not None:
        rows["link_confidence"] = tracks.link_confidence
    least = [track.min_link_confidence for track in tracks.tracks]
    table: Table = {
        "track_id": np.array([track.track_id for track in tracks.tracks], dtype=np.int64),
        "first_frame": np.array([track.first_frame for track in tracks.tracks], dtype=np.int64),
        "last_frame": np.array([track.last_frame for track in tracks.tracks], dtype=np.int64),
        "parent_track_id": np.array([track.parent_track_id or 0 for track in tracks.tracks], dtype=np.int64),
        "start": np.array([track.start for track in tracks.tracks], dtype=object),
        "end": np.array([track.end for track in tracks.tracks], dtype=object),
        "min_link_confidence": np.array([np.nan if one is None else one for one in least], dtype=np.float64),
    }
    return [
        write_arrays(_track_rows_file(plan, measures.role), rows),
        write_arrays(work_file(plan.results, f"tracks_{measures.role}", plan.field), table),
    ]


def _track_rows_file(plan: FieldPlan, role: CellRole) -> Path:
    return work_file(plan.results, f"track_rows_{role}", plan.field)


def _track_rows(plan: FieldPlan, role: CellRole, frames: range) -> Table:
    """Who is who in a run of frames; a process that writes a film's runs reads the film's rows once."""
    file = _track_rows_file(plan, role)
    rows = _rows_of(file, file.stat().st_mtime_ns if file.is_file() else 0)
    here = np.flatnonzero((rows["frame"] >= frames.start) & (rows["frame"] < frames.stop))
    return {name: column[here] for name, column in rows.items()}


@lru_cache(maxsize=len(CELL_ROLES))
def _rows_of(file: Path, written_ns: int) -> Table:
    del written_ns  # a file that was written anew is another
    return read_arrays(file)


def _deaths(
    plan: FieldPlan,
    measures: Mapping[CellRole, CellMeasures],
    tracks: Mapping[CellRole, Tracks],
    unseen: Unseen,
) -> tuple[list[Death], dict[CellRole, frozenset[int]], tuple[Death, ...]]:
    """Deaths of both roles, numbered through the field, who was dead when first seen, and targets' doubtful deaths."""
    if plan.shape[0] < 2:
        return [], {role: frozenset() for role in CELL_ROLES}, ()
    background = background_levels(
        read_field_quality(plan),
        plan.channel_names,
        n_frames=plan.shape[0],
        unseen=unseen,
        invalid=invalid_frames(plan.results, plan.field, plan.channel_names),
        death_channels=plan.names_of("death"),
    )
    surveys = {
        role: survey_deaths(
            tracks[role],
            measures[role],
            death_channel=plan.names_of("death"),
            marker_channels=plan.names_of(*_MARKER_ROLES[role]),
            background=background,
            n_frames=plan.shape[0],
            masked_frames=unseen.roles[role],
            calibration=plan.calibration,
            min_probability=plan.protocol.death.min_probability,
            others=measures[_OTHER[role]],
        )
        for role in CELL_ROLES
    }
    found = [*surveys["target"].deaths, *surveys["effector"].deaths]
    numbered = [replace(death, death_id=number) for number, death in enumerate(found, start=1)]
    dead = {role: survey.dead_from_start for role, survey in surveys.items()}
    return numbered, dead, surveys["target"].doubtful


def _contacts(
    plan: FieldPlan,
    measures: Mapping[CellRole, CellMeasures],
    tracks: Mapping[CellRole, Tracks],
    masked: Collection[int],
) -> tuple[list[Contact], Engagements]:
    if plan.shape[0] < 2:
        return [], Engagements(engagements=(), probability=np.zeros(0))
    files = [work_file(plan.results, "pairs", plan.field, first) for first, _ in plan.runs()]
    return find_held_contacts(
        concatenate_pairs([read_pairs(file) for file in files]),
        effectors=measures["effector"],
        effector_tracks=tracks["effector"],
        targets=measures["target"],
        target_tracks=tracks["target"],
        masked_frames=masked,
        calibration=plan.calibration,
        **asdict(plan.protocol.contact),
    )


def _keep(plan: FieldPlan, name: str, table: Table) -> Any:
    checked = make_table(name, table, channel_names=plan.channel_names)
    assert set(checked) == {column.name for column in columns_of(name, plan.channel_names)}
    return write_table(event_file(plan, name), name, checked, plan.channel_names)
