"""From maps to cells: every foreground pixel hops once to its centre, and belongs to the seed it lands near.

Knows the maps of one whole frame. No watershed: the network says where the centre is, so touching cells part
where it says. Nothing here depends on tiles, batch or device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

from assay.labels import CellRole


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleMaps:
    """What the network says of one cell role, on the frame's own grid."""

    foreground: NDArray[np.float32]  # (Y, X) probability that a cell of the role lies here
    heat: NDArray[np.float32]  # (Y, X) 1 at a cell's centre, falling towards its outline
    offset_y: NDArray[np.float32]  # (Y, X) from this pixel to its cell's centre, in pixels
    offset_x: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFeatures:
    """What the maps say of each cell of one role: (n,) arrays, row i is label i + 1.

    Made to tell a right cell from a wrong one; sums are of whole numbers, so that they are the same on every
    device.
    """

    seed_y: NDArray[np.int32]  # pixel of the frame
    seed_x: NDArray[np.int32]
    vote_miss_um: NDArray[np.float32]  # how far its pixels' votes miss the seed, root mean square
    foreground: NDArray[np.float32]  # mean probability that its pixels are a cell of its role
    heat: NDArray[np.float32]  # probability of the seed
    area_um2: NDArray[np.float32]
    class_margin: NDArray[np.float32]  # `foreground` less the mean probability of the other role, -1..1
    unsure: NDArray[np.float32]  # share of its pixels whose probability lies below 0.8

    def __len__(self) -> int:
        return len(self.seed_y)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedCells:
    """The cells of one role in one frame."""

    labels: NDArray[np.int32]  # (Y, X), 1..n ordered by the (y, x) of the seeds, 0 is background
    features: CellFeatures


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """How maps become cells; lengths in um, so that they hold at any pixel size."""

    min_foreground: float = 0.5
    min_heat: float = 0.35
    seed_radius_um: float = 2.0  # two centres are never nearer
    capture_um: float = 5.0  # a vote belongs to the nearest seed within this
    min_area_um2: float = 15.0
    vote_spread_um: float = 2.0  # rms miss of the votes that halves a cell's score


SETTINGS: Mapping[CellRole, DecodeSettings] = {
    "effector": DecodeSettings(),
    # spread cells are large, and their ends are vague about the centre
    "target": DecodeSettings(min_heat=0.4, seed_radius_um=3.0, capture_um=9.0),
}
"""Chosen on simulated films that no model was trained on and none is scored on."""


def decode(
    maps: RoleMaps, *, pixel_um: tuple[float, float], settings: DecodeSettings
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Make the label image of one role.

    Each cell is one connected piece. A frame without any cell gives zeros and no scores.

    Args:
        maps: Of one frame.
        pixel_um: Pixel size (y, x) of the maps' grid.
        settings: Thresholds.

    Returns:
        (Y, X) label image, 1..n ordered by the (y, x) of the seeds, and (n,) scores in 0..1: how well the
        cell's votes meet, times its mean foreground probability, times the heat of its seed.
    """
    height, width = maps.foreground.shape
    labels = np.zeros((height, width), dtype=np.int32)
    seed_y, seed_x = _seeds(maps, pixel_um, settings)
    y, x = np.nonzero(maps.foreground > settings.min_foreground)
    if not (len(seed_y) and len(y)):
        return labels, np.zeros(0, dtype=np.float32)
    catchment = _catchment(seed_y, seed_x, (height, width), pixel_um, settings.capture_um)
    land_y, land_x = _landing(maps, y, x)
    owner = catchment[_rounded(land_y, height), _rounded(land_x, width)]
    labels[y, x] = owner
    labels[y, x] = owner = _largest_pieces(labels)[y, x]
    area_um2 = np.bincount(owner, minlength=len(seed_y) + 1)[1:] * (pixel_um[0] * pixel_um[1])
    kept = area_um2 >= settings.min_area_um2
    new_label = np.zeros(len(seed_y) + 1, dtype=np.int32)
    new_label[1:][kept] = np.arange(1, kept.sum() + 1)
    labels[y, x] = owner = new_label[owner]
    seeds = (seed_y[kept], seed_x[kept])
    return labels, _scores(maps, (y, x), (land_y, land_x), owner, seeds, pixel_um, settings)


def _seeds(
    maps: RoleMaps, pixel_um: tuple[float, float], settings: DecodeSettings
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Peaks of the heat inside the foreground, ordered by (y, x); of equal ones the first."""
    ry, rx = (max(1, round(settings.seed_radius_um / size)) for size in pixel_um)
    highest = _highest_within(_highest_within(maps.heat, ry, axis=0), rx, axis=1)
    inside = maps.foreground > settings.min_foreground
    y, x = np.nonzero((maps.heat >= settings.min_heat) & (maps.heat == highest) & inside)
    first = _first_of_equals(y, x, highest.shape, (ry, rx))
    return y[first], x[first]


def _highest_within(image: NDArray[np.float32], radius: int, *, axis: int) -> NDArray[np.float32]:
    """Highest value within `radius` pixels along an axis; windows grow by doubling."""
    pads = [(0, 0), (0, 0)]
    pads[axis] = (radius, radius)
    wide = np.pad(image, pads, constant_values=-np.inf)
    wide = wide if axis == 0 else wide.T
    span, window = 1, 2 * radius + 1
    while 2 * span <= window:
        wide = np.maximum(wide[:-span], wide[span:])
        span *= 2
    if span < window:
        wide = np.maximum(wide[: span - window], wide[window - span :])
    return wide if axis == 0 else wide.T


def _first_of_equals(
    y: NDArray[np.intp], x: NDArray[np.intp], shape: tuple[int, ...], radius: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which peaks have no earlier peak within `radius`: peaks that near are equally high."""
    rank = np.zeros(shape, dtype=np.int32)
    rank[y, x] = np.arange(len(y), 0, -1)
    first = np.ones(len(y), dtype=bool)
    for dy in range(-radius[0], 1):
        for dx in range(-radius[1], radius[1] + 1):
            other_y, other_x = y + dy, x + dx
            inside = (other_y >= 0) & (other_x >= 0) & (other_x < shape[1])
            first[inside] &= rank[other_y[inside], other_x[inside]] <= rank[y[inside], x[inside]]
    return first


def _catchment(
    seed_y: NDArray[np.intp],
    seed_x: NDArray[np.intp],
    shape: tuple[int, ...],
    pixel_um: tuple[float, float],
    capture_um: float,
) -> NDArray[np.int32]:
    """(Y, X): at each pixel within `capture_um` of a seed, the number from 1 of the nearest seed."""
    reach = [int(capture_um / size) for size in pixel_um]
    steps = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1].reshape(2, -1)
    distance = np.hypot(steps[0] * pixel_um[0], steps[1] * pixel_um[1])
    order = np.argsort(-distance, kind="stable")  # far first: what is nearer overwrites
    catchment = np.zeros(shape, dtype=np.int32)
    # from the last seed to the first, so that of two equally near ones the first is kept
    y, x = seed_y[::-1], seed_x[::-1]
    number = np.arange(len(y), 0, -1, dtype=np.int32)
    for step in order[distance[order] <= capture_um]:
        to_y, to_x = y + steps[0, step], x + steps[1, step]
        inside = (to_y >= 0) & (to_y < shape[0]) & (to_x >= 0) & (to_x < shape[1])
        catchment[to_y[inside], to_x[inside]] = number[inside]
    return catchment


def _landing(
    maps: RoleMaps, y: NDArray[np.intp], x: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = maps.foreground.shape
    land_y = np.clip(y.astype(np.float32) + maps.offset_y[y, x], 0, height - 1)
    land_x = np.clip(x.astype(np.float32) + maps.offset_x[y, x], 0, width - 1)
    return land_y, land_x


def _rounded(place: NDArray[np.float32], length: int) -> NDArray[np.intp]:
    return np.minimum(np.rint(place).astype(np.intp), length - 1)


def _largest_pieces(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keep of each label its largest connected piece (of equal ones the first), the rest is background."""
    pieces = connected_components(labels, connectivity=2, background=0)
    size = np.bincount(pieces.ravel())
    label_of = np.zeros(len(size), dtype=np.int32)
    label_of[pieces] = labels
    order = np.lexsort((np.arange(len(size)), -size, label_of))
    first = np.ones(len(order), dtype=bool)
    first[1:] = label_of[order][1:] != label_of[order][:-1]
    kept = np.zeros(len(size), dtype=np.int32)
    kept[order[first]] = label_of[order[first]]
    kept[0] = 0
    return kept[pieces]  # type: ignore[no-any-return]


def _scores(
    maps: RoleMaps,
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    landing: tuple[NDArray[np.float32], NDArray[np.float32]],
    owner: NDArray[np.int32],
    seeds: tuple[NDArray[np.intp], NDArray[np.intp]],
    pixel_um: tuple[float, float],
    settings: DecodeSettings,
) -> NDArray[np.float32]:
    n = len(seeds[0])
    owned = owner > 0
    cell = owner[owned] - 1
    y, x = pixels[0][owned], pixels[1][owned]
    miss_y = (landing[0][owned] - seeds[0][cell]) * pixel_um[0]
    miss_x = (landing[1][owned] - seeds[1][cell]) * pixel_um[1]
    count = np.maximum(np.bincount(cell, minlength=n), 1)
    square_miss = np.bincount(cell, weights=miss_y**2 + miss_x**2, minlength=n) / count
    concentration = 1 / (1 + square_miss / settings.vote_spread_um**2)
    foreground = np.bincount(cell, weights=maps.foreground[y, x], minlength=n) / count
    score = concentration * foreground * maps.heat[seeds]
    return np.clip(score, 0, 1).astype(np.float32)
