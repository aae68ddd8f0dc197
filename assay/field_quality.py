"""What a person should look at before believing a field: one row of the `fields` table.

Knows the light of the field's frames (`quality.py`) and a few numbers about its cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.invalid_planes import InvalidPlane, dark_for_good, planes_in_words
from assay.quality import (
    FrameQuality,
    brightness_change_percent,
    channel_labels,
    finite_median,
    frame_ranges,
    lamp_jumps,
)
from assay.stack import FieldId


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFacts:
    """What the later steps know about a field; NaN where it is not known."""

    has_effector_channel: bool
    steady_channels: tuple[int, ...]  # channels whose light should not change: all but the death dye
    death_channels: tuple[int, ...] = ()
    n_targets: float = float("nan")  # cells per usable frame, mean
    n_effectors: float = float("nan")
    target_area_um2: float = float("nan")  # median over cells
    effector_area_um2: float = float("nan")
    cell_covered_percent: float = float("nan")  # of the image under cells, highest frame
    drift_um: float = float("nan")  # largest stage displacement from frame 0
    field_width_um: float = float("nan")
    lost_percent: float = float("nan")
    effector_step_um: float = float("nan")  # 19 in 20 steps from frame to frame are shorter
    effector_spacing_um: float = float("nan")  # median distance to the nearest effector
    length_min: float = float("nan")  # of the film
    longest_min: float = float("nan")  # of the plate's longest film
    death_brighter_percent: float = float(
        "nan"
    )  # targets of the first usable frame, death dye against their own
    segmentation: tuple[str, ...] = ()  # what the model doubts, in words


def field_row(
    field: FieldId,
    quality: FrameQuality,
    *,
    n_frames: int,
    masked: Mapping[int, str],
    facts: FieldFacts,
    channel_names: Sequence[str],
    planes: Sequence[InvalidPlane] = (),
) -> dict[str, Any]:
    """One row of the `fields` table for a field that was measured.

    A field none of whose frames is usable is "excluded": it has no numbers, and is never a zero.

    Args:
        field: Which one.
        quality: The light of its frames.
        n_frames: Length of the film.
        masked: Frames in which effectors or targets cannot be seen, with the reason.
        facts: What later steps know.
        channel_names: Of the film.
        planes: Planes without a usable image; their light speaks neither of focus nor of lamps.
    """
    doubtful = {**masked, **{plane.frame: plane.reason for plane in planes}}
    change, channel = brightness_change_percent(quality, masked=doubtful, channels=facts.steady_channels)
    good = np.array([frame not in doubtful for frame in quality.frame.tolist()], dtype=bool)
    names = channel_labels(quality, channel_names)
    warnings = [*_lost(planes, names), *_warnings(quality, doubtful, facts, change, channel, names)]
    usable = bool(len(quality)) and len(masked) < n_frames
    return {
        "well": field.well,
        "field": field.field,
        "status": "ok" if usable else "excluded",
        "reason": None if usable else _no_frame_left(masked),
        "n_frames": n_frames,
        "n_masked_frames": len(masked),
        "masked_frames": frame_ranges(masked),
        "n_invalid_planes": len(planes),
        "invalid_planes": planes_in_words(planes, names),
        "focus": finite_median(quality.focus[good]),
        "drift_um": facts.drift_um,
        "saturated_percent": 100.0 * _largest([finite_median(share) for share in quality.saturated[good].T]),
        "brightness_change_percent": change,
        "lost_percent": facts.lost_percent,
        "effector_step_um": facts.effector_step_um,
        "effector_spacing_um": facts.effector_spacing_um,
        "warning": "; ".join(warnings) or None,
    }


def failed_field_row(field: FieldId, *, reason: str, n_frames: int = 0) -> dict[str, Any]:
    """One row of the `fields` table for a field that could not be read or measured."""
    unknown = float("nan")
    return {
        "well": field.well,
        "field": field.field,
        "status": "failed",
        "reason": reason,
        "n_frames": n_frames,
        "n_masked_frames": 0,
        "masked_frames": "",
        "n_invalid_planes": 0,
        "invalid_planes": "",
        "focus": unknown,
        "drift_um": unknown,
        "saturated_percent": unknown,
        "brightness_change_percent": unknown,
        "lost_percent": unknown,
        "effector_step_um": unknown,
        "effector_spacing_um": unknown,
        "warning": None,
    }


def _lost(planes: Sequence[InvalidPlane], names: Sequence[str]) -> list[str]:
    """What a person may still mend: planes whose files are gone or damaged."""
    lost = [plane for plane in planes if plane.fault == "lost"]
    if not lost:
        return []
    return [f"lost on the disk, restore it from a copy: {planes_in_words(lost, names)}"]


def _warnings(
    quality: FrameQuality,
    masked: Mapping[int, str],
    facts: FieldFacts,
    change: float,
    channel: int | None,
    names: Sequence[str],
) -> list[str]:
    found = []
    if channel is not None and change <= -30:
        found.append(f"{names[channel]} bleaches by {-change:.0f} %")
    if channel is not None and change >= 50:
        found.append(f"{names[channel]} brightens by {change:.0f} %")
    jumps = lamp_jumps(quality, channels=facts.steady_channels, masked=masked, channel_names=names)
    found += [text for _, text in jumps[:2]] + (
        [f"and {len(jumps) - 2} more jumps of light"] if jumps[2:] else []
    )
    good = np.array([frame not in masked for frame in quality.frame.tolist()], dtype=bool)
    for index in facts.death_channels:
        if (since := dark_for_good(quality, index, masked=masked)) is not None:
            found.append(
                f"{names[index]} is gone at once from frame {since} on: deaths after it cannot be seen"
            )
    for index, name in enumerate(names):
        saturated = 100 * finite_median(quality.saturated[good, index])
        if saturated > 0.5:
            found.append(f"{name}: {saturated:.1f} % of pixels are saturated")
    if facts.n_targets == 0:
        found.append("no targets were found")
    if facts.has_effector_channel and facts.n_effectors == 0:
        found.append("no effectors were found")
    if facts.death_brighter_percent > 60:
        found.append(
            f"in {facts.death_brighter_percent:.0f} % of targets of the first frame the death dye is brighter than "
            "the target dye: are the two channels swapped, or is nearly everything dead?"
        )
    found += facts.segmentation
    if facts.effector_area_um2 > 1.8 * facts.target_area_um2:
        found.append(
            f"effectors ({facts.effector_area_um2:.0f} um2) are larger than targets "
            f"({facts.target_area_um2:.0f} um2): are the two channels swapped?"
        )
    if facts.drift_um > max(10.0, 0.05 * np.nan_to_num(facts.field_width_um)):
        found.append(f"the stage drifts by {facts.drift_um:.0f} um")
    if facts.cell_covered_percent > 70:
        found.append(f"crowded: cells cover {facts.cell_covered_percent:.0f} % of the image")
    if facts.length_min < 0.98 * facts.longest_min:
        found.append(
            f"the film lasts {facts.length_min:.0f} min, others of the plate up to {facts.longest_min:.0f} min: its "
            "deaths and kills cover less time"
        )
    if 2 * facts.effector_step_um > facts.effector_spacing_um:
        often = "often" if facts.effector_step_um > facts.effector_spacing_um else "at times"
        found.append(
            f"effectors move up to {facts.effector_step_um:.0f} um from frame to frame but are "
            f"{facts.effector_spacing_um:.0f} um apart: who is who is {often} a guess; film faster, or seed fewer"
        )
    if facts.lost_percent > 30:
        found.append(f"{facts.lost_percent:.0f} % of tracks end as lost")
    return found


def _no_frame_left(masked: Mapping[int, str]) -> str:
    first = next(iter(masked), None)
    return "no frame holds a usable image" + (
        f" (frame {first}: {masked[first]})" if first is not None else ""
    )


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if np.isfinite(value)), default=float("nan"))
