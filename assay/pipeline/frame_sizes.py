"""How large the frames of a run may be."""

from assay.errors import ImageError
from assay.labels import is_large
from assay.stack import FieldId

LONGEST_SIDE_PX = 65_536  # some rows of a frame are held at a time, of their whole width


def require_workable_frames(shape: tuple[int, ...], place: FieldId, *, given_labels: bool = False) -> None:
    """Refuse frames that cannot be worked on, before any pixel is read.

    Args:
        shape: (..., Y, X).
        place: Their field.
        given_labels: Whether the cells are those of another program; its label images are read as a whole.

    Raises:
        ImageError: A side has more than `LONGEST_SIDE_PX` pixels, or labels are given of frames too large to be held.
    """
    height, width = shape[-2:]
    if max(height, width) > LONGEST_SIDE_PX:
        raise ImageError(
            f"{place}: its frames of {height} x {width} pixels are too large, expected at most {LONGEST_SIDE_PX} on a side. "
            "Cut them into smaller fields, each a field of its well, and run those."
        )
    if given_labels and is_large(shape):
        raise ImageError(
            f"{place}: its frames of {height} x {width} pixels are too large for --labels, whose images are held as a "
            "whole; expected at most 8192 x 8192. Cut them into fields of that size, or leave --labels out."
        )
