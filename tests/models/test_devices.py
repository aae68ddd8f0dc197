import pytest
import torch

from assay.errors import DeviceError, ModelError
from models.devices import numerics_class, pick_device, pick_precision

CPU = torch.device("cpu")


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
