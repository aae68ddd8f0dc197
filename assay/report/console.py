"""The per-well result on a terminal: a table for people, the same as plain text for logs and pipes."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from assay.columns import Table
from assay.report import findings
from assay.report.numbers import UNKNOWN, interval, kills_per_100, number, rows

_COLUMNS: tuple[tuple[str, bool], ...] = (  # heading, aligned to the right
    ("well", False),
    ("condition", False),
    ("targets", True),
    ("E:T", True),
    ("deaths", True),
    ("kills (90 %)", True),
    ("kills / 100 targets", True),
    ("cytolysis, % (90 %)", True),
)
_WIDEST_NAME = 28


def well_table(tables: Mapping[str, Table]) -> RichTable:
    """The wells as a table for the terminal; a failed well shows its reason and no number."""
    table = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    noted = any(_why(well) for well in rows(tables.get("wells")))
    for heading, right in _COLUMNS:
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    if noted:
        table.add_column("", overflow="fold")
    for well in rows(tables.get("wells")):
        style = "red" if well["status"] == "failed" else "yellow" if _why(well) else ""
        # names come from outside: Text, so that no [markup] in them is obeyed
        cells = [Text(cell) for cell in _cells(well)] + ([Text(_why(well), style=style)] if noted else [])
        table.add_row(*cells)
    return table


def well_text(tables: Mapping[str, Table]) -> str:
    """The same in plain text, one line a well, aligned by spaces."""
    wells = rows(tables.get("wells"))
    lines = [[heading for heading, _ in _COLUMNS], *(_cells(well) for well in wells)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_COLUMNS))]
    written = []
    for line, why in zip(lines, ["", *(_why(well) for well in wells)], strict=True):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, (_, right) in zip(line, widths, _COLUMNS, strict=True)
        ]
        written.append("  ".join([*cells, why]).rstrip())
    return "\n".join(written) + "\n"


def summary_text(tables: Mapping[str, Table]) -> str:
    """The headline, and what cannot be said for want of controls, as lines of text."""
    note = findings.control_note(tables)
    return "\n".join([*findings.headline(tables), *([note] if note else [])]) + "\n"


def _cells(well: Mapping[str, Any]) -> list[str]:
    cytolysis = (well["cytolysis_percent"], well["cytolysis_percent_low"], well["cytolysis_percent_high"])
    return [
        str(well["well"]),
        _plain(str(well["condition"] or UNKNOWN))[:_WIDEST_NAME],
        number(well["n_targets"], 0),
        number(well["measured_et_ratio"], 2),
        number(well["deaths"]),
        _interval(well["kills"], well["kills_low"], well["kills_high"]),
        _interval(*kills_per_100(well)),
        _interval(*cytolysis),
    ]


def _interval(value: Any, low: Any, high: Any) -> str:
    return interval(value, low, high, dash="-").replace("−", "-").replace(UNKNOWN, "-")


def _why(well: Mapping[str, Any]) -> str:
    return _plain(findings.well_numbers(well))


def _plain(words: str) -> str:
    """Without control characters: a name must not move the cursor or end the line."""
    return "".join(character if character.isprintable() else " " for character in words)
