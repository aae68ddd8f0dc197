"""Outlines that are never discs, and what the stages of a life do to them.

A cell's outline is a radius as a function of direction in the cell's own frame: slow random waves, processes
that reach out and retract, blebs while it dies, then a stretch along its axis. Direction is counted by the
"diamond" angle in 0..4, which needs no arctangent, so that pixels come out alike on every processor.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.simulate.cells import MODES, N_BUMPS, Cells, Floats

N_DIRECTIONS = 128
_BLEB_LOBES = (4, 5, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What the cells look like at one moment; rows as in the `Cells` they come from."""

    time_min: float
    row: NDArray[np.int64]  # row in `Cells`
    y_um: Floats
    x_um: Floats
    angle: Floats
    size: Floats  # radius in units of the grown, spread radius
    roundness: Floats  # 0 spread, 1 rounded up
    stretch: Floats  # half the logarithm of length / width
    bleb: Floats
    dye: Floats  # death dye inside
    marker: Floats  # cytoplasmic marker kept
    condensed: Floats  # nucleus
    plate: Floats  # chromosomes in a plate: 0 not, 1 in one, 2 in two that have parted
    radius_um: Floats  # of the disc of the same area, now
    contour_um: Floats  # (n, N_DIRECTIONS + 1), by diamond angle, before the stretch


def diamond_angle(y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Direction of (y, x) as a number in 0..4: 0 along x, 1 along y. Only exact arithmetic."""
    total = np.abs(y) + np.abs(x)
    np.maximum(total, np.float32(1e-6), out=total)
    p = y / total
    result: NDArray[np.float32] = np.where(x < 0, np.float32(2) - p, np.where(y < 0, np.float32(4) + p, p))
    return result


def _direction_angles() -> Floats:
    p = np.arange(N_DIRECTIONS + 1) * (4.0 / N_DIRECTIONS)
    quarter = np.floor(p).astype(int) % 4
    part = p - np.floor(p)
    along, across = 1 - part, part
    x = np.choose(quarter, [along, -across, -along, across])
    y = np.choose(quarter, [across, along, -across, -along])
    angles: Floats = np.arctan2(y, x)
    return angles


DIRECTIONS = _direction_angles()


def smooth_step(value: Floats) -> Floats:
    """0 below 0, 1 above 1, smooth between."""
    part: Floats = np.clip(value, 0.0, 1.0)
    return part * part * (3 - 2 * part)


def looks_at(cells: Cells, rows: NDArray[np.int64], time_min: float) -> Looks:
    """Work out what the given cells look like at a time."""
    c = cells
    since_onset = time_min - c.onset_min[rows]  # -inf for the living
    dying = ~c.necrotic[rows] * smooth_step((since_onset + 28) / 32)
    after = smooth_step(since_onset / 35)
    dead = np.maximum(dying, after)
    dividing, splitting = _mitosis(cells, rows, time_min)
    age = time_min - c.birth_min[rows]
    young = np.where(c.parent[rows] >= 0, 1 - smooth_step(age / 45), 0.0)
    roundness = np.maximum.reduce([dead, dividing, young])
    grown = 1 - (1 - c.daughter_growth[rows]) * np.exp(-np.maximum(age, 0) / 400)
    size = grown * (1 + roundness * (c.rounded_size[rows] - 1))
    swelling = c.necrotic[rows] * 0.08 * smooth_step((since_onset + 6) / 8) * (1 - after)
    size = size * (1 + after * (np.maximum(c.death_size[rows], 0.72) - 1)) * (1 + swelling)
    entered = np.maximum(since_onset, 0)
    bleb = (
        ~c.necrotic[rows] * smooth_step((since_onset + 22) / 15) * (1 - smooth_step((since_onset - 30) / 40))
    )
    bound = c.bound_to[rows] >= 0
    free_stretch = c.log_stretch[rows] * (1 - roundness) * np.where(bound, 0.4, 1.0)
    radius = c.radius_um[rows] * size
    return Looks(
        time_min=time_min,
        row=rows,
        y_um=c.y_um[rows],
        x_um=c.x_um[rows],
        angle=c.angle[rows],
        size=size,
        roundness=roundness,
        stretch=free_stretch + 0.3 * splitting,
        bleb=bleb,
        dye=c.dye_level[rows] * (1 - np.exp(-entered / c.dye_rise_min[rows])) * np.exp(-entered / 1500),
        marker=1 - 0.8 * (1 - np.exp(-entered / 28)),
        condensed=np.maximum(0.9 * dead, dividing),
        plate=np.where(dead < 0.1, dividing + splitting, 0.0),
        radius_um=radius,
        contour_um=_contours(cells, rows, roundness, bleb, radius, time_min),
    )


def without_contours(looks: Looks) -> Looks:
    """The same without its largest part, for keeping every frame of a film."""
    return replace(looks, contour_um=np.zeros((0, N_DIRECTIONS + 1)))


def with_contours(cells: Cells, looks: Looks) -> Looks:
    """Work the outlines out again; they come out the same."""
    contour = _contours(cells, looks.row, looks.roundness, looks.bleb, looks.radius_um, looks.time_min)
    return replace(looks, contour_um=contour)


def _mitosis(cells: Cells, rows: NDArray[np.int64], time_min: float) -> tuple[Floats, Floats]:
    since = time_min - cells.mitosis_min[rows]
    left = cells.mitosis_end_min[rows] - time_min
    dividing = np.where(since >= 0, smooth_step(since / 18), 0.0)
    splitting = np.where(since >= 0, smooth_step((10 - np.minimum(left, 10)) / 10), 0.0)
    return dividing, splitting


def _contours(
    cells: Cells, rows: NDArray[np.int64], roundness: Floats, bleb: Floats, radius: Floats, time_min: float
) -> Floats:
    """Radius in um by diamond angle: (n, N_DIRECTIONS + 1), the last equal to the first."""
    theta = DIRECTIONS[:-1]
    free = 1 - 0.88 * roundness
    turn = cells.mode_phase[rows] + cells.mode_rate[rows] * time_min
    swing = (cells.mode_amplitude[rows] * free[:, None])[:, :, None]
    # cos(k theta + turn), written with tables of k theta: two products instead of a cosine per point
    cos_k, sin_k = np.cos(MODES[:, None] * theta), np.sin(MODES[:, None] * theta)
    shape = 1 + (swing * np.cos(turn)[:, :, None] * cos_k - swing * np.sin(turn)[:, :, None] * sin_k).sum(
        axis=1
    )
    bumps = cells.bump_amplitude[rows] * free[:, None]
    reach = bumps * (0.6 + 0.4 * np.sin(cells.bump_phase[rows] + cells.bump_rate[rows] * time_min))
    for b in range(N_BUMPS):
        some = np.flatnonzero(reach[:, b] > 0.01)
        if len(some):
            off = np.cos(theta - cells.bump_angle[rows[some], b][:, None]) - 1
            shape[some] += reach[some, b][:, None] * np.exp(
                cells.bump_sharpness[rows[some], b][:, None] * off
            )
    blebbing = np.flatnonzero(bleb > 0.02)
    if len(blebbing):
        shape[blebbing] += _blebs(cells, rows[blebbing], bleb[blebbing], time_min)
    norm = 1 + (cells.shape_norm[rows] - 1) * free
    contour = np.maximum(shape, 0.35) * (radius / norm)[:, None]
    closed: Floats = np.concatenate([contour, contour[:, :1]], axis=1)
    closed = np.round(closed * 256)
    closed /= 256
    return closed


def _blebs(cells: Cells, rows: NDArray[np.int64], strength: Floats, time_min: float) -> Floats:
    """Round lobes that swell and shrink within minutes, with sharp notches between them."""
    theta = DIRECTIONS[:-1]
    lobes = np.zeros((len(rows), len(theta)))
    for k, count in enumerate(_BLEB_LOBES):
        phase = cells.mode_phase[rows, k] + 0.03 * time_min
        swell = 0.5 + 0.5 * np.sin(5 * cells.mode_phase[rows, k + 2] + (0.35 + 0.1 * k) * time_min)
        wave = np.abs(np.cos(0.5 * count * theta + phase[:, None])) - 0.64
        uneven = 1 + 0.8 * np.cos(theta + 3 * phase[:, None])
        lobes += 0.17 * swell[:, None] * wave * uneven
    result: Floats = strength[:, None] * lobes
    return result


def radius_along(looks: Looks, index: NDArray[np.int64], angle: Floats) -> Floats:
    """How far each cell's outline lies from its centre in a world direction, in um."""
    own = angle - looks.angle[index]
    squeeze = np.exp(looks.stretch[index])
    y, x = np.sin(own) * squeeze, np.cos(own) / squeeze
    p = diamond_angle(y.astype(np.float32), x.astype(np.float32)).astype(np.float64)
    at = np.minimum((p * (N_DIRECTIONS / 4)).astype(int), N_DIRECTIONS - 1)
    part = p * (N_DIRECTIONS / 4) - at
    table = looks.contour_um
    radius = table[index, at] * (1 - part) + table[index, at + 1] * part
    along: Floats = radius / np.hypot(y, x)
    return along
