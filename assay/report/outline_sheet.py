"""A picture of what a model found, beside what a person outlined: one row an image, right and wrong in colours."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

OUTLINED, RIGHT, INVENTED, OVERLOOKED = (90, 190, 255), (60, 220, 120), (255, 70, 160), (255, 190, 30)
_LEAST_IOU = 0.5
_SIDE_PX, _GAP_PX, _HEAD_PX = 420, 12, 30
_PAPER, _INK, _FAINT = (24, 26, 30), (235, 235, 235), (150, 152, 158)
_LARGEST_ZOOM = 4
_UNKNOWN_DIMMED = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlinedView:
    """One image with three sets of label images, one of each outlined role."""

    name: str
    image: NDArray[Any]  # (Y, X) the channel to show
    known: NDArray[np.bool_]  # (Y, X) where cells count
    truth: Sequence[NDArray[np.integer]]  # (Y, X) each
    before: Sequence[NDArray[np.integer]]
    after: Sequence[NDArray[np.integer]]


def outline_sheet(views: Sequence[OutlinedView]) -> bytes:
    """Draw the views as a PNG: what was outlined, what was found before, what is found after.

    Blue: outlined by hand. Green: found, with at least half of the union in common. Pink: invented. Amber:
    overlooked. Where no cells were outlined the image is dim, and nothing is judged.
    """
    width = 3 * _SIDE_PX + 4 * _GAP_PX
    rows = [_row(view) for view in views]
    sheet = Image.new("RGB", (width, 2 * _HEAD_PX + sum(row.height + _HEAD_PX for row in rows)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(("outlined", "before", "after")):
        _write(pen, _GAP_PX + column * (_SIDE_PX + _GAP_PX), 8, title, _INK)
    _legend(pen, width)
    top = _HEAD_PX + 4
    for view, row in zip(views, rows, strict=True):
        sheet.paste(row, (_GAP_PX, top))
        _write(pen, _GAP_PX, top + row.height + 6, view.name, _FAINT)
        for column, found in ((1, view.before), (2, view.after)):
            _write(
                pen,
                _GAP_PX + column * (_SIDE_PX + _GAP_PX),
                top + row.height + 6,
                _counts(view, found),
                _FAINT,
            )
        top += row.height + _HEAD_PX
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()


def _legend(pen: ImageDraw.ImageDraw, width: int) -> None:
    right = width - _GAP_PX
    for word, colour in reversed((("right", RIGHT), ("invented", INVENTED), ("overlooked", OVERLOOKED))):
        right -= int(pen.textlength(word, font=_font())) + 14
        _write(pen, right, 8, word, colour)


def _write(pen: ImageDraw.ImageDraw, x: int, y: int, text: str, colour: tuple[int, int, int]) -> None:
    pen.text((x, y), text, fill=colour, font=_font())


def _font() -> Any:
    return ImageFont.load_default(size=14)


def _row(view: OutlinedView) -> Image.Image:
    """The three panels of an image, cut to where cells count."""
    box = _box(view.known)
    longest = max(box[0].stop - box[0].start, box[1].stop - box[1].start)
    zoom = max(1, min(_LARGEST_ZOOM, math.ceil(_SIDE_PX / longest)))
    panels = [
        [(labels, OUTLINED) for labels in view.truth],
        _judged(view, view.before),
        _judged(view, view.after),
    ]
    drawn = [_panel(view, outlines, box, zoom) for outlines in panels]
    row = Image.new("RGB", (3 * _SIDE_PX + 2 * _GAP_PX, max(panel.height for panel in drawn)), _PAPER)
    for column, panel in enumerate(drawn):
        row.paste(panel, (column * (_SIDE_PX + _GAP_PX), 0))
    return row


def _box(known: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _panel(
    view: OutlinedView,
    outlines: Sequence[tuple[NDArray[np.integer], tuple[int, int, int]]],
    box: tuple[slice, slice],
    zoom: int,
) -> Image.Image:
    image = np.asarray(view.image, dtype=np.float64)
    dark, bright = np.percentile(image[view.known], [1, 99.7])
    grey = np.clip((image - dark) / max(bright - dark, 1e-6), 0, 1) ** 0.8
    grey *= np.where(view.known, 1.0, _UNKNOWN_DIMMED)
    pixels = np.repeat(_larger(grey[box], zoom)[..., None], 3, axis=-1) * 255
    for labels, colour in outlines:
        pixels[find_boundaries(_larger(labels[box], zoom), mode="inner")] = colour
    panel = Image.fromarray(np.round(pixels).astype(np.uint8))
    panel.thumbnail((_SIDE_PX, _SIDE_PX))  # only larger ones shrink
    return panel


def _larger(image: NDArray[Any], zoom: int) -> NDArray[Any]:
    return np.repeat(np.repeat(image, zoom, axis=0), zoom, axis=1)


def _judged(
    view: OutlinedView, found: Sequence[NDArray[np.integer]]
) -> list[tuple[NDArray[np.integer], tuple[int, int, int]]]:
    outlines = []
    for labels, truth in zip(found, view.truth, strict=True):
        right, invented, overlooked = _parted(labels, truth, view.known)
        outlines += [(overlooked, OVERLOOKED), (invented, INVENTED), (right, RIGHT)]
    return outlines


def _counts(view: OutlinedView, found: Sequence[NDArray[np.integer]]) -> str:
    numbers = np.zeros(3, dtype=np.int64)
    for labels, truth in zip(found, view.truth, strict=True):
        numbers += [np.count_nonzero(np.unique(part)) for part in _parted(labels, truth, view.known)]
    return f"{numbers[0]} right, {numbers[1]} invented, {numbers[2]} overlooked"


def _parted(
    labels: NDArray[np.integer], truth: NDArray[np.integer], known: NDArray[np.bool_]
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Label images of the cells that are right, invented and overlooked.

    At IoU above one half a cell has one partner at most. At exactly one half the score, which takes the best
    pairs first, may differ from these colours.
    """
    labels, truth = _within(labels, known), _within(truth, known)
    n = int(truth.max(initial=0)) + 1
    pair, shared = np.unique(labels.ravel().astype(np.int64) * n + truth.ravel(), return_counts=True)
    one, other = pair // n, pair % n
    sizes, true_sizes = np.bincount(labels.ravel()), np.bincount(truth.ravel())
    good = (one > 0) & (other > 0) & (shared >= _LEAST_IOU * (sizes[one] + true_sizes[other] - shared))
    right = np.isin(labels, one[good]) & (labels > 0)
    met = np.isin(truth, other[good]) & (truth > 0)
    return labels * right, labels * ~right, truth * ~met


def _within(labels: NDArray[np.integer], known: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Only the cells with at least half of their area where cells count."""
    area = np.bincount(labels.ravel())
    inside = np.bincount(labels.ravel(), weights=known.ravel(), minlength=len(area))
    kept: NDArray[np.integer] = labels * (2 * inside >= area)[labels]
    return kept
