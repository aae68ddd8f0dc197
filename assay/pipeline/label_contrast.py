"""Whether outlines from elsewhere lie on the cells of these images: a look at the light inside and outside.

Labels of another plate, turned, shifted or with the roles swapped have the right shape and the wrong cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.io.label_checks import look_at, require_labels, sum_of, warnings_of
from assay.io.label_films import named
from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.pipeline.outlines import may_be_empty, read_given
from assay.pipeline.pixels import open_stack
from assay.pipeline.plan import FieldPlan

_OWN_DYES: dict[CellRole, tuple[ChannelRole, ...]] = {
    "effector": ("effector",),
    "target": ("target", "nuclei"),
}
_FEW_CELLS = 5  # of a role; fewer say nothing
_LEAST_CONTRAST = 1.0  # in noise of the background; dyed cells have 5 and more


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDoubts:
    """What a few frames of given labels show."""

    problem: str | None = None  # stops the field
    odd: tuple[str, ...] = ()  # about the labels themselves
    misplaced: tuple[str, ...] = ()  # about where they lie on the images


def doubts_about_labels(plan: FieldPlan, frames: Sequence[int]) -> LabelDoubts:
    """Look at some frames of a field with labels of another program."""
    odd: list[str] = []
    misplaced: list[str] = []
    labels: dict[CellRole, list[NDArray[np.int32]]] = {}
    try:
        images = open_stack(plan).read(frames)
        for role in plan.given:
            labels[role] = read_given(plan, role, frames)
            look = sum_of(look_at(image) for image in labels[role])
            require_labels(look, named(plan.field, role))
            odd += warnings_of(look, named(plan.field, role), may_be_empty=may_be_empty(plan, role))
    except AssayError as error:
        return LabelDoubts(problem=str(error))
    for role in labels:
        misplaced += _dull(plan, role, labels[role], images)
    if len(labels) == len(CELL_ROLES):
        misplaced += _swapped(plan, labels, images)
    return LabelDoubts(odd=tuple(odd), misplaced=tuple(misplaced))


def _dull(
    plan: FieldPlan, role: CellRole, labels: Sequence[NDArray[np.int32]], images: NDArray[Any]
) -> list[str]:
    channels = [channel for dye in _OWN_DYES[role] for channel in plan.roles.get(dye, ())]
    if not channels or _n_cells(labels) < _FEW_CELLS:
        return []
    best = max(_contrast(labels, images[:, channel]) for channel in channels)
    if best >= _LEAST_CONTRAST:
        return []
    names = " or ".join(plan.channel_names[channel] for channel in channels)
    return [
        f"{named(plan.field, role)}: {names} is no brighter inside the outlines than outside. Are they labels of other "
        "images, shifted or turned?"
    ]


def _swapped(
    plan: FieldPlan, labels: dict[CellRole, list[NDArray[np.int32]]], images: NDArray[Any]
) -> list[str]:
    dyes = {role: plan.roles.get(role, ()) for role in CELL_ROLES}
    if not all(dyes.values()) or any(_n_cells(labels[role]) < _FEW_CELLS for role in CELL_ROLES):
        return []
    seen: dict[tuple[CellRole, CellRole], float] = {
        (role, dye): max(_contrast(labels[role], images[:, channel]) for channel in dyes[dye])
        for role in CELL_ROLES
        for dye in CELL_ROLES
    }
    others: dict[CellRole, CellRole] = {"effector": "target", "target": "effector"}
    swapped = all(
        seen[role, other] > 2 * max(seen[role, role], _LEAST_CONTRAST) for role, other in others.items()
    )
    return (
        [
            f"{plan.field}: the labels of effectors lie on the targets' dye and those of targets on the effectors'. Are the "
            "two swapped?"
        ]
        if swapped
        else []
    )


def _n_cells(labels: Sequence[NDArray[np.int32]]) -> int:
    return sum(len(np.unique(image[image > 0])) for image in labels)


def _contrast(labels: Sequence[NDArray[np.int32]], images: NDArray[Any]) -> float:
    """Median inside less median outside, in robust standard deviations of what is outside."""
    inside = np.concatenate([image[label > 0] for image, label in zip(images, labels, strict=True)]).astype(
        np.float64
    )
    outside = np.concatenate([image[label == 0] for image, label in zip(images, labels, strict=True)]).astype(
        np.float64
    )
    if not len(inside) or not len(outside):
        return np.inf
    middle = float(np.median(outside))
    noise = max(1.4826 * float(np.median(np.abs(outside - middle))), 1e-6)
    return (float(np.median(inside)) - middle) / noise
