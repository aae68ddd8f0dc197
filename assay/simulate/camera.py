"""From expected light to the numbers in the file: exposure, noise, the sensor's limit and its faults.

The expected image is rounded to 1/16 of a photon before noise is drawn, so that last-bit differences between
processors do not reach a pixel.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.labels import ChannelRole
from assay.simulate.cells import Floats
from assay.simulate.scenario import BadFrame, Scenario

_MANY = 60.0  # photons from which a Poisson number is as good as a rounded normal one


def spoil(expected: Floats, bad: BadFrame | None) -> Floats:
    """What a faulty exposure makes of a frame."""
    if bad == "black":
        return np.zeros_like(expected)
    if bad == "out_of_focus":
        soft: Floats = ndimage.gaussian_filter(expected, 9.0, mode="nearest")
        return soft
    if bad == "overexposed":
        return expected * 25
    return expected


def photograph(
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


def with_faults(expected: Floats, scenario: Scenario, role: ChannelRole, rng: np.random.Generator) -> Floats:
    """Uneven light, channels that do not match, hot pixels, and light turned down to what the sensor takes."""
    camera, optics = scenario.hardships.camera, scenario.optics
    if camera.flat_field and role != "brightfield":
        y, x = (np.arange(n) / n for n in expected.shape)
        waves, phase = rng.uniform(-1, 1, 2), rng.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * (waves[0] * y[:, None] + waves[1] * x[None, :]) + phase)
        expected = expected * (1 + camera.flat_field * wave)
    if camera.auto_exposure:
        brightest = float(np.quantile(expected, 0.9995)) + optics.offset_counts
        expected = expected * min(1.0, 0.9 * optics.max_counts / max(brightest, 1e-9))
    if camera.shift_px:
        rows, columns = (int(n) for n in rng.integers(-camera.shift_px, camera.shift_px + 1, 2))
        pad = camera.shift_px
        padded = np.pad(expected, pad, mode="edge")
        expected = padded[pad + rows :, pad + columns :][: expected.shape[0], : expected.shape[1]]
    if camera.hot_share:
        n = int(rng.poisson(camera.hot_share * expected.size))
        expected = expected.copy()
        expected.flat[rng.integers(0, expected.size, n)] += rng.uniform(0.02, 0.3, n) * optics.max_counts
    return expected


def black_strips(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where registration left nothing: (C, Y, X) of True at one or two sides."""
    camera, shape = scenario.hardships.camera, scenario.shape_px
    black = np.zeros((len(scenario.channels), *shape), np.bool_)
    if not camera.border_share:
        return black
    groups = [np.s_[:]] if camera.border_everywhere else [np.s_[c : c + 1] for c in range(len(black))]
    for group in groups:
        for axis in rng.permutation(2)[: rng.integers(1, 3)]:
            width = max(1, round(float(rng.uniform(0.1, 1)) * camera.border_share * shape[axis]))
            strip = slice(0, width) if rng.random() < 0.5 else slice(shape[axis] - width, shape[axis])
            black[(group, strip) if axis == 0 else (group, slice(None), strip)] = True
    return black
