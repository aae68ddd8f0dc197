import numpy as np
import pytest

from assay.errors import ProtocolError
from assay.killbench.levels import settings_of
from assay.killbench.scene import plate, simulate


def test_the_same_seed_gives_the_same_scene_and_another_seed_another():
    one, again, other = simulate("medium", 3), simulate("medium", 3), simulate("medium", 4)
    for role in ("effector", "target"):
        assert np.array_equal(one.measures[role].y_um, again.measures[role].y_um)
        assert np.array_equal(one.measures[role].means["PI"], again.measures[role].means["PI"])
        assert np.array_equal(one.true_id[role], again.true_id[role])
    assert one.world.deaths == again.world.deaths
    assert one.world.deaths != other.world.deaths


def test_mock_and_control_are_the_control_wells_of_the_plate_of_medium():
    _, mock, alone = plate("medium", 1)
    assert simulate("mock", 1).world.deaths == mock.world.deaths
    assert simulate("control", 1).world.deaths == alone.world.deaths
    assert simulate("mock", 1).kind == "mock"
    assert settings_of("medium", "mock")[1] == settings_of("mock", "mock")[1]


def test_nobody_kills_in_a_mock_well_and_a_control_well_has_no_effectors():
    mock, alone = simulate("mock", 2), simulate("control", 2)
    assert len(mock.world.contacts) > 500
    assert all(not death.shares for death in mock.world.deaths)
    assert alone.world.effector_id.shape == (160, 0)
    assert alone.world.contacts == ()


def test_the_shares_of_a_killed_target_sum_to_one():
    deaths = [death for death in simulate("additive", 0).world.deaths if death.shares]
    assert len(deaths) > 50
    assert [sum(death.shares.values()) for death in deaths] == pytest.approx([1.0] * len(deaths))
    assert any(len(death.shares) > 1 for death in deaths)


def test_an_unknown_level_is_named_with_those_there_are():
    with pytest.raises(ProtocolError, match="'mild': expected one of easy, medium, hard"):
        simulate("mild", 0)
