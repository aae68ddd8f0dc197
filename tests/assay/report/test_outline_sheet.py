"""Outlines in the colour of what they are: right, invented, overlooked."""

import io

import numpy as np
from PIL import Image

from assay.report.outline_sheet import INVENTED, OUTLINED, OVERLOOKED, RIGHT, OutlinedView, outline_sheet


def boxes(*corners: tuple[int, int]) -> np.ndarray:
    labels = np.zeros((60, 90), np.int32)
    for number, (top, left) in enumerate(corners, start=1):
        labels[top : top + 10, left : left + 10] = number
    return labels


def view(*, before: np.ndarray, after: np.ndarray, known: np.ndarray | None = None) -> OutlinedView:
    truth = boxes((5, 5), (30, 50))
    return OutlinedView(
        name="a",
        image=(truth > 0).astype(np.float32),
        known=np.ones(truth.shape, bool) if known is None else known,
        truth=[truth],
        before=[before],
        after=[after],
    )


def panels(*views: OutlinedView) -> list[np.ndarray]:
    """The three columns of a sheet, without its captions."""
    sheet = np.asarray(Image.open(io.BytesIO(outline_sheet(views))))
    return [sheet[34:-60, start : start + 420] for start in (12, 444, 876)]


def colours(panel: np.ndarray) -> set[tuple[int, ...]]:
    known = {OUTLINED, RIGHT, INVENTED, OVERLOOKED}
    return known & {tuple(int(v) for v in pixel) for pixel in np.unique(panel.reshape(-1, 3), axis=0)}


def test_cells_are_coloured_by_whether_they_were_outlined():
    outlined, before, after = panels(view(before=boxes((40, 5)), after=boxes((5, 6), (30, 50))))
    assert colours(outlined) == {OUTLINED}
    assert colours(before) == {INVENTED, OVERLOOKED}
    assert colours(after) == {RIGHT}  # moved by one column: 90 of 110 pixels in common


def test_what_is_mostly_unknown_is_not_coloured():
    known = np.zeros((60, 90), bool)
    known[:, :30] = True
    _, before, after = panels(view(before=boxes((30, 50)), after=boxes((5, 5), (5, 70)), known=known))
    assert colours(before) == {OVERLOOKED}  # of the outlined cell on the left
    assert colours(after) == {RIGHT}


def test_nothing_found_and_nothing_there_is_a_picture_too():
    empty = np.zeros((60, 90), np.int32)
    nothing = OutlinedView(
        name="b", image=empty, known=empty == 0, truth=[empty], before=[empty], after=[empty]
    )
    assert [colours(panel) for panel in panels(nothing)] == [set(), set(), set()]


def test_a_large_image_shrinks_into_its_panel():
    large = np.zeros((2000, 900), np.int32)
    seen = OutlinedView(name="c", image=large, known=large == 0, truth=[large], before=[large], after=[large])
    sheet = Image.open(io.BytesIO(outline_sheet([seen])))
    assert sheet.size == (3 * 420 + 4 * 12, 2 * 30 + 420 + 30)


def test_the_same_views_give_the_same_bytes():
    one = view(before=boxes((40, 5)), after=boxes((5, 6)))
    assert outline_sheet([one]) == outline_sheet([one])
