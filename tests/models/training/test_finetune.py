"""A fine-tuned model is written only where it is better, and its card tells how it came about."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.errors import ModelError
from models.training import verdicts as room
from models.training.dataset import TrainingFrame
from models.training.finetune import FinetuneSettings, finetune
from models.training.held_out import AnnotatedFrame, HeldOutScore
from models.training.initial import fresh_network
from models.training.train import PIXEL_UM, architecture_of
from models.weights import ZOO, ModelCard, load_model, load_network, read_card, save_model

SETTINGS = FinetuneSettings(steps=2, batch=2, side_px=32, device="cpu", seed=3)


def frame(seed: int) -> TrainingFrame:
    generator = np.random.default_rng(seed)
    targets = np.zeros((64, 64), np.int32)
    for number, (top, left) in enumerate([(4, 6), (8, 40), (36, 8), (40, 42)], start=1):
        y, x = np.array([top, left]) + generator.integers(-3, 4, 2)
        targets[y : y + 16, x : x + 16] = number
    slots = generator.normal(0, 0.05, (5, 64, 64)).astype(np.float32)
    slots[1] += targets > 0
    known = np.stack([np.zeros((64, 64), bool), np.ones((64, 64), bool)])
    present = np.array([False, True, False, False, False])
    return TrainingFrame(
        slots=slots, present=present, effectors=np.zeros_like(targets), targets=targets, known=known
    )


@pytest.fixture
def base(tmp_path):
    """A model that knows nothing yet."""
    card = ModelCard(
        name="base", sha256="", widths=(8, 8, 8, 8), pixel_um=PIXEL_UM, training_data="nothing", licence="CC0"
    )
    path = tmp_path / "base.json"
    save_model(fresh_network(architecture_of((8, 8, 8, 8)), seed=1), path, card)
    return path


@pytest.fixture
def scores(monkeypatch):
    """Let the test say what is held to have been scored, in the order of the questions."""

    def say(*figures: float) -> None:
        answers = iter(figures)

        def next_score(segmenter, frames, *, pixel_um):
            figure = next(answers)
            return HeldOutScore(f1_50=figure, ap50=figure, ap75=figure, cells=40)

        monkeypatch.setattr(room, "score", next_score)

    return say


def tuned(base, out, *, mixed=2, judged=0, settings=SETTINGS, log=lambda line: None):
    return finetune(
        [AnnotatedFrame(name=f"image{k}", frame=frame(k)) for k in range(5)],
        base=base,
        out=out,
        held_out=None,
        mixed=[replace(frame(50 + k), known=None) for k in range(mixed)],
        judged=[replace(frame(80 + k), known=None) for k in range(judged)],
        settings=settings,
        log=log,
        facts={"command": "killassay finetune images"},
    )


def test_boxes_are_learned_and_the_card_tells_how(base, tmp_path):
    out = tmp_path / "mine" / "boxes.json"
    settings = replace(SETTINGS, steps=100, learning_rate=1e-2)
    result = tuned(base, out, settings=settings)
    assert result.verdict.after.f1_50 > 0
    card = read_card(out)
    assert (card.name, card.licence) == ("boxes", "of your images")
    assert card.training_data.startswith("nothing; then 4 outlined images: image")
    assert card.training["base_sha256"] == read_card(base).sha256
    assert card.training["command"] == "killassay finetune images"
    assert card.scores["held_out"]["after"]["f1_50"] == result.verdict.after.f1_50
    assert len(result.comparisons) == 1
    model = load_model(out, device="cpu", precision="fp32")
    held_out = result.comparisons[0].frame
    [found] = model.segment(
        held_out.frame.slots[None], present=held_out.frame.present.tolist(), pixel_um=(0.65, 0.65)
    )
    assert found.targets.any()


def test_a_number_of_steps_gives_the_same_weights_again(base, tmp_path, scores):
    scores(0.1, 0.2, 0.1, 0.2)
    one, other = (tuned(base, tmp_path / name / "m.json") for name in "ab")
    assert one.card.sha256 == other.card.sha256


def test_minutes_are_the_processors(base, tmp_path, scores):
    scores(0.1, 0.2)
    shares = []
    monkey = replace(SETTINGS, steps=None, minutes=0.005)
    result = finetune(
        [AnnotatedFrame(name=f"image{k}", frame=frame(k)) for k in range(5)],
        base=base,
        out=tmp_path / "m.json",
        held_out=["image0"],
        mixed=[],
        judged=[],
        settings=monkey,
        log=lambda line: None,
        progress=shares.append,
    )
    assert result.card.training["processor_minutes"] >= 0.005
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_model_that_is_no_better_is_not_written(base, tmp_path, scores):
    scores(0.7, 0.7)
    out = tmp_path / "m.json"
    with pytest.raises(ModelError, match=r"m\.json was not written: on 40 held-out cells it finds no more"):
        tuned(base, out)
    assert not out.exists()
    assert not out.with_suffix(".safetensors").exists()


def test_a_model_that_forgets_is_not_written(base, tmp_path, scores):
    scores(
        0.5, 0.90, 0.87, 0.87, 0.87, 0.8
    )  # held out and simulated before; simulated, thrice; held out after
    with pytest.raises(ModelError, match=r"it forgets .*is 0\.870, was 0\.900; at most 0\.02 may be lost"):
        tuned(base, tmp_path / "m.json", judged=1)
    scores(0.5, 0.90, 0.89, 0.8)
    assert tuned(base, tmp_path / "m.json", judged=1).card.training["forced"] is False


def test_weights_go_only_as_far_as_hardly_anything_is_forgotten(base, tmp_path, scores):
    scores(0.5, 0.90, 0.80, 0.85, 0.885, 0.8)  # the whole way, three quarters and half of it; held out after
    result = tuned(base, tmp_path / "half.json", judged=1)
    assert result.card.training["share_of_the_way"] == 0.5
    scores(0.5, 0.90, 0.90, 0.8)
    tuned(base, tmp_path / "whole.json", judged=1)
    start, half, end = (load_network(tmp_path / f"{name}.json")[1] for name in ("base", "half", "whole"))
    assert torch.allclose(half.head.weight, (start.head.weight + end.head.weight) / 2, atol=1e-7)
    assert not torch.equal(half.head.weight, end.head.weight)


def test_normalisations_stay_those_of_the_base(base, tmp_path, scores):
    scores(0.1, 0.2)
    tuned(base, tmp_path / "m.json")
    before, after = (load_network(tmp_path / f"{name}.json")[1].encoder[0].norm1 for name in ("base", "m"))
    assert torch.equal(before.running_mean, after.running_mean)
    assert torch.equal(before.running_var, after.running_var)


def test_force_takes_a_worse_model_and_says_so_in_the_card(base, tmp_path, scores):
    scores(0.7, 0.6)
    result = tuned(base, tmp_path / "m.json", settings=replace(SETTINGS, force=True))
    assert result.card.training["forced"] is True
    assert read_card(tmp_path / "m.json").scores["held_out"]["before"]["f1_50"] == 0.7


def test_an_older_model_is_replaced_only_by_a_better_one(base, tmp_path, scores):
    out = tmp_path / "m.json"
    scores(0.5, 0.6)
    older = tuned(base, out).card
    scores(0.5, 0.8, 0.7)  # the base, the model that is there, the new one
    with pytest.raises(ModelError, match=r"finds no more than the model that is in .*m\.json"):
        tuned(base, out)
    assert read_card(out).sha256 == older.sha256
    scores(0.5, 0.6, 0.7)
    newer = tuned(base, out, settings=replace(SETTINGS, seed=4)).card
    assert read_card(out).sha256 == newer.sha256 != older.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "base.json", "base.safetensors", "m.json", "m.safetensors",
    ]  # fmt: skip


def test_a_model_has_its_place(base, tmp_path):
    with pytest.raises(ModelError, match="lies among the models that come with killassay"):
        tuned(base, ZOO / "mine.json")
    with pytest.raises(ModelError, match=r"expected the name of a model card, NAME\.json"):
        tuned(base, tmp_path / "model.pt")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ModelError, match=r"notes\.json: is no model card"):
        tuned(base, tmp_path / "notes.json")
    with pytest.raises(ModelError, match=r"nowhere\.json: there is no such model card"):
        tuned(tmp_path / "nowhere.json", tmp_path / "m.json")


def test_few_held_out_cells_are_said_to_be_few(base, tmp_path, scores):
    scores(0.1, 0.2)
    lines: list[str] = []
    tuned(base, tmp_path / "m.json", log=lines.append)
    assert any("held out: images image" in line for line in lines)


def test_impossible_settings_are_refused():
    with pytest.raises(ModelError, match="minutes is 0, expected more than 0"):
        FinetuneSettings(minutes=0)
    with pytest.raises(ModelError, match="simulated_share is 1, expected 0 to less than 1"):
        FinetuneSettings(simulated_share=1.0)


def test_the_confidence_of_the_base_is_not_taken_for_that_of_other_weights(base, tmp_path, scores):
    scores(0.1, 0.2)
    assert tuned(base, tmp_path / "m.json").card.confidence is None
