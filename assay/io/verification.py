"""Whether RESULTS are as they were written: everything that the ledger or a log holds a hash of, byte by byte.

found = verify_results(results)
found.problems     # one line each: which file, which line, what is wrong
found.unchecked    # what nothing vouches for, said so that nobody takes silence for health
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from assay.errors import AssayError, ResultsError
from assay.io.ledger import Output, Record, difference, file_sha256
from assay.io.results import Results
from assay.io.review_checks import REVIEWED, contradicting_copies, lost_decisions, verify_logs
from assay.io.review_logs import log_files, log_folders, read_log, table_digests
from assay.io.witness import BEGUN, FILES, UNSEALED_FORMAT, place_of, units_of

_SHOWN = 5
_IN_PLATE = re.compile(r"zarr/([A-Z]+)/(\d+)/(\d+)/")
_FIRST = re.compile(r"(?<=\d)_\d{6,}$")

_UNFINISHED = "the run was not finished: run the same `killassay run` again"
_OF_PLATES = ("frame_labels", "windows_frame_labels", "labels_plate", "windows_labels_plate")
_OF_FIELDS = {
    "brightness": False,
    "pixels": True,
    "pairs": True,
    "link": False,
    "labels": True,
    "events": False,
}
"""Steps of a run that have units for each field, and whether these are runs of frames."""


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""
        ...

    def advance(self) -> None:
        """One more is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found."""

    problems: tuple[str, ...]
    unchecked: tuple[str, ...]
    n_files: int  # of which every byte was compared
    n_bytes: int
    n_logs: int
    n_decisions: int


def results_to_verify(path: Path) -> Results:
    """Open RESULTS, also where their own mark is damaged: then the rest can still be compared.

    Raises:
        ResultsError: It is no RESULTS folder.
    """
    try:
        return Results.open(path)
    except ResultsError:
        if not (path / "ledger" / FILES).is_dir():
            raise
        return Results(path=path, plate_name="", plate_identity="", plate_path="")


def verify_results(results: Results, progress: Progress | None = None) -> Verification:
    """Compare every file that has a recorded hash, and every line of the review logs; nothing is changed."""
    records, problems = _records(results)
    if progress is not None:
        progress.begin("records of the ledger", len(records))
    known = {one.sha256: one.path for record in records for one in record.outputs}
    vouched: set[str] = set()
    n_bytes = 0
    for record in records:
        for one in record.outputs:
            if not _is_inside(one.path):
                problems.append(
                    f"ledger/{record.step}/{record.unit}.json names {one.path!r}, which lies outside"
                )
                continue
            vouched.add(one.path)
            n_bytes += one.bytes
            why = difference(results.path / one.path, one)
            if why:
                problems.append(
                    f"{_place(one.path, record.unit)}{one.path} {why}{_whose(results, one, known)}"
                )
        if progress is not None:
            progress.advance()
    logs, n_logs, n_decisions, patches = _logs(results)
    problems += _missing_units(results, records)
    extra, unchecked = _unrecorded(results, vouched, patches)
    return Verification(
        problems=tuple(dict.fromkeys(problems + extra + logs)),
        unchecked=tuple(unchecked),
        n_files=len(vouched),
        n_bytes=n_bytes,
        n_logs=n_logs,
        n_decisions=n_decisions,
    )


def _records(results: Results) -> tuple[list[Record], list[str]]:
    folder = results.path / "ledger"
    files = sorted(folder.glob("*/*.json"))
    records, problems = [], []
    for file in [*files, *sorted(folder.glob("failed/*/*.json"))]:
        name, unit = file.relative_to(results.path).as_posix(), file.stem
        try:
            whole = results.ledger.is_whole(file)
            record = results.ledger.record(file.parent.name, unit) if file in files and whole else None
        except AssayError as error:
            problems.append(f"{name}: {error}")
            continue
        if not whole or (record is not None and not _is_record(record)):
            problems.append(
                f"{place_of(unit)}{name} is damaged: what it vouched for cannot be checked, and is done again"
            )
        elif record is not None:
            records.append(record)
    if not files:
        problems.append("ledger/ holds no records: nothing of the run can be checked")
    return records, problems


def _place(path: str, unit: str) -> str:
    """Well, field and frames of a file, as far as its name or its unit says."""
    found = _IN_PLATE.search(path)
    return place_of(unit) or (f"well {found[1]}{found[2]}, field {found[3]}: " if found else "")


def _whose(results: Results, one: Output, known: Mapping[str, str]) -> str:
    """Which other file of the run lies in its place."""
    file = results.path / one.path
    there = known.get(file_sha256(file)) if file.is_file() else None
    return f": {there} lies in its place" if there and there != one.path else ""


def _missing_units(results: Results, records: Collection[Record]) -> list[str]:
    """What a finished run must have left a record of, and has not."""
    file = results.work / "expected.json"
    if results.version == UNSEALED_FORMAT or not file.is_file():
        return []
    try:
        expected = json.loads(file.read_bytes())["fields"]
        failed = {_FIRST.sub("", unit) for _, unit in results.ledger.failures()}
        wanted = [
            (step, unit)
            for field, said in sorted(expected.items())
            if field not in failed
            for step, by_runs in _OF_FIELDS.items()
            for unit in (
                [f"{field}_{first:06d}" for first in range(0, said["frames"], said["run_frames"])]
                if by_runs
                else [field]
            )
        ]
    except (ValueError, LookupError, TypeError):  # expected.json is damaged, which its own record says
        return []
    there = {(record.step, record.unit) for record in records}
    wanted += [(step, "plate") for step in _OF_PLATES]
    if (results.tables / "reviewed").is_dir() and any((results.tables / "reviewed").iterdir()):
        wanted.append((REVIEWED, "plate"))
    missing = [
        f"{place_of(unit)}ledger/{step}/{unit}.json is missing, so nothing vouches for what it was about"
        for step, unit in wanted
        if (step, unit) not in there and not (results.path / "ledger" / step / f"{unit}.json").is_file()
    ]
    if ("summary", "plate") not in there:
        return [f"ledger/summary/plate.json is missing: {_UNFINISHED}", *missing]
    names = ("results.json", "protocol.toml", "provenance.json", "report.html", "work-expected.json")
    missing += [
        f"ledger/{FILES}/{name}.json is missing, so nothing vouches for {name.replace('-', '/')}"
        for name in names
        if (FILES, name) not in there
    ]
    return missing


def _is_record(record: Record) -> bool:
    """A damaged record may hold anything."""
    return isinstance(record.step, str) and all(
        isinstance(one.path, str) and isinstance(one.sha256, str) and isinstance(one.bytes, int)
        for one in record.outputs
    )


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def _logs(results: Results) -> tuple[list[str], int, int, set[str]]:
    """(problems, logs, decisions, files in review/ that a decision holds the hash of).

    A log that was copied from the user's own data folder into review/ lies twice and is one log.
    """
    problems = [f"review/{line}" for line in lost_decisions(results)]
    counted: dict[str, int] = {}
    vouched: set[str] = set()
    for folder in log_folders(results):
        name = "review" if folder == results.review else str(folder)
        problems += [f"{name}/{problem}" for problem in verify_logs(folder)]
        for path in log_files(folder):
            counted.setdefault(path.name, 0)
            try:
                decisions = read_log(path).decisions
            except ResultsError:  # said by verify_logs
                continue
            counted[path.name] = max(counted[path.name], len(decisions))
            for one in decisions:
                if one.verb == "labels":
                    problems += _patch_problems(folder, name, path, one.number, one.values)
                    vouched.add(one.values["patch"])
    problems += contradicting_copies(results)
    return problems, len(counted), sum(counted.values()), vouched


def _patch_problems(folder: Path, name: str, log: Path, number: int, values: Mapping[str, Any]) -> list[str]:
    patch = folder / values["patch"]
    where = f"{name}/{patch.name} (labels changed in {log.name}, line {number + 1})"
    try:
        if patch.is_symlink():
            return [f"{where} is a link, which no patch is"]
        return [] if file_sha256(patch) == values["sha256"] else [f"{where} was changed after it was written"]
    except OSError as error:
        return [f"{where} cannot be read ({error.strerror})"]


def _unrecorded(results: Results, vouched: set[str], patches: set[str]) -> tuple[list[str], list[str]]:
    """(files that no record names, what cannot be checked), the first only where every file has a record."""
    strange, left = [], []
    for path in sorted(results.path.rglob("*")):
        name = path.relative_to(results.path).as_posix()
        if path.is_dir() or name in vouched or name.startswith(("ledger/", "review/")):
            continue
        if path.name.startswith(".") or path.name.endswith(".partial"):
            left.append(name)
        else:
            strange.append(name)
    said = [f"{len(left)} files that a stopped run left, which nobody reads, e.g. {left[0]}"] if left else []
    begun = any((results.path / "ledger" / step).is_dir() for step in BEGUN)
    extra = [
        f"{_place(name, _unit(name))}{name} is named by no record: it is left over, or was put there"
        for name in strange
    ]
    if results.version == UNSEALED_FORMAT or not begun:
        said += [f"{name}: no record names it" for name in strange[:_SHOWN]]
        extra = []
    odd = [p for p in sorted(results.review.glob("*")) if p.suffix != ".jsonl" and p.name not in patches]
    if odd:
        said.append(f"{len(odd)} files in review that no decision names, e.g. {odd[0].name}")
    said.append(
        "the last lines of the newest log: that they were cut off shows once a report counted them, or another sitting began"
    )
    said.append(
        "a log, or the ledger with its files, that somebody rewrote as a whole: hashes show damage, not forgery"
    )
    return extra, said


def _unit(path: str) -> str:
    return next(iter(units_of(path)), "")


def tables_since_review(results: Results) -> list[str]:
    """Logs that were written for other tables than those of now, in words."""
    try:
        now = table_digests(results)
    except ResultsError:  # no tables: said among the problems
        return []
    found: dict[str, int] = {}  # a log and its copy are one
    for path in (path for folder in log_folders(results) for path in log_files(folder)):
        try:
            log = read_log(path)
        except ResultsError:
            continue
        if log.decisions and log.header["tables"] != now:
            found[path.name] = max(found.get(path.name, 0), len(log.decisions))
    return [f"{name}: {n} decisions on tables that were made anew since" for name, n in found.items()]
