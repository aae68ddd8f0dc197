import numpy as np
import pytest

from assay.columns import table_of_rows
from assay.review.events import EVENT_COLUMNS, ContactBook, candidates, event_row, review_events
from tests.assay.review.small_reviews import contact, death, kill, three_deaths


def test_each_target_death_is_one_event_and_deaths_of_effectors_are_none():
    events = review_events(three_deaths())
    assert tuple(events) == EVENT_COLUMNS
    assert events["event"].tolist() == ["B02/0/d1", "B02/0/d2", "C03/0/d1"]
    assert events["target_track_id"].tolist() == [1, 2, 3]


def test_the_killer_is_the_effector_of_the_largest_share_or_nobody_where_that_is_larger():
    events = review_events(three_deaths())
    assert events["killer_track_id"][[0, 2]].tolist() == [5, 5]
    assert np.isnan(events["killer_track_id"][1])
    assert events["killer_share"].tolist() == [0.7, 0, 0.7]
    one = three_deaths()
    one["deaths"]["uncredited_share"][0] = 0.75
    assert np.isnan(review_events(one)["killer_track_id"][0])


def test_contact_counts_up_to_the_death_only():
    """Effector 5 touches from frame 10 to 24 and the target dies at 20: 11 frames of 6 min; 7 came after it."""
    events = review_events(three_deaths())
    assert events["contact_min"][0] == 66
    assert events["n_candidates"].tolist() == [2, 0, 1]


def test_candidates_are_those_who_touched_before_the_death_the_most_credited_first():
    tables = three_deaths()
    found = candidates(tables, event_row(review_events(tables), 0))
    assert found["effector_track_id"].tolist() == [5, 6]
    assert found["share"].tolist() == [0.7, 0.2]
    assert found["first_frame"].tolist() == [10, 2]
    assert found["last_frame"].tolist() == [24, 7]
    assert found["duration_min"].tolist() == [66, 24]
    assert found["min_gap_um"].tolist() == [0.5, 0]


def test_a_later_frame_brings_in_who_touched_by_then():
    tables = three_deaths()
    event = event_row(review_events(tables), 0)
    assert ContactBook(tables).candidates(event, frame=23)["effector_track_id"].tolist() == [5, 6, 7]


def test_a_death_without_contacts_has_no_candidates():
    tables = three_deaths()
    found = candidates(tables, event_row(review_events(tables), 1))
    assert all(len(column) == 0 for column in found.values())


def test_flags_say_what_to_look_at():
    tables = {
        "deaths": table_of_rows(
            "deaths",
            [
                death(1, 1, 9, probability=0.5),
                death(2, 2, 9, uncredited_share=0.4),
                death(3, 3, 9, first_possible_frame=4),
                death(4, 4, 9, field=1),
            ],
        ),
        "kills": table_of_rows("kills", [kill(2, 2, 5, 0.3), kill(2, 2, 6, 0.3)]),
        "contacts": table_of_rows("contacts", [contact(5, 2, 1, 9)]),
        "fields": {
            "well": np.array(["B02", "B02"], dtype=object),
            "field": np.array([0, 1]),
            "status": np.array(["ok", "excluded"], dtype=object),
        },
    }
    flags = review_events(tables)["flags"].tolist()
    assert flags == ["doubtful death", "two killers, killer or nobody", "wide onset", "field does not count"]


def test_the_place_is_that_of_the_target_in_the_frame_of_its_death_or_when_last_seen():
    tables = three_deaths()
    tables["cells"] = {
        "well": np.array(["B02"] * 4 + ["C03"], dtype=object),
        "field": np.zeros(5, int),
        "frame": np.array([20, 19, 21, 20, 37]),
        "role": np.array(["target", "target", "target", "effector", "target"], dtype=object),
        "track_id": np.array([1, 1, 1, 1, 3]),
        "y_um": np.array([10.0, 11, 12, 13, 14]),
        "x_um": np.array([20.0, 21, 22, 23, 24]),
    }
    events = review_events(tables)
    assert events["y_um"][[0, 2]].tolist() == [10, 14]
    assert events["x_um"][[0, 2]].tolist() == [20, 24]
    assert np.isnan(events["y_um"][1])


def test_conditions_come_from_the_wells():
    tables = three_deaths()
    tables["wells"] = {
        "well": np.array(["B02", "C03"], dtype=object),
        "condition": np.array(["CAR-T", None], dtype=object),
    }
    assert review_events(tables)["condition"].tolist() == ["CAR-T", "CAR-T", ""]


def test_events_stand_beside_their_own_wells_kills_whatever_the_order_of_the_tables():
    """500 deaths in shuffled tables: each is credited to the effector of its own number."""
    draw = np.random.default_rng(0)
    places = [("ABCD"[k % 4] + "02", k % 3, k) for k in range(1, 501)]
    rows = [death(k, 1000 + k, 60, well=w, field=f) for w, f, k in places]
    kills = [kill(k, 1000 + k, k, 0.6, well=w, field=f, lag_min=float(k)) for w, f, k in places]
    kills += [kill(k, 1000 + k, 9999, 0.2, well=w, field=f) for w, f, k in places]
    touched = [contact(k, 1000 + k, 1, 1 + k % 50, well=w, field=f) for w, f, k in places]
    shuffled = [[part[i] for i in draw.permutation(len(part))] for part in (rows, kills, touched)]
    tables = dict(zip(("deaths", "kills", "contacts"), shuffled, strict=True))
    events = review_events({name: table_of_rows(name, part) for name, part in tables.items()})
    assert events["killer_track_id"].tolist() == events["death_id"].tolist()
    assert events["lag_min"].tolist() == events["death_id"].tolist()
    assert events["contact_min"].tolist() == [6.0 * (1 + k % 50) for k in events["death_id"].tolist()]


@pytest.mark.parametrize("keep", [0, 1])
def test_a_plate_without_deaths_or_without_contacts_has_events_all_the_same(keep):
    tables = three_deaths()
    tables["kills"] = {name: column[:0] for name, column in tables["kills"].items()}
    tables["contacts"] = {name: column[:0] for name, column in tables["contacts"].items()}
    tables["deaths"] = {name: column[:keep] for name, column in tables["deaths"].items()}
    events = review_events(tables)
    assert len(events["event"]) == keep
    assert events["killer_share"].tolist() == [0.0] * keep
    assert events["n_candidates"].tolist() == [0] * keep


def test_the_tables_are_not_changed():
    tables = three_deaths()
    before = {name: {key: column.copy() for key, column in table.items()} for name, table in tables.items()}
    review_events(tables)
    ContactBook(tables).candidates(
        {"well": "B02", "field": 0, "death_id": 1, "target_track_id": 1, "frame": 20}
    )
    for name, table in tables.items():
        assert all(
            np.array_equal(column, before[name][key], equal_nan=column.dtype.kind == "f")
            for key, column in table.items()
            if column.dtype != object
        )
