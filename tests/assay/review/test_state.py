import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ResultsError
from assay.review.decisions import decision_of
from assay.review.events import new_event_name
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import ReviewState, replay
from tests.assay.review.small_reviews import events_of, same_state, sitting_of, ticking

EVENTS = events_of(4)
NAMES = EVENTS["event"].tolist()
ADDED = new_event_name("B02", 0, 77)


def readings(*journals: MemoryJournal) -> list:
    return [decision_of(record) for journal in journals for record in journal.records]


def two_readers() -> tuple[Sitting, Sitting, MemoryJournal, MemoryJournal]:
    ana, ben = MemoryJournal("ana-1"), MemoryJournal("ben-1")
    return (
        Sitting(EVENTS, ana, reader="ana"),
        Sitting(EVENTS, ben, reader="ben"),
        ana,
        ben,
    )


def after(*journals: MemoryJournal) -> ReviewState:
    return replay(readings(*journals), EVENTS)


def test_nothing_decided_is_the_plate_as_the_pipeline_had_it():
    state = replay([], EVENTS)
    assert state.counts()["pending"] == 4
    assert state.frame.tolist() == [10, 20, 30, 40]
    assert state.killer.tolist() == [5, 5, 5, 5]
    assert not state.killer_chosen.any()
    assert not state.retimed.any()


def test_one_reader_who_accepts_rejects_and_doubts():
    sitting = sitting_of(EVENTS)
    sitting.decide("accept", NAMES[0])
    sitting.decide("reject", NAMES[1], reason="debris")
    sitting.decide("unsure", NAMES[2])
    assert [sitting.status_of(name) for name in NAMES] == ["accepted", "rejected", "unsure", "pending"]
    assert sitting.state.of(NAMES[1]).verdicts["ana"].reason == "debris"


def test_a_new_time_and_a_new_killer_say_that_the_death_is_real_and_an_accept_keeps_them():
    sitting = sitting_of(EVENTS)
    sitting.decide("retime", NAMES[0], frame=14)
    sitting.decide("killer", NAMES[0], effector_track_id=8)
    sitting.decide("accept", NAMES[0])
    now = sitting.state.of(NAMES[0])
    assert (sitting.status_of(NAMES[0]), now.frame, now.killer) == ("accepted", 14, 8)
    assert sitting.state.retimed[0]
    assert sitting.state.killer_chosen[0]


def test_nobody_is_a_killer_that_can_be_chosen():
    sitting = sitting_of(EVENTS)
    sitting.decide("killer", NAMES[0], effector_track_id=None)
    assert math.isnan(sitting.state.killer[0])
    assert sitting.state.killer_chosen[0]


def test_readers_who_contradict_are_shown_as_disagreement_and_neither_is_overwritten():
    one, other, ana, ben = two_readers()
    one.decide("accept", NAMES[0])
    other.decide("reject", NAMES[0], reason="division")
    for state in (after(ana, ben), after(ben, ana)):
        now = state.of(NAMES[0])
        assert state.status_of(NAMES[0]) == "disagreement"
        assert now.about == "death"
        assert now.verdicts["ben"].reason == "division"
        assert (now.frame, now.killer) == (10, 5)


def test_two_frames_apart_is_the_same_moment_and_three_are_a_disagreement():
    one, other, ana, ben = two_readers()
    one.decide("retime", NAMES[0], frame=14)
    one.decide("retime", NAMES[1], frame=24)
    other.decide("retime", NAMES[0], frame=16)
    other.decide("retime", NAMES[1], frame=27)
    state = after(ana, ben)
    assert [state.status_of(name) for name in NAMES[:2]] == ["accepted", "disagreement"]
    assert state.frame[:2].tolist() == [14, 20]  # the earlier of two; the pipeline's where they disagree
    assert state.of(NAMES[1]).about == "frame"


def test_an_accept_stands_for_the_frame_and_killer_that_were_shown():
    one, other, ana, ben = two_readers()
    one.decide("accept", NAMES[0])
    other.decide("retime", NAMES[0], frame=19)
    one.decide("accept", NAMES[1])
    other.decide("killer", NAMES[1], effector_track_id=8)
    state = after(ana, ben)
    assert [state.of(name).about for name in NAMES[:2]] == ["frame", "killer"]
    assert not state.killer_chosen[1]


def test_a_blinded_accept_says_nothing_of_the_killer_that_was_hidden():
    ana = MemoryJournal("ana-1")
    ben = MemoryJournal("ben-1")
    Sitting(EVENTS, ana, reader="ana", blinded=True).decide("accept", NAMES[0])
    Sitting(EVENTS, ben, reader="ben").decide("killer", NAMES[0], effector_track_id=8)
    state = after(ana, ben)
    assert state.status_of(NAMES[0]) == "accepted"
    assert state.killer[0] == 8


def test_an_unsure_reader_contradicts_nobody():
    one, other, ana, ben = two_readers()
    one.decide("unsure", NAMES[0])
    other.decide("accept", NAMES[0])
    assert after(ana, ben).status_of(NAMES[0]) == "accepted"


def test_a_settled_disagreement_is_what_was_settled_until_somebody_says_otherwise_again():
    one, other, ana, ben = two_readers()
    one.decide("accept", NAMES[0])
    other.decide("reject", NAMES[0], reason="other")
    eve = MemoryJournal("eve-1")
    third = Sitting(EVENTS, eve, reader="eve", earlier=readings(ana, ben))
    third.decide("settle", NAMES[0], status="rejected")
    state = after(ana, ben, eve)
    assert state.status_of(NAMES[0]) == "rejected"
    assert state.of(NAMES[0]).settled
    assert set(state.of(NAMES[0]).verdicts) == {"ana", "ben"}
    one.decide("accept", NAMES[0])
    again = replay(readings(ana)[:1] + readings(ben, eve) + readings(ana)[1:], EVENTS)
    assert again.status_of(NAMES[0]) == "disagreement"


def test_two_readers_who_add_the_same_death_add_one_event():
    one, other, ana, ben = two_readers()
    one.decide("add", well="B02", field=0, target_track_id=77, frame=5)
    other.decide("add", well="B02", field=0, target_track_id=77, frame=6)
    state = after(ana, ben)
    assert state.added == [ADDED]
    assert state.frame[4] == 5
    assert state.events["frame"].tolist() == [10, 20, 30, 40, 5]
    assert state.n_readers[4] == 2


def test_an_added_event_whose_adding_was_undone_is_withdrawn_and_comes_back_with_redo():
    sitting = sitting_of(EVENTS)
    sitting.decide("add", well="B02", field=0, target_track_id=77, frame=5)
    assert sitting.status_of(ADDED) == "accepted"
    sitting.undo()
    assert sitting.status_of(ADDED) == "withdrawn"
    assert sitting.state.added == []
    sitting.redo()
    assert sitting.status_of(ADDED) == "accepted"


def test_what_another_reader_says_of_an_added_event_waits_for_the_adding_if_clocks_differ():
    one, _, ana, ben = two_readers()
    one.decide("add", well="B02", field=0, target_track_id=77, frame=5)
    other = Sitting(EVENTS, ben, reader="ben", earlier=readings(ana))
    other.decide("reject", ADDED, reason="debris")
    assert same_state(replay(readings(ben, ana), EVENTS), replay(readings(ben, ana), EVENTS))
    assert replay(readings(ben, ana), EVENTS).status_of(ADDED) == "disagreement"


def test_a_decision_on_an_event_that_is_not_there_is_said_and_changes_nothing():
    one, _, ana, _ = two_readers()
    one.decide("accept", NAMES[3])
    state = replay(readings(ana), events_of(2))
    assert state.counts()["pending"] == 2
    assert state.problems == ["accept of ana (ana-1 1): there is no event B02/0/d4."]


def test_nobody_undoes_what_another_reader_decided():
    one, _, ana, ben = two_readers()
    one.decide("accept", NAMES[0])
    ben.append(ana.records[0] | {"verb": "undo", "event": NAMES[0], "reader": "ben", "sitting": "ben-1"})
    ben.records[0] = dict(ben.records[0]) | {"values": {"number": 1, "sitting": "ana-1"}}
    state = after(ana, ben)
    assert state.status_of(NAMES[0]) == "accepted"
    assert len(state.problems) == 1


def test_a_second_blinded_reading_is_kept_apart_and_changes_nothing():
    sitting = sitting_of(EVENTS, blinded=True)
    sitting.decide("accept", NAMES[0])
    sitting.decide("reject", NAMES[0], reason="debris", reading=2)
    assert sitting.status_of(NAMES[0]) == "accepted"
    assert "ana" in sitting.state.of(NAMES[0]).repeats


STEP = st.one_of(
    st.tuples(st.just("accept"), st.sampled_from([*NAMES, ADDED]), st.just({})),
    st.tuples(st.just("unsure"), st.sampled_from(NAMES), st.just({})),
    st.tuples(st.just("reject"), st.sampled_from([*NAMES, ADDED]), st.just({"reason": "debris"})),
    st.tuples(
        st.just("retime"), st.sampled_from(NAMES), st.fixed_dictionaries({"frame": st.integers(0, 50)})
    ),
    st.tuples(
        st.just("killer"),
        st.sampled_from(NAMES),
        st.fixed_dictionaries({"effector_track_id": st.sampled_from([None, 5, 6])}),
    ),
    st.tuples(
        st.just("add"),
        st.just(""),
        st.fixed_dictionaries(
            {
                "well": st.just("B02"),
                "field": st.just(0),
                "target_track_id": st.just(77),
                "frame": st.integers(0, 9),
            }
        ),
    ),
    st.tuples(st.just("flag"), st.sampled_from(NAMES), st.fixed_dictionaries({"flag": st.booleans()})),
    st.tuples(st.just("settle"), st.sampled_from(NAMES), st.just({"status": "rejected"})),
    st.tuples(
        st.just("split"),
        st.just(""),
        st.just({"well": "B02", "field": 0, "role": "target", "track_id": 3, "frame": 9}),
    ),
    st.tuples(st.just("undo"), st.just(""), st.just({})),
    st.tuples(st.just("redo"), st.just(""), st.just({})),
    st.tuples(st.just("leave"), st.just(""), st.just({})),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ana", "ben"]), STEP), max_size=30))
def test_replaying_the_log_gives_the_state_that_the_readers_saw(steps):
    """Two readers in turns, each seeing all so far; whoever leaves comes back in a new sitting."""
    clock = ticking()
    log: list = []
    sittings: dict[str, Sitting] = {}
    for n, (reader, (verb, event, values)) in enumerate(steps):
        if verb == "leave" or reader not in sittings:
            journal = MemoryJournal(f"{reader}-{n}")
            sittings = {
                reader: Sitting(EVENTS, journal, reader=reader, earlier=log, clock=lambda: next(clock))
            }
        sitting = sittings[reader]
        try:
            if verb in ("undo", "redo"):
                getattr(sitting, verb)()
            elif verb != "leave":
                reason = values.get("reason", "")
                sitting.decide(
                    verb, event, reason=reason, **{k: v for k, v in values.items() if k != "reason"}
                )
        except ResultsError:
            pass
        log = list(sitting.state.decisions)
        assert same_state(replay(log, EVENTS), sitting.state)
    written = [decision_of(one.record()) for one in log]
    assert same_state(replay(written, EVENTS), replay(log, EVENTS))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP.filter(lambda step: step[0] not in ("undo", "redo", "leave")), max_size=12))
def test_undoing_everything_gives_back_the_plate_as_it_was_and_redoing_it_the_review(steps):
    sitting = sitting_of(EVENTS)
    n = 0
    for verb, event, values in steps:
        reason = values.get("reason", "")
        try:
            sitting.decide(verb, event, reason=reason, **{k: v for k, v in values.items() if k != "reason"})
            n += 1
        except ResultsError:
            pass
    reviewed = sitting.state.status.copy(), sitting.state.frame.copy(), sitting.state.killer.copy()
    undone = 0
    while sitting.undo():
        undone += 1
    assert undone == n
    assert sitting.state.status[:4].tolist() == [0, 0, 0, 0]
    assert sitting.state.frame[:4].tolist() == [10, 20, 30, 40]
    assert sitting.state.killer[:4].tolist() == [5, 5, 5, 5]
    assert sitting.state.added == sitting.state.track_edits == []
    while sitting.redo():
        pass
    again = sitting.state.status, sitting.state.frame, sitting.state.killer
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(reviewed, again, strict=True))
