"""The per-well result on a terminal: a table for people, the same as plain text for logs and pipes."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
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
    ("kills / 100", True),
    ("cytolysis, %", True),
)
_NOT_IN_NARROW = ("E:T", "kills / 100")
_NARROW = 104  # characters; below, columns are left out rather than numbers cut
_WIDEST_NAME = 28


class WellTable:
    """The wells as a table for `rich`; a failed well shows its reason and no number. Intervals hold 90 %.

    Narrow terminals get fewer columns, never cut numbers.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table that fits the terminal."""
        yield _table(self._tables, options.max_width)


def well_table(tables: Mapping[str, Table]) -> WellTable:
    """The wells, to be printed on a `rich` console of any width."""
    return WellTable(tables)


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


def _table(tables: Mapping[str, Table], width: int) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    wells = rows(tables.get("wells"))
    noted = any(_why(well) for well in wells)
    shown = [n for n, (name, _) in enumerate(_COLUMNS) if width >= _NARROW or name not in _NOT_IN_NARROW]
    for heading, right in (_COLUMNS[n] for n in shown):
        table.add_column(
            heading, justify="right" if right else "left", no_wrap=heading != "condition", overflow="fold"
        )
    narrow = width < _NARROW
    if noted:
        table.add_column("", no_wrap=narrow, overflow="fold")
    if narrow and noted:  # the reasons stand below, at full width
        table.caption = Text(
            "\n".join(f"{well['well']} {_why(well)}" for well in wells if _why(well)), style=""
        )
        table.caption_justify = "left"
    for well in wells:
        style = "red" if well["status"] == "failed" else "yellow" if _why(well) else ""
        # names come from outside: Text, so that no [markup] in them is obeyed
        cells, note = _cells(well), _why(well)
        note = str(well["status"]).replace("_", " ") if narrow and note else note
        row = [Text(cells[n]) for n in shown] + ([Text(note, style=style)] if noted else [])
        table.add_row(*row)
    return table


def _cells(well: Mapping[str, Any]) -> list[str]:
    cytolysis = (well["cytolysis_percent"], well["cytolysis_percent_low"], well["cytolysis_percent_high"])
    cells = [
        str(well["well"]),
        _plain(str(well["condition"] or UNKNOWN))[:_WIDEST_NAME],
        number(well["n_targets"], 0),
        number(well["measured_et_ratio"], 2),
        number(well["deaths"]),
        _interval(well["kills"], well["kills_low"], well["kills_high"]),
        _interval(*kills_per_100(well)),
        _interval(*cytolysis),
    ]
    return [cell.replace(UNKNOWN, "-") for cell in cells]


def _interval(value: Any, low: Any, high: Any) -> str:
    return interval(value, low, high, dash="-").replace("−", "-")


def _why(well: Mapping[str, Any]) -> str:
    return _plain(findings.well_numbers(well))


def _plain(words: str) -> str:
    """Without control characters: a name must not move the cursor or end the line."""
    return "".join(character if character.isprintable() else " " for character in words)
