"""How many cells a model finds: average precision and F1 per role, pooled over frames."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellRole, Segmenter
from models.training.dataset import TrainingFrame

LEAST_IOU = (0.5, 0.75)


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


def count_matches(labels: NDArray[np.integer], truth: NDArray[np.integer], *, least_iou: float) -> Counts:
    """Match cells of one role in one frame, the best overlapping pairs first."""
    found_size = np.bincount(labels.ravel())
    true_size = np.bincount(truth.ravel())
    n_found, n_true = int((found_size[1:] > 0).sum()), int((true_size[1:] > 0).sum())
    both = (labels > 0) & (truth > 0)
    pair = labels[both].astype(np.int64) * len(true_size) + truth[both]
    pairs, shared = np.unique(pair, return_counts=True)
    of_labels, of_truth = pairs // len(true_size), pairs % len(true_size)
    iou = shared / (found_size[of_labels] + true_size[of_truth] - shared)
    used_labels: set[int] = set()
    used_truth: set[int] = set()
    for index in np.lexsort((of_truth, of_labels, -iou)):
        one, other = int(of_labels[index]), int(of_truth[index])
        if iou[index] >= least_iou and one not in used_labels and other not in used_truth:
            used_labels.add(one)
            used_truth.add(other)
    matched = len(used_labels)
    return Counts(found=matched, invented=n_found - matched, overlooked=n_true - matched)


def evaluate(
    segmenter: Segmenter, frames: Iterable[TrainingFrame], *, pixel_um: float
) -> Mapping[CellRole, Mapping[str, float]]:
    """AP and F1 of a segmenter on frames with truth.

    Returns:
        Per role `ap50`, `ap75`, `f1_50`, `f1_75`, and how many true cells there were (`cells`).
    """
    counts = {(role, least): Counts() for role in CELL_ROLES for least in LEAST_IOU}
    for frame in frames:
        images = np.asarray(frame.slots, dtype=np.float32)[None]
        [found] = segmenter.segment(images, present=frame.present.tolist(), pixel_um=(pixel_um, pixel_um))
        for role, least in counts:
            counts[role, least] += count_matches(found.of(role)[0], frame.of(role), least_iou=least)
    return {role: _figures(counts[role, 0.5], counts[role, 0.75]) for role in CELL_ROLES}


def _figures(half: Counts, three_quarters: Counts) -> dict[str, float]:
    return {
        "ap50": half.ap,
        "ap75": three_quarters.ap,
        "f1_50": half.f1,
        "f1_75": three_quarters.f1,
        "cells": half.found + half.overlooked,
    }
