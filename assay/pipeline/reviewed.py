"""What decisions of readers do to the numbers: the reviewed tables of a plate, made anew where a decision touches.

The pipeline's tables are never rewritten. The lag model stays as it was fitted, and a death that nobody spoke of
keeps its shares. A well in which nothing was decided keeps its row to the last digit.

    plate = ReviewedPlate.open(results)
    tables = plate.update(state)            # deaths, kills, contacts, effectors, tracks, wells, conditions
    plate.problems                          # decisions that found no event, in words
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import REVIEWED_TABLES, TABLES, Table, length, make_table, table_of_rows
from assay.conditions import compare_conditions
from assay.contact_times import contact_time_rows
from assay.pipeline.credited_wells import count_outcomes
from assay.pipeline.plate import well_rows
from assay.pipeline.reviewed_base import BasePlate, block_of
from assay.pipeline.reviewed_corrections import (
    CorrectedField,
    Edits,
    correct_field,
    corrected_base,
    edits_of,
)
from assay.pipeline.reviewed_events import CreditedField, DeathChange, change_field
from assay.pipeline.reviewed_rows import (
    FieldBlock,
    changes_of,
    field_block,
    outcome_in,
    review_columns,
    with_tracks_now,
)
from assay.review.decisions import TRACK_VERBS, Decision
from assay.review.state import ACCEPTED, REJECTED, ReviewState
from assay.stack import FieldId
from assay.survival import ControlDeaths, CountedWell, FieldOutcome, control_deaths, untold

_WITH_ROWS = ("deaths", "kills", "tracks", "contacts", "effectors")


@dataclass(frozen=True, slots=True, kw_only=True)
class WellChange:
    """One well before and after the decisions; NaN where a number is not known."""

    well: str
    condition: str | None
    deaths: tuple[float, float]
    kills: tuple[float, float]
    n_events: int
    n_reviewed: int


class ReviewedPlate:
    """A plate with decisions; keeps what it computed, so that one more decision costs one well."""

    def __init__(self, base: BasePlate, *, results: Path | None = None) -> None:
        self.base = base
        self._results = results  # where corrections of tracks and outlines find what the run kept
        self._corrected = base  # with these corrections
        self._corrections: dict[FieldId, tuple[tuple[Decision, ...], CorrectedField]] = {}
        self.problems: list[str] = []  # decisions that could not be applied, in words
        self._fields: dict[FieldId, tuple[tuple[DeathChange, ...], FieldBlock]] = {}
        self._now: Mapping[FieldId, FieldBlock] = {}
        self._wells: dict[tuple[Any, ...], CountedWell] = {}  # what each state of a well comes to
        self._field_rows: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(base.tables["fields"]):
            self._field_rows.setdefault(str(row["well"]), []).append(row)
        self._untouched: dict[FieldId, FieldOutcome] = {}

    @classmethod
    def open(cls, results: Path) -> "ReviewedPlate":
        """RESULTS read once; nothing is written.

        Raises:
            AssayError: RESULTS are not whole.
        """
        return cls(BasePlate.open(results), results=Path(results))

    def update(self, state: ReviewState) -> dict[str, Table]:
        """The reviewed tables as the decisions stand."""
        changes, self.problems = changes_of(state), list(state.problems)
        self._correct(edits_of([one for one in state.decisions if _is_correction(state, one)]))
        for place in [place for place in changes if place not in self.base.films]:
            names = ", ".join(change.event for change in changes.pop(place))
            self.problems.append(
                f"{names}: {place} does not count, so what was decided there changes nothing."
            )
        changes = {place: changes.get(place, ()) for place in sorted({*changes, *self._corrections})}
        for place, (_, corrected) in self._corrections.items():
            changes[place] = tuple(with_tracks_now(one, corrected.track_now) for one in changes[place])
        blocks = {place: self._block(place, mine) for place, mine in changes.items()}
        self._now = blocks
        for block in blocks.values():
            self.problems += block.credited.problems
        tables = {
            name: block_of(
                self.base, name, {p: b.tables[name] for p, b in blocks.items() if name in b.tables}
            )
            for name in _WITH_ROWS
        }
        added = _events_of(blocks)
        tables["deaths"] |= review_columns(tables["deaths"], self.base.tables["deaths"], state, added)
        tables["kills"]["chosen"] = _chosen(tables["kills"], blocks)
        tables["wells"], tables["conditions"] = self._summaries(changes, blocks, state)
        tables["contact_times"] = self._contact_times(tables["contacts"], blocks)
        return {name: make_table(f"reviewed/{name}", tables[name]) for name in REVIEWED_TABLES}

    def _correct(self, edits: Edits) -> None:
        """Corrected fields from what the run kept; fields whose corrections stand as they stood are not looked at."""
        kept = {place: one for place, one in self._corrections.items() if edits.get(place) == one[0]}
        new = {place: mine for place, mine in edits.items() if place not in kept}
        for place, mine in new.items():
            if place not in self.base.films or self._results is None:
                why = "does not count" if self._results is not None else "was never on a disk"
                self.problems.append(f"{place} {why}, so corrections of its cells change nothing.")
                continue
            kept[place] = (mine, correct_field(self._results, self.base, place, mine))
        if kept != self._corrections:
            for place in {*kept, *self._corrections}:
                self._fields.pop(place, None)
                self._untouched.pop(place, None)
            self._wells.clear()
            self._corrections = {place: kept[place] for place in sorted(kept)}
            corrected = {place: one[1] for place, one in self._corrections.items()}
            self._corrected = corrected_base(self.base, corrected)
        for place, (_, one) in self._corrections.items():
            self.problems += [f"{place}: {said}" for said in one.problems]

    def outcomes(self) -> dict[FieldId, FieldOutcome]:
        """Every field that counts, as it was after the last `update`."""
        return {place: self._outcome(place, self._now) for place in sorted(self.base.films)}

    def _block(self, place: FieldId, mine: tuple[DeathChange, ...]) -> FieldBlock:
        known = self._fields.get(place)
        if known is not None and known[0] == mine:
            return known[1]
        lives = self._corrected.lives(place)
        credited = change_field(self._field(place), mine, lives, self.base.model)
        block = field_block(self._corrected, place, credited)
        self._fields[place] = (mine, block)
        return block

    def _field(self, place: FieldId) -> CreditedField:
        return self._corrected.field(place)

    def _outcome(self, place: FieldId, blocks: Mapping[FieldId, FieldBlock]) -> FieldOutcome:
        if place in blocks:
            return blocks[place].outcome
        if place not in self._untouched:
            field = self._field(place)
            self._untouched[place] = outcome_in(field, self._corrected.films[place], self._corrected, place)
        return self._untouched[place]

    def _summaries(
        self,
        changes: Mapping[FieldId, tuple[DeathChange, ...]],
        blocks: Mapping[FieldId, FieldBlock],
        state: ReviewState,
    ) -> tuple[Table, Table]:
        base = self.base.tables
        wells = _rows(base["wells"])
        if changes:
            touched = {place.well for place in changes}
            alone = {str(row["well"]) for row in wells if row["kind"] == "target_only"}
            control = self._control(alone, blocks)
            for row in wells:
                well = str(row["well"])
                if well in touched or touched & alone:  # what dies by itself enters every well
                    row.update(self._well_row(well, changes, blocks, control))
        conditions = _rows(base["conditions"])
        if changes:
            conditions = compare_conditions(wells, untold=untold(self.base.model))
        counted = _reviewed_by_well(state)
        return (
            _with_counts("wells", wells, base["wells"], counted),
            _with_counts("conditions", conditions, base["conditions"], counted, wells=wells),
        )

    def _control(self, wells: set[str], blocks: Mapping[FieldId, FieldBlock]) -> ControlDeaths | None:
        mine = [self._outcome(place, blocks) for place in sorted(self.base.films) if place.well in wells]
        return control_deaths(mine)

    def _well_row(
        self,
        well: str,
        changes: Mapping[FieldId, tuple[DeathChange, ...]],
        blocks: Mapping[FieldId, FieldBlock],
        control: ControlDeaths | None,
    ) -> dict[str, Any]:
        places = [place for place in sorted(self.base.films) if place.well == well]
        counted = {well: self._counted(well, places, changes, blocks)} if places else {}
        lengths = {place: self._corrected.films[place].n_valid_frames for place in places}
        (row,) = well_rows(self.base.protocol, self._field_rows.get(well, []), lengths, counted, control)
        return row

    def _counted(
        self,
        well: str,
        places: Sequence[FieldId],
        changes: Mapping[FieldId, tuple[DeathChange, ...]],
        blocks: Mapping[FieldId, FieldBlock],
    ) -> CountedWell:
        """As the run counted it where nothing was decided, else from its events, once for what was decided."""
        mine = tuple(changes.get(place, ()) for place in places)
        if not any(mine) and well in self._corrected.counted:
            return self._corrected.counted[well]
        if (well, mine) not in self._wells:
            outcomes = [self._outcome(place, blocks) for place in places]
            self._wells[well, mine] = count_outcomes(self.base.protocol, outcomes, self.base.model)
        return self._wells[well, mine]

    def _contact_times(self, contacts: Table, blocks: Mapping[FieldId, FieldBlock]) -> Table:
        before = self.base.tables["contacts"]["target_dead"]
        same = len(before) == len(contacts["target_dead"]) and not self._corrections
        if same and (before == contacts["target_dead"]).all():
            return dict(self.base.tables["contact_times"])
        films = self.base.films
        wells = sorted({place.well for place in films})
        intervals = {well: {films[p].frame_min for p in films if p.well == well} for well in wells}
        named = {well: self.base.protocol.condition_of(well) for well in wells}
        counted = {(place.well, place.field) for place in films}
        keys = zip(contacts["well"].tolist(), contacts["field"].tolist(), strict=True)
        rows = np.array([key in counted for key in keys], dtype=np.bool_)
        times = contact_time_rows(
            {name: column[rows] for name, column in contacts.items()},
            wells={well: condition.name if condition else None for well, condition in named.items()},
            frame_min={
                well: next(iter(known)) if len(known) == 1 else None for well, known in intervals.items()
            },
        )
        return table_of_rows("contact_times", times)


def reviewed_tables(results: Path, state: ReviewState) -> dict[str, Table]:
    """The tables of RESULTS as they are with the decisions; nothing is written.

    Args:
        results: RESULTS.
        state: From `assay.review.state.replay`.

    Returns:
        The tables of `assay.columns.REVIEWED_TABLES`, with what the pipeline had beside what was reviewed.

    Raises:
        AssayError: RESULTS are not whole.
    """
    return ReviewedPlate.open(results).update(state)


def what_changed(before: Mapping[str, Table], after: Mapping[str, Table]) -> list[WellChange]:
    """The wells whose deaths or kills the decisions changed, in the order of the wells table."""
    was, now = (_rows(tables["wells"]) for tables in (before, after))
    found = []
    for old, new in zip(was, now, strict=True):
        deaths = (_number(old["deaths"]), _number(new["deaths"]))
        kills = (_number(old["kills"]), _number(new["kills"]))
        if not (_same(*deaths) and _same(*kills)):
            found.append(
                WellChange(
                    well=str(new["well"]),
                    condition=new["condition"],
                    deaths=deaths,
                    kills=kills,
                    n_events=int(_number(new.get("n_events", 0))),
                    n_reviewed=int(_number(new.get("n_reviewed", 0))),
                )
            )
    return found


def _is_correction(state: ReviewState, one: Decision) -> bool:
    return (one.verb in TRACK_VERBS or one.verb == "labels") and not state.is_undone(one)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _rows(table: Table) -> list[dict[str, Any]]:
    columns = [column.tolist() for column in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]


def _chosen(kills: Table, blocks: Mapping[FieldId, FieldBlock]) -> np.ndarray[Any, Any]:
    chosen = {
        (place.well, place.field, death) for place, block in blocks.items() for death in block.credited.chosen
    }
    if not chosen:
        return np.zeros(length(kills), dtype=np.bool_)
    keys = zip(*(kills[name].tolist() for name in ("well", "field", "death_id")), strict=True)
    return np.array([key in chosen for key in keys], dtype=np.bool_)


def _events_of(blocks: Mapping[FieldId, FieldBlock]) -> dict[tuple[str, int, int], str]:
    """(well, field, death id) -> event, of deaths that decisions touch."""
    return {
        (place.well, place.field, number): event
        for place, block in blocks.items()
        for number, event in (block.credited.names or {}).items()
    }


def _reviewed_by_well(state: ReviewState) -> dict[str, tuple[int, int]]:
    """Well -> events that stand, or stood before they were rejected, and those of them that are decided."""
    counts: dict[str, tuple[int, int]] = {}
    rows = zip(
        state.events["well"].tolist(), state.status.tolist(), state.counts_as_event.tolist(), strict=True
    )
    for well, status, is_event in rows:
        if not is_event:
            continue
        events, reviewed = counts.get(well, (0, 0))
        counts[well] = (events + 1, reviewed + (status in (ACCEPTED, REJECTED)))
    return counts


_SHOWN_BEFORE = {
    "wells": {"pipeline_deaths": "deaths", "pipeline_kills": "kills"},
    "conditions": {
        "pipeline_kills_per_100_targets": "kills_per_100_targets",
        "pipeline_cytolysis_percent": "cytolysis_percent",
    },
}


def _with_counts(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    before: Table,
    counted: Mapping[str, tuple[int, int]],
    *,
    wells: Sequence[Mapping[str, Any]] = (),
) -> Table:
    """How many events of each well, or of a condition's wells, were reviewed, and what the pipeline had."""
    table = table_of_rows(name, rows)
    assert set(table) == {column.name for column in TABLES[name]}
    mine = [
        [str(row["well"])]
        if name == "wells"
        else [str(well["well"]) for well in wells if well["condition"] == row["condition"]]
        for row in rows
    ]
    for place, column in enumerate(("n_events", "n_reviewed")):
        sums = [sum(counted.get(well, (0, 0))[place] for well in these) for these in mine]
        table[column] = np.array(sums, dtype=np.float64)
    return table | {column: before[shown].copy() for column, shown in _SHOWN_BEFORE[name].items()}
