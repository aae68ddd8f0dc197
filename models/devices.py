"""Which processor runs the network, at which precision, and what that means for exact repeats."""

import platform
from typing import Literal

import torch

from assay.errors import DeviceError, ModelError

Precision = Literal["auto", "fp32", "bf16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pick_device(name: str = "auto") -> torch.device:
    """The device that `name` asks for.

    Args:
        name: `cpu`, `cuda`, `cuda:N`, or `auto`: the first CUDA device where there is one, else the CPU.

    Raises:
        DeviceError: The name is unknown, or the device is not in this machine. Nothing falls back silently.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not number.isdecimal()):
        raise DeviceError(f"device {name!r} is unknown, expected auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(number or 0)
    if index >= count:
        build = "" if torch.version.cuda else " This torch is built without CUDA: install the CUDA build."
        raise DeviceError(
            f"device {name!r} was asked for, but torch finds {count} CUDA devices.{build} "
            "`--device cpu` runs on the processor."
        )
    return torch.device("cuda", index)


def pick_precision(precision: str, device: torch.device) -> Literal["fp32", "bf16"]:
    """What `auto` means on this device: bf16 where the processor computes it in hardware, else fp32.

    Raises:
        ModelError: The precision is unknown.
    """
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp32":
        return "fp32"
    if precision == "bf16":
        return "bf16"
    raise ModelError(f"precision {precision!r} is unknown, expected auto, fp32 or bf16.")


def dtype_of(precision: Literal["fp32", "bf16"]) -> torch.dtype:
    """The torch type of a precision."""
    return _DTYPES[precision]


def numerics_class(device: torch.device, precision: Literal["fp32", "bf16"]) -> str:
    """Name of the set of machines that give the same bits, e.g. `cpu-bf16-amx` or `cuda-bf16-sm90`.

    A run never mixes two classes; across them results agree within a tolerance only.
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"cuda-{precision}-sm{major}{minor}"
    return f"cpu-{precision}-{_instruction_set(precision)}"


def one_thread() -> None:
    """Give torch one thread: parallel runs come from workers, and sums keep one order."""
    torch.set_num_threads(1)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return _cpu_flag("_is_amx_tile_supported") or _cpu_flag("_is_avx512_bf16_supported")


def _instruction_set(precision: str) -> str:
    if precision == "bf16" and _cpu_flag("_is_amx_tile_supported"):
        return "amx"
    if precision == "bf16" and _cpu_flag("_is_avx512_bf16_supported"):
        return "avx512bf16"
    name = torch.backends.cpu.get_cpu_capability().lower()
    return f"{platform.machine().lower()}-default" if name == "default" else name


def _cpu_flag(name: str) -> bool:
    # torch keeps these private and has renamed some; an absent one means that bf16 is not for this build
    probe = getattr(torch.cpu, name, None)
    return bool(probe()) if callable(probe) else False
