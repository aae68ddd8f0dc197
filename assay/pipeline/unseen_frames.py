"""What of one field cannot be seen, found once its pixels were read, and kept beside its tracks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.invalid_planes import InvalidPlane, find_invalid_planes
from assay.labels import CELL_ROLES, CellMeasures
from assay.pipeline.plan import FieldPlan
from assay.pipeline.reading import Lost
from assay.pipeline.work_files import (
    read_facts,
    read_lost,
    read_quality,
    take_channels,
    take_measures,
    work_file,
)
from assay.quality import FrameQuality
from assay.quality import concatenate as concatenate_quality
from assay.stack import FieldId
from assay.unseen import Unseen, what_is_unseen

MOST_LOST = 0.2
"""A field fails of which more than this share of a channel's frames is lost on the disk."""


def judge_planes(plan: FieldPlan) -> tuple[InvalidPlane, ...]:
    """Find the invalid planes of a field that was read: of the channels in use, numbered as in the film.

    Raises:
        ImageError: More planes are lost than a film can do without, or any where none may be.
    """
    lost = _lost(plan)
    used = plan.used_channels()  # what no role uses may be black, or out of focus
    mine = {(frame, used.index(channel)): why for (frame, channel), why in lost.items() if channel in used}
    _require_enough(plan, lost)
    found = find_invalid_planes(
        take_channels(read_field_quality(plan), used),
        missing_frames=plan.missing_frames,
        lost=mine,
        channel_names=[plan.channel_names[channel] for channel in used],
        steady_channels=[used.index(channel) for channel in plan.steady_channels()],
    )
    return tuple(
        InvalidPlane(frame=p.frame, channel=used[p.channel], fault=p.fault, reason=p.reason) for p in found
    )


def see(plan: FieldPlan, planes: Sequence[InvalidPlane]) -> Unseen:
    """Say whom these planes leave unseen."""
    return what_is_unseen(planes, plan.roles, n_frames=plan.shape[0])


def facts_of(plan: FieldPlan, planes: Sequence[InvalidPlane], unseen: Unseen) -> dict[str, Any]:
    """The same as plain values."""

    def plain(frames: Mapping[int, str]) -> dict[str, str]:
        return {str(frame): reason for frame, reason in frames.items()}

    return {
        "masked_frames": plain(unseen.frames),
        "unseen": {role: plain(unseen.roles[role]) for role in CELL_ROLES},
        "death_unseen": plain(unseen.death),
        "invalid_planes": [asdict(plane) for plane in planes],
        "death_channels": plan.names_of("death"),
    }


def read_unseen(results: Path, place: FieldId) -> Unseen:
    """What cannot be seen of a field; known once it is linked."""
    facts = read_facts(work_file(results, "link", place))
    masked = facts["masked_frames"]  # all that runs of earlier versions tell
    roles = facts.get("unseen", dict.fromkeys(CELL_ROLES, masked))
    return Unseen(
        roles={role: _frames(roles[role]) for role in CELL_ROLES},
        death=_frames(facts.get("death_unseen", masked)),
    )


def read_invalid_planes(plan: FieldPlan) -> tuple[InvalidPlane, ...]:
    """The invalid planes of a field; known once it is linked."""
    facts = read_facts(work_file(plan.results, "link", plan.field))
    return tuple(InvalidPlane(**plane) for plane in facts["invalid_planes"])


def invalid_frames(results: Path, place: FieldId, names: Sequence[str]) -> dict[str, frozenset[int]]:
    """Channel name -> the frames in which it holds no usable image; known once the field is linked."""
    planes = read_facts(work_file(results, "link", place)).get("invalid_planes", ())
    return {
        name: frozenset(plane["frame"] for plane in planes if plane["channel"] == channel)
        for channel, name in enumerate(names)
    }


def seen_cells(measures: CellMeasures, unseen: Unseen, invalid: Mapping[str, frozenset[int]]) -> CellMeasures:
    """The cells of the frames that show their role; of a channel without image in a frame, the light is unknown."""
    hidden = unseen.roles[measures.role]
    seen = take_measures(measures, ~np.isin(measures.frame, sorted(hidden))) if hidden else measures
    if not any(invalid.values()):
        return seen

    def known(means: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        return {
            name: np.where(np.isin(seen.frame, sorted(invalid.get(name, ()))), np.nan, values)
            for name, values in means.items()
        }

    return replace(seen, means=known(seen.means), own_means=known(seen.own_means))


def background_levels(
    quality: FrameQuality,
    names: Sequence[str],
    *,
    n_frames: int,
    unseen: Unseen,
    invalid: Mapping[str, frozenset[int]],
    death_channels: Collection[str],
) -> dict[str, NDArray[np.float64]]:
    """(T,) level of each channel where there are no cells; NaN in frames in which it cannot be read."""
    levels = {name: np.full(n_frames, np.nan) for name in names}
    for channel, name in enumerate(names):
        levels[name][quality.frame] = quality.background[:, channel]
        levels[name][sorted(invalid.get(name, ()))] = np.nan
        if name in death_channels:
            levels[name][sorted(unseen.death)] = np.nan
    return levels


def read_field_quality(plan: FieldPlan) -> FrameQuality:
    """The light of all frames that hold an image."""
    files = [work_file(plan.results, "quality", plan.field, first) for first, _ in runs_with_images(plan)]
    return concatenate_quality([read_quality(file, len(plan.channel_names)) for file in files])


def runs_with_images(plan: FieldPlan) -> list[tuple[int, int]]:
    """The runs of frames of which one at least was recorded."""
    return [(a, b) for a, b in plan.runs() if not set(range(a, b)) <= plan.missing_frames]


def _lost(plan: FieldPlan) -> Lost:
    lost: Lost = {}
    for first, _ in plan.runs():
        lost |= read_lost(work_file(plan.results, "lost", plan.field, first))
    return lost


def _require_enough(plan: FieldPlan, lost: Lost) -> None:
    if lost and not plan.masks_lost_planes():
        raise ImageError(next(iter(lost.values())))
    for channel in plan.used_channels():
        mine = [frame for frame, of in lost if of == channel]
        if len(mine) > MOST_LOST * plan.shape[0]:
            raise ImageError(
                f"{lost[mine[0], channel]} {len(mine)} of {plan.shape[0]} frames lack {plan.channel_names[channel]}, "
                f"more than {100 * MOST_LOST:.0f} %: the field does not count."
            )


def _frames(plain: Mapping[str, str]) -> dict[int, str]:
    return {int(frame): reason for frame, reason in plain.items()}
