"""Corrections of label images, kept beside the review logs: what stood in a box of one frame, and what stands there now.

`labels.zarr` itself is never written by a review. A patch is an `.npz` with `offset` (y, x of the box), `before` and
`after` (uint32, values as in `labels.zarr`); the log of decisions names it and its sha256.

    patch = label_patch(before, after)                       # None where nothing changed
    name, sha256 = write_patch(folder, patch, field=field, role="target", frame=12)
    image = apply_patch(image, read_patch(folder, name, sha256=sha256), where="well B03, field 0, frame 12")
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ResultsError, ShapeError, StorageError
from assay.io.durable import disk_refusals, write_whole
from assay.labels import CellRole
from assay.stack import FieldId

Labels = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPatch:
    """The box that holds all changed pixels of one frame and role."""

    top: int
    left: int
    before: Labels  # (y, x)
    after: Labels

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns in the frame."""
        height, width = self.before.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def changed_labels(self) -> tuple[int, ...]:
        """Track ids that gained or lost a pixel; background is none."""
        changed = self.before != self.after
        values = np.union1d(self.before[changed], self.after[changed])
        return tuple(int(value) for value in values if value)


def label_patch(before: NDArray[np.integer], after: NDArray[np.integer]) -> LabelPatch | None:
    """What changed between two label images (Y, X) of one frame; None where nothing did.

    Raises:
        ShapeError: They differ in shape.
    """
    if before.shape != after.shape:
        raise ShapeError(f"a label image of shape {after.shape} cannot correct one of shape {before.shape}.")
    changed = before != after
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return LabelPatch(
        top=int(rows[0]),
        left=int(columns[0]),
        before=before[box].astype(np.uint32),
        after=after[box].astype(np.uint32),
    )


def write_patch(
    folder: Path, patch: LabelPatch, *, field: FieldId, role: CellRole, frame: int
) -> tuple[str, str]:
    """Keep a patch, safe on the disk when this returns; gives its file name and sha256.

    Raises:
        StorageError: The disk refuses.
    """
    buffer = io.BytesIO()
    offset = np.array([patch.top, patch.left], dtype=np.int64)
    np.savez_compressed(buffer, offset=offset, before=patch.before, after=patch.after)
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"labels-{field.well}-{field.field}-{role}-{frame:05d}-{sha256[:12]}.npz"
    with disk_refusals("the corrected labels", folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, data)
    return name, sha256


def read_patch(folder: Path, name: str, *, sha256: str) -> LabelPatch:
    """Read a patch that a decision names.

    Raises:
        ResultsError: It is gone, was altered, or its name leads out of the folder.
        StorageError: It cannot be read.
    """
    if Path(name).name != name or not name.endswith(".npz"):
        raise ResultsError(f"{name!r} cannot be the name of a correction of labels.")
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        raise ResultsError(
            f"{folder / name} is not there, and a decision in the review log needs it. Restore it from a copy."
        ) from None
    except OSError as error:
        raise StorageError(f"{folder / name} cannot be read ({error.strerror}).") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ResultsError(f"{folder / name} was altered after it was written. Restore it from a copy.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            offset, before, after = (stored[key] for key in ("offset", "before", "after"))
        top, left = (int(place) for place in offset)
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ResultsError(f"{folder / name} is no correction of labels ({error}).") from error
    if before.shape != after.shape or before.ndim != 2 or min(top, left) < 0:
        raise ResultsError(f"{folder / name} is no correction of labels: its two images do not fit.")
    return LabelPatch(top=top, left=left, before=before.astype(np.uint32), after=after.astype(np.uint32))


def apply_patch(image: NDArray[np.integer], patch: LabelPatch, *, where: str) -> Labels:
    """The corrected copy of a frame's labels (Y, X).

    Raises:
        ResultsError: What stands there is not what the correction was drawn on.
    """
    box = patch.box
    corrected = image.astype(np.uint32)
    if corrected[box].shape != patch.before.shape:
        raise ResultsError(f"{where}: the corrected labels lie outside the image of {image.shape} pixels.")
    changed = patch.before != patch.after
    if (corrected[box][changed] != patch.before[changed]).any():
        raise ResultsError(
            f"{where}: the labels were corrected on other outlines than those that are there now (another correction, "
            "or a run made anew), so the correction is not applied. Draw it again, or undo it."
        )
    corrected[box][changed] = patch.after[changed]
    return corrected
