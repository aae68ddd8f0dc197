"""Whether a file is as killassay wrote it, asked by whoever reads it: nobody computes with what was damaged since.

A file of RESULTS is compared with its record in the ledger, a file beside a list of sums (`sums.py`) with that.
What neither names, and lies in no RESULTS, is somebody else's: nothing is said of it.

    require_as_written(results / "tables" / "deaths.parquet")      # DamageError, or nothing

A file is read once per process for this, and again when its time of change or size differ.
"""

import re
from functools import lru_cache
from pathlib import Path

from assay.errors import DamageError
from assay.io.ledger import Ledger, Output, Record, difference
from assay.io.sums import Sums, sums_above

MARK = "results.json"
UNSEALED_FORMAT = 1  # RESULTS of earlier versions, whose records do not vouch for everything
FILES = "files"
"""Step of the ledger whose units are single files that every run writes again."""
BEGUN = ("frame_labels", "labels_plate")  # steps that every run begins with
_UNIT = re.compile(r"([A-Z]+\d+)_(\d+)(?:_(\d+))?")
_DEEPEST = 12  # folders between a file and its RESULTS
_Signature = tuple[int, int, int]

_seen: dict[Path, tuple[_Signature, str]] = {}
_steps: dict[tuple[Path, str], str] = {}
_formats: dict[Path, tuple[_Signature, int]] = {}


def require_as_written(file: Path, *, unit: str | None = None, sums: Sums | None = None) -> None:
    """Refuse a file of ours that is not as it was written.

    Args:
        file: What is about to be read.
        unit: Unit of the ledger that made it; found from the name of the file where it is left out.
        sums: The list that names it, where that is not the one beside it.

    Raises:
        DamageError: It was altered, cut short, exchanged or is gone, or nothing vouches for it any more.
    """
    file = file if file.is_absolute() else Path.cwd() / file
    sums = sums or sums_above(file)
    if sums is not None:
        _require_sum(file, sums)
        return
    results = _results_of(file)
    if results is None:
        return
    path = file.relative_to(results).as_posix()
    found = _recorded(results, path, [unit] if unit else units_of(path))
    if found is None:
        if any((results / "ledger" / step).is_dir() for step in BEGUN):
            raise DamageError(
                f"{results}: no record of the ledger vouches for {path}: it was never finished, or its record is damaged. "
                f"{_to_do(path)}"
            )
        return
    record, output = found
    _require_same(file, output, f"{results}: {place_of(record.unit)}{path}", _to_do(path))


def ledger_of(results: Path) -> Ledger:
    """The ledger of RESULTS, which of earlier versions need no seals."""
    return Ledger(results / "ledger", base=results, sealed=format_of(results) != UNSEALED_FORMAT)


def format_of(results: Path) -> int:
    """Format of RESULTS, read from its mark; 0 where that cannot be read."""
    file = results / MARK
    signature = _signature(file)
    if signature is None:
        return 0
    known = _formats.get(file)
    if known is None or known[0] != signature:
        found = re.search(rb'"format":\s*(\d{1,4})\b', file.read_bytes())
        known = _formats[file] = (signature, int(found[1]) if found else 0)
    return known[1]


def units_of(path: str) -> list[str]:
    """Names that the unit which made a file may have, from the file's place in RESULTS."""
    *folders, name = path.split("/")
    single = path.replace("/", "-")
    if not folders:
        return [single]
    if folders[0] == "tables":
        return ["plate"]
    stem = name.split(".")[0]
    if len(folders) == 1:
        return [single, "plate"]
    return ["_".join([*folders[2:], stem])]


def place_of(unit: str) -> str:
    """Well, field and first frame of a unit, as the beginning of a line; empty for one of the whole plate."""
    found = _UNIT.fullmatch(unit)
    if found is None:
        return ""
    well, field, first = found.groups()
    return f"well {well}, field {field}, " + (f"frames from {int(first)}: " if first else "")


def _recorded(results: Path, path: str, units: list[str]) -> tuple[Record, Output] | None:
    """The record that names a file."""
    kind = (results, "/".join(path.split("/")[:2]))
    steps = [_steps[kind]] if kind in _steps else []
    folder = results / "ledger"
    if folder.is_dir():
        steps += sorted({entry.name for entry in folder.iterdir()} - {"failed", *steps})
    for step in steps:
        for unit in units:
            record = _record(results, step, unit)
            output = None if record is None else record[1].get(path)
            if record is not None and output is not None:
                _steps[kind] = step
                return record[0], output
    return None


def _record(results: Path, step: str, unit: str) -> tuple[Record, dict[str, Output]] | None:
    signature = _signature(results / "ledger" / step / f"{unit}.json")
    return None if signature is None else _parsed(results, step, unit, signature, format_of(results))


@lru_cache(maxsize=256)
def _parsed(
    results: Path, step: str, unit: str, signature: _Signature, form: int
) -> tuple[Record, dict[str, Output]] | None:
    record = ledger_of(results).record(step, unit)
    return None if record is None else (record, {output.path: output for output in record.outputs})


def _require_sum(file: Path, sums: Sums) -> None:
    output = sums.get(file)
    if output is None:
        why = "it is not in the list of what killassay wrote here"
        raise DamageError(f"{file}: {why}. Take it away.", why=why)
    _require_same(file, output, str(file), "Restore it from a copy, or make it again.")


def _require_same(file: Path, output: Output, name: str, to_do: str) -> None:
    signature = _signature(file)
    if signature is not None and _seen.get(file) == (signature, output.sha256):
        return
    why = difference(file, output)
    if why:
        raise DamageError(f"{name} {why}. {to_do}", why=f"it {why}")
    if signature is not None:
        _seen[file] = (signature, output.sha256)


def _results_of(file: Path) -> Path | None:
    for folder in list(file.parents)[:_DEEPEST]:
        if (folder / MARK).is_file():
            return None if format_of(folder) == UNSEALED_FORMAT else folder
    return None


def _to_do(path: str) -> str:
    command = "report RESULTS" if path.startswith("tables/reviewed") else "run"
    return f"Run the same `killassay {command}` again, which makes it anew, or put back an unharmed copy."


def _signature(file: Path) -> _Signature | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
