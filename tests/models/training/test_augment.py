from dataclasses import replace

import numpy as np
import pytest

from assay.labels import CHANNEL_ROLES
from models.network import FOREGROUND, HEAT, MAPS_PER_ROLE, OFFSET_UNIT_PX, OFFSET_X, OFFSET_Y
from models.training.augment import dropped_channels, example
from models.training.dataset import TrainingFrame

ROLE = {role: number for number, role in enumerate(CHANNEL_ROLES)}


def tile(present=(True, True, False, True, True)):
    """Cells whose dye is a bump that is brightest at the centre."""
    y, x = np.mgrid[:120, :120]
    labels = np.zeros((120, 120), dtype=np.uint16)
    dye = np.zeros((120, 120))
    for number, (cy, cx) in enumerate([(30, 25), (34, 80), (85, 50), (90, 95)], start=1):
        inside = ((y - cy) / 14) ** 2 + ((x - cx) / 9) ** 2 <= 1
        labels[inside] = number
        dye[inside] = 1 - np.hypot(y - cy, x - cx)[inside] / 20
    slots = np.zeros((5, 120, 120), dtype=np.float16)
    slots[ROLE["target"]] = dye
    return TrainingFrame(
        slots=slots, present=np.array(present), effectors=np.zeros_like(labels), targets=labels
    )


@pytest.mark.parametrize("seed", range(12))
def test_offsets_turn_with_the_image(seed):
    always_visible = tile(present=(False, True, False, False, True))
    planes, truth, _ = example(always_visible, side_px=96, generator=np.random.default_rng(seed))
    assert planes.shape == (10, 96, 96)
    target = truth[MAPS_PER_ROLE:]
    y, x = np.nonzero(target[FOREGROUND])
    assert len(y) > 100
    to_y = y + np.rint(target[OFFSET_Y, y, x] * OFFSET_UNIT_PX).astype(int)
    to_x = x + np.rint(target[OFFSET_X, y, x] * OFFSET_UNIT_PX).astype(int)
    assert (target[HEAT, to_y, to_x] == 1).all()


@pytest.mark.parametrize("seed", range(12))
def test_cells_lie_where_the_image_is_bright(seed):
    planes, truth, _ = example(tile(), side_px=96, generator=np.random.default_rng(seed))
    if planes[5 + ROLE["target"]].any():  # the dye was kept
        cell = truth[MAPS_PER_ROLE + FOREGROUND] > 0
        dye = planes[ROLE["target"]]
        assert dye[cell].mean() > dye[~cell].mean() + 0.1


def test_the_same_generator_gives_the_same_example():
    one, other = (example(tile(), side_px=64, generator=np.random.default_rng([5, 1])) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_dropped_channel_is_dark_and_its_flag_is_down():
    for seed in range(20):
        planes, _, _ = example(tile(), side_px=64, generator=np.random.default_rng(seed))
        flags = planes[5:, 0, 0]
        assert set(flags.tolist()) <= {0.0, 1.0}
        assert flags[ROLE["nuclei"]] == 0
        assert not planes[:5][flags == 0].any()


def test_nothing_is_learned_of_a_role_that_cannot_be_seen():
    only_effector_dye = tile(present=(True, False, False, False, False))
    _, truth, weight = example(only_effector_dye, side_px=96, generator=np.random.default_rng(0))
    assert not truth[MAPS_PER_ROLE:].any()
    assert not weight[1].any()
    assert (weight[0] >= 1).all()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_learned_where_the_truth_is_not_known(seed):
    known = np.zeros((2, 120, 120), dtype=bool)
    known[1] = tile().targets > 0
    _, truth, weight = example(
        replace(tile(), known=known), side_px=96, generator=np.random.default_rng(seed)
    )
    assert not weight[0].any()
    assert np.array_equal(weight[1] > 0, truth[MAPS_PER_ROLE + FOREGROUND] > 0)


def test_nuclei_without_a_target_dye_stay_because_they_are_the_outline():
    present = np.array([True, False, True, True, True])
    kept = [dropped_channels(present, np.random.default_rng(seed)) for seed in range(200)]
    assert all(one[ROLE["nuclei"]] for one in kept)
    assert any(not one[ROLE["brightfield"]] for one in kept)


def test_a_target_dye_goes_together_with_the_nuclei():
    kept = [dropped_channels(np.ones(5, dtype=bool), np.random.default_rng(seed)) for seed in range(300)]
    assert all(one[ROLE["target"]] or not one[ROLE["nuclei"]] for one in kept)


def test_some_examples_show_transmitted_light_alone_and_none_shows_nothing():
    kept = [dropped_channels(np.ones(5, dtype=bool), np.random.default_rng(seed)) for seed in range(300)]
    alone = np.arange(5) == ROLE["brightfield"]
    assert sum(np.array_equal(one, alone) for one in kept) > 30
    showing = [
        one[[ROLE["effector"], ROLE["target"], ROLE["nuclei"], ROLE["brightfield"]]].any() for one in kept
    ]
    assert all(showing)


def test_the_tile_is_not_changed():
    before, used = tile(), tile()
    example(used, side_px=64, generator=np.random.default_rng(0))
    assert np.array_equal(used.slots, before.slots)
    assert np.array_equal(used.targets, before.targets)
