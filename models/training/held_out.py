"""What a fine-tuning does not learn from, so that before and after can be told apart honestly.

With five images or more, whole images (of whole experiments, where it is known which image is of which). With
fewer, a quarter of each image; what is learned from ends one cell before it.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.errors import ModelError
from assay.labels import CELL_ROLES, CellRole, FrameLabels, Segmenter
from models.training.dataset import TrainingFrame
from models.training.evaluate import Tally, tally_frames, within_known

FEWEST_IMAGES = 5  # with fewer, quarters are held out
_SHARE = 0.2  # of the images
_FEWEST_CELLS_TO_CUT = 4  # an image of fewer is learned from whole


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedFrame:
    """A training frame with a name; frames of one group, e.g. one experiment, stay on one side."""

    name: str
    frame: TrainingFrame
    group: str = ""  # empty: the frame is a group of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The frames to learn from, and those to judge by, where `known` ends at the other's border."""

    learned: Sequence[AnnotatedFrame]
    held_out: Sequence[AnnotatedFrame]
    by: str  # what was held out, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutScore:
    """How well a model does on held-out cells, the outlined roles together."""

    f1_50: float
    ap50: float
    ap75: float
    cells: int


def divide(frames: Sequence[AnnotatedFrame], held_out: Collection[str] | None) -> Division:
    """Part frames into learned and held out.

    Args:
        frames: With truth; names are unique.
        held_out: Names of frames or groups to hold out; None chooses by the hash of the names, so that
            neither order nor chance matters.

    Raises:
        ModelError: A name is unknown, or one side would be left without cells.
    """
    if held_out is None and len(frames) < FEWEST_IMAGES:
        division = _by_quarter(frames)
    else:
        chosen = _chosen(frames) if held_out is None else _named(frames, held_out)
        division = Division(
            learned=[one for one in frames if one.name not in chosen],
            held_out=[one for one in frames if one.name in chosen],
            by=f"images {', '.join(sorted(chosen))}",
        )
    for side, what in ((division.learned, "to learn from"), (division.held_out, "to judge by")):
        if not any(_cells(one.frame) for one in side):
            raise ModelError(
                f"of {len(frames)} images no outlined cell is left {what} when {division.by} are held out. Outline more "
                "cells, or choose with --held-out."
            )
    return division


def score(segmenter: Segmenter, frames: Iterable[AnnotatedFrame], *, pixel_um: float) -> HeldOutScore:
    """Judge a model where the truth is known: cells that lie mostly elsewhere count neither way."""
    tallies = tally_frames(segmenter, (one.frame for one in frames), pixel_um=pixel_um)
    both = sum(tallies.values(), Tally())
    half = both.half
    return HeldOutScore(
        f1_50=half.f1, ap50=half.ap, ap75=both.three_quarters.ap, cells=half.found + half.overlooked
    )


def labels_of(segmenter: Segmenter, frame: TrainingFrame, *, pixel_um: float) -> FrameLabels:
    """What a model sees in one frame."""
    images = np.asarray(frame.slots, dtype=np.float32)[None]
    [found] = segmenter.segment(images, present=frame.present.tolist(), pixel_um=(pixel_um, pixel_um))
    return found


def outlined_roles(frame: TrainingFrame) -> list[CellRole]:
    """The roles whose truth is known somewhere in the frame."""
    return [role for role in CELL_ROLES if _known(frame, role).any()]


def _known(frame: TrainingFrame, role: CellRole) -> NDArray[np.bool_]:
    if frame.known is None:
        return np.ones(frame.of(role).shape, dtype=np.bool_)
    known: NDArray[np.bool_] = frame.known[CELL_ROLES.index(role)]
    return known


def _cells(frame: TrainingFrame) -> int:
    """Outlined cells that count."""
    return sum(
        int((np.unique(within_known(frame.of(role), frame, role)) > 0).sum())
        for role in outlined_roles(frame)
    )


def _groups(frames: Sequence[AnnotatedFrame]) -> Mapping[str, list[AnnotatedFrame]]:
    groups: dict[str, list[AnnotatedFrame]] = {}
    for one in frames:
        groups.setdefault(one.group or one.name, []).append(one)
    return groups if len(groups) > 1 else {one.name: [one] for one in frames}


def _chosen(frames: Sequence[AnnotatedFrame]) -> set[str]:
    """Whole groups in the order of their names' hashes, until a fifth of the images is held out."""
    groups = _groups(frames)
    order = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    chosen: list[AnnotatedFrame] = []
    wanted = max(1, round(_SHARE * len(frames)))
    for group in order:
        if len(chosen) >= wanted and any(_cells(one.frame) for one in chosen):
            break
        if len(chosen) + len(groups[group]) <= max(wanted, len(frames) // 2):  # else too little is left
            chosen += groups[group]
    return {one.name for one in chosen}


def _named(frames: Sequence[AnnotatedFrame], held_out: Collection[str]) -> set[str]:
    known = {one.name for one in frames} | {one.group for one in frames if one.group}
    unknown = sorted(set(held_out) - known)
    if unknown:
        raise ModelError(
            f"--held-out {unknown[0]}: there is no such image or experiment. Known: {', '.join(sorted(known))}."
        )
    return {one.name for one in frames if one.name in held_out or one.group in held_out}


def _by_quarter(frames: Sequence[AnnotatedFrame]) -> Division:
    parts = [_cut(one) for one in frames]
    return Division(
        learned=[learned for learned, _ in parts],
        held_out=[kept for _, kept in parts if kept is not None],
        by="a quarter of each image",
    )


def _cut(one: AnnotatedFrame) -> tuple[AnnotatedFrame, AnnotatedFrame | None]:
    """The frame with one quarter unknown, and with all but that quarter unknown."""
    frame = one.frame
    if _cells(frame) < _FEWEST_CELLS_TO_CUT:
        return one, None
    known = np.stack([_known(frame, role) for role in CELL_ROLES])
    quarters = [known & quarter for quarter in _quarters(frame.targets.shape)]
    cells = [_cells(replace(frame, known=within)) for within in quarters]
    best = min(range(4), key=lambda quarter: (abs(cells[quarter] - sum(cells) / 4), quarter))
    held = _quarters(frame.targets.shape)[best]
    away = ndimage.distance_transform_edt(~held) > _cell_width(frame)
    apart = np.stack([away & ~_touching(frame.of(role), held) for role in CELL_ROLES])
    return (
        replace(one, frame=replace(frame, known=known & apart)),
        replace(one, frame=replace(frame, known=quarters[best])) if cells[best] else None,
    )


def _quarters(shape: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    upper = np.arange(shape[0])[:, None] < shape[0] / 2
    left = np.arange(shape[1])[None] < shape[1] / 2
    return [upper & left, upper & ~left, ~upper & left, ~upper & ~left]


def _touching(labels: NDArray[np.integer], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of cells that reach into the held-out part."""
    reaching = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.bool_)
    reaching[np.unique(labels[held])] = True
    reaching[0] = False
    pixels: NDArray[np.bool_] = reaching[labels]
    return pixels


def _cell_width(frame: TrainingFrame) -> float:
    """Median width of the outlined cells, in pixels."""
    areas = [np.bincount(frame.of(role).ravel())[1:] for role in outlined_roles(frame)]
    area = np.concatenate(areas)
    return float(np.sqrt(np.median(area[area > 0]) * 4 / np.pi))
