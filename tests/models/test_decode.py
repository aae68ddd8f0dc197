import numpy as np
import pytest

from models.decode import DecodeSettings, RoleMaps, decode
from models.network import FOREGROUND, HEAT, OFFSET_UNIT_PX, OFFSET_X, OFFSET_Y
from models.training.targets import role_truth

SETTINGS = DecodeSettings(min_area_um2=2.0)
ONE_UM = (1.0, 1.0)


def maps_of(labels):
    """What a perfect network says of these cells."""
    truth = role_truth(labels)
    return RoleMaps(
        foreground=truth[FOREGROUND],
        heat=truth[HEAT],
        offset_y=truth[OFFSET_Y] * OFFSET_UNIT_PX,
        offset_x=truth[OFFSET_X] * OFFSET_UNIT_PX,
    )


def discs(shape, *cells):
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, dtype=np.int32)
    for number, (cy, cx, radius) in enumerate(cells, start=1):
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= radius**2) & (labels == 0)] = number
    return labels


def test_perfect_maps_give_the_cells_back():
    truth = discs((60, 80), (12, 20, 7), (15, 50, 9), (45, 30, 6))
    labels, scores = decode(maps_of(truth), pixel_um=ONE_UM, settings=SETTINGS)
    assert np.array_equal(labels, truth)
    assert labels.dtype == np.int32
    assert scores.dtype == np.float32
    assert scores == pytest.approx(1.0, abs=0.01)  # every vote lands on its seed


def test_touching_cells_part_where_the_votes_part():
    truth = discs((40, 60), (20, 20, 8), (20, 35, 8))
    assert (truth[20, 27], truth[20, 29]) == (1, 2)
    labels, _ = decode(maps_of(truth), pixel_um=ONE_UM, settings=SETTINGS)
    assert np.array_equal(labels, truth)


def test_labels_follow_the_y_then_x_of_the_seeds():
    truth = discs((60, 60), (40, 40, 5), (10, 45, 5), (10, 15, 5))
    labels, _ = decode(maps_of(truth), pixel_um=ONE_UM, settings=SETTINGS)
    assert (labels[10, 15], labels[10, 45], labels[40, 40]) == (1, 2, 3)


def test_cell_cut_by_the_border_is_kept():
    truth = discs((30, 30), (0, 0, 6))
    labels, _ = decode(maps_of(truth), pixel_um=ONE_UM, settings=SETTINGS)
    assert np.array_equal(labels, truth)


def test_frame_without_cells_gives_zeros_and_no_scores():
    labels, scores = decode(maps_of(np.zeros((7, 9), np.int32)), pixel_um=ONE_UM, settings=SETTINGS)
    assert labels.shape == (7, 9)
    assert not labels.any()
    assert len(scores) == 0


def test_a_frame_of_one_pixel_can_hold_a_cell():
    settings = DecodeSettings(min_area_um2=0.5)
    labels, scores = decode(maps_of(np.ones((1, 1), np.int32)), pixel_um=ONE_UM, settings=settings)
    assert labels.tolist() == [[1]]
    assert scores.tolist() == [1.0]


def test_specks_below_the_least_area_are_dropped_in_um2_not_pixels():
    truth = discs((40, 60), (20, 15, 3), (20, 40, 8))  # 29 and 197 px
    coarse, _ = decode(maps_of(truth), pixel_um=ONE_UM, settings=DecodeSettings(min_area_um2=20))
    fine, _ = decode(maps_of(truth), pixel_um=(0.5, 0.5), settings=DecodeSettings(min_area_um2=20))
    assert coarse.max() == 2  # 29 um2
    assert fine.max() == 1  # 7.25 um2
    assert fine[20, 40] == 1  # numbers close up


def test_pixels_that_are_not_square_change_nothing_but_distances():
    truth = discs((40, 60), (20, 15, 6), (20, 40, 8))
    labels, _ = decode(maps_of(truth), pixel_um=(0.5, 1.0), settings=SETTINGS)
    assert np.array_equal(labels, truth)


def test_a_plateau_of_equal_heat_is_one_seed():
    labels = discs((30, 30), (15, 15, 6))
    maps = maps_of(labels)
    flat = np.where(maps.heat > 0.5, np.float32(0.9), maps.heat)
    plateau = RoleMaps(foreground=maps.foreground, heat=flat, offset_y=maps.offset_y, offset_x=maps.offset_x)
    assert decode(plateau, pixel_um=ONE_UM, settings=SETTINGS)[0].max() == 1


def test_a_vote_that_lands_on_no_seed_belongs_to_nobody():
    truth = discs((40, 60), (20, 15, 6))
    maps = maps_of(truth)
    foreground = maps.foreground.copy()
    foreground[18:23, 48:53] = 1  # foreground that points nowhere
    stray = RoleMaps(foreground=foreground, heat=maps.heat, offset_y=maps.offset_y, offset_x=maps.offset_x)
    assert np.array_equal(decode(stray, pixel_um=ONE_UM, settings=SETTINGS)[0], truth)


def test_a_cell_is_one_piece_even_where_far_pixels_vote_for_it():
    truth = discs((40, 60), (20, 15, 6))
    maps = maps_of(truth)
    foreground, offset_y, offset_x = maps.foreground.copy(), maps.offset_y.copy(), maps.offset_x.copy()
    y, x = np.mgrid[18:23, 48:53]
    foreground[y, x], offset_y[y, x], offset_x[y, x] = 1, 20 - y, 15 - x
    split = RoleMaps(foreground=foreground, heat=maps.heat, offset_y=offset_y, offset_x=offset_x)
    assert np.array_equal(decode(split, pixel_um=ONE_UM, settings=SETTINGS)[0], truth)


def test_scattered_votes_lower_the_score_by_the_written_formula():
    truth = discs((40, 40), (20, 20, 8))
    maps = maps_of(truth)
    moved = RoleMaps(
        foreground=maps.foreground,
        heat=maps.heat,
        offset_y=maps.offset_y + np.float32(2),  # every vote misses by 2 um, which halves the score
        offset_x=maps.offset_x,
    )
    _, scores = decode(moved, pixel_um=ONE_UM, settings=DecodeSettings(vote_spread_um=2.0))
    assert scores == pytest.approx([0.5], abs=1e-6)


def test_maps_are_not_changed():
    truth = discs((40, 60), (20, 15, 6))
    maps, again = maps_of(truth), maps_of(truth)
    decode(maps, pixel_um=ONE_UM, settings=SETTINGS)
    for name in ("foreground", "heat", "offset_y", "offset_x"):
        assert np.array_equal(getattr(maps, name), getattr(again, name))
