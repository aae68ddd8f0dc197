import pytest

from assay.errors import ResultsError
from assay.review.blinding import HIDDEN, Blinding
from assay.review.events import EVENT_COLUMNS
from tests.assay.review.small_reviews import events_of

EVENTS = events_of(200)


def test_every_event_is_shown_once_and_a_tenth_of_them_a_second_time_later():
    shown = Blinding(seed=7).order(EVENTS)
    first = [row for row, reading in shown if reading == 1]
    again = [row for row, reading in shown if reading == 2]
    assert sorted(first) == list(range(200))
    assert len(again) == len(set(again)) == 20
    places = {entry: place for place, entry in enumerate(shown)}
    assert all(places[row, 2] - places[row, 1] > 1 for row in again)


def test_the_second_reading_comes_after_twenty_others_where_there_are_so_many_left():
    shown = Blinding(seed=7).order(EVENTS)
    places = {entry: place for place, entry in enumerate(shown)}
    early = [row for row, reading in shown if reading == 2 and places[row, 1] < 150]
    assert early
    assert all(places[row, 2] - places[row, 1] > 20 for row in early)


def test_the_order_can_be_made_again_from_what_the_log_records():
    blinding = Blinding(seed=7, repeat_share=0.3)
    assert Blinding(**blinding.record()).order(EVENTS) == blinding.order(EVENTS)
    assert Blinding(seed=8, repeat_share=0.3).order(EVENTS) != blinding.order(EVENTS)


def test_few_events_and_none_can_be_read_blinded():
    assert Blinding(seed=1).order(events_of(0)) == []
    assert sorted(Blinding(seed=1, repeat_share=1).order(events_of(2))) == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_condition_well_and_all_that_the_model_says_are_hidden():
    assert {"well", "condition", "probability", "killer_track_id", "killer_share", "evidence"} <= set(HIDDEN)
    assert set(EVENT_COLUMNS) - set(HIDDEN) == {
        "target_track_id",
        "frame",
        "first_possible_frame",
        "last_possible_frame",
        "time_min",
        "contact_min",
        "n_candidates",
        "y_um",
        "x_um",
    }


def test_a_share_of_repeats_beyond_all_is_refused():
    with pytest.raises(ResultsError, match=r"expected a seed from 0 and a share from 0 to 1"):
        Blinding(seed=1, repeat_share=1.5)
