"""How far apart the effectors and targets of one frame are.

Knows the two label images and the calibration. Knows nothing of other frames.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import LargeFrameLabels, Pairs
from assay.units import Calibration

LIMIT_TOLERANCE_UM = 1e-9
"""A gap of three pixels of 0.65 um is 1.95 um, although the computer's sum says 1.9500000000000002."""

_LARGEST_TABLE = 1 << 22
"""Labels from here on, as other programs may give, are numbered anew: a table of all would be too long."""


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
    from assay.label_runs import label_runs  # here, so that who only asks for the version need not wait

    names, compact = _compact(effectors)
    target_names, compact_targets = _compact(targets)
    runs, rows = label_runs(compact_targets)
    n_labels = int(compact.max(initial=0)) + 1
    finding = _Finding(runs, rows, n_labels, compact.shape, calibration, max_gap_um, enter_um)
    finding.add(compact, compact_targets, 0, (0, len(compact)))
    return finding.pairs(frame, names, target_names)


def touching_pairs_large(
    labels: LargeFrameLabels,
    *,
    frame: int,
    calibration: Calibration,
    max_gap_um: float,
    enter_um: float,
    rows_at_once: int = 256,
) -> Pairs:
    """Find the touching pairs of a frame that is too large to be held: the same as `touching_pairs`, to the last bit.

    Args:
        labels: The frame's cells.
        frame: Its number in the film.
        calibration: Gives the pixel size; pixels need not be square.
        max_gap_um: Largest gap that is still listed.
        enter_um: Gap up to which outline counts as interface.
        rows_at_once: How many rows are held.
    """
    from assay.label_runs import painted

    height, width = labels.shape
    rows = np.searchsorted(labels.targets[:, 0], np.arange(height + 1)).astype(np.int64)
    n_labels = len(labels.effector_scores) + 1
    finding = _Finding(labels.targets, rows, n_labels, labels.shape, calibration, max_gap_um, enter_um)
    for start in range(0, height, rows_at_once):
        stop = min(start + rows_at_once, height)
        held = (max(start - 1, 0), min(stop + 1, height))
        images = [painted(runs, held, (0, width)) for runs in (labels.effectors, labels.targets)]
        finding.add(images[0], images[1], held[0], (start, stop))
    return finding.pairs(frame)


class _Finding:
    """The pairs of a frame whose rows come some at a time."""

    def __init__(
        self,
        runs: NDArray[np.int32],
        rows: NDArray[np.int64],
        n_labels: int,
        shape: tuple[int, ...],
        calibration: Calibration,
        max_gap_um: float,
        enter_um: float,
    ) -> None:
        from assay.touch_loops import surroundings

        self._runs, self._rows = np.ascontiguousarray(runs), rows
        self._gaps = _gaps(calibration, max(max_gap_um, enter_um))
        self._lengths = _crofton(calibration)
        self._max_gap_um = max_gap_um + LIMIT_TOLERANCE_UM
        self._near_um = enter_um + LIMIT_TOLERANCE_UM
        self._around = surroundings(self._runs, rows, (shape[0], shape[1]), self._gaps)
        first = np.full(n_labels, -1, dtype=np.int64)
        names, sizes = np.empty((1024, 3), dtype=np.int64), np.empty((1024, 2), dtype=np.float64)
        self._found = (first, names, sizes, 0)

    def add(
        self,
        effectors: NDArray[np.int32],
        targets: NDArray[np.int32],
        top: int,
        span: tuple[int, int],
    ) -> None:
        """Look at the rows of `span`; the images begin at row `top`, with a row more on either side if there is."""
        from assay.touch_loops import add_pairs

        self._found = add_pairs(
            effectors,
            targets,
            top,
            span,
            self._runs,
            self._rows,
            self._around,
            self._gaps,
            self._lengths,
            self._near_um,
            self._found,
        )

    def pairs(
        self,
        frame: int,
        names: NDArray[np.int64] | None = None,
        target_names: NDArray[np.int64] | None = None,
    ) -> Pairs:
        """What was found, with the labels by their names where they have some."""
        _, labels, sizes, n = self._found
        labels, sizes = labels[:n], sizes[:n]
        effector = labels[:, 0] if names is None else names[labels[:, 0]]
        target = labels[:, 1] if target_names is None else target_names[labels[:, 1]]
        order = np.lexsort((target, effector))
        order = order[sizes[order, 0] <= self._max_gap_um]
        return Pairs(
            frame=np.full(len(order), frame, dtype=np.int32),
            effector_label=effector[order].astype(np.int32),
            target_label=target[order].astype(np.int32),
            gap_um=sizes[order, 0],
            interface_um=sizes[order, 1],
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


def _compact(image: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64] | None, NDArray[np.int32]]:
    """The image as the loop reads it; labels too large for a table are numbered anew, with their names."""
    if int(image.max(initial=0)) < _LARGEST_TABLE:
        return None, np.ascontiguousarray(image, dtype=np.int32)
    names, numbers = np.unique(np.append(image, 0), return_inverse=True)
    return names.astype(np.int64), numbers[:-1].reshape(image.shape).astype(np.int32)


def _crofton(calibration: Calibration) -> NDArray[np.float64]:
    """Length of outline crossed by one step out of a cell along x, along y and across."""
    y_size, x_size = calibration.pixel_um
    slope = math.atan2(y_size, x_size)  # of the pixel's diagonal
    diagonal = y_size * x_size / math.hypot(y_size, x_size)
    return np.array([slope * y_size / 2, (math.pi / 2 - slope) * x_size / 2, math.pi / 4 * diagonal / 2])


def _gaps(calibration: Calibration, limit_um: float) -> NDArray[np.float64]:
    """Gap of two pixels dy rows and dx columns apart, (dy, dx) as far as the limit reaches, infinite beyond."""
    y_size, x_size = calibration.pixel_um
    reach = limit_um + calibration.mean_pixel_um + LIMIT_TOLERANCE_UM
    dy, dx = np.mgrid[: max(1, int(reach // y_size)) + 1, : max(1, int(reach // x_size)) + 1]
    gap = np.maximum(np.hypot(dy * y_size, dx * x_size) - calibration.mean_pixel_um, 0.0)
    gap[:2, :2] = 0.0
    return np.where(gap <= limit_um + LIMIT_TOLERANCE_UM, gap, np.inf)
