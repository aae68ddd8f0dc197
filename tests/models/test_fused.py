import copy

import numpy as np
import pytest
import torch

from models.fused import can_fuse
from models.network import Architecture
from models.training.initial import fresh_network

HERE = pytest.mark.skipif(not can_fuse(torch.bfloat16), reason="this processor has no such path")


def both_ways(dtype, *, widths=(32, 48, 32, 32)):
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=widths), seed=0)
    apart = copy.deepcopy(network).for_inference(dtype, one_pass=False)
    together = network.for_inference(dtype)
    drawn = np.random.default_rng(0).standard_normal((1, 10, 96, 144), dtype=np.float32)
    planes = torch.from_numpy(drawn).to(dtype)
    with torch.inference_mode():
        return apart(planes), together(planes)


def test_fp32_for_exact_repeats_takes_the_separate_steps():
    assert not can_fuse(torch.float32)
    apart, together = both_ways(torch.float32)
    assert torch.equal(apart, together)


@HERE
def test_in_bf16_the_one_pass_is_nearer_to_fp32_than_the_separate_steps():
    exact, _ = both_ways(torch.float32)
    apart, together = both_ways(torch.bfloat16)
    assert (together - exact).abs().mean() < 1.05 * (apart - exact).abs().mean()
    assert (together - exact).abs().max() < 0.05 * exact.abs().max()


@HERE
def test_the_one_pass_is_really_taken():
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=(8, 8, 8, 8)), seed=0)
    blocks = network.for_inference(torch.bfloat16).encoder
    assert all(block._in_one_pass for block in blocks)


def test_a_processor_without_the_library_takes_the_separate_steps(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert not can_fuse(torch.bfloat16)
    apart, together = both_ways(torch.bfloat16)
    assert torch.equal(apart, together)
