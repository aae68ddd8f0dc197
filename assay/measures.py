"""What is measured of every cell of one frame.

Knows label images, raw channels and calibration. Knows nothing of other frames. Positions are in um with 0 at
the centre of the first pixel, as in OME-Zarr and napari, so points drawn at (y_um, x_um) lie on the labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import CELL_ROLES, CellMeasures, CellRole, FrameLabels, LargeFrameLabels
from assay.units import Calibration

_LARGEST_TABLE = 1 << 22  # labels up to here are counted in a table of their own size
_COUNTED_AS_THEY_ARE = (np.uint8, np.uint16, np.float32, np.float64)  # others are made float64 first


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


def measure_large(
    labels: LargeFrameLabels,
    *,
    frame: int,
    read: Callable[[slice], NDArray[Any]],
    channel_names: Sequence[str],
    calibration: Calibration,
    rows_at_once: int = 256,
) -> dict[CellRole, CellMeasures]:
    """Measure every cell of a frame that is too large to be held: the same as `measure`, to the last bit.

    Args:
        labels: The frame's cells.
        frame: Its number in the film.
        read: Rows -> (C, rows, X) raw intensities; not asked for rows without a cell.
        channel_names: Name of each of the C channels.
        calibration: Gives the pixel size.
        rows_at_once: How many rows are held.
    """
    from assay.label_runs import painted

    height, width = labels.shape
    adding = {
        role: _Adding(
            labels.of(role)[0],
            n_labels=len(labels.of(role)[1]) + 1,
            n_channels=len(channel_names),
            height=height,
        )
        for role in CELL_ROLES
    }
    for top in range(0, height, rows_at_once):
        rows = slice(top, min(top + rows_at_once, height))
        here = {role: runs_in(labels.of(role)[0], rows) for role in CELL_ROLES}
        if not any(map(len, here.values())):
            continue
        channels = read(rows)
        for role, other in (CELL_ROLES, CELL_ROLES[::-1]):
            covering = painted(here[other], (rows.start, rows.stop), (0, width))
            adding[role].add(rows, covering, channels)
    return {
        role: _measures(
            of_role.sums(calibration),
            labels.of(role)[1],
            role,
            frame=frame,
            names=channel_names,
            calibration=calibration,
        )
        for role, of_role in adding.items()
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
    sums = _sums(image, others, channels, calibration)
    return _measures(sums, scores, role, frame=frame, names=names, calibration=calibration)


def _measures(
    sums: "_Sums",
    scores: NDArray[np.float32],
    role: CellRole,
    *,
    frame: int,
    names: Sequence[str],
    calibration: Calibration,
) -> CellMeasures:
    present, size = sums.present, sums.size
    if len(present) and present[-1] > len(scores):
        raise ShapeError(
            f"frame {frame}: {role} label {present[-1]} has no score; expected one score per label, "
            f"got {len(scores)}."
        )
    free_size = size - sums.under_size
    means: dict[str, NDArray[np.float64]] = {}
    own_means: dict[str, NDArray[np.float64]] = {}
    for name, total, under in zip(names, sums.totals, sums.under_totals, strict=True):
        means[name] = total / size
        own_means[name] = np.divide(
            total - under, free_size, out=np.full(len(size), np.nan), where=free_size > 0
        )
    return CellMeasures(
        role=role,
        frame=np.full(len(present), frame, dtype=np.int32),
        label=present.astype(np.int32),
        y_um=sums.centre[:, 0],
        x_um=sums.centre[:, 1],
        area_um2=size * calibration.pixel_area_um2,
        eccentricity=_eccentricity(sums.moments, size, calibration),
        covered=sums.under_size / size,
        at_border=sums.at_border,
        score=scores[present - 1].astype(np.float64),
        means=means,
        own_means=own_means,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Over the pixels of each cell that is there, ordered by label."""

    present: NDArray[np.int64]
    size: NDArray[np.float64]
    under_size: NDArray[np.float64]  # pixels that a cell of the other role covers
    at_border: NDArray[np.bool_]
    centre: NDArray[np.float64]  # (n, 2) in um
    moments: NDArray[np.float64]  # (n, 3) yy, xx, yx about the centre, in um2
    totals: NDArray[np.float64]  # (C, n)
    under_totals: NDArray[np.float64]


def _sums(
    image: NDArray[np.int32], others: NDArray[np.int32], channels: NDArray[Any], calibration: Calibration
) -> _Sums:
    from assay.label_runs import label_runs  # here, so that who only asks for the version need not wait

    names: NDArray[np.int64] | None = None
    runs = label_runs(np.ascontiguousarray(image, dtype=np.int32))[0]
    largest = int(runs[:, 3].max(initial=0))
    if largest >= _LARGEST_TABLE:
        names, compact = np.unique(np.append(runs[:, 3], np.int32(0)), return_inverse=True)
        runs[:, 3], largest = compact[:-1], len(names) - 1
    adding = _Adding(runs, n_labels=largest + 1, n_channels=len(channels), height=len(image))
    adding.add(slice(0, len(image)), others, channels)
    return adding.sums(calibration, names)


class _Adding:
    """Sums over the pixels of cells, from a frame whose rows come one part after the other."""

    def __init__(self, runs: NDArray[np.int32], *, n_labels: int, n_channels: int, height: int) -> None:
        self._runs, self._height = runs, height
        self._counts = np.zeros((n_labels, 3), dtype=np.int64)
        self._places = np.zeros((n_labels, 2), dtype=np.int64)
        self._totals = np.zeros((n_channels, n_labels), dtype=np.float64)
        self._covered = np.zeros((n_channels, n_labels), dtype=np.float64)

    def add(self, rows: slice, others: NDArray[np.int32], channels: NDArray[Any]) -> None:
        """Add these rows: (rows, X) labels of the other role, (C, rows, X) raw pixels."""
        from assay.measure_loops import add_rows

        if channels.dtype not in _COUNTED_AS_THEY_ARE:
            channels = channels.astype(np.float64)
        add_rows(
            runs_in(self._runs, rows),
            np.ascontiguousarray(others, dtype=np.int32),
            np.ascontiguousarray(channels),
            rows.start,
            self._height,
            self._counts,
            self._places,
            self._totals,
            self._covered,
        )

    def sums(self, calibration: Calibration, names: NDArray[np.int64] | None = None) -> _Sums:
        """What was added, with the labels by their names where they have some."""
        from assay.measure_loops import spread_about_centres

        centre, moments = spread_about_centres(self._runs, self._counts, self._places, calibration.pixel_um)
        present = np.flatnonzero(self._counts[:, 0])
        return _Sums(
            present=present if names is None else names[present].astype(np.int64),
            size=self._counts[present, 0].astype(np.float64),
            under_size=self._counts[present, 1].astype(np.float64),
            at_border=self._counts[present, 2] > 0,
            centre=centre[present],
            moments=moments[present],
            totals=self._totals[:, present],
            under_totals=self._covered[:, present],
        )


def runs_in(runs: NDArray[np.int32], rows: slice) -> NDArray[np.int32]:
    """The runs of some rows, of runs in row order."""
    first, stop = np.searchsorted(runs[:, 0], [rows.start, rows.stop])
    return np.ascontiguousarray(runs[first:stop])


def _eccentricity(
    moments: NDArray[np.float64], size: NDArray[np.float64], calibration: Calibration
) -> NDArray[np.float64]:
    yy, xx = (moments[:, axis] / size + calibration.pixel_um[axis] ** 2 / 12 for axis in (0, 1))
    xy = moments[:, 2] / size
    mean, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    return np.sqrt(np.clip(2 * spread / (mean + spread), 0, 1))
