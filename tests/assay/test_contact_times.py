"""How long contacts last: counted by hand."""

import numpy as np
import pytest

from assay.contact_times import contact_time_rows, contact_times, share_lasting


def contacts(*rows):
    """(well, first, last, censored, target_dead)."""
    well, first, last, censored, dead = zip(*rows, strict=True) if rows else ((),) * 5
    wells = np.empty(len(well), dtype=object)
    wells[:] = well
    return {
        "well": wells,
        "first_frame": np.array(first, dtype=np.int64),
        "last_frame": np.array(last, dtype=np.int64),
        "starts_censored": np.array(censored, dtype=bool),
        "ends_censored": np.zeros(len(well), dtype=bool),
        "target_dead": np.array(dead, dtype=bool),
    }


SEEN = contacts(
    ("B02", 0, 0, True, False),  # 1 frame
    ("B02", 3, 6, False, False),  # 4
    ("B02", 8, 17, False, True),  # a dead target: no contact that counts
    ("B03", 2, 8, False, False),  # 7
)
WELLS = {"B02": "CAR-T", "B03": "CAR-T", "C02": "alone"}


def by_name(rows):
    return {row["well"] or row["condition"] or "plate": row for row in rows}


def test_plate_conditions_and_wells_have_a_row_each_with_dead_targets_left_out():
    rows = contact_time_rows(SEEN, wells=WELLS, frame_min=dict.fromkeys(WELLS, 4.0))
    assert [row["level"] for row in rows] == ["plate", "condition", "condition", "well", "well", "well"]
    plate = by_name(rows)["plate"]
    assert (plate["n_contacts"], plate["n_censored"], plate["n_wells"]) == (3, 1, 3)
    assert (plate["mean_frames"], plate["median_frames"], plate["max_frames"]) == (4.0, 4.0, 7.0)
    assert (plate["mean_min"], plate["median_min"], plate["max_min"]) == (16.0, 16.0, 28.0)
    assert by_name(rows)["B02"]["mean_frames"] == 2.5
    assert by_name(rows)["CAR-T"]["n_contacts"] == 3


def test_a_well_without_contacts_has_a_count_of_zero_and_no_duration():
    row = by_name(contact_time_rows(SEEN, wells=WELLS, frame_min=dict.fromkeys(WELLS, 4.0)))["C02"]
    assert row["n_contacts"] == 0
    assert np.isnan([row["mean_frames"], row["median_min"], row["max_frames"]]).all()


def test_wells_of_different_or_unknown_intervals_have_no_minutes_together():
    for intervals in ({"B02": 4.0, "B03": 5.0, "C02": 4.0}, {"B02": 4.0, "B03": 4.0, "C02": None}):
        rows = by_name(contact_time_rows(SEEN, wells=WELLS, frame_min=intervals))
        assert np.isnan(rows["plate"]["mean_min"])
        assert rows["B02"]["mean_min"] == 10.0


def test_share_lasting_is_of_those_that_last_the_first_length():
    frames = np.array([1, 2, 2, 3, 8])
    assert share_lasting(frames, [2, 3, 4, 9]).tolist() == [1.0, 0.5, 0.25, 0.0]
    assert np.isnan(share_lasting(frames, [9, 10])).all()


def test_nobody_touching_anybody_is_no_error():
    times = contact_times(np.zeros(0, int), np.zeros(0, bool))
    assert times.n_contacts == 0
    assert np.isnan(times.mean_frames)
    assert contact_time_rows(contacts(), wells={}, frame_min={})[0]["n_contacts"] == pytest.approx(0)
