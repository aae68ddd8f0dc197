"""Frames whose outlines readers corrected in a review, as images with masks to improve a model with.

Only what was corrected is known: the cells whose outlines a reader changed, as they stand now, and a little around
them. The rest of the frame is the model's own opinion, and nothing is learned from it. The other role is unknown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.errors import ImageError, ResultsError
from assay.io.annotated_images import AnnotatedImage
from assay.io.label_patches import apply_patch, read_patch
from assay.io.label_plate import LabelPlate
from assay.io.plate_reader import Plate, open_plate
from assay.io.results import Results
from assay.io.review_logs import bound_decisions, log_folders
from assay.io.tables import read_table
from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.protocol import Protocol
from assay.review.decisions import Decision
from assay.review.events import review_events
from assay.review.state import replay
from assay.stack import FieldId

AROUND_UM = 3.0
"""So far around a corrected cell a reader would have seen another one."""

_Place = tuple[FieldId, CellRole, int]
_REVIEWED = ("deaths", "doubtful_deaths", "kills", "contacts", "wells", "fields", "cells")


def is_results(folder: Path) -> bool:
    """Whether a folder is RESULTS, whole or damaged."""
    return (folder / "results.json").is_file() or (folder / "ledger").is_dir()


def corrected_frames(results: Path) -> list[_Place]:
    """Fields, roles and frames whose outlines were corrected, in order.

    Raises:
        ResultsError: RESULTS hold no correction of outlines, or a log was altered.
    """
    return list(_corrections(Results.open(results)))


def read_corrected_images(results: Path) -> Iterator[AnnotatedImage]:
    """Read the corrected frames with their masks.

    Raises:
        ResultsError: There are none, a log or a correction was altered, or the raw images are gone.
        ImageError: An image is damaged.
    """
    opened = Results.open(results)
    corrections = _corrections(opened)
    plate_path = Path(opened.plate_path)
    if not plate_path.is_dir():
        raise ResultsError(
            f"{results}: the raw images, {plate_path}, are not there, and a model learns from them. Put the plate back."
        )
    plate, labels = open_plate(plate_path), LabelPlate.open(opened.labels)
    protocol = opened.read_protocol()
    folders = log_folders(opened)
    alone = len({field for field, _, _ in corrections}) == 1
    for place, edits in corrections.items():
        corrected, changed = _corrected(labels, place, edits, folders)
        yield _image(plate, protocol, place, corrected, changed, alone=alone)


def _corrections(results: Results) -> dict[_Place, list[Decision]]:
    tables = {name: read_table(results.tables, name) for name in _REVIEWED}
    events = review_events(tables)
    decisions, _ = bound_decisions(results, events)
    found: dict[_Place, list[Decision]] = {}
    for edit in replay(decisions, events).label_edits:
        values = edit.values
        role: CellRole = "target" if values["role"] == "target" else "effector"
        place = FieldId(str(values["well"]), int(values["field"])), role, int(values["frame"])
        found.setdefault(place, []).append(edit)
    if not found:
        raise ResultsError(
            f"{results.path}: no outlines were corrected in it, so there is nothing to learn from. Correct some in `killassay "
            "review` (dock Correct, tab Outlines), or give a folder of images with masks."
        )
    return dict(
        sorted(found.items(), key=lambda item: (item[0][0], item[0][2], CELL_ROLES.index(item[0][1])))
    )


def _corrected(
    labels: LabelPlate, place: _Place, edits: Sequence[Decision], folders: Sequence[Path]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """A frame's labels after its corrections, and the pixels that these changed."""
    field, role, frame = place
    image = labels.read(field, role, [frame])[0]
    changed = np.zeros(image.shape, dtype=np.bool_)
    for edit in edits:
        patch = read_patch(
            _folder(folders, edit), str(edit.values["patch"]), sha256=str(edit.values["sha256"])
        )
        image = apply_patch(image, patch, where=f"{field}, {role}s, frame {frame}")
        changed[patch.box] |= patch.before != patch.after
    return image, changed


def _image(
    plate: Plate,
    protocol: Protocol,
    place: _Place,
    labels: NDArray[np.uint32],
    changed: NDArray[np.bool_],
    *,
    alone: bool,
) -> AnnotatedImage:
    """A frame with its masks, as if somebody had outlined it; a frame that was corrected back is known nowhere."""
    field, role, frame = place
    stack = plate.stack(field, calibration=protocol.calibration, missing_chunks="mask")
    if frame in stack.missing_frames:
        raise ImageError(f"{field}, frame {frame}: its outlines were corrected, but it holds no image.")
    mask = np.searchsorted(np.union1d(0, labels), labels).astype(
        np.int32
    )  # from 1, as track ids may be large
    names = list(stack.channel_names)
    channels: dict[ChannelRole, tuple[int, ...]] = {
        role: tuple(names.index(name) for name in of) for role, of in protocol.channels.items()
    }
    name = f"{field.well}_{field.field}_frame{frame}_{role}s"
    return AnnotatedImage(
        name=name,
        group=name if alone else f"{field.well}_{field.field}",
        planes=stack.read([frame])[0],
        channels=channels,
        masks={role: mask},
        known=corrected_area(labels, changed, stack.calibration.pixel_um),
        pixel_um=stack.calibration.pixel_um,
    )


def corrected_area(
    image: NDArray[np.integer], changed: NDArray[np.bool_], pixel_um: tuple[float, float]
) -> NDArray[np.bool_]:
    """Where a reader's outlines can be trusted: the cells that were changed, what was rubbed out, and a little around.

    Args:
        image: (Y, X) labels after all corrections.
        changed: (Y, X) pixels that a correction changed.
        pixel_um: Pixel size (y, x).
    """
    touched = np.unique(image[changed | ndimage.binary_dilation(changed)])
    inside = changed | np.isin(image, touched[touched > 0])
    if not inside.any():
        return inside
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~inside, sampling=pixel_um) <= AROUND_UM
    return near


def _folder(folders: Sequence[Path], edit: Decision) -> Path:
    name = str(edit.values["patch"])
    return next((folder for folder in folders if (folder / name).is_file()), folders[0])
