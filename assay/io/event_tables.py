"""Tables of contacts that other programs wrote -> our contacts, as far as they say.

Two layouts are known, killassay's own CSV and Occident's; of any other the columns are given by hand.
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import Table
from assay.errors import ImageError, TableError
from assay.foreign_files import csv_lines
from assay.stack import well_name

MEANINGS: Mapping[str, str] = {
    "effector": "the effector's id",
    "target": "the target's id",
    "well": "the well, or a text that begins with it",
    "field": "field of view",
    "first_frame": "first frame of the contact",
    "last_frame": "last frame, included",
    "frames": "how many frames it lasts, in the place of last_frame",
}
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "killassay": {
        "effector": "effector_track_id",
        "target": "target_track_id",
        "well": "well",
        "field": "field",
        "first_frame": "first_frame",
        "last_frame": "last_frame",
    },
    "Occident": {
        "effector": "t_cell_id",
        "target": "cancer_cell_id",
        "well": "unique_consec_group",
        "first_frame": "start_frame",
        "frames": "interaction_id_max_consec_frames",
    },
}
"""Program -> what its columns are called."""
_FLAGS = ("starts_censored", "ends_censored", "target_dead")
_WELL = re.compile(r"([A-Pa-p]|[Aa][A-Fa-f])0*(\d{1,2})(?![A-Za-z0-9])")
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")
_ONLY = "A01"


def read_contacts(path: Path, *, columns: Mapping[str, str] | None = None) -> Table:
    """Read a CSV with a row per contact.

    Args:
        path: The file, parted by commas, semicolons or tabs.
        columns: Meaning (see `MEANINGS`) -> name of the column; None where the layout is one that is known.

    Returns:
        well, field, effector_track_id, target_track_id, first_frame, last_frame, starts_censored, ends_censored and
        target_dead; the last three are false where the table does not say.

    Raises:
        TableError: A column is missing, a value is no whole number, or a contact stands twice.
    """
    lines = _lines(path)
    reader = csv.DictReader(lines, delimiter=_delimiter(lines))
    there = [str(name).strip() for name in reader.fieldnames or ()]
    reader.fieldnames = there
    named = _named(path, there, columns)
    rows: list[tuple[Any, ...]] = []
    flags: list[tuple[bool, ...]] = []
    seen: dict[tuple[Any, ...], int] = {}
    for number, row in enumerate(reader, start=2):
        try:
            values = _contact(row, named)
            flags.append(tuple(_flag(row.get(name)) for name in _FLAGS))
        except (TypeError, ValueError) as error:
            raise TableError(f"{path}, line {number}: {error}. Expected one contact a line.") from error
        if values[:5] in seen:
            raise TableError(
                f"{path}, line {number}: the contact of effector {values[2]} and target {values[3]} from frame {values[4]} on, well "
                f"{values[0]}, stands in line {seen[values[:5]]} already. Expected every contact once."
            )
        seen[values[:5]] = number
        rows.append(values)
    names = ("well", "field", "effector_track_id", "target_track_id", "first_frame", "last_frame")
    table: Table = {}
    for k, name in enumerate(names):
        values_of = [row[k] for row in rows]
        table[name] = np.array(values_of, dtype=object if name == "well" else np.int64)
    marks = np.array(flags, dtype=bool).reshape(-1, len(_FLAGS))
    return table | {name: marks[:, k] for k, name in enumerate(_FLAGS)}


def _lines(path: Path) -> list[str]:
    try:
        lines = csv_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read ({error}). Expected a CSV of contacts.") from error
    if not lines:
        raise TableError(f"{path} is empty. Expected a CSV of contacts with a line of column names.")
    return lines


def _delimiter(lines: list[str]) -> str:
    return max(",;\t", key=lines[0].count)


def _named(path: Path, there: list[str], columns: Mapping[str, str] | None) -> Mapping[str, str]:
    """Meaning -> column, by hand or by a layout that is known."""
    if columns is None:
        for layout in LAYOUTS.values():
            if set(layout.values()) <= set(there):
                return layout
        raise TableError(
            f"{path}: its columns {', '.join(there)[:160]} are of no layout that is known ({', '.join(LAYOUTS)}). Say which is "
            "which, e.g. --columns effector=NAME,target=NAME,first_frame=NAME,frames=NAME,well=NAME."
        )
    unknown = [meaning for meaning in columns if meaning not in MEANINGS]
    absent = [name for name in columns.values() if name not in there]
    needed = [meaning for meaning in ("effector", "target", "first_frame") if meaning not in columns]
    if unknown or absent or needed or ("frames" in columns) == ("last_frame" in columns):
        said = (
            f"{unknown[0]!r} is no meaning"
            if unknown
            else f"there is no column {absent[0]!r}, only {', '.join(there)[:120]}"
            if absent
            else f"no column is given for {needed[0]}"
            if needed
            else "expected either last_frame or frames"
        )
        raise TableError(
            f"{path}: {said}. Columns are given as meaning=NAME; meanings are {', '.join(MEANINGS)}."
        )
    return columns


def _contact(row: Mapping[str, str], named: Mapping[str, str]) -> tuple[Any, ...]:
    def whole(meaning: str) -> int:
        text = (row[named[meaning]] or "").strip()
        value = float(text) if text else float("nan")
        if value != value or value != int(value) or value < 0:
            raise ValueError(f"{named[meaning]} is {text!r}, expected a whole number from 0")
        return int(value)

    first = whole("first_frame")
    last = whole("last_frame") if "last_frame" in named else first + whole("frames") - 1
    if last < first:
        raise ValueError(f"the contact ends (frame {last}) before it begins (frame {first})")
    field = whole("field") if "field" in named else 0
    return _well(row, named), field, whole("effector"), whole("target"), first, last


def _well(row: Mapping[str, str], named: Mapping[str, str]) -> str:
    if "well" not in named:
        return _ONLY
    text = (row[named["well"]] or "").strip()
    match = _WELL.match(text)
    try:
        return well_name(match[1] + match[2]) if match else well_name(text)
    except ImageError as error:
        raise ValueError(f"{named['well']} is {text!r}, which names no well such as B03") from error


def _flag(text: str | None) -> bool:
    said = (text or "").strip().lower()
    if said not in (*_YES, *_NO):
        raise ValueError(f"{said!r} is neither true nor false")
    return said in _YES
