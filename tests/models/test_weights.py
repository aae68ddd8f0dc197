import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import save

from assay.errors import ModelError
from models.network import Architecture
from models.training.initial import fresh_network
from models.weights import ModelCard, list_models, load_model, load_network, read_card, save_model

WIDTHS = (8, 8, 8, 8)


@pytest.fixture
def saved(tmp_path):
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=WIDTHS), seed=0)
    path = tmp_path / "tiny.json"
    card = ModelCard(name="tiny", sha256="", widths=WIDTHS, pixel_um=0.65, licence="CC0")
    save_model(network, path, card)
    return path


def edited(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))


def test_a_saved_model_comes_back_with_its_card(saved):
    card, network = load_network(saved)
    assert (card.name, card.widths, card.pixel_um, card.licence) == ("tiny", WIDTHS, 0.65, "CC0")
    fresh = fresh_network(Architecture(slots=5, cell_roles=2, widths=WIDTHS), seed=0).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in network.state_dict().items())


def test_card_and_weights_name_the_same_model(saved):
    by_card = load_model(saved, device="cpu", precision="fp32").identity
    by_weights = load_model(saved.with_suffix(".safetensors"), device="cpu", precision="fp32").identity
    assert by_card == by_weights
    assert by_card["sha256"] == read_card(saved).sha256
    assert by_card["numerics"].startswith("cpu-fp32-")


def test_an_unknown_name_lists_the_models_there_are():
    with pytest.raises(ModelError, match=r"no model 'standrad'\. Models that come with killassay: "):
        load_model("standrad", device="cpu")


def test_a_missing_card_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.json: there is no such model card"):
        load_model(tmp_path / "gone.json", device="cpu")


def test_missing_weights_are_named(saved):
    saved.with_suffix(".safetensors").unlink()
    with pytest.raises(ModelError, match="weights of model 'tiny' are missing beside its card"):
        load_model(saved, device="cpu")


def test_truncated_weights_are_refused(saved):
    weights = saved.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="truncated, altered or of another model"):
        load_model(saved, device="cpu")


def test_one_flipped_bit_in_the_weights_is_refused(saved):
    weights = saved.with_suffix(".safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="are not those of the card"):
        load_model(saved, device="cpu")


def test_a_git_lfs_pointer_says_how_to_fetch_the_weights(saved):
    saved.with_suffix(".safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ModelError, match=r"Git LFS pointer, not the weights\. Run `git lfs pull`"):
        load_model(saved, device="cpu")


def test_weights_of_another_network_are_refused(saved):
    edited(saved, widths=[8, 8, 8, 16])
    with pytest.raises(ModelError, match="do not fit the network of their card"):
        load_model(saved, device="cpu")


def test_an_unknown_architecture_is_refused(saved):
    edited(saved, architecture="transformer")
    with pytest.raises(ModelError, match="has architecture 'transformer', this killassay knows"):
        load_model(saved, device="cpu")


def test_a_model_of_other_channels_is_refused(saved):
    edited(saved, channel_roles=["target", "effector"])
    with pytest.raises(ModelError, match="the model is for channels"):
        load_model(saved, device="cpu")


def test_a_garbled_card_is_refused(saved):
    saved.write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a model card"):
        load_model(saved, device="cpu")
    saved.write_text("[]")
    with pytest.raises(ModelError, match="is no model card of format 1"):
        load_model(saved, device="cpu")


def test_a_card_without_pixel_size_is_refused(saved):
    content = json.loads(saved.read_text())
    del content["pixel_um"]
    saved.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="lacks or garbles an entry"):
        load_model(saved, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=WIDTHS), seed=0)
    with torch.no_grad():
        network.head.bias[3] = value
    path = tmp_path / "astray.json"
    save_model(network, path, ModelCard(name="astray", sha256="", widths=WIDTHS, pixel_um=0.65))
    message = one_line(path)
    assert message.startswith(f"{path.with_suffix('.safetensors')}: 1 of ")
    assert message.endswith(
        " weight tensors hold NaN or infinity, first 'head.bias': its training went astray. Train it anew, or take "
        "an earlier state of it."
    )


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "folder/last.ckpt"])
def test_a_pickle_is_refused_unopened(tmp_path, name):
    path = tmp_path / name  # it is not even there: its name is enough
    assert one_line(path) == (
        f"{path}: is a pickle, which may run any code when it is loaded; killassay never opens one. Expected the "
        ".json card of a model with its .safetensors beside it."
    )


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_under_another_name_is_refused_unopened(saved, protocol):
    saved.with_suffix(".safetensors").write_bytes(pickle.dumps(Trap(), protocol=protocol))
    assert "is a pickle under another name, which may run any code" in one_line(saved)


def test_a_checkpoint_of_torch_under_another_name_is_refused_even_with_its_hash(saved):
    weights = saved.with_suffix(".safetensors")
    torch.save({"head.weight": torch.zeros(2)}, weights)
    edited(saved, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    assert one_line(saved) == (
        f"{weights}: is a pickle under another name, which may run any code when it is loaded; killassay never "
        "opens one. Expected a safetensors file."
    )


def test_a_foreign_safetensors_file_is_refused_even_with_its_hash(saved):
    weights = saved.with_suffix(".safetensors")
    weights.write_bytes(save({"encoder.conv_in.weight": torch.zeros(4, 4)}))
    edited(saved, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    message = one_line(saved)
    assert "the weights do not fit the network of their card (widths [8, 8, 8, 8]); " in message
    assert message.endswith("Card and weights are of two models: take both from one place.")


def test_a_truncated_file_is_refused_even_with_its_hash(saved):
    weights = saved.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    edited(saved, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    assert "is no safetensors file (" in one_line(saved)


def test_a_card_may_hold_entries_that_are_of_a_later_version(saved):
    edited(saved, colour="green")
    assert load_network(saved)[0].name == "tiny"


def test_on_a_gpu_the_heap_is_left_as_it_is_and_on_a_cpu_it_is_kept(saved, monkeypatch):
    called = []
    monkeypatch.setattr("models.weights.keep_freed_memory", lambda: called.append("heap"))
    load_network(saved)
    assert called == []
    load_model(saved, device="cpu", precision="fp32")
    assert called == ["heap"]


def one_line(path):
    with pytest.raises(ModelError, match=r"^[^\n]*$") as caught:
        load_model(path, device="cpu")
    return str(caught.value)


def test_every_shipped_model_loads_and_is_small_and_licensed():
    for card in list_models():
        load_model(card.name, device="cpu")
        assert card.licence
        assert card.training_data
