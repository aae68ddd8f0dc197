"""What is measured of every cell of one frame.

Knows label images, raw channels and calibration. Knows nothing of other frames. Positions are in um with 0 at
the centre of the first pixel, as in OME-Zarr and napari, so points drawn at (y_um, x_um) lie on the labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import CELL_ROLES, CellMeasures, CellRole, FrameLabels
from assay.units import Calibration

_LARGEST_TABLE = 1 << 22  # labels up to here are counted in a table of their own size


def measure(
    labels: FrameLabels,
    *,
    frame: int,
    channels: NDArray[Any],
    channel_names: Sequence[str],
    calibration: Calibration,
) -> dict[CellRole, CellMeasures]:
    """Measure every cell of one frame.

    Eccentricity is that of the ellipse with the mask's second moments, each pixel being a rectangle and not
    a point, so a single square pixel is round (0). Sums run over pixels in row order in float64.

    Args:
        labels: The frame's label images; labels may have holes.
        frame: Its number in the film.
        channels: (C, Y, X) raw intensities of the same frame.
        channel_names: Name of each of the C channels.
        calibration: Gives the pixel size; pixels need not be square.

    Returns:
        The measures of each role, ordered by label; no rows where the frame shows no such cell.

    Raises:
        ShapeError: Images differ in shape, or a label has no score.
    """
    if labels.effectors.shape != labels.targets.shape:
        raise ShapeError(
            f"frame {frame}: the label images of effectors and targets must have one shape, "
            f"got {labels.effectors.shape} and {labels.targets.shape}."
        )
    expected = (len(channel_names), *labels.effectors.shape)
    if channels.shape != expected:
        raise ShapeError(
            f"frame {frame}: expected channels of shape {expected} for {len(channel_names)} channel names and "
            f"these labels, got {channels.shape}."
        )
    return {
        role: _measure_role(
            labels, role, frame=frame, channels=channels, names=channel_names, calibration=calibration
        )
        for role in CELL_ROLES
    }


def concatenate(parts: Sequence[CellMeasures]) -> CellMeasures:
    """Join measures of one role; rows come out ordered by (frame, label), whatever the order of the parts.

    Raises:
        ShapeError: There are no parts, or they differ in role or channels.
    """
    if not parts:
        raise ShapeError("expected the measures of at least one frame, got none.")
    first = parts[0]
    for part in parts:
        if part.role != first.role or list(part.means) != list(first.means):
            raise ShapeError(
                f"only measures of one role and of the same channels can be joined, got {first.role} with "
                f"{list(first.means)} and {part.role} with {list(part.means)}."
            )
    order = np.lexsort((_joined(parts, "label"), _joined(parts, "frame")))
    columns = {name: _joined(parts, name)[order] for name in _COLUMNS}
    means = {name: np.concatenate([part.means[name] for part in parts])[order] for name in first.means}
    own = {name: np.concatenate([part.own_means[name] for part in parts])[order] for name in first.means}
    return CellMeasures(role=first.role, means=means, own_means=own, **columns)


_COLUMNS = (
    "frame",
    "label",
    "y_um",
    "x_um",
    "area_um2",
    "eccentricity",
    "covered",
    "at_border",
    "score",
)


def _joined(parts: Sequence[CellMeasures], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def _measure_role(
    labels: FrameLabels,
    role: CellRole,
    *,
    frame: int,
    channels: NDArray[Any],
    names: Sequence[str],
    calibration: Calibration,
) -> CellMeasures:
    image, scores = labels.of(role)
    others, _ = labels.of("target" if role == "effector" else "effector")
    pixels = np.flatnonzero(image)
    present, cell = _cells_of_pixels(image.ravel()[pixels])
    if len(present) and present[-1] > len(scores):
        raise ShapeError(
            f"frame {frame}: {role} label {present[-1]} has no score; expected one score per label, "
            f"got {len(scores)}."
        )
    n = len(present)
    size = np.bincount(cell, minlength=n).astype(np.float64)
    y_um, x_um, eccentricity = _shape(pixels, cell, size, width=image.shape[1], calibration=calibration)
    under = np.flatnonzero(others.ravel()[pixels])  # the few pixels that a cell of the other role covers
    under_cell, under_pixels = cell[under], pixels[under]
    under_size = np.bincount(under_cell, minlength=n).astype(np.float64)
    free_size = size - under_size
    means: dict[str, NDArray[np.float64]] = {}
    own_means: dict[str, NDArray[np.float64]] = {}
    for name, channel in zip(names, channels.reshape(len(names), -1), strict=True):
        total = np.bincount(cell, weights=channel[pixels], minlength=n)
        own = total - np.bincount(under_cell, weights=channel[under_pixels], minlength=n)
        means[name] = total / size
        own_means[name] = np.divide(own, free_size, out=np.full(n, np.nan), where=free_size > 0)
    return CellMeasures(
        role=role,
        frame=np.full(n, frame, dtype=np.int32),
        label=present.astype(np.int32),
        y_um=y_um,
        x_um=x_um,
        area_um2=size * calibration.pixel_area_um2,
        eccentricity=eccentricity,
        covered=under_size / size,
        at_border=np.isin(present, _border_labels(image)),
        score=scores[present - 1].astype(np.float64),
        means=means,
        own_means=own_means,
    )


def _cells_of_pixels(values: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels that occur, ascending, and for each pixel the index of its own."""
    if len(values) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if values.max() >= _LARGEST_TABLE:
        present, cell = np.unique(values, return_inverse=True)
        return present.astype(np.int64), cell.astype(np.int64).ravel()
    present = np.flatnonzero(np.bincount(values)).astype(np.int64)
    index = np.zeros(int(present[-1]) + 1, dtype=np.int64)
    index[present] = np.arange(len(present))
    return present, index[values]


def _shape(
    pixels: NDArray[np.int64],
    cell: NDArray[np.int64],
    size: NDArray[np.float64],
    *,
    width: int,
    calibration: Calibration,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres and eccentricity, from the first and second moments in um."""
    y_size, x_size = calibration.pixel_um
    rows, columns = np.divmod(pixels, width)
    n = len(size)
    y_um = np.bincount(cell, weights=rows, minlength=n) / size * y_size
    x_um = np.bincount(cell, weights=columns, minlength=n) / size * x_size
    dy = rows * y_size - y_um[cell]
    dx = columns * x_size - x_um[cell]
    yy = np.bincount(cell, weights=dy * dy, minlength=n) / size + y_size**2 / 12
    xx = np.bincount(cell, weights=dx * dx, minlength=n) / size + x_size**2 / 12
    xy = np.bincount(cell, weights=dy * dx, minlength=n) / size
    mean, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    eccentricity = np.sqrt(np.clip(2 * spread / (mean + spread), 0, 1))
    return y_um, x_um, eccentricity


def _border_labels(image: NDArray[np.int32]) -> NDArray[np.int32]:
    if image.size == 0:
        return np.zeros(0, np.int32)
    return np.unique(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))
