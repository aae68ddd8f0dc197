"""`killassay train`: simulated frames go to `models.training` as arrays; neither knows of the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.cli.progress import Reporter
from assay.errors import ModelError
from assay.labels import ChannelRole
from assay.simulate.tiles import training_frames
from models.training.dataset import TileSource, TrainingFrame, cache_tiles
from models.training.rescale import at_model_scale
from models.training.train import TrainingSettings, train

FIRST_TRAINING_SEED = 1_000_000
"""Films with smaller seeds are for scoring: no model ever learns from them."""

_TILE_UM = 208.0  # 320 px at the model's size, so that crops of 256 px differ
_DATA = "simulated frames of killassay, seeds from {seed}"
_LICENCE = "BSD-3-Clause"


def train_on_simulated_films(
    out: Path, *, minutes: float, n_tiles: int, seed: int, device: str, progress: Reporter
) -> Path:
    """Render tiles as far as they are not there yet, train on them, and write the model's card and weights.

    Raises:
        ModelError: The seed is one of those kept for scoring.
    """
    if seed < FIRST_TRAINING_SEED:
        raise ModelError(
            f"--seed {seed}: seeds below {FIRST_TRAINING_SEED} are kept for scoring. Give one of at least that."
        )
    tiles = out / "tiles"
    progress.begin("render tiles", n_tiles)
    for _ in cache_tiles(_tiles(n_tiles, seed), tiles, prefix=f"seed{seed}_"):
        progress.advance()
    card = out / f"{out.name}.json"
    progress.say(f"training for {minutes:g} min")
    train(
        tiles=[TileSource(folder=tiles, share=1.0)],
        out=card,
        settings=TrainingSettings(minutes=minutes, seed=seed, device=device),
        training_data=_DATA.format(seed=seed),
        licence=_LICENCE,
        log=progress.say,
    )
    return card


def _tiles(n: int, seed: int) -> Iterator[TrainingFrame]:
    """Simulated frames as the network sees them: by role, on its brightness scale, at its pixel size."""
    for frame in training_frames(n, seed=seed, tile_um=_TILE_UM):
        roles: dict[ChannelRole, list[int]] = {}
        for channel, role in enumerate(frame.roles):
            roles.setdefault(role, []).append(channel)
        if frame.scenario.target_mask == "cell" and "target" not in roles:
            roles.pop("nuclei", None)  # a nucleus does not tell where its cell ends
        slots, present = role_slots(frame.images[None], measure_brightness([frame.images]), roles)
        seen = TrainingFrame(
            slots=slots[0],
            present=np.array(present),
            effectors=frame.effectors.astype(np.int32),
            targets=frame.targets.astype(np.int32),
        )
        yield at_model_scale(seen, pixel_um=frame.pixel_um)
