"""A small plate of deaths to review: tables drawn by hand, and events without tables."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from assay.columns import Table, table_of_rows
from assay.review.events import review_events
from assay.review.sitting import MemoryJournal, Sitting

FRAME_MIN = 6.0


def death(death_id: int, target: int, frame: int, **more: Any) -> dict[str, Any]:
    return {
        "well": "B02",
        "field": 0,
        "death_id": death_id,
        "role": "target",
        "track_id": target,
        "frame": frame,
        "first_possible_frame": frame,
        "last_possible_frame": frame,
        "time_min": frame * FRAME_MIN,
        "probability": 0.9,
        "evidence": "dye",
        "uncredited_share": 0.1,
    } | more


def kill(death_id: int, target: int, effector: int, share: float, **more: Any) -> dict[str, Any]:
    row = {"well": "B02", "field": 0, "death_id": death_id, "target_track_id": target, "contact_id": 1}
    return row | {"effector_track_id": effector, "share": share, "lag_min": 30.0} | more


def contact(effector: int, target: int, first: int, last: int, **more: Any) -> dict[str, Any]:
    return {
        "well": "B02",
        "field": 0,
        "contact_id": 1,
        "effector_track_id": effector,
        "target_track_id": target,
        "first_frame": first,
        "last_frame": last,
        "duration_min": (last - first + 1) * FRAME_MIN,
        "min_gap_um": 0.5,
        "mean_interface_um": 3.0,
        "starts_censored": False,
        "ends_censored": False,
        "target_dead": False,
    } | more


def three_deaths() -> dict[str, Table]:
    """Target 1 is killed by effector 5, which 6 also touched; 2 dies of itself; 3 lies in another well."""
    return {
        "deaths": table_of_rows(
            "deaths",
            [
                death(1, 1, 20),
                death(2, 2, 30, uncredited_share=1.0, probability=0.5),
                death(3, 9, 12, role="effector", uncredited_share=None),
                death(1, 3, 40, well="C03", uncredited_share=0.3),
            ],
        ),
        "kills": table_of_rows(
            "kills", [kill(1, 1, 6, 0.2), kill(1, 1, 5, 0.7), kill(1, 3, 5, 0.7, well="C03")]
        ),
        "contacts": table_of_rows(
            "contacts",
            [
                contact(5, 1, 10, 24),  # goes on for 4 frames on the dead target
                contact(6, 1, 2, 3, min_gap_um=0.0),
                contact(6, 1, 6, 7),
                contact(7, 1, 22, 25),  # came after the death
                contact(5, 3, 30, 39, well="C03"),
            ],
        ),
    }


def events_of(n: int = 6) -> Table:
    """`n` deaths of well B02, ids and targets from 1, frames 10, 20, ..., each by effector 5 at 10 um below it."""
    tables = {
        "deaths": table_of_rows("deaths", [death(k, k, 10 * k) for k in range(1, n + 1)]),
        "kills": table_of_rows("kills", [kill(k, k, 5, 0.9) for k in range(1, n + 1)]),
        "contacts": table_of_rows("contacts", [contact(5, k, 10 * k - 5, 10 * k) for k in range(1, n + 1)]),
    }
    events = review_events(tables)
    return {**events, "y_um": 100.0 * np.arange(1, n + 1), "x_um": np.full(n, 50.0)}


def doubtful(target: int, frame: int, probability: float, **more: Any) -> dict[str, Any]:
    """A death of well B02 that was not called; effector 6 would get 0.6 of it, nobody 0.2."""
    return {
        "well": "B02",
        "field": 0,
        "target_track_id": target,
        "frame": frame,
        "first_possible_frame": frame - 2,
        "last_possible_frame": frame + 1,
        "time_min": frame * FRAME_MIN,
        "probability": probability,
        "evidence": "vanished",
        "uncredited_share": 0.2,
        "effector_track_id": 6,
        "share": 0.6,
        "lag_min": 12.0,
    } | more


def with_doubtful(tables: Mapping[str, Table], *rows: Mapping[str, Any]) -> dict[str, Table]:
    """The same tables with deaths that were not called."""
    return {**tables, "doubtful_deaths": table_of_rows("doubtful_deaths", rows)}


def ticking() -> Iterator[str]:
    """A clock that shows another second whenever it is looked at."""
    for second in range(100_000):
        yield f"2026-11-22T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000Z"


def sitting_of(events: Table, reader: str = "ana", **more: Any) -> Sitting:
    journal = more.pop("journal", None) or MemoryJournal(f"{reader}-1")
    return Sitting(events, journal, reader=reader, **more)


def same_state(one: Any, other: Any) -> bool:
    """Whether two states say the same of everything."""
    arrays = ("status", "frame", "killer", "retimed", "killer_chosen", "flagged", "n_readers")
    equal = [
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "killer")
        for name in arrays
    ]
    names = one.events["event"].tolist()
    return (
        all(equal)
        and names == other.events["event"].tolist()
        and all(plain(one.of(name)) == plain(other.of(name)) for name in names)
        and [d.key for d in one.track_edits] == [d.key for d in other.track_edits]
        and [d.key for d in one.label_edits] == [d.key for d in other.label_edits]
        and one.problems == other.problems
    )


def plain(value: Any) -> str:
    """NaN is NaN, as text."""
    return repr(value) if not isinstance(value, Mapping) else repr(dict(value))
