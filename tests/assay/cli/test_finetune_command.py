"""`killassay finetune`: from a folder to a model that a protocol can name, or one line that says why not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.small_plates import PROTOCOL, film, write_small_plate

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of 64 x 64 pixels with six cells each."""
    folder = tmp_path / "outlined"
    folder.mkdir()
    for name in "ab":
        labels = np.zeros((64, 64), np.uint16)
        for number, (top, left) in enumerate(
            [(4, 4), (4, 24), (4, 44), (40, 4), (40, 24), (40, 44)], start=1
        ):
            labels[top : top + 14, left : left + 14] = number
        noise = np.random.default_rng(ord(name)).normal(200, 10, labels.shape)
        tifffile.imwrite(folder / f"{name}.tif", (noise + 900 * (labels > 0)).astype(np.uint16))
        tifffile.imwrite(folder / f"{name}_labels.tif", labels)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small model that knows nothing yet."""
    from models.training.initial import fresh_network
    from models.training.train import PIXEL_UM, architecture_of
    from models.weights import ModelCard, save_model

    path = tmp_path / "base.json"
    card = ModelCard(name="base", sha256="", widths=(8, 8, 8, 8), pixel_um=PIXEL_UM, licence="CC0")
    save_model(fresh_network(architecture_of((8, 8, 8, 8)), seed=1), path, card)
    return path


def test_a_fine_tuned_model_has_a_card_and_a_picture_and_serves_a_run(
    killassay: Command, images: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("assay.cli.outlined_frames._N_JUDGED", 1)
    out = tmp_path / "mine"
    code, said, told = killassay(
        "finetune", images, "--out", out, "--base", base, "--channels", "target", "--pixel-um", 0.65,
        "--minutes", 0.01, "--simulated", 1, "--force", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, told
    assert "held out: a quarter of each image" in told
    assert f'[model] name = "{out / "mine.json"}"' in said
    assert sorted(path.name for path in out.iterdir()) == ["mine.json", "mine.png", "mine.safetensors"]
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(2)})
    protocol = tmp_path / "assay.toml"
    protocol.write_text(f'{PROTOCOL}\n[model]\nname = "{out / "mine.json"}"\n')
    code, _, told = killassay(
        "run", plate, "--protocol", protocol, "--out", tmp_path / "results", "--workers", 1
    )
    assert code == 0, told
    assert '"model": "mine"' in (tmp_path / "results" / "provenance.json").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "it is not said what its channels show"),
        (("--channels", "nuclei"), "no pixel size is known"),
        (("--channels", "hoechst"), "'hoechst' is no role"),
        (("--channels", "nuclei", "--pixel-um", "0.65,x"), "expected one pixel size in um, or y,x"),
        (("--channels", "nuclei", "--pixel-um", "65"), "expected one pixel size in um, or y,x"),
        (("--channels", "nuclei,death", "--pixel-um", "0.65"), "has 1 channel, --channels names 2"),
        (("--channels", "nuclei", "--pixel-um", "0.65", "--role", "tumour"), "expected effector or target"),
        (("--channels", "effector", "--pixel-um", "0.65"), "has masks of targets, but no channel that shows them"),
        (("--channels", "nuclei", "--pixel-um", "0.02"), "a: is 1 x 1 um (y, x) small"),
        (("--channels", "nuclei", "--pixel-um", "0.65", "--base", "nosuch"), "there is no model 'nosuch'"),
        (("--channels", "nuclei", "--pixel-um", "0.65", "--held-out", "c"), "there is no such image or experiment"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_said_in_one_line(
    killassay: Command,
    images: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("assay.cli.outlined_frames._N_JUDGED", 0)
    out = tmp_path / "mine"
    code, _, told = killassay("--quiet", "finetune", images, "--out", out, "--simulated", 0, *words)
    assert (code, len(told.splitlines())) == (2, 1), told
    assert said in told
    assert not out.exists()


def test_empty_masks_hold_nothing_to_learn(killassay: Command, images: Path, tmp_path: Path):
    for name in "ab":
        tifffile.imwrite(images / f"{name}_labels.tif", np.zeros((64, 64), np.uint8))
    code, _, told = killassay(
        "--quiet", "finetune", images, "--out", tmp_path / "m", "--channels", "nuclei", "--pixel-um", 0.65
    )
    assert code == 2
    assert "none of its 2 masks holds a cell" in told


def test_nothing_is_written_into_a_plate_or_among_the_shipped_models(
    killassay: Command, images: Path, tmp_path: Path
):
    from models.weights import ZOO

    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(2)})
    code, _, told = killassay("finetune", images, "--out", plate / "m.json", "--channels", "nuclei")
    assert (code, "OME-Zarr data and is never changed" in told) == (2, True)
    code, _, told = killassay("finetune", images, "--out", ZOO / "m.json", "--channels", "nuclei")
    assert (code, "lies among the models that come with killassay" in told) == (2, True)


def test_results_without_corrected_outlines_end_in_one_line(killassay: Command, tmp_path: Path):
    from tests.assay.pipeline.test_run import run

    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(2)})
    run(plate, tmp_path / "results")
    code, _, told = killassay("finetune", tmp_path / "results", "--out", tmp_path / "m")
    assert code == 2
    assert "no outlines were corrected in it" in told
    code, _, told = killassay("finetune", tmp_path / "results", "--out", tmp_path / "m", "--pixel-um", 0.65)
    assert code == 2
    assert "RESULTS say themselves" in told
