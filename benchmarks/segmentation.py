"""How well a model finds cells in simulated films it never saw, and what that costs.

    python -m benchmarks.segmentation [--model NAME] [--seeds 701,702] [--scenarios a,b] [--json FILE]

Films with seeds below 1000000 are never trained on. The baseline beside the decoding is scikit-image's
watershed on the same maps.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from assay.brightness import measure_brightness, role_slots
from assay.labels import CELL_ROLES, CHANNEL_ROLES
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from models.decode import SETTINGS, RoleMaps, decode
from models.devices import one_thread
from models.predictor import Predictor
from models.training.dataset import TrainingFrame
from models.training.evaluate import evaluate
from models.weights import load_model

SCENARIOS = "adherent_standard,suspension,et5,overlap,nuclei,brightfield,sample"
FRAMES, N_FRAMES = (0, 8, 16, 24), 25
WITHOUT = (
    ("brightfield",),
    ("death", "brightfield"),
    ("effector",),
    ("target",),
    ("effector", "target"),
    ("effector", "target", "death"),
)


def film_frames(name: str, seed: int, *, without: Sequence[str] = ()) -> Iterator[TrainingFrame]:
    """Frames of one film as the model sees them, with their truth; channels in `without` are left out."""
    scenario = scenario_named(name)
    film = simulate_film(scenario, seed=seed, n_frames=N_FRAMES)
    images = [film.images(frame) for frame in FRAMES]
    brightness = measure_brightness(images)
    roles = {role: [number] for number, (role, _) in enumerate(scenario.channels) if role not in without}
    for frame, image in zip(FRAMES, images, strict=True):
        slots, present = role_slots(image[None], brightness, roles)
        truth = film.truth(frame)
        yield TrainingFrame(
            slots=slots[0],
            present=np.array(present),
            effectors=truth.of("effector").astype(np.int32),
            targets=truth.of("target").astype(np.int32),
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="standard")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seeds", default="701,702")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_thread()
    model = load_model(options.model, device="cpu", precision=options.precision)
    print(", ".join(f"{key} {value}" for key, value in model.identity.items()))
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows = {name: _scores(model, name, seeds) for name in options.scenarios.split(",")}
    for without in WITHOUT:
        label = "standard without " + ", ".join(without)
        rows[label] = _scores(model, "adherent_standard", seeds, without=without)
    rows["seconds per 1024 x 1024 px"] = _speed(model, seeds[0])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _scores(
    model: Predictor, name: str, seeds: Sequence[int], *, without: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    pixel_um = scenario_named(name).pixel_um
    frames = (frame for seed in seeds for frame in film_frames(name, seed, without=without))
    scores = evaluate(model, frames, pixel_um=pixel_um[0])
    figures = "   ".join(
        f"{role}s AP50 {of['ap50']:.3f} AP75 {of['ap75']:.3f} F1 {of['f1_50']:.3f} ({of['cells']:.0f})"
        for role, of in scores.items()
    )
    print(f"{name + (' without ' + ', '.join(without) if without else ''):52}{figures}", flush=True)
    return {role: dict(of) for role, of in scores.items()}


def _speed(model: Predictor, seed: int) -> dict[str, float]:
    """CPU seconds of one thread, the least of four, for the standard scenario tiled to 1024 x 1024."""
    frame = next(film_frames("adherent_standard", seed))
    present, image = frame.present, np.tile(frame.slots, (1, 2, 2))
    raw = model.maps(image, present=present.tolist())
    chance = 1 / (1 + np.exp(-raw))
    maps = [
        RoleMaps(foreground=chance[i], heat=chance[i + 1], offset_y=8 * raw[i + 2], offset_x=8 * raw[i + 3])
        for i in (0, 4)
    ]
    jobs = {
        "network": lambda: model.maps(image, present=present.tolist()),
        "decoding, both roles": lambda: [
            decode(of_role, pixel_um=(0.65, 0.65), settings=SETTINGS[role])
            for role, of_role in zip(CELL_ROLES, maps, strict=True)
        ],
        "watershed, both roles": lambda: [_watershed(of_role) for of_role in maps],
        "segment, all of it": lambda: model.segment(
            image[None], present=present.tolist(), pixel_um=(0.65, 0.65)
        ),
    }
    figures = {}
    for what, job in jobs.items():
        figures[what] = min(_cpu_s(job) for _ in range(4))
        print(
            f"{what:52}{figures[what]:.3f} CPU-s per 1024 x 1024 px, {len(CHANNEL_ROLES)} slots", flush=True
        )
    return figures


def _watershed(maps: RoleMaps) -> None:
    peaks = peak_local_max(maps.heat, min_distance=3, threshold_abs=0.35)
    markers = np.zeros(maps.heat.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    watershed(-maps.heat, markers, mask=maps.foreground > 0.5)


def _cpu_s(job: object) -> float:
    began = time.process_time()
    job()  # type: ignore[operator]
    return time.process_time() - began


if __name__ == "__main__":
    main()
