"""The compiled loops and the torch operations are two ways to write one thing: they give the same bits."""

import dataclasses

import numpy as np
import pytest
import torch

from models import decode as module
from models.decode import SETTINGS, CellFeatures, DecodeSettings, decode
from models.decode_torch import decode_tensors
from models.training.targets import role_truth

EAGER = DecodeSettings(min_area_um2=1.0, min_heat=0.2, seed_radius_um=1.5, capture_um=4.0, most_jump=0.1)


def random_maps(shape, *, seed, steps=None):
    """Blobs of noise: cells of all shapes, touching, torn, and cut by the border; `steps` makes ties."""
    generator = np.random.default_rng(seed)
    maps = generator.standard_normal((5, *shape)).astype(np.float32)
    for axis in (1, 2):
        maps = sum(np.roll(maps, shift, axis) for shift in (-1, 0, 1))
    maps[2:4] *= 0.1
    if steps:
        maps = np.round(maps * steps) / steps
    return torch.from_numpy(maps.astype(np.float32))


def differences(maps, other, monkeypatch, **settings):
    """Names of what differs, and the number of cells."""
    ours = decode(maps, other_foreground=other, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(module, "decode_arrays", decode_tensors)
        theirs = decode(maps, other_foreground=other, **settings)
    names = [field.name for field in dataclasses.fields(CellFeatures)]
    wrong = [n for n in names if not np.array_equal(getattr(ours.features, n), getattr(theirs.features, n))]
    if not np.array_equal(ours.labels, theirs.labels) or ours.labels.dtype != theirs.labels.dtype:
        wrong.append("labels")
    if ours.foreground_px != theirs.foreground_px:
        wrong.append("foreground_px")
    return wrong, len(ours.features)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("pixel_um", [(0.65, 0.65), (0.4, 1.1)])
@pytest.mark.parametrize("steps", [None, 2])
def test_random_blobs_and_ties_are_decoded_alike(monkeypatch, smooth, pixel_um, steps):
    maps = random_maps((150, 211), seed=3, steps=steps)
    wrong, n = differences(
        maps[:4],
        maps[4],
        monkeypatch,
        pixel_um=pixel_um,
        settings=EAGER,
        smooth=smooth,
        offset_unit_px=(8.0, 5.0),
    )
    assert wrong == []
    assert n > 50


@pytest.mark.parametrize("pixel_um", [(0.65, 0.65), (0.4, 1.1)])
def test_seeds_of_one_cell_are_joined_alike(monkeypatch, pixel_um):
    maps = random_maps((150, 211), seed=5, steps=2)  # equally warm seeds too
    n_cells = []
    for most_jump in (0.0, 0.2, 0.5, 2.0):
        settings = dataclasses.replace(EAGER, most_jump=most_jump)
        wrong, n = differences(maps[:4], maps[4], monkeypatch, pixel_um=pixel_um, settings=settings)
        assert wrong == []
        n_cells.append(n)
    assert n_cells[0] > n_cells[1] > n_cells[2] > n_cells[3] > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_frames_of_a_pixel_or_a_line_are_decoded_alike(monkeypatch, shape):
    for seed in range(5):
        maps = random_maps(shape, seed=seed)
        assert differences(maps[:4], maps[4], monkeypatch, pixel_um=(1.0, 1.0), settings=EAGER)[0] == []


@pytest.mark.parametrize("level", [-9.0, 9.0])
def test_an_empty_frame_and_a_full_one_are_decoded_alike(monkeypatch, level):
    maps = random_maps((60, 70), seed=1)
    maps[0] = level
    wrong, n = differences(maps[:4], maps[4], monkeypatch, pixel_um=(1.0, 1.0), settings=EAGER)
    assert wrong == []
    assert (n > 0) == (level > 0)


def test_crowded_cells_and_a_window_of_them_are_decoded_alike(monkeypatch):
    y, x = np.mgrid[:200, :240]
    number = (y // 9) * 100 + x // 11 + 1
    labels = np.where((y % 9 < 8) | (x % 11 < 5), number, 0).astype(np.int32)
    maps = torch.from_numpy(role_truth(labels))
    maps[:2] = maps[:2].logit(eps=1e-4)
    maps += torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, maps.shape).astype(np.float32))
    for owned in (None, (slice(50, 130), slice(40, 200))):
        wrong, n = differences(
            maps, -maps[0], monkeypatch, pixel_um=(0.65, 0.65), settings=SETTINGS["target"], owned=owned
        )
        assert wrong == []
        assert n > 60


def test_values_that_are_no_numbers_are_decoded_alike(monkeypatch):
    maps = random_maps((50, 60), seed=2)
    maps[0, 10, 10], maps[1, 12, 30], maps[2, 20, 20], maps[3, 30, 30] = (
        torch.nan,
        torch.nan,
        torch.inf,
        -1e30,
    )
    maps[4, 25, 25] = torch.nan
    for smooth in (True, False):
        settings = {"pixel_um": (1.0, 1.0), "settings": EAGER, "smooth": smooth}
        assert differences(maps[:4], maps[4], monkeypatch, **settings)[0] == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_bits_of_the_compiled_loops():
    maps = random_maps((300, 400), seed=7)
    here = decode(maps[:4], other_foreground=maps[4], pixel_um=(0.65, 0.65), settings=EAGER)
    there = maps.cuda()
    back = decode(there[:4], other_foreground=there[4], pixel_um=(0.65, 0.65), settings=EAGER)
    assert np.array_equal(here.labels, back.labels)
    assert np.array_equal(here.features.vote_miss_um, back.features.vote_miss_um)
