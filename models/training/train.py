"""Training: from folders of tiles to a model on disk.

Every random draw comes from numpy's generator, seeded by the training's seed and the step, so a training
that was stopped and resumed sees what it would have seen. With a limit in minutes the number of steps
depends on the machine; with a limit in steps it does not.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.errors import ModelError
from assay.labels import CELL_ROLES, CHANNEL_ROLES
from models.devices import keep_freed_memory, pick_device, pick_precision
from models.network import SIZES, STRIDE, Architecture, SegmentationNet, in_blocks
from models.training.augment import example
from models.training.average import AveragedNetwork
from models.training.checkpoint import load_checkpoint, save_checkpoint
from models.training.dataset import TileSet, TileSource
from models.training.initial import fresh_network
from models.training.loss import map_loss
from models.training.optimizer import AdamW
from models.weights import ModelCard, save_model

PIXEL_UM = 0.65
_LOG_EVERY, _SAVE_EVERY, _VALIDATE_EVERY = 50, 250, 500  # steps
_WARM_UP = 100  # steps
_CLIP_NORM = 5.0

Validation = Callable[[SegmentationNet, int], Mapping[str, float]]
"""Is shown the averaged network and the step now and then, and at the end; gives scores by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How long and how fast to learn. At least one of `steps` and `minutes` is given."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int = 8
    side_px: int = 256
    learning_rate: float = 3e-3
    warm_up: int | None = None  # steps until the rate is reached; None: as from nothing
    weight_decay: float = 1e-2
    widths: tuple[int, ...] = SIZES["standard"]
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ModelError("training has neither a number of steps nor of minutes; give one of them.")
        if self.side_px % STRIDE:
            raise ModelError(f"side_px is {self.side_px}, expected a multiple of {STRIDE}.")


def train(
    *,
    tiles: Sequence[TileSource],
    out: Path,
    settings: TrainingSettings,
    training_data: str,
    licence: str,
    log: Callable[[str], None],
    start: SegmentationNet | None = None,
    validation: Validation | None = None,
    facts: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Train a model on cached tiles and write `out` (a card, NAME.json) with the weights beside it.

    A checkpoint lies beside the card; where there is one, the training goes on from it.

    Args:
        tiles: Folders written by `dataset.cache_tiles`, and how large a share of the training each is.
        out: Path of the card; the model is named after it.
        settings: How long and how fast.
        training_data: What the tiles are, for the card.
        licence: Of the weights, for the card.
        log: Is told how it goes, a line at a time.
        start: The network to go on from, of the settings' widths; None: one that has learned nothing.
        validation: Judges the network on frames that it does not learn from.
        facts: More for the card's `training`, for instance the command.
    """
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    tile_set = TileSet(tiles)
    session = Session(start or fresh_network(architecture_of(settings.widths), seed=settings.seed), settings)
    checkpoint = out.with_suffix(".checkpoint")
    if checkpoint.exists():
        session.resume(checkpoint)
        log(f"resumed at step {session.step}")
    log(f"{len(tile_set)} tiles, {session.device}, {session.precision}, {session.weights_count} weights")
    losses: list[float] = []
    with batches(tile_set, settings, first=session.step) as prepared:
        while session.progress() < 1:
            losses.append(session.learn(next(prepared)))
            if session.step % _LOG_EVERY == 0:
                log(session.line(losses))
                losses = []
            if session.step % _SAVE_EVERY == 0:
                out.parent.mkdir(parents=True, exist_ok=True)
                session.save(checkpoint)
            if validation and session.step % _VALIDATE_EVERY == 0:
                log(session.judged(validation)[0])
    line, scores = session.judged(validation) if validation else ("", None)
    log(line or "not validated")
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
            "tiles": len(tile_set),
            "minutes": round(session.elapsed_s() / 60, 1),
            "processor_minutes": round(session.processor_s() / 60, 1),
            **(facts or {}),
        },
        scores=None if scores is None else {"validation": scores},
    )
    return save_model(session.averaged.network, out, card)


def architecture_of(widths: tuple[int, ...]) -> Architecture:
    """The network of these widths for our channels and cells."""
    return Architecture(slots=len(CHANNEL_ROLES), cell_roles=len(CELL_ROLES), widths=widths)


@dataclass(slots=True)
class _Clock:
    """Time spent, over all sittings: on the wall and in the processor."""

    earlier_s: float = 0.0
    earlier_processor_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    began_processor: float = field(default_factory=time.process_time)

    @property
    def wall_s(self) -> float:
        return self.earlier_s + time.monotonic() - self.began

    @property
    def processor_s(self) -> float:
        return self.earlier_processor_s + time.process_time() - self.began_processor


class Session:
    """A network that learns, its running average, its optimiser and its clock."""

    def __init__(self, network: SegmentationNet, settings: TrainingSettings) -> None:
        self.settings = settings
        self.device = pick_device(settings.device)
        self.precision = pick_precision("auto", self.device)
        network = network.to(self.device)
        self.network: SegmentationNet = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedNetwork(self.network)
        self.optimizer = AdamW(self.network, weight_decay=settings.weight_decay)
        self.step = 0
        self._clock = _Clock()

    @property
    def weights_count(self) -> int:
        """How many numbers it learns."""
        return sum(weight.numel() for weight in self.network.parameters())

    def elapsed_s(self) -> float:
        """Time on the wall, over all sittings."""
        return self._clock.wall_s

    def processor_s(self) -> float:
        """Time of all processor cores of this process, over all sittings."""
        return self._clock.processor_s

    def progress(self) -> float:
        """Share of the training that is done: of the steps or of the minutes, whichever is further."""
        by_step = self.step / self.settings.steps if self.settings.steps else 0.0
        by_time = self.elapsed_s() / 60 / self.settings.minutes if self.settings.minutes else 0.0
        return max(by_step, by_time)

    def learn(self, batch: Sequence[Tensor]) -> float:
        """One step on planes, truth and weight; gives its loss."""
        rate = 0.5 * (1 + np.cos(np.pi * min(1.0, self.progress()))) * self._warmth()
        planes, truth, weight = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        self._make_ready()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            maps = self.network.maps_by_block(planes)
        loss = map_loss(maps, truth, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate=max(rate, 1e-3) * self.settings.learning_rate, clip_norm=_CLIP_NORM)
        self.step += 1
        self.averaged.follow(self.network, step=self.step)
        return loss.item()

    def _make_ready(self) -> None:
        self.network.train()

    def _warmth(self) -> float:
        steps = _WARM_UP if self.settings.warm_up is None else self.settings.warm_up
        return min(1.0, (self.step + 1) / max(1, steps))

    def line(self, losses: Sequence[float]) -> str:
        """How it goes."""
        return (
            f"step {self.step}, {self.elapsed_s() / 60:.1f} min, {self.progress():.1%} done, "
            f"loss {np.mean(losses):.4f}"
        )

    def judged(self, validation: Validation) -> tuple[str, Mapping[str, float]]:
        """What the averaged network scores now, in a line and by name."""
        scores = validation(self.averaged.network, self.step)
        said = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        return f"step {self.step}: {said}", scores

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on."""
        standing = {
            "step": self.step,
            "elapsed_s": self.elapsed_s(),
            "processor_s": self.processor_s(),
        }
        save_checkpoint(path, self._networks, self.optimizer, standing)

    def resume(self, path: Path) -> None:
        """Take back what `save` wrote."""
        standing = load_checkpoint(path, self._networks, self.optimizer)
        self.step = int(standing["step"])
        self._clock = _Clock(float(standing["elapsed_s"]), float(standing["processor_s"]))

    @property
    def _networks(self) -> Mapping[str, SegmentationNet]:
        return {"network": self.network, "average": self.averaged.network}


@contextmanager
def batches(tiles: TileSet, settings: TrainingSettings, *, first: int) -> Iterator[Iterator[list[Tensor]]]:
    """Batches of steps `first`, `first` + 1, ...: the next ones are made while the network learns."""
    with ThreadPoolExecutor(1) as maker:
        ahead = [maker.submit(_batch, tiles, settings, first + k) for k in range(3)]

        def endless() -> Iterator[list[Tensor]]:
            step = first + len(ahead)
            while True:
                ready = ahead.pop(0).result()
                ahead.append(maker.submit(_batch, tiles, settings, step))
                step += 1
                yield ready

        try:
            yield endless()
        finally:
            maker.shutdown(cancel_futures=True)


def _batch(tiles: TileSet, settings: TrainingSettings, step: int) -> list[Tensor]:
    generator = np.random.default_rng([settings.seed, step])
    drawn = tiles.draw(settings.batch, generator=generator)
    examples = [example(tile, side_px=settings.side_px, generator=generator) for tile in drawn]
    planes, truth, weight = (np.stack(arrays) for arrays in zip(*examples, strict=True))
    return [
        torch.from_numpy(planes).contiguous(memory_format=torch.channels_last),
        torch.from_numpy(in_blocks(truth)),
        torch.from_numpy(in_blocks(weight)),
    ]
