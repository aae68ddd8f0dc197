"""The report of a plate: gathers curves and film strips, and hands them to `assay.report`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import TABLES, Table
from assay.conditions import survival_curve
from assay.incidence import Incidence
from assay.io.field_cells import FieldCells
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.tables import read_table
from assay.labels import CellRole
from assay.pipeline.events_of import events_of, outcome_of, uncredited_in
from assay.pipeline.pixels import open_stack
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.reviewed_results import Review, write_reviewed
from assay.protocol import Condition
from assay.report.figures import IncidenceCurve
from assay.report.film_strips import FilmStrip, film_strips
from assay.report.page import render_report
from assay.report.reviews import Reviewed
from assay.stack import FieldId, Window
from assay.survival import FieldOutcome, target_ends, well_incidence

_CURVE_POINTS = 120
_GOES_ON = ("divided", "left", "lost")  # ends that say nothing of death: daughters live on, others are unseen


def write_page(
    plan: RunPlan, results: Results, failed: Mapping[FieldId, str], *, for_print: bool = False
) -> Path:
    """Write the report from the tables that are there, with what readers decided; the reviewed tables too."""
    review = write_reviewed(plan.results)
    tables = {name: read_table(plan.results / "tables", name) for name in TABLES if name != "cells"}
    if review is not None:
        tables |= review.tables
    ok = {
        (w, f)
        for w, f, s in zip(*(tables["fields"][n] for n in ("well", "field", "status")), strict=True)
        if s == "ok"
    }
    fields = [f for f in plan.fields if f.field not in failed and (f.field.well, f.field.field) in ok]
    page = render_report(
        title=plan.plate_name,
        tables=tables,
        protocol=plan.protocol,
        provenance=results.read_provenance(),
        curves=_curves(plan, fields, tables["deaths"], review),
        strips=_strips(fields, tables),
        reviewed=None if review is None else _reviewed(review),
        for_print=for_print,
    )
    return results.keep_file(results.report, page.encode())


def _reviewed(review: Review) -> Reviewed:
    return Reviewed(
        state=review.state,
        before=review.before,
        tables=review.tables,
        lost=review.lost,
        problems=review.problems,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _WellCurve:
    """What is kept of a well when its events are let go."""

    incidence: Incidence
    n_targets: int
    longest_min: float


def _well_curve(outcomes: Sequence[FieldOutcome]) -> _WellCurve:
    return _WellCurve(
        incidence=well_incidence(outcomes, censored=_GOES_ON),
        n_targets=len(target_ends(outcomes)[0]),
        longest_min=max(o.events.calibration.minutes(o.events.n_frames - 1) for o in outcomes),
    )


def _curves(
    plan: RunPlan, fields: Sequence[FieldPlan], deaths: Table, review: Review | None
) -> list[IncidenceCurve]:
    films: dict[str, list[FieldPlan]] = {}
    for one in fields:
        if one.shape[0] > 1:
            films.setdefault(one.field.well, []).append(one)
    if not films:
        return []
    wells = {
        well: _well_curve([_outcome(plan, field, deaths, review) for field in mine])
        for well, mine in films.items()
    }
    times = np.linspace(0.0, max(well.longest_min for well in wells.values()), _CURVE_POINTS)
    everything = Condition(name="all wells", wells=tuple(sorted(wells)))
    shown = [
        (condition, [wells[well] for well in condition.wells if well in wells])
        for condition in plan.protocol.conditions or (everything,)
    ]
    return [_curve(condition.name, condition.kind, mine, times) for condition, mine in shown if mine]


def _outcome(plan: RunPlan, field: FieldPlan, deaths: Table, review: Review | None) -> FieldOutcome:
    if review is not None:
        return review.outcomes[field.field]
    return outcome_of(field, events_of(plan, field), uncredited_in(deaths, field))


def _curve(name: str, kind: str, wells: Sequence[_WellCurve], times: NDArray[np.float64]) -> IncidenceCurve:
    curve = survival_curve(name, [well.incidence for well in wells], times_min=times)
    return IncidenceCurve(
        condition=name,
        kind=kind,
        n_wells=len(wells),
        n_targets=float(sum(well.n_targets for well in wells)),
        time_min=times,
        killed_percent=100 * curve.killed,
        killed_low=100 * curve.killed_low,
        killed_high=100 * curve.killed_high,
        uncredited_percent=100 * (1 - curve.alive - curve.killed),
    )


def _strips(fields: Sequence[FieldPlan], tables: Mapping[str, Table]) -> list[FilmStrip]:
    if not fields:
        return []
    results = fields[0].results
    labels, cells = LabelPlate.open(results / "labels.zarr"), FieldCells(results / "tables")
    by_place = {field.field: field for field in fields}
    return film_strips(tables, source_of=lambda place: _Source(by_place[place], labels, cells))


class _Source:
    """One field, as film strips read it."""

    def __init__(self, plan: FieldPlan, labels: LabelPlate, cells: FieldCells) -> None:
        self._plan, self._labels, self._cells = plan, labels, cells
        self.shape, self.calibration, self.channels = plan.shape, plan.calibration, plan.roles

    def read(self, frame: int, window: Window) -> NDArray[Any]:
        part: NDArray[Any] = open_stack(self._plan).read([frame], window=window)[0]
        return part

    def read_tracks(self, role: CellRole, frame: int, window: Window) -> NDArray[np.uint32]:
        part: NDArray[np.uint32] = self._labels.read(self._plan.field, role, [frame], window=window)[0]
        return part

    def locate(self, role: CellRole, track_id: int, frame: int) -> tuple[float, float] | None:
        place = self._plan.field
        return self._cells.position(place.well, place.field, role, track_id, frame)
