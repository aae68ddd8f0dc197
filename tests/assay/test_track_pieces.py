"""Tracks cut where a cell was not seen, and put together again."""

import numpy as np
import pytest

from assay.errors import TableError
from assay.track_pieces import Piece, continuations, cut_at_gaps


def pieces(*sightings: tuple[int, int], parents: dict[int, int] | None = None) -> list[tuple[int, ...]]:
    """(label, track, first, last, parent) of (frame, track) sightings."""
    frames, tracks = (np.array(column) for column in zip(*sightings, strict=True))
    return [brief(piece) for piece in cut_at_gaps(frames, tracks, parents or {})]


def brief(piece: Piece) -> tuple[int, ...]:
    return piece.label, piece.track_id, piece.first_frame, piece.last_frame, piece.parent


def test_a_track_without_gaps_keeps_its_id():
    assert pieces((0, 7), (1, 7), (2, 7), (1, 3)) == [(3, 3, 1, 1, 0), (7, 7, 0, 2, 0)]


def test_each_gap_begins_a_piece_whose_parent_is_the_piece_before():
    cells = [(frame, 5) for frame in (0, 1, 4, 6, 7)] + [(frame, 9) for frame in (2, 3)]
    assert pieces(*cells) == [(5, 5, 0, 1, 0), (9, 9, 2, 3, 0), (10, 5, 4, 4, 5), (11, 5, 6, 7, 10)]


def test_daughters_descend_from_the_last_piece_of_their_mother():
    cells = [(0, 1), (2, 1), (3, 2), (3, 3), (4, 3)]
    assert pieces(*cells, parents={2: 1, 3: 1}) == [
        (1, 1, 0, 0, 0),
        (2, 2, 3, 3, 4),
        (3, 3, 3, 4, 4),
        (4, 1, 2, 2, 1),
    ]


def test_ids_that_do_not_fit_16_bits_are_numbered_anew():
    assert pieces((0, 70_000), (2, 70_000), (0, 8)) == [
        (1, 8, 0, 0, 0),
        (2, 70_000, 0, 0, 0),
        (3, 70_000, 2, 2, 2),
    ]


def test_a_film_without_cells_has_no_pieces():
    assert cut_at_gaps(np.zeros(0, int), np.zeros(0, int), {}) == []


def test_a_track_in_two_places_at_once_is_refused():
    with pytest.raises(TableError, match=r"track 4 stands twice in frame 1 \(1 such doubles\)"):
        pieces((0, 4), (1, 4), (1, 4), (1, 5))


def test_an_only_child_after_a_gap_is_the_same_cell_and_one_without_a_gap_is_not():
    rows = [
        (1, 0, 3, 0),
        (2, 6, 8, 1),
        (3, 11, 12, 2),
        (4, 0, 3, 0),
        (5, 4, 9, 4),
        (6, 0, 1, 0),
        (7, 4, 5, 6),
        (8, 4, 5, 6),
    ]
    assert continuations(rows) == {2: 1, 3: 1}  # 5 follows at once, 7 and 8 are two
