import numpy as np
import pytest
from scipy import ndimage

from assay.simulate.cells import make_effectors, make_targets
from assay.simulate.film import seeded
from assay.simulate.paint import paint
from assay.simulate.scenario import scenario_named
from assay.simulate.shapes import diamond_angle, looks_at, radius_along, smooth_step

STANDARD = scenario_named("adherent_standard")


def one_target(seed=1):
    cells = make_targets(1, STANDARD, seeded(seed), birth_min=-np.inf)
    cells.y_um[:], cells.x_um[:] = 60.0, 70.0
    return cells


def painted(cells, pixel_um, time_min=0.0, shape_um=(120, 140)):
    looks = looks_at(cells, np.arange(len(cells)), time_min)
    shape = tuple(round(size / pixel) for size, pixel in zip(shape_um, pixel_um, strict=True))
    return paint(cells, looks, shape_px=shape, pixel_um=pixel_um, origin_um=(0.0, 0.0), adherent=True)


def test_the_diamond_angle_counts_quarters_from_x_over_y():
    y = np.array([0, 1, 0, -1, 1], np.float32)
    x = np.array([1, 0, -1, 0, 1], np.float32)
    assert list(diamond_angle(y, x)) == [0.0, 1.0, 2.0, 3.0, 0.5]


def test_the_smooth_step_stays_between_nothing_and_all():
    assert list(smooth_step(np.array([-1.0, 0.0, 0.5, 1.0, 9.0]))) == [0, 0, 0.5, 1, 1]


def test_the_area_of_a_cell_is_physical_not_pixels():
    cells = one_target()
    fine = (painted(cells, (0.5, 0.5)).owner > 0).sum() * 0.25
    flat = (painted(cells, (0.5, 1.0)).owner > 0).sum() * 0.5
    assert fine == pytest.approx(np.pi * cells.radius_um[0] ** 2, rel=0.25)
    assert flat == pytest.approx(fine, rel=0.03)


def test_the_outline_along_a_direction_is_where_the_paint_ends():
    cells = one_target(seed=4)
    mask = painted(cells, (0.25, 0.25)).owner > 0
    looks = looks_at(cells, np.array([0]), 0.0)
    for angle in np.arange(0, 6, 0.7):
        edge = float(radius_along(looks, np.array([0]), np.array([angle]))[0])
        for share, inside in ((0.9, True), (1.1, False)):
            y, x = 60 + share * edge * np.sin(angle), 70 + share * edge * np.cos(angle)
            assert mask[round(y / 0.25), round(x / 0.25)] == inside


def test_no_two_targets_have_the_same_outline_and_none_is_a_disc():
    cells = make_targets(40, STANDARD, seeded(2), birth_min=-np.inf)
    contour = looks_at(cells, np.arange(40), 0.0).contour_um
    spread = contour.std(axis=1) / contour.mean(axis=1)
    assert (spread > 0.05).mean() > 0.9
    assert len(np.unique(spread)) == 40


def test_outlines_change_smoothly_with_time():
    cells = make_effectors(20, STANDARD, seeded(2), birth_min=-np.inf)
    now, soon, later = (looks_at(cells, np.arange(20), t).contour_um for t in (0.0, 1.0, 30.0))
    assert np.abs(soon - now).max() < 0.25 * cells.radius_um.max()
    assert np.abs(later - now).max() > 0.25


def test_neighbours_press_against_each_other_and_do_not_overlap():
    cells = make_targets(2, STANDARD, seeded(1), birth_min=-np.inf)
    cells.y_um[:], cells.x_um[:] = 60.0, [60.0, 72.0]
    both = painted(cells, (0.5, 0.5)).owner
    assert set(np.unique(both)) == {0, 1, 2}
    assert both[120, 120] == 1
    assert both[120, 144] == 2


def test_a_cell_at_the_border_is_cut_and_one_outside_leaves_no_pixel():
    cells = one_target()
    cells.y_um[:], cells.x_um[:] = 0.0, 70.0
    assert 0 < (painted(cells, (1.0, 1.0)).owner > 0).sum() < 0.8 * np.pi * cells.radius_um[0] ** 2
    cells.y_um[:] = -80.0
    assert not painted(cells, (1.0, 1.0)).owner.any()


def test_mitosis_rounds_the_cell_without_dye():
    cells = one_target()
    cells.mitosis_min[:], cells.mitosis_end_min[:] = 0.0, 60.0
    looks = looks_at(cells, np.array([0]), 30.0)
    assert looks.roundness[0] == 1
    assert looks.dye[0] == 0
    assert looks.radius_um[0] < 0.8 * cells.radius_um[0]


def test_dye_and_marker_change_at_the_onset_only():
    cells = one_target()
    cells.onset_min[:] = 50.0
    cells.necrotic[:] = False
    before, after = (looks_at(cells, np.array([0]), t) for t in (49.0, 80.0))
    assert (before.dye[0], before.marker[0]) == (0.0, 1.0)
    assert after.dye[0] > 0.8 * cells.dye_level[0]
    assert after.marker[0] < 0.6
    assert before.bleb[0] > 0.9


def test_the_chromosomes_of_a_dividing_cell_stand_in_a_plate_and_part_into_two():
    cells = one_target()
    cells.mitosis_min[:], cells.mitosis_end_min[:] = -60.0, 20.0
    pictures = []
    for time_min in (0.0, 19.0):  # long before the end of the division and one minute before
        looks = looks_at(cells, np.arange(1), time_min)
        canvas = paint(
            cells,
            looks,
            shape_px=(240, 280),
            pixel_um=(0.5, 0.5),
            origin_um=(0.0, 0.0),
            adherent=True,
            plates=True,
        )
        pictures.append(canvas.nucleus > 0.4)
    spread = np.linalg.eigvalsh(np.cov(np.argwhere(pictures[0]).T))
    assert spread[1] > 4 * spread[0]  # of variances: more than twice as long as wide
    assert [ndimage.label(picture, np.ones((3, 3)))[1] for picture in pictures] == [1, 2]
