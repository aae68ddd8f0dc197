"""Deaths that were too doubtful to be called: a reader finds them in the queue, and they count once she says so."""

import numpy as np
import pytest

from assay.review.events import ContactBook, event_row, new_event_name, review_events
from assay.review.queue import audit_sample, decision_values, review_order, stop_rule
from assay.review.rebinding import rebind
from assay.review.state import replay
from tests.assay.review.small_reviews import doubtful, same_state, sitting_of, three_deaths, with_doubtful

TABLES = with_doubtful(three_deaths(), doubtful(7, 33, 0.3), doubtful(8, 12, 0.1))
EVENTS = review_events(TABLES)
SEVEN, EIGHT = new_event_name("B02", 0, 7), new_event_name("B02", 0, 8)
CALLED = ["B02/0/d1", "B02/0/d2", "C03/0/d1"]


def test_they_stand_after_the_called_ones_without_a_number_and_are_flagged():
    assert EVENTS["event"].tolist() == [*CALLED, SEVEN, EIGHT]
    assert EVENTS["death_id"].tolist() == [1, 2, 1, 0, 0]
    assert [flag.split(", ")[0] for flag in EVENTS["flags"][3:]] == ["uncalled", "uncalled"]
    assert EVENTS["killer_track_id"].tolist()[3] == 6
    assert (EVENTS["killer_share"][3], EVENTS["uncredited_share"][3]) == (0.6, 0.2)
    without = review_events(three_deaths())
    for name, column in without.items():
        np.testing.assert_array_equal(EVENTS[name][:3], column)


def test_the_share_that_is_known_of_them_stands_beside_its_effector():
    tables = with_doubtful(three_deaths(), doubtful(1, 33, 0.3))
    events = review_events(tables)
    found = ContactBook(tables).candidates(event_row(events, 3))
    shares = dict(zip(found["effector_track_id"].tolist(), found["share"].tolist(), strict=True))
    assert shares == {5: 0.0, 6: 0.6, 7: 0.0}


def test_they_are_no_events_until_a_reader_says_that_they_are_deaths():
    one = sitting_of(EVENTS)
    assert one.state.counts() == {
        "pending": 3, "accepted": 0, "rejected": 0, "unsure": 0, "disagreement": 0, "withdrawn": 0,
    }  # fmt: skip
    one.decide("reject", EIGHT, reason="debris")
    assert sum(one.state.counts().values()) == 3
    one.decide("accept", SEVEN)
    assert (one.state.counts()["accepted"], sum(one.state.counts().values())) == (1, 4)
    one.undo()
    assert sum(one.state.counts().values()) == 3
    assert one.status_of(SEVEN) == "pending"
    assert same_state(replay(one.state.decisions, EVENTS), one.state)


def test_adding_the_death_by_hand_is_the_same_event():
    one = sitting_of(EVENTS)
    one.decide("add", well="B02", field=0, target_track_id=7, frame=35)
    assert one.status_of(SEVEN) == "accepted"
    assert int(one.state.frame[3]) == 35
    assert len(one.state.status) == 5
    one.undo()
    assert one.status_of(SEVEN) == "pending"


def test_a_decision_on_one_is_worth_all_that_the_pipeline_left_out():
    """p .3, credited .8: .64 * .3 = .192 for whether it is a death, half of .3 * .8 * .2 = .024; .01 * .3 * .2 for which."""
    value = decision_values(EVENTS, replay([], EVENTS))[3]
    assert value == pytest.approx(0.192 + 0.024 + 0.0006)
    called = {**EVENTS, "death_id": np.array([1, 2, 1, 4, 5])}
    assert decision_values(called, replay([], called))[3] == pytest.approx(0.192 * 0.7 + 0.024 + 0.0006)


def test_they_are_in_the_queue_and_never_in_the_audit():
    state = replay([], EVENTS)
    assert sorted(review_order(EVENTS, state).tolist()) == [0, 1, 2, 3, 4]
    assert set(audit_sample(EVENTS, 10).tolist()) <= {0, 1, 2}


def test_the_rest_of_a_well_could_still_change_by_what_was_left_out():
    wells = {
        "well": np.array(["B02"], dtype=object), "status": np.array(["ok"], dtype=object),
        "kills_low": np.array([0.0]), "kills_high": np.array([4.0]),
    }  # fmt: skip

    def left(tables):
        events = review_events(tables)
        return stop_rule(events, replay([], events), wells).wells[0].remaining_kills

    assert left(TABLES) > left(three_deaths()) + 0.3 * 0.8  # what is left out is all on one side


def test_a_decision_is_carried_over_to_a_called_death_first():
    """In RESULTS made anew the death is called; another one that is not lies as near."""
    one = sitting_of({**EVENTS, "y_um": np.full(5, 10.0) * np.arange(5), "x_um": np.zeros(5)})
    one.decide("accept", SEVEN)
    now = {name: column.copy() for name, column in one.state.events.items()}
    now["frame"][1], now["y_um"][1] = 33, 30.0
    kept, lost = rebind(one.state.decisions, now, cells_of=lambda well, field: {})
    assert ([d.event for d in kept], lost) == (["B02/0/d2"], [])


def test_a_death_that_a_reader_added_is_found_again_among_those_not_called():
    before = review_events(three_deaths())
    one = sitting_of(before, position=lambda well, field, role, track, frame: (30.0, 0.0))
    one.decide("add", well="B02", field=0, target_track_id=70, frame=34)
    now = {**EVENTS, "y_um": np.array([0.0, 10, 20, 30, 40]), "x_um": np.zeros(5)}
    cells = {
        "role": np.array(["target"], dtype=object), "frame": np.array([34]), "track_id": np.array([7]),
        "y_um": np.array([30.0]), "x_um": np.array([0.0]),
    }  # fmt: skip
    kept, lost = rebind(one.state.decisions, now, cells_of=lambda well, field: cells)
    assert (lost, [d.event for d in kept]) == ([], [SEVEN])
    state = replay(kept, now)
    assert (state.status_of(SEVEN), int(state.frame[3])) == ("accepted", 34)
