"""Where a training stands, on disk, without a pickle: tensors in safetensors, numbers in its header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.errors import ModelError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, standing: Mapping[str, Any]
) -> None:
    """Write weights, the optimiser's moments and `standing`; an older file is replaced whole."""
    tensors: dict[str, Tensor] = {f"net.{key}": value for key, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": state[name] for name in _MOMENTS}
    partial = path.with_suffix(".partial")
    contiguous = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(contiguous, partial, metadata={"standing": json.dumps(dict(standing))})
    partial.replace(path)


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put network and optimiser back; gives the `standing` that was saved.

    Raises:
        ModelError: The file is broken, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            standing = json.loads(file.metadata()["standing"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        network.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: is no checkpoint of this training ({error}). Delete it to begin anew."
        ) from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return dict(standing)
