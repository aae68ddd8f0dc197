"""Training: from a folder of tiles to a model on disk.

Every random draw comes from numpy's generator, seeded by the training's seed and the step, so a training
that was stopped and resumed sees what it would have seen. With a limit in minutes the number of steps
depends on the machine; with a limit in steps it does not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from assay.errors import ModelError
from assay.labels import CELL_ROLES, CHANNEL_ROLES
from models.devices import pick_device, pick_precision
from models.network import STRIDE, Architecture, SegmentationNet
from models.training.augment import example
from models.training.checkpoint import load_checkpoint, save_checkpoint
from models.training.dataset import TileFolder
from models.training.initial import fresh_network
from models.training.loss import map_loss
from models.training.optimizer import AdamW
from models.weights import ModelCard, save_model

PIXEL_UM = 0.65
_LOG_EVERY, _SAVE_EVERY = 50, 250  # steps
_WARM_UP = 100  # steps
_CLIP_NORM = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How long and how fast to learn. At least one of `steps` and `minutes` is given."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int = 8
    side_px: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    widths: tuple[int, ...] = (32, 64, 96, 128)
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ModelError("training has neither a number of steps nor of minutes; give one of them.")
        if self.side_px % STRIDE:
            raise ModelError(f"side_px is {self.side_px}, expected a multiple of {STRIDE}.")


def train(
    *,
    tiles: Path,
    out: Path,
    settings: TrainingSettings,
    training_data: str,
    licence: str,
    log: Callable[[str], None],
) -> ModelCard:
    """Train a model on cached tiles and write `out` (a card, NAME.json) with the weights beside it.

    A checkpoint lies beside the card; where there is one, the training goes on from it. Tiles that are added
    to the folder meanwhile are taken in.

    Args:
        tiles: Folder written by `dataset.cache_tiles`.
        out: Path of the card; the model is named after it.
        settings: How long and how fast.
        training_data: What the tiles are, for the card.
        licence: Of the weights, for the card.
        log: Is told how it goes, a line at a time.
    """
    torch.set_num_threads(settings.threads)
    device = pick_device(settings.device)
    folder = TileFolder(tiles)
    session = _Session(settings, device)
    checkpoint = out.with_suffix(".checkpoint")
    if checkpoint.exists():
        session.resume(checkpoint)
        log(f"resumed at step {session.step}")
    log(f"{len(folder.tiles)} tiles, {device}, {session.precision}, {session.weights_count} weights")
    losses: list[float] = []
    while session.progress() < 1:
        losses.append(session.learn(folder))
        if session.step % _LOG_EVERY == 0:
            log(session.line(losses, len(folder.tiles)))
            losses = []
        if session.step % _SAVE_EVERY == 0:
            out.parent.mkdir(parents=True, exist_ok=True)
            session.save(checkpoint)
            folder.refresh()
    card = ModelCard(
        name=out.stem,
        sha256="",
        widths=settings.widths,
        pixel_um=PIXEL_UM,
        training_data=training_data,
        licence=licence,
        training={
            "seed": settings.seed,
            "steps": session.step,
            "batch": settings.batch,
            "tiles": folder.refresh(),
        },
    )
    return save_model(session.network, out, card)


class _Session:
    """Network, optimiser and clock of one training."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.precision = pick_precision("auto", device)
        architecture = Architecture(
            slots=len(CHANNEL_ROLES), cell_roles=len(CELL_ROLES), widths=settings.widths
        )
        network = fresh_network(architecture, seed=settings.seed).to(device)
        self.network: SegmentationNet = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = AdamW(self.network, weight_decay=settings.weight_decay)
        self.step = 0
        self._began, self._earlier_s = time.monotonic(), 0.0

    @property
    def weights_count(self) -> int:
        return sum(weight.numel() for weight in self.network.parameters())

    def elapsed_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._began

    def progress(self) -> float:
        """Share of the training that is done: of the steps or of the minutes, whichever is further."""
        by_step = self.step / self.settings.steps if self.settings.steps else 0.0
        by_time = self.elapsed_s() / 60 / self.settings.minutes if self.settings.minutes else 0.0
        return max(by_step, by_time)

    def learn(self, folder: TileFolder) -> float:
        """One step; gives its loss."""
        rate = 0.5 * (1 + np.cos(np.pi * min(1.0, self.progress()))) * min(1.0, (self.step + 1) / _WARM_UP)
        planes, truth, weight = self._batch(folder)
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            maps = self.network(planes)
        loss = map_loss(maps, truth, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate=max(rate, 1e-3) * self.settings.learning_rate, clip_norm=_CLIP_NORM)
        self.step += 1
        return loss.item()

    def _batch(self, folder: TileFolder) -> list[Tensor]:
        generator = np.random.default_rng([self.settings.seed, self.step])
        chosen = generator.integers(0, len(folder.tiles), size=self.settings.batch)
        examples = [
            example(folder.tiles[tile], side_px=self.settings.side_px, generator=generator) for tile in chosen
        ]
        return [
            torch.from_numpy(np.stack(arrays)).to(self.device).contiguous(memory_format=torch.channels_last)
            for arrays in zip(*examples, strict=True)
        ]

    def line(self, losses: list[float], tiles: int) -> str:
        return (
            f"step {self.step}, {self.elapsed_s() / 60:.1f} min, {self.progress():.1%} done, "
            f"loss {np.mean(losses):.4f}, {tiles} tiles"
        )

    def save(self, path: Path) -> None:
        save_checkpoint(
            path, self.network, self.optimizer, {"step": self.step, "elapsed_s": self.elapsed_s()}
        )

    def resume(self, path: Path) -> None:
        standing = load_checkpoint(path, self.network, self.optimizer)
        self.step = int(standing["step"])
        self._earlier_s, self._began = float(standing["elapsed_s"]), time.monotonic()
