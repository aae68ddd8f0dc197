"""True tracks, contacts, deaths and credit in the place of ours, for cells that have other ids than the true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.columns import TABLES, Table, table_of_rows
from assay.labels import CELL_ROLES, CellRole
from assay.pipeline.event_tables import engagements_of, engagements_text
from assay.score.deaths import pair_deaths, window_frames
from assay.score.matching import Identities
from benchmarks.ladder_films import Matched

NEAR_FRAMES = 10  # so far from its death a cell is looked for where it is not seen

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WhoIsWho:
    """Which of our tracks shows a true cell in a frame."""

    track_of: Mapping[CellRole, Mapping[tuple[int, int], int]]  # (frame, true id) -> track id

    def in_frames(self, role: CellRole, true_id: int, frames: Sequence[int]) -> list[int | None]:
        """Our track in each frame; where the cell is not seen, that of the frame before, or else after."""
        seen = [self.track_of[role].get((frame, true_id)) for frame in frames]
        for order in (range(1, len(seen)), range(len(seen) - 2, -1, -1)):
            step = 1 if order.step > 0 else -1
            for place in order:
                if seen[place] is None:
                    seen[place] = seen[place - step]
        return seen

    def at(self, role: CellRole, true_id: int, frame: int) -> int | None:
        """Our track at a frame, or at the nearest one in which the cell is seen; the earlier one of two."""
        for away in range(NEAR_FRAMES + 1):
            for near in (frame - away, frame + away):
                track = self.track_of[role].get((near, true_id))
                if track is not None:
                    return track
        return None


def who_is_who(matched: Mapping[CellRole, Matched], rows: Mapping[CellRole, Table]) -> WhoIsWho:
    """Put the matched cells and the linked rows of one field together.

    Args:
        matched: Who each label is, of each role.
        rows: "frame", "label" and "track_id" of every linked cell, of each role.
    """
    track_of: dict[CellRole, dict[tuple[int, int], int]] = {}
    for role in CELL_ROLES:
        mine, cells = rows[role], matched[role]
        names = ("frame", "label", "track_id")
        linked = {(f, label): t for f, label, t in zip(*(mine[name].tolist() for name in names), strict=True)}
        who = zip(cells.who_frame.tolist(), cells.who_true.tolist(), cells.who_label.tolist(), strict=True)
        track_of[role] = {
            (frame, true): linked[frame, label] for frame, true, label in who if (frame, label) in linked
        }
    return WhoIsWho(track_of)


def rows_of_table(table: Table) -> list[Row]:
    """One mapping per row."""
    names = list(table)
    return [
        dict(zip(names, row, strict=True)) for row in zip(*(table[n].tolist() for n in names), strict=True)
    ]


def our_contacts(true: Table, who: WhoIsWho) -> tuple[list[Row], dict[int, int]]:
    """The true contacts between our tracks; one that our tracks break is several.

    Returns:
        Rows of a contacts table, and true contact id -> the last of the rows it became.
    """
    rows: list[Row] = []
    last_of: dict[int, int] = {}
    for row in rows_of_table(true):
        frames = range(row["first_frame"], row["last_frame"] + 1)
        effectors = who.in_frames("effector", row["effector_track_id"], frames)
        targets = who.in_frames("target", row["target_track_id"], frames)
        start = 0
        for place in range(1, len(frames) + 1):
            pair = (effectors[start], targets[start])
            if place < len(frames) and (effectors[place], targets[place]) == pair:
                continue
            if None not in pair:
                last_of[row["contact_id"]] = len(rows) + 1
                rows.append(
                    {
                        **row,
                        "contact_id": len(rows) + 1,
                        "effector_track_id": pair[0],
                        "target_track_id": pair[1],
                        "first_frame": frames[start],
                        "last_frame": frames[place - 1],
                    }
                )
            start = place
    return rows, last_of


def fill_from_ours(rows: Sequence[Row], ours: Sequence[Row]) -> list[Row]:
    """What the truth does not say of a contact, as when the effector held on, from ours of the same two cells.

    The one that shares most frames; a contact of which none of ours knows stays as it is.
    """
    of_pair: dict[tuple[int, int], list[Row]] = {}
    for row in ours:
        of_pair.setdefault((row["effector_track_id"], row["target_track_id"]), []).append(row)
    filled: list[Row] = []
    for row in rows:
        best, most = {}, 0
        for mine in of_pair.get((row["effector_track_id"], row["target_track_id"]), []):
            shared = (
                1 + min(row["last_frame"], mine["last_frame"]) - max(row["first_frame"], mine["first_frame"])
            )
            if shared > most:
                best, most = mine, shared
        filled.append(_within({**row, **{name: v for name, v in best.items() if _unknown(row.get(name))}}))
    return filled


def _within(row: Row) -> Row:
    """An effector holds on during the contact, which may be shorter than ours."""
    begins, ends = row["first_frame"], row["last_frame"]
    held = [
        (max(a, begins), min(b, ends), sure)
        for a, b, sure in engagements_of(row.get("engagements") or "")
        if a <= ends and b >= begins
    ]
    inside = {**row, "engagements": engagements_text(held)}
    first, last = row.get("engaged_first_frame"), row.get("engaged_last_frame")
    if _unknown(first) or _unknown(last):
        return inside
    first, last = max(first, begins), min(last, ends)
    if first > last:
        return {**inside, "n_engagements": 0, "engaged_first_frame": None, "engaged_last_frame": None}
    return {**inside, "engaged_first_frame": first, "engaged_last_frame": last}


def _unknown(value: Any) -> bool:
    return value is None or value != value


def our_deaths(true: Table, who: WhoIsWho) -> list[Row]:
    """The true deaths on our tracks, each at its true frame; of cells that we never saw near it there is none."""
    rows: list[Row] = []
    for row in rows_of_table(true):
        track = who.at(row["role"], row["track_id"], row["frame"])
        if track is not None and all((r["role"], r["track_id"]) != (row["role"], track) for r in rows):
            rows.append({**row, "death_id": len(rows) + 1, "track_id": track})
    return rows


def our_dead_from_start(true_cells: Table, true_deaths: Table, who: WhoIsWho) -> dict[str, list[int]]:
    """Tracks whose cell was dead when first seen."""
    found: dict[str, list[int]] = {}
    for role in CELL_ROLES:
        mine = true_cells["role"] == role
        died = set(true_deaths["track_id"][true_deaths["role"] == role].tolist())
        frame, track_id = true_cells["frame"][mine], true_cells["track_id"][mine]
        dead = true_cells["dead"][mine].astype(bool)
        first = np.lexsort((frame, track_id))
        _, begins = np.unique(track_id[first], return_index=True)
        rows = first[begins]
        ids = [
            who.track_of[role].get((int(frame[row]), int(track_id[row])))
            for row in rows[dead[rows]]
            if int(track_id[row]) not in died
        ]
        found[role] = sorted({track for track in ids if track is not None})
    return found


def credit_of_truth(
    true: Mapping[str, Table],
    called: Mapping[str, Table],
    who: WhoIsWho,
    *,
    targets: Identities,
    frame_min: float,
) -> tuple[list[Row], list[Row], dict[int, float]]:
    """Our deaths of one field with their true shares; a death that is none goes to nobody.

    Args:
        true: The truth's contacts, deaths and kills of the field.
        called: Our deaths.
        who: Which of our tracks shows whom.
        targets: Who our targets are.
        frame_min: Frame interval.

    Returns:
        Rows of contacts (the true ones on our tracks), rows of kills, and death id -> uncredited share.
    """
    contacts, last_of = our_contacts(true["contacts"], who)
    of_targets = {side: _targets(table["deaths"]) for side, table in (("true", true), ("called", called))}
    pairs = pair_deaths(of_targets["true"], of_targets["called"], targets=targets)
    uncredited = dict.fromkeys(of_targets["called"]["death_id"].tolist(), 1.0)
    kills: list[Row] = []
    for true_row, row, error in zip(pairs.true_rows, pairs.called_rows, pairs.error_frames, strict=True):
        if abs(int(error)) > window_frames(frame_min):
            continue
        death_id = int(of_targets["called"]["death_id"][row])
        true_id = int(of_targets["true"]["death_id"][true_row])
        for kill in rows_of_table(true["kills"]):
            contact = last_of.get(kill["contact_id"])
            if kill["death_id"] != true_id or contact is None:
                continue
            uncredited[death_id] -= kill["share"]
            kills.append(
                {
                    **kill,
                    "death_id": death_id,
                    "target_track_id": int(of_targets["called"]["track_id"][row]),
                    "effector_track_id": contacts[contact - 1]["effector_track_id"],
                    "contact_id": contact,
                }
            )
    return contacts, kills, {death: max(share, 0.0) for death, share in uncredited.items()}


def _targets(deaths: Table) -> Table:
    keep = deaths["role"] == "target"
    return {name: column[keep] for name, column in deaths.items()}


def mark_dead_targets(contacts: list[Row], deaths: Sequence[Row], dead_from_start: Sequence[int]) -> None:
    """Say of each contact whether it began after its target's death, by these deaths."""
    died = {row["track_id"]: row["frame"] for row in deaths if row["role"] == "target"}
    died |= dict.fromkeys(dead_from_start, -1)
    for row in contacts:
        death = died.get(row["target_track_id"])
        row["target_dead"] = death is not None and row["first_frame"] > death


def table_from(name: str, rows: Sequence[Row]) -> Table:
    """A table of rows; columns that the truth does not have are empty."""
    empty = {"text": "", "int": 0, "float": float("nan"), "bool": False}
    filled = [
        {c.name: row.get(c.name, None if c.nullable else empty[c.kind]) for c in TABLES[name]} for row in rows
    ]
    return table_of_rows(name, filled)
