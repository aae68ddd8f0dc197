"""The review logs of RESULTS: one append-only file per reader and sitting, so that writers never meet.

A log is `review/READER-20261122T214400Z-1a2b3c4d.jsonl`: a header, then one line per decision, chained by hashes
(`assay.review.chain`). What the header says of the tables tells whether decisions speak of the results as they are.
Where RESULTS may not be written, the log lies in the user's own data folder, and is read from there too.

    log = open_log(results, reader="ana")
    sitting = Sitting(events, log, reader="ana", earlier=read_logs(results))
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay._version import __version__
from assay.columns import Table
from assay.errors import ResultsError, StorageError
from assay.io.durable import disk_refusals, refusal, sync_folder
from assay.io.field_cells import FieldCells
from assay.io.ledger import file_sha256
from assay.io.results import Results
from assay.io.review_parsing import FORMAT, SUFFIX, log_bytes, parsed_log
from assay.io.review_sidecars import PLACE, sidecar_folder, sidecars_left_behind
from assay.review.chain import MAX_LINE_BYTES, START, chained_line, read_chain
from assay.review.decisions import Decision, decision_of
from assay.review.rebinding import CellsOf, rebind

DIGESTED = ("deaths", "kills")
"""Tables whose bytes decide whether event names and track ids mean what they meant."""

_SEES = 200  # logs; the header is one line


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """One log as it was read."""

    path: Path
    header: Mapping[str, Any]
    decisions: tuple[Decision, ...]
    hashes: tuple[str, ...]
    torn: bool


class ReviewLog:
    """The log of one sitting, open for appending. The file is made with the first decision."""

    def __init__(self, path: Path, header: Mapping[str, Any], *, sidecar_of: Path | None) -> None:
        self.path, self.is_sidecar, self._sidecar_of = path, sidecar_of is not None, sidecar_of
        self._header, self._handle, self._prev, self._size = header, -1, START, 0
        self._number, self._is_closed = 0, False

    @property
    def sitting(self) -> str:
        """Name of the sitting: the file's name without its ending."""
        return self.path.stem

    def append(self, record: Mapping[str, Any]) -> None:
        """Put one decision on the disk; it is kept when this returns.

        Raises:
            StorageError: The disk refuses; nothing of the decision is left in the log.
        """
        self._refuse_unreadable(record)
        if self._is_closed:
            raise StorageError(
                f"{self.path} is closed, so the decision does not count. Open the review again."
            )
        if self._handle < 0:
            self._begin()
        self._write(record)
        self._number += 1

    def close(self) -> None:
        """Let go of the file; nothing can be decided any more."""
        self._is_closed = True
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _refuse_unreadable(self, record: Mapping[str, Any]) -> None:
        """Nothing is written that could not be read again."""
        one = decision_of(record)
        if (one.reader, one.sitting, one.number) != (self._header["reader"], self.sitting, self._number + 1):
            raise ResultsError(
                f"decision {one.number} of {one.reader!r} does not belong into the log of {self._header['reader']!r}, "
                f"whose next one is {self._number + 1}."
            )

    def _begin(self) -> None:
        with disk_refusals("the review log", self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._sidecar_of is not None:
                place = self._sidecar_of.resolve().as_posix()
                (self.path.parent / PLACE).write_text(place, encoding="utf-8")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._handle = os.open(self.path, flags, 0o644)
        try:
            self._write(self._header)
            sync_folder(self.path.parent)
        except (StorageError, ResultsError):
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
            self._prev, self._size = START, 0
            with suppress(OSError):
                self.path.unlink()
            raise

    def _write(self, record: Mapping[str, Any]) -> None:
        line, digest = chained_line(record, self._prev)
        if len(line) > MAX_LINE_BYTES:
            raise ResultsError(f"a decision of {len(line)} bytes is too long for the log; shorten the note.")
        try:
            written = 0
            while written < len(line):
                written += os.write(self._handle, line[written:])
            os.fsync(self._handle)
        except OSError as error:
            self._take_back(error)
        self._prev, self._size = digest, self._size + len(line)

    def _take_back(self, error: OSError) -> None:
        """Leave no half a line behind, lest the next decision continue it."""
        try:
            os.ftruncate(self._handle, self._size)
        except OSError:
            self.close()
            raise StorageError(
                f"{refusal(error, 'the decision', self.path)} The log cannot be mended either: open the review again."
            ) from error
        raise refusal(error, "the decision (it does not count)", self.path) from error


def open_log(
    results: Results,
    *,
    reader: str,
    folder: Path | None = None,
    blinding: Mapping[str, Any] | None = None,
) -> ReviewLog:
    """Begin the log of a new sitting; nothing is written before the first decision.

    Args:
        results: What is reviewed.
        reader: Who decides.
        folder: Where the log goes; left out, RESULTS/review, or the user's data folder where that may not be written
            (`ReviewLog.is_sidecar` says so).
        blinding: The seed and the share of repeats, where the reader is blinded.

    Raises:
        ResultsError: The reader has no name.
        StorageError: No folder can be written.
    """
    reader = reader.strip()
    if not reader or len(reader) > 200:
        raise ResultsError(
            "a review needs the name of its reader (up to 200 characters), as decisions are kept by reader."
        )
    own = folder or results.review
    is_sidecar = folder is None and not _can_write(own)
    own = sidecar_folder(results) if is_sidecar else own
    now = datetime.now(UTC)
    sitting = f"{_slug(reader)}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    header = {
        "killassay": __version__,
        "format": FORMAT,
        "plate": results.plate_identity,
        "tables": table_digests(results),
        "reader": reader,
        "sitting": sitting,
        "utc": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "blinding": dict(blinding) if blinding else None,
        "seen": _seen(own),
    }
    sidecar_of = results.path if is_sidecar else None
    return ReviewLog(own / f"{sitting}{SUFFIX}", header, sidecar_of=sidecar_of)


def stored_logs(results: Results) -> list[StoredLog]:
    """All logs of RESULTS and of its sidecar, by name.

    Raises:
        ResultsError: A log is not as it was written; says which line of which file.
    """
    return [read_log(path) for path in log_paths(results)]


def read_logs(results: Results) -> list[Decision]:
    """All decisions of all readers, in the order in which they were made.

    Raises:
        ResultsError: A log is not as it was written; says which line of which file.
    """
    return in_order([one for log in stored_logs(results) for one in log.decisions])


def bound_decisions(
    results: Results, events: Table, *, cells_of: CellsOf | None = None
) -> tuple[list[Decision], list[str]]:
    """All decisions as far as they speak of the results as they are now.

    Decisions that were made on other tables (RESULTS were made anew) are found again by the place of their targets.

    Args:
        results: What is reviewed.
        events: From `review_events`.
        cells_of: Gives the cells of a field; left out, they are read from the tables.

    Returns:
        (decisions, one line for each that is lost).

    Raises:
        ResultsError: A log is not as it was written; says which line of which file.
    """
    now = table_digests(results)
    kept: list[Decision] = []
    old: dict[str, list[Decision]] = {}  # a name means one death within one state of the tables
    lost: list[str] = []
    for log in stored_logs(results):
        if not log.decisions:
            continue
        if log.header["plate"] != results.plate_identity:
            lost.append(f"{log.path.name}: {len(log.decisions)} decisions on another plate")
        elif log.header["tables"] == now:
            kept += log.decisions
        else:
            tables = log.header["tables"]
            old.setdefault(json.dumps(tables, sort_keys=True), []).extend(log.decisions)
    places = cells_of or FieldCells(results.tables).of
    for _, decisions in sorted(old.items()):
        carried, gone = rebind(in_order(decisions), events, cells_of=places)
        kept, lost = kept + carried, lost + gone
    return in_order(kept), lost


def in_order(decisions: list[Decision]) -> list[Decision]:
    """By time; within a sitting always as they were numbered, also where the clock was set back."""
    latest: dict[str, str] = {}
    stamped = []
    for one in sorted(decisions, key=lambda one: one.key):
        latest[one.sitting] = max(one.utc, latest.get(one.sitting, ""))
        stamped.append((latest[one.sitting], one.sitting, one.number, one))
    return [one for *_, one in sorted(stamped, key=lambda entry: entry[:3])]


def read_log(path: Path) -> StoredLog:
    """Read one log.

    Raises:
        ResultsError: It is not as it was written.
    """
    data, why = log_bytes(path)
    if data is None:
        raise _unusable(path, f": {why}")
    chain = read_chain(data)
    decisions, header, bad = parsed_log(path, chain)
    if bad:
        raise _unusable(path, bad)
    return StoredLog(path=path, header=header, decisions=decisions, hashes=chain.hashes, torn=chain.torn)


def log_files(folder: Path) -> list[Path]:
    """The logs in a folder, by name."""
    found = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith("."))  # those belong to the system


def log_paths(results: Results) -> list[Path]:
    """Every log of RESULTS once, by name: one that was copied from the sidecar into review/ is still one log.

    Raises:
        ResultsError: Two logs of one name say different things.
    """
    found: dict[str, Path] = {}
    for path in (path for folder in log_folders(results) for path in log_files(folder)):
        known = found.setdefault(path.name, path)
        if known != path:
            found[path.name] = _longer(known, path)
    return [found[name] for name in sorted(found)]


def log_folders(results: Results) -> list[Path]:
    """Where logs of RESULTS can lie; the sidecar also where RESULTS were moved since."""
    own = sidecar_folder(results)
    left_behind = sidecars_left_behind(results.plate_identity, own, lambda: table_digests(results))
    return [results.review, own, *left_behind]


def _longer(one: Path, other: Path) -> Path:
    """Of two copies of a log the one that goes on."""
    first, second = log_bytes(one)[0] or b"", log_bytes(other)[0] or b""
    if first.startswith(second):
        return one
    if second.startswith(first):
        return other
    raise _unusable(other, f": {one} has the same name and says other things")


def table_digests(results: Results) -> dict[str, str]:
    """sha256 of the tables that event names and track ids come from.

    Raises:
        ResultsError: RESULTS holds no tables yet.
    """
    try:
        return {name: file_sha256(results.tables / f"{name}.parquet") for name in DIGESTED}
    except OSError as error:
        raise ResultsError(
            f"{results.path} has no tables to review ({error.filename}: {error.strerror}). "
            "Expected a RESULTS folder of a finished `killassay run`."
        ) from error


def _unusable(path: Path, what: str) -> ResultsError:
    return ResultsError(
        f"{path.name}{what}. Nothing of the reviews is used, lest a wrong decision count. `killassay verify RESULTS` "
        f"lists all such lines; put back an unharmed copy, or move {path} elsewhere to go on without it."
    )


def _seen(folder: Path) -> dict[str, list[Any]]:
    """What lies in the folder when a sitting begins: name -> (lines, hash of the last); so a log cut short is noticed.

    Only the newest: the older ones were seen by these.
    """
    seen: dict[str, list[Any]] = {}
    newest = sorted(log_files(folder), key=lambda path: path.stem.split("-")[-2:])[-_SEES:]
    for path in newest:
        data, _ = log_bytes(path)
        hashes = read_chain(data).hashes if data else ()
        if hashes:
            seen[path.name] = [len(hashes), hashes[-1]]
    return seen


def _can_write(folder: Path) -> bool:
    probe = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True


def _slug(reader: str) -> str:
    kept = re.sub(r"[^A-Za-z0-9]+", "-", reader).strip("-")[:24].strip("-")
    return kept or "reader"
