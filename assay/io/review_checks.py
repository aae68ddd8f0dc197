"""Whether the review logs are as they were written, byte by byte."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.io.review_logs import log_files
from assay.io.review_parsing import log_bytes, parsed_log
from assay.review.chain import longest_common, read_chain


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
