import numpy as np

from assay.columns import Table
from assay.review.events import new_event_name
from assay.review.rebinding import rebind
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import replay
from tests.assay.review.small_reviews import events_of

OLD = events_of(4)  # targets at y 100, 200, 300, 400 um, frames 10 to 40
NAMES = OLD["event"].tolist()


def cells(*rows: tuple[int, str, int, float, float]) -> Table:
    """frame, role, track, y, x."""
    names = ("frame", "role", "track_id", "y_um", "x_um")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def no_cells(well: str, field: int) -> Table:
    return cells((0, "target", 999, -1e4, -1e4))


def sitting(**more) -> Sitting:
    return Sitting(OLD, MemoryJournal("ana-1"), reader="ana", **more)


def moved(dy: float = 0.0, frames: int = 0, numbers: int = 10) -> Table:
    """The same deaths with other numbers, somewhat elsewhere and later."""
    new = {name: column.copy() for name, column in OLD.items()}
    new["y_um"] += dy
    new["frame"] += frames
    new["death_id"] += numbers
    new["event"] = np.array([f"B02/0/d{k}" for k in new["death_id"]], dtype=object)
    return new


def test_a_decision_follows_its_target_to_another_number():
    one = sitting()
    one.decide("reject", NAMES[1], reason="debris")
    kept, lost = rebind(one.state.decisions, moved(dy=3, frames=-2), cells_of=no_cells)
    assert [d.event for d in kept] == ["B02/0/d12"]
    assert lost == []


def test_the_limits_are_8_um_and_3_frames_both_included():
    one = sitting()
    one.decide("accept", NAMES[0])
    for dy, frames, n in ((8, 0, 1), (8.01, 0, 0), (0, 3, 1), (0, 4, 0)):
        kept, lost = rebind(one.state.decisions, moved(dy=dy, frames=frames), cells_of=no_cells)
        assert (len(kept), len(lost)) == (n, 1 - n), (dy, frames)


def test_between_two_deaths_that_are_about_as_near_none_is_chosen():
    one = sitting()
    one.decide("accept", NAMES[0])
    twins = {name: np.concatenate([column[:1], column[:1]]) for name, column in moved().items()}
    twins["event"] = np.array(["B02/0/d11", "B02/0/d12"], dtype=object)
    twins["y_um"] = np.array([98.0, 103.0])
    kept, lost = rebind(one.state.decisions, twins, cells_of=no_cells)
    assert (kept, len(lost)) == ([], 1)
    twins["y_um"] = np.array([99.0, 106.0])
    assert rebind(one.state.decisions, twins, cells_of=no_cells)[0][0].event == "B02/0/d11"


def test_two_old_deaths_never_become_one():
    one = sitting()
    one.decide("accept", NAMES[0])
    one.decide("reject", NAMES[1], reason="debris")
    near = {**OLD, "y_um": np.array([100.0, 104.0, 300, 400]), "frame": np.array([10, 10, 30, 40])}
    both = Sitting(near, MemoryJournal("ana-2"), reader="ana")
    both.decide("accept", NAMES[0])
    both.decide("reject", NAMES[1], reason="debris")
    single = {name: column[:1] for name, column in moved(dy=2).items()}
    kept, lost = rebind(both.state.decisions, single, cells_of=no_cells)
    assert kept == []
    assert all("2 earlier events lie where B02/0/d11 is now" in line for line in lost)


def test_a_chosen_killer_is_found_by_where_it_stood_or_the_choice_is_lost():
    one = sitting(position=lambda well, field, role, track, frame: (130.0, 60.0))
    one.decide("killer", NAMES[0], effector_track_id=5)
    now = cells(
        (10, "effector", 77, 132.0, 60.0), (10, "target", 78, 130.0, 60.0), (11, "effector", 5, 130.0, 60.0)
    )
    kept, _ = rebind(one.state.decisions, moved(), cells_of=lambda well, field: now)
    assert kept[0].values["effector_track_id"] == 77
    kept, lost = rebind(one.state.decisions, moved(), cells_of=no_cells)
    assert kept == []
    assert "the effector that was chosen is not found again" in lost[0]


def test_a_killer_that_was_chosen_without_a_place_is_lost_and_nobody_is_kept():
    one = sitting()
    one.decide("killer", NAMES[0], effector_track_id=5)
    one.decide("killer", NAMES[1], effector_track_id=None)
    kept, lost = rebind(one.state.decisions, moved(), cells_of=no_cells)
    assert [d.event for d in kept] == ["B02/0/d12"]
    assert len(lost) == 1


def test_an_added_death_follows_its_target_and_takes_what_was_said_of_it_along():
    one = sitting(position=lambda well, field, role, track, frame: (700.0, 70.0))
    one.decide("add", well="B02", field=0, target_track_id=77, frame=15)
    one.decide("flag", new_event_name("B02", 0, 77), flag=True)
    now = cells((15, "target", 12, 701.0, 70.0))
    kept, lost = rebind(one.state.decisions, moved(), cells_of=lambda well, field: now)
    state = replay(kept, moved())
    assert lost == []
    assert state.added == [new_event_name("B02", 0, 12)]
    assert state.flagged.tolist() == [False] * 4 + [True]
    assert state.events["target_track_id"][4] == 12


def test_an_added_death_that_the_pipeline_finds_itself_now_is_not_counted_twice():
    one = sitting(position=lambda well, field, role, track, frame: (700.0, 50.0))
    one.decide("add", well="B02", field=0, target_track_id=77, frame=40)
    found = moved()
    found["y_um"] = np.array([100, 200, 300, 701.0])
    kept, lost = rebind(one.state.decisions, found, cells_of=no_cells)
    assert kept == []
    assert "the pipeline finds this death itself now, as B02/0/d14" in lost[0]


def test_edits_of_tracks_and_labels_are_lost_with_their_undo():
    one = sitting()
    one.decide("split", well="B02", field=0, role="target", track_id=3, frame=9)
    one.undo()
    one.decide("accept", NAMES[0])
    kept, lost = rebind(one.state.decisions, moved(), cells_of=no_cells)
    assert [d.verb for d in kept] == ["accept"]
    assert len(lost) == 1
    assert replay(kept, moved()).problems == []


def test_an_undone_decision_stays_undone_when_it_is_carried_over():
    one = sitting()
    one.decide("accept", NAMES[0])
    one.undo()
    kept, _ = rebind(one.state.decisions, moved(), cells_of=no_cells)
    assert replay(kept, moved()).status_of("B02/0/d11") == "pending"


def test_where_the_events_do_not_say_where_targets_are_the_cells_do():
    one = sitting()
    one.decide("accept", NAMES[0])
    blank = {**moved(), "y_um": np.full(4, np.nan), "x_um": np.full(4, np.nan)}
    now = cells((9, "target", 1, 100.0, 50.0), (11, "target", 1, 180.0, 50.0), (9, "effector", 1, 0.0, 0.0))
    kept, _ = rebind(one.state.decisions, blank, cells_of=lambda well, field: now)
    assert [d.event for d in kept] == ["B02/0/d11"]
