"""How long contacts last: the table of a plate, of its conditions and of its wells.

Knows contacts as first and last frames. Knows nothing of where they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table

LEVELS = ("plate", "condition", "well")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactTimes:
    """Durations of a group of contacts; NaN where there is none."""

    n_contacts: int
    n_censored: (
        int  # of these, cut off by the film or by a cell coming or going: they lasted at least as long
    )
    mean_frames: float
    median_frames: float
    max_frames: float


def contact_times(frames: NDArray[np.integer[Any]], censored: NDArray[np.bool_]) -> ContactTimes:
    """Count and average.

    Censored contacts count with the length that was seen, so where many are, the true times are longer.

    Args:
        frames: Duration of each contact; one seen in a single frame lasts 1.
        censored: Whether its beginning or its end was not seen.
    """
    known = len(frames) > 0
    return ContactTimes(
        n_contacts=len(frames),
        n_censored=int(censored.sum()),
        mean_frames=float(frames.mean()) if known else float("nan"),
        median_frames=float(np.median(frames)) if known else float("nan"),
        max_frames=float(frames.max()) if known else float("nan"),
    )


def contact_time_rows(
    contacts: Table, *, wells: Mapping[str, str | None], frame_min: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    """The contacts table summarised: the plate, then its conditions, then its wells.

    Contacts that began after the target's death are left out, as in the wells table.

    Args:
        contacts: With well, first_frame, last_frame, starts_censored, ends_censored and target_dead; only of fields that
            count.
        wells: Every well that counts -> its condition, None for none; a well without contacts has a row, too.
        frame_min: Frame interval of each well; a group whose wells differ, or have none, has no minutes.
    """
    live = ~contacts["target_dead"].astype(bool)
    well = contacts["well"][live]
    frames = (contacts["last_frame"] - contacts["first_frame"] + 1)[live]
    censored = (contacts["starts_censored"].astype(bool) | contacts["ends_censored"].astype(bool))[live]
    groups: list[tuple[str, str | None, str | None, list[str]]] = [("plate", None, None, sorted(wells))]
    for condition in dict.fromkeys(name for name in wells.values() if name is not None):
        groups.append(
            ("condition", None, condition, [w for w, name in sorted(wells.items()) if name == condition])
        )
    groups += [("well", name, wells[name], [name]) for name in sorted(wells)]
    rows = []
    for level, place, called, members in groups:
        mine = np.isin(well.astype(str), members)
        times = contact_times(frames[mine], censored[mine])
        interval = _common([frame_min.get(member) for member in members])
        rows.append(_row(level, called, place, len(members), times, interval))
    return rows


def share_lasting(frames: NDArray[np.integer[Any]], at_least: Sequence[int]) -> NDArray[np.float64]:
    """Share of contacts that last at least so many frames, of those that last at least the first of them."""
    longer = np.array([np.count_nonzero(frames >= n) for n in at_least], dtype=np.float64)
    return longer / longer[0] if len(longer) and longer[0] else np.full(len(longer), np.nan)


def _row(
    level: str, condition: str | None, well: str | None, n_wells: int, times: ContactTimes, frame_min: float
) -> dict[str, Any]:
    return {
        "level": level,
        "condition": condition,
        "well": well,
        "n_wells": n_wells,
        "n_contacts": times.n_contacts,
        "n_censored": times.n_censored,
        "mean_frames": times.mean_frames,
        "median_frames": times.median_frames,
        "max_frames": times.max_frames,
        "mean_min": times.mean_frames * frame_min,
        "median_min": times.median_frames * frame_min,
        "max_min": times.max_frames * frame_min,
    }


def _common(intervals: Sequence[float | None]) -> float:
    known = {interval for interval in intervals if interval is not None}
    return known.pop() if len(known) == 1 and None not in intervals else float("nan")
