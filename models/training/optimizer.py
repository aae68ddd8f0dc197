"""AdamW, small enough to read, and to save as plain tensors.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101. (torch's own brings in its compiler on first use, which
takes longer than a short training.)
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


class AdamW:
    """Adam with weight decay that does not go through the moments."""

    def __init__(self, network: nn.Module, *, weight_decay: float) -> None:
        self._weights = dict(network.named_parameters())
        self._weight_decay = weight_decay
        self._step = 0
        self._mean = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}
        self._square = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}

    @torch.no_grad()
    def step(self, *, rate: float, clip_norm: float) -> None:
        """Move the weights against their gradients, which are shortened to `clip_norm` and then forgotten."""
        self._step += 1
        gradients = {name: weight.grad for name, weight in self._weights.items()}
        norms = torch.stack([grad.norm() for grad in gradients.values() if grad is not None])
        shorten = min(1.0, clip_norm / (norms.norm().item() + 1e-6))
        bias1, bias2 = 1 - _FIRST**self._step, 1 - _SECOND**self._step
        for name, weight in self._weights.items():
            grad = gradients[name]
            if grad is None:
                continue
            grad.mul_(shorten)
            weight.mul_(1 - rate * self._weight_decay)
            self._mean[name].mul_(_FIRST).add_(grad, alpha=1 - _FIRST)
            self._square[name].mul_(_SECOND).addcmul_(grad, grad, value=1 - _SECOND)
            length = (self._square[name] / bias2).sqrt_().add_(_TINY)
            weight.addcdiv_(self._mean[name], length, value=-rate / bias1)
            weight.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything that is needed to go on, as tensors."""
        tensors = {f"mean.{name}": tensor for name, tensor in self._mean.items()}
        tensors |= {f"square.{name}": tensor for name, tensor in self._square.items()}
        return tensors | {"step": torch.tensor(self._step)}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave; a KeyError or RuntimeError where it is of another network."""
        for name in self._weights:
            self._mean[name].copy_(state[f"mean.{name}"])
            self._square[name].copy_(state[f"square.{name}"])
        self._step = int(state["step"])
