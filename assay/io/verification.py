"""Whether RESULTS are as they were written: everything that the ledger or a log holds a hash of, byte by byte.

found = verify_results(results)
found.problems     # one line each: which file, which line, what is wrong
found.unchecked    # what nothing vouches for, said so that nobody takes silence for health
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from assay.errors import ResultsError
from assay.io.ledger import Record, file_sha256
from assay.io.results import Results
from assay.io.review_checks import verify_logs
from assay.io.review_logs import log_files, log_folders, read_log, table_digests

_WRITTEN_AGAIN = ("report.html", "protocol.toml", "provenance.json", "results.json")
_REVIEWED = "tables/reviewed"


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


def verify_results(results: Results, progress: Progress | None = None) -> Verification:
    """Compare every file that has a recorded hash, and every line of the review logs; nothing is changed."""
    records, problems = _records(results)
    if progress is not None:
        progress.begin("records of the ledger", len(records))
    vouched: set[str] = set()
    n_bytes = 0
    for record in records:
        inside = [one for one in record.outputs if _is_inside(one.path)]
        problems += [
            f"ledger/{record.step}/{record.unit}.json names {one.path!r}, which lies outside"
            for one in record.outputs
            if one not in inside
        ]
        if len(inside) == len(record.outputs):
            problems += results.ledger.damaged_outputs(record)
        vouched |= {one.path for one in inside}
        n_bytes += sum(one.bytes for one in inside)
        if progress is not None:
            progress.advance()
    logs, n_logs, n_decisions, patches = _logs(results)
    return Verification(
        problems=tuple(dict.fromkeys(problems + logs)),
        unchecked=tuple(_unchecked(results, vouched, patches)),
        n_files=len(vouched),
        n_bytes=n_bytes,
        n_logs=n_logs,
        n_decisions=n_decisions,
    )


def _records(results: Results) -> tuple[list[Record], list[str]]:
    folder = results.path / "ledger"
    files = sorted(file for file in folder.glob("*/*.json") if file.parent.name != "failed")
    records, problems = [], []
    for file in files:
        try:
            record = results.ledger.record(file.parent.name, file.stem)
        except ResultsError as error:
            problems.append(f"ledger/{file.parent.name}/{file.name}: {error}")
            continue
        if record is None or not _is_record(record):
            problems.append(
                f"ledger/{file.parent.name}/{file.name} is damaged: what it vouched for cannot be checked"
            )
        else:
            records.append(record)
    if not files:
        problems.append("ledger/ holds no records: nothing of the run can be checked")
    return records, problems


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
    """(problems, logs, decisions, files in review/ that a decision holds the hash of)."""
    problems: list[str] = []
    n_logs = n_decisions = 0
    vouched: set[str] = set()
    for folder in log_folders(results):
        name = "review" if folder == results.review else str(folder)
        problems += [f"{name}/{problem}" for problem in verify_logs(folder)]
        for path in log_files(folder):
            n_logs += 1
            try:
                decisions = read_log(path).decisions
            except ResultsError:  # said by verify_logs
                continue
            n_decisions += len(decisions)
            for one in decisions:
                if one.verb == "labels":
                    problems += _patch_problems(folder, name, path, one.number, one.values)
                    vouched.add(one.values["patch"])
    return problems, n_logs, n_decisions, vouched


def _patch_problems(folder: Path, name: str, log: Path, number: int, values: Mapping[str, Any]) -> list[str]:
    patch = folder / values["patch"]
    where = f"{name}/{patch.name} (labels changed in {log.name}, line {number + 1})"
    try:
        if patch.is_symlink():
            return [f"{where} is a link, which no patch is"]
        return [] if file_sha256(patch) == values["sha256"] else [f"{where} was changed after it was written"]
    except OSError as error:
        return [f"{where} cannot be read ({error.strerror})"]


def _unchecked(results: Results, vouched: set[str], patches: set[str]) -> list[str]:
    """What lies there without a recorded hash, folder by folder."""
    said = []
    for folder in ("tables", "labels.zarr", "work"):
        files = [
            path.relative_to(results.path).as_posix()
            for path in sorted((results.path / folder).rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        ]
        bare = [path for path in files if path not in vouched and not path.startswith(f"{_REVIEWED}/")]
        metadata = [path for path in bare if path.endswith("zarr.json")]
        rest = [path for path in bare if path not in metadata]
        if metadata:
            said.append(f"{len(metadata)} metadata files of {folder} (zarr.json)")
        if rest:
            said.append(f"{len(rest)} files in {folder} that no record names, e.g. {rest[0]}")
    if (results.path / _REVIEWED).is_dir():
        said.append(f"{_REVIEWED}: made from the tables and the decisions whenever the report is made")
    written = [name for name in _WRITTEN_AGAIN if (results.path / name).is_file()]
    said.append(f"{', '.join(written)}: written again by every run or report, no hash is kept")
    strange = [p for p in sorted(results.review.glob("*")) if p.suffix != ".jsonl" and p.name not in patches]
    if strange:
        said.append(f"{len(strange)} files in review that no decision names, e.g. {strange[0].name}")
    said.append(
        "the last lines of the newest log: that they were cut off shows only once another sitting began after it"
    )
    said.append(
        "a log, or the ledger with its files, that somebody rewrote as a whole: hashes show damage, not forgery"
    )
    return said


def tables_since_review(results: Results) -> list[str]:
    """Logs that were written for other tables than those of now, in words."""
    try:
        now = table_digests(results)
    except ResultsError:  # no tables: said among the problems
        return []
    found = []
    for folder in log_folders(results):
        for path in log_files(folder):
            try:
                log = read_log(path)
            except ResultsError:
                continue
            if log.decisions and log.header["tables"] != now:
                found.append(
                    f"{path.name}: {len(log.decisions)} decisions on tables that were made anew since"
                )
    return found
