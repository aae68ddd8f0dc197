"""The shipped model itself: what it finds in a film it never saw, and where it must find nothing."""

from dataclasses import replace

import numpy as np
import pytest

from assay.brightness import measure_brightness, role_slots
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from models.training.dataset import TrainingFrame
from models.training.evaluate import evaluate
from models.weights import ZOO, load_model, read_card

OWN = (0.65, 0.65)
ALL = [True] * 5


@pytest.fixture(scope="module")
def standard():
    return load_model("standard", device="cpu")


def standard_frame():
    scenario = replace(scenario_named("adherent_standard"), shape_px=(384, 384))
    film = simulate_film(scenario, seed=703, n_frames=1)
    image = film.images(0)
    roles = {role: [number] for number, (role, _) in enumerate(scenario.channels)}
    slots, present = role_slots(image[None], measure_brightness([image]), roles)
    truth = film.truth(0)
    return TrainingFrame(
        slots=slots[0],
        present=np.array(present),
        effectors=truth.effectors.astype(np.int32),
        targets=truth.targets.astype(np.int32),
    )


def test_it_finds_the_cells_of_a_film_it_never_saw(standard):
    scores = evaluate(standard, [standard_frame()], pixel_um=0.65)
    assert scores["target"]["cells"] > 50
    assert scores["effector"]["cells"] > 50
    assert scores["target"]["ap50"] >= 0.8
    assert scores["effector"]["ap50"] >= 0.7


def test_fp32_finds_nearly_the_cells_that_bf16_finds():
    frame = standard_frame()
    slots, present = frame.slots, frame.present
    found = [
        load_model("standard", device="cpu", precision=precision).segment(
            slots[None], present=present.tolist(), pixel_um=OWN
        )[0]
        for precision in ("fp32", "bf16")
    ]
    for role in ("effector", "target"):
        one, other = (labels.of(role)[0] > 0 for labels in found)
        assert (one != other).mean() < 0.005


@pytest.mark.parametrize("present", [ALL, [True, True, False, True, False], [False] * 4 + [True]])
def test_a_black_frame_has_no_cells(standard, present):
    [found] = standard.segment(np.zeros((1, 5, 64, 96), np.float32), present=present, pixel_um=OWN)
    assert not found.effectors.any()
    assert not found.targets.any()


def test_camera_noise_is_no_cell(standard):
    noise = np.random.default_rng(0).normal(0, 0.05, (1, 5, 256, 256)).astype(np.float32)
    [found] = standard.segment(noise, present=[True, True, False, True, False], pixel_um=OWN)
    assert not found.effectors.any()
    assert not found.targets.any()


def test_tiled_and_whole_give_the_same_bits_with_the_shipped_weights(standard):
    frame = standard_frame()
    slots, present = frame.slots, frame.present
    whole = standard.segment(slots[None], present=present.tolist(), pixel_um=OWN)[0]
    tiled = load_model("standard", device="cpu")
    tiled._windowed.tile_px = 256  # smaller than the frame; a run uses larger windows
    again = tiled.segment(slots[None], present=present.tolist(), pixel_um=OWN)[0]
    assert np.array_equal(whole.effectors, again.effectors)
    assert np.array_equal(whole.targets, again.targets)
    assert np.array_equal(whole.target_scores, again.target_scores)


def test_its_files_are_small_and_its_card_says_what_made_it():
    assert (ZOO / "standard.safetensors").stat().st_size <= 8_000_000
    card = read_card(ZOO / "standard.json")
    assert card.scores["adherent_standard"]["target"]["ap50"] >= 0.8
    assert card.training["steps"] > 0
