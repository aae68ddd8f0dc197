"""Lines of a log that vouch for each other: each holds the hash of the one before, so an altered byte is found.

A log is its header and then one line per decision, each a JSON object in one fixed spelling. Whoever rewrites a
whole log can make its hashes anew: this finds damage and quiet edits, it is no signature.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

START = "0" * 64
MAX_LINE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """The first line of a log that is not as it was written."""

    line: int  # from 1
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """What a log says, as far as it is whole."""

    records: tuple[Mapping[str, Any], ...]  # without prev and hash
    hashes: tuple[str, ...]
    bad: BadLine | None  # nothing from here on was read
    torn: bool  # the last line was never finished, so its decision was never acknowledged


def canonical(record: Mapping[str, Any]) -> bytes:
    """The one spelling of a record: keys in order, no spaces, ASCII.

    Raises:
        ValueError: It holds a number that is not finite.
    """
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def chained_line(record: Mapping[str, Any], prev: str) -> tuple[bytes, str]:
    """A line with its end, and its hash for the next one."""
    body = {**record, "prev": prev}
    digest = hashlib.sha256(canonical(body)).hexdigest()
    return canonical({**body, "hash": digest}) + b"\n", digest


def read_chain(data: bytes) -> ReadLog:
    """Read the lines of a log up to the first that is not as it was written.

    A last line without its end was being written when the writer died: it is left out, which is no fault.
    """
    *lines, tail = data.split(b"\n")
    if tail.endswith(b"}") and _is_whole(tail):  # only its end is missing: it says what it was meant to say
        lines, tail = [*lines, tail], b""
    records: list[Mapping[str, Any]] = []
    hashes: list[str] = []
    bad = None
    for number, line in enumerate(lines, start=1):
        record, why = _checked(line, hashes[-1] if hashes else START)
        if record is None:
            bad = BadLine(line=number, why=why)
            break
        hashes.append(str(record.pop("hash")))
        record.pop("prev")
        records.append(record)
    if bad is None and tail and not _is_torn(tail):
        bad = BadLine(line=len(lines) + 1, why="the end of the line is not as it was written")
    return ReadLog(records=tuple(records), hashes=tuple(hashes), bad=bad, torn=bad is None and bool(tail))


def verify_chain(lines: Iterable[bytes]) -> BadLine | None:
    """The first line (each with its end) that is not as it was written, if there is one."""
    return read_chain(b"".join(lines)).bad


def _checked(line: bytes, prev: str) -> tuple[dict[str, Any] | None, str]:
    if len(line) > MAX_LINE_BYTES:
        return None, f"it has {len(line)} bytes, more than any decision"
    try:
        record = json.loads(line.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None, "it is not readable JSON"
    if not isinstance(record, dict) or not isinstance(record.get("hash"), str):
        return None, "it is no record of a review"
    body = {name: value for name, value in record.items() if name != "hash"}
    try:
        spelled, digest = canonical(record), hashlib.sha256(canonical(body)).hexdigest()
    except (ValueError, RecursionError):
        return None, "it holds what no decision holds"
    if digest != record["hash"] or spelled != line:
        return None, "it was changed after it was written"
    if record.get("prev") != prev:
        return None, "the line before it is missing, or is another one"
    return record, ""


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number of a decision")


def _is_torn(tail: bytes) -> bool:
    """Whether this can be the beginning of a line; a whole one with another end is none."""
    if len(tail) > MAX_LINE_BYTES or not tail.isascii() or not tail.startswith(b'{"'[: len(tail)]):
        return False
    try:
        json.JSONDecoder().raw_decode(tail.decode("ascii"))
    except (ValueError, RecursionError):
        return True
    return False


def _is_whole(tail: bytes) -> bool:
    try:
        return isinstance(json.loads(tail), dict)
    except (ValueError, RecursionError):
        return False


def longest_common(hashes: Sequence[str], n_lines: int, last: str) -> bool:
    """Whether a log still holds the `n_lines` lines, the last with this hash, that somebody saw in it."""
    return len(hashes) >= n_lines > 0 and hashes[n_lines - 1] == last
