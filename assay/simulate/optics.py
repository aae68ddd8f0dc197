"""From painted cells to what the camera writes: dyes, point spread, light, bleed-through, noise.

The expected image is rounded to 1/16 of a photon before noise is drawn, so that last-bit differences between
processors do not reach a pixel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.labels import CHANNEL_ROLES, ChannelRole
from assay.simulate.cells import Cells, Floats
from assay.simulate.paint import Canvas, Pixels
from assay.simulate.scenario import BadFrame, Scenario
from assay.simulate.shapes import Looks

_MANY = 60.0  # photons from which a Poisson number is as good as a rounded normal one


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One frame before the microscope."""

    targets: Canvas
    effectors: Canvas
    target_cells: Cells
    effector_cells: Cells
    target_looks: Looks
    effector_looks: Looks
    debris: "Debris"


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


def expose(
    scene: Scene,
    scenario: Scenario,
    *,
    frame: int,
    origin_um: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Photograph a scene: (C, Y, X) counts."""
    specks = _speck_image(scene, scenario, origin_um)
    dyes: dict[ChannelRole, Pixels] = {role: _dye(scene, role, specks) for role in _needed_dyes(scenario)}
    bad = dict(scenario.optics.bad_frames).get(frame)
    images = []
    for role, _ in scenario.channels:
        if role == "brightfield":
            expected = _transmitted(scene, scenario, specks)
        else:
            expected = _fluorescence(dyes, scenario, role, frame)
        images.append(_camera(_spoil(expected, bad), scenario, rng, bad))
    return np.stack(images)


def _needed_dyes(scenario: Scenario) -> list[ChannelRole]:
    return [role for role, _ in scenario.channels if role != "brightfield"]


def _speck_image(scene: Scene, scenario: Scenario, origin_um: tuple[float, float]) -> tuple[Pixels, Pixels]:
    """Thickness and glow of the debris."""
    shape = scene.targets.owner.shape
    thick, glow = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for y, x, radius, shine in zip(
        scene.debris.y_um, scene.debris.x_um, scene.debris.radius_um, scene.debris.glow, strict=True
    ):
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


def _table(values: Floats) -> Pixels:
    """Look-up table by owner: 0 is background."""
    table: Pixels = np.concatenate([[0.0], values]).astype(np.float32)
    return table


def _dye(scene: Scene, role: ChannelRole, specks: tuple[Pixels, Pixels]) -> Pixels:
    """One dye before the optics, 1 in a typical bright cell."""
    t, e = scene.targets, scene.effectors
    slot = CHANNEL_ROLES.index(role)
    t_amp = scene.target_cells.brightness[scene.target_looks.row, slot]
    e_amp = scene.effector_cells.brightness[scene.effector_looks.row, slot]
    t_thick = np.minimum(scene.target_looks.size**-1.4, 1.9)  # the same dye on a smaller area
    if role == "target":
        amp = _table(t_amp * scene.target_looks.marker * t_thick)[t.owner]
        return amp * t.height * (1 + np.float32(0.13) * t.cloud + np.float32(0.08) * t.grain)
    if role == "effector":
        amp = _table(e_amp * scene.effector_looks.marker)[e.owner]
        rim = np.float32(0.55) + np.float32(0.45) * e.height
        return (
            amp
            * np.minimum(e.depth * 6, 1)
            * rim
            * (1 + np.float32(0.16) * e.cloud + np.float32(0.12) * e.grain)
        )
    if role == "nuclei":
        packed = _table(t_amp * (1 + 0.7 * scene.target_looks.condensed))[t.owner]
        faint = _table(0.12 * e_amp)[e.owner]
        return (
            packed * t.nucleus * (1 + np.float32(0.15) * t.cloud + np.float32(0.12) * t.grain)
            + faint * e.nucleus
        )
    # the death dye: nearly dark in the living, nucleus and body bright in the dead
    body = np.float32(0.3)
    t_dye = _table(t_amp * (scene.target_looks.dye + 0.006))[t.owner]
    e_dye = _table(0.8 * e_amp * (scene.effector_looks.dye + 0.006))[e.owner]
    inside_t = body * t.height + (1 - body) * t.nucleus * (1 + np.float32(0.15) * t.grain)
    inside_e = body * e.height + (1 - body) * e.nucleus * (1 + np.float32(0.15) * e.grain)
    light: Pixels = t_dye * inside_t + e_dye * inside_e + np.float32(0.5) * specks[1]
    return light


def _fluorescence(
    dyes: dict[ChannelRole, Pixels], scenario: Scenario, role: ChannelRole, frame: int
) -> Floats:
    optics = scenario.optics
    shown = {name for name, _ in scenario.channels}
    light = dyes[role].astype(np.float64)
    for (source, into), share in optics.bleed.items():
        if into == role and source in shown:
            scale = optics.signal_counts[source] / optics.signal_counts[role]
            light += share * scale * dyes[source]
    light *= optics.signal_counts[role] * (1 - optics.bleach_per_frame) ** frame
    sharp = _blur(light, optics.psf_um, scenario)
    haze = _blur_wide(light, optics.haze_um, scenario)
    image = (1 - optics.haze_share) * sharp + optics.haze_share * haze
    return (image + optics.background_counts[role]) * _illumination(scenario, CHANNEL_ROLES.index(role))


def _transmitted(scene: Scene, scenario: Scenario, specks: tuple[Pixels, Pixels]) -> Floats:
    """Phase contrast or brightfield from the thickness of the cells."""
    optics = scenario.optics
    target_um = _thickness(scene.targets, scene.target_looks, scene.target_cells, 0.55)
    effector_um = _thickness(scene.effectors, scene.effector_looks, scene.effector_cells, 1.0)
    thick = target_um + effector_um + 1.5 * specks[0]
    if optics.contrast == "phase":
        local = _blur(thick, 0.5, scenario)
        around = _blur_wide(thick, 2.4, scenario)
        far = _blur_wide(thick, 7.0, scenario)
        thin = np.minimum(local, 6.5)
        bright = np.maximum(local - 6.5, 0)  # beyond part of a wavelength round cells turn bright
        halo = np.maximum(around - local, 0)
        dark = 1 - 0.052 * thin + 0.022 * far + 0.03 * around + 0.11 * halo + 0.22 * np.minimum(bright, 4.5)
        dark = np.clip(dark, 0.30, 2.4)
    else:
        near = _blur(thick, 0.6, scenario)
        ring = _blur(thick, 1.3, scenario)
        wide = _blur_wide(thick, 3.0, scenario)
        dark = 1 + 0.15 * (near - ring) + 0.010 * (near - wide) - 0.004 * near
        dark = np.clip(dark, 0.4, 1.9)
    return optics.signal_counts["brightfield"] * dark * _illumination(scenario, 4)


def _thickness(canvas: Canvas, looks: Looks, cells: Cells, spread: float) -> Pixels:
    """Thickness in um, with organelles; flat cells are thin, rounded ones high."""
    high = looks.radius_um * (spread + (1.55 - spread) * looks.roundness)
    high = high * cells.brightness[looks.row, 4] * (1 - 0.35 * np.minimum(looks.dye, 1))
    rough = _table(0.10 + 0.10 * looks.bleb + 0.12 * np.minimum(looks.dye, 1))[canvas.owner]
    organelles = 1 + rough * canvas.grain + np.float32(0.06) * canvas.cloud
    pale = 1 - np.float32(0.10) * canvas.nucleus * (canvas.cloud < 1.1)  # nucleoli stay dark
    result: Pixels = _table(high)[canvas.owner] * canvas.height * organelles * pale
    return result


def _illumination(scenario: Scenario, slot: int) -> Floats:
    """Even in the middle, less in the corners, its centre a little off in every channel."""
    n_y, n_x = scenario.shape_px
    y = (np.arange(n_y) / n_y - 0.5 - 0.05 * ((slot * 2) % 5 - 2))[:, None]
    x = (np.arange(n_x) / n_x - 0.5 + 0.05 * ((slot * 3) % 5 - 2))[None, :]
    share = scenario.optics.vignetting * (0.4 if slot == 4 else 1.0)
    result: Floats = 1 - share * 2 * (y * y + x * x)
    return result


def _blur(image: NDArray[np.floating], sigma_um: float, scenario: Scenario) -> Floats:
    sigma = [sigma_um / size for size in scenario.pixel_um]
    out: Floats = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="nearest", truncate=3.0)
    return out


def _blur_wide(image: NDArray[np.floating], sigma_um: float, scenario: Scenario) -> Floats:
    """A wide blur, made on a coarser grid."""
    step = [max(1, int(sigma_um / size / 2)) for size in scenario.pixel_um]
    n_y, n_x = image.shape
    padded = np.pad(image.astype(np.float64), ((0, -n_y % step[0]), (0, -n_x % step[1])), mode="edge")
    rows, columns = padded.shape[0] // step[0], padded.shape[1] // step[1]
    small = np.zeros((rows, columns))
    for i in range(step[0]):  # a fixed order of sums
        for j in range(step[1]):
            small += padded[i :: step[0], j :: step[1]]
    small /= step[0] * step[1]
    sigma = [sigma_um / size / one for size, one in zip(scenario.pixel_um, step, strict=True)]
    soft = ndimage.gaussian_filter(small, sigma, mode="nearest", truncate=3.0)
    return _enlarge(soft, step, (n_y, n_x))


def _enlarge(small: Floats, step: list[int], shape: tuple[int, int]) -> Floats:
    """Linear interpolation back to full size."""
    for axis in (0, 1):
        at = (np.arange(shape[axis]) + 0.5) / step[axis] - 0.5
        at = np.clip(at, 0, small.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(small.shape[axis] - 2, 0))
        part = at - low
        high = np.minimum(low + 1, small.shape[axis] - 1)
        if axis == 0:
            small = small[low] * (1 - part)[:, None] + small[high] * part[:, None]
        else:
            small = small[:, low] * (1 - part) + small[:, high] * part
    return small


def _spoil(expected: Floats, bad: BadFrame | None) -> Floats:
    if bad == "black":
        return np.zeros_like(expected)
    if bad == "out_of_focus":
        soft: Floats = ndimage.gaussian_filter(expected, 9.0, mode="nearest")
        return soft
    if bad == "overexposed":
        return expected * 25
    return expected


def _camera(
    expected: Floats, scenario: Scenario, rng: np.random.Generator, bad: BadFrame | None
) -> NDArray[np.uint16]:
    """Photons, read noise, offset, and the sensor's limit."""
    optics = scenario.optics
    if bad == "black":  # the shutter stayed shut and the file holds nothing
        return np.zeros(expected.shape, np.uint16)
    photons = np.round(np.maximum(expected, 0) / optics.counts_per_photon * 16) / 16
    noise = rng.standard_normal(photons.shape, dtype=np.float32).astype(np.float64)
    arrived = np.maximum(photons + np.sqrt(photons) * noise, 0)
    few = photons < _MANY
    if few.any():
        arrived[few] = rng.poisson(photons[few])
    read = rng.standard_normal(photons.shape, dtype=np.float32) * np.float32(optics.read_noise_counts)
    counts = np.round(arrived * optics.counts_per_photon + optics.offset_counts + read)
    return np.clip(counts, 0, optics.max_counts).astype(np.uint16)
