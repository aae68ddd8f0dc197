"""Softening and uneven light on a pixel grid, in um."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.simulate.cells import Floats
from assay.simulate.scenario import Scenario


def illumination(scenario: Scenario, slot: int) -> Floats:
    """Even in the middle, less in the corners, its centre a little off in every channel."""
    n_y, n_x = scenario.shape_px
    y = (np.arange(n_y) / n_y - 0.5 - 0.05 * ((slot * 2) % 5 - 2))[:, None]
    x = (np.arange(n_x) / n_x - 0.5 + 0.05 * ((slot * 3) % 5 - 2))[None, :]
    share = scenario.optics.vignetting * (0.4 if slot == 4 else 1.0)
    result: Floats = 1 - share * 2 * (y * y + x * x)
    return result


def blur(image: NDArray[np.floating], sigma_um: float, scenario: Scenario) -> Floats:
    """Gaussian; light does not leave at the edges."""
    sigma = [sigma_um / size for size in scenario.pixel_um]
    out: Floats = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="nearest", truncate=3.0)
    return out


def blur_wide(image: NDArray[np.floating], sigma_um: float, scenario: Scenario) -> Floats:
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
