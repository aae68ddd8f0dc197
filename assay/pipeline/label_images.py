"""The empty label images of a plate, made whole or not at all before any worker writes into them."""

import shutil
from pathlib import Path

import numpy as np

from assay.io.durable import disk_refusals
from assay.io.label_plate import LabelValues
from assay.io.layout import shard_frames_of
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.pipeline.pixels import frame_labels_path
from assay.pipeline.plan import RunPlan

_LABEL_BYTES = 4


def label_shard_frames(shape: tuple[int, int, int, int]) -> int:
    """Frames of one shard of label images of a film (T, C, Y, X)."""
    return shard_frames_of((shape[0], *shape[2:]), itemsize=_LABEL_BYTES, sharded=True)


def make_label_images(plan: RunPlan, results: Results) -> None:
    """Make the images for frame labels and for track ids; those of other sizes or channels are made anew.

    One process at a time, while nobody writes into those that are there.
    """
    for step, path, key, pyramid in (
        ("frame_labels", frame_labels_path(plan.results), plan.label_images_key(), False),
        ("labels_plate", results.labels, plan.labels_plate_key(), True),
    ):
        if path.exists() and results.ledger.is_done(step, "plate", key):
            continue
        results.ledger.forget(step, "plate")
        _make(plan, path, pyramid=pyramid, values="track_id" if pyramid else "label")
        results.ledger.commit(step, "plate", key)


def _make(plan: RunPlan, path: Path, *, pyramid: bool, values: LabelValues) -> None:
    with disk_refusals("the label images", path):
        if path.exists():
            shutil.rmtree(path)
    fields = plan.all_fields
    first = fields[0]
    LabelPlate.create(
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
    ).close()
