import pytest

from assay.errors import VendorFileError
from assay.io.importers.timeline import clock_timeline, index_timeline


def test_even_times_give_the_frame_interval():
    timeline = clock_timeline([240, 0, 120, 120], frame_min=None)
    assert timeline.frames == {0: 0, 120: 1, 240: 2}
    assert timeline.frame_min == 120


def test_a_step_of_twice_the_interval_leaves_a_frame_out():
    timeline = clock_timeline([0, 30, 60, 120, 150], frame_min=None)
    assert timeline.frames == {0: 0, 30: 1, 60: 2, 120: 4, 150: 5}
    assert timeline.frame_min == 30
    assert timeline.spoken(3) == "00d01h30m"


def test_uneven_times_are_refused_with_what_was_seen():
    with pytest.raises(
        VendorFileError, match=r"25 min \(1 times\), 30 min \(3 times\), the first odd step after 00d00h30m"
    ):
        clock_timeline([0, 30, 55, 85, 115], frame_min=None)


def test_uneven_times_are_counted_when_an_interval_is_given():
    timeline = clock_timeline([0, 30, 55, 85, 115], frame_min=30)
    assert timeline.frames == {0: 0, 30: 1, 55: 2, 85: 3, 115: 4}
    assert timeline.frame_min is None
    assert "counted one by one" in timeline.warnings[0]


def test_a_single_time_has_no_interval():
    timeline = clock_timeline([7200], frame_min=None)
    assert timeline.frames == {7200: 0}
    assert timeline.frame_min is None


def test_counted_time_points_begin_at_the_smallest_of_the_plate():
    timeline = index_timeline([1, 2, 4])
    assert timeline.frames == {1: 0, 2: 1, 4: 3}
    assert timeline.spoken(2) == "time point 3"
    assert timeline.warnings == ()


def test_a_series_that_begins_late_is_told():
    assert "first time point of the plate is 7" in index_timeline([7, 8]).warnings[0]
