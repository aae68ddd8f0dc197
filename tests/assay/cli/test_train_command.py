"""`killassay train`: a model that says by itself what it was made of, and a line where it cannot be made."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from models.weights import load_model, load_network

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames to judge by, and steps of one small crop."""
    from models.training.train import TrainingSettings

    def small(**given: Any) -> TrainingSettings:
        return TrainingSettings(**given, batch=1, side_px=64)

    monkeypatch.setattr("assay.cli.training._VALIDATION_FRAMES", 2)
    monkeypatch.setattr("assay.cli.calibration.calibration_frames", lambda: iter(()))
    monkeypatch.setattr("assay.cli.training.TrainingSettings", small)


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    """A folder with one image of nuclei and their outlines."""
    folder = tmp_path / "nuclei"
    folder.mkdir()
    labels = np.zeros((96, 96), np.uint16)
    labels[20:40, 20:40], labels[60:80, 50:70] = 1, 2
    noise = np.random.default_rng(0).normal(200, 10, labels.shape)
    tifffile.imwrite(folder / "a.tif", (noise + 900 * (labels > 0)).astype(np.uint16))
    tifffile.imwrite(folder / "a_targets.tif", labels)
    (folder / "index.json").write_text(json.dumps([{"name": "a", "pixel_um": 0.65}]))
    return folder


@pytest.mark.usefixtures("few_frames")
def test_a_trained_model_loads_and_its_card_and_pictures_say_how_it_was_made(
    killassay: Command, nuclei: Path, tmp_path: Path
):
    out = tmp_path / "mine"
    words = ("--steps", 2, "--tiles", 2, "--size", "fast", "--annotated", f"nuclei={nuclei}")
    code, said, err = killassay("train", "--out", out, *words)
    assert code == 0, err
    assert str(out / "mine.json") in said
    card = json.loads((out / "mine.json").read_text())
    assert card["widths"] == [32, 32, 64, 64]
    assert (card["training"]["steps"], card["training"]["tiles"]) == (2, 3)
    assert "1 annotated images" in card["training_data"]
    assert set(card["scores"]["validation"]) == {"AP50 of effectors", "AP50 of targets"}
    assert (out / "pictures" / "step000002.png").stat().st_size > 1000
    model = load_model(out / "mine.json", device="cpu")
    [found] = model.segment(np.zeros((1, 5, 32, 48), np.float32), present=[True] * 5, pixel_um=(0.65, 0.65))
    assert found.targets.shape == (32, 48)


@pytest.mark.usefixtures("few_frames")
def test_a_training_that_goes_on_from_a_model_begins_with_its_weights_and_says_so(
    killassay: Command, tmp_path: Path
):
    words = ("--tiles", 1, "--size", "fast")
    assert killassay("train", "--out", tmp_path / "one", "--steps", 2, *words)[0] == 0
    start = tmp_path / "one" / "one.json"
    code, _, err = killassay("train", "--out", tmp_path / "two", "--steps", 1, *words, "--start", start)
    assert code == 0, err
    (before, one), (after, two) = load_network(start), load_network(tmp_path / "two" / "two.json")
    assert f"before, as one {before.sha256[:12]}: {before.training_data}" in after.training_data
    moved = max(
        float((two.get_parameter(name) - weight).detach().abs().max())
        for name, weight in one.named_parameters()
    )
    assert 0 < moved < 1e-4  # AdamW moves a weight by the rate at most, here a hundredth of 1.2e-3
    code, _, err = killassay("train", "--out", tmp_path / "one", "--steps", 1, *words, "--start", start)
    assert code == 2
    assert (
        f"--start {start} lies in --out {tmp_path / 'one'}, where the new model would take its place." in err
    )
    assert load_network(start)[0] == before


@pytest.mark.usefixtures("few_frames")
def test_tiles_of_several_processes_are_those_of_one_and_are_not_rendered_again(
    killassay: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("assay.cli.training.available_cores", lambda: 2)
    words = ("--steps", 1, "--tiles", 4, "--size", "fast")
    assert killassay("train", "--out", tmp_path / "one", *words)[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr("assay.cli.training._TILES_WORTH_A_PROCESS", 1)
        assert killassay("train", "--out", tmp_path / "two", *words)[0] == 0
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "tiles").iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 4
    again = tmp_path / "two" / "tiles" / "seed1000000_000002.npz"
    again.unlink()
    times = {path.name: path.stat().st_mtime_ns for path in again.parent.iterdir()}
    code, _, err = killassay("train", "--out", tmp_path / "two", *words)
    assert code == 0, err
    assert again.read_bytes() == one[again.name]
    assert all((again.parent / name).stat().st_mtime_ns == time for name, time in times.items())


def _end_at_once(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_rendering_process_that_is_ended_ends_the_training_with_one_line(
    killassay: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("assay.cli.training.available_cores", lambda: 2)
    monkeypatch.setattr("assay.cli.training._TILES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr("assay.cli.training._render_tile", _end_at_once)
    code, _, err = killassay("train", "--out", tmp_path / "mine", "--steps", 1, "--tiles", 4)
    assert code == 2
    assert "a process that rendered tiles was ended from outside" in err
    assert "give the same command again" in err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--seed", 701), "--seed 701: seeds below 1000000 are kept for scoring. Give one of at least that."),
        (("--size", "huge"), "--size 'huge': expected one of fast, standard, accurate."),
        (
            ("--annotated", "images"),
            "--annotated 'images': expected the roles of the channels, =, and a folder",
        ),
        (
            ("--start", "standard", "--size", "fast"),
            "--start standard: its widths are [32, 64, 128, 256], for pixels of 0.65 um; --size fast has "
            "[32, 32, 64, 64], for 0.65 um. Give the --size of the model to go on from.",
        ),
        (("--start", "none.json"), "none.json: there is no such model card."),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_rendered(
    killassay: Command, tmp_path: Path, words: tuple[Any, ...], line: str
):
    code, _, err = killassay("train", "--out", tmp_path / "mine", *words)
    assert code == 2
    assert line in err
    assert not (tmp_path / "mine").exists()
