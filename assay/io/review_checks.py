"""Whether the review logs are as they were written, byte by byte."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.results import Results
from assay.io.review_logs import log_files, log_folders
from assay.io.review_parsing import log_bytes, parsed_log
from assay.review.chain import longest_common, read_chain

REVIEWED = "reviewed"
"""Step of the ledger that vouches for the reviewed tables, and says up to where they count the logs."""


def verify_logs(folder: Path) -> list[str]:
    """Everything in a folder of logs that is not as it was written, one line each; empty where all is well."""
    found, hashes, headers = [], {}, {}
    for path in log_files(folder):
        data, why = log_bytes(path)
        if data is None:
            found.append(f"{path.name}: {why}")
            continue
        chain = read_chain(data)
        _, headers[path.name], bad = parsed_log(path, chain)
        hashes[path.name] = chain.hashes
        if bad:
            found.append(f"{path.name}{bad}")
    for name, header in headers.items():
        found += _cut_short(name, header, hashes)
    return found


def log_ends(results: Results) -> dict[str, list[Any]]:
    """Of every log of RESULTS how many lines it has and the hash of its last."""
    ends: dict[str, list[Any]] = {}
    for path in (path for folder in log_folders(results) for path in log_files(folder)):
        data, _ = log_bytes(path)
        hashes = read_chain(data).hashes if data else ()
        if len(hashes) > ends.get(path.name, [0])[0]:  # of two copies of a log the longer counts
            ends[path.name] = [len(hashes), hashes[-1]]
    return ends


def lost_decisions(results: Results) -> list[str]:
    """Logs that hold less now than when the reviewed tables were made, one line each."""
    record = results.ledger.record(REVIEWED, "plate")
    counted = {} if record is None else record.facts.get("logs", {})
    hashes: dict[str, tuple[str, ...]] = {}
    for path in (path for folder in log_folders(results) for path in log_files(folder)):
        data, _ = log_bytes(path)
        chain = read_chain(data).hashes if data else ()
        hashes[path.name] = max(chain, hashes.get(path.name, ()), key=len)
    found = []
    for name, (n_lines, last) in sorted(counted.items()):
        if name not in hashes:
            found.append(f"{name}: missing; the reviewed tables count its {n_lines} lines")
        elif not longest_common(hashes[name], n_lines, last):
            found.append(f"{name}: has {len(hashes[name])} lines; the reviewed tables count {n_lines}")
    return found


def require_no_decision_lost(results: Results) -> None:
    """Refuse logs that hold less than was counted already.

    Raises:
        ResultsError: One was cut short or is gone.
    """
    lost = lost_decisions(results)
    if lost:
        raise ResultsError(
            f"{results.path}/review/{lost[0]}. Put back an unharmed copy; to go on without what is lost, delete "
            f"ledger/{REVIEWED}/plate.json."
        )


def contradicting_copies(results: Results) -> list[str]:
    """Logs of one name that say different things, so that neither can be a copy of the other, one line each."""
    found, first = [], dict[str, tuple[Path, bytes]]()
    for path in (path for folder in log_folders(results) for path in log_files(folder)):
        data, _ = log_bytes(path)
        if data is None:  # said by verify_logs
            continue
        known, other = first.setdefault(path.name, (path, data))
        if not (data.startswith(other) or other.startswith(data)):
            found.append(f"{path}: {known} has the same name and says other things")
    return found


def _cut_short(name: str, header: Mapping[str, Any], hashes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Logs that this one saw when it began, and that hold less now."""
    seen = header.get("seen")
    found = []
    for other, entry in seen.items() if isinstance(seen, dict) else ():
        if other not in hashes:
            found.append(f"{other}: missing; {name} saw it with {entry[0]} lines")
        elif not longest_common(hashes[other], *entry):
            found.append(f"{other}: has {len(hashes[other])} lines; {name} saw {entry[0]}")
    return found
