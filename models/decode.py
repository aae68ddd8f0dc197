"""From maps to cells: every foreground pixel hops once to its centre, and belongs to the seed it lands near.

Knows the maps of one frame, or of a window of it. No watershed: the network says where the centre is, so
touching cells part where it says. Written twice, as compiled loops for a processor and as torch operations for
any device; the two give the same bits. Nothing here depends on tiles, batch or device.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from assay.labels import CellRole
from models.decode_cpu import decode_arrays, decode_owned
from models.decode_rules import CHANCE_UNIT, VOTES_PER_PX, Rules, capture_ranks, logit
from models.decode_torch import decode_tensors
from models.network import OFFSET_UNIT_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFeatures:
    """What the maps say of each cell of one role: (n,) arrays, row i is label i + 1.

    Made to tell a right cell from a wrong one; sums are of whole numbers, so that they are the same on every
    device.
    """

    seed_y: NDArray[np.int32]  # pixel of the frame
    seed_x: NDArray[np.int32]
    vote_miss_um: NDArray[np.float32]  # how far its pixels' votes miss the seed, root mean square
    foreground: NDArray[np.float32]  # mean probability that its pixels are a cell of its role
    heat: NDArray[np.float32]  # probability of the seed
    area_um2: NDArray[np.float32]
    class_margin: NDArray[np.float32]  # `foreground` less the mean probability of the other role, -1..1
    unsure: NDArray[np.float32]  # share of its pixels whose probability lies below 0.8

    def __len__(self) -> int:
        return len(self.seed_y)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedCells:
    """The cells of one role in one frame."""

    labels: NDArray[np.int32]  # (Y, X), 1..n ordered by the (y, x) of the seeds, 0 is background
    features: CellFeatures
    foreground_px: int  # pixels that were taken for some cell of the role, those that no cell got included


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCells:
    """The cells of one role whose seeds lie in a part of a window; rows and columns are the window's."""

    runs: NDArray[np.int32]  # (runs, 4) row, first column, column after the last, label; in row order
    features: CellFeatures
    foreground_px: int  # in that part
    around: NDArray[
        np.int32
    ]  # (n, 4) first and last row and column of what a cell was made from, maybe beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """How maps become cells; lengths in um, so that they hold at any pixel size."""

    min_foreground: float = 0.5
    min_heat: float = 0.35
    seed_radius_um: float = 2.0  # two centres are never nearer
    capture_um: float = 5.0  # a vote belongs to the nearest seed within this
    most_jump: float = 0.0  # two seeds are one cell where the votes between them jump less (`decode_joins`)
    min_area_um2: float = 15.0
    vote_spread_um: float = 2.0  # rms miss of the votes that halves a cell's score


SETTINGS: Mapping[CellRole, DecodeSettings] = {
    "effector": DecodeSettings(seed_radius_um=2.6, min_area_um2=12.0),
    # spread cells are large, and their ends are vague about the centre
    "target": DecodeSettings(min_heat=0.45, seed_radius_um=4.5, capture_um=9.0, most_jump=0.09),
}
"""Chosen on simulated films that no model was trained on and none is scored on (`benchmarks.decode_sweep`)."""

DYELESS_EFFECTOR_RADIUS_UM = 3.9
"""`seed_radius_um` of effectors without their dye: seen by other channels, one often has two warm places. Chosen likewise."""


def decode(
    maps: Tensor,
    *,
    other_foreground: Tensor,
    pixel_um: tuple[float, float],
    settings: DecodeSettings,
    smooth: bool = True,
    offset_unit_px: tuple[float, float] = (OFFSET_UNIT_PX, OFFSET_UNIT_PX),
    owned: tuple[slice, slice] | None = None,
) -> DecodedCells:
    """Make the label image of one role, where the maps are: from a GPU only the cells come back.

    Each cell is one connected piece (8 neighbours). A frame without any cell gives zeros and no features.

    Args:
        maps: (4, Y, X) float32 as the network gives them: foreground logit, heat logit, offset y, offset x; in
            any memory layout.
        other_foreground: (Y, X) foreground logit of the other role, on the same device.
        pixel_um: Pixel size (y, x) of the maps' grid.
        settings: Thresholds.
        smooth: Average foreground and heat over 3x3 pixels first: the network speaks in blocks of 2x2, whose
            members differ where it is unsure. Not for maps that were resampled and so averaged before.
        offset_unit_px: Pixels (y, x) of the maps' grid that an offset of 1 stands for.
        owned: Rows and columns; only cells whose seed lies in them are kept. For windows of a large frame.

    Returns:
        Labels and features.
    """
    rules = _rules(pixel_um, settings, smooth, offset_unit_px, owned, maps.shape[1:])
    decoded = (decode_arrays if maps.device.type == "cpu" else decode_tensors)(maps, other_foreground, rules)
    labels, seeds, heat, sums, n_px = decoded
    return DecodedCells(labels=labels, features=_features(seeds, heat, sums, pixel_um), foreground_px=n_px)


def decode_window(
    maps: Tensor,
    *,
    other_foreground: Tensor,
    pixel_um: tuple[float, float],
    settings: DecodeSettings,
    owned: tuple[slice, slice],
) -> WindowCells:
    """Make the cells of a window of a large frame whose seeds lie in its owned rows and columns.

    They are those of the whole frame where all that they were made from lies in the window, or at its sides that
    are the frame's own. A vote that points out of the window would be none, and is not looked for beyond it.

    Args:
        maps: As for `decode`, of the window.
        other_foreground: As for `decode`.
        pixel_um: Pixel size (y, x).
        settings: Thresholds.
        owned: Rows and columns of the window; the foreground in them is counted.
    """
    rules = _rules(pixel_um, settings, True, (OFFSET_UNIT_PX, OFFSET_UNIT_PX), owned, maps.shape[1:])
    runs, seeds, heat, sums, n_px, around = decode_owned(maps.cpu(), other_foreground.cpu(), rules)
    features = _features(seeds, heat, sums, pixel_um)
    return WindowCells(runs=runs, features=features, foreground_px=n_px, around=around)


def product_scores(features: CellFeatures, settings: DecodeSettings) -> NDArray[np.float32]:
    """(n,) scores in 0..1: how well votes meet, times the mean foreground, times the heat of the seed."""
    concentration = 1 / (1 + (features.vote_miss_um / np.float32(settings.vote_spread_um)) ** 2)
    return np.clip(concentration * features.foreground * features.heat, 0, 1).astype(np.float32)


def _rules(
    pixel_um: tuple[float, float],
    settings: DecodeSettings,
    smooth: bool,
    offset_unit_px: tuple[float, float],
    owned: tuple[slice, slice] | None,
    shape: Sequence[int],
) -> Rules:
    return Rules(
        smooth=smooth,
        thresholds=np.array([logit(settings.min_foreground), logit(settings.min_heat)], dtype=np.float32),
        vote_scale=np.array(offset_unit_px, dtype=np.float32) * np.float32(VOTES_PER_PX),
        seed_radius=np.array([max(1, round(settings.seed_radius_um / size)) for size in pixel_um], np.int32),
        capture_rank=capture_ranks(pixel_um, settings.capture_um),
        most_jump=settings.most_jump,
        pixel_um=pixel_um,
        least_px=math.ceil(settings.min_area_um2 / (pixel_um[0] * pixel_um[1]) - 1e-9),
        owned=_bounds(owned, shape),
    )


def _bounds(owned: tuple[slice, slice] | None, shape: Sequence[int]) -> NDArray[np.int32]:
    spans = owned or (slice(None), slice(None))
    bounds = [span.indices(side)[:2] for span, side in zip(spans, shape, strict=True)]
    return np.array(bounds, dtype=np.int32).ravel()


def _features(
    seeds: NDArray[np.int32],
    heat: NDArray[np.int32],
    sums: NDArray[np.int64],
    pixel_um: tuple[float, float],
) -> CellFeatures:
    size, own, other, unsure, miss_y, miss_x = sums.T
    foreground = own / (size * CHANCE_UNIT)
    square_miss = (miss_y * pixel_um[0] ** 2 + miss_x * pixel_um[1] ** 2) / (size * VOTES_PER_PX**2)
    return CellFeatures(
        seed_y=seeds[:, 0],
        seed_x=seeds[:, 1],
        vote_miss_um=np.sqrt(square_miss).astype(np.float32),
        foreground=foreground.astype(np.float32),
        heat=(heat / CHANCE_UNIT).astype(np.float32),
        area_um2=(size * (pixel_um[0] * pixel_um[1])).astype(np.float32),
        class_margin=(foreground - other / (size * CHANCE_UNIT)).astype(np.float32),
        unsure=(unsure / size).astype(np.float32),
    )
