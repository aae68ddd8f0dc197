"""Films of one row of pixels: one text per frame, the digit is the track id."""

import math

import numpy as np
import pytest

from assay.score.cells import CellTally
from assay.score.tracking import count_tracks, seg


def film(*frames):
    return np.array(
        [[[0 if cell == "." else int(cell) for cell in line.split()]] for line in frames], dtype=np.uint32
    )


def cells_of(true, called):
    tally = CellTally()
    for frame, (there, here) in enumerate(zip(true, called, strict=True)):
        tally.add(frame, there, here)
    return tally.finish()


def count(true, called, true_parents=None, called_parents=None):
    return count_tracks(
        cells_of(true, called),
        true_parents=true_parents or {},
        called_parents=called_parents or {},
        n_frames=len(true),
    )


TWO_CELLS = film("1 1 . . 2 2", "1 1 . . 2 2", "1 1 . . 2 2")
# 6 nodes, 4 edges: an empty result costs 6 x 10 + 4 x 1.5 = 66


def test_perfect_tracks_score_one_whatever_their_ids():
    counts = count(TWO_CELLS, film("7 7 . . 3 3", "7 7 . . 3 3", "7 7 . . 3 3"))
    assert (counts.edge_f1, counts.det, counts.tra, counts.complete_fraction) == (1.0, 1.0, 1.0, 1.0)


def test_swap_costs_edges_but_no_nodes():
    counts = count(TWO_CELLS, film("1 1 . . 2 2", "1 1 . . 2 2", "2 2 . . 1 1"))
    assert counts.edge_f1 == 2 * 2 / (4 + 4)  # both links into the last frame are wrong
    assert counts.det == 1.0
    assert (counts.edges_missed, counts.edges_extra) == (2, 2)
    assert counts.tra == pytest.approx(1 - (2 * 1.5 + 2 * 1.0) / 66)
    assert counts.complete_fraction == 0.0


def test_broken_track_costs_one_edge_and_the_complete_track():
    counts = count(TWO_CELLS, film("1 1 . . 2 2", "1 1 . . 2 2", "1 1 . . 3 3"))
    assert counts.edge_f1 == pytest.approx(2 * 3 / (4 + 3))
    assert counts.tra == pytest.approx(1 - 1.5 / 66)
    assert counts.complete_fraction == 1 / 2


def test_missed_cell_costs_a_node_and_its_edge():
    counts = count(TWO_CELLS, film("1 1 . . 2 2", "1 1 . . 2 2", "1 1 . . . ."))
    assert counts.det == pytest.approx(1 - 10 / 60)
    assert counts.tra == pytest.approx(1 - (10 + 1.5) / 66)
    assert counts.edge_f1 == pytest.approx(2 * 3 / (4 + 3))
    assert counts.complete_fraction == 1 / 2  # seen in 2 of 3 frames, less than 80 %


def test_invented_cell_costs_one_of_ten():
    counts = count(TWO_CELLS, film("1 1 . . 2 2", "1 1 9 . 2 2", "1 1 . . 2 2"))
    assert counts.det == pytest.approx(1 - 1 / 60)
    assert (counts.edge_f1, counts.complete_fraction) == (1.0, 1.0)


def test_merged_cells_cost_a_split_and_their_edges():
    counts = count(TWO_CELLS, film("1 1 . . 2 2", "1 1 1 1 1 1", "1 1 . . 2 2"))
    # the merged cell covers both: 1 node to split; all 4 true edges touch it
    assert counts.nodes_to_split == 1
    assert counts.det == pytest.approx(1 - 5 / 60)
    # called edges between proper nodes: only 2 -> 2 over the gap, which is no true edge
    assert (counts.edges_missed, counts.edges_extra) == (4, 1)
    assert counts.tra == pytest.approx(1 - (5 + 4 * 1.5 + 1) / 66)


def test_bridged_gap_is_one_wrong_edge_and_two_missed():
    counts = count(film("1", "1", "1"), film("1", ".", "1"))
    assert (counts.edges_true, counts.edges_called, counts.edges_right) == (2, 1, 0)
    assert counts.edge_f1 == 0.0


def test_true_gap_bridged_alike_is_right():
    assert count(film("1", ".", "1"), film("5", ".", "5")).edge_f1 == 1.0


DIVISION = film("1 1 1 1", "1 1 1 1", "2 2 3 3", "2 2 3 3")
PARENTS = {2: 1, 3: 1}


def test_division_gives_two_edges():
    counts = count(DIVISION, DIVISION, PARENTS, PARENTS)
    assert (counts.edges_true, counts.edges_right) == (5, 5)
    assert (counts.edge_f1, counts.tra) == (1.0, 1.0)


def test_unseen_division_misses_two_edges():
    counts = count(DIVISION, DIVISION, PARENTS, {})
    assert counts.edge_f1 == pytest.approx(2 * 3 / (5 + 3))
    assert counts.tra == pytest.approx(1 - 2 * 1.5 / (6 * 10 + 5 * 1.5))


def test_daughter_taken_for_its_mother_is_a_link_of_the_wrong_kind():
    called = film("1 1 1 1", "1 1 1 1", "1 1 3 3", "1 1 3 3")
    counts = count(DIVISION, called, PARENTS, {3: 1})
    # track 1 goes on, so the division is not between its last and the child's first sighting
    assert counts.edges_wrong_kind == 1
    assert counts.edges_missed == 1


def test_complete_track_may_miss_one_frame_in_five():
    true = film(*["1 1 . 2 2"] * 10)
    one_missed = film(*["1 1 . 2 2"] * 4, ". . . 2 2", *["1 1 . 2 2"] * 5)
    assert count(true, one_missed).complete_fraction == 1.0
    three_missed = film(*["1 1 . 2 2"] * 4, *[". . . 2 2"] * 3, *["1 1 . 2 2"] * 3)
    assert count(true, three_missed).complete_fraction == 1 / 2


def test_short_tracks_are_not_asked_to_be_complete():
    true = film(*["1 . 2"] * 9, *[". . 2"] * 3)  # 9 and 12 frames
    counts = count(true, np.zeros_like(true))
    assert (counts.long_tracks, counts.complete_tracks) == (1, 0)


def test_nothing_called_scores_zero():
    counts = count(TWO_CELLS, np.zeros_like(TWO_CELLS))
    assert (counts.det, counts.tra, counts.edge_f1, counts.complete_fraction) == (0.0, 0.0, 0.0, 0.0)


def test_more_wrong_than_nothing_is_still_zero():
    crowd = film("3 4 5 6 7 8", "3 4 5 6 7 8", "3 4 5 6 7 8")
    true = film("1 . . . . .", ". . . . . .", ". . . . . .")
    counts = count(true, np.where(true > 0, 0, crowd))
    assert (counts.det, counts.tra) == (0.0, 0.0)  # 10 + 17 > 10


def test_film_without_cells_asks_nothing():
    empty = film(". .", ". .")
    counts = count(empty, empty)
    assert all(
        math.isnan(value) for value in (counts.det, counts.tra, counts.edge_f1, counts.complete_fraction)
    )
    assert math.isnan(seg(cells_of(empty, empty).counts))
