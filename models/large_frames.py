"""Frames too large to be held, block by block: the same cells as if they were made at once.

Each block brings a margin as wide as cells reach, and keeps the cells whose seed lies in it; every cell knows what
it was made from, and where that may go beyond the margin the block is done again with a wider one, or refused.
Cells are kept as runs of pixels, a few hundred bytes each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import ImageError
from assay.labels import CELL_ROLES, CellRole, Doubt, LargeFrameLabels
from models.contests import shares_a_channel
from models.decode import CellFeatures, DecodedCells, DecodeSettings, decode_window
from models.doubts import FoundCells
from models.network import FOREGROUND, HALO_PX, MAPS_PER_ROLE
from models.roles_seen import SAME_SCALE

BLOCK_PX = 1024  # with its margins a window that leaves room for all cells of 30,000 x 30,000 px within 2 GB
MARGIN_PX = 256
LARGE_TILE_PX = 1024  # longest side of a window through the network, for the same reason

MapsOf = Callable[[slice, slice], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A block along one axis, in pixels of the frame: what it owns, what it decodes, what the network sees."""

    own: slice
    decoded: slice
    seen: slice


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeCells:
    """The cells of one role: what is known of them, and their runs with labels from 1 in the same order."""

    found: FoundCells  # its image of labels is empty
    runs: NDArray[np.int32]  # (runs, 4) row, first column, column after the last, label


def require_blocks_will_do(present: Sequence[bool], *, pixel_um: tuple[float, float], own_um: float) -> None:
    """Refuse frames whose cells cannot be told from a part of them.

    Raises:
        ImageError: The frame must be brought to another pixel size, or one channel shows both roles.
    """
    if any(abs(size / own_um - 1) > SAME_SCALE for size in pixel_um):
        raise ImageError(
            f"a frame of more than 8192 x 8192 pixels of {pixel_um[0]:g} x {pixel_um[1]:g} um is too large: expected "
            f"pixels of the model's {own_um:g} um, because only these need not be brought to another size as a whole. "
            "Check the pixel size, or cut the image into fields."
        )
    if shares_a_channel(present):
        raise ImageError(
            "a frame of more than 8192 x 8192 pixels is too large where effectors and targets are seen in one "
            "channel; expected a dye for each. Cut the image into fields."
        )


class BlockFinder:
    """Finds the cells of a frame, block by block.

    Args:
        maps_of: Rows and columns -> (maps, y, x) of them, right where they lie `HALO_PX` from a cut.
        shape: Of the frame.
        settings: Of each role that a channel shows.
        pixel_um: Pixel size (y, x).
        block_px: Side of a block, an even multiple of `STRIDE`.
        margin_px: Pixels around it in which its cells are looked at, a multiple of `STRIDE`.
    """

    def __init__(
        self,
        maps_of: MapsOf,
        *,
        shape: tuple[int, int],
        settings: Mapping[CellRole, DecodeSettings],
        pixel_um: tuple[float, float],
        block_px: int = BLOCK_PX,
        margin_px: int = MARGIN_PX,
    ) -> None:
        self._maps_of, self._shape, self._settings, self._pixel_um = maps_of, shape, settings, pixel_um
        self._block_px, self._margin_px = block_px, margin_px

    def find(self) -> dict[CellRole, LargeCells]:
        """The cells of each role.

        Raises:
            ImageError: A cell reaches too far.
        """
        parts: dict[CellRole, list[LargeCells]] = {role: [] for role in self._settings}
        for y in self._sides(self._shape[0]):
            for x in self._sides(self._shape[1]):
                for role, cells in self._of_block(y, x).items():
                    parts[role].append(cells)
        return {role: _together(parts.pop(role)) for role in tuple(parts)}

    def _sides(self, length: int, within: slice | None = None) -> Iterator[Side]:
        """The blocks along an axis; within one block those half as large, each with the same window of the frame."""
        first, stop = (0, length) if within is None else (within.start, within.stop)
        size, margin = self._block_px, self._margin_px
        if within is not None:
            size, margin = size // 2, margin + size // 4
        for start in range(first, stop, size):
            own = slice(start, min(start + size, stop))
            decoded = slice(max(own.start - margin, 0), min(own.stop + margin, length))
            seen = slice(max(decoded.start - HALO_PX, 0), min(decoded.stop + HALO_PX, length))
            yield Side(own=own, decoded=decoded, seen=seen)

    def _of_block(self, y: Side, x: Side) -> dict[CellRole, LargeCells]:
        found, reaching = self._looked_at(y, x)
        if reaching is None:
            return found
        parts: dict[CellRole, list[LargeCells]] = {role: [] for role in self._settings}
        for part_y in self._sides(self._shape[0], y.own):
            for part_x in self._sides(self._shape[1], x.own):
                found, reaching = self._looked_at(part_y, part_x)
                if reaching is not None:
                    raise ImageError(
                        f"the cell at row {reaching[0]}, column {reaching[1]} and what it touches reach further than "
                        f"{self._margin_px + self._block_px // 4} pixels, so it cannot be told from a part of the frame, "
                        f"and a frame of {self._shape[0]} x {self._shape[1]} pixels is too large to be held. Cut the "
                        "image into fields."
                    )
                for role, cells in found.items():
                    parts[role].append(cells)
        return {role: _together(of_role) for role, of_role in parts.items()}

    def _looked_at(self, y: Side, x: Side) -> tuple[dict[CellRole, LargeCells], tuple[int, int] | None]:
        """The cells of one block, and the seed of one that may reach out of the margin."""
        maps = self._maps_of(y.seen, x.seen)[:, _in(y.decoded, y.seen), _in(x.decoded, x.seen)]
        found: dict[CellRole, LargeCells] = {}
        for role, settings in self._settings.items():
            number = CELL_ROLES.index(role)
            cells = decode_window(
                maps[number * MAPS_PER_ROLE : (number + 1) * MAPS_PER_ROLE],
                other_foreground=maps[(1 - number) * MAPS_PER_ROLE + FOREGROUND],
                pixel_um=self._pixel_um,
                settings=settings,
                owned=(_in(y.own, y.decoded), _in(x.own, x.decoded)),
            )
            top, left = np.int32(y.decoded.start), np.int32(x.decoded.start)
            features = replace(
                cells.features, seed_y=cells.features.seed_y + top, seed_x=cells.features.seed_x + left
            )
            out = _reaches_out(cells.around[:, :2], y.decoded, self._shape[0])
            out |= _reaches_out(cells.around[:, 2:], x.decoded, self._shape[1])
            if out.any():
                first = int(np.argmax(out))
                return {}, (int(features.seed_y[first]), int(features.seed_x[first]))
            runs = cells.runs + np.array([top, left, left, 0], np.int32)
            found[role] = _large(features, runs, cells.foreground_px)
        return found, None


def labels_of(
    found: Mapping[CellRole, LargeCells],
    scores: Mapping[CellRole, NDArray[np.float32]],
    *,
    shape: tuple[int, int],
    least: float,
    doubts: tuple[Doubt, ...],
) -> LargeFrameLabels:
    """The cells that score at least `least`, numbered without holes in the same order."""
    runs: dict[CellRole, NDArray[np.int32]] = {role: np.zeros((0, 4), np.int32) for role in CELL_ROLES}
    kept = {role: scores[role] >= least for role in CELL_ROLES}
    for role, cells in found.items():
        number = np.append(0, np.cumsum(kept[role]) * kept[role]).astype(np.int32)
        label = number[cells.runs[:, 3]]
        runs[role] = cells.runs[label > 0]
        runs[role][:, 3] = label[label > 0]
    return LargeFrameLabels(
        shape=shape,
        effectors=runs["effector"],
        targets=runs["target"],
        effector_scores=scores["effector"][kept["effector"]],
        target_scores=scores["target"][kept["target"]],
        doubts=doubts,
    )


def _in(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _reaches_out(ends: NDArray[np.int32], decoded: slice, length: int) -> NDArray[np.bool_]:
    """Whether rows (or columns) lie beyond a side of the window that is not the frame's own."""
    low = (ends[:, 0] < 0) & (decoded.start > 0)
    high = (ends[:, 1] >= decoded.stop - decoded.start) & (decoded.stop < length)
    out: NDArray[np.bool_] = low | high
    return out


def _together(parts: list[LargeCells]) -> LargeCells:
    """The cells of several blocks, numbered by the (y, x) of their seeds; they are taken out of the list, to be let go."""
    features = CellFeatures(
        **{
            field.name: np.concatenate([getattr(part.found.cells.features, field.name) for part in parts])
            for field in fields(CellFeatures)
        }
    )
    order = np.lexsort((features.seed_x, features.seed_y))
    number = np.zeros(len(order) + 1, dtype=np.int32)
    number[order + 1] = np.arange(1, len(order) + 1)
    foreground_px = sum(part.found.foreground_px for part in parts)
    runs = np.empty((sum(len(part.runs) for part in parts), 4), dtype=np.int32)
    row = cell = 0
    while parts:
        part = parts.pop(0)
        here = slice(row, row + len(part.runs))
        runs[here] = part.runs
        runs[here, 3] += np.int32(cell)
        row, cell = here.stop, cell + len(part.found.cells.features)
    runs[:, 3] = number[runs[:, 3]]
    runs = runs[np.lexsort((runs[:, 1], runs[:, 0]))]
    ordered = CellFeatures(
        **{field.name: getattr(features, field.name)[order] for field in fields(CellFeatures)}
    )
    return _large(ordered, runs, foreground_px)


def _large(features: CellFeatures, runs: NDArray[np.int32], foreground_px: int) -> LargeCells:
    cells = DecodedCells(labels=np.zeros((0, 0), np.int32), features=features, foreground_px=foreground_px)
    inside = int((runs[:, 2] - runs[:, 1]).sum())
    return LargeCells(found=FoundCells(cells=cells, foreground_px=foreground_px, inside_px=inside), runs=runs)
