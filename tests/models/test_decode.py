import numpy as np
import pytest
import torch

from models.decode import DecodeSettings, decode, product_scores
from models.network import FOREGROUND, HEAT, OFFSET_UNIT_PX, OFFSET_X, OFFSET_Y
from models.training.targets import role_truth

SETTINGS = DecodeSettings(min_area_um2=2.0)
ONE_UM = (1.0, 1.0)


def maps_of(labels):
    """What a perfect and certain network says of these cells."""
    maps = torch.from_numpy(role_truth(labels))
    maps[:OFFSET_Y] = maps[:OFFSET_Y].logit(eps=1e-7)
    return maps


def cells_of(maps, *, pixel_um=ONE_UM, settings=SETTINGS, other=None, smooth=False, owned=None):
    other = torch.full(maps.shape[1:], -20.0) if other is None else other
    return decode(
        maps, other_foreground=other, pixel_um=pixel_um, settings=settings, smooth=smooth, owned=owned
    )


def discs(shape, *cells):
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, dtype=np.int32)
    for number, (cy, cx, radius) in enumerate(cells, start=1):
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= radius**2) & (labels == 0)] = number
    return labels


def test_perfect_maps_give_the_cells_back():
    truth = discs((60, 80), (12, 20, 7), (15, 50, 9), (45, 30, 6))
    cells = cells_of(maps_of(truth))
    assert np.array_equal(cells.labels, truth)
    assert cells.labels.dtype == np.int32
    scores = product_scores(cells.features, SETTINGS)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(1.0, abs=0.01)  # every vote lands on its seed


def test_touching_cells_part_where_the_votes_part():
    truth = discs((40, 60), (20, 20, 8), (20, 35, 8))
    assert (truth[20, 27], truth[20, 29]) == (1, 2)
    assert np.array_equal(cells_of(maps_of(truth)).labels, truth)


def test_labels_follow_the_y_then_x_of_the_seeds():
    truth = discs((60, 60), (40, 40, 5), (10, 45, 5), (10, 15, 5))
    cells = cells_of(maps_of(truth))
    assert (cells.labels[10, 15], cells.labels[10, 45], cells.labels[40, 40]) == (1, 2, 3)
    assert cells.features.seed_y.tolist() == [10, 10, 40]
    assert cells.features.seed_x.tolist() == [15, 45, 40]


def test_cell_cut_by_the_border_is_kept():
    truth = discs((30, 30), (0, 0, 6))
    assert np.array_equal(cells_of(maps_of(truth)).labels, truth)


def test_frame_without_cells_gives_zeros_and_no_features():
    cells = cells_of(maps_of(np.zeros((7, 9), np.int32)))
    assert cells.labels.shape == (7, 9)
    assert not cells.labels.any()
    assert len(cells.features) == 0
    assert len(product_scores(cells.features, SETTINGS)) == 0


def test_a_frame_of_one_pixel_can_hold_a_cell():
    cells = cells_of(
        maps_of(np.ones((1, 1), np.int32)), settings=DecodeSettings(min_area_um2=0.5), smooth=True
    )
    assert cells.labels.tolist() == [[1]]
    assert product_scores(cells.features, SETTINGS) == pytest.approx([1.0], abs=1e-5)


def test_specks_below_the_least_area_are_dropped_in_um2_not_pixels():
    truth = discs((40, 60), (20, 15, 3), (20, 40, 8))  # 29 and 197 px
    settings = DecodeSettings(min_area_um2=20)
    coarse = cells_of(maps_of(truth), settings=settings)
    fine = cells_of(maps_of(truth), pixel_um=(0.5, 0.5), settings=settings)
    assert coarse.features.area_um2.tolist() == [29, 197]
    assert fine.features.area_um2.tolist() == [197 / 4]  # 29 px are 7.25 um2
    assert fine.labels[20, 40] == 1  # numbers close up


def test_a_cell_of_exactly_the_least_area_is_kept():
    truth = np.zeros((9, 9), np.int32)
    truth[3:6, 3:6] = 1  # 9 px of 0.04 um2: the computer's product is 0.36000000000000004
    settings = DecodeSettings(min_area_um2=0.36)
    assert cells_of(maps_of(truth), pixel_um=(0.2, 0.2), settings=settings).labels.max() == 1


def test_pixels_that_are_not_square_change_nothing_but_distances():
    truth = discs((40, 60), (20, 15, 6), (20, 40, 8))
    assert np.array_equal(cells_of(maps_of(truth), pixel_um=(0.5, 1.0)).labels, truth)


def test_a_plateau_of_equal_heat_is_one_seed():
    maps = maps_of(discs((30, 30), (15, 15, 6)))
    maps[HEAT][maps[HEAT] > 0] = 2.0
    assert cells_of(maps).labels.max() == 1


def test_a_vote_that_lands_on_no_seed_belongs_to_nobody():
    truth = discs((40, 60), (20, 15, 6))
    maps = maps_of(truth)
    maps[FOREGROUND, 18:23, 48:53] = 9  # foreground that points nowhere
    cells = cells_of(maps)
    assert np.array_equal(cells.labels, truth)
    assert cells.foreground_px == (truth > 0).sum() + 25


def test_a_vote_that_is_no_number_belongs_to_nobody():
    truth = discs((40, 60), (20, 15, 6))
    maps = maps_of(truth)
    maps[OFFSET_Y, 20, 12], maps[OFFSET_X, 20, 13] = float("nan"), float("inf")
    labels = cells_of(maps).labels
    assert (labels[20, 12], labels[20, 13]) == (0, 0)
    assert (labels > 0).sum() == (truth > 0).sum() - 2


def test_a_cell_is_one_piece_even_where_far_pixels_vote_for_it():
    truth = discs((40, 60), (20, 15, 6))
    maps = maps_of(truth)
    y, x = np.mgrid[18:23, 48:53]
    maps[FOREGROUND, 18:23, 48:53] = 9
    maps[OFFSET_Y, 18:23, 48:53] = torch.from_numpy((20 - y) / OFFSET_UNIT_PX).float()
    maps[OFFSET_X, 18:23, 48:53] = torch.from_numpy((15 - x) / OFFSET_UNIT_PX).float()
    assert np.array_equal(cells_of(maps).labels, truth)


def test_pieces_that_meet_at_a_corner_are_one_and_pieces_a_pixel_apart_are_two():
    truth = np.zeros((9, 9), np.int32)
    truth[1:4, 1:4] = truth[4:6, 4:6] = 1  # corners meet: 9 + 4 px
    truth[7, 7] = 1  # one pixel further: too far
    truth[8, 0] = 1
    labels = cells_of(maps_of(truth), settings=DecodeSettings(min_area_um2=1, capture_um=5)).labels
    assert (labels > 0).sum() == 13
    assert (labels[7, 7], labels[8, 0]) == (0, 0)


def test_scattered_votes_lower_the_score_by_the_written_formula():
    maps = maps_of(discs((40, 40), (20, 20, 8)))
    maps[OFFSET_Y] += 2 / OFFSET_UNIT_PX  # every vote misses by 2 um, which halves the score
    features = cells_of(maps).features
    assert features.vote_miss_um == pytest.approx([2.0])
    scores = product_scores(features, DecodeSettings(vote_spread_um=2.0))
    assert scores == pytest.approx([0.5], abs=1e-5)


def test_features_of_a_cell_are_means_over_its_pixels():
    maps = maps_of(np.ones((2, 5), np.int32))  # the seed is pixel (0, 2)
    maps[FOREGROUND] = torch.tensor([[2.0] * 5, [0.5] * 5])
    maps[HEAT] = -9.0
    maps[HEAT, 0, 2] = 1.0
    settings = DecodeSettings(min_area_um2=10, capture_um=1)
    features = cells_of(maps, pixel_um=(0.5, 2.0), settings=settings, other=-maps[0]).features
    high, low = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-0.5))
    assert features.area_um2.tolist() == [10.0]
    assert features.foreground == pytest.approx([(high + low) / 2], abs=1e-5)
    assert features.class_margin == pytest.approx([(high + low) - 1], abs=1e-5)  # the other role's is 1 - p
    assert features.heat == pytest.approx([1 / (1 + np.exp(-1.0))], abs=1e-5)
    assert features.unsure.tolist() == [0.5]  # 0.88 is sure, 0.62 is not
    assert features.vote_miss_um.tolist() == [0.0]


def test_only_cells_whose_seed_is_owned_are_kept_and_they_are_whole():
    truth = discs((40, 60), (20, 28, 8), (20, 45, 8))
    maps = maps_of(truth)
    left = cells_of(maps, owned=(slice(None), slice(0, 30))).labels
    right = cells_of(maps, owned=(slice(None), slice(30, None))).labels
    assert np.array_equal(left > 0, truth == 1)
    assert np.array_equal(right > 0, truth == 2)


def test_averaging_takes_the_mean_of_three_by_three_pixels_and_repeats_the_edge():
    maps = maps_of(np.zeros((4, 4), np.int32))
    maps[FOREGROUND] = -1.0
    maps[FOREGROUND, 0, 0] = 4.0  # with the edge repeated it counts 4 times of 9: (16 - 5) / 9 > 0
    maps[HEAT] = 5.0
    settings = DecodeSettings(min_area_um2=1)
    labels = cells_of(maps, settings=settings, smooth=True).labels
    # its neighbours along the edge hold it twice of 9: (8 - 7) / 9 > 0, that at the corner once: (4 - 8) / 9 < 0
    assert (
        labels.astype(bool).tolist()
        == [[True, True, False, False], [True, False, False, False]] + [[False] * 4] * 2
    )


def test_maps_are_not_changed():
    maps = maps_of(discs((40, 60), (20, 15, 6)))
    before = maps.clone()
    cells_of(maps, smooth=True)
    assert torch.equal(maps, before)


@pytest.mark.parametrize("layout", ["planes", "pixels", "window"])
def test_the_layout_of_the_maps_in_memory_changes_nothing(layout):
    maps = maps_of(discs((40, 60), (12, 20, 7), (15, 50, 9), (32, 30, 6)))
    expected = cells_of(maps, smooth=True)
    if layout == "pixels":
        maps = maps.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    elif layout == "window":
        wide = torch.full((9, 50, 70), torch.nan)
        wide[2:6, 5:45, 3:63] = maps
        maps = wide[2:6, 5:45, 3:63]
    found = cells_of(maps, smooth=True)
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.features.foreground, expected.features.foreground)


def two_peaks(jump_px):
    """A block of 20 x 24 pixels with peaks of heat at columns 6 and 17; votes jump once, halfway, by `jump_px`."""
    maps = torch.full((4, 30, 34), -20.0)
    maps[FOREGROUND, 5:25, 5:29] = 20.0
    maps[HEAT, 15, 11], maps[HEAT, 15, 22] = 2.0, 3.0
    columns = torch.arange(5, 29)
    drift = (11 - jump_px) / 2
    landing = torch.where(columns < 17, (11 + (columns - 11).clamp(0, 5) / 5 * drift), 22 - drift)
    landing = torch.where(columns > 17, 22 - (22 - columns).clamp(0, 5) / 5 * drift, landing)
    maps[OFFSET_X, 5:25, 5:29] = (landing - columns) / OFFSET_UNIT_PX
    maps[OFFSET_Y, 5:25, 5:29] = ((15 - torch.arange(5, 25)) / OFFSET_UNIT_PX)[:, None]
    return maps


def test_two_peaks_are_one_cell_where_the_votes_hardly_jump():
    # 20 pixels of border, 12 x 20 pixels on either side, seeds 11 apart: (1 / 11) / (20 / sqrt(240)) is 0.0704
    settings = DecodeSettings(min_area_um2=2.0, capture_um=8.0, most_jump=0.071)
    joined = cells_of(two_peaks(1.0), settings=settings)
    assert joined.features.area_um2.tolist() == [480]
    assert joined.features.seed_x.tolist() == [22]  # the warmer one
    apart = DecodeSettings(min_area_um2=2.0, capture_um=8.0, most_jump=0.070)
    assert cells_of(two_peaks(1.0), settings=apart).features.area_um2.tolist() == [240, 240]


def test_two_peaks_are_two_cells_where_the_votes_jump_from_one_to_the_other():
    settings = DecodeSettings(min_area_um2=2.0, capture_um=8.0, most_jump=0.5)
    # (11 / 11) / (20 / sqrt(240)) is 0.77
    assert cells_of(two_peaks(11.0), settings=settings).features.area_um2.tolist() == [240, 240]


def test_whether_two_peaks_are_one_cell_does_not_hang_on_the_size_of_a_pixel():
    for pixel_um, joins in (((1.0, 1.0), 1), ((0.5, 0.5), 1), ((2.0, 2.0), 1)):
        settings = DecodeSettings(min_area_um2=1.0, seed_radius_um=1.0, capture_um=16.0, most_jump=0.071)
        assert cells_of(two_peaks(1.0), pixel_um=pixel_um, settings=settings).labels.max() == joins
