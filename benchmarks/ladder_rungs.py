"""The rungs of the ladder: the pipeline's own steps above pixels, with true inputs put in between."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from assay.columns import Table
from assay.io.label_films import GivenLabels
from assay.io.results import Results
from assay.io.tables import read_arrays, read_table, write_table
from assay.labels import CELL_ROLES, CellRole
from assay.pipeline.cells import event_file, find_events, link_field, read_event_table
from assay.pipeline.pixels import field_unit_of
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.plate import write_result_tables
from assay.pipeline.work_files import (
    measures_file,
    read_measures,
    read_pairs,
    work_file,
    write_facts,
    write_measures,
    write_pairs,
)
from assay.score import Scores, score_results
from assay.score.cells import FieldCells
from assay.score.matching import Identities
from assay.stack import FieldId
from benchmarks.ladder_films import LadderPlate, Matched, Outlines, as_tracks, matched_cells, rows_of
from benchmarks.ladder_rules import Rule, apply_rule
from benchmarks.ladder_truth import (
    WhoIsWho,
    credit_of_truth,
    fill_from_ours,
    mark_dead_targets,
    our_contacts,
    our_dead_from_start,
    our_deaths,
    rows_of_table,
    table_from,
    who_is_who,
)

_PIXEL_STEPS = (
    "brightness",
    "quality",
    "measures_effector",
    "measures_target",
    "pairs",
    "doubts",
    "label_look",
)

Credit = Literal["ours", "true"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Which inputs are true; the rest is ours."""

    name: str
    outlines: Outlines = "ours"
    true_tracks: bool = False
    true_contacts: bool = False
    true_deaths: bool = False
    credit: Credit | Rule = "ours"


RUNGS = (
    Rung(name="all ours"),
    Rung(name="true outlines", outlines="true"),
    Rung(name="+ true tracks", outlines="true", true_tracks=True),
    Rung(name="+ true contacts", outlines="true", true_tracks=True, true_contacts=True),
    Rung(name="+ true deaths", outlines="true", true_tracks=True, true_contacts=True, true_deaths=True),
    Rung(name="only tracks true", true_tracks=True),
    Rung(name="only contacts true", true_contacts=True),
    Rung(name="only deaths true", true_deaths=True),
    Rung(name="only credit true", credit="true"),
    Rung(name="rule: longest contact", credit="longest"),
    Rung(name="rule: nearest effector", credit="nearest"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A plate linked, with contacts and deaths found: what rungs of the same outlines and tracks share."""

    plate: LadderPlate
    plan: RunPlan
    who: Mapping[FieldId, WhoIsWho]
    linked: Mapping[tuple[FieldId, CellRole], FieldCells]  # matched cells, by track id


def make_stage(plate: LadderPlate, rung: Rung, pixels: Path) -> Stage:
    """Link and find events with the pipeline's functions, anew each time: the code may have changed.

    Args:
        plate: The plate.
        rung: Says whether tracks are true.
        pixels: The folder of its outlines.
    """
    folder = plate.work / "rungs" / f"{rung.outlines}-{'true' if rung.true_tracks else 'our'}-tracks"
    if folder.exists():
        shutil.rmtree(folder)
    plan = plate.plan(rung.outlines, folder).with_segmenter(json.loads((pixels / "model.json").read_text()))
    Results.create_or_open(folder, plate_name=plan.plate_name, plate_identity=plan.plate_identity)
    (folder / "labels.zarr").symlink_to((plate.truth / "labels.zarr").resolve())  # only its sizes are read
    fields: list[FieldPlan] = []
    linked: dict[tuple[FieldId, CellRole], FieldCells] = {}
    who: dict[FieldId, WhoIsWho] = {}
    for planned in plan.fields:
        place = planned.field
        known = {role: matched_cells(plate, replace(planned, results=pixels), role) for role in CELL_ROLES}
        field = _prepare(plate, planned, rung, pixels, known)
        fields.append(field)
        link_field(field)
        find_events(field)
        rows = {role: _rows(field, role, known[role]) for role in CELL_ROLES}
        who[place] = who_is_who(known, rows)
        linked |= {(place, role): as_tracks(known[role], rows[role]) for role in CELL_ROLES}
    return Stage(plate=plate, plan=replace(plan, all_fields=tuple(fields)), who=who, linked=linked)


def climb(stage: Stage, rung: Rung) -> Scores:
    """One rung: put the truth in, credit with the pipeline's function, and score the tables."""
    plate, folder = stage.plate, stage.plate.work / "rungs" / "".join(c for c in rung.name if c.isalnum())
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(stage.plan.results, folder, symlinks=True)
    fields = tuple(replace(field, results=folder) for field in stage.plan.fields)
    plan = replace(stage.plan, results=folder, all_fields=fields)
    results = Results.open(folder)
    for field in fields:
        if rung.true_contacts or rung.true_deaths:
            results.ledger.forget("events", field_unit_of(field))  # would vouch for what is replaced
        _put_truth_in(plate, field, rung, stage.who[field.field])
    write_result_tables(plan, results, {})
    if rung.credit != "ours":
        results.ledger.forget("summary", "plate")
    if rung.credit == "true":
        _credit_truth(plate, plan, stage.who, stage.linked)
    elif rung.credit != "ours":
        apply_rule(folder / "tables", rung.credit, frame_min=fields[0].calibration.minutes(1))
    return score_results(folder, plate.truth, matched=lambda field, role: stage.linked[field, role])


def _prepare(
    plate: LadderPlate, field: FieldPlan, rung: Rung, pixels: Path, known: Mapping[CellRole, Matched]
) -> FieldPlan:
    """Lay the field's measures and pairs out; with true tracks each label is who the cell truly is."""
    relabel = rung.true_tracks and rung.outlines == "ours"
    replaced = ("measures_effector", "measures_target", "pairs") if relabel else ()
    for kind in _PIXEL_STEPS:
        source, target = pixels / "work" / kind, field.results / "work" / kind
        if source.exists() and kind not in replaced and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())
    if not rung.true_tracks:
        return field
    given = {}
    tracks = rows_of(plate.true_table("tracks"), field.field)
    for role in CELL_ROLES:
        mine = tracks["role"] == role
        pairs = zip(tracks["track_id"][mine].tolist(), tracks["parent_track_id"][mine].tolist(), strict=True)
        parents = {child: int(parent) for child, parent in pairs if parent == parent}
        given[role] = GivenLabels(name=role, identity="truth", tracked=True, parents=parents)
    if relabel:
        _relabel(field, pixels, known)
    return replace(field, given=given)


def _relabel(field: FieldPlan, pixels: Path, known: Mapping[CellRole, Matched]) -> None:
    """Our measures and pairs with true ids for labels; a cell that is nobody is a cell of its own."""
    ids = {role: _true_ids(field, pixels, role, known[role]) for role in CELL_ROLES}
    for first, _ in field.runs():
        for role in CELL_ROLES:
            measures = read_measures(measures_file(pixels, role, field.field, first), role)
            keys = zip(measures.frame.tolist(), measures.label.tolist(), strict=True)
            label = np.array([ids[role][key] for key in keys], dtype=measures.label.dtype)
            path = measures_file(field.results, role, field.field, first)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_measures(path, replace(measures, label=label))
        pairs = read_pairs(work_file(pixels, "pairs", field.field, first))
        names: tuple[tuple[CellRole, str], ...] = (
            ("effector", "effector_label"),
            ("target", "target_label"),
        )
        changed = {}
        for role, name in names:
            old = getattr(pairs, name)
            keys = zip(pairs.frame.tolist(), old.tolist(), strict=True)
            changed[name] = np.array([ids[role][key] for key in keys], dtype=old.dtype)
        path = work_file(field.results, "pairs", field.field, first)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(path, replace(pairs, **changed))


def _true_ids(field: FieldPlan, pixels: Path, role: CellRole, known: Matched) -> dict[tuple[int, int], int]:
    who = zip(known.who_frame.tolist(), known.who_label.tolist(), known.who_true.tolist(), strict=True)
    ids = {(frame, label): true for frame, label, true in who}
    stranger = 1 + max(int(known.cells.true_ids.max(initial=0)), max(ids.values(), default=0))
    for first, _ in field.runs():
        measures = read_measures(measures_file(pixels, role, field.field, first), role)
        for key in zip(measures.frame.tolist(), measures.label.tolist(), strict=True):
            if key not in ids:
                ids[key] = stranger
                stranger += 1
    return ids


def _rows(field: FieldPlan, role: CellRole, known: Matched) -> Table:
    """Frame, label and track id of the linked cells, with labels as they are in the frames."""
    rows = read_arrays(work_file(field.results, f"track_rows_{role}", field.field))
    if not field.given or not field.given[role].tracked:
        return rows
    who = zip(known.who_frame.tolist(), known.who_true.tolist(), known.who_label.tolist(), strict=True)
    label_of = {(frame, true): label for frame, true, label in who}
    keys = zip(rows["frame"].tolist(), rows["label"].tolist(), strict=True)
    return {**rows, "label": np.array([label_of.get(key, 0) for key in keys], dtype=np.int64)}


def _put_truth_in(plate: LadderPlate, field: FieldPlan, rung: Rung, who: WhoIsWho) -> None:
    """True contacts and deaths in the place of those found."""
    if not (rung.true_contacts or rung.true_deaths):
        return
    truth = {name: rows_of(plate.true_table(name), field.field) for name in ("cells", "contacts", "deaths")}
    contacts = rows_of_table(read_event_table(field, "contacts"))
    deaths = rows_of_table(read_event_table(field, "deaths"))
    facts = work_file(field.results, "dead_from_start", field.field)
    dead = json.loads(facts.with_suffix(".json").read_text())
    if rung.true_contacts:
        contacts = fill_from_ours(our_contacts(truth["contacts"], who)[0], contacts)
    if rung.true_deaths:
        deaths = our_deaths(truth["deaths"], who)
        dead = our_dead_from_start(truth["cells"], truth["deaths"], who)
        write_facts(facts, dead)
    mark_dead_targets(contacts, deaths, dead["target"])
    for name, rows in (("contacts", contacts), ("deaths", deaths)):
        write_table(event_file(field, name), name, table_from(name, rows))


def _credit_truth(
    plate: LadderPlate,
    plan: RunPlan,
    who: Mapping[FieldId, WhoIsWho],
    linked: Mapping[tuple[FieldId, CellRole], FieldCells],
) -> None:
    """The credit of the truth for our deaths, in the plate's tables."""
    tables = plan.results / "tables"
    deaths = read_table(tables, "deaths")
    all_contacts, all_kills = [], []
    for field in plan.fields:
        place = field.field
        cells = linked[place, "target"]
        contacts, kills, uncredited = credit_of_truth(
            {name: rows_of(plate.true_table(name), place) for name in ("contacts", "deaths", "kills")},
            {"deaths": rows_of(deaths, place)},
            who[place],
            targets=Identities(cells.match_frames, cells.match_true, cells.match_called),
            frame_min=field.calibration.minutes(1),
        )
        all_contacts += contacts
        all_kills += kills
        for row in np.flatnonzero((deaths["well"] == place.well) & (deaths["field"] == place.field)):
            if deaths["role"][row] == "target":
                deaths["uncredited_share"][row] = uncredited[int(deaths["death_id"][row])]
    write_table(tables, "contacts", table_from("contacts", all_contacts))
    write_table(tables, "kills", table_from("kills", all_kills))
    write_table(tables, "deaths", deaths)
