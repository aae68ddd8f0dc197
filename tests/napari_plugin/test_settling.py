from typing import Any

import pytest

from assay.review.sitting import MemoryJournal, Sitting
from napari_plugin.event_list import EventList
from napari_plugin.settling import settlements
from tests.assay.review.small_reviews import events_of

NAME = "B02/0/d1"  # frame 10, killer 5 by 0.9


def disagreed(*said: tuple[str, str, dict[str, Any]]) -> Sitting:
    """A third reader's sitting after others said these things of the first event."""
    events, earlier = events_of(3), []
    for number, (reader, verb, values) in enumerate(said):
        journal = MemoryJournal(f"{reader}-{number}")
        one = Sitting(events, journal, reader=reader, earlier=earlier)
        more = {"reason": "debris"} if verb == "reject" else {}
        one.decide(verb, NAME, **more, **values)
        earlier = list(one.state.decisions)
    return Sitting(events, MemoryJournal("cleo-1"), reader="cleo", earlier=earlier)


def words(sitting: Sitting, **more: Any) -> list[str]:
    given = {"frame": 10, "candidates": [5]} | more
    return [one.words for one in settlements(sitting.state, NAME, **given)]


def test_what_each_reader_says_of_a_death_is_offered_with_her_name():
    sitting = disagreed(("ana", "accept", {}), ("ben", "reject", {}))
    assert words(sitting) == [
        "death at frame 10 by 5 (ana)",
        "no death (ben)",
        "unsure: as the pipeline had it",
    ]


def test_where_the_frame_is_in_dispute_the_frame_shown_is_offered_too():
    sitting = disagreed(("ana", "retime", {"frame": 10}), ("ben", "retime", {"frame": 20}))
    assert words(sitting, frame=15) == [
        "death at frame 10 (ana)",
        "death at frame 20 (ben)",
        "death at frame 15",
        "unsure: as the pipeline had it",
    ]
    assert len(words(sitting, frame=20)) == 3


def test_where_the_killer_is_in_dispute_other_candidates_and_nobody_are_offered_too():
    sitting = disagreed(
        ("ana", "killer", {"effector_track_id": 5}), ("ben", "killer", {"effector_track_id": 6})
    )
    assert words(sitting, candidates=[5, 6, 7]) == [
        "death at frame 10 by 5 (ana)",
        "death at frame 10 by 6 (ben)",
        "death by 7",
        "death by nobody",
        "unsure: as the pipeline had it",
    ]


@pytest.mark.parametrize(
    ("said", "settled"),
    [
        ([("ana", "accept", {}), ("ben", "reject", {})], ["accepted", "rejected", "unsure"]),
        (
            [("ana", "retime", {"frame": 10}), ("ben", "retime", {"frame": 20})],
            ["accepted", "accepted", "accepted", "unsure"],
        ),
        (
            [("ana", "killer", {"effector_track_id": 5}), ("ben", "killer", {"effector_track_id": None})],
            ["accepted", "accepted", "accepted", "unsure"],
        ),
    ],
)
def test_every_choice_settles_the_disagreement_as_it_says(said: Any, settled: list[str]):
    for number, status in enumerate(settled):
        sitting = disagreed(*said)
        assert sitting.status_of(NAME) == "disagreement"
        choice = settlements(sitting.state, NAME, frame=15, candidates=[5, 7])[number]
        sitting.decide("settle", NAME, **choice.values)
        now = sitting.state.of(NAME)
        assert sitting.status_of(NAME) == status
        assert now.frame == choice.values.get("frame", 10)
        assert settlements(sitting.state, NAME, frame=15, candidates=[5, 7]) == []
        sitting.undo()
        assert sitting.status_of(NAME) == "disagreement"


def test_where_readers_agree_there_is_nothing_to_settle():
    assert words(disagreed(("ana", "accept", {}), ("ben", "accept", {}))) == []


def test_disagreements_come_next_where_they_are_sought():
    sitting = disagreed(("ana", "accept", {}), ("ben", "reject", {}))
    sitting.decide("accept", "B02/0/d2")
    events = EventList(sitting.state)
    assert events.next_row(None) == 2
    events.seeks_disagreements = True
    assert [events.next_row(None), events.next_row(0)] == [0, 2]
