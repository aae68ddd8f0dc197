"""The contacts of RESULTS or PLATE-truth, with what is needed to sum them up: wells, conditions, frame intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.columns import Table, length, take
from assay.errors import ResultsError
from assay.io.tables import read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateContacts:
    """Contacts of the fields that count; wells without any are there, too."""

    contacts: Table
    wells: Mapping[str, str | None]  # well -> condition
    frame_min: Mapping[str, float | None]


def contacts_of_results(results: Path) -> PlateContacts:
    """Read the tables of RESULTS, or of the truth of a simulation.

    Raises:
        ResultsError: There are none yet.
        TableError: One is missing or damaged.
    """
    folder = results / "tables"
    if not folder.is_dir():
        raise ResultsError(
            f"{results} has no tables yet. Expected a RESULTS folder of a finished `killassay run`, or a CSV of contacts."
        )
    contacts, cells = read_table(folder, "contacts"), read_table(folder, "cells")
    if (results / "scenario.json").is_file():  # the truth of a simulation: every field counts
        everywhere = dict.fromkeys(sorted(set(cells["well"].tolist())))
        return PlateContacts(contacts=contacts, wells=everywhere, frame_min=_frame_intervals(cells))
    fields, wells = read_table(folder, "fields"), read_table(folder, "wells")
    ok = {
        (well, number)
        for well, number, status in zip(
            *(fields[n].tolist() for n in ("well", "field", "status")), strict=True
        )
        if status == "ok"
    }
    keys = zip(contacts["well"].tolist(), contacts["field"].tolist(), strict=True)
    counted = {well for well, _ in ok}
    return PlateContacts(
        contacts=take(contacts, np.array([key in ok for key in keys], dtype=bool)),
        wells={
            well: condition
            for well, condition in zip(wells["well"].tolist(), wells["condition"].tolist(), strict=True)
            if well in counted
        },
        frame_min=_frame_intervals(cells),
    )


def _frame_intervals(cells: Table) -> dict[str, float | None]:
    """Frame interval of each well, from the times of its cells; None where there is none."""
    if not length(cells):
        return {}
    later = cells["frame"] > 0
    wells, minutes = cells["well"][later].astype(str), cells["time_min"][later] / cells["frame"][later]
    found: dict[str, float | None] = {}
    for well in np.unique(wells).tolist():
        mine = minutes[wells == well]
        low, high = float(mine.min()), float(mine.max())
        found[well] = float(np.median(mine)) if high - low < 1e-6 * high else None
    return found
