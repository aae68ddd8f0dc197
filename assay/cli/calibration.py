"""`killassay models calibrate`: simulated frames that no model learns from, by which a model's confidence is fitted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.cli.progress import Reporter
from assay.cli.training import simulated_frames
from assay.labels import ChannelRole
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from models.devices import one_thread
from models.training.calibrate import calibrated
from models.training.dataset import TrainingFrame
from models.training.rescale import at_model_scale
from models.weights import ModelCard

CALIBRATION_SEED = 9_000_000
"""Training tiles have smaller seeds, scored films much smaller ones."""
N_TILES = 240
SCENARIOS = ("adherent_standard", "suspension", "nuclei")
_SEEDS, _FILM_FRAMES, _CHOSEN = 3, 25, (0, 8, 16, 24)


def calibration_frames(n_tiles: int = N_TILES, n_seeds: int = _SEEDS) -> Iterator[TrainingFrame]:
    """Frames of random laboratories, and whole frames of three scenarios: as hard as in training, and as in use."""
    yield from simulated_frames(n_tiles, seed=CALIBRATION_SEED)
    for number in range(n_seeds):
        for name in SCENARIOS:
            yield from _film_frames(name, CALIBRATION_SEED + 1 + number)


def _film_frames(name: str, seed: int) -> Iterator[TrainingFrame]:
    scenario = scenario_named(name)
    film = simulate_film(scenario, seed=seed, n_frames=_FILM_FRAMES)
    images = [film.images(frame) for frame in _CHOSEN]
    brightness = measure_brightness(images)
    roles: dict[ChannelRole, list[int]] = {}
    for channel, (role, _) in enumerate(scenario.channels):
        roles.setdefault(role, []).append(channel)
    for frame, image in zip(_CHOSEN, images, strict=True):
        slots, present = role_slots(image[None], brightness, roles)
        truth = film.truth(frame)
        seen = TrainingFrame(
            slots=slots[0],
            present=np.array(present),
            effectors=truth.of("effector").astype(np.int32),
            targets=truth.of("target").astype(np.int32),
        )
        yield at_model_scale(seen, pixel_um=scenario.pixel_um)


def calibrate_model(card: Path, *, device: str, progress: Reporter) -> ModelCard:
    """Render the frames, fit the confidence of a model on them, and write it into its card.

    Raises:
        ModelError: The model cannot be loaded.
    """
    one_thread()
    progress.begin("calibrate", N_TILES + _SEEDS * len(SCENARIOS) * len(_CHOSEN))
    return calibrated(card, _counted(calibration_frames(), progress), log=progress.say, device=device)


def _counted(frames: Iterator[TrainingFrame], progress: Reporter) -> Iterator[TrainingFrame]:
    for frame in frames:
        yield frame
        progress.advance()
