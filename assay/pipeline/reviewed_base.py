"""What reviews start from: the result tables as the pipeline wrote them, cut by field, with the lag model as fitted.

The tables are read once and never written. Nothing here needs the plate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import LATER_TABLES, REVIEWED_TABLES, Table, length
from assay.field_events import FieldEvents, link_doubts
from assay.io.results import Results
from assay.io.tables import read_arrays, read_table
from assay.kills import Kill, LagModel, fit_lag_model
from assay.pipeline.credited import FilmFacts, read_credited
from assay.pipeline.events_of import contacts_in, deaths_in, engagements_in, tracks_in
from assay.pipeline.field_films import later_pieces, read_field_film
from assay.pipeline.reviewed_events import CreditedField, Doubts, Lives
from assay.pipeline.work_files import read_linked, work_file
from assay.protocol import Protocol
from assay.stack import FieldId
from assay.survival import CountedWell
from assay.tracks import TrackEnd, Tracks


def _all_lost(place: FieldId) -> Lives:
    return Lives(ends=dict, later=dict, doubts=dict)


@dataclass(slots=True, kw_only=True)
class BasePlate:
    """A plate as the pipeline had it."""

    tables: Mapping[str, Table]
    films: Mapping[FieldId, FilmFacts]  # of the fields that count
    protocol: Protocol
    model: LagModel
    counted: Mapping[str, CountedWell] = field(default_factory=dict)  # as the run did, where it was kept
    lives_of: Callable[[FieldId], Lives] = _all_lost
    _slices: dict[str, dict[FieldId, slice]] = field(default_factory=dict)
    _credited: dict[FieldId, CreditedField] = field(default_factory=dict)
    _lives: dict[FieldId, Lives] = field(default_factory=dict)

    @classmethod
    def open(cls, results: Path) -> "BasePlate":
        """Read RESULTS. Where the fitted model was not kept it is fitted again, to the same events.

        Raises:
            AssayError: RESULTS are not whole.
        """
        results = Path(results)
        names = {*REVIEWED_TABLES, *LATER_TABLES, "fields"}
        tables = {name: read_table(results / "tables", name) for name in sorted(names)}
        credited = read_credited(results)
        protocol = Results.open(results).read_protocol()
        base = cls(
            tables=tables,
            films=credited.films,
            protocol=protocol,
            model=_UNFITTED if credited.model is None else credited.model,
            counted=credited.counted,
            lives_of=lambda place: _lives_of(results, place, credited.films[place].n_frames),
        )
        if credited.model is None:
            events = [
                replace(base.field(place).events, link_doubts=base.lives(place).doubts())
                for place in base.films
            ]
            films = [of for of in events if of.n_frames > 1]
            base.model = fit_lag_model(films, max_lag_min=protocol.kill.max_lag_min)
        return base

    def rows(self, name: str, place: FieldId) -> Table:
        """One field's rows of a table."""
        found = self.slices(name).get(place, slice(0, 0))
        return {column: values[found] for column, values in self.tables[name].items()}

    def slices(self, name: str) -> dict[FieldId, slice]:
        """Where each field's rows of a table are; they lie together."""
        if name not in self._slices:
            self._slices[name] = _slices_of(self.tables[name])
        return self._slices[name]

    def field(self, place: FieldId) -> CreditedField:
        """Events and credit of one field that counts."""
        if place not in self._credited:
            self._credited[place] = self._read_field(place)
        return self._credited[place]

    def lives(self, place: FieldId) -> Lives:
        """What is known of a field's targets beside the tables."""
        if place not in self._lives:
            self._lives[place] = self.lives_of(place)
        return self._lives[place]

    def _read_field(self, place: FieldId) -> CreditedField:
        facts = self.films[place]
        condition = self.protocol.condition_of(place.well)
        deaths, contacts = self.rows("deaths", place), self.rows("contacts", place)
        targets = deaths["role"] == "target"
        events = FieldEvents(
            well=place.well,
            field=place.field,
            kind=condition.kind if condition else None,
            n_frames=facts.n_frames,
            calibration=facts.calibration,
            contacts=contacts_in(contacts),
            deaths=deaths_in(deaths, "target"),
            targets=tracks_in(self.rows("tracks", place), "target"),
            dead_targets=frozenset(facts.dead_targets),
            engagements=engagements_in(contacts),
        )
        shares = zip(
            deaths["death_id"][targets].tolist(), deaths["uncredited_share"][targets].tolist(), strict=True
        )
        tracks = self.rows("tracks", place)
        return CreditedField(
            events=events,
            kills=_kills_in(self.rows("kills", place)),
            uncredited=dict(shares),
            last_death_id=int(deaths["death_id"].max(initial=0)),
            effectors=frozenset(tracks["track_id"][tracks["role"] == "effector"].tolist()),
        )


def _kills_in(table: Table) -> tuple[Kill, ...]:
    names = (
        "death_id",
        "target_track_id",
        "effector_track_id",
        "contact_id",
        "share",
        "lag_min",
    )
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    return tuple(Kill(**dict(zip(names, row, strict=True))) for row in rows)


def _slices_of(table: Table) -> dict[FieldId, slice]:
    n = length(table)
    if n == 0:
        return {}
    well, number = table["well"], table["field"]
    new = np.flatnonzero((well[1:] != well[:-1]) | (number[1:] != number[:-1])) + 1
    starts = [0, *new.tolist()]
    found = {
        FieldId(str(well[a]), int(number[a])): slice(a, b)
        for a, b in zip(starts, [*starts[1:], n], strict=True)
    }
    assert len(found) == len(starts), "the rows of a field lie apart"
    return found


def _lives_of(results: Path, place: FieldId, n_frames: int) -> Lives:
    """Read when they are asked for, and once."""

    @cache
    def tracks() -> Tracks:
        return read_linked(results, place, "target")

    @cache
    def ends() -> Mapping[int, TrackEnd]:
        return {track.track_id: track.end for track in tracks().tracks}

    @cache
    def later() -> Mapping[int, tuple[int, ...]]:
        film = read_field_film(results, place, n_frames=n_frames)
        return later_pieces(tracks(), film.measures["target"])

    @cache
    def doubts() -> Doubts:
        rows = read_arrays(work_file(results, "track_rows_effector", place))
        if "link_confidence" not in rows:
            return {}
        return link_doubts(rows["track_id"], rows["frame"].astype(np.int64), rows["link_confidence"])

    return Lives(ends=ends, later=later, doubts=doubts)


def block_of(base: BasePlate, name: str, new: Mapping[FieldId, Table]) -> Table:
    """A table with the rows of some fields replaced; fields stay in their order."""
    whole, known = base.tables[name], base.slices(name)
    if not new:
        return dict(whole)
    places = sorted({*known, *new})
    parts: list[Mapping[str, NDArray[Any]]] = []
    kept_from: int | None = None
    end = 0
    for place in places:  # runs of fields that stay are taken in one piece
        if place in new:
            if kept_from is not None:
                parts.append(_cut(whole, kept_from, end))
                kept_from = None
            parts.append(new[place])
        else:
            kept_from = known[place].start if kept_from is None else kept_from
            end = known[place].stop
    if kept_from is not None:
        parts.append(_cut(whole, kept_from, end))
    return {column: np.concatenate([part[column] for part in parts]) for column in whole}


def _cut(table: Table, first: int, end: int) -> Table:
    return {name: column[first:end] for name, column in table.items()}


_UNFITTED = LagModel(
    edges_min=(0.0, 1.0),
    kernel_per_min2=(0.0,),
    h0_per_min=0.0,
    h0_deaths=0.0,
    kill_deaths=0.0,
    potency={},
    potency_kills={},
    has_controls=False,
)
