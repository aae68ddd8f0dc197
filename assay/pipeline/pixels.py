"""Step 1, the only one that sees pixels: frame labels, measures, light and touching pairs of a run of frames.

Memory is bounded by the run's frames, whatever the film's length. Nothing here depends on a threshold but the
touching pairs, which are therefore a unit of their own and can be found again from the frame labels.
"""

import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from assay.brightness import Brightness, brightness_of_rows, frames_to_sample, rows_to_sample
from assay.io.large_labels import read_label_runs, write_label_runs
from assay.io.ome_zarr import LabelPlate, Plate, open_plate
from assay.io.results import Results
from assay.labels import CELL_ROLES, CellRole, FrameLabels, LargeFrameLabels, Pairs, Segmenter, is_large
from assay.measures import concatenate as concatenate_measures
from assay.pipeline.large_frames import give_memory_back, look_through
from assay.pipeline.measured_frames import MeasuredFrame, measured, measured_large, touching, with_runs
from assay.pipeline.outlines import Outlines
from assay.pipeline.plan import FieldPlan
from assay.pipeline.read_ahead import read_ahead
from assay.pipeline.reading import FrameBatch, Lost, bring_frames, read_frames
from assay.pipeline.work_files import (
    measures_file,
    read_brightness,
    work_file,
    write_brightness,
    write_lost,
    write_measures,
    write_pairs,
    write_quality,
)
from assay.quality import concatenate as concatenate_quality
from assay.stack import Stack
from assay.touching import concatenate_pairs

_BATCH_PIXELS = {"cpu": 1 << 22, "cuda": 1 << 25}  # of all frames of a batch together
_READ_AHEAD_PIXELS = 1 << 25  # of a batch: two larger ones at once would cost too much memory

MakeSegmenter = Callable[[], Segmenter]
Cells = TypeVar("Cells", FrameLabels, LargeFrameLabels)


def unit_of(plan: FieldPlan, first: int) -> str:
    """Name of one run of frames in the ledger."""
    return f"{plan.field.well}_{plan.field.field}_{first:06d}"


def field_unit_of(plan: FieldPlan) -> str:
    """Name of one field in the ledger."""
    return f"{plan.field.well}_{plan.field.field}"


def open_stack(plan: FieldPlan) -> Stack:
    """The field's raw images, opened once per process."""
    if plan.field not in _plate(plan.plate).groups:  # the plate was mended since this process looked at it
        _plate.cache_clear()
    return _plate(plan.plate).stack(plan.field, calibration=plan.calibration)


def scale_field(plan: FieldPlan) -> None:
    """Measure a field's brightness scale from its fixed sample of frames."""
    started = time.perf_counter()
    results = Results.open(plan.results)
    results.ledger.forget("brightness", field_unit_of(plan))
    stack = open_stack(plan)
    chosen = frames_to_sample(plan.shape[0], plan.missing_frames)
    brightness = brightness_of_rows(_rows_to_scale(plan, stack, frame) for frame in chosen)
    path = write_brightness(work_file(plan.results, "brightness", plan.field), brightness)
    results.ledger.commit(
        "brightness",
        field_unit_of(plan),
        plan.brightness_key(),
        [path],
        seconds=time.perf_counter() - started,
    )


def _rows_to_scale(plan: FieldPlan, stack: Stack, frame: int) -> NDArray[Any]:
    """The rows of a frame, (C, rows, X), that set the scale; of a frame that is not held no others are read."""
    mask, rows = plan.masks_lost_planes(), rows_to_sample(plan.shape[2:])
    if not is_large(plan.shape):
        whole = read_frames(stack, [frame], mask=mask)[0]
        return whole[0, :, :: rows.step]
    windows = [(slice(row, row + 1), slice(0, plan.shape[3])) for row in rows]
    parts = [read_frames(stack, [frame], mask=mask, window=window)[0][0] for window in windows]
    return np.concatenate(parts, axis=1)


def segment_runs(
    plan: FieldPlan,
    runs: Sequence[tuple[int, int]],
    make_segmenter: MakeSegmenter,
    batch_frames: int | None,
) -> None:
    """Bring runs of frames to labels, measures, light and pairs, as far as they are not there yet.

    Each run (first, last + 1) is committed by itself, so a later run may cut the work otherwise.
    """
    results = Results.open(plan.results)
    for first, end in runs:
        unit = unit_of(plan, first)
        if not results.ledger.is_done("pixels", unit, plan.pixels_key()):
            _segment(plan, results, first, end, make_segmenter, batch_frames)
        elif not results.ledger.is_done("pairs", unit, plan.pairs_key()):
            _pair_again(plan, results, first, end)


def _segment(
    plan: FieldPlan,
    results: Results,
    first: int,
    end: int,
    make_segmenter: MakeSegmenter,
    batch_frames: int | None,
) -> None:
    clock = _Clock()
    unit = unit_of(plan, first)
    for step in ("pixels", "pairs"):
        results.ledger.forget(step, unit)
    stack, outlines = open_stack(plan), Outlines(plan, lambda: _segmenter(make_segmenter))
    brightness = read_brightness(work_file(plan.results, "brightness", plan.field))
    store = LabelPlate.open(frame_labels_path(plan.results))
    preview = _Preview(plan, store, first, end)
    if is_large(plan.shape):
        found, lost = _bring_large(
            plan, stack, brightness, outlines, store, preview, range(first, end), clock
        )
    else:
        batches = _batches(plan, first, end, batch_frames)
        labels = {role: np.zeros((end - first, *plan.shape[2:]), dtype=np.uint32) for role in CELL_ROLES}
        found, lost = _bring_whole(plan, stack, brightness, outlines, labels, preview, batches, clock)
        for role in CELL_ROLES:
            store.write(plan.field, role, first, labels[role])
    outputs = outlines.finish(first)
    outputs += [write_lost(work_file(plan.results, "lost", plan.field, first), lost)]
    outputs += [*preview.write(), *_write_run(plan, store, first, end, found)]
    clock.lap("write")
    results.ledger.commit("pixels", unit, plan.pixels_key(), outputs, seconds=clock.total(), facts=clock.laps)
    pairs = write_pairs(work_file(plan.results, "pairs", plan.field, first), _pairs_of(found))
    results.ledger.commit("pairs", unit, plan.pairs_key(), [pairs], seconds=clock.laps["measure"])


def _bring_whole(
    plan: FieldPlan,
    stack: Stack,
    brightness: Brightness,
    outlines: Outlines,
    labels: Mapping[CellRole, NDArray[np.uint32]],
    preview: "_Preview",
    batches: Sequence[list[int]],
    clock: "_Clock",
) -> tuple[list[MeasuredFrame], Lost]:
    """Frames that are held, batch after batch; their cells go into `labels`."""
    found: list[MeasuredFrame] = []
    lost: Lost = {}
    with closing(_brought(plan, stack, brightness, batches)) as brought:
        for batch in brought:
            clock.lap("read")
            preview.add(batch.frames, batch.images)
            lost |= batch.lost
            seen = _find(outlines, batch)
            clock.lap("network")
            for frame, image, cells in zip(batch.frames, batch.images, seen, strict=True):
                place = frame % plan.run_frames
                labels["effector"][place], labels["target"][place] = cells.effectors, cells.targets
                found.append(measured(plan, frame, image, cells))
            clock.lap("measure")
    return found, lost


def _bring_large(
    plan: FieldPlan,
    stack: Stack,
    brightness: Brightness,
    outlines: Outlines,
    store: LabelPlate,
    preview: "_Preview",
    frames: Sequence[int],
    clock: "_Clock",
) -> tuple[list[MeasuredFrame], Lost]:
    """Frames that are not held, one after the other; their cells go to the disk."""
    found: list[MeasuredFrame] = []
    lost: Lost = {}
    for frame in frames:
        if frame in plan.missing_frames:
            for role in CELL_ROLES:
                write_label_runs(store, plan.field, role, frame, np.zeros((0, 4), np.int32))
            continue
        large = look_through(
            stack,
            frame,
            brightness=brightness,
            roles=plan.roles,
            mask=plan.masks_lost_planes(),
            shrink=preview.shrink,
            previewed=preview.channels,
        )
        preview.add_small([frame], np.stack([large.small[channel] for channel in preview.channels])[None])
        lost |= large.lost
        give_memory_back()
        clock.lap("read")
        cells = _without(outlines.find_large(frame, large.read_slots, large.present), large.hidden)
        give_memory_back()
        clock.lap("network")
        found.append(measured_large(plan, large, cells))
        give_memory_back()
        clock.lap("measure")
        for role in CELL_ROLES:
            write_label_runs(store, plan.field, role, frame, cells.of(role)[0])
        del large, cells
        give_memory_back()
        clock.lap("write")
    return found, lost


def _batches(plan: FieldPlan, first: int, end: int, batch_frames: int | None) -> list[list[int]]:
    """Frames that go through the model together; what was never recorded is left out."""
    frame_pixels = plan.shape[2] * plan.shape[3]
    most = _BATCH_PIXELS.get(plan.segmenter.get("device", "cpu"), _BATCH_PIXELS["cpu"])
    size = batch_frames or max(1, min(8, most // frame_pixels))
    cut = [range(start, min(start + size, end)) for start in range(first, end, size)]
    batches = [[frame for frame in frames if frame not in plan.missing_frames] for frames in cut]
    return [frames for frames in batches if frames]


def _brought(
    plan: FieldPlan, stack: Stack, brightness: Brightness, batches: Sequence[list[int]]
) -> Generator[FrameBatch, None, None]:
    """Read batch after batch, one ahead of the model where memory allows."""

    def bring(frames: list[int]) -> FrameBatch:
        mask = plan.masks_lost_planes()
        return bring_frames(stack, frames, brightness=brightness, roles=plan.roles, mask=mask)

    largest = max(map(len, batches), default=0) * plan.shape[2] * plan.shape[3]
    yield from read_ahead(bring, batches) if largest <= _READ_AHEAD_PIXELS else map(bring, batches)


def _find(outlines: Outlines, batch: FrameBatch) -> list[FrameLabels]:
    """The cells of a batch; none of a role that a frame does not show."""
    seen: list[FrameLabels] = []
    for present, places in groupby(range(len(batch.frames)), key=batch.present.__getitem__):
        here = list(places)
        seen += outlines.find([batch.frames[n] for n in here], batch.slots[here], present)
    return [_without(cells, hidden) for cells, hidden in zip(seen, batch.hidden, strict=True)]


def _pair_again(plan: FieldPlan, results: Results, first: int, end: int) -> None:
    started = time.perf_counter()
    results.ledger.forget("pairs", unit_of(plan, first))
    frame_labels = LabelPlate.open(frame_labels_path(plan.results))
    parts = []
    for frame in range(first, end):
        parts.append(touching(plan, frame, _labels_on_disk(plan, frame_labels, frame)))
    path = write_pairs(work_file(plan.results, "pairs", plan.field, first), concatenate_pairs(parts))
    seconds = time.perf_counter() - started
    results.ledger.commit("pairs", unit_of(plan, first), plan.pairs_key(), [path], seconds=seconds)


def _labels_on_disk(plan: FieldPlan, frame_labels: LabelPlate, frame: int) -> FrameLabels | LargeFrameLabels:
    """The cells of a frame that was segmented; how sure they are is not read."""
    if is_large(plan.shape):
        runs = [read_label_runs(frame_labels, plan.field, role, frame) for role in CELL_ROLES]
        return with_runs(plan.shape[2:], *runs)
    images = [frame_labels.read(plan.field, role, [frame])[0].astype(np.int32) for role in CELL_ROLES]
    no_scores = np.zeros(0, dtype=np.float32)
    return FrameLabels(
        effectors=images[0], targets=images[1], effector_scores=no_scores, target_scores=no_scores
    )


def frame_labels_path(results: Path) -> Path:
    """Where the label images of single frames lie."""
    return results / "work" / "frame_labels.zarr"


class _Preview:
    """The small images of a run, made small batch by batch."""

    def __init__(self, plan: FieldPlan, store: LabelPlate, first: int, end: int) -> None:
        self._plan, self._store, self._first, self._n = plan, store, first, end - first
        self.channels = [channels[0] for channels in plan.roles.values()]
        self._small: NDArray[Any] | None = None  # frames without an image stay 0

    def shrink(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Some rows of one channel as small as the preview."""
        small: NDArray[Any] = self._store.shrink(self._plan.field, rows[None, None])[0, 0]
        return small

    def add(self, frames: list[int], images: NDArray[Any]) -> None:
        self.add_small(frames, self._store.shrink(self._plan.field, images[:, self.channels]))

    def add_small(self, frames: list[int], small: NDArray[Any]) -> None:
        if self._small is None:
            self._small = np.zeros((self._n, *small.shape[1:]), dtype=small.dtype)
        self._small[np.array(frames) - self._first] = small

    def write(self) -> list[Path]:
        if self._small is None:
            size = (-(-side // self._store.preview_shrink(self._plan.field)) for side in self._plan.shape[2:])
            self._small = np.zeros((self._n, len(self.channels), *size), dtype=self._plan.dtype)
        self._store.write_preview(self._plan.field, self._first, self._small)
        return self._store.preview_files_of(self._plan.field, self._first, self._n)


def _write_run(
    plan: FieldPlan,
    store: LabelPlate,
    first: int,
    end: int,
    found: list[MeasuredFrame],
) -> list[Path]:
    outputs: list[Path] = []
    for role in CELL_ROLES:
        outputs += store.files_of(plan.field, role, first, end - first)
        if found:
            measures = concatenate_measures([frame.measures[role] for frame in found])
            outputs.append(write_measures(measures_file(plan.results, role, plan.field, first), measures))
    if found:
        quality = concatenate_quality([frame.quality for frame in found])
        outputs.append(write_quality(work_file(plan.results, "quality", plan.field, first), quality))
    return outputs


def _pairs_of(found: list[MeasuredFrame]) -> Pairs:
    return concatenate_pairs([frame.pairs for frame in found])


def _without(labels: Cells, hidden: Collection[CellRole]) -> Cells:
    """The same without the cells of these roles."""
    no_scores = np.zeros(0, dtype=np.float32)
    if "effector" in hidden:
        labels = replace(labels, effectors=_none_of(labels.effectors, labels), effector_scores=no_scores)
    if "target" in hidden:
        labels = replace(labels, targets=_none_of(labels.targets, labels), target_scores=no_scores)
    return labels


def _none_of(cells: NDArray[np.int32], labels: FrameLabels | LargeFrameLabels) -> NDArray[np.int32]:
    """An empty image, or no runs."""
    return cells[:0] if isinstance(labels, LargeFrameLabels) else np.zeros_like(cells)


@lru_cache(maxsize=1)
def _segmenter(make: MakeSegmenter) -> Segmenter:
    """The model, loaded once per process."""
    return make()


@lru_cache(maxsize=1)
def _plate(path: Path) -> Plate:
    return open_plate(path)


class _Clock:
    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.laps: dict[str, float] = dict.fromkeys(("read", "network", "measure", "write"), 0.0)

    def lap(self, kind: str) -> None:
        now = time.perf_counter()
        self.laps[kind] += now - self._last
        self._last = now

    def total(self) -> float:
        return sum(self.laps.values())
