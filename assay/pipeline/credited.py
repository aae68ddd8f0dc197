"""What crediting knew beside the tables: the fitted lag model, the wells as counted, who was dead in each film.

Kept by the run, so that a decision of a reader changes one well and the model stays as it was fitted. RESULTS of
before it was kept are read from the private files of the run, and the model is fitted again to the same events,
which gives the same model; wells are counted again when they are asked for.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.durable import write_whole
from assay.io.ome_zarr import open_plate
from assay.io.results import Results
from assay.io.tables import read_arrays, read_table, write_arrays
from assay.io.witness import require_as_written
from assay.lag_model import LagModel
from assay.pipeline.unseen_frames import read_unseen
from assay.pipeline.work_files import read_facts, work_file
from assay.stack import FieldId
from assay.survival import CountedWell, FieldOutcome
from assay.units import Calibration

_FILE = "credited.json"
_DRAWN = "drawn_deaths.parquet"  # a column a well, in which the deaths of its films were drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFacts:
    """What a summary asks of one film that stands in no table."""

    frame_min: float | None
    n_frames: int
    first_valid_frame: int
    last_valid_frame: int
    n_valid_frames: int
    dead_targets: tuple[int, ...]  # track ids of cells that were dead when first seen
    dead_effectors: tuple[int, ...]
    max_gap_frames: int

    @property
    def calibration(self) -> Calibration:
        """Good for times; nothing of credit asks for the size of a pixel."""
        return Calibration(pixel_um=(1.0, 1.0), frame_min=self.frame_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """The lag model, None where it was not kept, and every film."""

    model: LagModel | None
    films: Mapping[FieldId, FilmFacts]
    counted: Mapping[str, CountedWell] = field(default_factory=dict)  # empty where it was not kept


def write_credited(
    results: Path, model: LagModel, outcomes: Sequence[FieldOutcome], counted: Mapping[str, CountedWell]
) -> list[Path]:
    """Keep the model, the films and the wells; called when the tables of deaths and kills are written."""
    file, drawn = (results / "work" / name for name in (_FILE, _DRAWN))
    file.parent.mkdir(parents=True, exist_ok=True)
    draws = {well: one.drawn_deaths for well, one in counted.items() if one.drawn_deaths is not None}
    write_arrays(drawn, draws)
    values = {
        "tables": _tables_sha(results),
        "model": _plain_model(model),
        "films": [[one.events.well, one.events.field, asdict(_facts_of(one))] for one in outcomes],
        "counted": {well: _plain_count(one) for well, one in counted.items()},
        "drawn": hashlib.sha256(drawn.read_bytes()).hexdigest(),
    }
    write_whole(file, (json.dumps(values, sort_keys=True) + "\n").encode())
    return [file, drawn]


def read_credited(results: Path) -> Credited:
    """Read them back; of RESULTS of before they were kept, the films alone, from the files of the run.

    Raises:
        ResultsError: Neither is there.
        DamageError: What is there is not as it was written.
    """
    file = results / "work" / _FILE
    if file.is_file():
        require_as_written(file)
    try:
        values = json.loads(file.read_bytes())
        if values["tables"] == _tables_sha(results):
            films = {FieldId(well, field): _film(facts) for well, field, facts in values["films"]}
            return Credited(model=_model(values["model"]), films=films, counted=_counted(results, values))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        pass  # not kept, or of other tables: what the run left tells the same
    return Credited(model=None, films=_films_of_the_run(results))


def _facts_of(outcome: FieldOutcome) -> FilmFacts:
    return FilmFacts(
        frame_min=outcome.events.calibration.frame_min,
        n_frames=outcome.events.n_frames,
        first_valid_frame=outcome.first_valid_frame,
        last_valid_frame=outcome.last_valid_frame,
        n_valid_frames=outcome.n_valid_frames,
        dead_targets=tuple(sorted(outcome.dead_targets)),
        dead_effectors=tuple(sorted(outcome.dead_effectors)),
        max_gap_frames=outcome.max_gap_frames,
    )


def _plain_count(one: CountedWell) -> dict[str, Any]:
    """All but the draws, which are numbers by the thousand."""
    return {entry.name: getattr(one, entry.name) for entry in fields(one) if entry.name != "drawn_deaths"}


def _counted(results: Path, values: Mapping[str, Any]) -> dict[str, CountedWell]:
    drawn = results / "work" / _DRAWN
    if "counted" not in values or not drawn.is_file():
        return {}
    require_as_written(drawn)
    if hashlib.sha256(drawn.read_bytes()).hexdigest() != values["drawn"]:
        return {}  # of another writing of the same tables
    draws = read_arrays(drawn)
    return {well: CountedWell(**one, drawn_deaths=draws.get(well)) for well, one in values["counted"].items()}


def _film(facts: Mapping[str, Any]) -> FilmFacts:
    lists = {name: tuple(facts[name]) for name in ("dead_targets", "dead_effectors")}
    return FilmFacts(**{**facts, **lists})


def _films_of_the_run(results: Path) -> dict[FieldId, FilmFacts]:
    fields = read_table(results / "tables", "fields")
    ok = fields["status"] == "ok"
    places = [FieldId(w, f) for w, f in zip(fields["well"][ok], fields["field"][ok].tolist(), strict=True)]
    frames = dict(zip(places, fields["n_frames"][ok].tolist(), strict=True))
    gap = Results.open(results).read_protocol().tracking.max_gap_frames
    plate = open_plate(results / "labels.zarr")
    return {
        place: _film_of_the_run(results, plate.info(place), place, frames[place], gap) for place in places
    }


def _film_of_the_run(results: Path, info: Any, place: FieldId, n_frames: int, gap: int) -> FilmFacts:
    try:
        unseen = read_unseen(results, place)
        dead = read_facts(work_file(results, "dead_from_start", place))
    except (OSError, ValueError, LookupError) as error:
        raise ResultsError(
            f"{place}: {results / 'work'} lacks what decisions of readers are counted with. Run the same "
            "`killassay run` again; what is done is not done again."
        ) from error
    usable = sorted(set(range(n_frames)) - set(unseen.death))
    return FilmFacts(
        frame_min=info.frame_min,
        n_frames=n_frames,
        first_valid_frame=usable[0] if usable else 0,
        last_valid_frame=usable[-1] if usable else 0,
        n_valid_frames=len(usable),
        dead_targets=tuple(sorted(dead["target"])),
        dead_effectors=tuple(sorted(dead["effector"])),
        max_gap_frames=gap,
    )


def _plain_model(model: LagModel) -> dict[str, Any]:
    """JSON writes floats so that they come back exactly."""
    plain = asdict(model)
    return plain | {"log_likelihoods": sorted(model.log_likelihoods.items())}


def _model(plain: Mapping[str, Any]) -> LagModel:
    def numbers(name: str) -> tuple[float, ...]:
        return tuple(plain[name])

    low, high = plain["nobody_share"]
    return LagModel(
        **{
            **plain,
            "edges_min": numbers("edges_min"),
            "kernel_per_min2": numbers("kernel_per_min2"),
            "readiness": numbers("readiness"),
            "log_likelihoods": {int(hits): told for hits, told in plain["log_likelihoods"]},
            "h0_odds": tuple((change, weight) for change, weight in plain["h0_odds"]),
            "nobody_share": (low, high),
            "fitted_fields": tuple(plain.get("fitted_fields", (0, 0))),
        }
    )


def _tables_sha(results: Path, names: Collection[str] = ("deaths", "kills")) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update((results / "tables" / f"{name}.parquet").read_bytes())
    return digest.hexdigest()
