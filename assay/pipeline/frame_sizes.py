"""How large the frames of a run may be."""

from assay.errors import ImageError
from assay.stack import FieldId

LARGEST_FRAME_PX = 8192 * 8192  # a run holds whole frames, of every channel, on the model's scale


def require_workable_frames(shape: tuple[int, ...], place: FieldId) -> None:
    """Refuse frames that no memory holds, before any pixel is read.

    Raises:
        ImageError: A frame has more than `LARGEST_FRAME_PX` pixels.
    """
    height, width = shape[2:]
    if height * width > LARGEST_FRAME_PX:
        raise ImageError(
            f"{place}: its frames of {height} x {width} pixels are too large, expected at most 8192 x 8192. Cut them into "
            "fields of that size, each a field of its well, and run those."
        )
