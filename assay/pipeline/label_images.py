"""The empty label images of a plate, made whole or not at all before any worker writes into them."""

import shutil
from pathlib import Path

import numpy as np

from assay.io.durable import disk_refusals
from assay.io.label_groups import LabelValues
from assay.io.layout import shard_frames_of
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.witness import require_as_written
from assay.pipeline.pixels import frame_labels_path
from assay.pipeline.plan import RunPlan

_LABEL_BYTES = 4
_PACKED_TO = 130  # labels of cells compress so well


def label_shard_frames(shape: tuple[int, int, int, int]) -> int:
    """Frames of one shard of label images of a film (T, C, Y, X)."""
    return shard_frames_of((shape[0], *shape[2:]), itemsize=_LABEL_BYTES, sharded=True)


def least_bytes(plan: RunPlan) -> int:
    """What the label images of a run come to where there are few cells: both roles, by frame and by track."""
    pixels = sum(one.shape[0] * one.shape[2] * one.shape[3] for one in plan.fields)
    return pixels * 4 * _LABEL_BYTES // _PACKED_TO


def make_label_images(plan: RunPlan, results: Results) -> None:
    """Make the images for frame labels and for track ids; those of other sizes or channels are made anew.

    One process at a time, while nobody writes into those that are there.
    """
    for step, path, key, pyramid in (
        ("frame_labels", frame_labels_path(plan.results), plan.label_images_key(), False),
        ("labels_plate", results.labels, plan.labels_plate_key(), True),
    ):
        has_windows = results.ledger.record(f"windows_{step}", "plate") is not None
        if path.exists() and has_windows and results.ledger.is_done(step, "plate", key):
            continue
        record = results.ledger.record(step, "plate")
        results.ledger.forget(step, "plate")
        # of the same sizes only the metadata is made anew: every chunk has a record of its own
        same = path.is_dir() and (record is None or record.key == key)
        make = _make_metadata if same else _make
        made = make(plan, path, pyramid=pyramid, values="track_id" if pyramid else "label")
        results.ledger.commit(f"windows_{step}", "plate", key, made.window_files())
        results.ledger.commit(step, "plate", key, made.metadata_files())


def choose_windows(plan: RunPlan, results: Results) -> None:
    """Set the display windows of labels.zarr from the previews that are there by now.

    Its other metadata, of which no step reads all, is compared here and made anew where it is damaged.

    Raises:
        DamageError: The metadata with the windows is not as it was written.
    """
    if not results.ledger.is_done("labels_plate", "plate", plan.labels_plate_key(), compare=True):
        results.ledger.forget("labels_plate", "plate")
        make_label_images(plan, results)
    labels = LabelPlate.open(results.labels)
    for file in labels.window_files():
        require_as_written(file, unit="plate")
    changed = labels.with_windows()
    if any(file.read_bytes() != data for file, data in changed.items()):
        results.ledger.promise("windows_labels_plate", "plate", changed)


def _make_metadata(plan: RunPlan, path: Path, *, pyramid: bool, values: LabelValues) -> LabelPlate:
    """The metadata anew over that which is there."""
    making = path.with_name(f".{path.name}.metadata")
    made = _make(plan, making, pyramid=pyramid, values=values)
    with disk_refusals("the label images", path):
        for file in sorted(making.rglob("zarr.json")):
            place = path / file.relative_to(making)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        shutil.rmtree(making)
    return made.moved(path)


def _make(plan: RunPlan, path: Path, *, pyramid: bool, values: LabelValues) -> LabelPlate:
    with disk_refusals("the label images", path):
        if path.exists():
            shutil.rmtree(path)
    fields = plan.all_fields
    first = fields[0]
    made = LabelPlate.create(
        path,
        fields=[field.field for field in fields],
        shapes={field.field: (field.shape[0], *field.shape[2:]) for field in fields},
        calibration={field.field: field.calibration for field in fields},
        preview_channels=first.preview_channels(),
        preview_roles={first.channel_names[channels[0]]: role for role, channels in first.roles.items()},
        preview_dtype=np.result_type(*(np.dtype(field.dtype) for field in fields)),
        pyramid=pyramid,
        name=plan.plate_name,
        values=values,
    )
    made.close(with_sums=False)
    return made
