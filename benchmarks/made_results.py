"""Result tables of a plate whose events were made and not filmed: for tests and benchmarks of review."""

from collections.abc import Callable, Mapping, Sequence

from assay.columns import Table, concatenate, table_of_rows
from assay.conditions import compare_conditions
from assay.contact_times import contact_time_rows
from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.field_quality import failed_field_row
from assay.kills import Kill, credit_kills, fit_lag_model
from assay.pipeline.credited import FilmFacts
from assay.pipeline.credited_wells import count_outcomes
from assay.pipeline.plate import well_rows
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_events import CreditedField
from assay.pipeline.reviewed_rows import field_block
from assay.protocol import Protocol
from assay.stack import FieldId
from assay.survival import control_deaths, untold
from assay.tracks import Track

Credit = tuple[Sequence[Kill], Mapping[int, float]]


def make_base(
    events: Sequence[FieldEvents],
    effectors: Mapping[str, Sequence[Track]],
    protocol: Protocol,
    *,
    fit_to: int | None = None,
    mistake: Callable[[FieldEvents, Credit], Credit] = lambda of, credit: credit,
) -> BasePlate:
    """Credit a plate's events as the pipeline does, and lay them out as its tables.

    Args:
        events: One field per well, in order of the wells.
        effectors: Well -> tracks of its effectors.
        protocol: Names the conditions.
        fit_to: The lag model is fitted to so many wells only, where it is not what is asked about.
        mistake: Changes whom the model credits.
    """
    model = fit_lag_model(events[:fit_to], max_lag_min=protocol.kill.max_lag_min)
    credited = [(of, *mistake(of, credit_kills(of, model))) for of in events]
    tables = {
        "deaths": _together("deaths", [_deaths(of, nobody) for of, _, nobody in credited]),
        "kills": _together("kills", [_kills(of, kills) for of, kills, _ in credited]),
        "contacts": _together("contacts", [_contacts(of) for of in events]),
        "tracks": _together("tracks", [_tracks(of, effectors[of.well]) for of in events]),
        "effectors": table_of_rows("effectors", []),
        "fields": table_of_rows("fields", [_field(of) for of in events]),
    }
    films = {FieldId(of.well, of.field): _facts(of) for of in events}
    base = BasePlate(tables=tables, films=films, protocol=protocol, model=model)
    blocks = {}
    for of, kills, nobody in credited:
        field = CreditedField(events=of, kills=tuple(kills), uncredited=nobody)
        blocks[of.well] = field_block(base, FieldId(of.well, of.field), field)
    for name in ("contacts", "effectors"):
        tables[name] = _together(name, [block.tables[name] for block in blocks.values()])
    fields = [
        dict(zip(tables["fields"], row, strict=True)) for row in zip(*tables["fields"].values(), strict=True)
    ]
    outcomes = [block.outcome for block in blocks.values()]
    counted = {one.events.well: count_outcomes(protocol, [one], model) for one in outcomes}
    lengths = {place: film.n_valid_frames for place, film in films.items()}
    wells = well_rows(protocol, fields, lengths, counted, control_deaths(outcomes))
    tables["wells"] = table_of_rows("wells", wells)
    tables["conditions"] = table_of_rows("conditions", compare_conditions(wells, untold=untold(model)))
    times = contact_time_rows(
        tables["contacts"],
        wells={str(row["well"]): row["condition"] for row in wells},
        frame_min={of.well: of.calibration.frame_min for of in events},
    )
    tables["contact_times"] = table_of_rows("contact_times", times)
    return BasePlate(tables=tables, films=films, protocol=protocol, model=model, counted=counted)


def _together(name: str, parts: Sequence[Table]) -> Table:
    return concatenate(parts) if parts else table_of_rows(name, [])


def _facts(of: FieldEvents) -> FilmFacts:
    return FilmFacts(
        frame_min=of.calibration.frame_min,
        n_frames=of.n_frames,
        first_valid_frame=0,
        last_valid_frame=of.n_frames - 1,
        n_valid_frames=of.n_frames,
        dead_targets=tuple(sorted(of.dead_targets)),
        dead_effectors=(),
        max_gap_frames=2,
    )


def _field(of: FieldEvents) -> dict[str, object]:
    row = failed_field_row(FieldId(of.well, of.field), reason="")
    return dict(row) | {"status": "ok", "reason": None, "n_frames": of.n_frames}


def _deaths(of: FieldEvents, nobody: Mapping[int, float]) -> Table:
    def row(death: Death) -> dict[str, object]:
        names = ("death_id", "role", "track_id", "frame", "first_possible_frame", "last_possible_frame")
        return {name: getattr(death, name) for name in (*names, "onset_min", "probability")} | {
            "well": of.well,
            "field": of.field,
            "time_min": of.calibration.minutes(death.frame),
            "evidence": "+".join(death.evidence),
            "uncredited_share": nobody[death.death_id],
        }

    return table_of_rows("deaths", [row(death) for death in of.deaths])


def _kills(of: FieldEvents, kills: Sequence[Kill]) -> Table:
    return table_of_rows(
        "kills",
        [
            {"well": of.well, "field": of.field}
            | {name: getattr(kill, name) for name in kill.__dataclass_fields__}
            for kill in kills
        ],
    )


def _contacts(of: FieldEvents) -> Table:
    held = of.engagements

    def row(contact: Contact) -> dict[str, object]:
        longest = held.get(contact.contact_id, ()) if held is not None else ()
        first, last, sure = longest[0] if longest else (None, None, None if held is None else 0.0)
        return {name: getattr(contact, name) for name in contact.__dataclass_fields__} | {
            "well": of.well,
            "field": of.field,
            "duration_min": contact.duration_min(of.calibration),
            "target_dead": False,
            "engaged_probability": sure,
            "n_engagements": None if held is None else len(longest),
            "engaged_first_frame": first,
            "engaged_last_frame": last,
        }

    return table_of_rows("contacts", [row(contact) for contact in of.contacts])


def _tracks(of: FieldEvents, effectors: Sequence[Track]) -> Table:
    died = {death.track_id for death in of.deaths}

    def row(role: str, track: Track) -> dict[str, object]:
        gone = role == "target" and track.track_id in died and track.end != "divided"
        return {name: getattr(track, name) for name in track.__dataclass_fields__} | {
            "well": of.well,
            "field": of.field,
            "role": role,
            "end": "died" if gone else track.end,
        }

    rows = [row("effector", track) for track in effectors] + [row("target", track) for track in of.targets]
    return table_of_rows("tracks", rows)
