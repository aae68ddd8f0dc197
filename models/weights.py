"""Models on disk: a card that says what a model is, and the weights whose hash the card holds.

`NAME.json` is the card, `NAME.safetensors` the weights beside it. Never a pickle: loading a model runs no
code. Nothing is fetched from anywhere.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from assay.errors import ModelError
from assay.labels import CELL_ROLES, CHANNEL_ROLES
from models.confidence import Confidence, read_confidence
from models.devices import keep_freed_memory, pick_device
from models.network import SIZES, Architecture, SegmentationNet
from models.predictor import Predictor

ZOO = Path(__file__).parent / "zoo"
FORMAT = 1
ARCHITECTURE = "residual-unet-s2d"
MAX_CARD_BYTES, MAX_WEIGHTS_BYTES, MAX_HEADER_BYTES = 1 << 20, 4 << 30, 1 << 20
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".jit", ".joblib", ".npy", ".npz", ".mar")
_LEVELS = len(SIZES["standard"])
_MOST_CHANNELS = 1024  # of one level of a network; a card that asks for more would fill the memory
_PICKLE_BEGINS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch's are zip files


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What one must know of a model to use it, and to judge it."""

    name: str
    sha256: str  # of the weights file
    widths: tuple[int, ...]
    pixel_um: float  # the network sees every image at this pixel size
    channel_roles: tuple[str, ...] = CHANNEL_ROLES
    cell_roles: tuple[str, ...] = CELL_ROLES
    training_data: str = ""
    licence: str = ""
    training: Mapping[str, Any] | None = None  # command, seed, steps: what made it
    scores: Mapping[str, Any] | None = None
    confidence: Confidence | None = None  # without, a cell's score is no probability

    @property
    def architecture(self) -> Architecture:
        """The network that fits the weights."""
        return Architecture(
            slots=len(self.channel_roles), cell_roles=len(self.cell_roles), widths=self.widths
        )


def list_models() -> list[ModelCard]:
    """The models that come with killassay, by name."""
    return [read_card(path) for path in sorted(ZOO.glob("*.json"))]


def card_of(name_or_path: str | Path) -> ModelCard:
    """The card of a model that comes with killassay, or of any by its path.

    Raises:
        ModelError: As for `read_card`.
    """
    return read_card(_card_path(name_or_path))


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
) -> Predictor:
    """Load a model that comes with killassay by name, or any by the path of its card or weights.

    On a CPU with glibc the process keeps freed memory from here on (`keep_freed_memory`): it halves the time.

    Raises:
        ModelError: There is no such model, or its files are missing, broken, or do not fit each other.
        DeviceError: The device is not there.
    """
    where = pick_device(device)
    card, network = load_network(name_or_path)
    if where.type == "cpu":
        keep_freed_memory()
    return Predictor(
        network,
        name=card.name,
        sha256=card.sha256,
        pixel_um=card.pixel_um,
        device=device,
        precision=precision,
        batch=batch,
        confidence=card.confidence,
    )


def load_network(name_or_path: str | Path) -> tuple[ModelCard, SegmentationNet]:
    """Card and network of a model, to go on training or to look inside.

    Raises:
        ModelError: As for `load_model`.
    """
    card_path = _card_path(name_or_path)
    card = read_card(card_path)
    weights_path = card_path.with_suffix(".safetensors")
    tensors = _read_tensors(weights_path, card)
    with torch.device("meta"):  # shapes only: the weights that are there decide how much memory is asked for
        expected = SegmentationNet(card.architecture).state_dict()
    wrong = sorted(
        key
        for key in expected.keys() | tensors.keys()
        if key not in tensors or key not in expected or tensors[key].shape != expected[key].shape
    )
    if wrong:
        raise ModelError(
            f"{weights_path}: the weights do not fit the network of their card (widths "
            f"{list(card.widths)}); {len(wrong)} tensors differ, first {wrong[0]!r}. "
            "Card and weights are of two models: take both from one place."
        )
    _require_numbers(weights_path, tensors)
    network = SegmentationNet(card.architecture)
    network.load_state_dict(tensors)
    return card, network


def _require_numbers(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    broken = sorted(key for key, value in tensors.items() if not bool(value.isfinite().all()))
    if broken:
        raise ModelError(
            f"{path}: {len(broken)} of {len(tensors)} weight tensors hold NaN or infinity, first {broken[0]!r}: its "
            "training went astray. Train it anew, or take an earlier state of it."
        )


def save_model(network: SegmentationNet, card_path: Path, card: ModelCard) -> ModelCard:
    """Write weights and card; gives the card with the hash of what was written."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = save_tensors(state)
    sealed = _replaced(card, sha256=hashlib.sha256(content).hexdigest())
    card_path.parent.mkdir(parents=True, exist_ok=True)
    card_path.with_suffix(".safetensors").write_bytes(content)
    write_card(card_path, sealed)
    return sealed


def write_card(path: Path, card: ModelCard) -> None:
    """Write a card alone, beside weights that stay as they are."""
    path.write_text(json.dumps(_as_json(card), indent=2) + "\n", encoding="utf-8")


def read_card(path: Path) -> ModelCard:
    """Read and check a model's card.

    Raises:
        ModelError: It is missing, no JSON, or of a kind this version does not know.
    """
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ModelError(f"{path}: is larger than {MAX_CARD_BYTES >> 20} MB, which no model card is.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model card. {_known()}") from None
    except ModelError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be read as a model card ({error}). Fetch the model again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: is no model card of format {FORMAT}, which this killassay reads.")
    if content.get("architecture") != ARCHITECTURE:
        raise ModelError(
            f"{path}: the model has architecture {content.get('architecture')!r}, this killassay knows "
            f"{ARCHITECTURE!r} only. Use the killassay version that made it, or train it anew."
        )
    return _card(path, content)


def _card(path: Path, content: Mapping[str, Any]) -> ModelCard:
    try:
        card = ModelCard(
            name=str(content["name"]),
            sha256=str(content["sha256"]),
            widths=tuple(int(width) for width in content["widths"]),
            pixel_um=float(content["pixel_um"]),
            channel_roles=tuple(content["channel_roles"]),
            cell_roles=tuple(content["cell_roles"]),
            training_data=str(content.get("training_data", "")),
            licence=str(content.get("licence", "")),
            training=content.get("training"),
            scores=content.get("scores"),
            confidence=read_confidence(content["confidence"]) if content.get("confidence") else None,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{path}: the model card lacks or garbles an entry ({error!s:.160}). Fetch the model again."
        ) from None
    if len(card.widths) != _LEVELS or not all(1 <= width <= _MOST_CHANNELS for width in card.widths):
        raise ModelError(
            f"{path}: the model card says widths = {str(list(card.widths))[:80]}; expected {_LEVELS} numbers from 1 to "
            f"{_MOST_CHANNELS}. Fetch the model again."
        )
    if card.channel_roles != CHANNEL_ROLES or card.cell_roles != CELL_ROLES or not card.pixel_um > 0:
        raise ModelError(
            f"{path}: the model is for channels {card.channel_roles!s:.160}, cells {card.cell_roles!s:.80} and "
            f"{card.pixel_um} um pixels; expected {CHANNEL_ROLES}, {CELL_ROLES} and a positive size."
        )
    return card


def _card_path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in _PICKLES:
        raise ModelError(
            f"{path}: is a pickle, which may run any code when it is loaded; killassay never opens one. Expected "
            "the .json card of a model with its .safetensors beside it."
        )
    if path.suffix in (".json", ".safetensors"):
        return path.with_suffix(".json")
    shipped = ZOO / f"{name_or_path}.json"
    if path.name != str(name_or_path) or not shipped.exists():
        raise ModelError(f"there is no model {str(name_or_path)!r}. {_known()}")
    return shipped


def _known() -> str:
    names = ", ".join(path.stem for path in sorted(ZOO.glob("*.json"))) or "none"
    return f"Models that come with killassay: {names}; another is given by the path of its .json card."


def _read_tensors(path: Path, card: ModelCard) -> dict[str, torch.Tensor]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            f"{path}: the weights of model {card.name!r} are missing beside its card. Fetch the model again."
        ) from None
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path}: is a Git LFS pointer, not the weights. Run `git lfs pull` there.")
    if content.startswith(_PICKLE_BEGINS):
        raise ModelError(
            f"{path}: is a pickle under another name, which may run any code when it is loaded; killassay never "
            "opens one. Expected a safetensors file."
        )
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path}: the weights ({len(content)} bytes, sha256 {found[:12]}...) are not those of the card "
            f"(sha256 {card.sha256[:12]}...): the file is truncated, altered or of another model. "
            "Fetch the model again."
        )
    if not 2 <= int.from_bytes(content[:8], "little") <= min(MAX_HEADER_BYTES, len(content) - 8):
        raise ModelError(f"{path}: is no safetensors file (its header is not in it). Fetch the model again.")
    try:
        return load_tensors(content)  # type: ignore[no-any-return]
    except SafetensorError as error:
        raise ModelError(
            f"{path}: is no safetensors file ({str(error)[:160]}). Fetch the model again."
        ) from None


def _as_json(card: ModelCard) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": card.name,
        "architecture": ARCHITECTURE,
        "widths": list(card.widths),
        "channel_roles": list(card.channel_roles),
        "cell_roles": list(card.cell_roles),
        "pixel_um": card.pixel_um,
        "sha256": card.sha256,
        "training_data": card.training_data,
        "licence": card.licence,
        "training": card.training,
        "scores": card.scores,
        "confidence": None if card.confidence is None else card.confidence.as_json(),
    }


def _replaced(card: ModelCard, *, sha256: str) -> ModelCard:
    values = {name: getattr(card, name) for name in ModelCard.__dataclass_fields__}
    return ModelCard(**(values | {"sha256": sha256}))
