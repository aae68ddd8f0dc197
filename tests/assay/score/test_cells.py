import math

import numpy as np
import pytest

from assay.score.cells import CellTally


def image(text):
    rows = [line.split() for line in text.strip().splitlines()]
    return np.array([[0 if cell == "." else int(cell) for cell in row] for row in rows], dtype=np.uint32)


def counts(*frames):
    tally = CellTally()
    for number, (true, called) in enumerate(frames):
        tally.add(number, image(true), image(called))
    return tally.finish().counts


def test_perfect_cells_score_one():
    seen = counts(("1 1 . 2", "5 5 . 6"), ("1 . 2 2", "5 . 6 6"))
    assert (seen.ap(seen.found_50), seen.ap(seen.found_75)) == (1.0, 1.0)
    assert (seen.f1(seen.found_50), seen.f1(seen.found_75)) == (1.0, 1.0)
    assert seen.seg_sum == seen.n_true == 4


def test_missed_cell_is_a_false_negative():
    seen = counts(("1 1 . 2", "1 1 . ."), ("1 1 . 2", "1 1 . 2"))
    assert (seen.n_true, seen.n_called, seen.found_50) == (4, 3, 3)
    assert seen.ap(seen.found_50) == 3 / 4
    assert seen.f1(seen.found_50) == pytest.approx(6 / 7)


def test_invented_cell_is_a_false_positive():
    seen = counts(("1 1 . .", "1 1 . 2"))
    assert seen.ap(seen.found_50) == 1 / 2
    assert seen.f1(seen.found_50) == pytest.approx(2 / 3)
    assert seen.seg_sum == 1.0  # CTC's SEG asks true cells only


def test_loose_outline_counts_at_half_but_not_at_three_quarters():
    seen = counts(("1 1 1 . 2", "1 1 . . 2"))  # IoU 2/3 and 1
    assert (seen.found_50, seen.found_75) == (2, 1)
    assert seen.ap(seen.found_75) == 1 / 3
    assert seen.f1(seen.found_75) == 2 / 4
    assert seen.seg_sum == pytest.approx(2 / 3 + 1)


def test_seg_wants_more_than_half_of_the_true_cell():
    assert counts(("1 1", "1 .")).seg_sum == 0.0  # exactly half
    assert counts(("1 1 . .", "1 1 1 1")).seg_sum == 0.5  # covered whole, IoU 1/2


def test_frames_are_pooled_not_averaged():
    crowded, lonely = ("1 . 2 . 3", "1 . 2 . 3"), ("1 . . . .", ". . . . .")
    seen = counts(crowded, lonely)
    assert seen.ap(seen.found_50) == 3 / 4  # a mean over frames would say 1/2


def test_masked_frame_counts_its_cells_as_missed():
    seen = counts(("1 . 2", "1 . 2"), ("1 . 2", ". . ."))
    assert (seen.n_true, seen.found_50) == (4, 2)


def test_film_without_cells_asks_nothing():
    seen = counts((". .", ". ."))
    assert math.isnan(seen.ap(seen.found_50))
    assert math.isnan(seen.f1(seen.found_50))


def test_input_labels_are_not_changed():
    true, called = image("1 1 . 2"), image("3 3 . .")
    kept = true.copy(), called.copy()
    CellTally().add(0, true, called)
    np.testing.assert_array_equal(true, kept[0])
    np.testing.assert_array_equal(called, kept[1])
