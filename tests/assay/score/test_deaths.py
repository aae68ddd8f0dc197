import math

import numpy as np
import pytest

from assay.columns import table_of_rows
from assay.score.deaths import count_deaths, pair_deaths, window_frames
from assay.score.matching import Identities


def deaths(*rows):
    """Each row: track id, frame."""
    return table_of_rows(
        "deaths",
        [
            {
                "well": "B02",
                "field": 0,
                "death_id": number,
                "role": "target",
                "track_id": track_id,
                "frame": frame,
                "first_possible_frame": frame,
                "last_possible_frame": frame,
                "time_min": 4.0 * frame,
                "probability": 1.0,
                "evidence": "dye",
                "uncredited_share": 0.0,
            }
            for number, (track_id, frame) in enumerate(rows, 1)
        ],
    )


def who(called_to_true):
    called = np.array(list(called_to_true), dtype=np.int64)
    true = np.array(list(called_to_true.values()), dtype=np.int64)
    return Identities(np.zeros(len(called), dtype=np.int64), true, called)


def count(true, called, identities, frame_min=4.0):
    pairs = pair_deaths(deaths(*true), deaths(*called), targets=who(identities))
    return count_deaths(pairs, n_true=len(true), n_called=len(called), frame_min=frame_min)


SAME = {1: 1, 2: 2, 3: 3, 4: 4}


def test_perfect_deaths_score_one():
    counts = count([(1, 5), (2, 9)], [(1, 5), (2, 9)], SAME)
    assert (counts.f1(1), counts.f1(2), counts.window_f1) == (1.0, 1.0, 1.0)
    assert (counts.median_error_frames, counts.median_error_min) == (0.0, 0.0)


def test_tolerances_are_inclusive_and_both_ways():
    counts = count([(1, 10), (2, 10), (3, 10), (4, 10)], [(1, 9), (2, 12), (3, 13), (4, 6)], SAME)
    # errors 1, 2, 3, 4 frames; the window at 4 min is max(3, 2.5) = 3 frames
    assert counts.f1(1) == 2 * 1 / 8
    assert counts.f1(2) == 2 * 2 / 8
    assert counts.window_f1 == 2 * 3 / 8
    assert counts.median_error_frames == 2.5
    assert counts.median_error_min == 10.0


def test_window_is_ten_minutes_in_a_fast_film():
    assert window_frames(1.0) == 10.0
    assert window_frames(5.0) == 3.0
    assert window_frames(None) == 3.0
    assert count([(1, 10)], [(1, 20)], SAME, frame_min=1.0).window_f1 == 1.0
    assert count([(1, 10)], [(1, 21)], SAME, frame_min=1.0).window_f1 == 0.0


def test_missed_and_invented_deaths_each_count_once():
    missed = count([(1, 5), (2, 9)], [(1, 5)], SAME)
    assert missed.f1(2) == pytest.approx(2 / 3)
    invented = count([(1, 5)], [(1, 5), (2, 9)], SAME)
    assert invented.f1(2) == pytest.approx(2 / 3)
    assert invented.median_error_frames == 0.0


def test_death_at_the_right_time_of_the_wrong_cell_is_wrong():
    counts = count([(1, 5)], [(2, 5)], SAME)
    assert counts.f1(2) == 0.0
    assert math.isnan(counts.median_error_frames)


def test_second_death_of_one_cell_is_false_and_the_nearest_counts():
    # tracks 7 and 8 are both cell 1
    counts = count([(1, 10)], [(7, 4), (8, 11)], {7: 1, 8: 1})
    assert counts.errors_frames == (1.0,)
    assert counts.f1(1) == pytest.approx(2 / 3)


def test_death_of_a_false_cell_is_false():
    assert count([(1, 5)], [(9, 5)], SAME).f1(2) == 0.0


def test_without_frame_interval_there_is_no_error_in_minutes():
    counts = count([(1, 5)], [(1, 6)], SAME, frame_min=None)
    assert counts.median_error_frames == 1.0
    assert math.isnan(counts.median_error_min)


def test_field_without_deaths_asks_nothing():
    counts = count([], [], {})
    assert math.isnan(counts.f1(1))
    assert math.isnan(counts.window_f1)
