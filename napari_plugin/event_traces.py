"""What is drawn under the film of an event: death dye, area and gap over the frames around it.

Knows the cells and the clip of an event. Knows no window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_plugin.cell_book import FieldCells
from napari_plugin.clips import Clip, ClipKey

FRAMES_AROUND = 24
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(frames, values)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTraces:
    """Curves of one event."""

    first_frame: int
    last_frame: int
    dye: Curve | None  # of the target, 0 to 1 of its own range here; None without a death dye
    marker: Curve | None  # the target's own marker, the same way
    area: Curve  # um2
    gaps: tuple[tuple[int, Curve], ...]  # per effector, um


def event_traces(
    key: ClipKey, cells: FieldCells, clip: Clip | None, *, dye: str | None, marker: str | None, n_frames: int
) -> EventTraces:
    """Gather the curves.

    Args:
        key: Which event.
        cells: Of its field.
        clip: Gives the gaps; without it there are none yet.
        dye: Name of the death channel.
        marker: Name of the target's channel.
        n_frames: Length of the film.
    """
    first, last = max(0, key.frame - FRAMES_AROUND), min(n_frames - 1, key.frame + FRAMES_AROUND)
    target = cells.track("target", key.target)
    kept = target.between(first, last)
    frames = target.frame[kept].astype(np.float64)
    gaps = []
    if clip is not None:
        there = np.arange(clip.first_frame, clip.last_frame + 1, dtype=np.float64)
        gaps = [(effector, (there, gap)) for effector, gap in clip.gaps.items()]
    return EventTraces(
        first_frame=first,
        last_frame=last,
        dye=_scaled(frames, target.means.get(dye or ""), kept),
        marker=_scaled(frames, target.means.get(marker or ""), kept),
        area=(frames, target.area_um2[kept]),
        gaps=tuple(gaps),
    )


def _scaled(
    frames: NDArray[np.float64], values: NDArray[np.float64] | None, kept: NDArray[np.bool_]
) -> Curve | None:
    """Values as a share of their range."""
    if values is None or not kept.any():
        return None
    here = values[kept]
    if not np.isfinite(here).any():
        return None
    low, high = float(np.nanmin(here)), float(np.nanmax(here))
    return frames, (here - low) / max(high - low, 1e-9)
