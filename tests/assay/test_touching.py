import math

import numpy as np
import pytest

from assay.contacts import concatenate_pairs, touching_pairs
from assay.errors import ShapeError
from assay.label_runs import label_runs
from assay.labels import LargeFrameLabels
from assay.touching import touching_pairs_large
from assay.units import Calibration

HALF_MICRON = Calibration(pixel_um=(0.5, 0.5), frame_min=2.0)
MICRON = Calibration(pixel_um=(1.0, 1.0), frame_min=2.0)


def touching(labels, *, calibration=HALF_MICRON, max_gap_um=0.6, enter_um=0.0, frame=0):
    return touching_pairs(
        *labels, frame=frame, calibration=calibration, max_gap_um=max_gap_um, enter_um=enter_um
    )


def gaps(pairs):
    names = zip(pairs.effector_label.tolist(), pairs.target_label.tolist(), strict=True)
    return dict(zip(names, pairs.gap_um.tolist(), strict=True))


def test_effector_between_two_targets_touches_both(scene):
    labels = scene("""
        A A a B
        A A a B
    """)
    assert gaps(touching(labels)) == {(1, 1): 0.0, (1, 2): 0.0}


def test_gap_is_physical_not_pixels(scene):
    labels = scene("A . . a")  # 2 empty pixels between them
    fine = Calibration(pixel_um=(0.25, 0.25), frame_min=2.0)
    assert gaps(touching(labels, calibration=fine, max_gap_um=1.0)) == {(1, 1): 0.5}
    assert gaps(touching(labels, calibration=MICRON, max_gap_um=2.0)) == {(1, 1): 2.0}
    assert gaps(touching(labels, calibration=MICRON, max_gap_um=1.9)) == {}


def test_gap_across_a_corner_is_the_distance_of_centres_less_a_pixel(scene):
    labels = scene("""
        a . .
        . . .
        . . A
    """)
    pairs = touching(labels, calibration=MICRON, max_gap_um=3.0)
    assert gaps(pairs) == {(1, 1): pytest.approx(math.sqrt(8) - 1)}


def test_diagonal_neighbours_touch_also_on_flat_pixels(scene):
    labels = scene("a .\n. A")
    flat = Calibration(pixel_um=(0.2, 2.0), frame_min=2.0)  # centres 2.01 um apart, mean pixel 1.1
    assert gaps(touching(labels, calibration=flat)) == {(1, 1): 0.0}


def test_gap_on_flat_pixels_takes_off_the_mean_pixel(scene):
    flat = Calibration(pixel_um=(1.0, 3.0), frame_min=2.0)
    across = touching(scene("a . A"), calibration=flat, max_gap_um=9)
    along = touching(scene("a\n.\n.\n.\nA"), calibration=flat, max_gap_um=9)
    assert gaps(across) == {(1, 1): 4.0}  # 2 x 3 - 2
    assert gaps(along) == {(1, 1): 2.0}  # 4 x 1 - 2


def test_gap_is_never_negative(scene):
    tall = Calibration(pixel_um=(3.0, 0.5), frame_min=2.0)  # 2 steps are 1 um, the mean pixel is 1.75
    assert gaps(touching(scene("a . A"), calibration=tall)) == {(1, 1): 0.0}


def test_a_limit_that_falls_on_a_whole_number_of_pixels_is_included(scene):
    fine = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)
    pairs = touching(scene("a . . . A"), calibration=fine, max_gap_um=1.95)
    assert gaps(pairs) == {(1, 1): pytest.approx(1.95)}


def test_overlapping_cells_touch(scene):
    assert gaps(touching(scene("a aA A"))) == {(1, 1): 0.0}


def test_a_target_wholly_under_an_effector_touches_it(scene):
    labels = scene("""
        a a a a a
        a a a a a
        a a aA a a
        a a a a a
        a a a a a
    """)
    pairs = touching(labels, calibration=MICRON)
    assert gaps(pairs) == {(1, 1): 0.0}
    assert pairs.interface_um.tolist() == [0.0]  # none of its outline lies near that target


def test_an_effector_wholly_on_a_target_has_all_its_outline_as_interface(scene):
    labels = scene("""
        A A A A
        A aA aA A
        A A A A
    """)
    pairs = touching(labels, calibration=MICRON)
    # each of the two pixels leaves the cell by 3 sides and by 4 corners
    assert pairs.interface_um[0] == pytest.approx(2 * math.pi / 8 * (3 + 4 / math.sqrt(2)))


def test_the_edge_of_the_image_is_no_outline(scene):
    labels = scene("""
        a a A
        a a A
    """)
    pairs = touching(labels, calibration=MICRON)
    # two pixels, one side each, one corner each; beyond the edge the cell is taken to go on
    assert pairs.interface_um[0] == pytest.approx(2 * math.pi / 8 * (1 + 2 / math.sqrt(2)))


def test_the_outline_of_a_disc_on_a_target_is_its_circumference():
    y, x = np.mgrid[:80, :120]
    for size in ((1.0, 1.0), (1.0, 0.5)):
        disc = ((y - 40) * size[0]) ** 2 + ((x - 60) * size[1]) ** 2 < 15**2
        calibration = Calibration(pixel_um=size, frame_min=2.0)
        labels = disc.astype(np.int32), np.ones(disc.shape, np.int32)
        pairs = touching(labels, calibration=calibration)
        assert pairs.interface_um[0] == pytest.approx(2 * math.pi * 15, rel=0.02)


def test_the_interface_is_the_outline_within_enter_um_of_that_target():
    y, x = np.mgrid[:60, :80]
    effector = ((y - 30) ** 2 + (x - 30) ** 2 < 20**2).astype(np.int32)
    wall = (x >= 50).astype(np.int32)  # touches the disc, whose last pixel is at x = 49
    near = touching((effector, wall), calibration=MICRON, enter_um=0.0).interface_um[0]
    wide = touching((effector, wall), calibration=MICRON, enter_um=4.0).interface_um[0]
    # pixels from x = 45, so the arc of a circle of radius 20 beyond 14.5 from its centre
    assert wide == pytest.approx(2 * 20 * math.acos(14.5 / 20), rel=0.05)
    assert near < wide


def test_a_frame_without_targets_or_effectors_has_no_pairs(scene):
    for drawing in ("a a .", "A A .", ". . ."):
        pairs = touching(scene(drawing), max_gap_um=50.0)
        assert len(pairs) == 0
        assert pairs.frame.dtype == np.int32
    empty = np.zeros((0, 5), np.int32)
    assert len(touching((empty, empty), max_gap_um=50.0)) == 0


def test_pairs_are_ordered_and_labels_may_have_holes():
    effectors = np.array([[9, 0, 3]], np.int32)
    targets = np.array([[0, 700, 0]], np.int32)
    pairs = touching((effectors, targets), frame=4)
    assert pairs.effector_label.tolist() == [3, 9]
    assert pairs.target_label.tolist() == [700, 700]
    assert pairs.frame.tolist() == [4, 4]


def test_input_is_unchanged(scene):
    effectors, targets = scene("a a . A A")
    copies = effectors.copy(), targets.copy()
    touching((effectors, targets), max_gap_um=5.0)
    assert (effectors == copies[0]).all() and (targets == copies[1]).all()


def test_shape_mismatch_names_both_shapes():
    labels = np.zeros((2, 3), np.int32), np.zeros((2, 4), np.int32)
    with pytest.raises(ShapeError, match=r"got \(2, 3\) and \(2, 4\)"):
        touching(labels)


def every_pair(effectors, targets, calibration, max_gap_um):
    """The contract's definition, pixel against pixel."""
    found = {}
    for effector in np.unique(effectors[effectors > 0]).tolist():
        for target in np.unique(targets[targets > 0]).tolist():
            step = np.argwhere(effectors == effector)[:, None] - np.argwhere(targets == target)[None]
            gap = np.hypot(*np.moveaxis(step * calibration.pixel_um, -1, 0)) - calibration.mean_pixel_um
            gap[(np.abs(step) <= 1).all(axis=-1)] = 0
            if (smallest := max(gap.min(), 0.0)) <= max_gap_um + 1e-9:
                found[effector, target] = pytest.approx(smallest)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_gaps_are_those_of_comparing_every_pixel_with_every_pixel(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 25, 2)
    images = np.zeros((2, *shape), np.int32)
    for image in images:
        for number in range(rng.integers(0, 5)):
            (y, x), (height, width) = rng.integers(0, shape), rng.integers(1, 7, 2)
            image[y : y + height, x : x + width] = 3 * number + 1
        image[rng.random(shape) < 0.1] = 0
    calibration = Calibration(pixel_um=tuple(rng.choice([0.3, 0.5, 0.65, 1.3, 2.0], 2)), frame_min=1.0)
    max_gap_um = float(rng.choice([0.0, 0.65, 1.0, 2.0, 4.0, 7.0]))
    pairs = touching(tuple(images), calibration=calibration, max_gap_um=max_gap_um, enter_um=1.0)
    assert gaps(pairs) == every_pair(*images, calibration, max_gap_um)


def slow_pairs(effectors, targets, calibration, max_gap_um, enter_um):
    """Gap and interface as docs/contacts.md defines them, cell by cell and pixel by pixel."""
    (p, q), (height, width) = calibration.pixel_um, effectors.shape
    slope = math.atan(p / q)
    corner = math.pi / 4 * p * q / math.hypot(p, q) / 2
    piece = {(0, 1): slope * p / 2, (1, 0): (math.pi / 2 - slope) * q / 2, (1, 1): corner}
    found = {}
    for target in set(targets.ravel().tolist()) - {0}:
        of_target = np.argwhere(targets == target)
        gap_to = np.zeros(effectors.shape)
        for y in range(height):
            for x in range(width):
                step = np.abs(of_target - (y, x))
                away = np.maximum(np.hypot(step[:, 0] * p, step[:, 1] * q) - (p + q) / 2, 0.0)
                gap_to[y, x] = np.where(step.max(axis=1) <= 1, 0.0, away).min()
        for effector in set(effectors.ravel().tolist()) - {0}:
            mask = effectors == effector
            if (smallest := gap_to[mask].min()) > max_gap_um + 1e-9:
                continue
            interface = 0.0
            for y, x in np.argwhere(mask & (gap_to <= enter_um + 1e-9)).tolist():
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        beside = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                        if not mask[beside]:
                            interface += piece[abs(dy), abs(dx)]
            found[effector, target] = pytest.approx((smallest, interface), abs=1e-12)
    return found


def blobs(rng, shape, numbers):
    """Round and ragged cells, some cut by the frame's edge, on top of each other as they come."""
    image = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for number in numbers:
        centre, radius = rng.uniform(-2, np.array(shape) + 2), rng.uniform(0.8, 7)
        image[((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2) & (rng.random(shape) < 0.97)] = number
    return image


@pytest.mark.parametrize("seed", range(40))
def test_gap_and_interface_are_those_of_the_definition_pixel_by_pixel(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 45, 2).tolist())
    effectors = blobs(
        rng, shape, rng.choice([1, 2, 3, 8, 70_000, 5_000_000], rng.integers(1, 6), replace=False)
    )
    targets = blobs(rng, shape, rng.choice([1, 2, 6, 9_000_000], rng.integers(1, 5), replace=False))
    calibration = Calibration(pixel_um=tuple(rng.choice([0.3, 0.33, 0.65, 1.3], 2)), frame_min=1.0)
    max_gap_um, enter_um = float(rng.choice([0.0, 1.0, 3.0, 10.0])), float(rng.choice([0.0, 1.0, 3.0]))
    pairs = touching((effectors, targets), calibration=calibration, max_gap_um=max_gap_um, enter_um=enter_um)
    names = zip(pairs.effector_label.tolist(), pairs.target_label.tolist(), strict=True)
    said = zip(pairs.gap_um.tolist(), pairs.interface_um.tolist(), strict=True)
    expected = slow_pairs(effectors, targets, calibration, max_gap_um, enter_um)
    assert dict(zip(names, said, strict=True)) == expected
    assert sorted(expected) == list(
        zip(pairs.effector_label.tolist(), pairs.target_label.tolist(), strict=True)
    )


def test_a_contact_across_the_squares_of_the_search_is_found_at_every_place():
    for y, x in ((0, 1), (31, 31), (32, 32), (63, 64), (95, 130)):
        effectors, targets = np.zeros((2, 96, 131), np.int32)
        effectors[y, x] = 7
        targets[max(y - 10, 0), x] = 1
        targets[y, max(x - 12, 0)] = 2
        found = gaps(touching((effectors, targets), calibration=MICRON, max_gap_um=12.0))
        assert found == {(7, 1): max(min(y, 10) - 1.0, 0.0), (7, 2): max(min(x, 12) - 1.0, 0.0)}


def test_pairs_of_frames_join_in_order(scene):
    labels = scene("a A b")
    film = concatenate_pairs([touching(labels, frame=1), touching(labels, frame=0)])
    assert film.frame.tolist() == [0, 0, 1, 1]
    assert film.effector_label.tolist() == [1, 2, 1, 2]
    assert len(concatenate_pairs([])) == 0


@pytest.mark.parametrize("rows_at_once", [1, 7, 256])
def test_a_frame_looked_at_some_rows_at_a_time_has_the_pairs_of_the_whole(rows_at_once):
    generator = np.random.default_rng(5)
    coarse = generator.integers(0, 40, (2, 14, 17)) * generator.integers(0, 2, (2, 14, 17))
    effectors, targets = np.kron(coarse, np.ones((1, 5, 6), dtype=int)).astype(np.int32)
    calibration = Calibration(pixel_um=(0.65, 0.5), frame_min=2.0)
    limits = {"frame": 3, "calibration": calibration, "max_gap_um": 3.0, "enter_um": 1.0}
    scores = np.ones(39, dtype=np.float32)
    large = LargeFrameLabels(
        shape=(70, 102),
        effectors=label_runs(effectors)[0],
        targets=label_runs(targets)[0],
        effector_scores=scores,
        target_scores=scores,
    )
    whole = touching_pairs(effectors, targets, **limits)
    found = touching_pairs_large(large, **limits, rows_at_once=rows_at_once)
    assert len(whole) > 100
    for name in ("frame", "effector_label", "target_label", "gap_um", "interface_um"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name
