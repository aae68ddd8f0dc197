"""Models whose files are cut, altered, of another kind or hostile; devices that are not there."""

import pickle
from pathlib import Path
from typing import Any

from tests.faults.bench import Bench, cut, edit, flip
from tests.faults.fault import RUN, Fault, refused

_FETCH = "fetch the model again"
_SHOW = ("models", "show", "m/tiny.json")


def _model(bench: Bench) -> Path:
    """A small untrained model, and a protocol that names it."""
    from models.network import Architecture
    from models.training.initial import fresh_network
    from models.weights import ModelCard, save_model

    card = bench.root / "m" / "tiny.json"
    widths = (8, 8, 8, 8)
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=widths), seed=0)
    save_model(network, card, ModelCard(name="tiny", sha256="", widths=widths, pixel_um=0.65, licence="CC0"))
    bench.add_to_protocol('[model]\nname = "m/tiny.json"\n')
    return card


def _weights(act: Any) -> Any:
    return lambda bench: act(_model(bench).with_suffix(".safetensors"))


def _card(act: Any) -> Any:
    return lambda bench: act(_model(bench))


def _changed(**changes: Any) -> Any:
    return _card(lambda card: edit(card, lambda values: values.update(changes)))


def _sealed(change: Any) -> Any:
    """Weights that fit their card's hash, but are broken inside."""

    def act(bench: Bench) -> None:
        import hashlib

        card = _model(bench)
        weights = card.with_suffix(".safetensors")
        content = change(weights.read_bytes())
        weights.write_bytes(content)
        edit(card, lambda values: values.update(sha256=hashlib.sha256(content).hexdigest()))

    return act


def _with_nan(content: bytes) -> bytes:
    import numpy as np
    from safetensors.numpy import load, save

    tensors = {name: np.array(value) for name, value in load(content).items()}
    first = sorted(tensors)[0]
    tensors[first].flat[0] = np.nan
    return bytes(save(tensors))


def _huge_header(content: bytes) -> bytes:
    return (2**40).to_bytes(8, "little") + content[8:]


class _Evil:
    def __reduce__(self) -> Any:
        return open, ("canary", "w")


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Evil(), protocol=2))


def _pickle_named_pt(bench: Bench) -> None:
    _pickled(bench.root / "evil.pt")
    bench.add_to_protocol('[model]\nname = "evil.pt"\n')


def _no_canary(bench: Bench) -> None:
    assert not (bench.root / "canary").exists()


def _row(
    name: str, number: int, broken: str, breaks: Any, says: str, todo: str = _FETCH, **more: Any
) -> Fault:
    return refused(name, number, broken, breaks, says, todo, real_model=True, **more)


FAULTS: list[Fault] = [
    _row(
        "weights-missing",
        88,
        "A model's weights are missing",
        _weights(lambda w: w.unlink()),
        r"tiny\.safetensors: the weights of model 'tiny' are missing",
    ),
    _row(
        "weights-empty",
        88,
        "A model's weights are empty",
        _weights(lambda w: w.write_bytes(b"")),
        r"tiny\.safetensors: the weights \(0 bytes",
    ),
    _row(
        "weights-cut",
        88,
        "A model's weights are cut off",
        _weights(cut),
        r"tiny\.safetensors: .*truncated, altered or of another model",
    ),
    _row(
        "weights-altered",
        88,
        "One bit of a model's weights was flipped",
        _weights(flip),
        r"tiny\.safetensors: .*are not those of the card",
    ),
    _row(
        "weights-lfs",
        88,
        "A Git LFS pointer instead of the weights",
        _weights(lambda w: w.write_text("version https://git-lfs.github.com/spec/v1\n")),
        r"Git LFS pointer, not the weights\. Run `git lfs pull`",
    ),
    _row(
        "weights-nan",
        88,
        "A model whose training went astray (NaN)",
        _sealed(_with_nan),
        r"tiny\.safetensors: 1 of \d+ weight tensors hold NaN or infinity",
        "train it anew",
    ),
    _row(
        "weights-huge-header",
        97,
        "Weights whose header claims a terabyte",
        _sealed(_huge_header),
        r"tiny\.safetensors: is no safetensors file",
    ),
    _row(
        "weights-of-another-network",
        88,
        "Weights of another network",
        _changed(widths=[8, 8, 8, 16]),
        r"tiny\.safetensors: the weights do not fit the network of their card",
    ),
    _row(
        "weights-of-a-huge-network",
        88,
        "A card of a network of 10^9 channels",
        _changed(widths=[8, 8, 8, 10**9]),
        r"tiny\.json|tiny\.safetensors",
    ),
    _row(
        "card-missing",
        88,
        "A model's card is missing",
        _card(lambda c: c.unlink()),
        r"tiny\.json: there is no such model card",
    ),
    _row(
        "card-cut", 88, "A model's card is cut off", _card(cut), r"tiny\.json: cannot be read as a model card"
    ),
    _row(
        "card-of-another-architecture",
        88,
        "A model of another architecture",
        _changed(architecture="transformer"),
        r"architecture 'transformer', this killassay knows",
        "use the killassay that made it",
    ),
    _row(
        "card-of-other-channels",
        88,
        "A model for other channels",
        _changed(channel_roles=["target"]),
        r"tiny\.json: the model is for channels",
        "take a model for these channels",
    ),
    _row(
        "card-without-pixel-size",
        88,
        "A model's card whose pixel size is text",
        _changed(pixel_um="big"),
        r"tiny\.json: the model card lacks or garbles an entry",
    ),
    _row(
        "card-with-a-hostile-name",
        102,
        "A model whose name holds terminal codes",
        _changed(name="\x1b[31m", sha256="0"),
        r"\A[^\x1b]*tiny\.safetensors[^\x1b]*\Z",
    ),
    _row(
        "card-shown-when-cut",
        88,
        "`models show` of a card that is cut off",
        _card(cut),
        r"tiny\.json: cannot be read as a model card",
        words=_SHOW,
    ),
    _row(
        "model-is-a-pickle",
        89,
        "A model that is a pickle (.pt)",
        _pickle_named_pt,
        r"evil\.pt: is a pickle, which may run any code",
        "take a model of safetensors",
        holds=_no_canary,
    ),
    _row(
        "weights-are-a-pickle",
        89,
        "A pickle called .safetensors",
        _weights(_pickled),
        r"tiny\.safetensors: is a pickle under another name",
        "take a model of safetensors",
        holds=_no_canary,
    ),
    _row(
        "weights-are-a-pickle-with-its-hash",
        89,
        "A pickle called .safetensors, its hash in the card",
        _sealed(lambda content: pickle.dumps(_Evil(), protocol=4)),
        r"tiny\.safetensors: is a pickle under another name",
        "take a model of safetensors",
        holds=_no_canary,
    ),
    _row(
        "cuda-not-there",
        90,
        "--device cuda on a machine without one",
        _model,
        r"[Cc][Uu][Dd][Aa]",
        "use --device auto or cpu",
        words=(*RUN, "--device", "cuda"),
    ),
    _row(
        "device-not-known",
        90,
        "--device gpu",
        _model,
        r"'gpu'.*(expected|Expected)",
        "use auto, cpu, cuda or cuda:N",
        words=(*RUN, "--device", "gpu"),
    ),
]
