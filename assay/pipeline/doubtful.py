"""Deaths that are too doubtful to be called, with who would get them: listed for a reader, counted nowhere.

Knows tables and the fitted lag model. What a reader accepts of these is a death that she added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from assay.columns import Table, concatenate, length, table_of_rows
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.kills import credit_kills
from assay.lag_model import LagModel

DOUBTFUL_DEATHS = "doubtful_deaths"
"""Name of the table."""


def doubtful_table(
    parts: Mapping[tuple[str, int], Table], events: Sequence[FieldEvents], model: LagModel
) -> Table:
    """All doubtful deaths of the plate; who would get them is unknown in fields that do not count.

    Args:
        parts: (well, field) -> the rows of a field, as `find_events` wrote them.
        events: Of the fields that count.
        model: As fitted to the deaths that were called; these change nothing in it.
    """
    counted = {(of.well, of.field): of for of in events}
    done = [
        _credited(rows, counted[place], model) if place in counted else rows for place, rows in parts.items()
    ]
    return concatenate(done) if done else table_of_rows(DOUBTFUL_DEATHS, [])


def doubtful_death(row: Mapping[str, Any], number: int) -> Death:
    """A row as a death of its field, under a number that no other has."""
    frames = {name: int(row[name]) for name in ("frame", "first_possible_frame", "last_possible_frame")}
    return Death(
        death_id=number,
        role="target",
        track_id=int(row["target_track_id"]),
        probability=float(row["probability"]),
        evidence=tuple(str(row["evidence"]).split("+")),
        **frames,
    )


def _credited(rows: Table, of: FieldEvents, model: LagModel) -> Table:
    """Shares as the model gives them beside the deaths that were called; those keep theirs."""
    n = length(rows)
    if n == 0 or of.n_frames < 2:
        return rows
    first = max((death.death_id for death in of.deaths), default=0) + 1
    columns = {name: column.tolist() for name, column in rows.items()}
    doubtful = [
        doubtful_death({name: values[at] for name, values in columns.items()}, first + at) for at in range(n)
    ]
    kills, nobody = credit_kills(replace(of, deaths=(*of.deaths, *doubtful)), model)
    best: dict[int, tuple[int, float, float]] = {}
    for kill in kills:  # in the order of effectors: of equal ones the first
        if kill.share > best.get(kill.death_id, (0, 0.0, 0.0))[1]:
            best[kill.death_id] = kill.effector_track_id, kill.share, kill.lag_min
    given = {"uncredited_share": np.array([nobody[first + at] for at in range(n)])}
    unknown = (np.nan, np.nan, np.nan)
    for place, name in enumerate(("effector_track_id", "share", "lag_min")):
        given[name] = np.array([best.get(first + at, unknown)[place] for at in range(n)], dtype=np.float64)
    return {**rows, **given}
