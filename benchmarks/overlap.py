"""Targets under an effector: are they found whole, and what could a model of one class per pixel reach at best?

A true target is under an effector when effectors cover at least a tenth of its mask. Counted are these targets
alone: found (matched at the least IoU), overlooked (the others), and invented: called targets without a match
whose pixels lie more in such a target than in any other true one. A target cut in two is thus overlooked once and
invented twice, or, where one part still matches, found once and invented once.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

from models.training.dataset import TrainingFrame
from models.training.evaluate import Counts, overlaps_of

LEAST_COVERED = 0.1


def under_effectors(frame: TrainingFrame) -> NDArray[np.bool_]:
    """(largest label + 1,): which true targets effectors cover by `LEAST_COVERED` or more."""
    size = np.bincount(frame.targets.ravel())
    covered = np.bincount(frame.targets[frame.effectors > 0], minlength=len(size))
    under = covered >= LEAST_COVERED * np.maximum(size, 1)
    under[0] = False
    return under & (size > 0)


def count_under(called: NDArray[np.integer], frame: TrainingFrame, *, least_iou: float) -> Counts:
    """Count the true targets under an effector, and what was called there; (Y, X) label image of targets."""
    under = under_effectors(frame)
    pairs = overlaps_of(called, frame.targets)
    matched = pairs.matched(least_iou=least_iou)
    found = int(under[pairs.true[matched]].sum())
    is_matched = np.zeros(int(called.max(initial=0)) + 1, dtype=bool)
    is_matched[pairs.called[matched]] = True
    order = np.lexsort((pairs.true, -pairs.shared_px, pairs.called))
    first = np.ones(len(order), dtype=bool)
    first[1:] = pairs.called[order][1:] != pairs.called[order][:-1]
    best = order[first]  # of each called cell the true one it shares most pixels with
    invented = under[pairs.true[best]] & ~is_matched[pairs.called[best]]
    return Counts(found=found, invented=int(invented.sum()), overlooked=int(under.sum()) - found)


def flattened(frame: TrainingFrame, *, in_one_piece: bool) -> NDArray[np.int32]:
    """True targets as one class per pixel leaves them: where effector and target overlap, the effector has it.

    Args:
        frame: With truth.
        in_one_piece: Keep of each target its largest connected piece, as a decoder does that gives connected
            cells; else all that is left of a target is still one cell, better than any such model can know.
    """
    left = np.where(frame.effectors > 0, 0, frame.targets).astype(np.int32)
    if not in_one_piece:
        return left
    pieces = connected_components(left, connectivity=2, background=0)
    size = np.bincount(pieces.ravel())
    of_piece = np.zeros(len(size), dtype=np.int32)
    of_piece[pieces] = left
    order = np.lexsort((np.arange(len(size)), -size, of_piece))
    largest = np.ones(len(order), dtype=bool)
    largest[1:] = of_piece[order][1:] != of_piece[order][:-1]
    kept = np.zeros(len(size), dtype=np.int32)
    kept[order[largest]] = of_piece[order[largest]]
    kept[0] = 0
    result: NDArray[np.int32] = kept[pieces]
    return result
