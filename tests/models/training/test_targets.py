import numpy as np

from models.network import FOREGROUND, HEAT, OFFSET_UNIT_PX, OFFSET_X, OFFSET_Y
from models.training.targets import BORDER_WEIGHT, border_weight, role_truth


def cells():
    labels = np.zeros((20, 30), dtype=np.int32)
    labels[2:7, 3:10] = 4  # 5 x 7 pixels around (4, 6)
    labels[10:13, 20:29] = 9  # 3 x 9 pixels around (11, 24)
    return labels


def test_an_offset_leads_from_the_pixel_to_the_centre():
    truth = role_truth(cells())
    assert truth[OFFSET_Y, 2, 3] * OFFSET_UNIT_PX == 2
    assert truth[OFFSET_X, 2, 3] * OFFSET_UNIT_PX == 3
    assert truth[OFFSET_X, 11, 28] * OFFSET_UNIT_PX == -4
    assert not truth[:, 0, 0].any()


def test_heat_is_one_at_every_centre_and_less_elsewhere():
    heat = role_truth(cells())[HEAT]
    assert sorted(map(tuple, np.argwhere(heat == 1).tolist())) == [(4, 6), (11, 24)]


def test_every_pixel_that_hops_lands_on_heat_one():
    truth = role_truth(cells())
    y, x = np.nonzero(truth[FOREGROUND])
    to_y = y + (truth[OFFSET_Y, y, x] * OFFSET_UNIT_PX).astype(int)
    to_x = x + (truth[OFFSET_X, y, x] * OFFSET_UNIT_PX).astype(int)
    assert (truth[HEAT, to_y, to_x] == 1).all()


def test_the_centre_of_a_bent_cell_lies_inside_it():
    labels = np.zeros((21, 21), dtype=np.int32)
    labels[2:19, 2:5] = labels[2:5, 2:19] = labels[16:19, 2:19] = 1  # a C around an empty middle
    [centre] = np.argwhere(role_truth(labels)[HEAT] == 1)
    assert labels[tuple(centre)] == 1


def test_frame_without_cells_has_no_truth():
    assert not role_truth(np.zeros((5, 6), dtype=np.int32)).any()


def test_only_pixels_between_two_cells_weigh_more():
    labels = np.zeros((9, 20), dtype=np.int32)
    labels[:, 2:8], labels[:, 8:14] = 1, 2
    weight = border_weight(labels)
    assert (weight[:, 6:10] == BORDER_WEIGHT).all()  # 2 px to each side of the border at 7 | 8
    assert (weight[:, :6] == 1).all()
    assert (weight[:, 10:] == 1).all()
