"""Groups and empty arrays of the label images of one field."""

from pathlib import Path
from typing import Literal

import numpy as np

from assay.io import chunks
from assay.io.layout import array_layout, pyramid_shapes, shard_frames_of
from assay.io.metadata import BLOCK, label_attributes, labels_attributes, multiscales_block
from assay.io.preview import FrameShape
from assay.labels import CELL_ROLES, CellRole
from assay.stack import FieldId
from assay.units import Calibration

LABEL_DTYPE = np.dtype(np.uint32)
LabelValues = Literal["track_id", "label"]
LABEL_VALUES = "values"
"""Key in a label image's own metadata: "track_id", or "label" where a value means nothing in the next frame."""
LABEL_FOLDERS: dict[CellRole, str] = {"effector": "effectors", "target": "targets"}


def make_label_arrays(
    root: Path,
    field: FieldId,
    shape: FrameShape,
    calibration: Calibration,
    *,
    pyramid: bool,
    values: LabelValues | None,
) -> None:
    """Make the label images of both roles, empty."""
    names = [LABEL_FOLDERS[role] for role in CELL_ROLES]
    chunks.make_group(root, f"{field.path}/labels", labels_attributes(names, ngff="0.5"), zarr_format=3)
    shapes = pyramid_shapes(shape) if pyramid else [shape]
    step = shard_frames_of(shape, itemsize=LABEL_DTYPE.itemsize, sharded=True)
    for name in names:
        multiscales = multiscales_block(
            "tyx", calibration=calibration, levels=len(shapes), ngff="0.5", name=name, method="nearest"
        )
        group = f"{field.path}/labels/{name}"
        attributes = label_attributes(multiscales=multiscales, ngff="0.5")
        if values is not None:
            attributes[BLOCK] = {LABEL_VALUES: values}
        chunks.make_group(root, group, attributes, zarr_format=3)
        for level, level_shape in enumerate(shapes):
            layout = array_layout(level_shape, itemsize=LABEL_DTYPE.itemsize, sharded=True, shard_frames=step)
            chunks.make_array(
                root,
                f"{group}/{level}",
                layout,
                dtype=LABEL_DTYPE,
                axes="tyx",
                content="labels",
                zarr_format=3,
            )
