"""RESULTS with what readers decided: the reviewed tables on disk beside the pipeline's, and what the report says of them.

review = write_reviewed(results)            # None where nobody decided anything
tables, note = current_tables(results, ("wells",))
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.columns import LATER_TABLES, REVIEWED_PREFIX, REVIEWED_TABLES, Table
from assay.errors import TableError
from assay.io.durable import write_whole
from assay.io.ledger import file_sha256
from assay.io.results import Results
from assay.io.review_checks import REVIEWED, log_ends, require_no_decision_lost
from assay.io.review_logs import bound_decisions, log_files, log_folders, log_paths, read_logs
from assay.io.tables import read_table, write_table
from assay.io.witness import require_as_written
from assay.pipeline.reviewed import ReviewedPlate
from assay.pipeline.reviewed_base import BasePlate
from assay.review.decisions import Decision
from assay.review.events import review_events
from assay.review.state import ReviewState, replay
from assay.stack import FieldId
from assay.survival import FieldOutcome

_SUMMARY = "review.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A plate's decisions and what they make of it."""

    state: ReviewState
    before: Mapping[str, Table]  # as the pipeline had them
    tables: Mapping[str, Table]
    outcomes: Mapping[FieldId, FieldOutcome]  # of every field that counts, after the decisions
    lost: tuple[str, ...]  # decisions that found no event, in words
    problems: tuple[str, ...]  # and those that could not be applied


def read_review(results: Path) -> Review | None:
    """The decisions of all readers and the tables that follow; None where there are none.

    Raises:
        ResultsError: A log is not as it was written.
    """
    opened = Results.open(results)
    require_no_decision_lost(opened)
    if not any(log_files(folder) for folder in log_folders(opened)):
        return None
    base = BasePlate.open(results)
    events = review_events(base.tables)
    decisions, lost = bound_decisions(opened, events)
    if not decisions and not lost:
        return None
    return review_of(base, decisions, events, lost, results=Path(results))


def review_of(
    base: BasePlate,
    decisions: Collection[Decision],
    events: Table,
    lost: Collection[str],
    *,
    results: Path | None = None,
) -> Review:
    """The same from what was read."""
    state = replay(decisions, events)
    plate = ReviewedPlate(base, results=results)
    tables = plate.update(state)
    return Review(
        state=state,
        before=base.tables,
        tables=tables,
        outcomes=plate.outcomes(),
        lost=tuple(lost),
        problems=tuple(plate.problems),
    )


def write_reviewed(results: Path) -> Review | None:
    """Write RESULTS/tables/reviewed/ anew from the logs; without decisions there is no such folder.

    The pipeline's own tables are not touched. The same logs and tables give the same bytes.

    Raises:
        ResultsError: A log is not as it was written.
        StorageError: The disk refuses.
    """
    review = read_review(results)
    folder, opened = _folder(results), Results.open(results)
    opened.ledger.forget(REVIEWED, "plate")
    (folder / _SUMMARY).unlink(missing_ok=True)  # while the tables change, they are of nobody's decisions
    if review is None:
        for file in folder.glob("*.parquet"):
            file.unlink()
        return None
    files = [
        write_table(results / "tables", f"{REVIEWED_PREFIX}{name}", review.tables[name])
        for name in REVIEWED_TABLES
    ]
    text = json.dumps(_summary(results, review), sort_keys=True, indent=1) + "\n"
    write_whole(folder / _SUMMARY, text.encode())
    files.append(folder / _SUMMARY)
    opened.ledger.commit(REVIEWED, "plate", "", files, facts={"logs": log_ends(opened)})
    return review


def current_tables(results: Path, names: Collection[str]) -> tuple[dict[str, Table], str]:
    """Result tables with what readers decided, and a line that says whether it is in them; "" without reviews.

    Raises:
        TableError: A table is missing, or the reviewed ones are not those of the tables and decisions that are there.
    """
    summary = read_summary(results)
    if summary is None:
        if read_logs(Results.open(results)):
            raise TableError(
                f"{results / 'review'} holds decisions that no table counts yet. `killassay report {results}` makes "
                "the reviewed tables."
            )
        return {name: read_table(results / "tables", name) for name in names}, ""
    tables = {
        name: read_table(results / "tables", f"{REVIEWED_PREFIX}{name}" if name in REVIEWED_TABLES else name)
        for name in names
    }
    said = f"reviewed: {summary['reviewed']} of {summary['events']} target deaths"
    return tables, f"{said} were decided by {', '.join(summary['readers'])}"


def read_summary(results: Path) -> dict[str, Any] | None:
    """What the reviewed tables were made of; None where there are none.

    Raises:
        TableError: They were made of other tables or decisions than those that are there now, or are damaged.
    """
    file = _folder(results) / _SUMMARY
    if not file.is_file():
        return None
    require_as_written(file)
    opened = Results.open(results)
    try:
        summary: dict[str, Any] = json.loads(file.read_bytes())
        made_of = (
            summary["tables"],
            summary["logs"],
            summary["reviewed"],
            summary["events"],
            summary["readers"],
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TableError(
            f"{file} is damaged, so it does not say what the reviewed tables were made of. `killassay report {results}` "
            "makes them anew."
        ) from error
    if made_of[:2] != (_tables(opened), _logs(opened)):
        raise TableError(
            f"{file.parent} was made before the last decisions or runs. `killassay report {results}` makes it anew."
        )
    return summary


def _folder(results: Path) -> Path:
    return Path(results) / "tables" / "reviewed"


def _summary(results: Path, review: Review) -> dict[str, Any]:
    opened, counts = Results.open(results), review.state.counts()
    standing = sum(counts.values()) - counts["withdrawn"]
    readers = {one.reader for one in review.state.decisions}
    return {
        "tables": _tables(opened),
        "logs": _logs(opened),
        "events": standing,
        "reviewed": counts["accepted"] + counts["rejected"],
        "counts": counts,
        "readers": sorted(readers),
        "decisions": len(review.state.decisions),
        "found_no_event": list(review.lost),
        "not_applied": list(review.problems),
    }


def _tables(results: Results) -> dict[str, str]:
    """Name -> sha256 of every table that the reviewed ones are made of."""
    there = [name for name in LATER_TABLES if (results.tables / f"{name}.parquet").is_file()]
    names = sorted({*REVIEWED_TABLES, *there, "fields"})
    files = {name: results.tables / f"{name}.parquet" for name in names}
    return {name: file_sha256(file) if file.is_file() else "" for name, file in files.items()}


def _logs(results: Results) -> dict[str, str]:
    """Name -> sha256 of every log."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in log_paths(results)}
