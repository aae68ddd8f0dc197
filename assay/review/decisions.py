"""A decision: who says what about which event, when, and what stood there before.

Decisions are never changed and never taken away; undoing one is a decision too. They name events, never label
values, and carry the place of the target (its anchor), so that an event is found again when results were made anew
and its number is another one.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.errors import ResultsError

REASONS = ("debris", "division", "left_field", "segmentation", "already_dead", "other")
"""Why a death is rejected."""

EVENT_VERBS = ("accept", "reject", "unsure", "retime", "killer", "add", "flag", "settle")
TRACK_VERBS = ("split", "join", "swap")
HISTORY_VERBS = ("undo", "redo")
VERBS = (*EVENT_VERBS, *TRACK_VERBS, "labels", *HISTORY_VERBS)

SETTLED = ("accepted", "rejected", "unsure")
"""What a disagreement can be settled as."""

MAX_TEXT = 4000  # of a note, in characters
_NAME = re.compile(r"[A-P]{1,2}[0-9]{1,2}|[A-Za-z0-9]{1,12}")
_EVENT = re.compile(r"[A-Za-z0-9]{1,12}/[0-9]{1,6}/(d[0-9]{1,12}|new-[0-9a-f]{6,16})")
_PATCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,150}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_MAX_NUMBER = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing a reader said."""

    verb: str
    event: str = ""  # name of the event; empty where tracks or labels are meant
    values: Mapping[str, Any] = field(default_factory=dict)  # what it sets
    was: Mapping[str, Any] = field(default_factory=dict)  # what stood before
    reason: str = ""  # of a rejection, one of REASONS
    note: str = ""
    anchor: Mapping[str, Any] = field(default_factory=dict)  # frame, y_um, x_um of the target
    reader: str = ""
    sitting: str = ""
    number: int = 0  # from 1, within the sitting
    utc: str = ""  # 2026-11-22T21:44:01.123Z
    dwell_ms: int = 0  # how long the event was looked at
    blinded: bool = False
    reading: int = 1  # 2 where a blinded reader was shown the event again

    @property
    def key(self) -> tuple[str, int]:
        """What names this decision among all of a plate."""
        return self.sitting, self.number

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **asdict(self),
            "values": dict(self.values),
            "was": dict(self.was),
            "anchor": dict(self.anchor),
        }


_FIELDS: dict[str, type] = {
    "verb": str,
    "event": str,
    "values": dict,
    "was": dict,
    "reason": str,
    "note": str,
    "anchor": dict,
    "reader": str,
    "sitting": str,
    "number": int,
    "utc": str,
    "dwell_ms": int,
    "blinded": bool,
    "reading": int,
}


def decision_of(record: Mapping[str, Any]) -> Decision:
    """A decision from plain data, checked.

    Raises:
        ResultsError: It says something that no decision can say.
    """
    strange = sorted(set(record) - set(_FIELDS))
    absent = sorted(set(_FIELDS) - set(record))
    if strange or absent:
        raise ResultsError(
            f"a decision has the parts {', '.join(_FIELDS)}; got {', '.join(map(str, record))[:300]}."
        )
    for name, kind in _FIELDS.items():
        value = record[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ResultsError(f"{name} of a decision: expected {kind.__name__}, got {_short(value)}.")
    if not _UTC.fullmatch(record["utc"]):
        raise ResultsError(
            f"utc of a decision: expected as 2026-11-22T21:44:01.123Z, got {_short(record['utc'])}."
        )
    decision = Decision(**record)
    check_decision(decision)
    return decision


def check_decision(decision: Decision) -> None:
    """Refuse what cannot be meant.

    Raises:
        ResultsError: An unknown verb, or values that do not belong to it.
    """
    check = _CHECKS.get(decision.verb)
    if check is None:
        raise ResultsError(f"verb {_short(decision.verb)}: expected one of {', '.join(VERBS)}.")
    if decision.event and not _EVENT.fullmatch(decision.event):
        raise ResultsError(f"event {_short(decision.event)}: expected a name as B03/0/d17.")
    if decision.verb in EVENT_VERBS and not decision.event:
        raise ResultsError(f"{decision.verb}: which event is meant is not said.")
    if len(decision.note) > MAX_TEXT or len(decision.reader) > 200:
        raise ResultsError(f"{decision.verb}: the note is longer than {MAX_TEXT} characters.")
    if decision.number < 0 or decision.reading not in (1, 2) or decision.dwell_ms < 0:
        raise ResultsError(f"{decision.verb}: number, reading or dwell_ms cannot be true.")
    for name, value in decision.anchor.items():
        if name not in ("frame", "y_um", "x_um") or not _is_number(value):
            raise ResultsError(f"{decision.verb}: anchor {_short(name)} = {_short(value)}.")
    check(decision)


def _plain(decision: Decision) -> None:
    _only(decision)


def _reject(decision: Decision) -> None:
    _only(decision)
    if decision.reason not in REASONS:
        raise ResultsError(f"reject: reason {_short(decision.reason)}, expected one of {', '.join(REASONS)}.")


def _retime(decision: Decision) -> None:
    _only(decision, "frame")
    _whole(decision, "frame", least=0)


def _killer(decision: Decision) -> None:
    _only(decision, "effector_track_id", "effector_frame", "effector_y_um", "effector_x_um")
    _effector(decision)


def _effector(decision: Decision) -> None:
    if decision.values.get("effector_track_id", 0) is not None:
        _whole(decision, "effector_track_id", least=1)
    for name in ("effector_frame", "effector_y_um", "effector_x_um"):
        if name in decision.values and not _is_number(decision.values[name]):
            raise ResultsError(f"{decision.verb}: {name} {_short(decision.values[name])}, expected a number.")


def _add(decision: Decision) -> None:
    _only(decision, "well", "field", "target_track_id", "frame")
    _well_and_field(decision)
    _whole(decision, "target_track_id", least=1)
    _whole(decision, "frame", least=0)
    place = f"{decision.values['well']}/{decision.values['field']}/"
    if not decision.event.startswith(place + "new-"):
        raise ResultsError(f"add: event {_short(decision.event)} does not lie in {place}.")


def _flag(decision: Decision) -> None:
    _only(decision, "flag")
    if not isinstance(decision.values.get("flag"), bool):
        raise ResultsError(f"flag: expected true or false, got {_short(decision.values.get('flag'))}.")


def _settle(decision: Decision) -> None:
    _only(
        decision, "status", "frame", "effector_track_id", "effector_frame", "effector_y_um", "effector_x_um"
    )
    if decision.values.get("status") not in SETTLED:
        raise ResultsError(
            f"settle: status {_short(decision.values.get('status'))}, expected {', '.join(SETTLED)}."
        )
    if "frame" in decision.values:
        _whole(decision, "frame", least=0)
    if "effector_track_id" in decision.values:
        _effector(decision)


def _history(decision: Decision) -> None:
    _only(decision, "number", "sitting")
    _whole(decision, "number", least=1)
    if not isinstance(decision.values.get("sitting", ""), str):
        raise ResultsError(f"{decision.verb}: sitting {_short(decision.values['sitting'])}, expected text.")


def _tracks(decision: Decision) -> None:
    _well_and_field(decision)
    for name, value in decision.values.items():
        if name in ("well", "field", "role"):
            continue
        if not re.fullmatch(r"[a-z_]{1,40}", name) or not (_is_number(value) or value is None):
            raise ResultsError(f"{decision.verb}: {_short(name)} = {_short(value)}, expected a number.")
    _role(decision)
    _whole(decision, "frame", least=0)


def _labels(decision: Decision) -> None:
    _only(decision, "well", "field", "role", "frame", "patch", "sha256")
    _well_and_field(decision)
    _role(decision)
    _whole(decision, "frame", least=0)
    patch, digest = decision.values.get("patch"), decision.values.get("sha256")
    if not isinstance(patch, str) or not _PATCH.fullmatch(patch) or ".." in patch:
        raise ResultsError(f"labels: patch {_short(patch)}, expected the plain name of a file in review/.")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ResultsError(f"labels: sha256 {_short(digest)}, expected 64 hexadecimal digits.")


_CHECKS: dict[str, Callable[[Decision], None]] = {
    "accept": _plain,
    "reject": _reject,
    "unsure": _plain,
    "retime": _retime,
    "killer": _killer,
    "add": _add,
    "flag": _flag,
    "settle": _settle,
    "undo": _history,
    "redo": _history,
    "split": _tracks,
    "join": _tracks,
    "swap": _tracks,
    "labels": _labels,
}


def _only(decision: Decision, *names: str) -> None:
    strange = sorted(set(decision.values) - set(names), key=str)
    if strange:
        raise ResultsError(f"{decision.verb} does not set {_short(strange[0])}.")


def _whole(decision: Decision, name: str, *, least: int) -> None:
    value = decision.values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MAX_NUMBER:
        raise ResultsError(f"{decision.verb}: {name} {_short(value)}, expected a whole number from {least}.")


def _well_and_field(decision: Decision) -> None:
    well = decision.values.get("well")
    if not isinstance(well, str) or not _NAME.fullmatch(well):
        raise ResultsError(f"{decision.verb}: well {_short(well)}, expected a name as B03.")
    _whole(decision, "field", least=0)


def _role(decision: Decision) -> None:
    if decision.values.get("role") not in ("effector", "target"):
        raise ResultsError(
            f"{decision.verb}: role {_short(decision.values.get('role'))}, expected effector or target."
        )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= _MAX_NUMBER


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
