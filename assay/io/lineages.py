"""Which track came from which by division, as other programs write it down: a CTC table, or a CSV of tracks.

A CTC track has no gaps, so a cell that was not seen for some frames is several labels there. Beside its own CTC tables
killassay writes PIECES_NAME, which says which labels are one track; without it, an only child that begins after a gap is
taken for the same cell.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.errors import ImageError
from assay.foreign_files import csv_lines
from assay.labels import CellRole
from assay.stack import FieldId, well_name
from assay.track_pieces import Piece, continuations

CTC_NAMES = ("res_track.txt", "man_track.txt")
PIECES_NAME = "pieces.csv"
TABLE_NAME = "tracks.csv"
CtcRow = tuple[int, int, int, int]  # label, first frame, last frame, parent or 0
_PIECE_COLUMNS = ("label", "track_id", "first_frame", "last_frame", "parent_track_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a table says of a film's tracks."""

    parents: Mapping[int, int] = field(default_factory=dict)  # track id -> its mother's
    joined: Mapping[int, int] = field(default_factory=dict)  # label -> track id, where these differ
    ours: bool = False  # said so itself, in PIECES_NAME
    rows: Sequence[CtcRow] = ()


def ctc_table_beside(folder: Path) -> Path | None:
    """The CTC table in a folder of label images."""
    return next((folder / name for name in CTC_NAMES if (folder / name).is_file()), None)


def ctc_rows(path: Path) -> list[CtcRow]:
    """A Cell Tracking Challenge table: lines of label, first frame, last frame, parent.

    Raises:
        ImageError: A line is not four whole numbers, ends before it begins, or a label stands twice.
    """
    rows: dict[int, CtcRow] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            label, first, last, parent = (int(piece) for piece in line.split())
        except ValueError as error:
            raise ImageError(
                f"{path}, line {number}: {line[:60]!r} is not understood. Expected four whole numbers: label, first frame, "
                "last frame, parent (0 for none)."
            ) from error
        if label in rows:
            raise ImageError(
                f"{path}, line {number}: label {label} stands twice. Expected one line per label; ids must be unique."
            )
        if label < 1 or last < first or first < 0 or label == parent:
            raise ImageError(
                f"{path}, line {number}: {line.strip()[:60]!r} is no track. Expected a label from 1, a first frame that is not "
                "after the last, and another label as parent (0 for none)."
            )
        rows[label] = (label, first, last, max(parent, 0))
    return list(rows.values())


def ctc_lineage(path: Path) -> Lineage:
    """Tracks of a CTC table, cut pieces put together.

    Raises:
        ImageError: The table or PIECES_NAME beside it is damaged, or they do not belong together.
    """
    rows = ctc_rows(path)
    pieces = path.parent / PIECES_NAME
    if pieces.is_file():
        return _ours(pieces, path, rows)
    joined = continuations(rows)
    parents = {
        label: joined.get(parent, parent) for label, _, _, parent in rows if parent and label not in joined
    }
    return Lineage(parents=parents, joined=joined, rows=rows)


def ctc_table_text(pieces: Sequence[Piece]) -> str:
    """The lines of a CTC table."""
    return "".join(f"{p.label} {p.first_frame} {p.last_frame} {p.parent}\n" for p in pieces)


def pieces_text(pieces: Sequence[Piece]) -> str:
    """What a CTC table cannot say: which labels are one track."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_PIECE_COLUMNS)
    writer.writerows(
        (
            p.label,
            p.track_id,
            p.first_frame,
            p.last_frame,
            "" if p.parent_track_id is None else p.parent_track_id,
        )
        for p in pieces
    )
    return buffer.getvalue()


def _ours(path: Path, table: Path, rows: Sequence[CtcRow]) -> Lineage:
    joined: dict[int, int] = {}
    mothers: dict[int, int] = {}  # 0 for none
    spans: list[tuple[int, int, int]] = []
    reader = csv.DictReader(_lines(path))
    try:
        for row in reader:
            label, track_id, first, last = (int(row[name]) for name in _PIECE_COLUMNS[:4])
            spans.append((label, first, last))
            if label != track_id:
                joined[label] = track_id
            mother = int(row["parent_track_id"] or 0)
            if mothers.setdefault(track_id, mother) != mother:
                raise ValueError(f"track {track_id} has two mothers")
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"{path} is damaged ({error}). Expected the columns {', '.join(_PIECE_COLUMNS)}."
        ) from error
    if sorted(spans) != sorted((label, first, last) for label, first, last, _ in rows):
        raise ImageError(
            f"{path} does not belong to {table.name} beside it: other labels or frames. Delete {path.name} if the tracks were "
            "changed since; only children after a gap are then taken for the same cell."
        )
    parents = {track_id: mother for track_id, mother in mothers.items() if mother}
    return Lineage(parents=parents, joined=joined, ours=True, rows=rows)


def parents_in_ctc(path: Path) -> dict[int, int]:
    """Daughter -> mother of a Cell Tracking Challenge table.

    Raises:
        ImageError: The table is damaged.
    """
    return dict(ctc_lineage(path).parents)


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
    reader = csv.DictReader(_lines(path))
    columns = {str(name).strip() for name in reader.fieldnames or ()}
    needed = {"track_id", "parent_track_id"} | (set() if single else {"well", "field", "role"})
    if needed - columns:
        raise ImageError(
            f"{path}: the columns {', '.join(sorted(needed - columns))} are missing. Expected track_id and parent_track_id, "
            "and well, field and role where there are several films."
        )
    parents: dict[int, int] = {}
    seen: set[tuple[int, str]] = set()  # a table may have a row per track, or per track and frame
    for number, row in enumerate(reader, start=2):
        try:
            if not _is_of(row, place, role):
                continue
            track_id = _whole(row["track_id"])
            mother = (row.get("parent_track_id") or "").strip()
            if mother not in ("", "0"):
                parents[track_id] = _whole(mother)
        except (TypeError, ValueError) as error:
            raise ImageError(f"{path}, line {number}: {error}. Expected whole numbers.") from error
        sighting = (track_id, (row.get("frame") or "").strip())
        if sighting in seen:
            raise ImageError(
                f"{path}, line {number}: track {track_id} of {place}, {role}, stands twice. Expected one row per track; ids "
                "must be unique within field and role."
            )
        seen.add(sighting)
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


def _lines(path: Path) -> list[str]:
    try:
        return csv_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path} cannot be read ({error}). Expected a text file.") from error
