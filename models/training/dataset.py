"""Training frames on disk, and the crops of them that a training step sees.

Frames come in as arrays: who renders or annotates them is not known here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ModelError
from assay.labels import CellRole

_HELD = 1000  # tiles in memory, 1.4 MB each
_ARRAYS = ("slots", "present", "effectors", "targets", "known")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFrame:
    """One frame with its truth, at the model's pixel size.

    On disk and in memory the numbers are small (float16, uint16); a frame that is made or scored has float32
    and int32.
    """

    slots: NDArray[np.floating]  # (R, Y, X)
    present: NDArray[np.bool_]  # (R,)
    effectors: NDArray[np.integer]  # (Y, X)
    targets: NDArray[np.integer]  # (Y, X), may overlap the effectors
    known: NDArray[np.bool_] | None = None  # (roles, Y, X) where the truth is known; None: everywhere

    def of(self, role: CellRole) -> NDArray[np.integer]:
        """True label image of one role."""
        return self.effectors if role == "effector" else self.targets


def cache_tiles(frames: Iterable[TrainingFrame], folder: Path) -> None:
    """Write frames into `folder`, one file each, as far as they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        if not (path := tile_path(folder, number)).exists():
            write_tile(path, frame)


def tile_path(folder: Path, number: int, *, prefix: str = "") -> Path:
    """Where a frame of a folder lies."""
    return folder / f"{prefix}{number:06d}.npz"


def write_tile(path: Path, frame: TrainingFrame) -> None:
    """Write a frame; the file is there whole or not at all."""
    arrays = {
        "slots": frame.slots.astype(np.float16),
        "present": np.asarray(frame.present, dtype=np.bool_),
        "effectors": frame.effectors.astype(np.uint16),
        "targets": frame.targets.astype(np.uint16),
    }
    if frame.known is not None:
        arrays["known"] = frame.known
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSource:
    """Tiles of one kind, and how large a share of the training they are."""

    folder: Path
    share: float


class TileSet:
    """The tiles of some folders, read when they are drawn: tens of thousands do not fit into memory."""

    def __init__(self, sources: Sequence[TileSource]) -> None:
        self._tiles = [tiles_of(source.folder) for source in sources]
        self._read = lru_cache(maxsize=_HELD)(read_tile)
        shares = np.array([source.share for source in sources], dtype=np.float64)
        self._shares = shares / shares.sum()

    def __len__(self) -> int:
        return sum(len(tiles) for tiles in self._tiles)

    def draw(self, n: int, *, generator: np.random.Generator) -> list[TrainingFrame]:
        """Draw `n` tiles, each from a folder by its share."""
        chosen = generator.choice(len(self._tiles), size=n, p=self._shares)
        return [
            self._read(self._tiles[one][int(generator.integers(len(self._tiles[one])))]) for one in chosen
        ]


def tiles_of(folder: Path) -> list[Path]:
    """Where all tiles of a folder lie, in the order of their names.

    Raises:
        ModelError: There are none.
    """
    tiles = sorted(folder.glob("*.npz"))
    if not tiles:
        raise ModelError(f"{folder}: holds no training tiles (*.npz). Render some first.")
    return tiles


def read_tile(path: Path) -> TrainingFrame:
    """Read what `write_tile` wrote; a millisecond where the system still has it in memory.

    Raises:
        ModelError: It is broken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS if name in file or name != "known"}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: is no training tile ({error}). Delete it, or render the tiles anew."
        ) from None
    return TrainingFrame(**arrays)


def random_crop(tile: TrainingFrame, *, side_px: int, generator: np.random.Generator) -> TrainingFrame:
    """A square part of a tile; a smaller tile is padded with nothing at its lower and right edge."""
    height, width = tile.effectors.shape
    top = int(generator.integers(0, max(1, height - side_px + 1)))
    left = int(generator.integers(0, max(1, width - side_px + 1)))
    part = np.s_[..., top : top + side_px, left : left + side_px]
    lack = ((0, max(0, side_px - height)), (0, max(0, side_px - width)))
    known = None if tile.known is None else np.pad(tile.known[part], ((0, 0), *lack))
    return TrainingFrame(
        slots=np.pad(tile.slots[part], ((0, 0), *lack)),
        present=tile.present,
        effectors=np.pad(tile.effectors[part], lack),
        targets=np.pad(tile.targets[part], lack),
        known=known,
    )
