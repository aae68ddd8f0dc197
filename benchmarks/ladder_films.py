"""A simulated plate for the ladder, its cells by our outlines and by the true ones, and who of ours is truly whom.

Everything that needs pixels is done here, once, and kept: what is above pixels can then change as often as it likes.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.cli.model_commands import model_for
from assay.columns import Table, take
from assay.io.given_labels import LabelRequest
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.tables import read_table
from assay.labels import CellRole
from assay.pipeline.label_images import make_label_images
from assay.pipeline.pixels import field_unit_of, frame_labels_path, scale_field, segment_runs
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.planning import RunOptions, plan_run
from assay.protocol import read_protocol
from assay.score.cells import CellCounts, FieldCells
from assay.score.matching import FrameOverlap, overlap_of
from assay.score.plates import READ_FRAMES, match_field
from assay.simulate.plate import simulate_plate, truth_path
from assay.simulate.scenario import scenario_named
from assay.stack import FieldId

Outlines = Literal["ours", "true"]
Ids = NDArray[np.int64]

LEAST_IOU = 0.1  # a cell that matches nobody is still mainly this one, for who asks only who it is
_ARRAYS = [entry.name for entry in fields(FieldCells) if entry.name != "counts"]
_COUNTS = [entry.name for entry in fields(CellCounts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPlate:
    """A simulated plate and where its parts lie."""

    path: Path
    work: Path

    @property
    def truth(self) -> Path:
        """PLATE-truth."""
        return truth_path(self.path)

    def plan(self, outlines: Outlines, results: Path) -> RunPlan:
        """What a run with these outlines will do."""
        request = LabelRequest(path=self.truth / "labels.zarr", tracked=False) if outlines == "true" else None
        protocol = read_protocol(self.path.with_suffix(".toml"))
        return plan_run(self.path, results, protocol=protocol, options=RunOptions(), labels=request)

    def true_table(self, name: str) -> Table:
        """One table of the truth."""
        return read_table(self.truth / "tables", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The cells of one role in one field, by their labels in each frame, and who they truly are."""

    cells: FieldCells  # "called ids" are labels here
    who_frame: Ids  # every called cell that is somebody, also below IoU 0.5
    who_true: Ids
    who_label: Ids


def make_plate(
    folder: Path, *, scenario: str, seed: int, replicates: int, n_frames: int | None
) -> LadderPlate:
    """Simulate, unless it is there; a simulation that was stopped begins anew."""
    plate = LadderPlate(path=folder / "plate.zarr", work=folder)
    if plate.path.with_suffix(".toml").is_file():  # is written last
        return plate
    for half_made in (plate.path, plate.truth):
        if half_made.exists():
            shutil.rmtree(half_made)
    folder.mkdir(parents=True, exist_ok=True)
    simulate_plate(
        plate.path, scenario=scenario_named(scenario), seed=seed, replicates=replicates, n_frames=n_frames
    )
    return plate


def find_cells(plate: LadderPlate, outlines: Outlines) -> Path:
    """Bring every field to outlines, measures and touching pairs, as the pipeline does; what is there is kept.

    Returns:
        The folder, as RESULTS of which only the steps on pixels are done.
    """
    results_path = plate.work / f"{outlines}-outlines"
    plan = plate.plan(outlines, results_path)
    make, identity = model_for(plan.protocol.model, "auto") if plan.needs_model else (_no_model, {})
    plan = plan.with_segmenter(identity)
    results = Results.create_or_open(
        results_path, plate_name=plan.plate_name, plate_identity=plan.plate_identity
    )
    make_label_images(plan, results)
    for field in plan.fields:
        if not results.ledger.is_done("brightness", field_unit_of(field), field.brightness_key()):
            scale_field(field)
        segment_runs(field, field.runs(), make, None)
    (results_path / "model.json").write_text(json.dumps(dict(identity)))
    return results_path


def _no_model() -> None:
    raise AssertionError("outlines of both roles are given")


def matched_cells(plate: LadderPlate, field: FieldPlan, role: CellRole) -> Matched:
    """Who is whom, found once per outlines.

    Args:
        plate: Knows the truth.
        field: Of a plan whose outlines are found, in the folder where they are.
        role: Of the cells.
    """
    file = field.results / "matched" / f"{field_unit_of(field)}_{role}_{field.pixels_key()[:16]}.npz"
    if field.given:  # the true outlines
        return _same(plate, field, role)
    if not file.is_file():
        true = LabelPlate.open(plate.truth / "labels.zarr")
        called = LabelPlate.open(frame_labels_path(field.results))
        cells = match_field(field.field, role, true, called)
        who = np.array(sorted(_who(field.field, role, true, called)), dtype=np.int64).reshape(-1, 3)
        arrays = {name: getattr(cells, name) for name in _ARRAYS}
        counts = {f"counts_{name}": np.array(getattr(cells.counts, name)) for name in _COUNTS}
        file.parent.mkdir(exist_ok=True)
        np.savez(file, who=who, **arrays, **counts)
    with np.load(file) as kept:
        counts = {name: kept[f"counts_{name}"].item() for name in _COUNTS}
        cells = FieldCells(counts=CellCounts(**counts), **{name: kept[name] for name in _ARRAYS})
        who = kept["who"]
    return Matched(cells=cells, who_frame=who[:, 0], who_true=who[:, 1], who_label=who[:, 2])


def _same(plate: LadderPlate, field: FieldPlan, role: CellRole) -> Matched:
    """Every cell is itself; the labels of the truth are its track ids."""
    cells = rows_of(plate.true_table("cells"), field.field)
    mine = cells["role"] == role
    order = np.lexsort((cells["track_id"][mine], cells["frame"][mine]))
    frames = cells["frame"][mine][order].astype(np.int64)
    ids = cells["track_id"][mine][order].astype(np.int64)
    n = len(ids)
    found = FieldCells(
        counts=CellCounts(n_true=n, n_called=n, found_50=n, found_75=n, seg_sum=float(n)),
        true_frames=frames, true_ids=ids, called_frames=frames, called_ids=ids,
        match_frames=frames, match_true=ids, match_called=ids,
        cover_frames=frames, cover_true=ids, cover_called=ids,
    )  # fmt: skip
    return Matched(cells=found, who_frame=frames, who_true=ids, who_label=ids)


def _who(
    field: FieldId, role: CellRole, true: LabelPlate, called: LabelPlate
) -> Iterator[tuple[int, int, int]]:
    """(frame, true id, label), one to one, the highest IoU first."""
    for frame, overlap in _overlaps(field, role, true, called):
        iou = overlap.iou
        pairs = np.flatnonzero(iou >= LEAST_IOU)
        order = pairs[np.lexsort((overlap.pair_called[pairs], overlap.pair_true[pairs], -iou[pairs]))]
        taken_true: set[int] = set()
        taken_called: set[int] = set()
        for pair in order.tolist():
            true_id = int(overlap.true_ids[overlap.pair_true[pair]])
            label = int(overlap.called_ids[overlap.pair_called[pair]])
            if true_id not in taken_true and label not in taken_called:
                taken_true.add(true_id)
                taken_called.add(label)
                yield frame, true_id, label


def _overlaps(
    field: FieldId, role: CellRole, true: LabelPlate, called: LabelPlate
) -> Iterator[tuple[int, FrameOverlap]]:
    n_frames = true.shape(field)[0]
    for first in range(0, n_frames, READ_FRAMES):
        run = range(first, min(first + READ_FRAMES, n_frames))
        films = (plate.read(field, role, run) for plate in (true, called))
        for frame, truth, labels in zip(run, *films, strict=True):
            yield frame, overlap_of(truth, labels)


def as_tracks(matched: Matched, rows: Table) -> FieldCells:
    """The matched cells with track ids in the place of labels; a cell without a track is not called.

    Args:
        matched: By label.
        rows: "frame", "label" and "track_id" of every cell that was linked.
    """
    width = 1 + max(int(rows["label"].max(initial=0)), int(matched.cells.called_ids.max(initial=0)))
    key = rows["frame"].astype(np.int64) * width + rows["label"]
    order = np.argsort(key)
    key, track_id = key[order], rows["track_id"][order].astype(np.int64)

    def tracks_of(frames: Ids, labels: Ids) -> Ids:
        wanted = frames * width + labels
        at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
        return np.where(key[at] == wanted, track_id[at], 0) if len(key) else np.zeros(len(wanted), np.int64)

    cells = matched.cells
    called = tracks_of(cells.called_frames, cells.called_ids)
    match = tracks_of(cells.match_frames, cells.match_called)
    cover = tracks_of(cells.cover_frames, cells.cover_called)
    return replace(
        cells,
        called_frames=cells.called_frames[called > 0],
        called_ids=called[called > 0],
        match_frames=cells.match_frames[match > 0],
        match_true=cells.match_true[match > 0],
        match_called=match[match > 0],
        cover_frames=cells.cover_frames[cover > 0],
        cover_true=cells.cover_true[cover > 0],
        cover_called=cover[cover > 0],
    )


def rows_of(table: Table, field: FieldId) -> Table:
    """The rows of one field."""
    return take(table, (table["well"] == field.well) & (table["field"] == field.field))
