"""`killassay models`: what there is, what a card says, and models for other programs."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The card of a small model that has learned nothing, with scores and a licence."""
    from models.network import Architecture
    from models.training.initial import fresh_network
    from models.weights import ModelCard, save_model

    widths = (8, 8, 8, 8)
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=widths), seed=0)
    card = ModelCard(
        name="small",
        sha256="",
        widths=widths,
        pixel_um=0.65,
        licence="BSD-3-Clause",
        training_data="nothing at all",
        scores={"film 1": {"target": {"ap50": 0.25}}, "command": "by hand"},
    )
    save_model(network, tmp_path / "small.json", card)
    return tmp_path / "small.json"


def test_the_models_are_listed_with_what_one_chooses_by(killassay: Command):
    code, out, _ = killassay("models")
    assert code == 0
    heading, *rest = out.splitlines()
    for word in ("name", "size", "um per pixel", "effectors AP50", "targets AP50", "licence"):
        assert word in heading
    assert any(line.startswith("standard ") and "MB" in line for line in rest)
    assert "standard has learned from: " in out


def test_a_card_is_shown_with_data_licence_and_scores(killassay: Command, small: Path):
    code, out, _ = killassay("models", "show", small)
    assert code == 0
    for line in ("name: small", "licence: BSD-3-Clause", "training_data: nothing at all", "widths: 8 8 8 8"):
        assert line in out.splitlines()
    assert "ap50 0.25" in out
    assert "by hand" in out


def test_an_unknown_model_names_those_there_are(killassay: Command):
    code, _, err = killassay("models", "show", "standrad")
    assert code == 2
    assert "there is no model 'standrad'. Models that come with killassay: " in err


def test_an_export_without_a_place_says_what_to_give(killassay: Command, small: Path):
    code, _, err = killassay("models", "export", small)
    assert (code, err) == (
        2,
        "killassay: nothing to write: give --onnx FILE or --bioimageio DIR-or-zip, or both.\n",
    )


def test_a_model_is_exported_both_ways(killassay: Command, small: Path, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    onnx, package = tmp_path / "out" / "small.onnx", tmp_path / "out" / "small.zip"
    code, out, _ = killassay("models", "export", small, "--onnx", onnx, "--bioimageio", package)
    assert code == 0
    assert out.splitlines() == [str(onnx), str(package)]
    assert onnx.stat().st_size > 10_000
    assert package.stat().st_size > 10_000


def test_a_missing_package_is_one_line_that_installs_it(
    killassay: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = killassay("models", "export", small, "--onnx", tmp_path / "small.onnx")
    assert code == 2
    assert err == (
        "killassay: exporting a model needs the package 'onnx', which is not installed. Install it: pip install "
        "'killassay[export]'.\n"
    )
