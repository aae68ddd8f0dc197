"""Which called cell is which true cell: in one frame, over a track, during a contact.

Knows label images of one frame and the ids in them. Knows nothing of files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError

MATCH_IOU = 0.5
"""A cell matches a true cell of its role at this IoU or more."""

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOverlap:
    """How the cells of two label images of one frame overlap, in pixels; every pair that shares a pixel."""

    true_ids: Ids
    true_px: Ids
    called_ids: Ids
    called_px: Ids
    pair_true: Ids  # index into true_ids
    pair_called: Ids  # index into called_ids
    pair_px: Ids

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        union = self.true_px[self.pair_true] + self.called_px[self.pair_called] - self.pair_px
        return self.pair_px / union


def overlap_of(true: NDArray[np.integer], called: NDArray[np.integer]) -> FrameOverlap:
    """Count the pixels that each true and each called cell share in one frame.

    Args:
        true: (Y, X) label image, 0 is background.
        called: (Y, X) label image of the same frame.

    Raises:
        ShapeError: The two label images differ in shape.
    """
    if true.shape != called.shape:
        raise ShapeError(
            f"two label images of one frame must have one shape, got {true.shape} and {called.shape}."
        )
    key = true.ravel().astype(np.uint64) << np.uint64(32) | called.ravel().astype(np.uint64)
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))  # runs along the rows: few to sort
    runs = np.diff(np.append(starts, key.size))
    keys, inverse = np.unique(key[starts], return_inverse=True)
    pixels = np.bincount(inverse, weights=runs).astype(np.int64)
    true_id = (keys >> np.uint64(32)).astype(np.int64)
    called_id = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    true_ids, true_px = _areas(true_id, pixels)
    called_ids, called_px = _areas(called_id, pixels)
    both = (true_id > 0) & (called_id > 0)
    return FrameOverlap(
        true_ids=true_ids,
        true_px=true_px,
        called_ids=called_ids,
        called_px=called_px,
        pair_true=np.searchsorted(true_ids, true_id[both]),
        pair_called=np.searchsorted(called_ids, called_id[both]),
        pair_px=pixels[both],
    )


def _areas(ids: Ids, pixels: Ids) -> tuple[Ids, Ids]:
    kept, inverse = np.unique(ids, return_inverse=True)
    areas = np.bincount(inverse, weights=pixels, minlength=len(kept)).astype(np.int64)
    cells = kept > 0
    return kept[cells], areas[cells]


def matched_pairs(overlap: FrameOverlap, *, min_iou: float) -> tuple[Ids, Ids]:
    """Pair true and called cells one to one, the highest IoU first.

    Above an IoU of 0.5 no cell can have two partners; only at exactly 0.5 there is a choice, and the lower
    ids win.

    Args:
        overlap: Of one frame.
        min_iou: Smallest IoU that is a match, 0.5 or more.

    Returns:
        True ids and called ids of the matched pairs, ordered by true id.
    """
    iou = overlap.iou
    good = np.flatnonzero(iou >= min_iou)
    order = good[np.lexsort((overlap.pair_called[good], overlap.pair_true[good], -iou[good]))]
    taken_true: dict[int, int] = {}
    taken_called: set[int] = set()
    for pair in order.tolist():
        true, called = int(overlap.pair_true[pair]), int(overlap.pair_called[pair])
        if true not in taken_true and called not in taken_called:
            taken_true[true] = called
            taken_called.add(called)
    rows = sorted(taken_true.items())
    true_at = np.array([true for true, _ in rows], dtype=np.int64)
    called_at = np.array([called for _, called in rows], dtype=np.int64)
    return overlap.true_ids[true_at], overlap.called_ids[called_at]


def majority(ids: Iterable[int]) -> int | None:
    """The id that makes up more than half of `ids`; None where no id does, and for none at all."""
    values, counts = np.unique(np.fromiter(ids, dtype=np.int64), return_counts=True)
    if not len(values):
        return None
    best = int(np.argmax(counts))
    return int(values[best]) if 2 * counts[best] > counts.sum() else None


class Identities:
    """Who a called track truly is, for one role in one field.

    A track is the true cell that it matches in more than half of its matched frames. During a contact only
    the frames of the contact are asked, so that a mix-up elsewhere in the film is not counted again; a cell
    that matches nobody during the contact (its mask merged with another's) is who its track is.
    """

    def __init__(self, frames: Ids, true_ids: Ids, called_ids: Ids) -> None:
        """One row per matched cell and frame."""
        order = np.lexsort((frames, called_ids))
        self._frames, self._true = frames[order], true_ids[order]
        tracks, starts = np.unique(called_ids[order], return_index=True)
        ends = np.append(starts, len(order))[1:]
        self._rows = dict(zip(tracks.tolist(), zip(starts.tolist(), ends.tolist(), strict=True), strict=True))

    def of_track(self, track_id: int) -> int | None:
        """The true track id; None for a track that is nobody in particular."""
        start, end = self._rows.get(track_id, (0, 0))
        return majority(self._true[start:end])

    def during(self, track_id: int, first_frame: int, last_frame: int) -> int | None:
        """The true track id during these frames, both included."""
        start, end = self._rows.get(track_id, (0, 0))
        low = start + int(np.searchsorted(self._frames[start:end], first_frame, side="left"))
        high = start + int(np.searchsorted(self._frames[start:end], last_frame, side="right"))
        return majority(self._true[low:high]) if high > low else self.of_track(track_id)
