"""Which processor runs the network, at which precision, and what that means for exact repeats."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from assay.errors import DeviceError, ModelError

Precision = Literal["auto", "fp32", "bf16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

# of glibc's malloc.h: blocks up to a gigabyte stay in the heap, and the heap keeps what is freed
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_HEAP_RULES = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_TOP_PAD, 1 << 26))


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


def chosen_text(asked_device: str, asked_precision: str, device: torch.device, precision: str) -> str:
    """One line on what was chosen and why, e.g. `cpu, bf16 (the processor has AMX); no CUDA device found`."""
    if asked_precision != "auto":
        why = "as asked for"
    elif device.type == "cuda":
        why = "the GPU computes it in hardware" if precision == "bf16" else "the GPU has no bf16"
    elif precision == "bf16":
        why = (
            "the processor has AMX"
            if _cpu_flag("_is_amx_tile_supported")
            else "the processor has AVX512-BF16"
        )
    else:
        why = "the processor has no bf16"
    if asked_device != "auto":
        reason = "device as asked for"
    elif device.type == "cuda":
        reason = f"the first of {torch.cuda.device_count()} CUDA devices"
    elif torch.version.cuda:
        reason = "no CUDA device found"
    else:
        reason = "this torch is built without CUDA"
    return f"{device}, {precision} ({why}); {reason}"


def device_name(device: torch.device) -> str:
    """What the maker calls it, e.g. `NVIDIA H200`; the machine's kind where nothing more is known."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def visible_gpus(name: str) -> tuple[str, ...]:
    """Names, as in CUDA_VISIBLE_DEVICES, of the GPUs that `auto`, `cuda` or `cuda:N` may use: of `cuda:N` that one."""
    named = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    gpus = tuple(named or map(str, range(torch.cuda.device_count())))
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cuda") or not number:
        return gpus if kind in ("auto", "cuda") else ()
    return gpus[int(number) : int(number) + 1]


def keep_freed_memory() -> bool:
    """Let this process keep the memory that a frame has used for the next one; True where that is possible.

    glibc hands large blocks back to the system as soon as they are freed, and every map of every frame is then
    paged in again, which takes as long as computing it. Peak memory grows by about half. Elsewhere than on
    glibc nothing is done, nor for GPUs.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(rule, value) for rule, value in _HEAP_RULES]
    return taken == [1] * len(_HEAP_RULES)


@contextmanager
def exact_repeats(device: torch.device, precision: str) -> Iterator[None]:
    """Compute such that the same input gives the same bits again.

    On CUDA only deterministic convolutions are chosen, by rule and not by a race, and fp32 means fp32. On a CPU
    fp32 is computed with one thread: with more, the library sums small windows in another order.
    """
    if device.type == "cuda":
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=precision != "fp32"
        ):
            yield
        return
    threads = torch.get_num_threads()
    if precision != "fp32" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
