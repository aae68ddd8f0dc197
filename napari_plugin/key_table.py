"""The keys of the review, in one table: it feeds the key handler, the help and the docs.

Knows names of keys and what they do. Knows no window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from assay.errors import AssayError


class KeyTableError(AssayError, ValueError):
    """The keys as set by the user cannot be used."""


@dataclass(frozen=True, slots=True)
class Key:
    """One action and the keys that do it, written as Qt writes them."""

    action: str
    keys: tuple[str, ...]
    title: str
    group: str
    repeats: bool = False  # whether holding the key goes on doing it


KEYS: tuple[Key, ...] = (
    Key("accept", ("A",), "accept: the death is real, as shown", "Decide"),
    Key("reject", ("R",), "reject, then 1-6 for the reason", "Decide"),
    Key("unsure", ("U",), "unsure: leave it as the pipeline has it", "Decide"),
    Key("settle", ("S",), "settle a disagreement, then 1-6 as what", "Decide"),
    Key("undo", ("Ctrl+Z",), "undo the last decision", "Decide"),
    Key("redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "do it again", "Decide"),
    Key("next", ("N",), "next pending event", "Move"),
    Key("previous", ("P",), "previous pending event", "Move"),
    Key("next_any", ("Shift+N",), "next event, pending or not", "Move"),
    Key("previous_any", ("Shift+P",), "previous event, pending or not", "Move"),
    Key("centre", ("C",), "back to the pair and its frame", "Move"),
    Key("retime", ("T",), "dies in this frame (or drag the red line)", "Correct"),
    Key("cycle_killer", ("E",), "the next candidate is the killer", "Correct"),
    Key("killer_1", ("1",), "candidate 1 is the killer", "Correct"),
    Key("killer_2", ("2",), "candidate 2 is the killer", "Correct"),
    Key("killer_3", ("3",), "candidate 3 is the killer", "Correct"),
    Key("killer_4", ("4",), "candidate 4 is the killer", "Correct"),
    Key("nobody", ("0",), "nobody killed it", "Correct"),
    Key("add_missed", ("Ins",), "add a missed death under the cursor", "Correct"),
    Key("flag", ("F",), "flag, with a note", "Correct"),
    Key("unflag", ("Shift+F",), "take the flag away", "Correct"),
    Key("pause", ("Space",), "stop or play the film", "Film"),
    Key("frame_back", ("Left",), "one frame back", "Film", repeats=True),
    Key("frame_on", ("Right",), "one frame on", "Film", repeats=True),
    Key("slower", ("[",), "film slower", "Film"),
    Key("faster", ("]",), "film faster", "Film"),
    Key("help", ("?", "F1"), "show or hide this sheet", "Film"),
)

REASON_KEYS: tuple[tuple[str, str, str], ...] = (
    ("1", "debris", "debris"),
    ("2", "division", "division"),
    ("3", "left_field", "left the field"),
    ("4", "segmentation", "outline"),
    ("5", "already_dead", "dead before"),
    ("6", "other", "other"),
)
"""(key, reason, how it is called) after `R`."""


def key_table(changes: Mapping[str, str] | None = None) -> tuple[Key, ...]:
    """The table with the user's own keys in it.

    Args:
        changes: Action -> its keys, several parted by blanks, as "accept": "A Return".

    Raises:
        KeyTableError: There is no such action, or a key would do two things.
    """
    changes = changes or {}
    actions = {key.action for key in KEYS}
    strange = sorted(set(changes) - actions)
    if strange:
        raise KeyTableError(
            f"keys: there is no action {strange[0]!r}. Actions: {', '.join(sorted(actions))}."
        )
    table = tuple(
        replace(key, keys=tuple(changes[key.action].split())) if key.action in changes else key
        for key in KEYS
    )
    taken: dict[str, str] = {}
    for key in table:
        for name in key.keys:
            other = taken.setdefault(name.lower(), key.action)
            if other != key.action:
                raise KeyTableError(
                    f"keys: {name} would do both {other} and {key.action}. Give one of them another key."
                )
    return table


def parse_changes(text: str) -> dict[str, str]:
    """Understand "accept=A Return; reject=X" as napari's preferences hold it.

    Raises:
        KeyTableError: A part is not `action=keys`.
    """
    changes = {}
    for part in text.split(";"):
        action, sign, keys = part.partition("=")
        if part.strip():
            if not sign or not keys.strip():
                raise KeyTableError(
                    f"keys: {part.strip()!r} is not understood. Write action=key, as accept=A."
                )
            changes[action.strip()] = keys.strip()
    return changes


def keys_markdown(table: tuple[Key, ...] = KEYS) -> str:
    """The table for the docs."""
    lines = ["| key | does |", "| --- | --- |"]
    for group in dict.fromkeys(key.group for key in table):
        lines.append(f"| **{group}** | |")
        for key in table:
            if key.group == group:
                names = " or ".join(f"`{name}`" for name in key.keys)
                lines.append(f"| {names} | {key.title} |")
    return "\n".join(lines) + "\n"
