"""Where a training stands, on disk, without a pickle: tensors in safetensors, numbers in its header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.errors import ModelError
from models.training.optimizer import AdamW

_OPTIMIZER = "optimizer."


def save_checkpoint(
    path: Path, networks: Mapping[str, nn.Module], optimizer: AdamW, standing: Mapping[str, Any]
) -> None:
    """Write weights, the optimiser's moments and `standing`; an older file is replaced whole."""
    tensors = {_OPTIMIZER + key: value for key, value in optimizer.state().items()}
    for name, network in networks.items():
        tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    partial = path.with_suffix(".partial")
    contiguous = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(contiguous, partial, metadata={"standing": json.dumps(dict(standing))})
    partial.replace(path)


def load_checkpoint(path: Path, networks: Mapping[str, nn.Module], optimizer: AdamW) -> dict[str, Any]:
    """Put networks and optimiser back; gives the `standing` that was saved.

    Raises:
        ModelError: The file is broken, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            standing = dict(json.loads(file.metadata()["standing"]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        for name, network in networks.items():
            network.load_state_dict(_of(tensors, f"{name}."))
        optimizer.load(_of(tensors, _OPTIMIZER))
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: is no checkpoint of this training ({error}). Delete it to begin anew."
        ) from None
    return standing


def _of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
