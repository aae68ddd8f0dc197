"""Two results of one plate, drawn by hand: cells at fixed places, whatever they are called."""

import math
from typing import Any

import numpy as np
import pytest

from assay.columns import Table, table_of_rows
from assay.score.differences import Differences, differences, event_table
from tests.assay.review.small_reviews import contact, death, kill

PLACES = {1: 20.0, 2: 60.0, 3: 100.0}  # y of targets, in um; effector e stands 15 um beside target e - 4
N_FRAMES = 30


def cells_of(
    names: dict[tuple[str, int], int] | None = None, *, skip: tuple[tuple[str, int], ...] = ()
) -> Table:
    """Targets 1-3 and effectors 5-7, seen in all frames, under other names where `names` says so."""
    rows = []
    for role, first, x in (("target", 0, 50.0), ("effector", 4, 65.0)):
        for number, y in PLACES.items():
            cell = number + first
            if (role, cell) in skip:
                continue
            track = (names or {}).get((role, cell), cell)
            rows += [
                {"well": "B02", "field": 0, "frame": frame, "role": role, "track_id": track, "y_um": y + 0.5,
                 "x_um": x, "area_um2": 80.0}
                for frame in range(N_FRAMES)
            ]  # fmt: skip
    return {
        name: np.array([row[name] for row in rows], dtype=object if name in ("well", "role") else None)
        for name in rows[0]
    }


def wells(deaths: float) -> Table:
    row = {"n_targets": 3, "n_effectors": 3, "deaths": deaths, "kills": 1.5, "cytolysis_percent": math.nan}
    return {"well": np.array(["B02"], dtype=object)} | {
        name: np.array([value]) for name, value in row.items()
    }


def results(
    deaths: list[dict[str, Any]],
    kills: list[dict[str, Any]],
    contacts: list[dict[str, Any]],
    cells: Table | None = None,
    *,
    status: str = "ok",
    n_deaths: float = 1.8,
) -> dict[str, Table]:
    return {
        "deaths": table_of_rows("deaths", deaths),
        "kills": table_of_rows("kills", kills),
        "contacts": table_of_rows("contacts", contacts),
        "cells": cells_of() if cells is None else cells,
        "fields": {
            "well": np.array(["B02"], object),
            "field": np.array([0]),
            "status": np.array([status], object),
        },
        "wells": wells(n_deaths),
    }


def usual(cells: Table | None = None) -> dict[str, Table]:
    """Targets 1 and 2 die at 10 and 20, by effectors 5 and 6 that touched them."""
    return results(
        [death(1, 1, 10), death(2, 2, 20)],
        [kill(1, 1, 5, 0.9), kill(2, 2, 6, 0.9)],
        [contact(5, 1, 4, 12), contact(6, 2, 15, 22)],
        cells,
    )


def said(found: Differences) -> list[tuple[str, str]]:
    return [(one["kind"], one["status"]) for one in found.events]


def test_the_same_results_do_not_differ():
    found = differences(usual(), usual())
    assert (found.events, dict(found.n_same)) == ([], {"death": 2, "contact": 2, "kill": 2})


def test_cells_are_the_same_where_they_are_whatever_their_tracks_are_called():
    names = {("target", 1): 2, ("target", 2): 1, ("effector", 5): 9, ("effector", 6): 5}
    renamed = results(
        [death(7, 2, 10), death(8, 1, 20)],
        [kill(7, 2, 9, 0.9), kill(8, 1, 5, 0.9)],
        [contact(9, 2, 4, 12), contact(5, 1, 15, 22)],
        cells_of(names),
    )
    found = differences(usual(), renamed)
    assert (found.events, dict(found.n_same)) == ([], {"death": 2, "contact": 2, "kill": 2})


def test_a_death_that_is_gone_takes_its_kill_with_it_and_a_new_one_brings_its_own():
    other = results(
        [death(1, 1, 10), death(2, 3, 25)],
        [kill(1, 1, 5, 0.9), kill(2, 3, 7, 0.6)],
        [contact(5, 1, 4, 12), contact(6, 2, 15, 22)],
        n_deaths=2.4,
    )
    found = differences(usual(), other)
    assert said(found) == [
        ("death", "vanished"), ("death", "appeared"), ("kill", "vanished"), ("kill", "appeared"),
    ]  # fmt: skip
    gone, new = found.events[:2]
    assert (gone["target_a"], gone["frame_a"], math.isnan(gone["target_b"])) == (2, 20, True)
    assert (new["target_b"], new["frame_b"], new["probability_b"]) == (3, 25, 0.9)
    (well,) = found.wells
    assert (well["deaths_a"], well["deaths_b"], well["deaths_appeared"], well["kills_vanished"]) == (
        1.8,
        2.4,
        1,
        1,
    )
    assert math.isnan(well["cytolysis_percent_a"])


@pytest.mark.parametrize(("frame", "differs"), [(12, False), (13, True)])
def test_a_death_has_moved_from_three_frames_on(frame: int, differs: bool):
    other = usual()
    other["deaths"]["frame"][0] = frame
    found = differences(usual(), other)
    assert said(found) == ([("death", "changed")] if differs else [])
    if differs:
        assert found.events[0]["what"] == "+3 frames"


def test_a_surer_death_is_said_to_have_changed():
    other = usual()
    other["deaths"]["probability"][1] = 0.6
    (one,) = differences(usual(), other).events
    assert (one["status"], one["what"]) == ("changed", "probability -0.30")


def test_another_killer_is_a_kill_that_vanished_and_one_that_appeared():
    other = usual()
    other["kills"]["effector_track_id"][0] = 6
    found = differences(usual(), other)
    assert said(found) == [("kill", "vanished"), ("kill", "appeared")]
    assert (found.events[0]["effector_a"], found.events[1]["effector_b"]) == (5, 6)
    assert found.n_same["death"] == 2


def test_shares_below_a_tenth_are_no_kills_and_smaller_changes_are_none():
    a, b = usual(), usual()
    b["kills"]["share"][:] = [0.82, 0.7]
    b["kills"] = {name: np.append(column, column[:1]) for name, column in b["kills"].items()}
    b["kills"]["effector_track_id"][2], b["kills"]["share"][2] = 7, 0.08
    found = differences(a, b)
    assert [(one["status"], one["what"]) for one in found.events] == [("changed", "share -0.20")]


def test_a_contact_is_the_same_in_the_same_time_and_another_one_later():
    other = usual()
    other["contacts"]["first_frame"][:] = [6, 24]
    other["contacts"]["last_frame"][:] = [14, 28]
    found = differences(usual(), other)
    assert said(found) == [("contact", "vanished"), ("contact", "appeared")]
    assert [one["what"] for one in found.events] == ["8 frames", "5 frames"]


def test_a_track_that_is_broken_on_one_side_is_still_the_same_cell():
    cells = cells_of()
    late = (cells["role"] == "target") & (cells["track_id"] == 2) & (cells["frame"] >= 10)
    cells["track_id"][late] = 44
    broken = results(
        [death(1, 1, 10), death(2, 44, 20)],
        [kill(1, 1, 5, 0.9), kill(2, 44, 6, 0.9)],
        [contact(5, 1, 4, 12), contact(6, 44, 15, 22)],
        cells,
    )
    for one, other in ((usual(), broken), (broken, usual())):
        assert differences(one, other).events == []


def test_a_cell_that_is_seen_on_one_side_only_has_no_partner_although_another_is_near():
    found = differences(usual(), usual(cells_of(skip=(("target", 1),))))
    assert [(one["kind"], one["target_a"]) for one in found.events if one["status"] == "vanished"] == [
        ("death", 1), ("contact", 1), ("kill", 1),
    ]  # fmt: skip


def test_events_of_a_field_that_counts_on_one_side_only_come_or_go_with_it():
    failed = results([], [], [], status="failed", n_deaths=math.nan)
    found = differences(usual(), failed)
    assert (found.only_a, found.only_b) == ((("B02", 0),), ())
    assert {one["status"] for one in found.events} == {"vanished"}
    assert len(found.events) == 6


def test_results_without_events_and_without_cells_are_compared():
    nothing = results([], [], [], {name: column[:0] for name, column in cells_of().items()})
    found = differences(nothing, nothing)
    assert found.events == []
    assert {len(column) for column in event_table(found).values()} == {0}


def test_inputs_are_not_changed():
    a = usual()
    before = {name: {n: c.copy() for n, c in table.items()} for name, table in a.items()}
    differences(a, usual())
    for name, table in before.items():
        for column, values in table.items():
            np.testing.assert_array_equal(a[name][column], values)
