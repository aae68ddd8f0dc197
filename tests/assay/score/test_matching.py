import numpy as np
import pytest

from assay.errors import ShapeError
from assay.score.matching import Identities, majority, matched_pairs, overlap_of


def image(text):
    """One digit per pixel, the label; a dot is background."""
    rows = [line.split() for line in text.strip().splitlines()]
    return np.array([[0 if cell == "." else int(cell) for cell in row] for row in rows], dtype=np.uint32)


def pairs(true, called, min_iou=0.5):
    found = matched_pairs(overlap_of(true, called), min_iou=min_iou)
    return list(zip(*(ids.tolist() for ids in found), strict=True))


def column(*values):
    return np.array(values, dtype=np.int64)


def test_overlap_counts_shared_pixels_and_areas():
    true = image("1 1 . 7\n1 1 . 7")
    called = image("2 2 2 .\n2 . . 5")
    overlap = overlap_of(true, called)
    assert overlap.true_ids.tolist() == [1, 7]
    assert overlap.true_px.tolist() == [4, 2]
    assert overlap.called_ids.tolist() == [2, 5]
    assert overlap.called_px.tolist() == [4, 1]
    assert overlap.pair_px.tolist() == [3, 1]
    assert overlap.iou.tolist() == [3 / 5, 1 / 2]


def test_overlap_of_two_empty_frames_is_empty():
    empty = np.zeros((3, 5), dtype=np.uint32)
    overlap = overlap_of(empty, empty)
    assert len(overlap.true_ids) == len(overlap.called_ids) == len(overlap.pair_px) == 0
    assert pairs(empty, empty) == []


def test_track_ids_above_two_billion_are_kept():
    true = np.array([[4_000_000_000, 0]], dtype=np.uint32)
    called = np.array([[3_000_000_001, 0]], dtype=np.uint32)
    assert pairs(true, called) == [(4_000_000_000, 3_000_000_001)]


def test_shape_mismatch_names_both_shapes():
    with pytest.raises(ShapeError, match=r"got \(2, 3\) and \(2, 4\)"):
        overlap_of(np.zeros((2, 3), dtype=np.uint32), np.zeros((2, 4), dtype=np.uint32))


def test_iou_of_exactly_one_half_is_a_match():
    assert pairs(image("1 1"), image("1 .")) == [(1, 1)]
    assert pairs(image("1 1 1 1 1"), image("1 1 . . .")) == []  # 2 of 5


def test_merged_cell_matches_only_one_of_two_equal_halves():
    assert pairs(image("1 1 2 2"), image("9 9 9 9")) == [(1, 9)]


def test_split_cell_matches_only_one_of_its_two_equal_halves():
    assert pairs(image("9 9 9 9"), image("1 1 2 2")) == [(9, 1)]


def test_majority_is_more_than_half():
    assert majority([3, 3, 5]) == 3
    assert majority([3, 5]) is None
    assert majority([3, 3, 5, 6]) is None
    assert majority([]) is None


def test_track_is_the_cell_of_most_of_its_matched_frames():
    who = Identities(column(0, 1, 2, 3), column(1, 1, 1, 2), column(8, 8, 8, 8))
    assert who.of_track(8) == 1
    assert who.of_track(9) is None


def test_contact_asks_only_its_own_frames():
    who = Identities(column(0, 1, 2, 3), column(1, 1, 1, 2), column(8, 8, 8, 8))
    assert who.during(8, 3, 3) == 2
    assert who.during(8, 2, 3) is None  # one frame each
    assert who.during(8, 0, 3) == 1


def test_cell_unseen_during_the_contact_is_who_its_track_is():
    who = Identities(column(0, 1), column(4, 4), column(8, 8))
    assert who.during(8, 5, 6) == 4
    assert who.during(7, 5, 6) is None


def test_order_of_matches_does_not_matter():
    frames, true, called = column(3, 0, 2, 1), column(2, 1, 1, 1), column(8, 8, 8, 8)
    assert Identities(frames, true, called).during(8, 3, 3) == 2
