"""What a plate view shows of each well: one number or a word why there is none. Reads tables only, never a pixel.

plate = read_plate(results)                                  # small tables; in a worker thread where disks are slow
shown = plate.values("kills_per_hour")                       # well -> WellValue
shown = plate.values("reviewed", state=session.state)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import Table, length
from assay.errors import TableError
from assay.io.results import Results
from assay.io.tables import read_table
from assay.report.plate_map import plate_shape, row_index
from assay.review.state import DISAGREEMENT, PENDING, ReviewState
from assay.stack import FieldId


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that a plate can be coloured by."""

    name: str
    title: str
    unit: str
    meaning: str
    pattern: str = ".2f"
    top: float = math.nan  # end of the colour scale; NaN: the largest value of the plate


MEASURES = (
    Measure(
        name="kills_per_hour",
        title="Kills per effector-hour",
        unit="/ h",
        meaning="expected kills of the well's effectors over the hours that they were watched",
        pattern=".3f",
    ),
    Measure(
        name="kills",
        title="Kills",
        unit="",
        meaning="expected target deaths caused by effectors",
        pattern=".1f",
    ),
    Measure(
        name="cytolysis",
        title="Cytolysis",
        unit="%",
        meaning="dead share of the targets, corrected by target-only wells",
        pattern=".0f",
    ),
    Measure(
        name="quality",
        title="Quality: fields to look at",
        unit="%",
        meaning="share of the well's fields that failed, were excluded or carry a warning",
        pattern=".0f",
        top=100.0,
    ),
    Measure(
        name="reviewed",
        title="Reviewed events",
        unit="%",
        meaning="share of the target deaths on which a reader has decided",
        pattern=".0f",
        top=100.0,
    ),
    Measure(
        name="disagreement",
        title="Disagreements",
        unit="",
        meaning="target deaths about which readers disagree",
        pattern=".0f",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WellValue:
    """One well: its number, or why it has none. A failed well never looks like zero."""

    well: str
    row: int
    column: int
    value: float  # NaN: there is none
    status: str  # "ok", "failed", "excluded", "no_events", "no_effectors", "unknown"
    words: str  # for the tooltip

    @property
    def is_known(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateValues:
    """The wells of RESULTS and what is known of each."""

    shape: tuple[int, int]  # rows and columns of the plate
    wells: Table
    fields: Table
    effector_hours: Mapping[str, float]
    effector_kills: Mapping[str, float]
    shown_fields: Mapping[str, tuple[FieldId, ...]]

    def fields_of(self, well: str) -> tuple[FieldId, ...]:
        """The fields of a well."""
        return self.shown_fields.get(well, ())

    def values(self, measure: str, *, state: ReviewState | None = None) -> dict[str, WellValue]:
        """The wells by name.

        Args:
            measure: Name of one of MEASURES.
            state: Of the review; without one nothing is known of reviews.
        """
        counts = _review_counts(state)
        kind = next(one for one in MEASURES if one.name == measure)
        found: dict[str, WellValue] = {}
        for n, name in enumerate(self.wells["well"]):
            row = {column: values[n] for column, values in self.wells.items()}
            failed = row["status"] in ("failed", "excluded")
            value = math.nan if failed and measure != "quality" else self._value(measure, row, counts)
            status = str(row["status"]) if failed or math.isfinite(value) else _why_none(row, measure, state)
            found[name] = WellValue(
                well=name,
                row=row_index(name[:-2]),
                column=int(name[-2:]) - 1,
                value=value,
                status=status,
                words=_words(row, kind, value, status, counts.get(name)),
            )
        return found

    def _value(
        self, measure: str, row: Mapping[str, Any], counts: Mapping[str, tuple[int, int, int]]
    ) -> float:
        name = str(row["well"])
        if measure == "kills_per_hour":
            hours = self.effector_hours.get(name, 0.0)
            return self.effector_kills.get(name, 0.0) / hours if hours > 0 else math.nan
        if measure in ("kills", "cytolysis"):
            return float(row["kills" if measure == "kills" else "cytolysis_percent"])
        if measure == "quality":
            return _share_to_look_at(self.fields, name)
        n_events, n_reviewed, n_disagreements = counts.get(name, (0, 0, 0))
        if not n_events:
            return math.nan
        return 100.0 * n_reviewed / n_events if measure == "reviewed" else float(n_disagreements)


def read_plate(results: Path) -> PlateValues:
    """Read what a plate view shows; three small tables.

    Raises:
        AssayError: It is no RESULTS folder, or it has no tables yet.
    """
    opened = Results.open(results)
    if not opened.tables.is_dir():
        raise TableError(f"{results} has no tables yet. Let `killassay run` finish first.")
    tables = {name: read_table(opened.tables, name) for name in ("wells", "fields", "effectors")}
    return plate_of(tables)


def plate_of(tables: Mapping[str, Table]) -> PlateValues:
    """The same of tables that were read already."""
    wells, fields, effectors = tables["wells"], tables["fields"], tables["effectors"]
    shown: dict[str, list[FieldId]] = {}
    for well, field in zip(fields["well"].tolist(), fields["field"].tolist(), strict=True):
        shown.setdefault(well, []).append(FieldId(well, int(field)))
    return PlateValues(
        shape=plate_shape([str(well) for well in wells["well"]]),
        wells=wells,
        fields=fields,
        effector_hours=_sum_by_well(effectors, "observed_min", 1 / 60),
        effector_kills=_sum_by_well(effectors, "kills", 1.0),
        shown_fields={well: tuple(sorted(names)) for well, names in shown.items()},
    )


def _sum_by_well(table: Table, column: str, factor: float) -> dict[str, float]:
    if not length(table):
        return {}
    names, which = np.unique(table["well"].astype(str), return_inverse=True)
    sums = np.bincount(which, weights=np.nan_to_num(table[column]) * factor)
    return dict(zip(names.tolist(), sums.tolist(), strict=True))


def _share_to_look_at(fields: Table, well: str) -> float:
    here = fields["well"] == well
    if not here.any():
        return math.nan
    bad = np.array([s != "ok" or bool(w) for s, w in zip(fields["status"], fields["warning"], strict=True)])
    return 100.0 * float(bad[here].mean())


def _review_counts(state: ReviewState | None) -> dict[str, tuple[int, int, int]]:
    """By well: (events, of these decided, of these disagreed about)."""
    if state is None:
        return {}
    there = state.counts_as_event
    names, which = np.unique(state.events["well"][there].astype(str), return_inverse=True)
    status = state.status[there]
    parts = [np.ones(len(status)), status != PENDING, status == DISAGREEMENT]
    sums = [
        np.bincount(which, weights=part.astype(float), minlength=len(names)).astype(int) for part in parts
    ]
    return {name: (int(a), int(b), int(c)) for name, a, b, c in zip(names.tolist(), *sums, strict=True)}


def _why_none(row: Mapping[str, Any], measure: str, state: ReviewState | None) -> str:
    if measure in ("reviewed", "disagreement"):
        return "no_events" if state is not None else "unknown"
    if measure == "kills_per_hour" and row["n_effectors"] == 0:
        return "no_effectors"
    return "no_events" if row["status"] == "no_events" else "unknown"


def _words(
    row: Mapping[str, Any], measure: Measure, value: float, status: str, counts: tuple[int, int, int] | None
) -> str:
    lines = [f"{row['well']}  {row['condition'] or 'no condition'}"]
    if math.isfinite(value):
        lines.append(f"{measure.title}: {value:{measure.pattern}} {measure.unit}".rstrip())
    else:
        reasons = {"no_events": "no events", "no_effectors": "no effectors", "unknown": "not known"}
        lines.append(f"{measure.title}: {reasons.get(status, status)}")
    if row["reason"]:
        lines.append(str(row["reason"]))
    if math.isfinite(float(row["kills"])):
        lines.append(f"kills {row['kills']:.1f} ({row['kills_low']:.1f} to {row['kills_high']:.1f})")
    if math.isfinite(float(row["n_targets"])):
        lines.append(f"{row['n_targets']:.0f} targets, {row['n_effectors']:.0f} effectors in the first frame")
    if counts is not None:
        lines.append(f"{counts[1]} of {counts[0]} events reviewed, {counts[2]} disagreed about")
    return "\n".join(lines)
