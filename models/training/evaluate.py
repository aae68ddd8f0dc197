"""How many cells a model finds: average precision and F1 per role, pooled over frames."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellRole, FrameLabels, Segmenter
from models.training.dataset import TrainingFrame

LEAST_IOU = (0.5, 0.75)
_OTHER: Mapping[CellRole, CellRole] = {"effector": "target", "target": "effector"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Cells found, invented and overlooked."""

    found: int = 0
    invented: int = 0
    overlooked: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            found=self.found + other.found,
            invented=self.invented + other.invented,
            overlooked=self.overlooked + other.overlooked,
        )

    @property
    def ap(self) -> float:
        """Share found / (found + invented + overlooked); NaN where there was nothing to find and nothing found."""
        total = self.found + self.invented + self.overlooked
        return self.found / total if total else float("nan")

    @property
    def f1(self) -> float:
        """Share 2 found / (2 found + invented + overlooked); NaN as for `ap`."""
        total = 2 * self.found + self.invented + self.overlooked
        return 2 * self.found / total if total else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the cells of one role: sums over frames, so that parts can be put together."""

    half: Counts = Counts()  # at IoU 0.5
    three_quarters: Counts = Counts()  # at IoU 0.75
    seen: int = 0  # true cells that a called cell of either role overlaps with IoU >= 0.5
    right: int = 0  # those of them whose best overlapping called cell is of their own role

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        )

    def figures(self) -> dict[str, float]:
        """The shares; NaN where there is nothing to take a share of."""
        return {
            "ap50": self.half.ap,
            "ap75": self.three_quarters.ap,
            "f1_50": self.half.f1,
            "f1_75": self.three_quarters.f1,
            "class_right": self.right / self.seen if self.seen else float("nan"),
            "cells": self.half.found + self.half.overlooked,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Every pair of a called and a true cell that share a pixel, ordered by (called, true)."""

    called: NDArray[np.int64]
    true: NDArray[np.int64]
    shared_px: NDArray[np.int64]
    iou: NDArray[np.float64]

    def matched(self, *, least_iou: float) -> NDArray[np.intp]:
        """Which pairs are matches: the best first, each cell once."""
        taken: list[int] = []
        used_called: set[int] = set()
        used_true: set[int] = set()
        for index in np.lexsort((self.true, self.called, -self.iou)).tolist():
            if self.iou[index] < least_iou:
                break
            one, other = int(self.called[index]), int(self.true[index])
            if one not in used_called and other not in used_true:
                used_called.add(one)
                used_true.add(other)
                taken.append(index)
        return np.array(sorted(taken), dtype=np.intp)

    def best_of_true(self, n_labels: int) -> NDArray[np.float64]:
        """(n_labels,): the largest IoU of each true label with any called cell; 0 where none shares a pixel."""
        best = np.zeros(n_labels)
        np.maximum.at(best, self.true, self.iou)
        return best


def overlaps_of(labels: NDArray[np.integer], truth: NDArray[np.integer]) -> Overlaps:
    """Compare two (Y, X) label images; labels may have holes."""
    called_size, true_size = np.bincount(labels.ravel()), np.bincount(truth.ravel())
    both = (labels > 0) & (truth > 0)
    pair = labels[both].astype(np.int64) * len(true_size) + truth[both]
    pairs, shared = np.unique(pair, return_counts=True)
    called, true = pairs // len(true_size), pairs % len(true_size)
    iou = shared / (called_size[called] + true_size[true] - shared)
    return Overlaps(called=called, true=true, shared_px=shared.astype(np.int64), iou=iou)


def count_matches(labels: NDArray[np.integer], truth: NDArray[np.integer], *, least_iou: float) -> Counts:
    """Match cells of one role in one frame, the best overlapping pairs first."""
    matched = len(overlaps_of(labels, truth).matched(least_iou=least_iou))
    return Counts(found=matched, invented=_n_cells(labels) - matched, overlooked=_n_cells(truth) - matched)


def tally_frame(found: FrameLabels, frame: TrainingFrame) -> dict[CellRole, Tally]:
    """Score one frame.

    Cells, called or true, that lie for more than half where the truth is not known do not count.
    """
    called: dict[CellRole, NDArray[np.integer]] = {
        role: within_known(found.of(role)[0], frame, role) for role in CELL_ROLES
    }
    return {role: _tally_role(called, within_known(frame.of(role), frame, role), role) for role in CELL_ROLES}


def evaluate(
    segmenter: Segmenter, frames: Iterable[TrainingFrame], *, pixel_um: float
) -> Mapping[CellRole, Mapping[str, float]]:
    """AP, F1 and the share of right roles of a segmenter on frames with truth.

    Returns:
        Per role `ap50`, `ap75`, `f1_50`, `f1_75`, `class_right` (of the true cells that a called cell of either
        role overlaps with IoU >= 0.5, the share whose best overlapping one is of their own role), and how many
        true cells there were (`cells`).
    """
    return {
        role: tally.figures() for role, tally in tally_frames(segmenter, frames, pixel_um=pixel_um).items()
    }


def tally_frames(
    segmenter: Segmenter, frames: Iterable[TrainingFrame], *, pixel_um: float
) -> dict[CellRole, Tally]:
    """The sums behind `evaluate`."""
    tallies = {role: Tally() for role in CELL_ROLES}
    for frame in frames:
        images = np.asarray(frame.slots, dtype=np.float32)[None]
        [found] = segmenter.segment(images, present=frame.present.tolist(), pixel_um=(pixel_um, pixel_um))
        for role, tally in tally_frame(found, frame).items():
            tallies[role] += tally
    return tallies


def _tally_role(
    called: Mapping[CellRole, NDArray[np.integer]], truth: NDArray[np.integer], role: CellRole
) -> Tally:
    own = overlaps_of(called[role], truth)
    n_called, n_true = _n_cells(called[role]), _n_cells(truth)
    half, three_quarters = (
        Counts(found=found, invented=n_called - found, overlooked=n_true - found)
        for found in (len(own.matched(least_iou=least)) for least in LEAST_IOU)
    )
    n_labels = int(truth.max(initial=0)) + 1
    best_own = own.best_of_true(n_labels)
    best_other = overlaps_of(called[_OTHER[role]], truth).best_of_true(n_labels)
    seen = np.maximum(best_own, best_other) >= LEAST_IOU[0]
    right = seen & (best_own >= best_other)
    return Tally(half=half, three_quarters=three_quarters, seen=int(seen.sum()), right=int(right.sum()))


def within_known(labels: NDArray[np.integer], frame: TrainingFrame, role: CellRole) -> NDArray[np.integer]:
    """Only the cells with at least half of their area where the truth of their role is known."""
    if frame.known is None:
        return labels
    known = frame.known[CELL_ROLES.index(role)]
    size = np.bincount(labels.ravel())
    outside = np.bincount(labels[~known], minlength=len(size))
    dropped = 2 * outside > size
    return np.where(dropped[labels], 0, labels)


def _n_cells(labels: NDArray[np.integer]) -> int:
    return int((np.bincount(labels.ravel())[1:] > 0).sum())
