"""RESULTS and PLATE-truth on disk -> scores, a few frames at a time.

Of the films only a run of frames is in memory at once, whatever their length.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length, take
from assay.errors import ResultsError
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import read_table
from assay.labels import CELL_ROLES, CellRole
from assay.score.cells import CellTally, FieldCells
from assay.score.films import FilmCounts, count_film, pool
from assay.score.scores import CoverageScores, Scores
from assay.score.wells import SINGLE_KINDS, TrueWell, score_number, true_cytolysis, true_well
from assay.stack import FieldId

Missing = Literal["miss", "leave_out"]
MatchedCells = Callable[[FieldId, CellRole], FieldCells]

EVENT_TABLES = ("tracks", "contacts", "deaths", "kills")
READ_BYTES = 64_000_000  # of label images at once
READ_FRAMES = 16


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two folders that are compared."""

    folder: Path
    labels: LabelPlate
    tables: Mapping[str, Table]
    rows: Mapping[str, Mapping[FieldId, NDArray[np.int64]]]

    def of_field(self, field: FieldId) -> dict[str, Table]:
        """The event tables' rows of one field."""
        nothing = np.zeros(0, dtype=np.int64)
        return {name: take(self.tables[name], self.rows[name].get(field, nothing)) for name in EVENT_TABLES}

    def without_rows(self) -> dict[str, Table]:
        """The event tables of a field that is not there."""
        return {name: take(self.tables[name], np.zeros(0, dtype=np.int64)) for name in EVENT_TABLES}


def score_results(
    results: Path, truth: Path, *, missing_fields: Missing = "miss", matched: MatchedCells | None = None
) -> Scores:
    """Compare a run with the known truth of its plate.

    Args:
        results: The RESULTS folder.
        truth: The PLATE-truth folder that `killassay simulate` writes beside its plate.
        missing_fields: What becomes of fields that failed, were excluded or are absent in RESULTS. "miss"
            counts their true cells and events as missed; "leave_out" leaves them out on both sides. They are
            named in the scores either way.
        matched: Who matches whom in a field, for those who know it already; None looks at the label images.

    Raises:
        ResultsError: A folder lacks what is compared, or the two are not of one plate.
    """
    true, called = _open(Path(truth), "truth"), _open(Path(results), "RESULTS")
    missing = _missing_fields(true, called)
    compared = [field for field in true.labels.fields if missing_fields == "miss" or field not in missing]
    if not compared:
        raise ResultsError(
            f"{results}: none of the {len(missing)} fields of the truth has results, so there is nothing to score. "
            "`killassay status RESULTS` says why."
        )
    films = [
        _count_field(field, true, called, there=field not in missing, matched=matched) for field in compared
    ]
    wells = _true_wells(true, called, compared)
    asked = [well for well in wells if well.kind not in SINGLE_KINDS]
    cytolysis = true_cytolysis(wells)
    table = called.tables["wells"]
    return pool(
        films,
        coverage=CoverageScores(
            fields_true=len(true.labels.fields),
            fields_missing=len(missing),
            missing_count=missing_fields == "miss",
            missing=tuple(f"{field}: {reason}" for field, reason in sorted(missing.items())),
            masked_frames=_masked_frames(called, compared),
        ),
        kills=score_number("kills", {well.well: well.kills for well in asked}, table),
        cytolysis=score_number("cytolysis_percent", {w.well: cytolysis[w.well] for w in asked}, table),
    )


def _open(folder: Path, what: str) -> _Side:
    for needed in ("labels.zarr", "tables"):
        if not (folder / needed).is_dir():
            raise ResultsError(
                f"{folder} has no {needed}, so it is no {what} folder. Expected `killassay score RESULTS "
                "PLATE-truth`, with a RESULTS that `killassay run` has finished."
            )
    tables = {name: read_table(folder / "tables", name) for name in EVENT_TABLES}
    for name in ("cells",) if what == "truth" else ("fields", "wells"):
        tables[name] = read_table(folder / "tables", name)
    rows = {name: _rows_by_field(table) for name, table in tables.items() if "field" in table}
    return _Side(folder, LabelPlate.open(folder / "labels.zarr"), tables, rows)


def _rows_by_field(table: Table) -> dict[FieldId, NDArray[np.int64]]:
    if not length(table):
        return {}
    wells, well_number = np.unique(table["well"].astype(str), return_inverse=True)
    order = np.lexsort((table["field"], well_number))  # stable: rows of a field keep their order
    keys = np.stack([well_number[order], table["field"][order]])
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(keys, axis=1) != 0).any(axis=0)]))
    return {
        FieldId(str(wells[keys[0, start]]), int(keys[1, start])): np.sort(rows)
        for start, rows in zip(starts, np.split(order, starts[1:]), strict=True)
    }


def _missing_fields(true: _Side, called: _Side) -> dict[FieldId, str]:
    """Fields of the truth that RESULTS does not have, and why."""
    strangers = sorted(set(called.labels.fields) - set(true.labels.fields))
    if strangers:
        raise ResultsError(
            f"{called.folder} has {strangers[0]}, which {true.folder} has not: it is the truth of another plate. "
            "Expected the PLATE-truth folder beside the plate that was run."
        )
    rows = called.rows["fields"]
    reasons: dict[FieldId, str] = {}
    for field in true.labels.fields:
        if field not in rows or field not in called.labels.fields:
            reasons[field] = "not run"
            continue
        row = int(rows[field][0])
        status, reason = called.tables["fields"]["status"][row], called.tables["fields"]["reason"][row]
        if status != "ok":
            reasons[field] = f"{status} ({reason})" if reason else str(status)
    return reasons


def _count_field(
    field: FieldId, true: _Side, called: _Side, *, there: bool, matched: MatchedCells | None
) -> FilmCounts:
    shape = true.labels.shape(field)
    if there and called.labels.shape(field) != shape:
        raise ResultsError(
            f"{field}: the truth has {shape} frames, rows and columns, RESULTS has {called.labels.shape(field)}. "
            "They are not of one plate."
        )
    shown = called.labels if there else None
    match = matched if matched is not None and there else None
    return count_film(
        {
            role: match(field, role) if match else match_field(field, role, true.labels, shown)
            for role in CELL_ROLES
        },
        true.of_field(field),
        called.of_field(field) if there else called.without_rows(),
        n_frames=shape[0],
        frame_min=_frame_min(field, true),
    )


def match_field(field: FieldId, role: CellRole, true: LabelPlate, called: LabelPlate | None) -> FieldCells:
    """Match the cells of one role in one field, frame by frame; without called labels all are missed."""
    tally = CellTally()
    for frame, truth, labels in _frames(field, role, true, called):
        tally.add(frame, truth, labels)
    return tally.finish()


def _frames(
    field: FieldId, role: CellRole, true: LabelPlate, called: LabelPlate | None
) -> Iterator[tuple[int, NDArray[np.uint32], NDArray[np.uint32]]]:
    n_frames, height, width = true.shape(field)
    step = max(1, min(READ_FRAMES, READ_BYTES // (4 * height * width)))
    for first in range(0, n_frames, step):
        run = range(first, min(first + step, n_frames))
        truth = true.read(field, role, run)
        labels = called.read(field, role, run) if called is not None else np.zeros_like(truth)
        yield from zip(run, truth, labels, strict=True)


def _frame_min(field: FieldId, true: _Side) -> float | None:
    """The frame interval, from the times in the truth; None in a film of one frame."""
    cells = true.tables["cells"]
    rows = true.rows["cells"].get(field, np.zeros(0, dtype=np.int64))
    later = rows[cells["frame"][rows] > 0]
    if not len(later):
        return None
    last = later[np.argmax(cells["frame"][later])]
    minutes = float(cells["time_min"][last]) / int(cells["frame"][last])
    return minutes if minutes == minutes else None


def _true_wells(true: _Side, called: _Side, compared: list[FieldId]) -> list[TrueWell]:
    kinds = _kinds(true.folder / "scenario.json")
    wells = []
    for well in sorted({field.well for field in compared}):
        fields = [field for field in compared if field.well == well]
        last_rows = [_last_rows(true, field) for field in fields]
        deaths = [true.rows["deaths"].get(field, np.zeros(0, dtype=np.int64)) for field in fields]
        wells.append(
            true_well(
                well,
                kinds.get(well),
                take(true.tables["deaths"], np.concatenate(deaths)),
                take(true.tables["cells"], np.concatenate(last_rows)),
            )
        )
    return wells


def _last_rows(true: _Side, field: FieldId) -> NDArray[np.int64]:
    rows = true.rows["cells"].get(field, np.zeros(0, dtype=np.int64))
    last_frame = true.labels.shape(field)[0] - 1
    return np.asarray(rows[true.tables["cells"]["frame"][rows] == last_frame], dtype=np.int64)


def _kinds(scenario: Path) -> dict[str, str]:
    """Well -> kind, as it was simulated."""
    try:
        wells = json.loads(scenario.read_text(encoding="utf-8"))["wells"]
        return {str(well): str(kind) for well, kind in wells.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{scenario} cannot be read ({type(error).__name__}: {error}). Expected the scenario that `killassay "
            'simulate` writes, with "wells" of well and kind.'
        ) from error


def _masked_frames(called: _Side, compared: list[FieldId]) -> int:
    rows, fields = called.rows["fields"], called.tables["fields"]
    return sum(int(fields["n_masked_frames"][rows[field][0]]) for field in compared if field in rows)
