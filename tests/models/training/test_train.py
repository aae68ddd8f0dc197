import numpy as np
import pytest
import torch

from assay.errors import ModelError
from models.training.dataset import TileFolder, cache_tiles, random_crop
from models.training.rescale import at_model_scale
from models.training.train import TrainingSettings, train
from models.weights import load_model, load_network

SETTINGS = {"batch": 2, "side_px": 32, "widths": (8, 8, 8, 8), "device": "cpu", "seed": 3}


def frames(n):
    for number in range(n):
        generator = np.random.default_rng(number)
        labels = np.zeros((40, 44), dtype=np.int32)
        labels[5:15, 6:16], labels[20:32, 18:34] = 1, 2
        slots = generator.normal(0, 0.05, (5, 40, 44)).astype(np.float32)
        slots[1] += labels > 0
        yield slots, np.array([True, True, False, False, True]), np.zeros_like(labels), labels


@pytest.fixture
def tiles(tmp_path):
    assert list(cache_tiles(frames(3), tmp_path / "tiles")) == [1, 2, 3]
    return tmp_path / "tiles"


def trained(tiles, out, *, steps):
    lines = []
    card = train(
        tiles=tiles,
        out=out,
        settings=TrainingSettings(steps=steps, **SETTINGS),
        training_data="drawn boxes",
        licence="CC0",
        log=lines.append,
    )
    return card, lines


def test_training_gives_a_model_that_loads_and_segments(tiles, tmp_path):
    card, _ = trained(tiles, tmp_path / "box.json", steps=4)
    assert (card.name, card.training_data, card.licence) == ("box", "drawn boxes", "CC0")
    assert card.training["steps"] == 4
    model = load_model(tmp_path / "box.json", device="cpu", precision="fp32")
    slots, present, _, _ = next(frames(1))
    [found] = model.segment(slots[None], present=present.tolist(), pixel_um=(0.65, 0.65))
    assert found.targets.shape == (40, 44)


def test_a_seed_gives_the_same_weights_again(tiles, tmp_path):
    one, _ = trained(tiles, tmp_path / "one.json", steps=3)
    other, _ = trained(tiles, tmp_path / "other.json", steps=3)
    assert one.sha256 == other.sha256


def test_a_resumed_training_ends_where_an_undisturbed_one_does(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.train._SAVE_EVERY", 2)
    undisturbed, _ = trained(tiles, tmp_path / "whole.json", steps=4)
    part = tmp_path / "part.json"

    def stop(line):
        if line.startswith("step 3"):
            raise KeyboardInterrupt

    monkeypatch.setattr("models.training.train._LOG_EVERY", 3)
    settings = TrainingSettings(steps=4, **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        train(tiles=tiles, out=part, settings=settings, training_data="drawn boxes", licence="CC0", log=stop)
    resumed, lines = trained(tiles, part, steps=4)
    assert lines[0] == "resumed at step 2"
    assert resumed.sha256 == undisturbed.sha256


def test_a_broken_checkpoint_is_named(tiles, tmp_path):
    (tmp_path / "box.checkpoint").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"box\.checkpoint: is no checkpoint of this training"):
        trained(tiles, tmp_path / "box.json", steps=1)


def test_training_learns_the_boxes(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr("models.training.train._WARM_UP", 5)
    trained(tiles, tmp_path / "box.json", steps=100)
    _, network = load_network(tmp_path / "box.json")
    slots, present, _, labels = next(frames(1))
    planes = np.concatenate([slots, np.broadcast_to(present[:, None, None], slots.shape)])[:, :32, :32]
    with torch.inference_mode():
        maps = network.eval()(torch.from_numpy(planes[None].astype(np.float32)))[0].numpy()
    assert ((maps[4] > 0) == (labels[:32, :32] > 0)).mean() > 0.85


def test_a_training_needs_an_end():
    with pytest.raises(ModelError, match="neither a number of steps nor of minutes"):
        TrainingSettings()


def test_a_folder_without_tiles_says_so(tmp_path):
    with pytest.raises(ModelError, match="holds no training tiles"):
        TileFolder(tmp_path)


def test_tiles_added_meanwhile_are_taken_in(tiles):
    folder = TileFolder(tiles)
    assert len(folder.tiles) == 3
    list(cache_tiles(frames(5), tiles))  # the first three are there already
    assert folder.refresh() == 5


def test_cached_tiles_keep_images_and_labels(tiles):
    slots, present, _, targets = next(frames(1))
    first = TileFolder(tiles).tiles[0]
    assert np.abs(first.slots.astype(np.float32) - slots).max() < 1e-3
    assert np.array_equal(first.present, present)
    assert np.array_equal(first.targets, targets)


def test_a_tile_smaller_than_the_crop_is_padded_with_nothing(tiles):
    crop = random_crop(TileFolder(tiles).tiles[0], side_px=42, generator=np.random.default_rng(0))
    assert crop.slots.shape == (5, 42, 42)
    assert not crop.slots[:, 40:].any()
    assert not crop.targets[40:].any()


def test_a_finer_frame_is_brought_to_the_models_pixels():
    slots = np.ones((5, 40, 60), np.float32)
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 20:40] = 7
    frame = (slots, np.ones(5, bool), labels, labels)
    images, _, effectors, targets = at_model_scale(frame, pixel_um=(0.325, 0.325))
    assert images.shape == (5, 20, 30)
    assert images == pytest.approx(1)
    expected = np.zeros((20, 30), np.int32)
    expected[5:10, 10:20] = 7
    assert np.array_equal(targets, expected)
    assert np.array_equal(effectors, expected)
