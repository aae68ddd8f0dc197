"""Simple rules of who did it, on our own tracks, contacts and deaths: what a lab writes without a model."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.columns import Table, table_of_rows, take
from assay.io.tables import read_table, write_table

Rule = Literal["longest", "nearest"]

WINDOW_MIN = 90.0  # contacts before the death that are asked
NEAR_UM = 18.0  # centre to centre, at the death
NEAR_FRAMES = 3  # the death's frame and those before it


def apply_rule(tables: Path, rule: Rule, *, frame_min: float) -> None:
    """Credit every target death wholly to one effector, or to nobody; the tables are replaced.

    longest: the effector with most frames in contact in the `WINDOW_MIN` before the death.
    nearest: the effector whose centre comes nearest in the death's frame and the two before, within `NEAR_UM`.

    The kills of a well are the deaths that somebody gets, without an interval.
    """
    deaths, contacts, cells, wells = (
        read_table(tables, name) for name in ("deaths", "contacts", "cells", "wells")
    )
    kills: list[dict[str, Any]] = []
    for row in np.flatnonzero(deaths["role"] == "target"):
        death = {name: column[row] for name, column in deaths.items()}
        here = (contacts["well"] == death["well"]) & (contacts["field"] == death["field"])
        touching = take(contacts, here & (contacts["target_track_id"] == death["track_id"]))
        if rule == "longest":
            killer = _longest(touching, int(death["frame"]), WINDOW_MIN / frame_min)
        else:
            killer = _nearest(cells, death)
        deaths["uncredited_share"][row] = 1.0 if killer is None else 0.0
        if killer is not None:
            kills.append(_kill(death, killer, touching, frame_min))
    for place, well in enumerate(wells["well"].tolist()):
        credited = (deaths["well"] == well) & (deaths["uncredited_share"] == 0.0)
        wells["kills"][place] = float(np.count_nonzero(credited))
        wells["kills_low"][place] = wells["kills_high"][place] = np.nan
    for name, table in (("deaths", deaths), ("kills", table_of_rows("kills", kills)), ("wells", wells)):
        write_table(tables, name, table)


def _longest(touching: Table, frame: int, window: float) -> int | None:
    first = np.maximum(touching["first_frame"], frame - window)
    shared = np.minimum(touching["last_frame"], frame) - first + 1
    frames: dict[int, float] = {}
    for effector, lasts in zip(touching["effector_track_id"].tolist(), shared.tolist(), strict=True):
        if lasts > 0:
            frames[effector] = frames.get(effector, 0.0) + lasts
    return max(frames, key=lambda effector: (frames[effector], -effector)) if frames else None


def _nearest(cells: Table, death: dict[str, Any]) -> int | None:
    late = (cells["frame"] <= death["frame"]) & (cells["frame"] > death["frame"] - NEAR_FRAMES)
    here = late & (cells["well"] == death["well"]) & (cells["field"] == death["field"])
    dying = take(cells, here & (cells["role"] == "target") & (cells["track_id"] == death["track_id"]))
    around = take(cells, here & (cells["role"] == "effector"))
    nearest: tuple[float, int] | None = None
    for frame, y, x in zip(*(dying[name].tolist() for name in ("frame", "y_um", "x_um")), strict=True):
        there = take(around, around["frame"] == frame)
        away = np.hypot(there["y_um"] - y, there["x_um"] - x)
        for distance, effector in zip(away.tolist(), there["track_id"].tolist(), strict=True):
            if distance <= NEAR_UM and (nearest is None or (distance, effector) < nearest):
                nearest = (distance, effector)
    return nearest[1] if nearest else None


def _kill(death: dict[str, Any], killer: int, touching: Table, frame_min: float) -> dict[str, Any]:
    """Credited to its last contact that began before the death; 0 where there is none."""
    mine = (touching["effector_track_id"] == killer) & (touching["first_frame"] <= death["frame"])
    rows = np.flatnonzero(mine)
    last = rows[np.argmax(touching["first_frame"][rows])] if len(rows) else None
    return {
        "well": death["well"],
        "field": death["field"],
        "death_id": death["death_id"],
        "target_track_id": death["track_id"],
        "effector_track_id": killer,
        "contact_id": 0 if last is None else touching["contact_id"][last],
        "share": 1.0,
        "lag_min": 0.0 if last is None else (death["frame"] - touching["first_frame"][last]) * frame_min,
    }
