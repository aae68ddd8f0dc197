"""What makes a picture a mask of cells: every cell has a number of its own.

Masks that only say "cell" or "no cell", or that number kinds of cells, are refused: where two cells touch, such
a mask does not say how many there are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.errors import ImageError

_PIECE_SHARE = 0.25  # of the label's largest piece; smaller ones are slips of the pen
_PIECES_PER_LABEL = 2.0  # more on average, and the numbers mean something else than cells
_EVERY_WAY = np.ones((3, 3), dtype=np.int8)  # pixels that touch at a corner are one piece


def instance_mask(drawn: NDArray[Any], *, where: str) -> NDArray[np.int32]:
    """(Y, X) numbers of a mask file as labels 1..n without holes, 0 is background; all 0 is "no cells here".

    Raises:
        ImageError: The numbers are not whole, negative, or do not tell one cell from the next.
    """
    if drawn.dtype.kind == "b":
        drawn = drawn.astype(np.uint8)
    if drawn.dtype.kind not in "uif":
        raise ImageError(f"{where}: pixels are {drawn.dtype}, expected whole numbers, one per cell.")
    if drawn.dtype.kind == "f" and not (np.isfinite(drawn).all() and (drawn == np.rint(drawn)).all()):
        raise ImageError(
            f"{where}: holds values that are no whole numbers, as of a probability map. Expected one whole number per "
            "cell and 0 elsewhere."
        )
    if drawn.size and drawn.min() < 0:
        raise ImageError(
            f"{where}: holds negative numbers ({drawn.min():g}). Expected 0 and one number per cell."
        )
    values, numbered = np.unique(drawn, return_inverse=True)
    labels: NDArray[np.int32] = numbered.reshape(drawn.shape).astype(np.int32)
    if len(values) and values[0] != 0:
        raise ImageError(
            f"{where}: no pixel is 0, so everything would be a cell. Expected 0 for the background. (Mark what is not to be "
            "believed in a file of its own, NAME_ignore.)"
        )
    _refuse_classes(labels, len(values) - 1, where)
    return labels


def area_mask(drawn: NDArray[Any], *, where: str) -> NDArray[np.bool_]:
    """(Y, X) yes or no: whatever is not 0.

    Raises:
        ImageError: The pixels are no numbers.
    """
    if drawn.dtype.kind not in "buif":
        raise ImageError(f"{where}: pixels are {drawn.dtype}, expected 0 or another number.")
    inside: NDArray[np.bool_] = np.nan_to_num(drawn) != 0
    return inside


def _refuse_classes(labels: NDArray[np.int32], n_labels: int, where: str) -> None:
    """Refuse numbers that each stand for many separate pieces."""
    pieces = 0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            _, sizes = np.unique(
                ndimage.label(labels[box] == number, structure=_EVERY_WAY)[0], return_counts=True
            )
            own = sizes[1:] if (labels[box] != number).any() else sizes
            pieces += int((own >= max(4, _PIECE_SHARE * own.max())).sum())
    if n_labels and pieces > _PIECES_PER_LABEL * n_labels:
        numbers = "a single number" if n_labels == 1 else f"{n_labels} numbers"
        raise ImageError(
            f"{where}: {pieces} separate pieces share {numbers}, so it says where cells are but not which pixels are one "
            "cell. Expected a number of its own for every cell (in Fiji: MorphoLibJ > Connected Components Labeling, then part "
            "what touches)."
        )
