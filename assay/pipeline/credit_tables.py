"""What crediting says of contacts and effectors, as tables, and of the plate, as facts for the provenance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import Table, concatenate, length, table_of_rows
from assay.field_events import FieldEvents
from assay.io.durable import write_whole
from assay.io.witness import require_as_written
from assay.kills import Kill
from assay.lag_model import LagModel
from assay.pipeline.cells import read_event_table
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.serial_killing import contact_outcomes, effector_records
from assay.survival import FieldOutcome

Credits = tuple[list[Kill], dict[int, float]]

FOLLOWED = 0.9
"""A contact is followed until this share of killed targets would have died."""


def contacts_table(
    fields: Sequence[FieldPlan],
    events: Sequence[FieldEvents],
    credits: Sequence[Credits],
    model: LagModel,
) -> Table:
    """All contacts of the plate with what came of them; unknown in fields that do not count."""
    credited = {(of.well, of.field): (of, credit) for of, credit in zip(events, credits, strict=True)}
    follow_min = model.lag_min_of(FOLLOWED)
    parts = []
    for field in fields:
        table = read_event_table(field, "contacts")
        found = credited.get((field.field.well, field.field.field))
        if found is not None and found[0].n_frames > 1:
            of, (kills, uncredited) = found
            outcomes = contact_outcomes(of, kills, uncredited, follow_min=follow_min)
            assert [one.contact_id for one in outcomes] == table["contact_id"].tolist()
            names = np.empty(length(table), dtype=object)
            names[:] = [one.outcome for one in outcomes]
            shares = np.array([one.share for one in outcomes], dtype=np.float64)
            table = {**table, "outcome": names, "kill_share": shares}
        parts.append(table)
    return concatenate(parts) if parts else table_of_rows("contacts", [])


def effectors_table(
    fields: Sequence[FieldPlan],
    events: Sequence[FieldEvents],
    credits: Sequence[Credits],
    outcomes: Sequence[FieldOutcome],
) -> Table:
    """What each effector of the fields that count did, beside the time it was watched."""
    rows: list[dict[str, Any]] = []
    for field, of, (kills, uncredited), outcome in zip(fields, events, credits, outcomes, strict=True):
        if of.n_frames < 2:
            continue
        deaths = read_event_table(field, "deaths")
        mine = (deaths["role"] == "effector") & (deaths["probability"] >= 0.5)
        died = dict(zip(deaths["track_id"][mine].tolist(), deaths["frame"][mine].tolist(), strict=True))
        records = effector_records(
            of, outcome.effectors, kills, uncredited, died=died, dead=outcome.dead_effectors
        )
        rows += [
            {"well": of.well, "field": of.field}
            | {name: getattr(record, name) for name in record.__dataclass_fields__}
            for record in records
        ]
    return table_of_rows("effectors", rows)


def credit_facts(plan: RunPlan, outcomes: Sequence[FieldOutcome], model: LagModel) -> dict[str, Any]:
    """How the deaths were credited: which model, how much likelier than the others, and on which wells it rests."""
    wells = sorted({one.events.well for one in outcomes})
    every = {field.field.well for field in plan.all_fields}
    best = max(model.log_likelihoods.values(), default=0.0)
    return {
        "model": "one hit kills"
        if model.hits_needed == 1
        else f"{model.hits_needed} hits that heal are needed",
        "hits_needed": model.hits_needed,
        "log_likelihood_below_the_best": {
            f"{hits} hit{'s' if hits > 1 else ''}": round(best - told, 2)
            for hits, told in sorted(model.log_likelihoods.items())
        },
        "median_lag_min": round(model.median_lag_min, 2),
        "spontaneous_deaths_percent_per_h": round(100 * 60 * model.h0_per_min, 4),
        "deaths_nobody_gets_percent": [round(100 * share, 1) for share in model.nobody_share],
        "has_control_wells": model.has_controls,
        "tells_kills_from_spontaneous_deaths": model.tells_h0,
        "fitted_on_wells": wells,
        "shared_hazards_fitted_on_fields": list(model.fitted_fields),
        "fitted_on_part_of_the_plate": bool(every - set(wells)),
    }


def write_credit_facts(results: Path, facts: Mapping[str, Any]) -> Path:
    """Keep them for the provenance."""
    file = _facts_file(results)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(dict(facts), sort_keys=True, indent=1) + "\n").encode())
    return file


def read_credit_facts(results: Path) -> dict[str, Any]:
    """Read them back; empty where a plate was credited before they were kept."""
    file = _facts_file(results)
    if file.is_file():
        require_as_written(file)
    return dict(json.loads(file.read_bytes())) if file.is_file() else {}


def _facts_file(results: Path) -> Path:
    return results / "work" / "credit.json"
