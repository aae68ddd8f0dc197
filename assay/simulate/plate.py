"""A whole plate with known truth on disk: images, true labels and tables, protocol and scenario."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay._version import __version__
from assay.columns import Table, concatenate
from assay.errors import ImageError, ProtocolError
from assay.io.durable import write_whole
from assay.io.label_plate import LabelPlate
from assay.io.metadata import Ngff
from assay.io.plate_writer import PlateWriter
from assay.io.tables import write_table
from assay.labels import CELL_ROLES
from assay.protocol import Condition
from assay.protocol import Protocol as Settings
from assay.simulate.film import Film, TrueLabels, simulate_film
from assay.simulate.scenario import Scenario, WellKind
from assay.simulate.truth_tables import TruthRecorder, true_contact_settings
from assay.stack import FieldId

TRUE_TABLES = ("cells", "tracks", "contacts", "deaths", "kills")
_NAMES: dict[WellKind, str] = {
    "sample": "CAR-T",
    "mock": "Mock T cells",
    "target_only": "Targets only",
    "effector_only": "Effectors only",
}


class Progress(Protocol):
    """Is told how far the work is."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""

    def advance(self) -> None:
        """One more frame is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedWell:
    """One well of the plate map."""

    well: str
    kind: WellKind


def standard_layout(scenario: Scenario, replicates: int) -> tuple[SimulatedWell, ...]:
    """Rows of CAR-T, mock and target-only wells, one column per replicate; `mock` has no CAR-T row."""
    kinds: tuple[WellKind, ...] = ("sample", "mock", "target_only")
    if scenario.effectors.killer_fraction == 0:
        kinds = kinds[1:]
    return tuple(
        SimulatedWell(well=f"{row}{column:02d}", kind=kind)
        for row, kind in zip("BCD", kinds, strict=False)
        for column in range(2, 2 + replicates)
    )


def film_seed(seed: int, field: FieldId) -> int:
    """The seed of one field's film, from the plate's seed and the field's place."""
    row = sum((ord(letter) - 64) * 26**k for k, letter in enumerate(reversed(field.row)))
    sequence = np.random.SeedSequence([seed, row, int(field.column), field.field])
    return int(sequence.generate_state(1, np.uint64)[0])


def simulate_plate(
    path: Path | str,
    *,
    scenario: Scenario,
    seed: int,
    wells: Sequence[SimulatedWell] | None = None,
    replicates: int = 2,
    fields_per_well: int = 1,
    n_frames: int | None = None,
    ngff: Ngff = "0.5",
    progress: Progress | None = None,
) -> None:
    """Write PLATE.zarr, PLATE-truth/ and PLATE.toml.

    Args:
        path: The plate, e.g. `PLATE.zarr`; it must not exist, nor must its truth.
        scenario: What is filmed.
        seed: The same seed gives the same pixels and tables on every machine.
        wells: The plate map; CAR-T, mock and target-only wells when None.
        replicates: Wells per condition where `wells` is None.
        fields_per_well: Fields of view per well.
        n_frames: Length of the films; the scenario's own when None.
        ngff: OME-Zarr version of the plate.
        progress: Is told about every frame.

    Raises:
        ImageError: The plate, its truth or its protocol exists already.
        ProtocolError: There is not one frame, or not one well, to make.
        StorageError: The disk refuses.
    """
    path = Path(path)
    layout = tuple(wells or standard_layout(scenario, replicates))
    frames = scenario.n_frames if n_frames is None else n_frames
    if frames < 1 or not layout:
        raise ProtocolError(f"expected at least one frame and one well, got {frames} and {len(layout)}.")
    truth = truth_path(path)
    for there in (path, truth, path.with_suffix(".toml")):
        if there.exists():
            raise ImageError(
                f"{there} exists already. Choose another name for the plate, or delete it first."
            )
    kinds = {FieldId(w.well, field): w.kind for w in layout for field in range(fields_per_well)}
    if progress is not None:
        progress.begin("simulate", frames * len(kinds))
    tables = _write_fields(path, truth, scenario, kinds, seed, frames, ngff, progress)
    for name in TRUE_TABLES:
        write_table(
            truth / "tables", name, concatenate([field[name] for field in tables]), scenario.channel_names
        )
    write_whole(truth / "scenario.json", _scenario_text(scenario, layout, seed, frames, fields_per_well))
    write_whole(path.with_suffix(".toml"), protocol_of(scenario, layout).to_toml().encode())


def truth_path(path: Path) -> Path:
    """Where the truth of a plate lies: beside it."""
    return path.with_name(f"{path.stem}-truth")


def protocol_of(scenario: Scenario, layout: Sequence[SimulatedWell]) -> Settings:
    """The protocol that fits a simulated plate."""
    kinds = list(dict.fromkeys(well.kind for well in layout))
    conditions = tuple(
        Condition(
            name=_NAMES[kind],
            wells=tuple(well.well for well in layout if well.kind == kind),
            kind=kind,
            seeded_et_ratio=None
            if kind == "effector_only"
            else scenario.effectors.et_ratio * (kind != "target_only"),
        )
        for kind in kinds
    )
    return Settings(
        channels={role: (name,) for role, name in scenario.channels},
        contact=true_contact_settings(scenario),
        conditions=conditions,
    )


def _write_fields(
    path: Path,
    truth: Path,
    scenario: Scenario,
    kinds: Mapping[FieldId, WellKind],
    seed: int,
    n_frames: int,
    ngff: Ngff,
    progress: Progress | None,
) -> list[dict[str, Table]]:
    fields = sorted(kinds)
    roles = {name: role for role, name in scenario.channels}
    shape = (n_frames, len(scenario.channels), *scenario.shape_px)
    (truth / "tables").mkdir(parents=True)
    labels = LabelPlate.create(
        truth / "labels.zarr",
        fields=fields,
        shapes=(n_frames, *scenario.shape_px),
        calibration=scenario.calibration,
    )
    tables = []
    with PlateWriter.create(
        path,
        fields=fields,
        shapes=shape,
        dtype=np.uint16,
        channel_names=scenario.channel_names,
        channel_roles=roles,
        calibration=scenario.calibration,
        ngff=ngff,
    ) as writer:
        for field in fields:
            film = simulate_film(scenario, seed=film_seed(seed, field), kind=kinds[field], n_frames=n_frames)
            tables.append(_write_film(film, field, writer, labels, progress))
    labels.close()
    return tables


def _write_film(
    film: Film, field: FieldId, writer: PlateWriter, labels: LabelPlate, progress: Progress | None
) -> dict[str, Table]:
    """Write one film by runs of whole shards; no more than one run is held."""
    recorder = TruthRecorder(film, field)
    images: list[NDArray[np.uint16]] = []
    truths: list[TrueLabels] = []
    image_start = label_start = 0
    for frame in range(film.n_frames):
        images.append(film.images(frame))
        truths.append(film.truth(frame))
        recorder.add(frame, images[-1], truths[-1])
        last = frame == film.n_frames - 1
        if len(images) == writer.shard_frames(field) or last:
            writer.write(field, image_start, np.stack(images))
            image_start, images = frame + 1, []
        if len(truths) == labels.shard_frames(field) or last:
            for role in CELL_ROLES:
                labels.write(field, role, label_start, np.stack([one.of(role) for one in truths]))
            label_start, truths = frame + 1, []
        if progress is not None:
            progress.advance()
    return recorder.tables()


def _scenario_text(
    scenario: Scenario, layout: Sequence[SimulatedWell], seed: int, n_frames: int, fields_per_well: int
) -> bytes:
    contact = true_contact_settings(scenario)
    record: dict[str, Any] = {
        "name": scenario.name,
        "seed": seed,
        "n_frames": n_frames,
        "fields_per_well": fields_per_well,
        "wells": {well.well: well.kind for well in layout},
        "contact": asdict(contact),
        "killassay": __version__,
        "scenario": _plain(asdict(scenario)),
    }
    return (json.dumps(record, indent=1) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {" to ".join(k) if isinstance(k, tuple) else k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value
