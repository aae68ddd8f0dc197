"""Scenes that fool programs which count contacts and deaths, drawn by hand and read as a run reads a film."""

import numpy as np
import pytest

from tests.assay.scenes.drawn_films import GRID, approach, at, away, effector, others, target, until, watch

CENTRE = GRID[4]  # (100, 100), target 1 of every scene that has one of its own
BESIDE = at(100.0, 115.0)  # an effector of radius 6 touches a target of radius 11 there
FAR = away(65.0, 135.0)
STROLLING = [effector(away(65.0, 65.0)), effector(away(135.0, 65.0)), effector(away(135.0, 135.0))]


def test_zombie_contacts_get_no_share():
    """The target dies by itself at frame 12; an effector comes at frame 20 and stays."""
    seen = watch([effector(until(19, FAR, BESIDE))], [target(at(*CENTRE), dies=12), *others(4)], n_frames=45)
    death = seen.death_of(1)
    assert abs(death.frame - 12) <= 2
    (contact,) = seen.contacts_of(1, 1)
    assert contact.first_frame == 20 > death.last_possible_frame
    shares, uncredited, _ = seen.credit()
    assert shares == {death.death_id: {}} and uncredited == {death.death_id: 1.0}


def test_a_shared_kill_is_shared():
    """Two effectors arrive together, sit on either side and stay until the target dies."""
    pair = [
        effector(until(9, away(65.0, 65.0), at(100.0, 115.0))),
        effector(until(9, away(65.0, 135.0), at(100.0, 85.0))),
    ]
    seen = watch(pair, [target(at(*CENTRE), dies=20), *others(4)], n_frames=45)
    death = seen.death_of(1)
    shares, _, _ = seen.credit()
    one, other = (shares[death.death_id][seen.track_of("effector", k, 20)] for k in (1, 2))
    assert one == pytest.approx(other, abs=0.05)
    assert one + other > 0.8


def test_late_dye_four_hours_after_the_contact_belongs_to_it_only_within_the_longest_lag():
    """An effector sits on the target from frame 5 to 14; the dye enters at frame 70, 220 min after it left."""
    visit = until(4, FAR, until(14, BESIDE, FAR))
    seen = watch([effector(visit)], [target(at(*CENTRE), dies=70), *others(4)], n_frames=100)
    death = seen.death_of(1)
    assert abs(death.frame - 70) <= 2
    _, _, kills = seen.credit(max_lag_min=360.0)
    (kill,) = kills
    assert kill.lag_min == pytest.approx(260.0, abs=8.0)  # from the beginning of the contact at frame 5
    assert 0.05 < kill.share < 1.0
    _, uncredited, kills = seen.credit(max_lag_min=180.0)
    assert kills == [] and uncredited == {death.death_id: 1.0}


def test_ten_effectors_on_one_target_share_its_death():
    """E:T 10:1: ten effectors around the target from frame 8 on, one that never comes near."""
    angles = 2 * np.pi * np.arange(10) / 10
    ring = [(100 + 20.5 * np.sin(a), 100 + 20.5 * np.cos(a)) for a in angles]
    crowd = [effector(until(7, away(y - 40, x), at(y, x))) for y, x in ring]
    seen = watch(
        [*crowd, effector(away(135.0, 65.0))],
        [target(at(*CENTRE), radius=16.0, dies=22), *others(4)],
        n_frames=45,
    )
    death = seen.death_of(1)
    touching = {c.effector_track_id for c in seen.contacts if c.target_track_id == death.track_id}
    shares, uncredited, _ = seen.credit()
    mine = shares[death.death_id]
    assert len(touching) == 10
    assert seen.track_of("effector", 11, 22) not in mine
    assert len(mine) == 10 and max(mine.values()) < 0.2 and min(mine.values()) > 0.03
    assert uncredited[death.death_id] < 0.3


def test_an_effector_that_dies_on_a_live_target_kills_nobody():
    dying = effector(until(9, FAR, at(100.0, 112.0)), dies=20)  # it covers a part of the target
    seen = watch(
        [dying, *STROLLING],
        [target(at(*CENTRE)), *others(4)],
        n_frames=45,
    )
    assert seen.deaths == ()
    (death,) = seen.surveys["effector"].deaths
    assert death.track_id == seen.track_of("effector", 1, 20)
    assert abs(death.frame - 20) <= 2


def test_a_dead_effector_that_rests_on_a_live_target_is_no_death_of_the_target():
    carried = effector(until(14, FAR, at(100.0, 108.0)), dies=-100)
    seen = watch(
        [carried, *STROLLING],
        [target(at(*CENTRE)), *others(4)],
        n_frames=45,
    )
    assert seen.deaths == ()
    assert seen.surveys["effector"].deaths == ()
    assert seen.surveys["effector"].dead_from_start == {seen.track_of("effector", 1, 20)}


def dividing(at_frame):
    """A mother that rounds up for four frames and then is two daughters that move apart."""

    def radius(frame):
        return 10.0 if frame >= at_frame - 4 else 11.0

    def brightness(frame):
        return 1.5 if at_frame - 4 <= frame < at_frame + 2 else 1.0

    def mother(frame):
        return CENTRE if frame < at_frame else None

    def daughter(sign):
        return lambda frame: (
            None if frame < at_frame else (100.0 + sign * min(7.5 + (frame - at_frame), 12.0), 100.0)
        )

    return [
        target(mother, radius=radius, brightness=brightness),
        target(daughter(-1), radius=7.0, brightness=brightness),
        target(daughter(1), radius=7.0, brightness=brightness),
    ]


def test_mitosis_without_death_is_no_death():
    seen = watch(STROLLING, [*dividing(20), *others(4)], n_frames=45)
    assert seen.deaths == ()
    assert seen.surveys["target"].dead_from_start == frozenset()
    daughters = {seen.track_of("target", k, 44) for k in (2, 3)}
    assert len(daughters) == 2


def test_a_target_that_divides_under_contact_hands_it_on_and_does_not_die():
    """The effector rests beside the plate of division, from frame 10 to the end, and touches a daughter."""
    seen = watch(
        [effector(until(9, FAR, at(112.0, 112.0))), *STROLLING],
        [*dividing(20), *others(4)],
        n_frames=45,
    )
    assert seen.deaths == ()
    before = [c for c in seen.contacts_of(1, 1) if c.first_frame < 20]
    assert before and all(c.last_frame < 20 and c.ends_censored for c in before[-1:])
    after = [c for c in seen.contacts_of(1, 3) if c.first_frame >= 20]
    assert after and after[0].starts_censored


def test_a_target_that_leaves_during_the_lag_is_censored_not_dead_and_not_saved():
    """Touched from frame 5 to 9, then it drifts out of the field, dye never seen."""

    def leaving(frame):
        x = 30.0 if frame < 12 else 30.0 - 4.0 * (frame - 11)
        return None if x < -9 else (100.0, x)

    visit = until(4, away(65.0, 65.0), until(9, at(100.0, 45.0), away(65.0, 65.0)))
    seen = watch([effector(visit)], [target(leaving), *others(3)], n_frames=45)
    assert seen.deaths == ()
    assert len(seen.contacts_of(1, 1)) == 1
    assert seen.tracks["target"].tracks[seen.track_of("target", 1, 0) - 1].end == "left_field"


def test_a_bad_frame_at_the_onset_widens_the_interval_and_loses_no_kill():
    """Frames 19 to 21 hold no image; the dye enters at frame 20 under an effector that came at frame 8."""
    seen = watch(
        [effector(until(7, FAR, BESIDE))],
        [target(at(*CENTRE), dies=20), *others(4)],
        n_frames=45,
        masked=[19, 20, 21],
    )
    death = seen.death_of(1)
    assert death.first_possible_frame <= 20 <= death.last_possible_frame
    assert abs(death.frame - 20) <= 2
    (contact,) = seen.contacts_of(1, 1)
    assert (contact.first_frame, contact.last_frame) == (8, 44)
    shares, _, _ = seen.credit()
    assert shares[death.death_id][contact.effector_track_id] > 0.7


def test_an_effector_swallowed_by_a_target_for_two_frames_is_the_same_effector_in_one_contact():
    """Not to be seen in frames 20 and 21, then where it was."""
    swallowed = until(9, FAR, lambda frame: None if frame in (20, 21) else (100.0, 110.0))
    seen = watch(
        [effector(swallowed), *STROLLING],
        [target(at(*CENTRE)), *others(4)],
        n_frames=40,
    )
    assert seen.track_of("effector", 1, 10) == seen.track_of("effector", 1, 39)
    (contact,) = seen.contacts_of(1, 1)
    assert (contact.first_frame, contact.last_frame) == (10, 39)
    assert [(e.first_frame, e.last_frame) for e in seen.engagements.engagements] == [(10, 39)]


def test_a_target_dead_at_the_start_is_no_death_of_the_film_and_credits_nobody():
    seen = watch([effector(until(7, FAR, BESIDE))], [target(at(*CENTRE), dies=-50), *others(4)], n_frames=40)
    assert seen.deaths == ()
    assert seen.surveys["target"].dead_from_start == {seen.track_of("target", 1, 0)}
    assert len(seen.contacts_of(1, 1)) == 1
    assert seen.credit()[2] == []


def test_a_stage_that_jumps_in_the_middle_of_a_contact_breaks_neither_tracks_nor_contact():
    """All cells are 9 um lower and 7 um further left from frame 20 on."""
    seen = watch(
        [effector(approach(0, 8, (100.0, 150.0), (100.0, 115.0))), *STROLLING],
        [target(at(*CENTRE)), *others(4)],
        n_frames=40,
        shift=lambda frame: (9, -7) if frame >= 20 else (0, 0),
    )
    assert all((t.first_frame, t.last_frame) == (0, 39) for r in seen.tracks.values() for t in r.tracks)
    (contact,) = seen.contacts_of(1, 1)
    assert (contact.first_frame, contact.last_frame) == (8, 39)
    assert [(e.first_frame, e.last_frame) for e in seen.engagements.engagements] == [(8, 39)]


def test_a_mock_well_with_many_contacts_and_spontaneous_deaths_credits_hardly_any_to_its_effectors():
    """Nine targets, each touched by an effector for half of the film; two die by themselves, in and out of contact."""

    def visits(k):
        y, x = GRID[k]
        first = 4 * k
        return until(first, at(y + 22.0, x), until(first + 24, at(y, x + 15.0), at(y + 22.0, x)))

    seen = watch(
        [effector(visits(k)) for k in range(9)],
        [target(at(*GRID[k]), dies={2: 20, 6: 15}.get(k)) for k in range(9)],
        n_frames=60,
        kind="mock",
        well="B03",
    )
    assert len(seen.contacts) == 9
    assert len(seen.deaths) == 2
    _, uncredited, _ = seen.credit()
    assert min(uncredited.values()) > 0.7
