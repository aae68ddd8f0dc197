import subprocess
import sys

import numpy as np
import pytest

from assay.errors import ResultsError, StorageError
from assay.review.decisions import Decision, check_decision, decision_of
from assay.review.events import new_event_name
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import replay
from tests.assay.review.small_reviews import events_of, same_state, sitting_of

EVENTS = events_of(4)
NAMES = EVENTS["event"].tolist()


class FullDisk(MemoryJournal):
    def append(self, record) -> None:
        raise StorageError("the disk is full")


def test_the_core_of_the_review_needs_no_screen_no_disk_and_no_torch():
    code = (
        "import sys, assay.review.sitting, assay.review.queue, assay.review.blinding, assay.review.agreement, "
        "assay.review.rebinding; heavy = {'torch', 'napari', 'qtpy', 'zarr', 'dask', 'pyarrow', "
        "'scipy', 'numba', 'assay.io'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_decision_is_in_the_journal_before_it_counts():
    class Watching(MemoryJournal):
        def append(self, record) -> None:
            assert sitting.status_of(NAMES[0]) == "pending"
            super().append(record)

    sitting = sitting_of(EVENTS, journal=Watching())
    sitting.decide("accept", NAMES[0])
    assert sitting.status_of(NAMES[0]) == "accepted"


def test_what_the_journal_refuses_never_happened():
    sitting = sitting_of(EVENTS, journal=FullDisk())
    with pytest.raises(StorageError, match="the disk is full"):
        sitting.decide("accept", NAMES[0])
    assert sitting.status_of(NAMES[0]) == "pending"
    assert not sitting.can_undo
    assert sitting.state.decisions == []


def test_listeners_hear_which_events_changed():
    sitting = sitting_of(EVENTS)
    heard: list = []
    sitting.changed.append(heard.append)
    sitting.decide("accept", NAMES[0])
    sitting.decide("split", well="B02", field=0, role="target", track_id=3, frame=9)
    sitting.undo()
    sitting.undo()
    assert heard == [[NAMES[0]], [], [], [NAMES[0]]]


def test_undo_goes_back_in_order_and_a_new_decision_ends_redo():
    sitting = sitting_of(EVENTS)
    sitting.decide("accept", NAMES[0])
    sitting.decide("accept", NAMES[1])
    assert sitting.next_undo.event == NAMES[1]
    sitting.undo()
    sitting.undo()
    assert sitting.undo() is None
    sitting.redo()
    assert [sitting.status_of(name) for name in NAMES[:2]] == ["accepted", "pending"]
    sitting.decide("unsure", NAMES[2])
    assert not sitting.can_redo
    assert sitting.redo() is None


def test_undo_and_redo_are_decisions_with_numbers_of_their_own():
    sitting = sitting_of(EVENTS)
    sitting.decide("accept", NAMES[0])
    sitting.undo()
    sitting.redo()
    said = [(d.number, d.verb, d.values.get("number")) for d in sitting.state.decisions]
    assert said == [(1, "accept", None), (2, "undo", 1), (3, "redo", 1)]


def test_a_decision_says_what_stood_before_and_where_the_target_was():
    sitting = sitting_of(EVENTS)
    sitting.decide("retime", NAMES[1], frame=24)
    made = sitting.decide("killer", NAMES[1], effector_track_id=None, note="alone", dwell_ms=1200)
    assert made.was == {"status": "accepted", "effector_track_id": 5}
    assert made.anchor == {"frame": 20, "y_um": 200, "x_um": 50}
    assert (made.note, made.dwell_ms, made.reader) == ("alone", 1200, "ana")


def test_where_the_events_do_not_say_where_the_target_is_it_is_looked_up():
    blank = {**EVENTS, "y_um": np.full(4, np.nan)}
    asked: list = []

    def position(*cell):
        asked.append(cell)
        return 3.0, 4.0

    made = sitting_of(blank, position=position).decide("accept", NAMES[1])
    assert asked == [("B02", 0, "target", 2, 20)]
    assert made.anchor == {"frame": 20, "y_um": 3.0, "x_um": 4.0}
    assert sitting_of(blank).decide("accept", NAMES[1]).anchor == {"frame": 20}


def test_a_chosen_killer_is_kept_with_its_place():
    sitting = sitting_of(EVENTS, position=lambda *cell: (7.0, 8.0) if cell[2] == "effector" else None)
    made = sitting.decide("killer", NAMES[0], effector_track_id=6)
    assert made.values == {
        "effector_track_id": 6,
        "effector_frame": 10,
        "effector_y_um": 7.0,
        "effector_x_um": 8.0,
    }


@pytest.mark.parametrize(
    ("verb", "event", "values", "why"),
    [
        ("accept", "B02/0/d99", {}, "there is no event B02/0/d99"),
        ("accept", "", {}, "which event is meant is not said"),
        ("explode", NAMES[0], {}, "verb 'explode': expected one of"),
        ("undo", NAMES[0], {}, r"call undo\(\)"),
        ("retime", NAMES[0], {}, "frame None, expected a whole number from 0"),
        ("retime", NAMES[0], {"frame": 3.5}, "frame 3.5, expected a whole number"),
        ("accept", NAMES[0], {"frame": 3}, "accept does not set 'frame'"),
        ("reject", NAMES[0], {}, "reason '', expected one of debris"),
        ("killer", NAMES[0], {"effector_track_id": 0}, "effector_track_id 0, expected a whole number from 1"),
        ("killer", NAMES[0], {}, "effector_track_id None, expected a whole number"),
        ("settle", NAMES[0], {"status": "accepted"}, "its readers do not disagree"),
        ("settle", NAMES[0], {"status": "maybe"}, "status 'maybe', expected accepted"),
        (
            "add",
            "",
            {"well": "B02", "field": 0, "target_track_id": 2, "frame": 3},
            "dies already in B02/0/d2; retime",
        ),
        (
            "add",
            NAMES[0],
            {"well": "B02", "field": 0, "target_track_id": 9, "frame": 3},
            "does not lie in B02/0/",
        ),
        ("split", "", {"well": "../x", "field": 0, "role": "target", "frame": 1}, "well '../x'"),
        ("join", "", {"well": "B02", "field": 0, "role": "nucleus", "frame": 1}, "role 'nucleus'"),
        ("swap", "", {"well": "B02", "field": 0, "role": "target", "frame": 1, "x": "y"}, "x' = 'y'"),
        ("accept", NAMES[0], {"note": "x" * 5000}, "longer than 4000"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_trace(verb, event, values, why):
    sitting = sitting_of(EVENTS)
    with pytest.raises(ResultsError, match=why):
        sitting.decide(verb, event, **values)
    assert sitting.state.decisions == []


def test_a_disagreement_about_the_killer_is_settled_with_a_killer():
    one, other = sitting_of(EVENTS), sitting_of(EVENTS, "ben")
    one.decide("killer", NAMES[0], effector_track_id=6)
    other.decide("killer", NAMES[0], effector_track_id=7)
    both = one.state.decisions + other.state.decisions
    third = sitting_of(EVENTS, "eve", earlier=both)
    with pytest.raises(ResultsError, match="disagree about the killer; give effector_track_id"):
        third.decide("settle", NAMES[0], status="accepted")
    third.decide("settle", NAMES[0], status="accepted", effector_track_id=7)
    assert (third.status_of(NAMES[0]), third.state.killer[0]) == ("accepted", 7)
    third.undo()
    assert third.status_of(NAMES[0]) == "disagreement"


def test_a_settlement_keeps_what_the_readers_agreed_on():
    """Both say frame 15, against the pipeline's 10, and contradict each other about the killer; then the other way round."""
    one, other = sitting_of(EVENTS), sitting_of(EVENTS, "ben")
    for reader, effector in ((one, 6), (other, 7)):
        reader.decide("retime", NAMES[0], frame=15)
        reader.decide("killer", NAMES[0], effector_track_id=effector)
    for reader, frame in ((one, 15), (other, 18)):
        reader.decide("killer", NAMES[1], effector_track_id=6)
        reader.decide("retime", NAMES[1], frame=frame)
    third = sitting_of(EVENTS, "eve", earlier=one.state.decisions + other.state.decisions)
    third.decide("settle", NAMES[0], status="accepted", effector_track_id=7)
    third.decide("settle", NAMES[1], status="accepted", frame=18)
    assert third.state.status[:2].tolist() == [1, 1]
    assert third.state.frame[:2].tolist() == [15, 18]
    assert third.state.killer[:2].tolist() == [7, 6]
    assert third.state.killer_chosen[:2].all()


@pytest.mark.parametrize("verb", ["accept", "killer"])
def test_who_goes_along_with_another_reader_s_frame_and_killer_contradicts_nobody(verb):
    one = sitting_of(EVENTS)
    one.decide("retime", NAMES[0], frame=15)
    one.decide("killer", NAMES[0], effector_track_id=6)
    other = sitting_of(EVENTS, "ben", earlier=one.state.decisions)
    other.decide(verb, NAMES[0], **({"effector_track_id": 6} if verb == "killer" else {}))
    assert other.status_of(NAMES[0]) == "accepted"
    assert (other.state.frame[0], other.state.killer[0]) == (15, 6)
    assert same_state(replay(other.state.decisions, EVENTS), other.state)


def test_an_undone_addition_can_be_made_again_and_is_not_reviewed_until_then():
    sitting = sitting_of(EVENTS)
    for _ in range(2):
        sitting.decide("add", well="B02", field=0, target_track_id=77, frame=3)
        sitting.undo()
    assert sitting.status_of(new_event_name("B02", 0, 77)) == "withdrawn"
    with pytest.raises(ResultsError, match="there is no event"):
        sitting.decide("accept", new_event_name("B02", 0, 77))


def test_a_reader_without_a_name_is_refused():
    with pytest.raises(ResultsError, match="needs the name of its reader"):
        Sitting(EVENTS, MemoryJournal(), reader="  ")


def test_a_decision_is_the_same_after_writing_and_reading():
    made = sitting_of(EVENTS).decide("killer", NAMES[0], effector_track_id=None, note="é")
    assert decision_of(made.record()) == made


def test_a_decision_twice_in_the_logs_counts_once_and_is_said():
    made = sitting_of(EVENTS).decide("accept", NAMES[0])
    state = replay([made, made], EVENTS)
    assert len(state.decisions) == 1
    assert state.problems == ["accept of ana (ana-1 1) is there twice; the second is not counted."]


def test_an_added_death_gets_the_condition_of_its_well_and_its_time():
    events = {**EVENTS, "condition": np.array(["CAR-T"] * 4, dtype=object)}  # 6 min a frame
    sitting = sitting_of(events)
    sitting.decide("add", well="B02", field=0, target_track_id=77, frame=15)
    assert sitting.state.events["condition"][4] == "CAR-T"
    assert sitting.state.events["time_min"][4] == 90


def test_checks_are_of_the_decision_as_a_whole():
    with pytest.raises(ResultsError, match="number, reading or dwell_ms cannot be true"):
        check_decision(Decision(verb="accept", event=NAMES[0], reading=3))
