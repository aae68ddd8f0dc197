"""Contacts, deaths and credit of the tracks that corrections touch; all others stay as the run had them.

The field is looked at whole, as every part of it says what is usual there, but only what touched tracks did is
taken from it: a cut through one target moves no other target's death.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import Table, concatenate, make_table, table_of_rows, take
from assay.deaths import Death, DeathSurvey, survey_deaths
from assay.engagements import find_held_contacts
from assay.errors import AssayError
from assay.field_events import link_doubts
from assay.kills import credit_kills
from assay.labels import CELL_ROLES, CellRole
from assay.pipeline.credited import FilmFacts
from assay.pipeline.event_tables import contact_rows, death_rows, track_rows
from assay.pipeline.field_films import FieldFilm, later_pieces, read_field_film
from assay.pipeline.reviewed_base import BasePlate, block_of
from assay.pipeline.reviewed_events import Lives
from assay.pipeline.reviewed_labels import correct_labels
from assay.pipeline.reviewed_tracks import Corrected, correct_tracks
from assay.protocol import Protocol
from assay.review.decisions import Decision
from assay.review.rebinding import NEAR_FRAMES
from assay.stack import FieldId
from assay.units import Calibration

_OTHER: dict[CellRole, CellRole] = {"effector": "target", "target": "effector"}
Edits = Mapping[FieldId, tuple[Decision, ...]]
TrackNow = Callable[[CellRole, int, int], int]
"""(role, the run's track, frame) -> the track that holds the cell it showed then, or was last seen as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What rows of the result tables say of their field."""

    field: FieldId
    shape: tuple[int, int, int, int]
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedField:
    """One field's rows after its corrections."""

    tables: Mapping[str, Table]
    facts: FilmFacts
    lives: Lives
    track_now: TrackNow
    problems: tuple[str, ...]


def edits_of(decisions: Collection[Decision]) -> dict[FieldId, tuple[Decision, ...]]:
    """Corrections field by field, in their order."""
    found: dict[FieldId, list[Decision]] = {}
    for one in decisions:
        place = FieldId(str(one.values["well"]), int(one.values["field"]))
        found.setdefault(place, []).append(one)
    return {place: tuple(found[place]) for place in sorted(found)}


def corrected_base(base: BasePlate, fields: Mapping[FieldId, CorrectedField]) -> BasePlate:
    """The plate as the pipeline would have had it with these fields corrected, the lag model held."""
    if not fields:
        return base
    names = ("tracks", "contacts", "deaths", "kills")
    tables = dict(base.tables) | {
        name: block_of(base, name, {place: one.tables[name] for place, one in fields.items()})
        for name in names
    }
    corrected = {place.well for place in fields}
    return BasePlate(
        tables=tables,
        films={**base.films, **{place: one.facts for place, one in fields.items()}},
        protocol=base.protocol,
        model=base.model,
        counted={well: one for well, one in base.counted.items() if well not in corrected},
        lives_of=lambda place: fields[place].lives if place in fields else base.lives(place),
    )


def correct_field(
    results: Path, base: BasePlate, place: FieldId, edits: Sequence[Decision]
) -> CorrectedField:
    """Apply the corrections of one field: outlines first, whose values are the run's, then who is who.

    Raises:
        AssayError: What the run kept of the field is gone; for outlines also the plate, or a patch.
    """
    facts = base.films[place]
    film = read_field_film(results, place, n_frames=facts.n_frames)
    labels = [edit for edit in edits if edit.verb == "labels"]
    first = _labelled(results, film, labels, base.protocol)
    second = correct_tracks(first.film, [edit for edit in edits if edit.verb != "labels"])
    touched = {role: first.touched[role] | second.touched[role] for role in CELL_ROLES}
    return _found_again(base, film, second.film, touched, (*first.problems, *second.problems))


def _labelled(results: Path, film: FieldFilm, edits: Sequence[Decision], protocol: Protocol) -> Corrected:
    nothing: dict[CellRole, frozenset[int]] = {role: frozenset() for role in CELL_ROLES}
    if not edits:
        return Corrected(film=film, touched=nothing)
    try:
        return correct_labels(results, film, edits, protocol)
    except AssayError as error:  # said, and the field's other corrections still count
        return Corrected(film=film, touched=nothing, problems=(f"corrected outlines do not count: {error}",))


def _found_again(
    base: BasePlate,
    was: FieldFilm,
    film: FieldFilm,
    touched: Mapping[CellRole, frozenset[int]],
    problems: tuple[str, ...],
) -> CorrectedField:
    place, facts = film.field, base.films[film.field]
    calibration = facts.calibration
    at = _Place(field=place, shape=(facts.n_frames, 1, 1, 1), calibration=calibration)
    surveys = {role: _survey(film, role, base.protocol, calibration) for role in CELL_ROLES}
    dead = {
        role: (set(_dead(facts, role)) - touched[role]) | (surveys[role].dead_from_start & touched[role])
        for role in CELL_ROLES
    }
    deaths, old = _deaths(base, was, film, surveys, touched)
    contacts = _contacts(base, film, at, touched, deaths, dead["target"], calibration)
    now = replace(
        facts, dead_targets=tuple(sorted(dead["target"])), dead_effectors=tuple(sorted(dead["effector"]))
    )
    tables = {
        "tracks": table_of_rows("tracks", track_rows(at, film.tracks, deaths)),  # type: ignore[arg-type]
        "contacts": contacts,
        "deaths": _death_table(base, at, deaths, old),
        "kills": base.rows("kills", place),
    }
    lives = _lives(film)
    tables["deaths"], tables["kills"] = _credit(base, place, tables, now, lives, old)
    return CorrectedField(
        tables=tables,
        facts=now,
        lives=lives,
        track_now=lambda role, track, frame: _track_now(was, film, role, track, frame),
        problems=problems,
    )


def _dead(facts: FilmFacts, role: CellRole) -> tuple[int, ...]:
    return facts.dead_targets if role == "target" else facts.dead_effectors


def _survey(film: FieldFilm, role: CellRole, protocol: Protocol, calibration: Calibration) -> DeathSurvey:
    channels = protocol.channels
    return survey_deaths(
        film.tracks[role],
        film.measures[role],
        death_channel=channels.get("death", ()),
        marker_channels=channels.get(role, ()),
        background=film.background,
        n_frames=film.n_frames,
        masked_frames=film.unseen.roles[role],
        calibration=calibration,
        min_probability=protocol.death.min_probability,
        others=film.measures[_OTHER[role]],
    )


def _deaths(
    base: BasePlate,
    was: FieldFilm,
    film: FieldFilm,
    surveys: Mapping[CellRole, DeathSurvey],
    touched: Mapping[CellRole, frozenset[int]],
) -> tuple[list[Death], set[int]]:
    """All deaths of the field, and the numbers of those that nothing touched.

    A death keeps its number with the cell that died, whatever its track is called now: what was decided on it was
    decided on that cell. Under another track it must be about as late as it was, else it is another death.
    """
    from assay.pipeline.events_of import deaths_in

    rows = base.rows("deaths", film.field)
    before = {role: deaths_in(rows, role) for role in CELL_ROLES}
    kept = [d for role in CELL_ROLES for d in before[role] if d.track_id not in touched[role]]
    held: dict[tuple[CellRole, int], list[Death]] = {}
    for role in CELL_ROLES:
        for death in before[role]:
            if death.track_id in touched[role]:
                now = _track_now(was, film, role, death.track_id, death.frame)
                held.setdefault((role, now), []).append(death)
    new = [d for role in ("target", "effector") for d in surveys[role].deaths if d.track_id in touched[role]]
    largest = int(rows["death_id"].max(initial=0))
    for death in new:
        here = sorted(held.get((death.role, death.track_id), ()), key=lambda d: abs(d.frame - death.frame))
        if here and (here[0].track_id == death.track_id or abs(here[0].frame - death.frame) <= NEAR_FRAMES):
            number = here[0].death_id
        else:
            largest += 1
            number = largest
        kept.append(replace(death, death_id=number))
    old = {d.death_id for role in CELL_ROLES for d in before[role] if d.track_id not in touched[role]}
    return sorted(kept, key=lambda d: (d.role != "target", d.death_id)), old


def _track_now(was: FieldFilm, now: FieldFilm, role: CellRole, track: int, frame: int) -> int:
    """Which track holds the cell that the run called so, as it was last seen by then; its own where that outline is gone."""
    ids, cells, cells_now = was.tracks[role].track_id, was.measures[role], now.measures[role]
    rows = np.flatnonzero((ids == track) & (cells.frame <= frame))
    if not len(rows):
        return track
    last = rows[np.argmax(cells.frame[rows])]
    here = np.flatnonzero((cells_now.frame == cells.frame[last]) & (cells_now.label == cells.label[last]))
    return int(now.tracks[role].track_id[here[0]]) if len(here) else track


def _death_table(base: BasePlate, at: _Place, deaths: Sequence[Death], old: set[int]) -> Table:
    rows = base.rows("deaths", at.field)
    new = table_of_rows("deaths", death_rows(at, [d for d in deaths if d.death_id not in old]))  # type: ignore[arg-type]
    table = concatenate([take(rows, np.isin(rows["death_id"], sorted(old))), new])
    order = np.lexsort((table["death_id"], table["role"].astype(str) != "target"))
    return take(table, order)


def _contacts(
    base: BasePlate,
    film: FieldFilm,
    at: _Place,
    touched: Mapping[CellRole, frozenset[int]],
    deaths: Sequence[Death],
    dead_targets: Collection[int],
    calibration: Calibration,
) -> Table:
    """Contacts of touched tracks anew; one that begins as before between the same two keeps its number."""
    found, engaged = find_held_contacts(
        film.pairs,
        effectors=film.measures["effector"],
        effector_tracks=film.tracks["effector"],
        targets=film.measures["target"],
        target_tracks=film.tracks["target"],
        masked_frames=film.masked,
        calibration=calibration,
        **asdict(base.protocol.contact),
    )
    rows = contact_rows(at, found, engaged, list(deaths), dead_targets)  # type: ignore[arg-type]
    anew = table_of_rows("contacts", rows)
    before = base.rows("contacts", film.field)
    mine = _is_touched(anew, touched)
    kept, new = take(before, ~_is_touched(before, touched)), take(anew, mine)
    names = ("effector_track_id", "target_track_id", "first_frame")
    number_of = {
        key: number
        for *key_, number in zip(*(before[name].tolist() for name in (*names, "contact_id")), strict=True)
        for key in [tuple(key_)]
    }
    largest = int(before["contact_id"].max(initial=0))
    numbers: list[int] = []
    for key in zip(*(new[name].tolist() for name in names), strict=True):
        number = number_of.get(key)
        if number is None:
            largest += 1
            number = largest
        numbers.append(number)
    new["contact_id"] = np.array(numbers, dtype=np.int64)
    table = make_table("contacts", concatenate([kept, new]))
    return take(table, np.argsort(table["contact_id"], kind="stable"))


def _is_touched(contacts: Table, touched: Mapping[CellRole, frozenset[int]]) -> Any:
    by_effector = np.isin(contacts["effector_track_id"], sorted(touched["effector"]))
    return by_effector | np.isin(contacts["target_track_id"], sorted(touched["target"]))


def _credit(
    base: BasePlate,
    place: FieldId,
    tables: Mapping[str, Table],
    facts: FilmFacts,
    lives: Lives,
    old: set[int],
) -> tuple[Table, Table]:
    """Shares of new deaths, and of old ones whose target a touched effector met; the rest stays."""
    changed = replace_tables(base, place, tables, facts, lives)
    field = changed.field(place)
    if field.events.n_frames < 2:
        return tables["deaths"], tables["kills"]
    met = _met_differently(base.rows("contacts", place), tables["contacts"])
    anew = {d.death_id for d in field.events.deaths if d.death_id not in old or d.track_id in met}
    kills, nobody = credit_kills(replace(field.events, link_doubts=lives.doubts()), base.model)
    rows = base.rows("kills", place)
    kept = take(rows, np.isin(rows["death_id"], sorted(old - anew)))
    new = table_of_rows(
        "kills",
        [
            {"well": place.well, "field": place.field}
            | {name: getattr(kill, name) for name in kill.__dataclass_fields__}
            for kill in kills
            if kill.death_id in anew
        ],
    )
    table = concatenate([kept, new])
    order = np.lexsort((table["effector_track_id"], table["death_id"]))
    deaths = {name: column.copy() for name, column in tables["deaths"].items()}
    for row, number in enumerate(deaths["death_id"].tolist()):
        if number in anew:
            deaths["uncredited_share"][row] = nobody[number]
    return deaths, take(table, order)


def _met_differently(before: Table, after: Table) -> set[int]:
    """Targets whose contacts are not what they were."""
    names = ("target_track_id", "effector_track_id", "contact_id", "first_frame", "last_frame")
    rows = [set(zip(*(table[name].tolist() for name in names), strict=True)) for table in (before, after)]
    return {int(row[0]) for row in rows[0] ^ rows[1]}


def replace_tables(
    base: BasePlate, place: FieldId, tables: Mapping[str, Table], facts: FilmFacts, lives: Lives
) -> BasePlate:
    """A plate of this one field alone."""
    return BasePlate(
        tables={**base.tables, **tables},
        films={place: facts},
        protocol=base.protocol,
        model=base.model,
        lives_of=lambda _: lives,
    )


def _lives(film: FieldFilm) -> Lives:
    targets, effectors = film.tracks["target"], film.tracks["effector"]
    ends = {track.track_id: track.end for track in targets.tracks}

    def doubts() -> Any:
        if effectors.link_confidence is None:
            return {}
        frame = film.measures["effector"].frame.astype(np.int64)
        return link_doubts(effectors.track_id, frame, effectors.link_confidence)

    return Lives(
        ends=lambda: ends, later=lambda: later_pieces(targets, film.measures["target"]), doubts=doubts
    )
