"""Label images of another program, looked at before they are believed.

A mask, a class map or an image resaved with interpolation is full of numbers, too, and would be counted as cells
without a word. Knows label images, not where they came from.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.errors import ImageError

MAX_LABEL = 2**31 - 1
TINY_PX = 4  # at any magnification in use a cell is larger
_FEW_VALUES = 3  # a class map has hardly more
_SPLINTER = 0.1  # a piece below this part of the label's largest piece does not count
_ENOUGH_LABELS = 20
_WORTH_SAYING = 0.02


def whole_labels(values: NDArray[Any], where: str) -> NDArray[np.int32]:
    """The label image of one frame as whole numbers.

    Args:
        values: (Y, X) as the file holds them.
        where: Role, well, field and frame, for messages.

    Raises:
        ImageError: The values are no labels.
    """
    kind = values.dtype.kind
    if kind == "b":
        values = values.astype(np.uint8)
    elif kind == "f":
        if not np.isfinite(values).all():
            raise ImageError(
                f"{where}: values are NaN or infinite. Expected whole numbers, 0 for background."
            )
        wrong = values[values != np.rint(values)]
        if len(wrong):
            raise ImageError(
                f"{where}: {len(wrong)} values are not whole, e.g. {wrong[0]:g}. Labels were resized with interpolation "
                "or normalised. Save them as they are (nearest neighbour), as uint16 or uint32."
            )
    elif kind not in "iu":
        raise ImageError(f"{where}: values of type {values.dtype} are no labels. Expected whole numbers.")
    lowest, highest = values.min(initial=0), values.max(initial=0)
    if lowest < 0:
        raise ImageError(f"{where}: the value {lowest} is negative. Expected 0 for background, cells from 1.")
    if highest > MAX_LABEL:
        raise ImageError(
            f"{where}: the label {highest} is too large. Expected {MAX_LABEL} at most; renumber."
        )
    return values.astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLook:
    """What was counted in the label images of some frames of one role."""

    frames: int = 0
    empty_frames: int = 0
    full_frames: int = 0  # not one pixel of background
    labels: int = 0
    pieces: int = 0  # unconnected parts, splinters left out
    split_labels: int = 0
    tiny_labels: int = 0
    few_frames: int = 0  # frames with at most `_FEW_VALUES` labels
    few_labels: int = 0  # labels in those
    few_pieces: int = 0

    def as_facts(self) -> dict[str, int]:
        """To be kept."""
        return asdict(self)


def look_at(labels: NDArray[np.int32]) -> LabelLook:
    """Count what is odd in the label image (Y, X) of one frame.

    Parts of a label that touch the same other cells may pass for one piece: pieces are counted low.
    """
    inside = labels != 0
    if not inside.any():
        return LabelLook(frames=1, empty_frames=1)
    parts, n_parts = ndimage.label(inside, structure=np.ones((3, 3)))
    pixels = np.flatnonzero(inside)
    key = labels.ravel()[pixels].astype(np.int64) * (n_parts + 1) + parts.ravel()[pixels]
    piece, size = np.unique(key, return_counts=True)
    _, first, owner = np.unique(piece // (n_parts + 1), return_index=True, return_inverse=True)
    largest = np.maximum.reduceat(size, first)
    counted = size >= _SPLINTER * largest[owner]
    pieces = np.bincount(owner[counted], minlength=len(first))
    area = np.bincount(owner, weights=size, minlength=len(first))
    n, few = len(first), len(first) <= _FEW_VALUES
    return LabelLook(
        frames=1,
        full_frames=int(len(pixels) == labels.size),
        labels=n,
        pieces=int(pieces.sum()),
        split_labels=int((pieces > 1).sum()),
        tiny_labels=int((area <= TINY_PX).sum()),
        few_frames=int(few),
        few_labels=n if few else 0,
        few_pieces=int(pieces.sum()) if few else 0,
    )


def sum_of(looks: Iterable[LabelLook]) -> LabelLook:
    """All frames together."""
    total = dict.fromkeys(LabelLook().as_facts(), 0)
    for look in looks:
        for name, value in look.as_facts().items():
            total[name] += value
    return LabelLook(**total)


def require_labels(look: LabelLook, where: str) -> None:
    """Refuse images that are full of numbers and yet no label images.

    Raises:
        ImageError: They are masks, class maps, without background, or were resaved with interpolation.
    """
    shown = look.frames - look.empty_frames
    if shown and 2 * look.full_frames > shown:
        raise ImageError(
            f"{where}: {look.full_frames} of {look.frames} frames have no background at all. Expected 0 outside of cells "
            "(a class map of ilastik has 1 there): export the objects' identities, not the segmentation."
        )
    if shown and 2 * look.few_frames > shown and look.few_pieces >= 2 * look.few_labels:
        raise ImageError(
            f"{where}: {look.few_labels} values stand in {look.few_pieces} separate pieces. This is a mask or a class map, "
            "not a label image: all its cells would be counted as one. Give each cell a number of its own (Fiji: "
            "MorphoLibJ > Connected Components Labeling; Python: skimage.measure.label), touching cells parted."
        )
    if look.labels >= _ENOUGH_LABELS and 2 * look.tiny_labels > look.labels:
        raise ImageError(
            f"{where}: {look.tiny_labels} of {look.labels} labels have {TINY_PX} pixels or fewer. Label images were resaved "
            "with interpolation or compressed with loss. Save them as they are (nearest neighbour, TIFF without JPEG)."
        )


def warnings_of(look: LabelLook, where: str, *, may_be_empty: bool = False) -> list[str]:
    """What a person should look at; frames without a cell are said unless nobody expects one."""
    found = []
    if look.frames and look.empty_frames == look.frames and not may_be_empty:
        found.append(f"{where}: no cell in any of {look.frames} frames")
    elif look.empty_frames and not may_be_empty:
        found.append(f"{where}: no cell in {look.empty_frames} of {look.frames} frames")
    if look.split_labels > _WORTH_SAYING * look.labels:
        found.append(
            f"{where}: {look.split_labels} of {look.labels} labels lie in several unconnected pieces; each counts as one cell"
        )
    if look.tiny_labels > _WORTH_SAYING * look.labels:
        found.append(
            f"{where}: {look.tiny_labels} of {look.labels} labels have {TINY_PX} pixels or fewer; each counts as a cell"
        )
    return found
