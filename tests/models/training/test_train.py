from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.errors import ModelError
from models.training.dataset import (
    TileSet,
    TileSource,
    TrainingFrame,
    cache_tiles,
    random_crop,
    read_tile,
    tiles_of,
)
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
        yield TrainingFrame(
            slots=slots,
            present=np.array([True, True, False, False, True]),
            effectors=np.zeros_like(labels),
            targets=labels,
        )


@pytest.fixture
def tiles(tmp_path):
    cache_tiles(frames(3), tmp_path / "tiles")
    return tmp_path / "tiles"


def sources(folder):
    return [TileSource(folder=folder, share=1.0)]


def trained(tiles, out, *, steps):
    lines = []
    card = train(
        tiles=sources(tiles),
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
    frame = next(frames(1))
    [found] = model.segment(frame.slots[None], present=frame.present.tolist(), pixel_um=(0.65, 0.65))
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
        train(
            tiles=sources(tiles),
            out=part,
            settings=settings,
            training_data="drawn boxes",
            licence="CC0",
            log=stop,
        )
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
    frame = next(frames(1))
    flags = np.broadcast_to(frame.present[:, None, None], frame.slots.shape)
    planes = np.concatenate([frame.slots, flags])[:, :32, :32]
    with torch.inference_mode():
        maps = network.eval()(torch.from_numpy(planes[None].astype(np.float32)))[0].numpy()
    assert ((maps[4] > 0) == (frame.targets[:32, :32] > 0)).mean() > 0.85


def test_a_training_needs_an_end():
    with pytest.raises(ModelError, match="neither a number of steps nor of minutes"):
        TrainingSettings()


def test_a_folder_without_tiles_says_so(tmp_path):
    with pytest.raises(ModelError, match="holds no training tiles"):
        tiles_of(tmp_path)


def test_a_broken_tile_says_so_when_it_is_drawn(tiles):
    tiles_of(tiles)[2].write_bytes(b"PK no tile")
    with pytest.raises(ModelError, match=r"000002\.npz: is no training tile .* render the tiles anew"):
        TileSet([TileSource(folder=tiles, share=1)]).draw(100, generator=np.random.default_rng(0))


def test_more_tiles_than_are_held_are_drawn_alike(tiles, monkeypatch):
    held = TileSet([TileSource(folder=tiles, share=1)]).draw(30, generator=np.random.default_rng(0))
    monkeypatch.setattr("models.training.dataset._HELD", 2)
    read_again = TileSet([TileSource(folder=tiles, share=1)]).draw(30, generator=np.random.default_rng(0))
    assert all(np.array_equal(a.slots, b.slots) for a, b in zip(held, read_again, strict=True))


def test_tiles_that_are_there_are_not_made_again(tiles):
    before = {path.name: path.stat().st_mtime_ns for path in tiles.iterdir()}
    cache_tiles(frames(5), tiles)
    assert len(tiles_of(tiles)) == 5
    assert all((tiles / name).stat().st_mtime_ns == time for name, time in before.items())


def test_folders_are_drawn_from_by_their_shares(tiles, tmp_path):
    cache_tiles((replace(frame, targets=frame.targets * 0) for frame in frames(2)), tmp_path / "empty")
    both = TileSet([TileSource(folder=tiles, share=3), TileSource(folder=tmp_path / "empty", share=1)])
    drawn = both.draw(400, generator=np.random.default_rng(0))
    empty = sum(not tile.targets.any() for tile in drawn)
    assert len(both) == 5
    assert 60 < empty < 140  # 100 of 400 are expected, standard deviation 9


def test_cached_tiles_keep_images_and_labels(tiles):
    frame, first = next(frames(1)), read_tile(tiles_of(tiles)[0])
    assert np.abs(first.slots.astype(np.float32) - frame.slots).max() < 1e-3
    assert np.array_equal(first.present, frame.present)
    assert np.array_equal(first.targets, frame.targets)
    assert first.known is None


def test_cached_tiles_keep_what_is_known(tmp_path):
    known = np.zeros((2, 40, 44), dtype=bool)
    known[1, :20] = True
    cache_tiles([replace(next(frames(1)), known=known)], tmp_path)
    assert np.array_equal(read_tile(tiles_of(tmp_path)[0]).known, known)


def test_a_tile_smaller_than_the_crop_is_padded_with_nothing(tiles):
    crop = random_crop(read_tile(tiles_of(tiles)[0]), side_px=42, generator=np.random.default_rng(0))
    assert crop.slots.shape == (5, 42, 42)
    assert not crop.slots[:, 40:].any()
    assert not crop.targets[40:].any()


def test_a_finer_frame_is_brought_to_the_models_pixels():
    slots = np.ones((5, 40, 60), np.float32)
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 20:40] = 7
    known = np.stack([labels > 0, labels == 0])
    frame = TrainingFrame(
        slots=slots, present=np.ones(5, bool), effectors=labels, targets=labels, known=known
    )
    coarser = at_model_scale(frame, pixel_um=(0.325, 0.325))
    assert coarser.slots.shape == (5, 20, 30)
    assert coarser.slots == pytest.approx(1)
    expected = np.zeros((20, 30), np.int32)
    expected[5:10, 10:20] = 7
    assert np.array_equal(coarser.targets, expected)
    assert np.array_equal(coarser.effectors, expected)
    assert np.array_equal(coarser.known, np.stack([expected > 0, expected == 0]))
