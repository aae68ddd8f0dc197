"""The film of one event: a crop around the pair in colours, with outlines and the gap between the two.

Knows crops of images and of labels. Knows no window. Made in a worker thread, by `ClipStore`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.report.crops import OUTSIDE, compose, contours, stretch
from assay.stack import FieldId
from assay.touching import touching_pairs
from assay.units import Calibration
from napari_plugin.cell_book import FieldCells
from napari_plugin.films import FieldImages

FRAMES_BEFORE = FRAMES_AFTER = 12
LEAST_UM = 48.0
MOST_UM = 130.0
_MARGIN_UM = 12.0
_GAP_LIMIT_UM = 60.0

Outline = NDArray[np.float64]
"""(N, 2) points (y, x) in pixels of the field, 0 in the centre of the first pixel."""
Cell = tuple[CellRole, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipKey:
    """What a clip is of."""

    event: str
    field: FieldId
    frame: int  # of the onset
    target: int
    effectors: tuple[int, ...]  # the killer and the candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One event, some frames before and after the death."""

    key: ClipKey
    first_frame: int
    top: int
    left: int
    pixel_um: tuple[float, float]
    colours: NDArray[np.uint8]  # (t, y, x, 3)
    dye: NDArray[np.uint8] | None  # (t, y, x); None without such a channel
    outlines: Mapping[Cell, tuple[tuple[Outline, ...], ...]]  # per frame
    gaps: Mapping[int, NDArray[np.float64]]  # effector -> (t,) um to the target, NaN where one is not seen
    has_images: bool

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.colours)

    @property
    def last_frame(self) -> int:
        """Last frame, included."""
        return self.first_frame + self.n_frames - 1

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.colours.nbytes + (0 if self.dye is None else self.dye.nbytes)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the field, in pixels."""

    top: int
    left: int
    height: int
    width: int


def make_clip(key: ClipKey, films: FieldImages, cells: FieldCells) -> Clip:
    """Read and compose one event. Meant for a worker thread.

    Args:
        key: Which event, and the cells to outline.
        films: Images and labels of its field.
        cells: Where its cells are.
    """
    n_frames = films.shape[0]
    first = max(0, key.frame - FRAMES_BEFORE)
    frames = list(range(first, min(n_frames - 1, key.frame + FRAMES_AFTER) + 1))
    window = window_around(key, cells, films.calibration, (first, frames[-1]))
    inside, rows, columns = _clipped(window, films.shape[1:])
    labels: dict[CellRole, NDArray[Any]] = {
        role: _padded(films.crop_labels(role, frames, rows, columns), inside, window) for role in CELL_ROLES
    }
    colours, dye = _colours(films, frames, rows, columns, inside, window)
    cells_of: dict[CellRole, tuple[int, ...]] = {"target": (key.target,), "effector": key.effectors}
    outlines: dict[Cell, tuple[tuple[Outline, ...], ...]] = {
        (role, track): tuple(_outlines(image == track, window) for image in labels[role])
        for role, tracks in cells_of.items()
        for track in tracks
    }
    return Clip(
        key=key,
        first_frame=first,
        top=window.top,
        left=window.left,
        pixel_um=films.calibration.pixel_um,
        colours=colours,
        dye=dye,
        outlines=outlines,
        gaps=_gaps(key, labels, films.calibration),
        has_images=bool(films.channels),
    )


def window_around(
    key: ClipKey, cells: FieldCells, calibration: Calibration, frames: tuple[int, int]
) -> Window:
    """A square around the target and its killer; it stays still, so that movement is seen.

    It holds the target all the time if that is possible, and may reach over the edge of the image.
    """
    target = cells.track("target", key.target)
    centre = target.near(key.frame) or (0.0, 0.0)
    kept = target.between(*frames)
    ys, xs = [centre[0], *target.y_um[kept]], [centre[1], *target.x_um[kept]]
    if key.effectors:
        killer = cells.track("effector", key.effectors[0]).near(key.frame)
        if killer is not None and np.hypot(killer[0] - centre[0], killer[1] - centre[1]) < LEAST_UM:
            ys, xs = [*ys, killer[0]], [*xs, killer[1]]
    middle = (max(ys) + min(ys)) / 2, (max(xs) + min(xs)) / 2
    reach = max(max(ys) - min(ys), max(xs) - min(xs)) + 2 * _MARGIN_UM
    side = float(np.clip(reach, LEAST_UM, MOST_UM))
    if reach > MOST_UM:
        middle = centre
    height, width = (max(8, round(side / size)) for size in calibration.pixel_um)
    y, x = middle[0] / calibration.pixel_um[0], middle[1] / calibration.pixel_um[1]
    return Window(round(y - height / 2), round(x - width / 2), height, width)


def _clipped(window: Window, plane: tuple[int, int]) -> tuple[tuple[slice, slice], slice, slice]:
    """(where the part inside the image lies in the window, its rows, its columns)."""
    y0, y1 = (min(max(edge, 0), plane[0]) for edge in (window.top, window.top + window.height))
    x0, x1 = (min(max(edge, 0), plane[1]) for edge in (window.left, window.left + window.width))
    inside = slice(y0 - window.top, y1 - window.top), slice(x0 - window.left, x1 - window.left)
    return inside, slice(y0, y1), slice(x0, x1)


def _padded(part: NDArray[Any], inside: tuple[slice, slice], window: Window) -> NDArray[Any]:
    whole = np.zeros((*part.shape[:-2], window.height, window.width), dtype=part.dtype)
    whole[(..., *inside)] = part
    return whole


def _colours(
    films: FieldImages,
    frames: Sequence[int],
    rows: slice,
    columns: slice,
    inside: tuple[slice, slice],
    window: Window,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """(colours, death dye alone); grey where there is no image."""
    colours = np.full((len(frames), window.height, window.width, 3), OUTSIDE, dtype=np.uint8)
    if not films.channels:
        return colours, None
    raw = _full_size(films.crop(frames, rows, columns), films.channels[0].shrink, rows, columns)
    windows = np.array([_window_of(raw[:, n], c.limits) for n, c in enumerate(films.channels)])
    roles: dict[ChannelRole, list[int]] = {}
    for number, channel in enumerate(films.channels):
        if channel.role is not None:
            roles.setdefault(channel.role, []).append(number)
    part = (slice(None), *inside)
    colours[part] = np.stack([compose(frame, roles, windows) for frame in raw])
    if "death" not in roles:
        return colours, None
    dye = np.full(colours.shape[:3], OUTSIDE, dtype=np.uint8)
    number = roles["death"][0]
    dye[part] = np.round(255 * stretch(raw[:, number], windows[number])).astype(np.uint8)
    return colours, dye


def _full_size(film: NDArray[Any], shrink: int, rows: slice, columns: slice) -> NDArray[Any]:
    """A preview's pixels, each as large as it is in the full image."""
    if shrink == 1:
        return film
    y, x = rows.start % shrink, columns.start % shrink
    large = film.repeat(shrink, axis=-2).repeat(shrink, axis=-1)
    return large[..., y : y + rows.stop - rows.start, x : x + columns.stop - columns.start]


def _window_of(film: NDArray[Any], limits: tuple[float, float]) -> tuple[float, float]:
    """One window for all frames, so that a rising dye is seen to rise; noise is not blown up to look like signal."""
    low, high = float(limits[0]), float(limits[1])
    bright = float(np.percentile(film, 99.7)) if film.size else high
    least = low + max(0.2 * (high - low), 1e-6)
    return low, max(bright, least)


def _outlines(mask: NDArray[np.bool_], window: Window) -> tuple[Outline, ...]:
    """Outlines of a cell in one frame, cut close first: most of a crop is not it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ()
    y0, x0 = int(rows[0]), int(columns[0])
    close = mask[y0 : int(rows[-1]) + 1, x0 : int(columns[-1]) + 1]
    size = np.array(close.shape, dtype=np.float64)
    shift = np.array([window.top + y0, window.left + x0], dtype=np.float64) - 0.5
    return tuple(polygon * size + shift for polygon in contours(close))


def _gaps(
    key: ClipKey, labels: Mapping[CellRole, NDArray[Any]], calibration: Calibration
) -> dict[int, NDArray[np.float64]]:
    """Gap from each effector to the target, per frame, by the product's own definition."""
    gaps = {effector: np.full(len(labels["target"]), np.nan) for effector in key.effectors}
    if not key.effectors:
        return gaps
    for place, (effectors, targets) in enumerate(zip(labels["effector"], labels["target"], strict=True)):
        mine = np.where(np.isin(effectors, key.effectors), effectors, 0).astype(np.int32)
        target = (targets == key.target).astype(np.int32)
        if not (mine.any() and target.any()):
            continue
        pairs = touching_pairs(
            mine, target, frame=place, calibration=calibration, max_gap_um=_GAP_LIMIT_UM, enter_um=1.0
        )
        for effector, gap in zip(pairs.effector_label.tolist(), pairs.gap_um.tolist(), strict=True):
            gaps[effector][place] = gap
    return gaps


MakeClip = Callable[[ClipKey], Clip]
