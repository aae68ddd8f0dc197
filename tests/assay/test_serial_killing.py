import math

import pytest

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.kills import Kill
from assay.serial_killing import contact_outcomes, effector_records
from assay.tracks import Track
from assay.units import Calibration

TWO_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)


def contact(number, effector, target, first, last):
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=4.0, starts_censored=False, ends_censored=False,
    )  # fmt: skip


def death(number, target, frame, probability=1.0):
    return Death(
        death_id=number, role="target", track_id=target, frame=frame, first_possible_frame=frame,
        last_possible_frame=frame, probability=probability, evidence=("dye",),
    )  # fmt: skip


def track(number, first=0, last=99, end="movie_end"):
    return Track(
        track_id=number,
        first_frame=first,
        last_frame=last,
        parent_track_id=None,
        start="movie_start",
        end=end,
    )


def kill(death_id, target, effector, contact_id, share, lag=10.0):
    return Kill(
        death_id=death_id, target_track_id=target, effector_track_id=effector, contact_id=contact_id, share=share,
        lag_min=lag,
    )  # fmt: skip


def field(contacts, deaths=(), targets=None, dead=frozenset()):
    return FieldEvents(
        well="B02", field=0, kind="sample", n_frames=100, calibration=TWO_MIN, contacts=tuple(contacts),
        deaths=tuple(deaths), targets=tuple(targets or [track(n) for n in range(1, 6)]), dead_targets=dead,
    )  # fmt: skip


def outcomes(events, kills=(), uncredited=None, follow_min=20.0):
    return [one.outcome for one in contact_outcomes(events, kills, uncredited or {}, follow_min=follow_min)]


def test_the_contact_with_the_largest_share_killed_and_the_others_did_not():
    events = field([contact(1, 1, 1, 10, 15), contact(2, 2, 1, 12, 18)], [death(1, 1, 20)])
    kills = [kill(1, 1, 1, 1, 0.6), kill(1, 1, 2, 2, 0.3)]
    assert outcomes(events, kills, {1: 0.1}) == ["kill", "no_kill"]
    assert [one.share for one in contact_outcomes(events, kills, {1: 0.1}, follow_min=0.0)] == [0.6, 0.3]


def test_nobody_killed_where_nobody_gets_the_largest_share():
    events = field([contact(1, 1, 1, 10, 15)], [death(1, 1, 20)])
    assert outcomes(events, [kill(1, 1, 1, 1, 0.4)], {1: 0.6}) == ["no_kill"]


def test_a_contact_with_a_dead_target_is_a_zombie():
    events = field([contact(1, 1, 1, 21, 25), contact(2, 1, 2, 5, 9)], [death(1, 1, 20)], dead=frozenset({2}))
    assert outcomes(events, (), {1: 1.0}) == ["zombie", "zombie"]


def test_a_contact_is_censored_when_its_target_is_not_followed_for_long_enough():
    targets = [track(1, last=30, end="lost"), track(2, last=31, end="left_field"), track(3)]
    contacts = [contact(1, 1, 1, 15, 21), contact(2, 1, 2, 15, 21), contact(3, 1, 3, 80, 90)]
    # 20 min are 10 frames: seen alive up to 30 is too short after 21, up to 31 is enough, 99 too short after 90
    assert outcomes(field(contacts, targets=targets)) == ["censored", "no_kill", "censored"]


def test_an_effectors_kills_stand_beside_the_time_it_was_watched():
    contacts = [
        contact(1, 1, 1, 10, 14),
        contact(2, 1, 2, 13, 16),
        contact(3, 1, 1, 30, 39),
        contact(4, 2, 3, 50, 50),
    ]
    deaths = [death(1, 1, 20, 0.8), death(2, 2, 40)]
    kills = [kill(1, 1, 1, 1, 0.5, lag=20.0), kill(2, 2, 1, 2, 0.9, lag=54.0)]
    one, two, three = effector_records(
        field(contacts, deaths), [track(1), track(2, first=40, last=59), track(3)], kills, {1: 0.5, 2: 0.1},
        died={2: 54}, dead=frozenset(),
    )  # fmt: skip
    # frames 10..16 with live targets; the contact from frame 30 on is with the dead target 1
    assert (one.observed_min, one.contact_min, one.n_contacts, one.n_targets) == (200.0, 14.0, 2, 2)
    assert one.kills == pytest.approx(0.8 * 0.5 + 0.9)
    assert one.kills_sd == pytest.approx(math.sqrt(0.4 * 0.6 + 0.9 * 0.1))
    assert one.mean_lag_min == pytest.approx((0.4 * 20 + 0.9 * 54) / 1.3)
    assert (one.kills_hard, one.kills_joint) == (1, 0)
    assert (two.observed_min, two.contact_min, two.kills) == (
        30.0,
        2.0,
        0.0,
    )  # frames 40..54, up to its death
    assert math.isnan(two.mean_lag_min)
    assert (three.n_contacts, three.kills) == (0, 0.0)


def test_effectors_that_were_dead_when_first_seen_are_left_out():
    assert effector_records(field([]), [track(1)], [], {}, died={}, dead=frozenset({1})) == []
