"""Decisions on results that were made anew: found again by their place, or listed as lost; never guessed.

Numbers of deaths and tracks are only names and may all be others after a change of the protocol. What stays is where
and when: an event is found again where exactly one death lies within `NEAR_UM` and `NEAR_FRAMES` of the old one, a
killer where exactly one effector stands within `NEAR_UM` of where she stood. Edits of tracks and labels speak of
images that are no more, so they are always lost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length, take
from assay.review.decisions import HISTORY_VERBS, TRACK_VERBS, Decision
from assay.review.events import new_event_name

NEAR_UM = 8.0
NEAR_FRAMES = 3
_CLEARLY = 2.0  # the second nearest must be so many times farther

CellsOf = Callable[[str, int], Table]
"""(well, field) -> its rows of the cells table: frame, role, track_id, y_um, x_um."""


@dataclass(slots=True)
class _Lookup:
    events: Table
    cells_of: CellsOf
    names: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # old name -> (new name, why there is none)
    _by_field: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def here(self, well: str, number: int) -> Table:
        """Events of one field."""
        if not self._by_field:
            places = zip(self.events["well"].tolist(), self.events["field"].tolist(), strict=True)
            for row, place in enumerate(places):
                self._by_field.setdefault(place, []).append(row)
        return take(self.events, np.array(self._by_field.get((well, number), []), dtype=np.int64))


def rebind(
    decisions: Iterable[Decision], events: Table, *, cells_of: CellsOf
) -> tuple[list[Decision], list[str]]:
    """Carry decisions over to events of the same plate that were found anew.

    Args:
        decisions: Of logs that were written for other tables, in their order.
        events: The events as they are now.
        cells_of: Gives the cells of one field as they are now.

    Returns:
        (decisions that name the events and tracks of now, one line for each that is lost).
    """
    found = _Lookup(events=events, cells_of=cells_of)
    decisions = list(decisions)
    _name_events(decisions, found)
    kept: list[Decision] = []
    lost: list[str] = []
    gone: set[tuple[str, int]] = set()
    for one in decisions:
        if (
            one.verb in HISTORY_VERBS
            and (str(one.values.get("sitting") or one.sitting), one.values["number"]) in gone
        ):
            continue
        carried, why = _carried(one, found)
        if carried is None:
            gone.add(one.key)
            lost.append(
                f"{one.verb} of {one.reader} on {one.event or 'tracks'} ({one.sitting} {one.number}): {why}"
            )
        else:
            kept.append(carried)
    return kept, lost


def _name_events(decisions: Sequence[Decision], found: _Lookup) -> None:
    """Old names to new ones; where two old events would become one, neither is carried over."""
    for one in decisions:
        if one.event and one.event not in found.names and one.anchor:
            adds = next(
                (other for other in decisions if other.verb == "add" and other.event == one.event), None
            )
            name, why = _event_now(one, found) if adds is None else _added_now(adds, found)
            found.names[one.event] = (name, why)
    taken: dict[str, list[str]] = {}
    for old, (new, _) in found.names.items():
        taken.setdefault(new, []).append(old)
    for new, olds in taken.items():
        if new and len(olds) > 1:
            found.names.update(
                {old: ("", f"{len(olds)} earlier events lie where {new} is now") for old in olds}
            )


def _carried(one: Decision, found: _Lookup) -> tuple[Decision | None, str]:
    if one.verb in TRACK_VERBS or one.verb == "labels":
        return None, "tracks and labels were made anew"
    name, why = found.names.get(one.event, ("", "it does not say where the target was"))
    if one.verb in HISTORY_VERBS:
        return replace(one, event=name), ""
    if not name:
        return None, why
    values = dict(one.values)
    if one.verb == "add":
        track = _nearest_track(found, name, "target", one.values["frame"], one.anchor)
        values["target_track_id"] = track
    if values.get("effector_track_id") is not None:
        place = {axis: values.get(f"effector_{axis}") for axis in ("y_um", "x_um")}
        frame = values.get("effector_frame")
        effector = _nearest_track(found, name, "effector", frame, place) if frame is not None else None
        if effector is None:
            return None, "the effector that was chosen is not found again"
        values["effector_track_id"] = effector
    return replace(one, event=name, values=values), ""


def _event_now(one: Decision, found: _Lookup) -> tuple[str, str]:
    well, number, _ = one.event.split("/")
    here = found.here(well, int(number))
    if not {"frame", "y_um", "x_um"} <= one.anchor.keys():
        return "", "it does not say where the target was"
    y, x = _target_places(here, found)
    away = np.hypot(y - one.anchor["y_um"], x - one.anchor["x_um"])
    late = np.abs(here["frame"] - one.anchor["frame"])
    near, called = (away <= NEAR_UM) & (late <= NEAR_FRAMES), here["death_id"] > 0
    near &= (
        called if (near & called).any() else ~called
    )  # one that was not called only where there is no other
    row = _only_one(away / NEAR_UM + late / NEAR_FRAMES, near)
    if row is None:
        return (
            "",
            f"no death, or more than one, lies within {NEAR_UM:g} um and {NEAR_FRAMES} frames of it now",
        )
    return str(here["event"][row]), ""


def _added_now(one: Decision, found: _Lookup) -> tuple[str, str]:
    name, _ = _event_now(one, found)
    if "/new-" in name:  # it is listed now, and still not called
        return name, ""
    if name:
        return "", f"the pipeline finds this death itself now, as {name}: review it there"
    track = _nearest_track(found, one.event, "target", one.values["frame"], one.anchor)
    if track is None:
        return "", "its target is not found again"
    well, number, _ = one.event.split("/")
    return new_event_name(well, int(number), track), ""


def _target_places(here: Table, found: _Lookup) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the targets of these events are; from the cells where the events do not say."""
    y, x = here["y_um"].copy(), here["x_um"].copy()
    for row in np.flatnonzero(np.isnan(y)).tolist():
        cells = found.cells_of(here["well"][row], int(here["field"][row]))
        of = (cells["role"] == "target") & (cells["track_id"] == here["target_track_id"][row])
        seen = np.flatnonzero(of & (cells["frame"] <= here["frame"][row]))
        if len(seen):
            last = seen[np.argmax(cells["frame"][seen])]
            y[row], x[row] = cells["y_um"][last], cells["x_um"][last]
    return y, x


def _nearest_track(found: _Lookup, event: str, role: str, frame: Any, place: Mapping[str, Any]) -> int | None:
    if place.get("y_um") is None or place.get("x_um") is None:
        return None
    well, number, _ = event.split("/")
    cells = found.cells_of(well, int(number))
    cells = take(cells, (cells["role"] == role) & (cells["frame"] == frame))
    if not length(cells):
        return None
    away = np.hypot(cells["y_um"] - place["y_um"], cells["x_um"] - place["x_um"])
    row = _only_one(away / NEAR_UM, away <= NEAR_UM)
    return None if row is None else int(cells["track_id"][row])


def _only_one(away: NDArray[Any], near: NDArray[Any]) -> int | None:
    """The nearest, if it is clearly nearer than the next."""
    rows = np.flatnonzero(near)
    rows = rows[np.argsort(away[rows], kind="stable")]
    if not len(rows) or (len(rows) > 1 and away[rows[1]] < _CLEARLY * away[rows[0]] + 1e-9):
        return None
    return int(rows[0])
