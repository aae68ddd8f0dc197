"""Cells of both roles that claim one object, where a single channel shows both roles.

With a dye for each role an effector may lie right on a target of its own size, and both are there. In
transmitted light alone one object is seen, and it is one of the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES, CellRole
from models.decode import CellFeatures, DecodedCells

SAME_IOU = 0.5  # from here on two outlines are of one object
PIECE_SHARE = 0.6  # of a target that lies on one effector larger than itself: a piece of that effector


def shares_a_channel(present: Sequence[bool]) -> bool:
    """Whether one of the roles is seen in transmitted light only, where the other is seen as well."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    return not ("effector" in shown and shown & {"target", "nuclei"})


def settled(
    cells: Mapping[CellRole, DecodedCells], scores: Mapping[CellRole, NDArray[np.float32]]
) -> dict[CellRole, DecodedCells]:
    """Leave every object to one role: to the one whose cell scores higher.

    Effectors lie on targets and not under them, so a small target that lies mostly on an effector with a
    higher score is a piece of that effector.

    Args:
        cells: Of both roles in one frame.
        scores: (n,) of each role.
    """
    effectors, targets = cells["effector"], cells["target"]
    effector, target, shared = _overlaps(effectors.labels, targets.labels)
    of_effector = shared / np.bincount(effectors.labels.ravel())[effector]
    of_target = shared / np.bincount(targets.labels.ravel())[target]
    same = 1 / (1 / of_effector + 1 / of_target - 1) >= SAME_IOU
    piece = (of_target > PIECE_SHARE) & (of_effector < PIECE_SHARE)
    higher = scores["effector"][effector - 1] >= scores["target"][target - 1]
    loses_target = np.zeros(len(scores["target"]), dtype=np.bool_)
    loses_target[target[(same | piece) & higher] - 1] = True
    loses_effector = np.zeros(len(scores["effector"]), dtype=np.bool_)
    loses_effector[effector[same & ~higher] - 1] = True
    return {"effector": without(effectors, loses_effector), "target": without(targets, loses_target)}


def without(cells: DecodedCells, dropped: NDArray[np.bool_]) -> DecodedCells:
    """The cells that are not dropped, numbered without holes in the same order."""
    if not dropped.any():
        return cells
    number = np.zeros(len(dropped) + 1, dtype=np.int32)
    number[1:][~dropped] = np.arange(1, (~dropped).sum() + 1)
    kept = {field.name: getattr(cells.features, field.name)[~dropped] for field in fields(CellFeatures)}
    features = CellFeatures(**kept)
    return DecodedCells(labels=number[cells.labels], features=features, foreground_px=cells.foreground_px)


def _overlaps(
    effectors: NDArray[np.int32], targets: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of labels that share pixels, and how many."""
    place = np.flatnonzero((effectors > 0) & (targets > 0))
    n_targets = int(targets.max(initial=0)) + 1
    pair, shared = np.unique(
        effectors.ravel()[place].astype(np.int64) * n_targets + targets.ravel()[place], return_counts=True
    )
    return pair // n_targets, pair % n_targets, shared
