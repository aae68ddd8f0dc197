"""Label images of frames too large to be held: from runs of pixels to disk, one shard after the other, and back."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.io import chunks
from assay.io.durable import disk_refusals
from assay.io.label_plate import LabelPlate
from assay.label_runs import label_runs, painted, thinned
from assay.labels import CellRole
from assay.stack import FieldId

_ROWS_AT_ONCE = 512


def write_label_runs(
    labels: LabelPlate, field: FieldId, role: CellRole, frame: int, runs: NDArray[np.int32]
) -> None:
    """Write the label image of one frame, and the smaller ones for viewers: the same as `LabelPlate.write`.

    Raises:
        ShapeError: Several frames lie in one shard.
        StorageError: The disk refuses.
    """
    height, width = labels.shape(field)[1:]
    for level, path in enumerate(labels.levels(field, role)):
        step = 2**level
        shape = (-(-height // step), -(-width // step))
        write_large_labels(labels.path, path, frame, thinned(runs, step), shape=shape)


def read_label_runs(labels: LabelPlate, field: FieldId, role: CellRole, frame: int) -> NDArray[np.int32]:
    """Read the label image of one frame as runs of pixels, some rows at a time.

    Raises:
        ImageError: A chunk is damaged or was never written.
    """
    _, height, width = labels.shape(field)
    parts = []
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = slice(top, min(top + _ROWS_AT_ONCE, height))
        image = labels.read(field, role, [frame], window=(rows, slice(0, width)))[0]
        runs, _ = label_runs(image.view(np.int32))
        runs[:, 0] += top
        parts.append(runs)
    return np.concatenate(parts)


def write_large_labels(
    root: Path, path: str, frame: int, runs: NDArray[np.int32], *, shape: tuple[int, int]
) -> None:
    """Write the label image of one frame into a (T, Y, X) array whose shards hold single frames.

    Args:
        root: The store.
        path: The array inside it, made by `chunks.make_array`.
        frame: Which frame.
        runs: (runs, 4) row, first column, column after the last, label; in row order.
        shape: Of the frame in pixels, as the runs mean it.

    Raises:
        ShapeError: The array holds frames of another size, or several frames in one shard.
        StorageError: The disk refuses.
    """
    array = chunks.open_for_writing(root, path)
    step = chunks.file_shape(array)
    if tuple(array.shape[1:]) != tuple(shape) or step[0] != 1:
        raise ShapeError(
            f"{path}: expected frames of {shape[0]} x {shape[1]} pixels and one in a shard, the array has "
            f"{array.shape[1]} x {array.shape[2]} and {step[0]}."
        )
    with disk_refusals(path, root):
        for file in chunks.files_of(root, array, frame, 1):
            file.unlink(missing_ok=True)
        for top in range(0, shape[0], step[1]):
            rows = (top, min(top + step[1], shape[0]))
            first, stop = np.searchsorted(runs[:, 0], rows)
            here = np.ascontiguousarray(runs[first:stop])
            for left in range(0, shape[1], step[2]):
                columns = (left, min(left + step[2], shape[1]))
                array[frame, rows[0] : rows[1], columns[0] : columns[1]] = painted(here, rows, columns)
