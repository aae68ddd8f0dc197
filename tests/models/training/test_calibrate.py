import numpy as np
import pytest
import torch

from models.network import Architecture
from models.training.calibrate import calibrated, fit_curve, right_cells
from models.training.dataset import TrainingFrame
from models.training.initial import fresh_network
from models.weights import ModelCard, read_card, save_model


def image(text):
    return np.array([[int(c) for c in line.split()] for line in text.strip().splitlines()], np.int32)


def test_a_cell_is_right_where_it_covers_half_of_what_both_cover():
    labels = image("""
        1 1 0 2 2 2
        1 1 0 2 2 2
        0 0 0 0 3 0
    """)
    truth = image("""
        5 5 5 0 0 0
        5 5 5 0 0 7
        0 0 0 0 0 0
    """)
    assert right_cells(labels, truth).tolist() == [True, False, False]  # 4 of 6, 1 of 6, nothing
    assert right_cells(labels, truth, least_iou=0.7).tolist() == [False, False, False]


def test_a_true_cell_is_found_once():
    labels, truth = image("1 1 1 2 2 2"), image("4 4 4 4 4 4")
    assert right_cells(labels, truth).sum() == 1


def test_a_frame_without_cells_has_none_right():
    assert right_cells(np.zeros((3, 4), np.int32), np.ones((3, 4), np.int32)).tolist() == []


def test_a_fitted_curve_says_what_is_true():
    generator = np.random.default_rng(5)
    numbers = generator.normal(2.0, 3.0, (20_000, 8))
    chance = 1 / (1 + np.exp(-(0.5 + 0.4 * (numbers[:, 0] - 2) - 0.05 * (numbers[:, 1] - 2) ** 2)))
    right = generator.random(20_000) < chance
    said = fit_curve(numbers, right).probability(numbers)
    assert np.abs(said - chance).mean() < 0.02
    for part in np.array_split(np.argsort(said), 10):
        assert abs(said[part].mean() - right[part].mean()) < 0.03


def test_a_curve_of_cells_that_are_all_right_still_ends():
    generator = np.random.default_rng(5)
    said = fit_curve(generator.normal(0, 1, (200, 8)), np.ones(200, bool)).probability(np.zeros((1, 8)))
    assert said[0] > 0.95


def test_a_model_that_finds_nothing_keeps_a_card_without_confidence(tmp_path):
    path = tmp_path / "fresh.json"
    architecture = Architecture(slots=5, cell_roles=2, widths=(8, 16, 16, 16))
    network = fresh_network(architecture, seed=1)
    with torch.no_grad():
        network.head.bias.fill_(-9)
    save_model(network, path, ModelCard(name="fresh", sha256="", widths=(8, 16, 16, 16), pixel_um=0.65))
    weights = path.with_suffix(".safetensors").read_bytes()
    frame = TrainingFrame(
        slots=np.zeros((5, 64, 64), np.float32),
        present=np.ones(5, bool),
        effectors=np.zeros((64, 64), np.int32),
        targets=np.zeros((64, 64), np.int32),
    )
    said = []
    card = calibrated(path, [frame], log=said.append, device="cpu")
    assert card.confidence is None
    assert read_card(path) == card
    assert path.with_suffix(".safetensors").read_bytes() == weights
    assert said == [
        f"not calibrated: 0 right and 0 wrong cells of {name!r}, expected at least 30 of each"
        for name in ("effector", "effector without dye", "target", "target without dye")
    ]
    assert pytest.approx(0.65) == card.pixel_um
