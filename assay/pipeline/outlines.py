"""The cells of a run of frames: from the model, from labels of another program, or one role from each.

Labels of another program are looked at before they are believed, and keep their values.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.brightness import frames_to_sample
from assay.columns import Table, concatenate
from assay.errors import DeviceError, ImageError
from assay.io.label_checks import LabelLook, look_at, require_labels, sum_of, warnings_of, whole_labels
from assay.io.label_films import named
from assay.io.tables import read_arrays, write_arrays
from assay.labels import (
    CELL_ROLES,
    CellMeasures,
    CellRole,
    Doubt,
    FrameLabels,
    KnowsSwaps,
    LargeFrameLabels,
    ReadSlots,
    Segmenter,
    SegmentsLarge,
)
from assay.pipeline.plan import FieldPlan
from assay.pipeline.work_files import read_facts, work_file, write_facts
from assay.segmentation_quality import doubts_table
from assay.tracks import Tracks, track_by_labels

LARGEST_TRACK_ID = 10_000_000
_ENOUGH_STEPS = 20
_LABEL_LOOK = "label_look"
_WITHOUT: Mapping[CellRole, str] = {"effector": "target_only", "target": "effector_only"}
_DOUBTS = "doubts"


class Outlines:
    """Where the cells of a run of frames come from: the model, labels of another program, or one of each."""

    def __init__(self, plan: FieldPlan, model: Callable[[], Segmenter]) -> None:
        """Load the model only where a role is not given.

        Args:
            plan: Of the field.
            model: Gives the model.
        """
        self._plan = plan
        self._model = _same_numerics(model(), plan) if set(plan.given) != set(CELL_ROLES) else None
        self._looks: dict[CellRole, list[LabelLook]] = {role: [] for role in plan.given}
        self._doubts: list[Table] = [doubts_table(0, ())]

    def find(
        self, frames: Sequence[int], slots: NDArray[np.float32], present: Sequence[bool]
    ) -> list[FrameLabels]:
        """The cells of some frames, of both roles.

        Raises:
            ImageError: A given label image is damaged, or is none.
        """
        if self._model is None:
            nothing = np.zeros(self._plan.shape[2:], dtype=np.int32)
            no_scores = np.zeros(0, dtype=np.float32)
            seen = [
                FrameLabels(
                    effectors=nothing, targets=nothing, effector_scores=no_scores, target_scores=no_scores
                )
                for _ in frames
            ]
        else:
            pixel_um = self._plan.calibration.pixel_um
            seen = self._model.segment(slots, present=present, pixel_um=pixel_um)
            for frame, image, cells in zip(frames, slots, seen, strict=True):
                of_cells = (doubt for doubt in cells.doubts if doubt.of not in self._plan.given)
                doubts = (*of_cells, *self._swap_doubts(frame, _windows_of(image), present))
                self._doubts.append(doubts_table(frame, doubts))
        for role in self._plan.given:
            images = self._given(role, frames)
            seen = [_with_labels(cells, role, labels) for cells, labels in zip(seen, images, strict=True)]
        return seen

    def find_large(self, frame: int, read: ReadSlots, present: Sequence[bool]) -> LargeFrameLabels:
        """The cells of a frame that is too large to be held, of both roles.

        Raises:
            ImageError: The model, or the frame, asks for the whole frame at once.
        """
        plan = self._plan
        if not isinstance(self._model, SegmentsLarge):
            raise ImageError(
                f"{plan.field}: frames of {plan.shape[2]} x {plan.shape[3]} pixels are too large for this model, which has to "
                "hold them. Cut them into fields."
            )
        pixel_um = plan.calibration.pixel_um
        cells = self._model.segment_large(read, shape=plan.shape[2:], present=present, pixel_um=pixel_um)
        doubts = (*cells.doubts, *self._swap_doubts(frame, read, present))
        self._doubts.append(doubts_table(frame, doubts))
        return cells

    def finish(self, first: int) -> list[Path]:
        """What the model doubts and what was odd in the given labels of the run, kept for the report.

        Raises:
            ImageError: They are masks, class maps or were resaved with interpolation.
        """
        plan = self._plan
        path = work_file(plan.results, _DOUBTS, plan.field, first)
        doubts = [write_arrays(path, concatenate(self._doubts))] if self._model is not None else []
        if not self._looks:
            return doubts
        facts: dict[str, Any] = {}
        for role, looks in self._looks.items():
            look = sum_of(looks)
            require_labels(look, f"{named(plan.field, role)}, {_frames(first, len(looks))}")
            facts[role] = look.as_facts()
        return [*doubts, write_facts(work_file(plan.results, _LABEL_LOOK, plan.field, first), facts)]

    def _swap_doubts(self, frame: int, read: ReadSlots, present: Sequence[bool]) -> tuple[Doubt, ...]:
        """Asked of two frames of a film, and of none whose outlines are not all the model's."""
        plan = self._plan
        sampled = frames_to_sample(plan.shape[0], plan.missing_frames)
        asked = frame in (sampled[0], sampled[len(sampled) // 2])
        if plan.given or not asked or not isinstance(self._model, KnowsSwaps):
            return ()
        pixel_um = plan.calibration.pixel_um
        return self._model.swap_doubts(read, shape=plan.shape[2:], present=present, pixel_um=pixel_um)

    def _given(self, role: CellRole, frames: Sequence[int]) -> list[NDArray[np.int32]]:
        images = read_given(self._plan, role, frames)
        self._looks[role] += [look_at(image) for image in images]
        return images


def _windows_of(image: NDArray[np.float32]) -> ReadSlots:
    return lambda rows, columns: image[:, rows, columns]


def _same_numerics(model: Segmenter, plan: FieldPlan) -> Segmenter:
    """Refuse a processor that rounds otherwise than the one on which the run was begun: one run never mixes two.

    Raises:
        DeviceError: It does.
    """
    expected, here = (dict(identity).get("numerics") for identity in (plan.segmenter, model.identity))
    if here is not None and expected != here:
        raise DeviceError(
            f"the run was begun with the numerics {expected}, this machine ({platform.node()}) has {here}. One run never "
            'mixes two: ask the cluster for one kind of node, or set [model] precision = "fp32" in the protocol.'
        )
    return model


def read_doubts(plan: FieldPlan) -> list[Table]:
    """What the model doubted in the frames of a field; nothing where it was not asked."""
    if set(plan.given) == set(CELL_ROLES):
        return []
    files = [work_file(plan.results, _DOUBTS, plan.field, first) for first, _ in plan.runs()]
    return [read_arrays(file) for file in files if file.is_file()]


def read_given(plan: FieldPlan, role: CellRole, frames: Sequence[int]) -> list[NDArray[np.int32]]:
    """The given label images of some frames, as whole numbers.

    Raises:
        ImageError: One is damaged, or its values are no labels.
    """
    film = plan.given[role].film
    assert film is not None, "a plan to report on reads no labels"
    where = named(plan.field, role)
    return [
        whole_labels(image, f"{where}, frame {frame}")
        for frame, image in zip(frames, film.read(frames), strict=True)
    ]


def _with_labels(cells: FrameLabels, role: CellRole, labels: NDArray[np.int32]) -> FrameLabels:
    """Labels keep their values; how sure the other program was is not known, so their scores are NaN."""
    scores = np.broadcast_to(np.float32(np.nan), (int(labels.max(initial=0)),))
    if role == "effector":
        return replace(cells, effectors=labels, effector_scores=scores)
    return replace(cells, targets=labels, target_scores=scores)


def track_given(
    plan: FieldPlan, measures: CellMeasures, masked: Mapping[int, str], drift: NDArray[np.float64]
) -> Tracks:
    """Tracks of labels whose values are track ids already.

    Raises:
        ImageError: The values do not follow cells, or the divisions are of other labels.
    """
    given, where = plan.given[measures.role], named(plan.field, measures.role)
    if measures.label.max(initial=0) > LARGEST_TRACK_ID:
        raise ImageError(
            f"{where}: the track id {measures.label.max()} is too large. Expected {LARGEST_TRACK_ID} at most; renumber."
        )
    if given.parents and not np.isin(measures.label, [*given.parents, *given.parents.values()]).any():
        raise ImageError(
            f"{where}: no id of the table of divisions occurs in the labels. The table belongs to others; take it away."
        )
    _require_followed(measures, where)
    return track_by_labels(
        measures,
        n_frames=plan.shape[0],
        masked_frames=masked,
        calibration=plan.calibration,
        field_shape=plan.shape[2:],
        parents=given.parents,
        drift_um=drift,
    )


def _require_followed(measures: CellMeasures, where: str) -> None:
    """Refuse labels that are numbered anew in each frame and said to be tracks.

    Raises:
        ImageError: Frames count 1, 2, 3 however many cells they have, and values often jump to the next cell.
    """
    order = np.lexsort((measures.frame, measures.label))
    frame, label = measures.frame[order], measures.label[order]
    place = np.stack([measures.y_um, measures.x_um], axis=1)[order]
    same = (np.diff(label) == 0) & (np.diff(frame) == 1)
    if same.sum() < _ENOUGH_STEPS:
        return
    step = float(np.percentile(np.hypot(*np.diff(place, axis=0)[same].T), 75))
    by_frame = np.argsort(frame, kind="stable")
    counted, sizes, nearest = 0, [], []
    for here in np.split(by_frame, np.flatnonzero(np.diff(frame[by_frame])) + 1):
        sizes.append(len(here))
        counted += int(label[here].max() == len(here))
        if len(here) > 1:
            nearest.append(cKDTree(place[here]).query(place[here], k=2)[0][:, 1])
    spacing = float(np.median(np.concatenate(nearest))) if nearest else np.inf
    if len(set(sizes)) > 1 and 2 * counted > len(sizes) and 2 * step > spacing:
        raise ImageError(
            f"{where} were said to be tracked, but each frame counts its cells from 1 and one in four lies {step:.0f} um or "
            f"more from itself a frame later, where cells lie {spacing:.0f} um apart. Leave --labels-tracked out: killassay "
            "then follows the cells."
        )


def odd_labels(plan: FieldPlan) -> list[str]:
    """What was odd in the given labels of a field that was run."""
    files = [work_file(plan.results, _LABEL_LOOK, plan.field, first) for first, _ in plan.runs()]
    facts = [read_facts(file) for file in files if file.with_suffix(".json").is_file()]
    found: list[str] = []
    for role in plan.given:
        look = sum_of(LabelLook(**fact[role]) for fact in facts if role in fact)
        found += warnings_of(look, named(plan.field, role), may_be_empty=may_be_empty(plan, role))
    return found


def may_be_empty(plan: FieldPlan, role: CellRole) -> bool:
    """Whether the plate map says that the well has no such cells."""
    condition = plan.protocol.condition_of(plan.field.well)
    return condition is not None and condition.kind == _WITHOUT[role]


def _frames(first: int, n: int) -> str:
    return f"frame {first}" if n == 1 else f"frames {first} to {first + n - 1}"
