"""The events that a person reviews: the target deaths of a plate with who is credited, and who else could be.

After them come the deaths that were too doubtful to be called (the table doubtful_deaths): they count nowhere until a
reader accepts one. They have no number (`death_id` 0) and the name of the event that a reader would add.

Knows the result tables; knows no decisions.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, concatenate, length, take

EVENT_COLUMNS = (
    "event",
    "well",
    "field",
    "death_id",
    "target_track_id",
    "frame",
    "first_possible_frame",
    "last_possible_frame",
    "time_min",
    "probability",
    "killer_track_id",
    "killer_share",
    "uncredited_share",
    "lag_min",
    "contact_min",
    "n_candidates",
    "evidence",
    "flags",
    "condition",
    "y_um",
    "x_um",
)

UNCALLED = "uncalled"
"""The flag of deaths that were too doubtful to be called."""

_DOUBTED = (0.2, 0.8)  # a death of a probability between
_RIVAL = 0.2  # share from which a second effector could be the killer
_WIDE_FRAMES = 5


def event_name(well: str, field: int, death_id: int) -> str:
    """Name of a death of the pipeline, "B03/0/d17"."""
    return f"{well}/{field}/d{death_id}"


def new_event_name(well: str, field: int, target_track_id: int) -> str:
    """Name of an event that a reader adds: two readers who add the same target's death name the same event."""
    digest = hashlib.sha256(f"{well}/{field}/{target_track_id}".encode()).hexdigest()
    return f"{well}/{field}/new-{digest[:8]}"


def review_events(tables: Mapping[str, Table]) -> Table:
    """One row per target death, in the order of the deaths table, then one per doubtful death that was not called.

    Args:
        tables: The result tables `deaths`, `kills` and `contacts`; `doubtful_deaths` for those that were not called,
            `wells` for the conditions, `fields` to flag deaths of fields that do not count, `cells` (well, field, frame,
            role, track_id, y_um, x_um are enough) for where the target is.

    Returns:
        EVENT_COLUMNS. killer_track_id is NaN where nobody is more probable than any effector; killer_share, lag_min and
        contact_min are of the killer, or where that is nobody of the effector with the largest share. condition is
        empty and y_um, x_um are NaN where they are not known.
    """
    called = _called_events(tables)
    doubtful = tables.get("doubtful_deaths")
    if doubtful is None or not length(doubtful):
        return called
    return concatenate([called, _uncalled_events(tables, doubtful)])


def _called_events(tables: Mapping[str, Table]) -> Table:
    deaths = take(tables["deaths"], tables["deaths"]["role"] == "target")
    n = length(deaths)
    wells = _well_codes(tables)
    events: Table = {name: deaths[name] for name in ("well", "field", "death_id", "frame")}
    events["target_track_id"] = deaths["track_id"]
    for name in (
        "first_possible_frame",
        "last_possible_frame",
        "time_min",
        "probability",
        "uncredited_share",
        "evidence",
    ):
        events[name] = deaths[name]
    parts = zip(deaths["well"].tolist(), deaths["field"].tolist(), deaths["death_id"].tolist(), strict=True)
    events["event"] = _texts([event_name(*part) for part in parts], n)
    effector, share, second, lag = _best_kills(events, tables["kills"], wells)
    uncredited = np.nan_to_num(events["uncredited_share"], nan=1.0)
    events["killer_track_id"] = np.where(share > uncredited, effector, np.nan)
    events["killer_share"], events["lag_min"] = share, lag
    events["contact_min"], events["n_candidates"] = _contact_facts(
        events, effector, tables["contacts"], wells
    )
    events["condition"] = _conditions(events["well"], tables.get("wells"))
    events["y_um"], events["x_um"] = _places(events, tables.get("cells"), wells)
    events["flags"] = _flags(events, second, _fields_that_do_not_count(events, tables.get("fields")))
    return {name: events[name] for name in EVENT_COLUMNS}


def _uncalled_events(tables: Mapping[str, Table], doubtful: Table) -> Table:
    n = length(doubtful)
    wells = _well_codes({**tables, "deaths": doubtful})
    events: Table = {name: doubtful[name] for name in EVENT_COLUMNS if name in doubtful}
    events["death_id"] = np.zeros(n, dtype=np.int64)
    parts = (doubtful[name].tolist() for name in ("well", "field", "target_track_id"))
    events["event"] = _texts([new_event_name(*part) for part in zip(*parts, strict=True)], n)
    effector, share = doubtful["effector_track_id"], np.nan_to_num(doubtful["share"])
    uncredited = np.nan_to_num(events["uncredited_share"], nan=1.0)
    events["killer_track_id"] = np.where(share > uncredited, effector, np.nan)
    events["killer_share"] = share
    events["contact_min"], events["n_candidates"] = _contact_facts(
        events, effector, tables["contacts"], wells
    )
    events["condition"] = _conditions(events["well"], tables.get("wells"))
    events["y_um"], events["x_um"] = _places(events, tables.get("cells"), wells)
    said = _flags(events, np.zeros(n), _fields_that_do_not_count(events, tables.get("fields")))
    events["flags"] = _texts([f"{UNCALLED}, {one}".removesuffix(", ") for one in said.tolist()], n)
    return {name: events[name] for name in EVENT_COLUMNS}


class ContactBook:
    """Who touched a target before it died, found without going through all contacts of the plate."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._contacts, self._kills = tables["contacts"], tables["kills"]
        self._codes = _well_codes(tables)
        self._contact_keys = self._sorted(self._contacts, "target_track_id")
        self._kill_keys = self._sorted(self._kills, "death_id")

    def candidates(self, event: Mapping[str, Any], *, frame: int | None = None) -> Table:
        """Effectors that touched the target before it died, the most credited first, then who touched it longest.

        Args:
            event: A row of `review_events`: well, field, death_id, target_track_id, frame.
            frame: Of the death, where a reader says another than the event's.

        Returns:
            effector_track_id, share (0: not credited), first_frame (of its first contact), last_frame (of its last one
            that began before the death), duration_min (together, up to the death), min_gap_um.
        """
        died = int(event["frame"]) if frame is None else frame
        contacts = take(self._contacts, self._rows(self._contact_keys, event, "target_track_id"))
        contacts = take(contacts, contacts["first_frame"] <= died)
        kills = take(self._kills, self._rows(self._kill_keys, event, "death_id"))
        effectors = np.unique(np.concatenate([contacts["effector_track_id"], kills["effector_track_id"]]))
        rows = []
        for effector in effectors.tolist():
            mine = take(contacts, contacts["effector_track_id"] == effector)
            share = float(kills["share"][kills["effector_track_id"] == effector].sum())
            if int(event["death_id"]) == 0 and effector == event.get("killer_track_id"):
                share = float(event["killer_share"])  # of a death that was not called this one share is known
            seen = length(mine) > 0
            rows.append((
                effector,
                share,
                mine["first_frame"].min() if seen else np.nan,
                mine["last_frame"].max() if seen else np.nan,
                _minutes_until(died, mine).sum(),
                mine["min_gap_um"].min() if seen else np.nan,
            ))  # fmt: skip
        rows.sort(key=lambda row: (-row[1], -row[4], row[0]))
        names = ("effector_track_id", "share", "first_frame", "last_frame", "duration_min", "min_gap_um")
        columns = zip(*rows, strict=True) if rows else ((),) * len(names)
        table = {
            name: np.array(column, dtype=np.float64) for name, column in zip(names, columns, strict=True)
        }
        return {**table, "effector_track_id": table["effector_track_id"].astype(np.int64)}

    def _sorted(self, table: Table, third: str) -> tuple[NDArray[Any], NDArray[Any]]:
        keys = _keys(table, third, self._codes)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def _rows(
        self, keys: tuple[NDArray[Any], NDArray[Any]], event: Mapping[str, Any], third: str
    ) -> NDArray[Any]:
        if third == "death_id" and int(event[third]) == 0:  # added by a reader: nobody was credited
            return np.empty(0, dtype=np.int64)
        code = self._codes.get(event["well"])
        if code is None:
            return np.empty(0, dtype=np.int64)
        key = _key(code, np.int64(event["field"]), np.int64(event[third]))
        low, high = np.searchsorted(keys[0], [key, key + 1])
        return np.sort(keys[1][low:high])


def candidates(tables: Mapping[str, Table], event: Mapping[str, Any]) -> Table:
    """The same for a single event; keep a `ContactBook` to ask for many."""
    return ContactBook(tables).candidates(event)


def event_row(events: Mapping[str, NDArray[Any]], row: int) -> dict[str, Any]:
    """One row as a mapping."""
    return {name: column[row] for name, column in events.items()}


def _best_kills(events: Table, kills: Table, wells: Mapping[str, int]) -> tuple[NDArray[Any], ...]:
    """(effector, share, the second share, lag) of the effector with the largest share; 0 and NaN without any."""
    n = length(events)
    effector, lag = np.full(n, np.nan), np.full(n, np.nan)
    share, second = np.zeros(n), np.zeros(n)
    keys = _keys(events, "death_id", wells)
    order = np.argsort(keys, kind="stable")
    if not (length(kills) and n):
        return effector, share, second, lag
    theirs = _keys(kills, "death_id", wells)
    at = np.minimum(np.searchsorted(keys[order], theirs), n - 1)
    known = keys[order][at] == theirs
    row, kept = order[at][known], take(kills, known)
    ranked = np.lexsort((kept["effector_track_id"], -kept["share"], row))
    first = np.flatnonzero(np.diff(row[ranked], prepend=-1))
    best = ranked[first]
    effector[row[best]], share[row[best]] = kept["effector_track_id"][best], kept["share"][best]
    lag[row[best]] = kept["lag_min"][best]
    follows = first + 1
    follows = follows[(follows < len(ranked)) & ~np.isin(follows, first)]
    second[row[ranked[follows]]] = kept["share"][ranked[follows]]
    return effector, share, second, lag


def _contact_facts(
    events: Table, effector: NDArray[Any], contacts: Table, wells: Mapping[str, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(minutes of contact of the best effector before the death, how many effectors touched the target by then)."""
    n = length(events)
    minutes, count = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    minutes[~np.isnan(effector)] = 0
    if not (length(contacts) and n):
        return minutes, count
    keys, theirs = _keys(events, "target_track_id", wells), _keys(contacts, "target_track_id", wells)
    order = np.argsort(keys, kind="stable")  # a target dies once, so a key names one event
    at = np.minimum(np.searchsorted(keys[order], theirs), n - 1)
    row = order[at]
    before = (keys[row] == theirs) & (contacts["first_frame"] <= events["frame"][row])
    row, kept = row[before], take(contacts, before)
    pairs = np.unique((row.astype(np.int64) << 32) | kept["effector_track_id"])
    count += np.bincount(pairs >> 32, minlength=n)
    of_killer = kept["effector_track_id"] == effector[row]
    lasted = _minutes_until(events["frame"][row], kept)
    minutes += np.bincount(row[of_killer], weights=lasted[of_killer], minlength=n)
    return minutes, count


def _minutes_until(died: int | NDArray[Any], contacts: Table) -> NDArray[np.float64]:
    """How long contacts lasted up to a frame, included; a longer one goes on on the dead target."""
    frames = contacts["last_frame"] - contacts["first_frame"] + 1
    seen = np.minimum(contacts["last_frame"], died) - contacts["first_frame"] + 1
    return np.asarray(contacts["duration_min"] * seen / frames, dtype=np.float64)


def _places(
    events: Table, cells: Table | None, wells: Mapping[str, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the target is in the frame of its death, or in the last one before in which it is seen."""
    n = length(events)
    y, x = np.full(n, np.nan), np.full(n, np.nan)
    if cells is None or not (length(cells) and n):
        return y, x
    cells = take(cells, cells["role"] == "target")
    keys, theirs = _keys(events, "target_track_id", wells), _keys(cells, "track_id", wells)
    order = np.argsort(keys, kind="stable")
    row = order[np.minimum(np.searchsorted(keys[order], theirs), n - 1)]
    before = (keys[row] == theirs) & (cells["frame"] <= events["frame"][row])
    row, kept = row[before], take(cells, before)
    by_time = np.argsort(kept["frame"], kind="stable")
    y[row[by_time]], x[row[by_time]] = kept["y_um"][by_time], kept["x_um"][by_time]  # the last one stays
    return y, x


def _conditions(well: NDArray[Any], wells: Table | None) -> NDArray[Any]:
    named = dict(zip(wells["well"].tolist(), wells["condition"].tolist(), strict=True)) if wells else {}
    return _texts([named.get(one) or "" for one in well.tolist()], len(well))


def _fields_that_do_not_count(events: Table, fields: Table | None) -> NDArray[Any]:
    if fields is None:
        return np.zeros(length(events), dtype=bool)
    bad = {
        (well, field)
        for well, field, status in zip(
            fields["well"], fields["field"].tolist(), fields["status"], strict=True
        )
        if status != "ok"
    }
    places = zip(events["well"], events["field"].tolist(), strict=True)
    return np.array([place in bad for place in places], dtype=bool)


def _flags(events: Table, second: NDArray[Any], outside: NDArray[Any]) -> NDArray[Any]:
    """What a reader should look at, joined by a comma."""
    p, share, nobody = (
        events["probability"],
        events["killer_share"],
        np.nan_to_num(events["uncredited_share"], nan=1.0),
    )
    said = {
        "doubtful death": (p > _DOUBTED[0]) & (p < _DOUBTED[1]),
        "two killers": (second >= _RIVAL) & (share >= _RIVAL),
        "killer or nobody": (nobody > _DOUBTED[0]) & (nobody < _DOUBTED[1]),
        "wide onset": events["last_possible_frame"] - events["first_possible_frame"] >= _WIDE_FRAMES,
        "field does not count": outside,
    }
    pattern = sum(
        (mark.astype(np.int64) << bit for bit, mark in enumerate(said.values())),
        np.zeros(length(events), np.int64),
    )
    words = {
        code: ", ".join(name for bit, name in enumerate(said) if code >> bit & 1)
        for code in set(pattern.tolist())
    }
    return _texts([words[code] for code in pattern.tolist()], length(events))


def _well_codes(tables: Mapping[str, Table]) -> dict[str, int]:
    names = sorted(
        {well for name in ("deaths", "contacts", "kills") for well in set(tables[name]["well"].tolist())}
    )
    return {name: code for code, name in enumerate(names)}


def _keys(table: Table, third: str, wells: Mapping[str, int]) -> NDArray[np.int64]:
    """One number per (well, field, id); -1 where the well has no events."""
    code = np.array([wells.get(one, -1) for one in table["well"].tolist()], dtype=np.int64)
    return np.where(code < 0, -1, _key(code, table["field"].astype(np.int64), table[third].astype(np.int64)))


def _key(code: Any, field: Any, third: Any) -> Any:
    return (code << 48) | (field << 32) | third


def _texts(values: list[str], n: int) -> NDArray[Any]:
    array = np.empty(n, dtype=object)
    array[:] = values
    return array
