"""Steps 4 and 5, once a plate and on tables: credit of deaths, wells, conditions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.columns import TABLES, Table, concatenate, table_of_rows
from assay.conditions import compare_conditions
from assay.contact_times import contact_time_rows
from assay.field_quality import FieldFacts, failed_field_row, field_row
from assay.io.merged_tables import merge_tables
from assay.io.results import Results
from assay.io.tables import write_table
from assay.labels import CELL_ROLES, CellMeasures, ChannelRole
from assay.lag_fit import fit_lag_model
from assay.pipeline.cells import (
    drift_um,
    event_file,
    read_event_table,
    read_field_measures,
    read_tracks,
)
from assay.pipeline.credit_tables import credit_facts, write_credit_facts
from assay.pipeline.credited import write_credited
from assay.pipeline.credited_wells import EVENT_TABLES, FilmOnDisk, credit_well
from assay.pipeline.outlines import read_doubts
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.unseen_frames import read_field_quality, read_invalid_planes, read_unseen
from assay.pipeline.work_files import read_brightness, work_file
from assay.protocol import Protocol
from assay.segmentation_quality import segmentation_warnings
from assay.stack import FieldId
from assay.survival import ControlDeaths, CountedWell, pool_controls, shows_deaths, untold
from assay.tracks import step_and_spacing_um

_TARGET_DEATH: tuple[ChannelRole, ChannelRole] = ("target", "death")
_ENOUGH_TARGETS = 4  # to speak of a share of them
_MERGED = ("cells", "tracks")  # written per field, put together as they are


def write_result_tables(plan: RunPlan, results: Results, failed: Mapping[FieldId, str]) -> None:
    """Credit the deaths of the plate and write its result tables, unless they are there."""
    key = plan.summary_key(failed)
    if results.ledger.is_done("summary", "plate", key):
        return
    results.ledger.forget("summary", "plate")
    fields = [field for field in plan.fields if field.field not in failed]
    longest_min = max((_length_min(field) for field in fields), default=0.0)
    rows = [_field_row(field, longest_min) for field in fields]
    rows += [failed_field_row(place, reason=reason) for place, reason in failed.items()]
    rows.sort(key=lambda row: (row["well"], row["field"]))
    usable = {(row["well"], row["field"]) for row in rows if row["status"] == "ok"}
    counted = [field for field in fields if (field.field.well, field.field.field) in usable]
    places = {field.field for field in counted}
    films = [FilmOnDisk(plan, field) for field in counted if field.shape[0] > 1]
    model = fit_lag_model(films, max_lag_min=plan.protocol.kill.max_lag_min)
    credited = [credit_well(plan, mine, places, model) for mine in _by_well(fields)]
    outcomes = [outcome for one in credited for outcome in one.outcomes]
    control = pool_controls([one.control for one in credited if one.control is not None])
    known = {one.well: one.counted for one in credited if one.counted is not None}
    lengths = {FieldId(one.events.well, one.events.field): one.n_valid_frames for one in outcomes}
    wells = well_rows(plan.protocol, rows, lengths, known, control)
    planes = [row for field in fields for row in _plane_rows(field)]
    tables = {
        "fields": table_of_rows("fields", rows),
        "invalid_planes": table_of_rows("invalid_planes", planes),
        "wells": table_of_rows("wells", wells),
        "conditions": table_of_rows("conditions", compare_conditions(wells, untold=untold(model))),
        "contact_times": _contact_times_table(plan, counted),
    } | {name: _together(name, [one.tables[name] for one in credited]) for name in EVENT_TABLES}
    folder = plan.results / "tables"
    outputs = [write_table(folder, name, table) for name, table in tables.items()]
    outputs.append(write_credit_facts(plan.results, credit_facts(plan, outcomes, model)))
    outputs += write_credited(plan.results, model, outcomes, known)
    names = plan.channel_names()
    for name in _MERGED:
        outputs.append(merge_tables(folder, name, [event_file(field, name) for field in fields], names))
    results.ledger.commit("summary", "plate", key, outputs)


def _contact_times_table(plan: RunPlan, fields: Sequence[FieldPlan]) -> Table:
    """How long contacts last in the fields that count."""
    if not fields:
        return table_of_rows("contact_times", [])
    intervals: dict[str, set[float | None]] = {}
    for field in fields:
        intervals.setdefault(field.field.well, set()).add(field.calibration.frame_min)
    named = {well: plan.protocol.condition_of(well) for well in sorted(intervals)}
    rows = contact_time_rows(
        concatenate([read_event_table(field, "contacts") for field in fields]),
        wells={well: condition.name if condition else None for well, condition in named.items()},
        frame_min={well: next(iter(known)) if len(known) == 1 else None for well, known in intervals.items()},
    )
    return table_of_rows("contact_times", rows)


def _by_well(fields: Sequence[FieldPlan]) -> list[list[FieldPlan]]:
    wells: dict[str, list[FieldPlan]] = {}
    for field in fields:
        wells.setdefault(field.field.well, []).append(field)
    return list(wells.values())


def _together(name: str, parts: Sequence[Table]) -> Table:
    return concatenate(parts) if parts else table_of_rows(name, [])


def well_rows(
    protocol: Protocol,
    field_rows: Sequence[Mapping[str, Any]],
    n_valid_frames: Mapping[FieldId, int],
    counted: Mapping[str, CountedWell],
    control: ControlDeaths | None,
) -> list[dict[str, Any]]:
    """One row per well, in order; a well none of whose fields counts has no numbers, never zeros.

    Args:
        protocol: Says which condition a well is of.
        field_rows: Of all fields of these wells.
        n_valid_frames: Of those of them that count.
        counted: Of every well with a field that counts.
        control: The target-only wells of the whole plate.
    """
    rows: list[dict[str, Any]] = []
    for well in sorted({row["well"] for row in field_rows}):
        condition = protocol.condition_of(well)
        name, kind = (condition.name, condition.kind) if condition else (None, None)
        lengths = [n for place, n in n_valid_frames.items() if place.well == well]
        lost = [row for row in field_rows if row["well"] == well and row["status"] != "ok"]
        if not lengths:
            rows.append(_unknown_well(well, name, kind, lost))
            continue
        row = counted[well].row_with(control)
        short = [n for n in lengths if not shows_deaths(n)]
        if len(short) == len(lengths):  # then the whole row says so
            short = []
        reasons = [str(row["reason"]) for row in lost] + [_short(n) for n in short]
        if reasons:
            said = f"{len(reasons)} of {len(lost) + len(lengths)} fields do not count: {reasons[0]}"
            row["reason"] = f"{said}; {row['reason']}" if row["reason"] else said
        rows.append(dict(row))
    return rows


def _short(n: int) -> str:
    return f"a film of {n} usable frame{'' if n == 1 else 's'} shows no deaths"


def _unknown_well(
    well: str, condition: str | None, kind: str | None, lost: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    status = "failed" if any(row["status"] == "failed" for row in lost) else "excluded"
    row: dict[str, Any] = dict.fromkeys(column.name for column in TABLES["wells"])
    known = {"well": well, "condition": condition, "kind": kind, "status": status, "n_fields": 0}
    return row | known | {"reason": lost[0]["reason"]}


def _field_row(field: FieldPlan, longest_min: float) -> dict[str, Any]:
    unseen = read_unseen(field.results, field.field)
    effectors, targets = (read_field_measures(field, role) for role in CELL_ROLES)
    n_seen = {role: field.shape[0] - len(unseen.roles[role]) for role in CELL_ROLES}
    step_um, spacing_um = step_and_spacing_um(effectors, read_tracks(field, "effector"))
    height, width = field.shape[2:]
    image_um2 = height * width * field.calibration.pixel_area_um2
    facts = FieldFacts(
        has_effector_channel="effector" in field.roles,
        steady_channels=field.steady_channels(),
        death_channels=field.roles.get("death", ()),
        n_targets=len(targets) / n_seen["target"] if n_seen["target"] else np.nan,
        n_effectors=len(effectors) / n_seen["effector"] if n_seen["effector"] else np.nan,
        target_area_um2=_median_area(targets),
        effector_area_um2=_median_area(effectors),
        cell_covered_percent=100 * _largest_covered_um2(effectors, targets, field.shape[0]) / image_um2,
        drift_um=drift_um(field),
        field_width_um=min(height * field.calibration.pixel_um[0], width * field.calibration.pixel_um[1]),
        lost_percent=_lost_percent(read_event_table(field, "tracks")),
        effector_step_um=step_um,
        effector_spacing_um=spacing_um,
        length_min=_length_min(field),
        longest_min=longest_min,
        death_brighter_percent=_death_brighter_percent(field, targets),
        segmentation=tuple(segmentation_warnings(read_doubts(field), masked=unseen.frames)),
    )
    return field_row(
        field.field,
        read_field_quality(field),
        n_frames=field.shape[0],
        masked=unseen.frames,
        planes=read_invalid_planes(field),
        facts=facts,
        channel_names=field.channel_names,
    )


def _plane_rows(field: FieldPlan) -> list[dict[str, Any]]:
    """The planes of one field that hold no usable image."""
    return [
        {
            "well": field.field.well,
            "field": field.field.field,
            "frame": plane.frame,
            "channel": field.channel_names[plane.channel],
            "fault": plane.fault,
            "reason": plane.reason,
        }
        for plane in read_invalid_planes(field)
    ]


def _death_brighter_percent(field: FieldPlan, targets: CellMeasures) -> float:
    """Of the targets in the first usable frame, each dye on its own scale; NaN where there are hardly any."""
    first = targets.frame == (targets.frame.min() if len(targets) else 0)
    if first.sum() < _ENOUGH_TARGETS or not {"target", "death"} <= field.roles.keys():
        return float("nan")
    scale = read_brightness(work_file(field.results, "brightness", field.field))
    own, death = (
        np.max(
            [
                (targets.means[field.channel_names[k]][first] - scale.background[k]) / scale.span[k]
                for k in field.roles[role]
            ],
            axis=0,
        )
        for role in _TARGET_DEATH
    )
    return 100 * float(np.mean(death > own))


def _length_min(field: FieldPlan) -> float:
    """From the first to the last frame; 0 for a single one."""
    return field.calibration.minutes(field.shape[0] - 1) if field.shape[0] > 1 else 0.0


def _median_area(cells: CellMeasures) -> float:
    return float(np.median(cells.area_um2)) if len(cells) else np.nan


def _largest_covered_um2(effectors: CellMeasures, targets: CellMeasures, n_frames: int) -> float:
    """Area under cells in the frame with most; an effector on top of a target counts once."""
    covered = np.bincount(targets.frame, weights=targets.area_um2, minlength=n_frames)
    alone = effectors.area_um2 * (1 - effectors.covered)
    return float(np.max(covered + np.bincount(effectors.frame, weights=alone, minlength=n_frames)))


def _lost_percent(tracks: Table) -> float:
    ended = tracks["end"] != "movie_end"
    return 100 * float(np.mean(tracks["end"][ended] == "lost")) if ended.any() else 0.0
