import dataclasses
import math

import numpy as np
import pytest

from assay.errors import ShapeError
from assay.label_runs import label_runs
from assay.labels import CELL_ROLES, FrameLabels, LargeFrameLabels
from assay.measures import concatenate, measure, measure_large
from assay.units import Calibration

MICRON = Calibration(pixel_um=(1.0, 1.0), frame_min=2.0)
WIDE = Calibration(pixel_um=(0.5, 2.0), frame_min=2.0)


def measured(labels, channels=None, calibration=MICRON, frame=0):
    if channels is None:
        channels = np.zeros((1, *labels.effectors.shape), np.uint16)
    names = [f"c{number}" for number in range(len(channels))]
    return measure(labels, frame=frame, channels=channels, channel_names=names, calibration=calibration)


def test_position_and_area_are_physical_on_pixels_that_are_not_square(frame_labels):
    labels = frame_labels("""
        . . . . .
        . A A . .
        . A A . b
        . . . . .
    """)
    cells = measured(labels, calibration=WIDE)
    assert cells["target"].y_um.tolist() == [0.75]  # rows 1 and 2, 0.5 um each
    assert cells["target"].x_um.tolist() == [3.0]  # columns 1 and 2, 2 um each
    assert cells["target"].area_um2.tolist() == [4.0]  # 4 pixels of 1 um2
    assert cells["effector"].label.tolist() == [2]  # label 1 is not in the frame
    assert cells["effector"].y_um.tolist() == [1.0]
    assert cells["effector"].at_border.tolist() == [True]
    assert cells["target"].at_border.tolist() == [False]


def test_a_single_square_pixel_is_round_and_a_bar_is_a_rectangle(frame_labels):
    cells = measured(
        frame_labels("""
        A . B B
    """)
    )["target"]
    assert cells.eccentricity[0] == 0.0
    # a 1 x 2 rectangle has variances 1/12 and 4/12: 1 - 1/4
    assert cells.eccentricity[1] == pytest.approx(math.sqrt(0.75))


def test_a_square_of_four_by_one_pixels_is_round_where_pixels_are_four_times_as_wide(frame_labels):
    cells = measured(frame_labels("A\nA\nA\nA"), calibration=WIDE)["target"]
    assert cells.eccentricity[0] == pytest.approx(0, abs=1e-7)


def test_a_diagonal_cell_is_elongated(frame_labels):
    # variances of the points along the diagonal 2/3 * 2 = 4/3, plus 1/12 both ways: 17/12 and 1/12
    cells = measured(frame_labels("A . .\n. A .\n. . A"))["target"]
    assert cells.eccentricity[0] == pytest.approx(math.sqrt(1 - 1 / 17))


def test_an_effector_on_top_is_left_out_of_the_targets_own_mean(frame_labels):
    labels = frame_labels("A A aA aA")
    dye = np.array([[[10, 20, 90, 100]]], np.uint16)
    cells = measured(labels, dye)
    target, effector = cells["target"], cells["effector"]
    assert target.means["c0"].tolist() == [55.0]
    assert target.own_means["c0"].tolist() == [15.0]
    assert target.covered.tolist() == [0.5]
    assert effector.means["c0"].tolist() == [95.0]
    assert np.isnan(effector.own_means["c0"]).all()  # nothing of it is uncovered
    assert effector.covered.tolist() == [1.0]


def test_a_frame_without_cells_has_no_rows_and_keeps_its_channels(frame_labels):
    cells = measured(frame_labels(". . .\n. . ."), np.ones((2, 2, 3)))
    for role in ("effector", "target"):
        assert len(cells[role]) == 0
        assert cells[role].role == role
        assert list(cells[role].means) == ["c0", "c1"]


def test_scores_belong_to_labels_also_where_labels_have_holes(frame_labels):
    labels = FrameLabels(
        effectors=np.array([[0, 3, 1]], np.int32),
        targets=np.zeros((1, 3), np.int32),
        effector_scores=np.array([0.25, 0.5, 0.75], np.float32),
        target_scores=np.zeros(0, np.float32),
    )
    cells = measured(labels)["effector"]
    assert cells.label.tolist() == [1, 3]
    assert cells.score.tolist() == [0.25, 0.75]


def test_huge_labels_of_another_program_are_measured_alike():
    image = np.array([[0, 5_000_000, 7, 7]], np.int32)
    labels = FrameLabels(
        effectors=image,
        targets=np.zeros_like(image),
        effector_scores=np.ones(5_000_000, np.float32),
        target_scores=np.zeros(0, np.float32),
    )
    cells = measured(labels, np.array([[[1, 2, 3, 4]]], np.float32))["effector"]
    assert cells.label.tolist() == [7, 5_000_000]
    assert cells.means["c0"].tolist() == [3.5, 2.0]


def test_measures_agree_with_a_loop_over_cells(frame_labels):
    rng = np.random.default_rng(5)
    image = np.kron(rng.integers(0, 9, (6, 7)), np.ones((3, 4), int)).astype(np.int32)
    other = (rng.random(image.shape) < 0.3).astype(np.int32)
    channels = rng.integers(0, 4096, (3, *image.shape)).astype(np.uint16)
    labels = FrameLabels(
        effectors=other,
        targets=image,
        effector_scores=np.ones(1, np.float32),
        target_scores=np.ones(9, np.float32),
    )
    before = image.copy()
    cells = measured(labels, channels, calibration=WIDE)["target"]
    assert (image == before).all()
    for row, label in enumerate(cells.label):
        mask = image == label
        y, x = np.nonzero(mask)
        assert cells.y_um[row] == pytest.approx(y.mean() * 0.5)
        assert cells.x_um[row] == pytest.approx(x.mean() * 2.0)
        spread = np.cov(np.stack([y * 0.5, x * 2.0]), bias=True) + np.diag([0.25, 4]) / 12
        small, large = np.linalg.eigvalsh(spread)
        assert cells.eccentricity[row] == pytest.approx(math.sqrt(1 - small / large))
        for number in range(3):
            assert cells.means[f"c{number}"][row] == pytest.approx(channels[number][mask].mean())
            own = channels[number][mask & (other == 0)].mean()
            assert cells.own_means[f"c{number}"][row] == pytest.approx(own)


def test_frames_join_in_order_whatever_the_order_of_the_parts(frame_labels):
    labels = frame_labels("A B . c")
    first, second = (measured(labels, frame=frame)["target"] for frame in (0, 1))
    film = concatenate([second, first])
    assert film.frame.tolist() == [0, 0, 1, 1]
    assert film.label.tolist() == [1, 2, 1, 2]
    assert film.x_um.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert len(film.means["c0"]) == 4


def test_joining_roles_or_nothing_is_refused(frame_labels):
    cells = measured(frame_labels("A b"))
    with pytest.raises(ShapeError, match=r"effector with .* and target"):
        concatenate([cells["effector"], cells["target"]])
    with pytest.raises(ShapeError, match="at least one frame"):
        concatenate([])


def test_channels_of_another_shape_are_refused_with_both_shapes(frame_labels):
    with pytest.raises(
        ShapeError, match=r"frame 7: expected channels of shape \(1, 1, 2\).* got \(1, 2, 1\)"
    ):
        measured(frame_labels("A b"), np.zeros((1, 2, 1)), frame=7)


def test_a_label_without_a_score_is_refused():
    image = np.array([[2]], np.int32)
    labels = FrameLabels(
        effectors=image,
        targets=np.zeros_like(image),
        effector_scores=np.ones(1, np.float32),
        target_scores=np.zeros(0, np.float32),
    )
    with pytest.raises(ShapeError, match="effector label 2 has no score"):
        measured(labels)


def test_measures_are_those_of_scikit_image():
    regionprops_table = pytest.importorskip("skimage.measure").regionprops_table
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:90, :130]
    image = np.zeros((90, 130), np.int32)
    for label, (cy, cx, ry, rx) in enumerate(rng.uniform((0, 0, 3, 3), (90, 130, 12, 12), (20, 4)), start=1):
        image[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = label
    channels = rng.integers(0, 65536, (3, 90, 130)).astype(np.uint16)
    labels = FrameLabels(
        effectors=np.zeros_like(image),
        targets=image,
        effector_scores=np.zeros(0, np.float32),
        target_scores=np.ones(20, np.float32),
    )
    cells = measured(labels, channels)["target"]
    properties = ("label", "area", "centroid", "inertia_tensor_eigvals", "intensity_mean")
    table = regionprops_table(image, np.moveaxis(channels, 0, -1), properties=properties)
    assert cells.label.tolist() == table["label"].tolist()
    assert cells.area_um2.tolist() == table["area"].tolist()
    np.testing.assert_allclose(cells.y_um, table["centroid-0"], rtol=1e-12)
    np.testing.assert_allclose(cells.x_um, table["centroid-1"], rtol=1e-12)
    # its pixels are points, ours are squares, whose own variance of 1/12 adds to both axes
    long, short = (table[f"inertia_tensor_eigvals-{axis}"] + 1 / 12 for axis in (0, 1))
    np.testing.assert_allclose(cells.eccentricity, np.sqrt(1 - short / long), rtol=1e-9, atol=1e-7)
    for number in range(3):
        np.testing.assert_allclose(cells.means[f"c{number}"], table[f"intensity_mean-{number}"], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_channels_of_every_type_of_number_are_measured_alike(frame_labels, dtype):
    cells = measured(frame_labels("A A . B"), np.array([[[1, 2, 9, 40]]], dtype))["target"]
    assert cells.means["c0"].tolist() == [1.5, 40.0]


def test_channels_that_are_a_view_of_a_larger_array_are_measured_alike(frame_labels):
    whole = np.arange(24, dtype=np.uint16).reshape(1, 3, 8)
    cells = measured(frame_labels("A A . B"), whole[:, 1:2, ::2])["target"]
    assert cells.means["c0"].tolist() == [9.0, 14.0]  # 8, 10 and 14


@pytest.mark.parametrize("rows_at_once", [1, 7, 256])
def test_a_frame_measured_some_rows_at_a_time_has_the_measures_of_the_whole(rows_at_once):
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 30, (2, 12, 15)) * generator.integers(0, 2, (2, 12, 15))
    images = np.kron(coarse, np.ones((1, 5, 6), dtype=int)).astype(np.int32)
    scores = np.linspace(0, 1, 29).astype(np.float32)
    whole = FrameLabels(effectors=images[0], targets=images[1], effector_scores=scores, target_scores=scores)
    large = LargeFrameLabels(
        shape=(60, 90),
        effectors=label_runs(images[0])[0],
        targets=label_runs(images[1])[0],
        effector_scores=scores,
        target_scores=scores,
    )
    channels = generator.gamma(2.0, 300.0, (3, 60, 90)).astype(np.float32)
    asked = []

    def read(rows):
        asked.append(rows)
        return channels[:, rows]

    found = measure_large(
        large,
        frame=4,
        read=read,
        channel_names=["c0", "c1", "c2"],
        calibration=WIDE,
        rows_at_once=rows_at_once,
    )
    expected = measured(whole, channels=channels, calibration=WIDE, frame=4)
    for role in CELL_ROLES:
        assert len(expected[role]) > 20
        for field in dataclasses.fields(expected[role]):
            ours, theirs = getattr(found[role], field.name), getattr(expected[role], field.name)
            if isinstance(theirs, dict):
                assert list(ours) == list(theirs)
                for name in theirs:
                    assert np.array_equal(ours[name], theirs[name], equal_nan=True)
            else:
                assert np.array_equal(ours, theirs)
    assert max(rows.stop - rows.start for rows in asked) <= rows_at_once


def test_rows_without_a_cell_are_not_read():
    runs = np.array([[5, 1, 3, 1], [40, 0, 2, 2]], dtype=np.int32)
    one, none = np.ones(2, dtype=np.float32), np.zeros(0, dtype=np.float32)
    large = LargeFrameLabels(
        shape=(50, 4),
        effectors=np.zeros((0, 4), np.int32),
        targets=runs,
        effector_scores=none,
        target_scores=one,
    )
    asked = []

    def read(rows):
        asked.append((rows.start, rows.stop))
        return np.full((1, rows.stop - rows.start, 4), 7, dtype=np.uint16)

    cells = measure_large(large, frame=0, read=read, channel_names=["a"], calibration=MICRON, rows_at_once=10)
    assert asked == [(0, 10), (40, 50)]
    assert cells["target"].means["a"].tolist() == [7.0, 7.0]
    assert cells["target"].y_um.tolist() == [5.0, 40.0]
    assert cells["target"].at_border.tolist() == [False, True]  # the second begins in column 0
