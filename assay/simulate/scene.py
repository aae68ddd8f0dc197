"""One frame before the microscope: painted cells, how they look, and what lies about."""

from dataclasses import dataclass

import numpy as np

from assay.simulate.cells import Cells, Floats
from assay.simulate.clutter import Clutter, Debris
from assay.simulate.paint import Canvas, Pixels
from assay.simulate.shapes import Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One frame before the microscope."""

    targets: Canvas
    effectors: Canvas
    target_cells: Cells
    effector_cells: Cells
    target_looks: Looks
    effector_looks: Looks
    debris: Debris
    clutter: Clutter | None = None


def look_up(values: Floats) -> Pixels:
    """Look-up table by owner: 0 is background."""
    table: Pixels = np.concatenate([[0.0], values]).astype(np.float32)
    return table
