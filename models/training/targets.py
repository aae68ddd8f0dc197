"""What the network should have said: label images turned into maps.

`truth` here is what is to be learned, as `target` means a cell that may be killed.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.network import FOREGROUND, HEAT, MAPS_PER_ROLE, OFFSET_UNIT_PX, OFFSET_X, OFFSET_Y

HEAT_WIDTH = 0.18  # of the heat's bell, as a share of the square root of the cell's area
NARROWEST_PX, WIDEST_PX = 1.5, 5.0
BORDER_WEIGHT = 4.0  # pixels between touching cells are few and decide most


def role_truth(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Maps of one role's label image.

    A cell's centre is the pixel of its mask nearest to its centroid, so that it lies inside however bent
    the cell is. Heat is 1 there and belongs to one cell alone.

    Args:
        labels: (Y, X), 0 is background; numbers may have holes.

    Returns:
        (4, Y, X): foreground 0/1, heat 0..1, offset y and x in units of `OFFSET_UNIT_PX`.
    """
    truth = np.zeros((MAPS_PER_ROLE, *labels.shape), dtype=np.float32)
    y, x = np.nonzero(labels)
    if not len(y):
        return truth
    number = np.cumsum(np.bincount(labels[y, x]) > 0) - 1  # label -> 0, 1, 2, ... without holes
    cell = number[labels[y, x]]
    n = int(number[-1]) + 1
    area = np.bincount(cell, minlength=n)
    centroid_y = np.bincount(cell, weights=y, minlength=n) / area
    centroid_x = np.bincount(cell, weights=x, minlength=n) / area
    off_centre = (y - centroid_y[cell]) ** 2 + (x - centroid_x[cell]) ** 2
    least = np.full(n, np.inf)
    np.minimum.at(least, cell, off_centre)
    candidates = np.flatnonzero(off_centre == least[cell])  # in the order of (y, x)
    nearest = candidates[np.unique(cell[candidates], return_index=True)[1]]
    offset_y, offset_x = (y[nearest][cell] - y), (x[nearest][cell] - x)
    width = np.clip(HEAT_WIDTH * np.sqrt(area), NARROWEST_PX, WIDEST_PX)[cell]
    truth[FOREGROUND, y, x] = 1
    truth[HEAT, y, x] = np.exp(-(offset_y**2 + offset_x**2) / (2 * width**2))
    truth[OFFSET_Y, y, x] = offset_y / OFFSET_UNIT_PX
    truth[OFFSET_X, y, x] = offset_x / OFFSET_UNIT_PX
    return truth


def border_weight(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """(Y, X): `BORDER_WEIGHT` where two cells are within two pixels of each other, else 1."""
    big = np.iinfo(np.int32).max
    filled = np.where(labels > 0, labels, big).astype(np.int32)
    smallest = ndimage.minimum_filter(filled, size=5, mode="nearest")
    largest = ndimage.maximum_filter(labels.astype(np.int32), size=5, mode="nearest")
    touching = (smallest < big) & (largest > 0) & (smallest != largest)
    return np.where(touching, BORDER_WEIGHT, 1.0).astype(np.float32)
