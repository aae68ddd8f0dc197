"""One object, one role, where a single channel shows both."""

import numpy as np
import pytest

from assay.labels import CHANNEL_ROLES
from models.contests import settled, shares_a_channel, without
from models.decode import CellFeatures, DecodedCells

SHAPE = (10, 40)


def cells(*columns):
    """Cells of ten rows, from column to column."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    for number, (start, stop) in enumerate(columns, start=1):
        labels[:, start:stop] = number
    n = len(columns)
    of_kind = {name: np.arange(n, dtype=np.float32) for name in CellFeatures.__dataclass_fields__}
    features = CellFeatures(**of_kind)
    return DecodedCells(labels=labels, features=features, foreground_px=int((labels > 0).sum()))


def settle(effectors, targets, *, effector_scores, target_scores):
    scores = {
        "effector": np.array(effector_scores, np.float32),
        "target": np.array(target_scores, np.float32),
    }
    found = settled({"effector": effectors, "target": targets}, scores)
    return found["effector"], found["target"]


def test_an_object_goes_to_the_role_that_scores_higher():
    # 0 to 10 in both: as an effector it scores higher; 20 to 32 and 20 to 30: as a target
    effectors, targets = settle(
        cells((0, 10), (20, 32)),
        cells((0, 10), (20, 30)),
        effector_scores=[0.8, 0.3],
        target_scores=[0.5, 0.6],
    )
    assert np.array_equal(effectors.labels, cells((0, 10)).labels)
    assert np.array_equal(targets.labels, cells((20, 30)).labels)
    assert targets.features.heat.tolist() == [1.0]  # the row of the second cell


def test_an_effector_on_a_larger_target_and_the_target_both_stay():
    effectors, targets = settle(
        cells((5, 10)), cells((0, 20)), effector_scores=[0.9], target_scores=[0.2]
    )  # 5 of 20 in common
    assert effectors.labels.max() == targets.labels.max() == 1


def test_a_small_target_that_lies_on_an_effector_is_a_piece_of_it():
    _, targets = settle(
        cells((0, 10)), cells((8, 11)), effector_scores=[0.9], target_scores=[0.5]
    )  # 2 of its 3 columns, 2 of 10 of the effector
    assert not targets.labels.any()
    _, surer = settle(cells((0, 10)), cells((8, 11)), effector_scores=[0.4], target_scores=[0.5])
    assert surer.labels.max() == 1


def test_frames_without_cells_stay_empty():
    effectors, targets = settle(cells(), cells((0, 5)), effector_scores=[], target_scores=[0.5])
    assert not effectors.labels.any()
    assert targets.labels.max() == 1


def test_cells_that_are_left_are_numbered_without_holes():
    left = without(cells((0, 5), (10, 15), (20, 25)), np.array([False, True, False]))
    assert np.array_equal(left.labels, cells((0, 5), (20, 25)).labels)
    assert left.features.seed_y.tolist() == [0, 2]
    assert len(left.features) == 2


@pytest.mark.parametrize(
    ("roles", "shared"),
    [
        (("effector", "target", "brightfield"), False),
        (("effector", "nuclei", "death"), False),
        (("effector", "brightfield"), True),
        (("nuclei", "brightfield"), True),
        (("brightfield",), True),
    ],
)
def test_a_channel_is_shared_unless_both_roles_have_a_dye(roles, shared):
    assert shares_a_channel([role in roles for role in CHANNEL_ROLES]) is shared
