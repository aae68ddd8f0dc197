"""What a model's doubts about single frames say of a whole field, in words for a person.

Knows the numbers that a segmenter gives with its labels, and what a protocol's roles leave unseen. Knows no pixels.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from assay.columns import Table
from assay.labels import CHANNEL_ROLES, CellRole, ChannelRole, Doubt

_TEXTS = ("about", "of")
_NUMBERS = ("value", "least", "most")
_TODO = "check the outlines; `killassay finetune` on some of them, or run with `--labels` of another program"
_NEEDS: Mapping[CellRole, str] = {
    "effector": "an effector dye or brightfield",
    "target": "a target dye, nuclei or brightfield",
}
_SHOWN_BY: Mapping[CellRole, tuple[ChannelRole, ...]] = {
    "effector": ("effector", "brightfield"),
    "target": ("target", "nuclei", "brightfield"),
}


def doubts_table(frame: int, doubts: Sequence[Doubt]) -> Table:
    """The doubts of one frame, a row each."""
    table: Table = {"frame": np.full(len(doubts), frame, dtype=np.int32)}
    for name in _TEXTS:
        table[name] = np.array([getattr(doubt, name) for doubt in doubts], dtype=object)
    for name in _NUMBERS:
        table[name] = np.array([getattr(doubt, name) for doubt in doubts], dtype=np.float64)
    return table


def segmentation_warnings(tables: Sequence[Mapping[str, Any]], *, masked: Collection[int]) -> list[str]:
    """What a person should know before believing the cells of a field: at most one line on outlines, one on channels.

    A number counts by its median over the usable frames; channels are called swapped only if every frame that
    was looked at says so.

    Args:
        tables: From `doubts_table`, of all the field's frames.
        masked: Frames that do not count.
    """
    rows = [row for table in tables for row in _rows(table) if row["frame"] not in masked]
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if np.isfinite(row["value"]):
            kinds.setdefault((row["about"], row["of"]), []).append(row)
    doubted = [text for (about, of), mine in kinds.items() if (text := _doubt_text(about, of, mine))]
    found = _swap_texts({of: mine for (about, of), mine in kinds.items() if about == "swap"})
    if doubted:
        found.append(f"the model doubts itself: {', '.join(doubted)}: {_TODO}")
    return found


def unseen_texts(
    roles: Collection[ChannelRole], channel_names: Sequence[str], used: Collection[str]
) -> list[str]:
    """What the model does without, and which channels nobody uses."""
    texts = []
    for role, shown_by in _SHOWN_BY.items():
        if not set(shown_by) & set(roles):
            texts.append(f"no channel shows {role}s: none will be found; that takes {_NEEDS[role]}")
        elif set(shown_by) & set(roles) == {"brightfield"}:
            texts.append(
                f"no dye shows {role}s: they are sought in brightfield, where outlines are less sure"
            )
    unused = [name for name in channel_names if name not in used]
    if unused:
        free = ", ".join(role for role in CHANNEL_ROLES if role not in roles)
        texts.append(
            f"channels without a role: {', '.join(unused)} (roles without a channel: {free or 'none'})"
        )
    return texts


def _rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("frame", *_TEXTS, *_NUMBERS)
    columns = [table[name].tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _doubt_text(about: str, of: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """One clause, or nothing where the field is as it should be."""
    value = float(np.median([row["value"] for row in rows]))
    least, most = rows[0]["least"], rows[0]["most"]
    if about == "swap" or least <= value <= most:
        return None
    if about == "wrong":
        return (
            f"about {100 * value:.0f} % of what it takes for {of}s is probably wrong (at most {100 * most:.0f} % "
            "expected)"
        )
    if about == "stray":
        return f"{100 * value:.0f} % of what looks like {of}s is in no cell (at most {100 * most:.0f} % expected)"
    return f"{of}s are {value:.0f} um2, where it knows {least:.0f} to {most:.0f}: is the pixel size right?"


def _swap_texts(swaps: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The most likely exchange, if every frame speaks for it."""
    gains = {of: min(row["value"] for row in rows) for of, rows in swaps.items()}
    clear = {of: gain for of, gain in gains.items() if gain > swaps[of][0]["most"]}
    if not clear:
        return []
    one, other = max(clear, key=lambda of: clear[of]).split()
    return [
        f"the {one} and {other} channels look swapped: exchanged, {100 * clear[f'{one} {other}']:.0f} % more of the "
        "cells would be right; check [channels] in the protocol and, if they are right, pixel size and focus"
    ]
