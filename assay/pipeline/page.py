"""The report of a plate: gathers curves and film strips, and hands them to `assay.report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import TABLES, Table
from assay.conditions import survival_curve
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
from assay.stack import FieldId
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
        curves=_curves(plan, _outcomes(plan, fields, tables["deaths"], review)),
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


def _outcomes(
    plan: RunPlan, fields: Sequence[FieldPlan], deaths: Table, review: Review | None
) -> list[FieldOutcome]:
    films = [field for field in fields if field.shape[0] > 1]
    if review is not None:
        return [review.outcomes[field.field] for field in films]
    return [outcome_of(f, events_of(plan, f), uncredited_in(deaths, f)) for f in films]


def _curves(plan: RunPlan, outcomes: Sequence[FieldOutcome]) -> list[IncidenceCurve]:
    if not outcomes:
        return []
    longest = max(o.events.calibration.minutes(o.events.n_frames - 1) for o in outcomes)
    times = np.linspace(0.0, longest, _CURVE_POINTS)
    curves = []
    everything = Condition(name="all wells", wells=tuple(sorted({o.events.well for o in outcomes})))
    for condition in plan.protocol.conditions or (everything,):
        wells = [[o for o in outcomes if o.events.well == well] for well in condition.wells]
        wells = [well for well in wells if well]
        if wells:
            curves.append(_curve(condition.name, condition.kind, wells, times))
    return curves


def _curve(
    name: str, kind: str, wells: Sequence[Sequence[FieldOutcome]], times: NDArray[np.float64]
) -> IncidenceCurve:
    incidences = [well_incidence(well, censored=_GOES_ON) for well in wells]
    curve = survival_curve(name, incidences, times_min=times)
    return IncidenceCurve(
        condition=name,
        kind=kind,
        n_wells=len(wells),
        n_targets=float(sum(len(target_ends(well)[0]) for well in wells)),
        time_min=times,
        killed_percent=100 * curve.killed,
        killed_low=100 * curve.killed_low,
        killed_high=100 * curve.killed_high,
        uncredited_percent=100 * (1 - curve.alive - curve.killed),
    )


def _strips(fields: Sequence[FieldPlan], tables: Mapping[str, Table]) -> list[FilmStrip]:
    by_place = {field.field: field for field in fields}
    if not by_place:
        return []

    labels = LabelPlate.open(fields[0].results / "labels.zarr")

    def read(place: FieldId, frames: Sequence[int]) -> NDArray[Any]:
        return open_stack(by_place[place]).read(frames)

    def read_tracks(place: FieldId, role: CellRole, frames: Sequence[int]) -> NDArray[np.uint32]:
        return labels.read(place, role, frames)

    return film_strips(
        tables,
        read=read,
        read_tracks=read_tracks,
        channels_of=lambda place: by_place[place].roles,
        calibration_of=lambda place: by_place[place].calibration,
    )
