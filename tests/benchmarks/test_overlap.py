import numpy as np

from benchmarks.overlap import count_under, flattened, under_effectors
from models.training.dataset import TrainingFrame
from models.training.evaluate import Counts


def boxes(*columns, height=1):
    """Cells as wide as their (start, stop) columns."""
    labels = np.zeros((height, 100), dtype=np.int32)
    for number, (start, stop) in enumerate(columns, start=1):
        labels[:, start:stop] = number
    return labels


def frame_of(effectors, targets):
    slots = np.zeros((5, *targets.shape), np.float32)
    return TrainingFrame(slots=slots, present=np.ones(5, bool), effectors=effectors, targets=targets)


def test_a_target_is_under_an_effector_from_a_tenth_of_its_mask_on():
    frame = frame_of(boxes((0, 2), (40, 41)), boxes((0, 20), (40, 60), (80, 90)))
    assert under_effectors(frame).tolist() == [False, True, False, False]  # 2 of 20, 1 of 20, none


def test_only_targets_under_an_effector_are_counted():
    frame = frame_of(boxes((0, 5)), boxes((0, 20), (40, 60)))
    found = boxes(
        (0, 20), (41, 47), (70, 80)
    )  # the second true target is missed, and one is called in the void
    assert count_under(found, frame, least_iou=0.75) == Counts(found=1, invented=0, overlooked=0)


def test_a_target_cut_in_two_is_overlooked_once_and_invented_twice():
    frame = frame_of(boxes((8, 12)), boxes((0, 20)))
    assert count_under(boxes((0, 8), (12, 20)), frame, least_iou=0.75) == Counts(invented=2, overlooked=1)


def test_a_called_cell_over_two_targets_is_counted_where_most_of_it_lies():
    frame = frame_of(boxes((0, 5)), boxes((0, 20), (20, 60)))
    assert count_under(boxes((10, 40)), frame, least_iou=0.75) == Counts(overlooked=1)  # 10 px here, 20 there


def test_one_class_per_pixel_takes_from_a_target_what_the_effector_covers():
    frame = frame_of(boxes((8, 12)), boxes((0, 20)))
    left = flattened(frame, in_one_piece=False)
    assert np.flatnonzero(left[0]).tolist() == [*range(8), *range(12, 20)]
    assert set(left[left > 0]) == {1}


def test_of_a_target_cut_by_an_effector_the_larger_piece_is_kept():
    frame = frame_of(boxes((4, 8)), boxes((0, 20), (30, 40)))
    left = flattened(frame, in_one_piece=True)
    assert np.flatnonzero(left[0] == 1).tolist() == list(range(8, 20))
    assert np.flatnonzero(left[0] == 2).tolist() == list(range(30, 40))


def test_a_frame_without_cells_has_nothing_to_count():
    empty = boxes()
    assert count_under(empty, frame_of(empty, empty), least_iou=0.75) == Counts()
    assert not flattened(frame_of(empty, empty), in_one_piece=True).any()
