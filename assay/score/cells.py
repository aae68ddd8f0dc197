"""How well cells are found, and the matched frames that everything later stands on.

Frame by frame: of a film only one row per cell and frame is kept, never its pixels. A frame that is masked or
missing in RESULTS has empty labels there, and its true cells count as missed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.score.matching import MATCH_IOU, Ids, matched_pairs, overlap_of

STRICT_IOU = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """Cells found, of one role."""

    n_true: int
    n_called: int
    found_50: int  # at IoU 0.5
    found_75: int
    seg_sum: float  # CTC: sum of the Jaccard index over the true cells

    def ap(self, found: int) -> float:
        """TP / (TP + FP + FN), the "AP" of StarDist, Cellpose and the 2018 Data Science Bowl."""
        return ratio(found, self.n_true + self.n_called - found)

    def f1(self, found: int) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return ratio(2 * found, self.n_true + self.n_called)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCells:
    """The cells of one role in one field: where each is seen, and who matches whom."""

    counts: CellCounts
    true_frames: Ids
    true_ids: Ids
    called_frames: Ids
    called_ids: Ids
    match_frames: Ids  # at IoU >= 0.5, one to one
    match_true: Ids
    match_called: Ids
    cover_frames: Ids  # CTC: the called cell covers more than half of the true one
    cover_true: Ids
    cover_called: Ids


class CellTally:
    """Takes the frames of one role in one field one after the other."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._found = {MATCH_IOU: 0, STRICT_IOU: 0}
        self._seg_sum = 0.0
        self._rows: dict[str, list[tuple[int, Ids, Ids]]] = {
            name: [] for name in ("true", "called", "match", "cover")
        }

    def add(self, frame: int, true: NDArray[np.integer], called: NDArray[np.integer]) -> None:
        """Compare one frame.

        Args:
            frame: Its number; frames come in rising order.
            true: (Y, X) label image, value = true track id.
            called: (Y, X) label image of the same shape, value = called track id.
        """
        overlap = overlap_of(true, called)
        match_true, match_called = matched_pairs(overlap, min_iou=MATCH_IOU)
        self._found[MATCH_IOU] += len(match_true)
        self._found[STRICT_IOU] += len(matched_pairs(overlap, min_iou=STRICT_IOU)[0])
        covers = 2 * overlap.pair_px > overlap.true_px[overlap.pair_true]
        self._seg_sum += float(overlap.iou[covers].sum())
        cover_true = overlap.true_ids[overlap.pair_true[covers]]
        cover_called = overlap.called_ids[overlap.pair_called[covers]]
        self._rows["true"].append((frame, overlap.true_ids, overlap.true_ids))
        self._rows["called"].append((frame, overlap.called_ids, overlap.called_ids))
        self._rows["match"].append((frame, match_true, match_called))
        self._rows["cover"].append((frame, cover_true, cover_called))

    def finish(self) -> FieldCells:
        """All frames have been seen."""
        true_frames, true_ids, _ = self._columns("true")
        called_frames, called_ids, _ = self._columns("called")
        match_frames, match_true, match_called = self._columns("match")
        cover_frames, cover_true, cover_called = self._columns("cover")
        counts = CellCounts(
            n_true=len(true_ids),
            n_called=len(called_ids),
            found_50=self._found[MATCH_IOU],
            found_75=self._found[STRICT_IOU],
            seg_sum=self._seg_sum,
        )
        return FieldCells(
            counts=counts,
            true_frames=true_frames,
            true_ids=true_ids,
            called_frames=called_frames,
            called_ids=called_ids,
            match_frames=match_frames,
            match_true=match_true,
            match_called=match_called,
            cover_frames=cover_frames,
            cover_true=cover_true,
            cover_called=cover_called,
        )

    def _columns(self, name: str) -> tuple[Ids, Ids, Ids]:
        rows = self._rows[name]
        if not rows:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, nothing
        frames = np.concatenate([np.full(len(ids), frame, dtype=np.int64) for frame, ids, _ in rows])
        return (
            frames,
            np.concatenate([ids for _, ids, _ in rows]),
            np.concatenate([ids for _, _, ids in rows]),
        )


def ratio(part: float, whole: float) -> float:
    """`part` / `whole`; NaN where there is nothing to count."""
    return part / whole if whole else float("nan")
