import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from assay.errors import DeviceError, ModelError
from models.devices import (
    chosen_text,
    device_name,
    exact_repeats,
    keep_freed_memory,
    numerics_class,
    pick_device,
    pick_precision,
    visible_gpus,
)

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def test_cpu_is_always_there():
    assert pick_device("cpu") == CPU


def test_auto_takes_cuda_only_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda:0")


def test_a_missing_gpu_is_an_error_and_never_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="'cuda:1' was asked for, but torch finds 0 CUDA devices"):
        pick_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", "cuda:-1"])
def test_an_unknown_device_names_what_is_expected(name):
    with pytest.raises(DeviceError, match="is unknown, expected auto, cpu, cuda or cuda:N"):
        pick_device(name)


def test_auto_precision_is_bf16_only_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr("models.devices._cpu_flag", lambda name: False)
    assert pick_precision("auto", CPU) == "fp32"
    assert numerics_class(CPU, "fp32").startswith("cpu-fp32-")
    monkeypatch.setattr("models.devices._cpu_flag", lambda name: True)
    assert pick_precision("auto", CPU) == "bf16"
    assert numerics_class(CPU, "bf16") == "cpu-bf16-amx"


def test_fp32_for_exact_repeats_is_kept_on_any_processor():
    assert pick_precision("fp32", CPU) == "fp32"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ModelError, match="precision 'fp16' is unknown, expected auto, fp32 or bf16"):
        pick_precision("fp16", CPU)


def test_what_was_chosen_is_said_with_the_reason(monkeypatch):
    monkeypatch.setattr("models.devices._cpu_flag", lambda name: name == "_is_amx_tile_supported")
    monkeypatch.setattr(torch.version, "cuda", None)
    said = chosen_text("auto", "auto", CPU, "bf16")
    assert said == "cpu, bf16 (the processor has AMX); this torch is built without CUDA"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    said = chosen_text("auto", "auto", CPU, "fp32")
    assert said == "cpu, fp32 (the processor has no bf16); no CUDA device found"
    assert chosen_text("cpu", "fp32", CPU, "fp32") == "cpu, fp32 (as asked for); device as asked for"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    said = chosen_text("auto", "auto", torch.device("cuda:0"), "bf16")
    assert said == "cuda:0, bf16 (the GPU computes it in hardware); the first of 2 CUDA devices"


def test_a_device_has_a_name(monkeypatch):
    assert device_name(CPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert device_name(torch.device("cuda:0")) == "NVIDIA H200"


def test_freed_memory_is_kept_on_glibc_and_left_alone_elsewhere():
    code = (
        "import resource, torch; from models.devices import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt; torch.ones(1 << 24)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(); apart = min(faults() for _ in range(8)); kept = keep_freed_memory(); faults()\n"
        "print(kept, apart, min(faults() for _ in range(8)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    kept, apart, after = done.stdout.split()
    # the least of several: a system that takes back idle pages by itself may do so at any time
    if kept == "True":  # 64 MiB of pages of 4 KiB are 16384; with huge pages fewer
        assert int(after) < max(1, int(apart)) / 2


def test_nothing_is_done_to_the_heap_of_another_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))  # musl
    assert keep_freed_memory() is False


def test_fp32_on_a_cpu_is_computed_with_one_thread_whatever_the_host_uses():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with exact_repeats(CPU, "fp32"):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with exact_repeats(CPU, "bf16"):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", True)])
def test_a_gpu_takes_deterministic_convolutions_only(monkeypatch, precision, tf32):
    asked = []

    @contextmanager
    def flags(**settings):
        asked.append(settings)
        yield

    monkeypatch.setattr(torch.backends.cudnn, "flags", flags)
    with exact_repeats(torch.device("cuda:0"), precision):
        pass
    assert asked == [{"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": tf32}]


@pytest.mark.parametrize(
    ("visible", "device", "gpus"),
    [
        ("", "auto", ("0", "1", "2")),
        ("", "cuda", ("0", "1", "2")),
        ("", "cuda:2", ("2",)),
        ("GPU-a,GPU-b", "cuda", ("GPU-a", "GPU-b")),
        ("5,7", "cuda:1", ("7",)),
        ("5,7", "cpu", ()),
    ],
)
def test_a_run_spreads_over_the_gpus_that_it_may_use(monkeypatch, visible, device, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert visible_gpus(device) == gpus
