"""Convolutions that add and rectify while their result is still in the processor's cache (oneDNN, on x86).

In bf16 only: there the separate steps cost as much as the convolutions, and one rounding falls away. In fp32
little would be gained, and a last bit lost. Elsewhere (other processors, GPUs) the separate steps are taken.
"""

import platform
from typing import Any

import torch
from torch import Tensor, nn


def can_fuse(dtype: torch.dtype) -> bool:
    """Whether this processor and this build of torch have the fused convolutions for `dtype`."""
    if dtype != torch.bfloat16:
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operation = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    if operation is None or "binary" not in operation.overloads():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def convolve_and_rectify(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """`relu(conv(x))`."""
    done: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, conv.weight, conv.bias, *_shape_of(conv), "relu", [], ""
    )
    return done


def convolve_add_and_rectify(x: Tensor, addend: Tensor, conv: nn.Conv2d) -> Tensor:
    """`relu(conv(x) + addend)`."""
    done: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
        x, addend, conv.weight, conv.bias, *_shape_of(conv), "add", None, "relu", [], None
    )
    return done


def _shape_of(conv: nn.Conv2d) -> tuple[Any, ...]:
    return list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
