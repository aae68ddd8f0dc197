import pytest
import torch
from torch.nn import functional

from models.folding import folded, halved


def random_maps(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 10, 16, 16), (3, 5, 4, 140), (2, 3, 4, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_blocks_hold_what_torch_makes_of_images_and_flags_and_lie_as_it_lays_them(shape, dtype):
    slots = shape[1] // 2
    planes = random_maps(*shape).to(dtype)
    before = planes.clone()
    images, flags = functional.pixel_unshuffle(planes[:, :slots], 2), planes[:, slots:, ::2, ::2]
    expected = torch.cat([images, flags], dim=1).contiguous(memory_format=torch.channels_last)
    blocks = folded(planes, slots)
    assert torch.equal(blocks, expected)
    assert blocks.dtype == dtype
    assert blocks.stride() == expected.stride()
    assert torch.equal(planes, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_turned_frame_is_folded_as_if_it_had_been_turned_before(dtype):
    planes = random_maps(2, 6, 8, 140).to(dtype)
    assert torch.equal(folded(planes, 3, turned=True), folded(planes.flip(2, 3), 3))
    assert not torch.equal(folded(planes, 3, turned=True), folded(planes, 3))


def test_a_window_of_a_larger_image_is_folded_alike():
    planes = random_maps(2, 4, 24, 40)
    window = planes[1:, :, 8:20, 4:36]
    assert torch.equal(folded(window, 2), folded(window.clone(), 2))
    assert torch.equal(folded(window, 2)[:, :8], functional.pixel_unshuffle(window[:, :2], 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_the_size_keeps_the_greatest_of_four_and_how_memory_lies(dtype):
    x = random_maps(2, 8, 12, 20).to(dtype).to(memory_format=torch.channels_last)
    assert torch.equal(halved(x), functional.max_pool2d(x, 2))
    assert halved(x).stride() == functional.max_pool2d(x, 2).stride()
