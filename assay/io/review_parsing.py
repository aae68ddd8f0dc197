"""What a review log's bytes say, and why not where they cannot be trusted; logs come from anywhere."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.review.chain import ReadLog
from assay.review.decisions import Decision, decision_of

FORMAT = 1
SUFFIX = ".jsonl"
MAX_LOG_BYTES = 1 << 30

_LOG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]{0,60}\.jsonl")
_HEADER = {"killassay", "format", "plate", "tables", "reader", "sitting", "utc", "blinding", "seen"}


def log_bytes(path: Path) -> tuple[bytes | None, str]:
    """(what a log holds, why it is not read)."""
    if not _LOG_NAME.fullmatch(path.name):
        return None, "its name is not one that killassay gives"
    if path.is_symlink() or not path.is_file():
        return None, "it is a link or no file, which no log is"
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            return None, f"it is larger than {MAX_LOG_BYTES >> 20} MB, which no log is"
        return path.read_bytes(), ""
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"


def parsed_log(path: Path, chain: ReadLog) -> tuple[tuple[Decision, ...], Mapping[str, Any], str]:
    """(decisions, header, what is wrong, as the rest of a sentence that begins with the file's name)."""
    if chain.bad is not None:
        return (), {}, f", line {chain.bad.line}: {chain.bad.why}"
    if not chain.records:
        return (), {"tables": {}, "reader": "", "sitting": path.stem}, ""  # the writer died at the header
    header = chain.records[0]
    if not _is_header(header):
        return (), {}, f", line 1: it is no header of a review log of format {FORMAT}"
    if header["sitting"] != path.stem:
        return (
            (),
            header,
            f", line 1: it was written as {header['sitting']}{SUFFIX}, the file was renamed or copied",
        )
    decisions = []
    for line, record in enumerate(chain.records[1:], start=2):
        try:
            decision = decision_of(record)
        except ResultsError as error:
            return (), header, f", line {line}: {error}"
        if (decision.sitting, decision.number, decision.reader) != (path.stem, line - 1, header["reader"]):
            return (), header, f", line {line}: it belongs to another log"
        decisions.append(decision)
    return tuple(decisions), header, ""


def _is_header(header: Mapping[str, Any]) -> bool:
    texts = ("killassay", "plate", "reader", "sitting", "utc")
    return (
        set(header) == _HEADER
        and header["format"] == FORMAT
        and all(isinstance(header[name], str) for name in texts)
        and isinstance(header["tables"], dict)
        and isinstance(header["blinding"], dict | None)
        and isinstance(header["seen"], dict)
        and all(
            isinstance(entry, list)
            and len(entry) == 2
            and isinstance(entry[0], int)
            and isinstance(entry[1], str)
            for entry in header["seen"].values()
        )
    )
