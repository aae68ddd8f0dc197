from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.errors import ResultsError
from napari_plugin.overlay import LabelOverlay, patches_by_frame

Scene = Callable[[str], tuple[NDArray[np.int32], NDArray[np.int32]]]

TWO_LOBES = """
    . . . . . . . . . . . .
    . A A A . . . . A A A .
    . A A A A A A A A A A .
    . A A A . . . . A A A .
    . . . . . . . . . . . .
"""
CELLS = """
    A A . B B . .
    A A . B B . .
    . . . . . . .
    C C C . . . .
    C . C . . . .
    C C C . . . .
"""


class Film:
    """Labels on the disk that nobody may change."""

    def __init__(self, *frames: NDArray[np.int32]) -> None:
        self._frames = [frame.astype(np.uint32) for frame in frames]
        for frame in self._frames:
            frame.flags.writeable = False
        self.shape = (len(frames), *frames[0].shape)

    def frame(self, number: int) -> NDArray[np.uint32]:
        return self._frames[number]


@pytest.fixture
def cells(scene: Scene) -> NDArray[np.int32]:
    return scene(CELLS)[1]


@pytest.fixture
def overlay(cells: NDArray[np.int32]) -> LabelOverlay:
    return LabelOverlay(Film(cells, cells, np.zeros_like(cells)), new_label=9)


def test_it_looks_like_the_film_below(overlay: LabelOverlay, cells: NDArray[np.int32]):
    assert (overlay.shape, overlay.ndim, overlay.size, len(overlay)) == ((3, 6, 7), 3, 126, 3)
    whole = np.stack([cells, cells, np.zeros_like(cells)])
    for key in (
        1,
        -1,
        (0, slice(2, 5)),
        (slice(0, 2), 3),
        (..., 4),
        (np.array([0, 2]), np.array([3, 3]), [1, 1]),
    ):
        assert overlay[key].tolist() == whole[key].tolist()
    assert overlay.edited_frames == ()


def test_painting_changes_one_frame_and_leaves_the_film_as_it_was(
    overlay: LabelOverlay, cells: NDArray[np.int32]
):
    film = overlay._film
    overlay.paint(1, (4, 5), 1.0, 4)
    assert np.argwhere(overlay.frame(1) == 4).tolist() == [[3, 5], [4, 4], [4, 5], [4, 6], [5, 5]]
    assert overlay.frame(0).tolist() == film.frame(1).tolist() == cells.tolist()
    assert overlay.edited_frames == (1,)


def test_a_stamp_at_the_edge_stays_inside(overlay: LabelOverlay):
    overlay.paint(2, (0, 6), 2.0, 4)
    assert np.argwhere(overlay.frame(2) == 4).tolist() == [[0, 4], [0, 5], [0, 6], [1, 5], [1, 6], [2, 6]]


def test_a_stroke_is_one_step_and_undo_gives_back_the_old_frame(
    overlay: LabelOverlay, cells: NDArray[np.int32]
):
    overlay.paint(0, (4, 4), 1.0, 4)
    overlay.paint(0, (4, 5), 1.0, 4)
    overlay.end_step()
    overlay.paint(0, (0, 0), 1.0, 0)
    overlay.undo()
    assert (overlay.frame(0) == 4).sum() == 8
    assert overlay.undo() == 0
    assert overlay.frame(0).tolist() == cells.tolist()
    assert overlay.undo() is None
    assert overlay.edited_frames == ()
    overlay.redo(), overlay.redo()
    assert (overlay.frame(0) == 4).sum() == 8
    assert overlay.frame(0)[0, 0] == 0
    assert not overlay.can_redo


def test_napari_may_paint_by_pixels_or_by_boxes(overlay: LabelOverlay, cells: NDArray[np.int32]):
    overlay[np.array([0, 0]), np.array([2, 2]), np.array([0, 1])] = 7
    box = (slice(1, 2), slice(2, 4), slice(5, 7))
    overlay[box] = np.full((1, 2, 2), 8)
    overlay[1, 5, 6] = 8
    expected = np.stack([cells] * 2)
    expected[0, 2, :2] = 7
    expected[1, 2:4, 5:] = expected[1, 5, 6] = 8
    assert overlay[:2].tolist() == expected.tolist()
    while overlay.undo() is not None:
        pass
    assert overlay[:2].tolist() == np.stack([cells] * 2).tolist()


def test_what_napari_is_given_may_be_written_into_without_changing_anything(overlay: LabelOverlay):
    overlay.paint(0, (4, 5), 1.0, 4)
    overlay[0][:] = 0
    overlay[1, 0:2][:] = 0
    assert overlay[0].any()
    assert overlay[1, 0, 0] == 1


def test_filling_a_hole_closes_it_and_filling_the_background_is_refused(overlay: LabelOverlay):
    overlay.fill(0, (4, 1), 3)
    assert (overlay.frame(0)[3:, :3] == 3).all()
    with pytest.raises(ResultsError, match="background between the cells"):
        overlay.fill(0, (2, 3), 3)


def test_filling_with_nothing_removes_a_cell(overlay: LabelOverlay):
    overlay.fill(0, (0, 3), 0)
    assert np.unique(overlay.frame(0)).tolist() == [0, 1, 3]


def test_two_outlines_of_one_cell_become_one(overlay: LabelOverlay):
    assert overlay.merge(0, (0, 0), (1, 4)) == 1
    assert np.unique(overlay.frame(0)).tolist() == [0, 1, 3]
    for place in ((0, 1), (2, 0)):
        with pytest.raises(ResultsError, match="into another"):
            overlay.merge(0, (0, 0), place)


def test_a_cell_is_cut_at_its_waist(scene: Scene):
    cell = scene(TWO_LOBES)[1]
    overlay = LabelOverlay(Film(cell), new_label=5)
    assert overlay.split(0, (2, 2), (2, 9)) == (1, 5)
    after = overlay.frame(0)
    assert (after[:, :5][cell[:, :5] > 0] == after[2, 2]).all()
    assert (after[:, 7:][cell[:, 7:] > 0] == after[2, 9]).all()
    assert after[2, 2] != after[2, 9]
    assert set(np.unique(after).tolist()) == {0, 1, 5}
    overlay.undo()
    assert overlay.frame(0).tolist() == cell.tolist()


def test_the_cut_of_a_waist_does_not_depend_on_where_in_the_lobes_one_clicks():
    y, x = np.mgrid[:40, :70]
    cell = (np.hypot(y - 20, x - 20) < 14) | (np.hypot(y - 20, x - 46) < 14)
    waist = 33
    for one, other in (((20, 20), (20, 46)), ((12, 12), (28, 40)), ((20, 8), (20, 38))):
        overlay = LabelOverlay(Film(cell.astype(np.int32)), new_label=2)
        overlay.split(0, one, other)
        after = overlay.frame(0)
        of_left = after == after[one]
        wrong = (of_left & (x > waist)) | (~of_left & cell & (x < waist))
        assert wrong.sum() < 0.04 * cell.sum()


def test_a_round_cell_is_halved():
    y, x = np.mgrid[:31, :31]
    cell = np.hypot(y - 15, x - 15) < 13
    overlay = LabelOverlay(Film(cell.astype(np.int32)), new_label=2)
    overlay.split(0, (15, 9), (15, 21))
    share = (overlay.frame(0) == 2).sum() / cell.sum()
    assert 0.45 < share <= 0.5


def test_a_split_needs_two_places_in_one_cell(overlay: LabelOverlay):
    for one, other in (((0, 0), (0, 3)), ((2, 0), (2, 1)), ((0, 0), (0, 0))):
        with pytest.raises(ResultsError, match="twice into the same cell"):
            overlay.split(0, one, other)


def test_pieces_that_do_not_hang_together_are_not_cut(scene: Scene):
    overlay = LabelOverlay(Film(scene("A . A")[1]), new_label=2)
    with pytest.raises(ResultsError, match="separate pieces"):
        overlay.split(0, (0, 0), (0, 2))


def test_new_cells_get_labels_that_no_cell_has(overlay: LabelOverlay):
    assert (overlay.new_label(), overlay.new_label()) == (9, 10)


def test_a_patch_holds_the_box_of_what_changed_and_nothing_where_nothing_did(overlay: LabelOverlay):
    assert overlay.patch(0) is None
    overlay.fill(0, (0, 3), 6)
    patch = overlay.patch(0)
    assert patch is not None
    assert (patch.top, patch.left) == (0, 3)
    assert patch.before.tolist() == [[2, 2], [2, 2]]
    assert patch.after.tolist() == [[6, 6], [6, 6]]
    overlay.fill(0, (0, 3), 2)
    assert overlay.patch(0) is None
    assert overlay.edited_frames == ()


def test_what_is_kept_stands_and_later_patches_are_drawn_on_it(
    overlay: LabelOverlay, cells: NDArray[np.int32]
):
    overlay.fill(0, (0, 3), 6)
    first = overlay.patch(0)
    overlay.keep(0)
    assert not overlay.can_undo
    assert overlay.frame(0)[0, 3] == 6
    overlay.fill(0, (0, 3), 7)
    second = overlay.patch(0)
    assert first is not None
    assert second is not None
    assert second.before.tolist() == [[6, 6], [6, 6]]
    overlay.discard(0)
    assert overlay.frame(0)[0, 3] == 6
    again = LabelOverlay(Film(cells), new_label=9, patches=patches_by_frame([(0, first), (0, second)]))
    assert again.frame(0)[0, 3] == 7


def test_a_correction_of_other_outlines_is_refused_by_name(overlay: LabelOverlay):
    overlay.fill(0, (0, 3), 6)
    patch = overlay.patch(0)
    assert patch is not None
    other = LabelOverlay(Film(np.zeros((6, 7), np.int32)), new_label=9, patches={0: [patch]})
    with pytest.raises(ResultsError, match="other outlines"):
        other.frame(0)


def test_discarding_one_frame_keeps_the_changes_of_another(overlay: LabelOverlay):
    overlay.fill(0, (0, 3), 6)
    overlay.fill(1, (0, 3), 6)
    overlay.discard(0)
    assert overlay.edited_frames == (1,)
    assert overlay.undo() == 1
    assert overlay.undo() is None
