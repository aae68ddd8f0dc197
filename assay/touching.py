"""How far apart the effectors and targets of one frame are.

Knows the two label images and the calibration. Knows nothing of other frames.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import Pairs
from assay.units import Calibration

LIMIT_TOLERANCE_UM = 1e-9
"""A gap of three pixels of 0.65 um is 1.95 um, although the computer's sum says 1.9500000000000002."""


def touching_pairs(
    effectors: NDArray[np.integer[Any]],
    targets: NDArray[np.integer[Any]],
    *,
    frame: int,
    calibration: Calibration,
    max_gap_um: float,
    enter_um: float,
) -> Pairs:
    """Find the effector-target pairs of one frame that are no further apart than `max_gap_um`.

    The gap is 0 where the masks overlap or are neighbours (8-connected), else the smallest distance of two
    pixel centres less one pixel (mean of y and x size), so it does not depend on how fine the pixels are.
    The interface is the part of the effector's outline whose own pixels lie within `enter_um` of the target;
    each pixel's piece of outline is weighted by the directions in which it leaves the cell.

    Args:
        effectors: (Y, X) label image, 0 is background; labels may have holes.
        targets: (Y, X) label image of the same field of view.
        frame: Its number in the film.
        calibration: Gives the pixel size; pixels need not be square.
        max_gap_um: Largest gap that is still listed.
        enter_um: Gap up to which outline counts as interface.

    Returns:
        The pairs ordered by (effector label, target label); none where either kind of cell is absent.

    Raises:
        ShapeError: The two label images differ in shape.

    Source: the outline's length after Cauchy and Crofton, as in Legland 2007, doi:10.5566/ias.v26.p83-92
    """
    if effectors.shape != targets.shape or effectors.ndim != 2:
        raise ShapeError(
            f"frame {frame}: the label images of effectors and targets must be (Y, X) of one shape, "
            f"got {effectors.shape} and {targets.shape}."
        )
    overlap = np.flatnonzero((effectors != 0) & (targets != 0))
    overlapping = (effectors.ravel()[overlap].astype(np.int64), targets.ravel()[overlap].astype(np.int64))
    outline, weight = _outline(effectors, calibration)
    pixel, target, gap = _reach(outline, targets, calibration, max(max_gap_um, enter_um))
    effector = effectors.ravel()[outline].astype(np.int64)[pixel]
    shift = int(targets.max(initial=0)) + 1
    key = np.concatenate([effector * shift + target, overlapping[0] * shift + overlapping[1]])
    pair, place = np.unique(key, return_inverse=True)
    gap_um = np.full(len(pair), np.inf)
    np.minimum.at(gap_um, place[: len(gap)], gap)
    gap_um[place[len(gap) :]] = 0.0
    near = gap <= enter_um + LIMIT_TOLERANCE_UM
    interface_um = np.zeros(len(pair))
    np.add.at(interface_um, place[: len(gap)][near], weight[pixel[near]])
    kept = gap_um <= max_gap_um + LIMIT_TOLERANCE_UM
    return Pairs(
        frame=np.full(int(kept.sum()), frame, dtype=np.int32),
        effector_label=(pair[kept] // shift).astype(np.int32),
        target_label=(pair[kept] % shift).astype(np.int32),
        gap_um=gap_um[kept],
        interface_um=interface_um[kept],
    )


def concatenate_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Join the pairs of frames; rows come out ordered by (frame, effector label, target label)."""
    names = ("frame", "effector_label", "target_label", "gap_um", "interface_um")
    empty = Pairs(
        frame=np.zeros(0, np.int32),
        effector_label=np.zeros(0, np.int32),
        target_label=np.zeros(0, np.int32),
        gap_um=np.zeros(0),
        interface_um=np.zeros(0),
    )
    joined = {name: np.concatenate([getattr(part, name) for part in (empty, *parts)]) for name in names}
    order = np.lexsort((joined["target_label"], joined["effector_label"], joined["frame"]))
    return Pairs(**{name: column[order] for name, column in joined.items()})


def _outline(
    image: NDArray[np.integer[Any]], calibration: Calibration
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels of the cells' outlines and the length of outline that each stands for, in um.

    The edge of the image is no outline: the cell goes on out of sight.
    """
    if image.size == 0:
        return np.zeros(0, np.int64), np.zeros(0)
    padded = np.pad(image, 1, mode="edge")
    flat, width = padded.ravel(), padded.shape[1]
    pixels = np.flatnonzero(image)
    rows, columns = np.divmod(pixels, image.shape[1])
    place = (rows + 1) * width + columns + 1
    own = flat[place]
    weight = np.zeros(len(pixels))
    for (dy, dx), length in _crofton(calibration):
        weight += length * (flat[place + (dy * width + dx)] != own)
    outline = np.flatnonzero(weight)
    return pixels[outline].astype(np.int64), weight[outline]


def _crofton(calibration: Calibration) -> list[tuple[tuple[int, int], float]]:
    """Length of outline crossed by one step out of a cell, for each of the 8 directions."""
    y_size, x_size = calibration.pixel_um
    slope = math.atan2(y_size, x_size)  # of the pixel's diagonal
    diagonal = y_size * x_size / math.hypot(y_size, x_size)
    lengths = {
        (0, 1): slope * y_size / 2,
        (1, 0): (math.pi / 2 - slope) * x_size / 2,
        (1, 1): math.pi / 4 * diagonal / 2,
        (1, -1): math.pi / 4 * diagonal / 2,
    }
    return [((sign * dy, sign * dx), length) for (dy, dx), length in lengths.items() for sign in (1, -1)]


def _reach(
    outline: NDArray[np.int64],
    targets: NDArray[np.integer[Any]],
    calibration: Calibration,
    limit_um: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each outline pixel with each target within the limit: pixel, target label, gap in um; no doubles.

    Only the rims of targets are searched: from outside, the nearest pixel of a mask is one of its rim, and
    from inside the gap is 0.
    """
    offsets, gaps = _disc(calibration, limit_um)
    margin = int(np.abs(offsets).max(initial=0))
    width = targets.shape[1] + 2 * margin
    flat = np.pad(targets, margin).ravel()
    rows, columns = np.divmod(outline, max(targets.shape[1], 1))
    place = (rows + margin) * width + columns + margin
    rim = _rim(flat, width)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for number, ((dy, dx), gap) in enumerate(zip(offsets.tolist(), gaps.tolist(), strict=True)):
        here = (flat if number == 0 else rim)[place + (dy * width + dx)]
        hit = np.flatnonzero(here)
        found.append((hit, here[hit].astype(np.int64), np.full(len(hit), gap)))
    pixel, target, gap_um = (np.concatenate(column) for column in zip(*found, strict=True))
    key = pixel * (int(targets.max(initial=0)) + 1) + target
    _, nearest = np.unique(key, return_index=True)  # offsets ascend in gap: the first is the nearest
    return pixel[nearest], target[nearest], gap_um[nearest]


def _rim(flat: NDArray[np.integer[Any]], width: int) -> NDArray[np.integer[Any]]:
    """The label image with the inner pixels of its cells emptied; flat, with a margin of background."""
    place = np.flatnonzero(flat)
    own = flat[place]
    inner = np.ones(len(place), dtype=np.bool_)
    for step in (1, -1, width, -width):
        inner &= flat[place + step] == own
    rim = flat.copy()
    rim[place[inner]] = 0
    return rim


def _disc(calibration: Calibration, limit_um: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps (dy, dx) to all pixels within the limit, ascending in gap, and these gaps; the first is (0, 0)."""
    y_size, x_size = calibration.pixel_um
    reach = limit_um + calibration.mean_pixel_um + LIMIT_TOLERANCE_UM
    dy, dx = np.mgrid[
        -max(1, int(reach // y_size)) : max(1, int(reach // y_size)) + 1,
        -max(1, int(reach // x_size)) : max(1, int(reach // x_size)) + 1,
    ].reshape(2, -1)
    gap = np.maximum(np.hypot(dy * y_size, dx * x_size) - calibration.mean_pixel_um, 0.0)
    gap[(np.abs(dy) <= 1) & (np.abs(dx) <= 1)] = 0.0
    order = np.lexsort((dx, dy, (dy != 0) | (dx != 0), gap))
    order = order[gap[order] <= limit_um + LIMIT_TOLERANCE_UM]
    return np.stack([dy[order], dx[order]], axis=1), gap[order]
