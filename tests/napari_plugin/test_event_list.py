import time

import numpy as np
import pytest

from assay.review.blinding import Blinding
from assay.review.sitting import MemoryJournal, Sitting
from benchmarks.review_latency import made_events, time_table
from napari_plugin.blind_reading import BlindReading
from napari_plugin.event_filter import FilterError
from napari_plugin.event_list import EventList


def sitting_of(n: int, *, blinded: bool = False, reader: str = "ana", earlier: tuple = ()) -> Sitting:
    return Sitting(made_events(n), MemoryJournal(), reader=reader, blinded=blinded, earlier=earlier)


def test_sorting_puts_unknown_numbers_last_either_way():
    sitting = sitting_of(4)
    sitting.state.events["probability"] = np.array([0.3, np.nan, 0.1, 0.2])
    events = EventList(sitting.state)
    events.sort_by("probability")
    assert events.visible.tolist() == [2, 3, 0, 1]
    events.sort_by("probability", descending=True)
    assert events.visible.tolist() == [0, 3, 2, 1]


def test_the_next_pending_event_is_that_of_the_visible_order():
    sitting = sitting_of(5)
    sitting.state.events["probability"] = np.array([0.5, 0.1, 0.4, 0.2, 0.3])
    events = EventList(sitting.state)
    events.sort_by("probability")  # 1 3 4 2 0
    sitting.decide("accept", "B02/0/d3")
    assert [events.next_row(None), events.next_row(1), events.next_row(1, pending=False)] == [1, 4, 3]
    assert [events.next_row(4, step=-1), events.next_row(4, step=-1, pending=False)] == [1, 3]
    assert events.next_row(0) is None


def test_an_event_stays_visible_while_it_is_looked_at_although_the_filter_drops_it():
    sitting = sitting_of(3)
    events = EventList(sitting.state)
    events.filter_by("status:pending")
    sitting.decide("retime", "B02/0/d1", frame=3)
    assert events.refresh(keep=1) is False
    assert events.visible.tolist() == [0, 1, 2]
    assert events.refresh(keep=0) is True
    assert events.visible.tolist() == [0, 2]


def test_a_filter_that_is_not_understood_leaves_the_one_before():
    events = EventList(sitting_of(3).state)
    events.filter_by("p>2")
    with pytest.raises(FilterError, match="there is no column"):
        events.filter_by("nonsense:3")
    assert (events.filter_text, events.visible.tolist()) == ("p>2", [])


def test_an_added_event_comes_into_the_list_and_leaves_it_when_it_is_undone():
    sitting = sitting_of(3)
    events = EventList(sitting.state)
    sitting.decide("add", well="B02", field=9, target_track_id=77777, frame=4)
    assert events.refresh() is True
    assert events.visible.tolist() == [0, 1, 2, 3]
    assert [events.cell(3, name) for name in ("killer", "share", "flags", "status")] == [
        "nobody",
        "–",
        "added",
        "accepted",
    ]
    sitting.undo()
    assert events.refresh() is True
    assert events.visible.tolist() == [0, 1, 2]


def test_cells_say_what_stands():
    sitting = sitting_of(1)
    sitting.state.events |= {"probability": np.array([0.456]), "time_min": np.array([102.0])}
    events = EventList(sitting.state)
    assert [events.cell(0, name) for name in ("probability", "time", "status")] == ["0.46", "1:42", "pending"]
    sitting.decide("killer", "B02/0/d0", effector_track_id=None)
    assert [events.cell(0, name) for name in ("killer", "share", "status")] == ["nobody", "–", "accepted"]


def test_a_blinded_reader_sees_neither_where_nor_what_others_said():
    other = sitting_of(30, reader="ben")
    other.decide("retime", "B02/0/d0", frame=399)
    mine = sitting_of(30, blinded=True, earlier=tuple(other.state.decisions))
    events = EventList(mine.state, blind=BlindReading(mine, Blinding(seed=7)))
    assert [column.name for column in events.columns] == ["time", "status"]
    assert events.cell(0, "status") == "pending"
    assert events.frame_of(0) == mine.state.events["frame"][0] != 399
    with pytest.raises(FilterError, match="there is no column"):
        events.filter_by("well:B03")


def test_a_blinded_reader_reads_a_tenth_of_the_events_twice():
    sitting = sitting_of(30, blinded=True)
    blind = BlindReading(sitting, Blinding(seed=7))
    shown = []
    while (row := blind.step(1, pending=True)) is not None:
        name = str(sitting.state.events["event"][row])
        shown.append((row, blind.reading))
        sitting.decide("accept", name, reading=blind.reading)
        blind.take([name])
    assert len(shown) == 33
    assert sorted(row for row, reading in shown if reading == 1) == list(range(30))
    assert sum(reading == 2 for _, reading in shown) == 3
    assert blind.progress() == (33, 33)


def test_a_hundred_thousand_events_sort_and_filter_in_the_blink_of_an_eye():
    found = time_table(100_000)
    assert found["slowest_sort_ms"] < 50
    assert found["slowest_filter_ms"] < 50


def test_a_decision_in_a_hundred_thousand_events_is_listed_at_once():
    sitting = sitting_of(100_000)
    events = EventList(sitting.state)
    sitting.decide("accept", "B02/0/d5")
    begin = time.thread_time()
    events.refresh(keep=5)
    assert time.thread_time() - begin < 0.05


def test_the_second_showing_of_a_blinded_event_shows_nothing_of_the_first():
    sitting = sitting_of(30, blinded=True)
    blind = BlindReading(sitting, Blinding(seed=7, repeat_share=1.0))
    row = blind.step(1, pending=True)
    name = str(sitting.state.events["event"][row])
    sitting.decide("retime", name, frame=3, reading=blind.reading)
    sitting.decide("killer", name, effector_track_id=6, reading=blind.reading)
    assert (blind.frame_of(row), blind.killer_of(row)) == (3, 6)
    while (blind.step(1, pending=False), blind.reading) != (row, 2):
        pass
    assert blind.frame_of(row) == sitting.state.events["frame"][row]
    assert np.isnan(blind.killer_of(row))
    sitting.decide("retime", name, frame=5, reading=blind.reading)
    assert blind.frame_of(row) == 5
    assert sitting.state.frame[row] == 3


def test_the_time_of_an_event_is_that_of_the_frame_that_stands():
    """Made films have a frame every 4 minutes."""
    sitting = sitting_of(3)
    events = EventList(sitting.state)
    sitting.state.events["frame"][:] = [10, 0, 30]
    sitting.state.events["time_min"][:] = [40.0, 0.0, 120.0]
    sitting.state.frame[:] = [10, 0, 30]
    events = EventList(sitting.state)
    assert [events.cell(row, "time") for row in range(3)] == ["0:40", "0:00", "2:00"]
    sitting.decide("retime", "B02/0/d0", frame=40)
    assert events.cell(0, "time") == "2:40"
    events.filter_by("time>130")
    assert events.visible.tolist() == [0]
    events.filter_by("")
    events.sort_by("time")
    assert events.visible.tolist() == [1, 2, 0]


def test_the_recorded_order_of_a_blinded_reader_is_not_sorted_and_others_times_are_not_seen():
    other = sitting_of(6, reader="ben")
    for name in ("B02/0/d1", "B02/0/d2"):
        other.decide("retime", name, frame=399)
    sitting = sitting_of(6, blinded=True, earlier=tuple(other.state.decisions))
    blind = BlindReading(sitting, Blinding(seed=4))
    events = EventList(sitting.state, worth=blind.rows, blind=blind)
    order, times = events.visible.tolist(), [events.cell(row, "time") for row in range(6)]
    for descending in (False, True):
        events.sort_by("time", descending=descending)
        assert events.visible.tolist() == order
    assert times == [events.cell(row, "time") for row in range(6)]
    given = sitting.state.events["frame"] * 4.0
    assert times == [f"{m // 60:.0f}:{m % 60:02.0f}" for m in given]
    for hidden in ("target:3", "frame>5", "well:B02", "p>0.5"):
        with pytest.raises(FilterError, match="there is no column"):
            events.filter_by(hidden)
