"""What lies in a field and is no cell of the assay: specks, red cells, fragments, fibres.

None of it is in any truth.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from assay.labels import CHANNEL_ROLES
from assay.simulate.cells import Floats
from assay.simulate.hardships import RedCellLook
from assay.simulate.paint import Pixels
from assay.simulate.scenario import Scenario

_STEPS = 64  # of a red cell's profile
_REACH = 1.7  # of that profile, in radii


@dataclass(frozen=True, slots=True, kw_only=True)
class Clutter:
    """Clutter on the pixels of one frame."""

    shade: Pixels  # (Y, X) share of transmitted light that is added or taken
    thick: Pixels  # (Y, X) in um, refracts as cells do
    glow: Pixels  # (roles, Y, X) in units of a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Debris:
    """Specks that lie in the field and are no cells."""

    y_um: Floats
    x_um: Floats
    radius_um: Floats
    glow: Floats  # in the dyes, in units of a cell


def draw_debris(scenario: Scenario, rng: np.random.Generator, size_um: Floats) -> Debris:
    """Specks for the whole film."""
    n = int(rng.poisson(scenario.optics.debris_per_mm2 * size_um[0] * size_um[1] / 1e6))
    return Debris(
        y_um=rng.uniform(0, size_um[0], n),
        x_um=rng.uniform(0, size_um[1], n),
        radius_um=rng.gamma(3.0, 0.35, n).clip(0.4, 3.0),
        glow=np.where(rng.random(n) < 0.3, rng.gamma(1.5, 0.3, n), 0.0),
    )


def speck_image(debris: Debris, scenario: Scenario, origin_um: tuple[float, float]) -> tuple[Pixels, Pixels]:
    """Thickness and glow of the debris."""
    shape = scenario.shape_px
    thick, glow = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for y, x, radius, shine in zip(debris.y_um, debris.x_um, debris.radius_um, debris.glow, strict=True):
        cy, cx = (y - origin_um[0]) / scenario.pixel_um[0], (x - origin_um[1]) / scenario.pixel_um[1]
        ry, rx = radius / scenario.pixel_um[0] + 1, radius / scenario.pixel_um[1] + 1
        r0, r1 = max(int(cy - ry), 0), min(int(cy + ry) + 2, shape[0])
        c0, c1 = max(int(cx - rx), 0), min(int(cx + rx) + 2, shape[1])
        if r0 >= r1 or c0 >= c1:
            continue
        dy = ((np.arange(r0, r1) - cy) / ry)[:, None]
        dx = ((np.arange(c0, c1) - cx) / rx)[None, :]
        bump = np.maximum(1 - dy * dy - dx * dx, 0).astype(np.float32)
        thick[r0:r1, c0:c1] += np.float32(2 * radius) * bump
        glow[r0:r1, c0:c1] += np.float32(shine) * bump
    return thick, glow


def draw_clutter(scenario: Scenario, rng: np.random.Generator) -> Clutter:
    """Draw the clutter of one frame and put it on its pixels."""
    shape, traits = scenario.shape_px, scenario.hardships.clutter
    clutter = Clutter(
        shade=np.zeros(shape, np.float32),
        thick=np.zeros(shape, np.float32),
        glow=np.zeros((len(CHANNEL_ROLES), *shape), np.float32),
    )
    area_mm2 = shape[0] * shape[1] * scenario.calibration.pixel_area_um2 / 1e6
    _put_red_cells(clutter, scenario, rng, int(rng.poisson(traits.red_cells_per_mm2 * area_mm2)))
    _put_fragments(clutter, scenario, rng, int(rng.poisson(traits.fragments_per_mm2 * area_mm2)))
    for _ in range(int(rng.poisson(traits.fibres_per_mm2 * area_mm2))):
        _put_fibre(clutter, scenario, rng)
    return clutter


def _put_red_cells(clutter: Clutter, scenario: Scenario, rng: np.random.Generator, n: int) -> None:
    if n == 0:
        return
    traits = scenario.hardships.clutter
    places = _in_clumps(scenario, rng, n)
    radii = traits.red_cell_um * np.exp(rng.normal(0, 0.08, n))
    profiles = np.stack([_profile(traits.red_cell_look, rng) for _ in range(4)])
    kinds = rng.integers(0, len(profiles), n)
    strength = traits.red_cell_strength * np.exp(rng.normal(0, 0.2, n))
    glows = traits.red_cell_glow * rng.gamma(2.0, 0.5, (n, len(CHANNEL_ROLES)))
    aspects = np.exp(rng.normal(0, 0.08, n))
    for k in range(n):
        found = _around(places[k], radii[k] * _REACH, radii[k], scenario, float(aspects[k]))
        if found is None:
            continue
        at, rho = found
        step = np.minimum((rho * (_STEPS / _REACH)).astype(np.int32), _STEPS - 1)
        clutter.shade[at] += np.float32(strength[k]) * profiles[kinds[k]][step]
        if traits.red_cell_glow:
            disc = np.clip((1 - rho) * 4, 0, 1)
            clutter.glow[(slice(None), *at)] += glows[k].astype(np.float32)[:, None, None] * disc


def _in_clumps(scenario: Scenario, rng: np.random.Generator, n: int) -> Floats:
    """Places (n, 2) in um: clumps in which bodies lie side by side."""
    traits = scenario.hardships.clutter
    size = np.array([m * um for m, um in zip(scenario.shape_px, scenario.pixel_um, strict=True)])
    clumps = max(1, round(n / traits.red_cells_per_clump))
    centres = rng.uniform(-0.05, 1.05, (clumps, 2)) * size
    mine = rng.integers(0, clumps, n)
    width = 1.0 * traits.red_cell_um * np.sqrt(np.bincount(mine, minlength=clumps))[mine]
    places = centres[mine] + rng.normal(0, 1, (n, 2)) * width[:, None]
    for _ in range(6):
        pairs = cKDTree(places).query_pairs(2 * traits.red_cell_um, output_type="ndarray")
        if not len(pairs):
            break
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        delta = places[pairs[:, 0]] - places[pairs[:, 1]]
        distance = np.maximum(np.hypot(delta[:, 0], delta[:, 1]), 1e-3)
        push = delta * (0.45 * (2 * traits.red_cell_um - distance) / distance)[:, None] * 0.5
        np.add.at(places, pairs[:, 0], push)
        np.add.at(places, pairs[:, 1], -push)
    settled: Floats = np.round(places * 64) / 64
    return settled


def _profile(look: RedCellLook, rng: np.random.Generator) -> Pixels:
    """Shade from the centre outwards, by distance in radii."""
    rho = np.arange(_STEPS) * (_REACH / _STEPS)
    inside = np.clip((1 - rho) * 6, 0, 1)
    rim = np.exp(-(((rho - 0.86) / rng.uniform(0.12, 0.22)) ** 2))
    around = np.exp(-(((rho - 1.25) / 0.18) ** 2)) * rng.uniform(0, 0.7)
    middle = np.exp(-((rho / rng.uniform(0.3, 0.6)) ** 2))
    if look == "ring":
        shade = -rim + rng.uniform(-0.2, 0.5) * middle + around
    elif look == "dark":
        shade = -inside * rng.uniform(0.6, 1.0) - 0.4 * rim + rng.uniform(0, 0.5) * middle + around
    else:
        shade = 1.2 * middle - 0.8 * rim + 0.6 * around
    profile: Pixels = shade.astype(np.float32)
    return profile


def _put_fragments(clutter: Clutter, scenario: Scenario, rng: np.random.Generator, n: int) -> None:
    """Blebs and apoptotic bodies that may take any dye, and larger debris that takes none."""
    traits = scenario.hardships.clutter
    size = np.array([m * um for m, um in zip(scenario.shape_px, scenario.pixel_um, strict=True)])
    while n > 0:
        n_here = min(n, int(rng.integers(1, 9)))
        n -= n_here
        centre = rng.uniform(0, 1, 2) * size
        large = bool(rng.random() < 0.15)
        glow = np.zeros(len(CHANNEL_ROLES)) if large else _fragment_glow(rng)
        for _ in range(n_here):
            radius = float(rng.uniform(1.5, 4.0) if large else traits.fragment_um * rng.uniform(0.4, 1.4))
            place = centre + rng.normal(0, 3.0 if large else 5.0, 2)
            found = _around(place, radius * 1.3, radius, scenario, float(np.exp(rng.normal(0, 0.25))))
            if found is None:
                continue
            at, rho = found
            bump = np.maximum(1 - rho * rho, 0)
            clutter.thick[at] += np.float32(radius * rng.uniform(0.4, 2.2)) * bump
            clutter.glow[(slice(None), *at)] += glow.astype(np.float32)[:, None, None] * bump


def _fragment_glow(rng: np.random.Generator) -> Floats:
    """Light of one dead cell's remains in every dye: most are seen in one or two."""
    glow: Floats = np.where(rng.random(len(CHANNEL_ROLES)) < 0.35, rng.gamma(1.5, 0.5, len(CHANNEL_ROLES)), 0)
    return glow.clip(0, 2.0)


def _put_fibre(clutter: Clutter, scenario: Scenario, rng: np.random.Generator) -> None:
    """A thin curved thread, as of paper or cloth."""
    size = np.array([m * um for m, um in zip(scenario.shape_px, scenario.pixel_um, strict=True)])
    start, heading = rng.uniform(0, 1, 2) * size, rng.uniform(0, 2 * np.pi)
    step_um = 0.5 * min(scenario.pixel_um)
    n = int(rng.uniform(20, 150) / step_um)
    bend = np.cumsum(rng.normal(0, 0.03, n) * np.sqrt(step_um)) + rng.normal(0, 0.006) * step_um * np.arange(
        n
    )
    y = start[0] + np.cumsum(np.sin(heading + bend)) * step_um
    x = start[1] + np.cumsum(np.cos(heading + bend)) * step_um
    thick, glow = float(rng.uniform(0.6, 3.0)), float(rng.uniform(0, 0.6) * (rng.random() < 0.3))
    role = int(rng.integers(0, len(CHANNEL_ROLES)))
    for across in (-0.7, 0.0, 0.7):
        rows = np.floor((y + across) / scenario.pixel_um[0]).astype(int)
        columns = np.floor((x + across) / scenario.pixel_um[1]).astype(int)
        inside = (rows >= 0) & (rows < clutter.thick.shape[0])
        inside &= (columns >= 0) & (columns < clutter.thick.shape[1])
        at = rows[inside], columns[inside]
        clutter.thick[at] = np.float32(thick)
        clutter.glow[(role, *at)] = np.maximum(clutter.glow[(role, *at)], np.float32(glow))


def _around(
    place_um: Floats, reach_um: float, radius_um: float, scenario: Scenario, aspect: float
) -> tuple[tuple[slice, slice], Pixels] | None:
    """Pixels near a place and their distance from it in radii; None outside the frame."""
    slices = []
    for centre, um, n in zip(place_um, scenario.pixel_um, scenario.shape_px, strict=True):
        first = max(int(np.floor((centre - reach_um * 1.3) / um)), 0)
        last = min(int(np.ceil((centre + reach_um * 1.3) / um)) + 1, n)
        if first >= last:
            return None
        slices.append(slice(first, last))
    y = (np.arange(slices[0].start, slices[0].stop) * scenario.pixel_um[0] - place_um[0]) * aspect
    x = (np.arange(slices[1].start, slices[1].stop) * scenario.pixel_um[1] - place_um[1]) / aspect
    rho = np.sqrt((y * y)[:, None] + (x * x)[None, :]) / radius_um
    return (slices[0], slices[1]), rho.astype(np.float32)
