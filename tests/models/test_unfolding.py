import pytest
import torch
from torch.nn import functional

from models.unfolding import unfolded


def random_maps(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 32, 8, 8), (3, 32, 5, 70), (2, 4, 1, 1), (1, 8, 3, 64)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_planes_hold_what_torch_shuffles(shape, layout):
    maps = random_maps(*shape).contiguous(memory_format=layout)
    before = maps.clone()
    assert torch.equal(unfolded(maps), functional.pixel_shuffle(maps, 2))
    assert torch.equal(maps, before)


def test_each_map_lies_by_itself():
    maps = random_maps(2, 32, 16, 24).contiguous(memory_format=torch.channels_last)
    assert unfolded(maps).is_contiguous()


def test_other_precisions_are_left_to_torch():
    maps = random_maps(1, 8, 4, 4).double().contiguous(memory_format=torch.channels_last)
    assert torch.equal(unfolded(maps), functional.pixel_shuffle(maps, 2))
