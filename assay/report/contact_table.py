"""How long contacts last, as a table on the terminal and for the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.columns import Table
from assay.report.numbers import UNKNOWN, rows

_HEAD = (
    "frames and minutes",
    "contacts",
    "censored",
    "mean",
    "median",
    "max",
    "mean min",
    "median min",
    "max min",
)
_NUMBERS = ("mean_frames", "median_frames", "max_frames", "mean_min", "median_min", "max_min")


def contact_times_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """One line for the plate, each condition and each well; "-" is not known."""
    cells = [_HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def contact_times_cells(table: Table | None) -> list[dict[str, str]]:
    """The rows of the page's table, the plate and its conditions; none where there is not one contact."""
    shown = [row for row in rows(table) if row["level"] != "well" and row["n_contacts"]]
    cells = []
    for row in shown:
        name, n, censored, *numbers = _cells(row)
        values = dict(zip(_NUMBERS, (number.replace("-", UNKNOWN) for number in numbers), strict=True))
        cells.append({"name": name, "n_contacts": n, "n_censored": censored, **values})
    return cells


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = {"plate": "all wells", "condition": row["condition"], "well": f"  {row['well']}"}[row["level"]]
    counts = (str(row["n_contacts"]), str(row["n_censored"]))
    return (str(name), *counts, *(_number(float(row[key])) for key in _NUMBERS))


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
