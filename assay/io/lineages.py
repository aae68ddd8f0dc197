"""Which track came from which by division, as other programs write it down: a CTC table, or a CSV of tracks."""

import csv
from collections.abc import Mapping
from pathlib import Path

from assay.errors import ImageError
from assay.labels import CellRole
from assay.stack import FieldId, well_name

CTC_NAMES = ("res_track.txt", "man_track.txt")
TABLE_NAME = "tracks.csv"


def parents_in_ctc(path: Path) -> dict[int, int]:
    """Daughter -> mother of a Cell Tracking Challenge table: lines of label, first frame, last frame, parent.

    Raises:
        ImageError: A line is not four whole numbers.
    """
    parents: dict[int, int] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, _, _, parent = (int(piece) for piece in line.split())
        except ValueError as error:
            raise ImageError(
                f"{path}, line {number}: {line[:60]!r} is not understood. Expected four whole numbers: label, first frame, "
                "last frame, parent (0 for none)."
            ) from error
        if parent > 0:
            parents[label] = parent
    return parents


def parents_in_csv(path: Path, place: FieldId, role: CellRole, *, single: bool) -> dict[int, int]:
    """Daughter -> mother of one film, from a table of tracks as `killassay export --format csv` writes it.

    Args:
        path: With the columns track_id and parent_track_id; and well, field and role unless `single`.
        place: The field.
        role: "effector" or "target".
        single: There is one film only, so the table must be its.

    Raises:
        ImageError: A column is missing, or an id is no whole number.
    """
    reader = csv.DictReader(_text(path).splitlines())
    columns = {str(name).strip() for name in reader.fieldnames or ()}
    needed = {"track_id", "parent_track_id"} | (set() if single else {"well", "field", "role"})
    if needed - columns:
        raise ImageError(
            f"{path}: the columns {', '.join(sorted(needed - columns))} are missing. Expected track_id and parent_track_id, "
            "and well, field and role where there are several films."
        )
    parents: dict[int, int] = {}
    for number, row in enumerate(reader, start=2):
        try:
            if (row.get("parent_track_id") or "").strip() in ("", "0") or not _is_of(row, place, role):
                continue
            parents[_whole(row["track_id"])] = _whole(row["parent_track_id"])
        except ValueError as error:
            raise ImageError(f"{path}, line {number}: {error}. Expected whole numbers.") from error
    return parents


def _is_of(row: Mapping[str, str], place: FieldId, role: CellRole) -> bool:
    if row.get("role") and row["role"].strip() != role:
        return False
    if row.get("well") and well_name(row["well"]) != place.well:
        return False
    return not row.get("field") or _whole(row["field"]) == place.field


def _whole(text: str) -> int:
    value = float(text)
    if value != int(value):
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path} cannot be read ({error}). Expected a text file.") from error
