"""What differs between two results of one plate: which deaths, contacts and kills appeared or vanished.

Knows result tables. Cells are the same where they are: numbers of tracks may all be others. A track of one side goes with
the track of the other whose cells lie on most of its own; one that is broken on one side has its pieces go with the whole.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.columns import Table, take

NEAR_FRAMES = 2
"""Deaths of the same cell further apart are called moved."""
LEAST_SHARE = 0.1
"""A credit of less is no kill that appears or vanishes, and a change of less is none."""
LEAST_CHANGE = 0.05
"""Of the probability of a death."""

STATUSES = ("appeared", "vanished", "changed")
KINDS = ("death", "contact", "kill")
WELL_NUMBERS = ("n_targets", "n_effectors", "deaths", "kills", "cytolysis_percent")
_APART_UM = 1e6  # um that part two frames in the search for neighbours
Key = tuple[str, int]
Rows = list[dict[str, Any]]
Partners = Mapping[int, Sequence[int]]
"""Track of A -> the tracks of B that are the same cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What is other in B than in A; `events` has one row per death, contact and kill that differs."""

    events: Rows
    wells: (
        Rows  # every well of either side: its numbers in a, in b, and how many events appeared and vanished
    )
    n_same: Mapping[str, int]  # per kind
    only_a: tuple[Key, ...]  # fields that count in A only: their events vanished with them
    only_b: tuple[Key, ...]

    def count(self, kind: str, status: str, well: str | None = None) -> int:
        """How many events of a kind appeared, vanished or changed, in a well or in all."""
        return sum(
            one["kind"] == kind and one["status"] == status and well in (None, one["well"])
            for one in self.events
        )


@dataclass(slots=True)
class _Field:
    """One field's rows of one side."""

    deaths: Table
    contacts: Table
    kills: Table
    cells: Table


@dataclass(slots=True)
class _Found:
    events: Rows = field(default_factory=list)
    n_same: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def add(self, kind: str, status: str, place: Key, said: Mapping[str, Any]) -> None:
        base: dict[str, Any] = {"kind": kind, "status": status, "well": place[0], "field": place[1]}
        base |= dict.fromkeys(_SAID, math.nan) | {"what": ""}
        self.events.append(base | dict(said))


_SAID = (
    "target_a", "target_b", "effector_a", "effector_b", "frame_a", "frame_b",
    "probability_a", "probability_b", "share_a", "share_b",
)  # fmt: skip


def differences(a: Mapping[str, Table], b: Mapping[str, Table]) -> Differences:
    """Compare two results of the same plate.

    Args:
        a: The tables `deaths`, `contacts`, `kills`, `cells`, `fields` and `wells`.
        b: Of the other results.

    Returns:
        Of deaths those of targets. A death that is in both has changed where it moved by more than NEAR_FRAMES, or its
        probability by more than LEAST_CHANGE; a contact is the same where the same two touch in the same time; a kill is
        an effector's share of a death of at least LEAST_SHARE on either side.
    """
    mine, theirs = _fields(a), _fields(b)
    found = _Found()
    for place in sorted({*mine, *theirs}):
        one, other = (side.get(place) or _empty(tables) for side, tables in ((mine, a), (theirs, b)))
        _compare_field(found, place, one, other)
    return Differences(
        events=found.events,
        wells=_wells(a["wells"], b["wells"], found.events),
        n_same=found.n_same,
        only_a=tuple(sorted(mine.keys() - theirs.keys())),
        only_b=tuple(sorted(theirs.keys() - mine.keys())),
    )


def _fields(tables: Mapping[str, Table]) -> dict[Key, _Field]:
    fields = take(tables["fields"], tables["fields"]["status"] == "ok")
    found = {}
    rows = {name: _rows_by_field(tables[name]) for name in ("deaths", "contacts", "kills", "cells")}
    for key in zip(fields["well"].tolist(), fields["field"].tolist(), strict=True):
        parts = {name: take(tables[name], rows[name].get(key, _NONE)) for name in rows}
        parts["deaths"] = take(parts["deaths"], parts["deaths"]["role"] == "target")
        found[key] = _Field(**parts)
    return found


_NONE = np.zeros(0, dtype=np.int64)


def _empty(tables: Mapping[str, Table]) -> _Field:
    return _Field(**{name: take(tables[name], _NONE) for name in ("deaths", "contacts", "kills", "cells")})


def _rows_by_field(table: Table) -> dict[Key, NDArray[np.int64]]:
    found: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(table["well"].tolist(), table["field"].tolist(), strict=True)):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows, dtype=np.int64) for key, rows in found.items()}


def _compare_field(found: _Found, place: Key, a: _Field, b: _Field) -> None:
    targets, effectors = (_partners(a.cells, b.cells, role) for role in ("target", "effector"))
    deaths = _death_pairs(a.deaths, b.deaths, targets)
    _add_deaths(found, place, a.deaths, b.deaths, deaths)
    _add_contacts(
        found, place, a.contacts, b.contacts, _contact_pairs(a.contacts, b.contacts, targets, effectors)
    )
    _add_kills(found, place, a, b, deaths, effectors)


def _partners(a: Table, b: Table, role: str) -> Partners:
    """Tracks that are one cell: each lies most on the other, or on a piece of it."""
    one, other = take(a, a["role"] == role), take(b, b["role"] == role)
    rows = _same_cells(one, other)
    ids = np.stack([one["track_id"][rows[:, 0]], other["track_id"][rows[:, 1]]])
    pairs, n = np.unique(ids, axis=1, return_counts=True)
    found: dict[int, set[int]] = {}
    for i, j in _most(pairs[0], pairs[1], n).items():
        found.setdefault(i, set()).add(j)
    for j, i in _most(pairs[1], pairs[0], n).items():
        found.setdefault(i, set()).add(j)
    return {i: sorted(js) for i, js in found.items()}


def _same_cells(a: Table, b: Table) -> NDArray[np.int64]:
    """(n, 2) rows of cells that lie on one another: each other's nearest, nearer than the smaller one's radius."""
    if not len(a["frame"]) or not len(b["frame"]):
        return np.zeros((0, 2), dtype=np.int64)
    places = [np.stack([t["frame"] * _APART_UM, t["y_um"], t["x_um"]], axis=1) for t in (a, b)]
    away, nearest = cKDTree(places[1]).query(places[0])
    _, back = cKDTree(places[0]).query(places[1])
    rows = np.arange(len(nearest))
    radius = np.sqrt(np.minimum(a["area_um2"], b["area_um2"][nearest]) / math.pi)
    kept = (back[nearest] == rows) & (away <= radius)
    return np.stack([rows[kept], nearest[kept]], axis=1).astype(np.int64)


def _most(ids: NDArray[Any], others: NDArray[Any], n: NDArray[Any]) -> dict[int, int]:
    """Each track's partner in most frames; of equals the one of the smallest number."""
    order = np.lexsort((others, -n, ids))
    first = order[np.flatnonzero(np.diff(ids[order], prepend=-1))]
    return dict(zip(ids[first].tolist(), others[first].tolist(), strict=True))


def _death_pairs(a: Table, b: Table, targets: Partners) -> dict[int, int]:
    rows = _index(b["track_id"].tolist())
    close = (
        (abs(int(a["frame"][i]) - int(b["frame"][j])), i, j)
        for i, target in enumerate(a["track_id"].tolist())
        for other in targets.get(target, ())
        for j in rows.get(other, ())
    )
    return _closest(close)


def _contact_pairs(a: Table, b: Table, targets: Partners, effectors: Partners) -> dict[int, int]:
    names = ("effector_track_id", "target_track_id")
    rows = _index(list(zip(*(b[name].tolist() for name in names), strict=True)))
    close = (
        (-_overlap(a, b, i, j), i, j)
        for i, (effector, target) in enumerate(zip(*(a[name].tolist() for name in names), strict=True))
        for one in effectors.get(effector, ())
        for other in targets.get(target, ())
        for j in rows.get((one, other), ())
    )
    return _closest(entry for entry in close if entry[0] < 0)


def _overlap(a: Table, b: Table, i: int, j: int) -> int:
    first, last = max(a["first_frame"][i], b["first_frame"][j]), min(a["last_frame"][i], b["last_frame"][j])
    return int(last) - int(first) + 1


def _index(keys: Sequence[Any]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return found


def _closest(close: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    """Row of A -> row of B, the closest first and each once."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(close):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def _alone(a: Table, b: Table, pairs: Mapping[int, int]) -> list[tuple[str, str, Table, int]]:
    """(status, side, table, row) of what is on one side only."""
    n_a, n_b = (len(table["well"]) for table in (a, b))
    gone = [("vanished", "a", a, i) for i in range(n_a) if i not in pairs]
    return gone + [("appeared", "b", b, j) for j in sorted(set(range(n_b)) - set(pairs.values()))]


def _add_deaths(found: _Found, place: Key, a: Table, b: Table, pairs: Mapping[int, int]) -> None:
    for i, j in sorted(pairs.items()):
        moved = int(b["frame"][j]) - int(a["frame"][i])
        surer = float(b["probability"][j]) - float(a["probability"][i])
        words = [f"{moved:+d} frames"] if abs(moved) > NEAR_FRAMES else []
        words += [f"probability {surer:+.2f}"] if abs(surer) > LEAST_CHANGE else []
        if words:
            found.add(
                "death", "changed", place, _death("a", a, i) | _death("b", b, j) | {"what": ", ".join(words)}
            )
        else:
            found.n_same["death"] += 1
    for status, side, table, row in _alone(a, b, pairs):
        found.add("death", status, place, _death(side, table, row))


def _death(side: str, deaths: Table, row: int) -> dict[str, Any]:
    names = {"target": "track_id", "frame": "frame", "probability": "probability"}
    return {f"{name}_{side}": deaths[column][row] for name, column in names.items()}


def _add_contacts(found: _Found, place: Key, a: Table, b: Table, pairs: Mapping[int, int]) -> None:
    found.n_same["contact"] += len(pairs)
    names = {"effector": "effector_track_id", "target": "target_track_id", "frame": "first_frame"}
    for status, side, table, row in _alone(a, b, pairs):
        said = {f"{name}_{side}": table[column][row] for name, column in names.items()}
        frames = int(table["last_frame"][row]) - int(table["first_frame"][row]) + 1
        found.add("contact", status, place, said | {"what": f"{frames} frame{'s' if frames != 1 else ''}"})


def _add_kills(
    found: _Found, place: Key, a: _Field, b: _Field, deaths: Mapping[int, int], effectors: Partners
) -> None:
    """Kills of deaths in both by who did them; those of a death that is in one only came or went with it."""
    mine, theirs = _shares(a), _shares(b)
    both = [(i, j) for i, j in sorted(deaths.items())]
    alone = [(i, None) for i in range(len(a.deaths["well"])) if i not in deaths]
    alone_b = [(None, j) for j in sorted(set(range(len(b.deaths["well"]))) - set(deaths.values()))]
    for i, j in [*both, *alone, *alone_b]:
        left = dict(theirs.get(j, {})) if j is not None else {}
        base = (_death("a", a.deaths, i) if i is not None else {}) | (
            _death("b", b.deaths, j) if j is not None else {}
        )
        for effector, share in mine.get(i, {}).items() if i is not None else ():
            partner = next((one for one in effectors.get(effector, ()) if one in left), None)
            other = left.pop(partner) if partner is not None else 0.0
            said = base | {"effector_a": effector, "share_a": share}
            said |= {"effector_b": partner, "share_b": other} if partner is not None else {}
            _add_kill(found, place, said, share, other)
        for effector, share in left.items():
            _add_kill(found, place, base | {"effector_b": effector, "share_b": share}, 0.0, share)


def _add_kill(found: _Found, place: Key, said: dict[str, Any], share: float, other: float) -> None:
    if max(share, other) < LEAST_SHARE:
        return
    if share < LEAST_SHARE or other < LEAST_SHARE:
        found.add("kill", "appeared" if share < LEAST_SHARE else "vanished", place, said)
    elif abs(other - share) >= LEAST_SHARE:
        found.add("kill", "changed", place, said | {"what": f"share {other - share:+.2f}"})
    else:
        found.n_same["kill"] += 1


def _shares(side: _Field) -> dict[int, dict[int, float]]:
    """Row of a death -> effector -> its share."""
    row_of = {number: row for row, number in enumerate(side.deaths["death_id"].tolist())}
    found: dict[int, dict[int, float]] = {}
    kills = side.kills
    for number, effector, share in zip(
        kills["death_id"].tolist(), kills["effector_track_id"].tolist(), kills["share"].tolist(), strict=True
    ):
        if number in row_of:
            found.setdefault(row_of[number], {})[effector] = share
    return found


def _wells(a: Table, b: Table, events: Rows) -> Rows:
    """Every well: its numbers in a and b, and what appeared and vanished; NaN where a side has no such number."""
    counted: dict[tuple[str, str, str], int] = {}
    for one in events:
        key = (one["well"], one["kind"], one["status"])
        counted[key] = counted.get(key, 0) + 1
    sides = [{str(well): row for row, well in enumerate(table["well"].tolist())} for table in (a, b)]
    rows = []
    for well in sorted({*sides[0], *sides[1]}):
        row: dict[str, Any] = {"well": well}
        for name in WELL_NUMBERS:
            for letter, table, rows_of in zip("ab", (a, b), sides, strict=True):
                value = table[name][rows_of[well]] if well in rows_of else None
                row[f"{name}_{letter}"] = math.nan if value is None else float(value)
        row |= {
            f"{kind}s_{status}": counted.get((well, kind, status), 0) for kind in KINDS for status in STATUSES
        }
        rows.append(row)
    return rows


def event_table(found: Differences) -> Table:
    """`events` as columns, for a file."""
    names = ("kind", "status", "well", "field", *_SAID, "what")
    columns: Table = {}
    for name in names:
        values = [one[name] for one in found.events]
        kind: Any = (
            object
            if name in ("kind", "status", "well", "what")
            else np.int64
            if name == "field"
            else np.float64
        )
        columns[name] = np.array(values, dtype=kind)
    return columns
