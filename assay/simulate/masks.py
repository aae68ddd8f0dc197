"""What of a painted cell counts as its true mask."""

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellRole
from assay.simulate.paint import Canvas
from assay.simulate.scenario import Scenario

MIN_VISIBLE_UM2 = 12.0  # a smaller sliver at the edge of the image is not a cell that can be seen


def role_owner(canvas: Canvas, scenario: Scenario, role: CellRole) -> NDArray[np.int32]:
    """Index + 1 of the cell whose mask holds each pixel; nuclei only where the scenario shows only those."""
    if role == "target" and scenario.target_mask == "nucleus":
        return np.where(canvas.nucleus > 0.4, canvas.owner, 0).astype(np.int32)
    return canvas.owner


def visible_owner(canvas: Canvas, scenario: Scenario, role: CellRole) -> NDArray[np.int32]:
    """The same without slivers."""
    owner = role_owner(canvas, scenario, role)
    areas = np.bincount(owner.ravel()) * scenario.calibration.pixel_area_um2
    keep = areas >= MIN_VISIBLE_UM2
    keep[0] = False
    table = np.where(keep, np.arange(len(keep)), 0).astype(np.int32)
    result: NDArray[np.int32] = table[owner]
    return result
