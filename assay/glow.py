"""What bright cells spill into their neighbours.

Knows the measures of one field. Knows nothing of death.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.labels import CellMeasures

_MOST_SPILLED = 1.0  # of the glow


def neighbour_glow(
    measures: CellMeasures,
    signal: NDArray[np.float64],
    *,
    others: tuple[CellMeasures, NDArray[np.float64]] | None,
) -> NDArray[np.float64]:
    """Light that bright neighbours spill into each cell, up to a constant share.

    The sum over neighbours of signal x exp(-(distance / reach)^2) with a reach of 0.7 cell diameters.

    Args:
        measures: The cells.
        signal: Brightness of each, above background.
        others: Cells of the other role with their brightness.
    """
    glow = np.zeros(len(measures))
    if len(measures) == 0:
        return glow
    reach = 0.7 * float(np.median(np.sqrt(measures.area_um2 * 4 / np.pi)))
    frames, starts = np.unique(measures.frame, return_index=True)
    for frame, start, stop in zip(frames, starts, [*starts[1:], len(measures)], strict=True):
        here = slice(int(start), int(stop))
        cells = np.column_stack([measures.y_um[here], measures.x_um[here]])
        light = np.where(np.isfinite(signal[here]), np.maximum(signal[here], 0.0), 0.0)
        glow[here] = _spill(cells, cells, light, reach)
        if others is not None:
            there = slice(*np.searchsorted(others[0].frame, [frame, frame + 1]).tolist())
            sources = np.column_stack([others[0].y_um[there], others[0].x_um[there]])
            light = np.where(np.isfinite(others[1][there]), np.maximum(others[1][there], 0.0), 0.0)
            glow[here] += _spill(cells, sources, light, reach)
    return glow


def _spill(
    cells: NDArray[np.float64], sources: NDArray[np.float64], light: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    if len(sources) == 0:
        return np.zeros(len(cells))
    pairs = cKDTree(cells).sparse_distance_matrix(cKDTree(sources), 2.5 * reach, output_type="ndarray")
    pairs = np.sort(pairs[pairs["v"] > 0], order=["i", "j"])
    gain = np.exp(-((pairs["v"] / reach) ** 2)) * light[pairs["j"]]
    return np.bincount(pairs["i"], weights=gain, minlength=len(cells)).astype(np.float64)


def spilled_share(signal: NDArray[np.float64], glow: NDArray[np.float64], *, noise: float) -> float:
    """Which share of the glow is seen in cells that are dark themselves; 0 where none is lit."""
    lit = np.isfinite(signal) & (glow > 5 * noise) & (signal < glow)
    if lit.sum() < 20:
        return 0.0
    return float(np.clip(np.median(signal[lit] / glow[lit]), 0.0, _MOST_SPILLED))
