import math

import numpy as np
import pytest

from assay.killbench.levels import LEVELS, settings_of
from assay.killbench.world import World, make_world


def world(level: str, seed: int, kind: str = "sample") -> World:
    name, settings = settings_of(level, kind)
    return make_world(name, seed, settings)


@pytest.mark.parametrize(
    ("level", "targets", "effectors", "frames"),
    [("easy", 150, 75, 240), ("medium", 250, 250, 160), ("hard", 300, 900, 96), ("additive", 250, 500, 160)],
)
def test_a_level_has_the_cells_and_frames_of_the_specification(level, targets, effectors, frames):
    settings = LEVELS[level]
    assert (settings.n_targets, settings.n_effectors, settings.n_frames) == (targets, effectors, frames)


def test_targets_die_of_their_own_accord_at_the_rate_of_the_level():
    deaths = sum(len(world("control", seed, "target_only").deaths) for seed in range(8))
    last_frame_min = 159 * 3  # a death after the last frame is none of the film's
    expected = 8 * 250 * (1 - math.exp(-0.01 * last_frame_min / 60))
    assert abs(deaths - expected) < 3 * math.sqrt(expected)


def test_targets_never_overlap_and_stay_in_the_field():
    made = world("hard", 0)
    for frame in (0, 50, 95):
        there = made.target_gone_min > frame * 5
        place, radius = made.target_yx_um[frame][there], made.target_radius_um[there]
        apart = np.hypot(place[:, None, 0] - place[None, :, 0], place[:, None, 1] - place[None, :, 1])
        np.fill_diagonal(apart, np.inf)
        assert (apart >= radius[:, None] + radius[None, :] - 1e-9).all()
        assert place.min() >= 0
        assert place.max() < 900


def test_free_effectors_do_not_lie_within_targets_and_bound_ones_touch_theirs():
    made = world("medium", 1)
    frame = 80
    alive = made.effector_gone_min > frame * 3
    there = made.target_gone_min > frame * 3
    away = made.effector_yx_um[frame][alive][:, None] - made.target_yx_um[frame][there][None]
    gap = np.hypot(away[..., 0], away[..., 1])
    gap -= made.effector_radius_um[alive][:, None] + made.target_radius_um[there][None]
    bound = made.bound[frame][alive]
    assert gap[bound].min(axis=1) == pytest.approx(np.zeros(bound.sum()), abs=8.0)
    assert np.median(gap[bound].min(axis=1)) == pytest.approx(0.0, abs=1e-6)
    # a target beside another can push an effector into a third; that is rare
    assert np.mean(gap[~bound].min(axis=1) < -1.0) < 0.02


def test_every_effector_is_one_track_until_it_leaves_the_field():
    made = world("medium", 2)
    ids = made.effector_id
    assert ids.min() == 251  # targets are 1 to 250
    assert len(np.unique(ids[0])) == 250
    steps = np.hypot(*np.moveaxis(np.diff(made.effector_yx_um, axis=0), 2, 0))
    changed = ids[1:] != ids[:-1]
    assert (steps[changed] > 400).mean() > 0.95  # it comes in on the other side
    assert steps[~changed].max() < 100


def test_a_hit_needs_a_killer_bound_long_enough_and_kills_after_a_delay():
    made = world("medium", 0)
    killed = [death for death in made.deaths if death.shares]
    assert len(killed) > 50
    for death in killed:
        (killer,) = death.shares  # one hit is enough, so one effector has it all
        assert killer in death.bound
        mine = [c.first_frame for c in made.contacts if (c.effector, c.target) == (killer, death.target)]
        assert not mine or min(mine) * 3 <= death.time_min  # a binding between two frames is not listed


def test_in_the_additive_level_more_than_one_effector_may_share_a_kill():
    killed = [death for death in world("additive", 1).deaths if death.shares]
    assert any(len(death.shares) > 1 for death in killed)
    assert all(0 < share <= 1 + 1e-9 for death in killed for share in death.shares.values())


def test_no_contact_begins_after_the_targets_death():
    made = world("medium", 3)
    death = {each.target: each.time_min for each in made.deaths}
    assert all(c.first_frame * 3 < death.get(c.target, math.inf) + 3 for c in made.contacts)
