"""`killassay train`: simulated frames and annotated images go to `models.training` as arrays; neither knows of the other."""

import multiprocessing
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.cli.outline_views import view_of
from assay.cli.progress import Reporter
from assay.errors import ModelError
from assay.execution.machine import available_cores
from assay.io.durable import write_whole
from assay.labels import CELL_ROLES, ChannelRole, FrameLabels
from assay.report.outline_sheet import outline_sheet
from assay.simulate.tiles import training_frame
from models.network import SIZES, SegmentationNet
from models.training.dataset import TileSource, TrainingFrame, cache_tiles, tile_path, write_tile
from models.training.held_out import AnnotatedFrame
from models.training.rescale import at_model_scale
from models.training.train import PIXEL_UM, TrainingSettings, train
from models.training.validation import Validator
from models.weights import ModelCard, load_network

FIRST_TRAINING_SEED = 1_000_000
"""Films with smaller seeds are for scoring: no model ever learns from them."""

ANNOTATED_SHARE = 0.12
"""Of the training, where there are annotated images: few images, seen often."""

_VALIDATION_SEED, _VALIDATION_FRAMES = 7_000_000, 16
_TILE_UM = 208.0  # 320 px at the model's size, so that crops of 256 px differ
_SHOWN = 6
_TILES_WORTH_A_PROCESS = 50  # a process takes some seconds to start, a tile a seventh of one
_LICENCE = "BSD-3-Clause"
_RATE_GOING_ON = 0.4  # of the rate from nothing, so that what was learned stays


def train_model(
    out: Path,
    *,
    minutes: float | None,
    steps: int | None,
    n_tiles: int,
    seed: int,
    size: str,
    annotated: Sequence[AnnotatedFrame],
    start: str | None,
    device: str,
    progress: Reporter,
) -> Path:
    """Render tiles as far as they are not there yet, train on them, and write the model's card and weights.

    Args:
        out: Folder of the model; tiles, checkpoint and validation pictures lie there too.
        minutes: Stop after so long; None for no such limit.
        steps: Stop after so many steps; None for no such limit.
        n_tiles: Simulated tiles to learn from.
        seed: Of the simulated tiles.
        size: One of `models.network.SIZES`.
        annotated: Real images with masks, at the model's pixel size.
        start: Name or path of a model to go on from; None: from nothing.
        device: Where to train.
        progress: Is told how it goes.

    Raises:
        ModelError: The seed is one of those kept for scoring, the size is unknown, or the model to go on from is of
            another size or lies in `out`; or the processes that render tiles were ended.
    """
    if seed < FIRST_TRAINING_SEED:
        raise ModelError(
            f"--seed {seed}: seeds below {FIRST_TRAINING_SEED} are kept for scoring. Give one of at least that."
        )
    if size not in SIZES:
        raise ModelError(f"--size {size!r}: expected one of {', '.join(SIZES)}.")
    earlier, network = _to_go_on_from(start, size, out) if start else (None, None)
    tiles, real_tiles = out / "tiles", out / "annotated-tiles"
    _render_tiles(tiles, n_tiles, seed=seed, progress=progress)
    sources = [TileSource(folder=tiles, share=1.0)]
    if annotated:
        cache_tiles((one.frame for one in annotated), real_tiles)
        sources = [
            TileSource(folder=tiles, share=1 - ANNOTATED_SHARE),
            TileSource(folder=real_tiles, share=ANNOTATED_SHARE),
        ]
    card = out / f"{out.name}.json"
    settings = TrainingSettings(
        minutes=minutes, steps=steps, seed=seed, widths=SIZES[size], device=device, threads=available_cores()
    )
    if earlier:
        settings = replace(settings, learning_rate=_RATE_GOING_ON * settings.learning_rate)
    train(
        tiles=sources,
        out=card,
        settings=settings,
        training_data=_said(seed, annotated, earlier),
        licence=_LICENCE if earlier is None else earlier.licence,
        log=progress.say,
        start=network,
        validation=_validator(out / "pictures"),
        facts={"command": shlex.join(["killassay", *sys.argv[1:]])},
    )
    return card


def _to_go_on_from(name: str, size: str, out: Path) -> tuple[ModelCard, SegmentationNet]:
    if Path(name).resolve().parent == out.resolve():
        raise ModelError(
            f"--start {name} lies in --out {out}, where the new model would take its place. Give another --out."
        )
    card, network = load_network(name)
    if (card.widths, card.pixel_um) != (SIZES[size], PIXEL_UM):
        raise ModelError(
            f"--start {name}: its widths are {list(card.widths)}, for pixels of {card.pixel_um:g} um; --size {size} has "
            f"{list(SIZES[size])}, for {PIXEL_UM:g} um. Give the --size of the model to go on from."
        )
    return card, network


def _said(seed: int, annotated: Sequence[AnnotatedFrame], earlier: ModelCard | None) -> str:
    said = [f"simulated frames of killassay, seeds from {seed}"]
    if annotated:
        said.append(f"{len(annotated)} annotated images")
    if earlier:
        said.append(f"before, as {earlier.name} {earlier.sha256[:12]}: {earlier.training_data}")
    return "; ".join(said)


def _validator(pictures: Path) -> Validator:
    """Scores simulated frames that are not learned from, and draws some of them."""
    frames = list(simulated_frames(_VALIDATION_FRAMES, seed=_VALIDATION_SEED))

    def draw(step: int, before: Sequence[FrameLabels], now: Sequence[FrameLabels]) -> None:
        views = [
            view_of(AnnotatedFrame(name=f"simulated frame {number}", frame=frame), *found)
            for number, (frame, *found) in enumerate(zip(frames, before, now, strict=True))
            if any(frame.of(role).any() for role in CELL_ROLES)
        ]
        pictures.mkdir(parents=True, exist_ok=True)
        write_whole(pictures / f"step{step:06d}.png", outline_sheet(views[:_SHOWN]))

    return Validator(frames, pixel_um=PIXEL_UM, draw=draw)


def _render_tiles(folder: Path, n_tiles: int, *, seed: int, progress: Reporter) -> None:
    """Render the tiles that are not there yet, on every core."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {number: tile_path(folder, number, prefix=f"seed{seed}_") for number in range(n_tiles)}
    jobs = [(path, number, seed) for number, path in paths.items() if not path.exists()]
    progress.begin("render tiles", n_tiles, n_tiles - len(jobs))
    n_processes = min(available_cores(), len(jobs) // _TILES_WORTH_A_PROCESS)
    if n_processes < 2:
        for job in jobs:
            _render_tile(job)
            progress.advance()
        return
    with ProcessPoolExecutor(
        n_processes,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would inherit torch's threads
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        try:
            for _ in pool.map(_render_tile, jobs):
                progress.advance()
        except BrokenProcessPool:
            raise ModelError(
                "a process that rendered tiles was ended from outside, as happens where memory is short. The tiles that "
                "are done are kept: give the same command again."
            ) from None


def _render_tile(job: tuple[Path, int, int]) -> None:
    path, number, seed = job
    write_tile(path, _simulated_frame(number, seed=seed))


def simulated_frames(n: int, *, seed: int) -> Iterator[TrainingFrame]:
    """Simulated frames as the network sees them: by role, on its brightness scale, at its pixel size."""
    for number in range(n):
        yield _simulated_frame(number, seed=seed)


def _simulated_frame(number: int, *, seed: int) -> TrainingFrame:
    frame = training_frame(number, seed=seed, tile_um=_TILE_UM)
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
    return at_model_scale(seen, pixel_um=frame.pixel_um)
