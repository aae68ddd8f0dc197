"""Transmitted light: phase contrast or brightfield from the thickness of what lies in the field."""

import numpy as np
from scipy import ndimage

from assay.simulate.blur import blur, blur_wide, illumination
from assay.simulate.cells import Cells, Floats
from assay.simulate.hardships import LightTraits
from assay.simulate.paint import Canvas, Pixels
from assay.simulate.scenario import Scenario
from assay.simulate.scene import Scene, look_up
from assay.simulate.shapes import Looks

_STRONGEST = 0.7  # contrast, however high the cell


def transmitted(scene: Scene, scenario: Scenario, speck_um: Pixels, rng: np.random.Generator) -> Floats:
    """Expected counts; the generator is used for faults of the light only."""
    light = scenario.hardships.light
    spread = 0.55 * light.flatness
    target_um = _thickness(scene.targets, scene.target_looks, scene.target_cells, spread, light)
    effector_um = _thickness(scene.effectors, scene.effector_looks, scene.effector_cells, 1.0, LightTraits())
    thick = target_um + effector_um + 1.5 * speck_um
    if scene.clutter is not None:
        thick = thick + scene.clutter.thick
    if light.border:
        thick = thick + _border_relief(scene.targets, scene.target_looks, light.border)
    if light.nucleus:
        thick = thick + _nuclear_relief(scene.targets, scene.target_looks, light.nucleus)
    dark = _phase(thick, scenario) if scenario.optics.contrast == "phase" else _brightfield(thick, scenario)
    if light.gain != 1.0:
        contrast = light.gain * (dark - 1)
        dark = 1 + contrast / np.sqrt(1 + (contrast / _STRONGEST) ** 2)
    if scene.clutter is not None:
        dark = dark + scene.clutter.shade
    dark = _faults(dark, scenario, rng)
    return scenario.optics.signal_counts["brightfield"] * dark * illumination(scenario, 4)


def _phase(thick: Floats, scenario: Scenario) -> Floats:
    local = blur(thick, 0.5, scenario)
    around = blur_wide(thick, 2.4, scenario)
    far = blur_wide(thick, 7.0, scenario)
    thin = np.minimum(local, 6.5)
    bright = np.maximum(local - 6.5, 0)  # beyond part of a wavelength round cells turn bright
    halo = np.maximum(around - local, 0)
    strength = 0.11 * scenario.hardships.light.halo
    dark = 1 - 0.052 * thin + 0.022 * far + 0.03 * around + strength * halo + 0.22 * np.minimum(bright, 4.5)
    return np.clip(dark, 0.30, 2.4)


def _brightfield(thick: Floats, scenario: Scenario) -> Floats:
    near = blur(thick, 0.6, scenario)
    ring = blur(thick, 1.3, scenario)
    wide = blur_wide(thick, 3.0, scenario)
    strength = 0.15 * scenario.hardships.light.rim
    dark = 1 + strength * (near - ring) + 0.010 * (near - wide) - 0.004 * near
    return np.clip(dark, 0.4, 1.9)


def _thickness(canvas: Canvas, looks: Looks, cells: Cells, spread: float, light: LightTraits) -> Pixels:
    """Thickness in um, with organelles; flat cells are thin, rounded ones high."""
    high = looks.radius_um * (spread + (1.55 - spread) * looks.roundness)
    high = high * cells.brightness[looks.row, 4] * (1 - 0.35 * np.minimum(looks.dye, 1))
    grain = 0.10 * (1 + (light.granularity - 1) * (1 - 0.85 * looks.roundness))
    remains = 0.10 * looks.bleb + 0.12 * np.minimum(looks.dye, 1)
    rough = look_up(grain + light.dead_granularity * remains)[canvas.owner]
    organelles = 1 + rough * canvas.grain + np.float32(0.06) * canvas.cloud
    pale = 1 - np.float32(0.10) * canvas.nucleus * (canvas.cloud < 1.1)  # nucleoli stay dark
    result: Pixels = look_up(high)[canvas.owner] * canvas.height * organelles * pale
    return result


def _nuclear_relief(targets: Canvas, looks: Looks, strength: float) -> Pixels:
    """The edge of the nucleus and its nucleoli, in um of cell."""
    edge = 4 * targets.nucleus * (1 - targets.nucleus)
    nucleoli = targets.nucleus * np.clip((targets.cloud - np.float32(0.9)) * 2, 0, 1)
    flat = look_up(strength * (1 - looks.roundness))[targets.owner]  # hidden in rounded cells
    relief: Pixels = flat * (np.float32(0.5) * edge + np.float32(1.3) * nucleoli)
    return relief


def _border_relief(targets: Canvas, looks: Looks, strength_um: float) -> Pixels:
    """A ridge where a spread cell ends, as between the cells of an epithelial layer."""
    inwards = targets.depth * look_up(looks.radius_um)[targets.owner]
    ridge = np.clip(1 - np.abs(inwards - np.float32(0.7)) / np.float32(0.8), 0, 1) * (targets.owner > 0)
    relief: Pixels = look_up(strength_um * (1 - looks.roundness))[targets.owner] * ridge
    return relief


def _faults(dark: Floats, scenario: Scenario, rng: np.random.Generator) -> Floats:
    """Dust, focus, texture of the background and uneven light; nothing where none is asked for."""
    light = scenario.hardships.light
    if light.dust_per_mm2:
        dark = dark * _dust(scenario, rng)
    if light.defocus_um:
        dark = blur(dark, light.defocus_um, scenario)
    if light.mottle:
        size = scenario.pixel_um
        noise = rng.standard_normal(dark.shape, dtype=np.float32)
        sigma = rng.uniform(0.4, 2.0)
        soft = ndimage.gaussian_filter(noise, [sigma / um for um in size], mode="nearest", truncate=3.0)
        dark = dark + light.mottle * soft / max(float(soft.std()), 1e-6)
    if light.slope:
        y, x = (np.arange(n) / n - 0.5 for n in dark.shape)
        towards = rng.uniform(0, 2 * np.pi)
        bowl = rng.uniform(-1, 1)
        tilt = np.sin(towards) * y[:, None] + np.cos(towards) * x[None, :]
        dark = dark * np.maximum(
            1 + light.slope * (tilt + bowl * 2 * (y[:, None] ** 2 + x[None, :] ** 2)), 0.2
        )
    return np.maximum(dark, 0.02)


def _dust(scenario: Scenario, rng: np.random.Generator) -> Floats:
    """What lies on the optics: sharp spots and wide out-of-focus rings; 1 where there is none."""
    shape, size = scenario.shape_px, scenario.pixel_um
    shade = np.ones(shape)
    area_mm2 = shape[0] * shape[1] * scenario.calibration.pixel_area_um2 / 1e6
    for _ in range(int(rng.poisson(scenario.hardships.light.dust_per_mm2 * area_mm2))):
        sharp = bool(rng.random() < 0.6)
        radius = float(rng.uniform(0.5, 2.5) if sharp else rng.uniform(6, 20))
        depth = float(rng.uniform(0.1, 0.5) if sharp else rng.uniform(0.02, 0.08))
        ring = bool(not sharp and rng.random() < 0.6)
        y = (np.arange(shape[0]) * size[0] - rng.uniform(0, shape[0] * size[0])) / radius
        x = (np.arange(shape[1]) * size[1] - rng.uniform(0, shape[1] * size[1])) / radius
        rows, columns = np.flatnonzero(np.abs(y) < 1.6), np.flatnonzero(np.abs(x) < 1.6)
        if not len(rows) or not len(columns):
            continue
        at = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        rho2 = (y[at[0]] ** 2)[:, None] + (x[at[1]] ** 2)[None, :]
        spot = np.exp(-(((rho2 - 0.8) / 0.35) ** 2)) if ring else np.clip((1 - rho2) * 3, 0, 1)
        shade[at] *= 1 - depth * spot
    return shade
