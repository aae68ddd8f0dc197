"""Cells onto pixels: who owns each pixel, how thick the cell is there, its nucleus and its texture.

Within a role every pixel belongs to the cell in which it lies deepest, so neighbours press against each
other instead of overlapping. Pixels are decided by exact arithmetic only (no sine, no exponential), so that
masks come out alike on every processor.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.simulate.cells import Cells
from assay.simulate.shapes import N_DIRECTIONS, Looks, diamond_angle

Pixels = NDArray[np.float32]
_TEXTURE = 256  # size of the texture tile, in samples
_TEXTURE_UM = 0.35  # per sample
_ONE = np.float32(1)


@dataclass(slots=True)
class Canvas:
    """One role painted onto one frame; all (Y, X)."""

    owner: NDArray[np.int32]  # index into the painted looks + 1, 0 is background
    depth: Pixels  # 0 at the outline, 1 at the centre
    height: Pixels  # thickness relative to the cell's thickest point
    nucleus: Pixels  # 0 outside, 1 inside
    grain: Pixels  # fine texture, about 0 +- 1
    cloud: Pixels  # coarse texture


def paint(
    cells: Cells,
    looks: Looks,
    *,
    shape_px: tuple[int, int],
    pixel_um: tuple[float, float],
    origin_um: tuple[float, float],
    adherent: bool,
    outline_only: bool = False,
    plates: bool = False,
) -> Canvas:
    """Paint cells in order of their number.

    Args:
        cells: Where the fixed traits come from.
        looks: The cells to paint, at one moment.
        shape_px: (Y, X) of the frame.
        pixel_um: Pixel size (y, x).
        origin_um: World position of the centre of pixel (0, 0).
        adherent: Spread cells are flat around a dome; others are spheres.
        outline_only: Fill in owner and depth only, which is quicker.
        plates: The chromosomes of dividing cells stand in plates.
    """
    canvas = Canvas(np.zeros(shape_px, np.int32), *(np.zeros(shape_px, np.float32) for _ in range(5)))
    for i in range(len(looks.row)):
        _paint_one(canvas, cells, looks, i, pixel_um, origin_um, None if outline_only else adherent)
    if plates:
        for dividing in np.flatnonzero(looks.plate > 0.3).tolist():
            _put_plates(canvas, cells, looks, dividing, pixel_um, origin_um)
    return canvas


def _paint_one(
    canvas: Canvas,
    cells: Cells,
    looks: Looks,
    i: int,
    pixel_um: tuple[float, float],
    origin_um: tuple[float, float],
    adherent: bool | None,  # None: the outline only
) -> None:
    table = looks.contour_um[i].astype(np.float32)
    squeeze = np.float32(np.round(np.exp(looks.stretch[i]) * 4096) / 4096)
    reach = float(table.max()) * float(max(squeeze, _ONE / squeeze))
    centre = looks.y_um[i] - origin_um[0], looks.x_um[i] - origin_um[1]
    window = _window(centre, reach, pixel_um, canvas.owner.shape)
    if window is None:
        return
    rows, columns = window
    y = (np.arange(rows.start, rows.stop) * pixel_um[0] - centre[0]).astype(np.float32)[:, None]
    x = (np.arange(columns.start, columns.stop) * pixel_um[1] - centre[1]).astype(np.float32)[None, :]
    cosine = np.float32(np.round(np.cos(looks.angle[i]) * 4096) / 4096)
    sine = np.float32(np.round(np.sin(looks.angle[i]) * 4096) / 4096)
    u, v = x * cosine + y * sine, y * cosine - x * sine  # along and across the cell
    su, sv = u / squeeze, v * squeeze
    at = diamond_angle(sv, su) * np.float32(N_DIRECTIONS / 4)
    index = np.minimum(at.astype(np.int32), N_DIRECTIONS - 1)
    part = at - index
    low = table[index]
    radius = low + (table[index + 1] - low) * part
    distance = np.sqrt(su * su + sv * sv)
    depth = _ONE - distance / radius
    best = canvas.depth[rows, columns]
    wins = depth > best
    if not wins.any():
        return
    if adherent is None:
        canvas.owner[rows, columns][wins] = i + 1
        best[wins] = depth[wins]
        return
    _fill(canvas, (rows, columns), wins, cells, looks, i, (u, v, distance, depth), adherent)


def _fill(
    canvas: Canvas,
    at: tuple[slice, slice],
    wins: NDArray[np.bool_],
    cells: Cells,
    looks: Looks,
    i: int,
    fields: tuple[Pixels, Pixels, Pixels, Pixels],
    adherent: bool,
) -> None:
    u, v, distance, depth = (field[wins] for field in fields)
    row = looks.row[i]
    round_ = np.float32(looks.roundness[i])
    sphere = np.sqrt(depth * (2 - depth))
    height = sphere
    nucleus_um = float(
        cells.nucleus_um[row] * (1 - 0.28 * looks.condensed[i]) * min(1.0, looks.size[i] ** 0.35)
    )
    if adherent:
        dome = np.maximum(_ONE - (distance / np.float32(2.1 * nucleus_um)) ** 2, 0)
        flat = np.minimum(depth * np.float32(7), _ONE) * (np.float32(0.26) + np.float32(0.74) * dome * dome)
        height = round_ * sphere + (_ONE - round_) * flat
    shift = cells.nucleus_shift[row] * (1 - looks.roundness[i])
    aspect = float(1 + (cells.nucleus_aspect[row] - 1) * (1 + 2.5 * max(looks.stretch[i] - 0.2, 0)))
    near = (
        ((u - np.float32(shift[1])) / np.float32(aspect)) ** 2
        + ((v - np.float32(shift[0])) * np.float32(aspect)) ** 2
    ) / np.float32(nucleus_um**2)
    grain, cloud = _texture(u, v, cells.texture_at[row])
    canvas.owner[at][wins] = i + 1
    canvas.depth[at][wins] = depth
    canvas.height[at][wins] = height
    canvas.nucleus[at][wins] = np.clip((_ONE - near - np.float32(0.12) * cloud) * np.float32(4), 0, 1)
    canvas.grain[at][wins] = grain
    canvas.cloud[at][wins] = cloud


def _put_plates(
    canvas: Canvas,
    cells: Cells,
    looks: Looks,
    i: int,
    pixel_um: tuple[float, float],
    origin_um: tuple[float, float],
) -> None:
    """Instead of the round nucleus a plate across the axis of division, later two that move apart."""
    centre = looks.y_um[i] - origin_um[0], looks.x_um[i] - origin_um[1]
    window = _window(centre, 1.5 * float(looks.radius_um[i]), pixel_um, canvas.owner.shape)
    if window is None:
        return
    mine = canvas.owner[window] == i + 1
    y = (np.arange(window[0].start, window[0].stop) * pixel_um[0] - centre[0]).astype(np.float32)[:, None]
    x = (np.arange(window[1].start, window[1].stop) * pixel_um[1] - centre[1]).astype(np.float32)[None, :]
    cosine, sine = (np.float32(np.round(f(looks.angle[i]) * 4096) / 4096) for f in (np.cos, np.sin))
    u, v = x * cosine + y * sine, y * cosine - x * sine
    nucleus_um = np.float32(cells.nucleus_um[looks.row[i]])
    parted = np.float32(max(looks.plate[i] - 1, 0) * 0.5 * looks.radius_um[i])
    away = np.abs(u) - parted if parted else u
    near = (away / (np.float32(0.34) * nucleus_um)) ** 2 + (v / (np.float32(0.95) * nucleus_um)) ** 2
    plate = np.clip((_ONE - near - np.float32(0.12) * canvas.cloud[window]) * np.float32(4), 0, 1)
    canvas.nucleus[window] = np.where(mine, plate, canvas.nucleus[window])


def _texture(u: Pixels, v: Pixels, start: NDArray[np.int64]) -> tuple[Pixels, Pixels]:
    """Fine and coarse texture at places in the cell's own frame; it moves and turns with the cell."""
    fine, coarse = texture_tiles()
    ty = ((v + np.float32(500)) * np.float32(1 / _TEXTURE_UM)).astype(np.int32) + np.int32(start[0])
    tx = ((u + np.float32(500)) * np.float32(1 / _TEXTURE_UM)).astype(np.int32) + np.int32(start[1])
    ty &= _TEXTURE - 1
    tx &= _TEXTURE - 1
    return fine[ty, tx], coarse[ty, tx]


def _window(
    centre_um: tuple[float, float], reach_um: float, pixel_um: tuple[float, float], shape_px: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """Pixels that a cell can cover; None when it lies outside the frame."""
    slices = []
    for centre, size, n in zip(centre_um, pixel_um, shape_px, strict=True):
        first = max(int(np.floor((centre - reach_um) / size)), 0)
        last = min(int(np.ceil((centre + reach_um) / size)), n - 1)
        if first > last:
            return None
        slices.append(slice(first, last + 1))
    return slices[0], slices[1]


@lru_cache(maxsize=1)
def texture_tiles() -> tuple[Pixels, Pixels]:
    """Fine and coarse random texture that wraps around, mean 0, standard deviation 1, in steps of 1/256."""
    rng = np.random.Generator(np.random.PCG64(20261122))
    tiles = []
    for sigmas in ((1.2, 2.5), (5.0, 12.0)):
        noise = rng.normal(0, 1, (_TEXTURE, _TEXTURE))
        layers = [ndimage.gaussian_filter(noise, sigma, mode="wrap") for sigma in sigmas]
        mixed = sum(layer / np.std(layer) for layer in layers)
        tiles.append((np.round(mixed / np.std(mixed) * 256) / 256).astype(np.float32))
    return tiles[0], tiles[1]
