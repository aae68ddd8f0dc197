"""What readers decide changes the numbers that it speaks of, and no other."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.columns import Table, concatenate, table_of_rows, take
from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.pipeline.doubtful import doubtful_table
from assay.pipeline.reviewed import ReviewedPlate, what_changed
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_events import Lives
from assay.protocol import parse_protocol
from assay.review.decisions import Decision
from assay.review.events import new_event_name, review_events
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import ReviewState, replay
from assay.tracks import Track
from assay.units import Calibration
from benchmarks.made_results import make_base

N_FRAMES = 40
PROTOCOL = parse_protocol(
    """
[channels]
effector = "E"
target = "T"
death = "D"
[[condition]]
name = "CAR-T"
wells = ["B02", "B03"]
[[condition]]
name = "alone"
wells = ["C02"]
kind = "target_only"
"""
)


def _track(number: int, last: int = N_FRAMES - 1, end: str = "movie_end") -> Track:
    return Track(
        track_id=number, first_frame=0, last_frame=last, parent_track_id=None, start="movie_start", end=end
    )  # type: ignore[arg-type]


def _death(number: int, target: int, frame: int, probability: float = 0.9) -> Death:
    return Death(
        death_id=number, role="target", track_id=target, frame=frame, first_possible_frame=frame - 1,
        last_possible_frame=frame + 1, probability=probability, evidence=("dye",), onset_min=5.0 * frame - 2,
    )  # fmt: skip


def _contact(number: int, effector: int, target: int, first: int, last: int) -> Contact:
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=5.0, starts_censored=False, ends_censored=False,
    )  # fmt: skip


def _well(well: str, kind: str) -> FieldEvents:
    """Ten targets. 1: effectors 1 and 2 were on it; 2: effector 2 alone; 3: nobody; 4: touched, lives on."""
    alone = kind == "target_only"
    contacts = (
        _contact(1, 1, 1, 8, 11), _contact(2, 2, 1, 9, 12), _contact(3, 2, 2, 16, 20), _contact(4, 1, 4, 20, 30),
        _contact(5, 1, 1, 25, 27),
    )  # fmt: skip
    return FieldEvents(
        well=well,
        field=0,
        kind=kind,
        n_frames=N_FRAMES,
        calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=5.0),
        contacts=() if alone else contacts,
        deaths=(_death(1, 3, 30),) if alone else (_death(1, 1, 14), _death(2, 2, 22), _death(3, 3, 30, 0.6)),
        targets=tuple(_track(number) for number in range(1, 11)),
    )


@pytest.fixture(scope="module")
def base() -> BasePlate:
    events = [_well("B02", "sample"), _well("B03", "sample"), _well("C02", "target_only")]
    effectors = {"B02": (_track(1), _track(2)), "B03": (_track(1), _track(2)), "C02": ()}
    made = make_base(events, effectors, PROTOCOL)
    ends = dict.fromkeys(range(1, 11), "movie_end")
    made.lives_of = lambda place: Lives(ends=lambda: ends, later=dict, doubts=dict)  # type: ignore[arg-type,return-value]
    return made


@pytest.fixture
def sitting(base: BasePlate) -> Sitting:
    return Sitting(review_events(base.tables), MemoryJournal(), reader="ana")


def reviewed(base: BasePlate, sitting: Sitting) -> dict[str, Table]:
    plate = ReviewedPlate(base)
    tables = plate.update(sitting.state)
    assert plate.problems == []
    return tables


def well(tables: Mapping[str, Table], name: str) -> dict[str, float]:
    row = tables["wells"]["well"].tolist().index(name)
    return {column: values[row] for column, values in tables["wells"].items()}


def shares(tables: Mapping[str, Table], name: str, death_id: int) -> dict[int, float]:
    kills = tables["kills"]
    mine = (kills["well"] == name) & (kills["death_id"] == death_id)
    return dict(zip(kills["effector_track_id"][mine].tolist(), kills["share"][mine].tolist(), strict=True))


def death(tables: Mapping[str, Table], name: str, death_id: int) -> dict[str, object]:
    deaths = tables["deaths"]
    (row,) = np.flatnonzero((deaths["well"] == name) & (deaths["death_id"] == death_id))
    return {column: values[row] for column, values in deaths.items()}


def same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    if one.dtype == object:
        return one.tolist() == other.tolist()
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def assert_same_but(before: Mapping[str, Table], after: Mapping[str, Table], wells: set[str]) -> None:
    """Every row of every other well is what it was, to the last digit."""
    for name in ("deaths", "kills", "contacts", "effectors", "tracks", "wells"):
        kept = [~np.isin(table[name]["well"].astype(str), sorted(wells)) for table in (before, after)]
        for column in before[name]:
            assert same(before[name][column][kept[0]], after[name][column][kept[1]]), (name, column)


def test_without_decisions_the_reviewed_tables_are_the_pipeline_s(base: BasePlate, sitting: Sitting):
    tables = reviewed(base, sitting)
    for name, table in tables.items():
        for column in base.tables[name]:
            assert same(base.tables[name][column], table[column]), (name, column)
    assert what_changed(base.tables, tables) == []


def test_all_decisions_undone_give_back_the_pipeline_s_numbers(base: BasePlate, sitting: Sitting):
    plate = ReviewedPlate(base)
    sitting.decide("reject", "B02/0/d1", reason="debris")
    sitting.decide("killer", "B02/0/d2", effector_track_id=1)
    sitting.decide("add", "", well="B03", field=0, target_track_id=9, frame=12)
    assert what_changed(base.tables, plate.update(sitting.state))
    while sitting.can_undo:
        sitting.undo()
    tables = plate.update(sitting.state)
    assert_same_but(base.tables, tables, set())


def test_an_accepted_death_is_sure_and_keeps_its_shares(base: BasePlate, sitting: Sitting):
    sitting.decide("accept", "B02/0/d3")
    tables = reviewed(base, sitting)
    assert well(tables, "B02")["deaths"] == pytest.approx(0.9 + 0.9 + 1.0)
    assert death(tables, "B02", 3)["uncredited_share"] == death(base.tables, "B02", 3)["uncredited_share"]
    assert death(tables, "B02", 3)["pipeline_probability"] == 0.6
    assert shares(tables, "B02", 1) == shares(base.tables, "B02", 1)
    assert_same_but(base.tables, tables, {"B02"})


def test_a_rejected_death_is_gone_and_its_target_lives_to_the_end_of_its_track(
    base: BasePlate, sitting: Sitting
):
    sitting.decide("reject", "B02/0/d1", reason="segmentation")
    tables = reviewed(base, sitting)
    assert well(tables, "B02")["deaths"] == pytest.approx(0.9 + 0.6)
    assert shares(tables, "B02", 1) == {}
    mine = (tables["tracks"]["well"] == "B02") & (tables["tracks"]["role"] == "target")
    assert tables["tracks"]["end"][mine].tolist()[:3] == ["movie_end", "died", "died"]
    contacts = {n: (dead, outcome) for w, n, dead, outcome in zip(
        *(tables["contacts"][c].tolist() for c in ("well", "contact_id", "target_dead", "outcome")), strict=True) if w == "B02"}  # fmt: skip
    assert contacts[5][0] is False  # after the death that was none, so with a live target
    assert contacts[1][1] != "kill"
    assert contacts[2][1] != "kill"
    assert death_of_base_contact(base) == (True, "zombie")
    assert_same_but(base.tables, tables, {"B02"})


def death_of_base_contact(base: BasePlate) -> tuple[bool, str]:
    contacts = base.tables["contacts"]
    (row,) = np.flatnonzero((contacts["well"] == "B02") & (contacts["contact_id"] == 5))
    return bool(contacts["target_dead"][row]), str(contacts["outcome"][row])


def test_cytolysis_counts_a_target_whose_death_is_rejected_among_the_living(
    base: BasePlate, sitting: Sitting
):
    """10 targets; deaths 0.9 + 0.9 + 0.6 of them, 7.6 alive; without the first 1.5 and 8.5."""
    sitting.decide("reject", "B02/0/d1", reason="other")
    tables = reviewed(base, sitting)
    d0 = 0.9 / 10
    assert well(base.tables, "B02")["cytolysis_percent"] == pytest.approx(100 * (0.24 - d0) / (1 - d0))
    assert well(tables, "B02")["cytolysis_percent"] == pytest.approx(100 * (0.15 - d0) / (1 - d0))


def test_a_target_that_was_dead_already_is_no_live_target_of_the_film(base: BasePlate, sitting: Sitting):
    sitting.decide("reject", "B02/0/d1", reason="already_dead")
    tables = reviewed(base, sitting)
    assert well(base.tables, "B02")["n_targets"] == 10
    assert well(tables, "B02")["n_targets"] == 9
    mine = (tables["contacts"]["well"] == "B02") & (tables["contacts"]["target_track_id"] == 1)
    assert tables["contacts"]["outcome"][mine].tolist() == ["zombie"] * 3


def test_what_dies_by_itself_changes_cytolysis_of_every_well(base: BasePlate, sitting: Sitting):
    sitting.decide("reject", "C02/0/d1", reason="debris")
    tables = reviewed(base, sitting)
    assert well(tables, "B02")["cytolysis_percent"] == pytest.approx(24.0)
    assert well(tables, "B02")["kills"] == well(base.tables, "B02")["kills"]


def test_wells_kept_as_the_run_counted_them_say_what_their_events_say(base: BasePlate, sitting: Sitting):
    sitting.decide("reject", "C02/0/d1", reason="debris")
    assert set(base.counted) == {"B02", "B03", "C02"}
    kept = ReviewedPlate(base).update(sitting.state)
    counted_again = ReviewedPlate(replace(base, counted={})).update(sitting.state)
    for name in ("wells", "conditions"):
        for column, values in kept[name].items():
            assert same(values, counted_again[name][column]), (name, column)


def test_the_named_killer_gets_all_of_a_death_and_its_lag_runs_from_their_contact(
    base: BasePlate, sitting: Sitting
):
    sitting.decide("killer", "B02/0/d1", effector_track_id=2)
    tables = reviewed(base, sitting)
    assert shares(tables, "B02", 1) == {2: 1.0}
    row = np.flatnonzero((tables["kills"]["well"] == "B02") & (tables["kills"]["death_id"] == 1))
    assert tables["kills"]["lag_min"][row].tolist() == [
        25.0
    ]  # contact 2 began in frame 9, the death is in 14
    assert tables["kills"]["contact_id"][row].tolist() == [2]
    assert tables["kills"]["chosen"][row].tolist() == [True]
    assert death(tables, "B02", 1)["uncredited_share"] == 0.0
    assert death(tables, "B02", 1)["probability"] == 1.0  # who names the killer says that it is a death
    outcomes = tables["contacts"]["outcome"][tables["contacts"]["well"] == "B02"].tolist()
    assert outcomes[1] == "kill"
    assert outcomes[0] != "kill"


def test_a_killer_without_a_contact_keeps_its_kill_and_its_lag_is_unknown(base: BasePlate, sitting: Sitting):
    sitting.decide("killer", "B02/0/d3", effector_track_id=1)
    tables = reviewed(base, sitting)
    row = np.flatnonzero((tables["kills"]["well"] == "B02") & (tables["kills"]["death_id"] == 3))
    assert tables["kills"]["share"][row].tolist() == [1.0]
    assert math.isnan(tables["kills"]["lag_min"][row][0])
    assert math.isnan(tables["kills"]["contact_id"][row][0])


def test_a_death_that_nobody_caused_is_no_kill(base: BasePlate, sitting: Sitting):
    sitting.decide("killer", "B02/0/d2", effector_track_id=None)
    tables = reviewed(base, sitting)
    assert shares(tables, "B02", 2) == {}
    assert death(tables, "B02", 2)["uncredited_share"] == 1.0
    assert well(tables, "B02")["kills"] == pytest.approx(
        well(base.tables, "B02")["kills"] - 0.9 * (1 - death(base.tables, "B02", 2)["uncredited_share"])  # type: ignore[operator]
    )


def test_a_death_that_is_timed_before_a_contact_is_not_that_contact_s(base: BasePlate, sitting: Sitting):
    sitting.decide("retime", "B02/0/d2", frame=15)  # effector 2 came in frame 16
    tables = reviewed(base, sitting)
    now = death(tables, "B02", 2)
    assert (now["frame"], now["time_min"], now["pipeline_frame"]) == (15, 75.0, 22.0)
    assert (now["first_possible_frame"], now["last_possible_frame"]) == (15, 15)
    assert shares(tables, "B02", 2) == {}
    assert now["uncredited_share"] == 1.0
    assert shares(tables, "B02", 1) == shares(base.tables, "B02", 1)


def test_an_added_death_is_credited_by_the_fitted_model(base: BasePlate, sitting: Sitting):
    sitting.decide("add", "", well="B02", field=0, target_track_id=4, frame=33)
    tables = reviewed(base, sitting)
    new = death(tables, "B02", 4)
    assert (new["track_id"], new["frame"], new["probability"], new["review"]) == (4, 33, 1.0, "added")
    assert math.isnan(new["pipeline_frame"])  # type: ignore[arg-type]
    assert set(shares(tables, "B02", 4)) == {1}
    assert sum(shares(tables, "B02", 4).values()) + new["uncredited_share"] == pytest.approx(1.0)  # type: ignore[operator]
    assert well(tables, "B02")["deaths"] == pytest.approx(0.9 + 0.9 + 0.6 + 1.0)


def test_a_death_added_to_a_target_that_dies_already_is_named_as_a_problem(base: BasePlate, sitting: Sitting):
    sitting.decide("add", "", well="B02", field=0, target_track_id=4, frame=20)
    (added,) = sitting.state.decisions
    twice = replace(added, event="B02/0/new-00000000", values={**added.values, "target_track_id": 1})
    plate = ReviewedPlate(base)
    tables = plate.update(replay([twice], review_events(base.tables)))  # of a log of other results
    assert len(plate.problems) == 1
    assert "target 1 dies already; reject that death first" in plate.problems[0]
    assert well(tables, "B02")["deaths"] == well(base.tables, "B02")["deaths"]


def test_an_added_death_takes_no_number_of_a_dead_effector(base: BasePlate):
    """Deaths of a field are numbered through both roles: here 4 is effector 2's."""
    rows = {name: column[:1].copy() for name, column in base.tables["deaths"].items()}
    rows |= {"death_id": np.array([4]), "role": np.array(["effector"], dtype=object)}
    rows |= {"track_id": np.array([2]), "uncredited_share": np.array([math.nan])}
    deaths = concatenate(
        [take(base.tables["deaths"], np.arange(3)), rows, take(base.tables["deaths"], np.arange(3, 7))]
    )
    both = replace(base, tables={**base.tables, "deaths": deaths}, _slices={}, _credited={}, _lives={})
    sitting = Sitting(review_events(both.tables), MemoryJournal(), reader="ana")
    sitting.decide("add", "", well="B02", field=0, target_track_id=4, frame=33)
    tables = reviewed(both, sitting)
    new = death(tables, "B02", 5)
    assert (new["role"], new["track_id"], new["review"]) == ("target", 4, "added")
    assert (death(tables, "B02", 4)["role"], death(tables, "B02", 4)["review"]) == ("effector", None)


def test_a_frame_outside_the_film_and_a_killer_that_is_not_there_are_named_and_do_not_count(
    base: BasePlate, sitting: Sitting
):
    sitting.decide("retime", "B02/0/d1", frame=N_FRAMES)
    sitting.decide("killer", "B02/0/d2", effector_track_id=77)
    plate = ReviewedPlate(base)
    tables = plate.update(sitting.state)
    assert sorted(plate.problems) == [
        "B02/0/d1: frame 40 is not within the film of target 1, so the pipeline's frame stands.",
        "B02/0/d2: there is no effector 77, so the model says who killed it.",
    ]
    for number in (1, 2):
        assert shares(tables, "B02", number) == shares(base.tables, "B02", number)
    assert (death(tables, "B02", 1)["frame"], death(tables, "B02", 1)["probability"]) == (14, 1.0)


def test_unsure_and_disputed_events_count_as_the_pipeline_had_them(base: BasePlate):
    events = review_events(base.tables)
    ana = Sitting(events, MemoryJournal("a"), reader="ana")
    ana.decide("unsure", "B02/0/d1")
    ana.decide("reject", "B02/0/d2", reason="debris")
    bob = Sitting(events, MemoryJournal("b"), reader="bob", earlier=_of(ana))
    bob.decide("accept", "B02/0/d2")
    tables = reviewed(base, bob)
    assert_same_but(base.tables, tables, set())
    assert death(tables, "B02", 2)["review"] == "disagreement"
    assert death(tables, "B02", 2)["reviewed_by"] == "ana+bob"
    bob.decide("settle", "B02/0/d2", status="rejected")
    assert well(reviewed(base, bob), "B02")["deaths"] == pytest.approx(0.9 + 0.6)


def _of(sitting: Sitting) -> list[Decision]:
    return list(sitting.state.decisions)


def test_one_more_decision_gives_the_same_tables_as_all_at_once(base: BasePlate, sitting: Sitting):
    live = ReviewedPlate(base)
    live.update(sitting.state)
    for verb, event, values in (
        ("accept", "B02/0/d1", {}),
        ("killer", "B03/0/d1", {"effector_track_id": 1}),
        ("retime", "B02/0/d2", {"frame": 24}),
        ("accept", "C02/0/d1", {}),
    ):
        sitting.decide(verb, event, **values)
        tables = live.update(sitting.state)
    again: ReviewState = replay(sitting.state.decisions, review_events(base.tables))
    fresh = ReviewedPlate(base).update(again)
    for name in fresh:
        for column in fresh[name]:
            assert same(fresh[name][column], tables[name][column]), (name, column)


def test_the_pipeline_s_tables_are_not_touched(base: BasePlate, sitting: Sitting):
    before = {n: {c: v.copy() for c, v in table.items()} for n, table in base.tables.items()}
    sitting.decide("reject", "B02/0/d1", reason="debris")
    sitting.decide("retime", "B02/0/d2", frame=24)
    reviewed(base, sitting)
    for name in before:
        assert all(same(before[name][column], base.tables[name][column]) for column in before[name])


def test_wells_count_their_events_and_those_that_were_reviewed(base: BasePlate, sitting: Sitting):
    sitting.decide("accept", "B02/0/d1")
    sitting.decide("unsure", "B02/0/d2")
    sitting.decide("add", "", well="B02", field=0, target_track_id=4, frame=33)
    tables = reviewed(base, sitting)
    assert (well(tables, "B02")["n_events"], well(tables, "B02")["n_reviewed"]) == (4, 2)
    assert tables["conditions"]["n_events"].tolist() == [7, 1]
    assert tables["conditions"]["n_reviewed"].tolist() == [2, 0]
    (change,) = what_changed(base.tables, tables)
    assert (change.well, change.n_events, change.n_reviewed) == ("B02", 4, 2)


def test_the_second_half_of_a_cell_lives_on_when_its_death_is_rejected(base: BasePlate):
    """Target 1 is lost in frame 20 and seen again as target 10, dead because target 1 had died."""
    events = _well("B02", "sample")
    targets = (_track(1, 20, "lost"), *events.targets[1:])
    events = replace(events, targets=targets, dead_targets=frozenset({10}))
    made = make_base([events], {"B02": (_track(1), _track(2))}, PROTOCOL)
    ends = {1: "lost"} | dict.fromkeys(range(2, 11), "movie_end")
    made.lives_of = lambda place: Lives(ends=lambda: ends, later=lambda: {1: (10,)}, doubts=dict)  # type: ignore[arg-type,return-value]
    sitting = Sitting(review_events(made.tables), MemoryJournal(), reader="ana")
    assert well(made.tables, "B02")["n_targets"] == 9
    sitting.decide("reject", "B02/0/d1", reason="debris")
    assert well(reviewed(made, sitting), "B02")["n_targets"] == 10


@pytest.fixture(scope="module")
def with_uncalled(base: BasePlate) -> BasePlate:
    """The same plate; target 4 of B02, which effector 1 touched, may have died in frame 26, and 5, which nobody touched."""
    parts = {("B02", 0): table_of_rows("doubtful_deaths", [_uncalled(4, 26), _uncalled(5, 20)])}
    events = [base.field(place).events for place in base.films]
    tables = {**base.tables, "doubtful_deaths": doubtful_table(parts, events, base.model)}
    return BasePlate(
        tables=tables, films=base.films, protocol=base.protocol, model=base.model, lives_of=base.lives_of
    )


def _uncalled(target: int, frame: int) -> dict[str, object]:
    return {
        "well": "B02", "field": 0, "target_track_id": target, "frame": frame, "first_possible_frame": frame - 1,
        "last_possible_frame": frame + 2, "time_min": 5.0 * frame, "probability": 0.3, "evidence": "vanished",
        "uncredited_share": None, "effector_track_id": None, "share": None, "lag_min": None,
    }  # fmt: skip


def test_the_held_model_says_who_would_get_a_death_that_was_not_called(with_uncalled):
    table = with_uncalled.tables["doubtful_deaths"]
    assert table["effector_track_id"][0] == 1
    assert table["share"][0] + table["uncredited_share"][0] == pytest.approx(1)
    assert table["lag_min"][0] == 5.0 * (26 - 20)
    assert np.isnan(table["effector_track_id"][1])
    assert table["uncredited_share"][1] == 1


def test_deaths_that_were_not_called_change_nothing_until_one_is_accepted(base, with_uncalled):
    sitting = Sitting(review_events(with_uncalled.tables), MemoryJournal(), reader="ana")
    four, five = new_event_name("B02", 0, 4), new_event_name("B02", 0, 5)
    sitting.decide("reject", five, reason="debris")
    sitting.decide("unsure", four)
    untouched = ReviewedPlate(base).update(replay((), review_events(base.tables)))
    looked_at = reviewed(with_uncalled, sitting)
    for name, table in untouched.items():
        for column, values in table.items():
            np.testing.assert_array_equal(looked_at[name][column], values)
    sitting.decide("accept", four)
    tables = reviewed(with_uncalled, sitting)
    row = int(np.flatnonzero((tables["deaths"]["well"] == "B02") & (tables["deaths"]["track_id"] == 4))[0])
    death = {name: column[row] for name, column in tables["deaths"].items()}
    assert (death["frame"], death["first_possible_frame"], death["last_possible_frame"]) == (26, 25, 28)
    assert (death["probability"], death["evidence"]) == (1.0, "vanished+reader")
    assert (death["event"], death["review"], death["reviewed_by"]) == (four, "added", "ana")
    share = 1 - death["uncredited_share"]
    now, was = well(tables, "B02"), well(untouched, "B02")
    assert now["deaths"] == pytest.approx(was["deaths"] + 1)
    assert now["kills"] == pytest.approx(was["kills"] + share)
    assert (now["n_events"], now["n_reviewed"]) == (was["n_events"] + 1, 1)
    sitting.undo()
    sitting.undo()
    sitting.undo()
    again = reviewed(with_uncalled, sitting)
    np.testing.assert_array_equal(again["wells"]["kills"], untouched["wells"]["kills"])
