"""Training frames on disk, and the crops of them that a training step sees.

Frames come in as arrays: who renders or annotates them is not known here. They are cached as shards that
another process may still be adding to.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ModelError

TrainingFrame = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]
"""Slots (R, Y, X), present (R,), effectors (Y, X), targets (Y, X), at the model's pixel size."""

_ARRAYS = ("slots", "present", "effectors", "targets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One training frame."""

    slots: NDArray[np.float16]  # (R, Y, X)
    present: NDArray[np.bool_]  # (R,)
    effectors: NDArray[np.uint16]  # (Y, X)
    targets: NDArray[np.uint16]  # (Y, X), may overlap the effectors


def cache_tiles(frames: Iterable[TrainingFrame], folder: Path, *, prefix: str = "") -> Iterator[int]:
    """Write frames into `folder`, one file each; yields how many are written after each.

    A frame that is there already, from an earlier run with the same `prefix`, is not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (slots, present, effectors, targets) in enumerate(frames):
        path = folder / f"{prefix}{number:06d}.npz"
        if not path.exists():
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.savez(
                    file,
                    slots=slots.astype(np.float16),
                    present=np.asarray(present, dtype=np.bool_),
                    effectors=effectors.astype(np.uint16),
                    targets=targets.astype(np.uint16),
                )
            partial.replace(path)
        yield number + 1


class TileFolder:
    """The tiles of a folder, held in memory; `refresh` takes in what was added since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self.tiles: list[Tile] = []
        self.refresh()
        if not self.tiles:
            raise ModelError(f"{folder}: holds no training tiles (*.npz). Render some first.")

    def refresh(self) -> int:
        """Load new tiles, in the order of their names; gives how many there are."""
        for path in sorted(self._folder.glob("*.npz")):
            if path.name not in self._known:
                self._known.add(path.name)
                self.tiles.append(_read(path))
        return len(self.tiles)


def _read(path: Path) -> Tile:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: is no training tile ({error}). Delete it, or render the tiles anew."
        ) from None
    return Tile(
        slots=arrays["slots"],
        present=arrays["present"],
        effectors=arrays["effectors"],
        targets=arrays["targets"],
    )


def random_crop(tile: Tile, *, side_px: int, generator: np.random.Generator) -> Tile:
    """A square part of a tile; a smaller tile is padded with nothing at its lower and right edge."""
    height, width = tile.effectors.shape
    top = int(generator.integers(0, max(1, height - side_px + 1)))
    left = int(generator.integers(0, max(1, width - side_px + 1)))
    part = np.s_[..., top : top + side_px, left : left + side_px]
    lack = ((0, max(0, side_px - height)), (0, max(0, side_px - width)))
    return Tile(
        slots=np.pad(tile.slots[part], ((0, 0), *lack)),
        present=tile.present,
        effectors=np.pad(tile.effectors[part], lack),
        targets=np.pad(tile.targets[part], lack),
    )
