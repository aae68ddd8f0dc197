import numpy as np
import pytest
import torch
from torch.nn import functional

from assay.labels import CHANNEL_ROLES
from models.network import OFFSET_X, OFFSET_Y, STRIDE, Architecture
from models.predictor import Predictor
from models.second_look import mean_of_two_looks
from models.training.initial import fresh_network

SLOTS = len(CHANNEL_ROLES)
SIGNS = torch.tensor([1.0, 1.0, -1.0, -1.0])


def mean_of(maps, turned, signs, *, layout=torch.channels_last):
    """Of full-size maps: what the network makes of features is doubled here, so that it is seen to be asked."""
    blocks = [functional.pixel_unshuffle(look, 2).contiguous(memory_format=layout) for look in (maps, turned)]
    return mean_of_two_looks(*blocks, lambda features: 2 * features, signs) / 2


def test_offsets_of_the_turned_look_are_turned_back():
    # a "network" that says y and x of the pixel it sees in place of the offsets, and 0 elsewhere
    maps = torch.zeros(1, 4, 4, 6)
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    maps[0, OFFSET_Y : OFFSET_X + 1] = torch.stack([y, x])
    turned = maps.clone()
    turned[0, OFFSET_Y : OFFSET_X + 1] = torch.stack([y, x]).flip(1, 2)  # what it sees of the turned frame
    # turned by 180 degrees pixel (y, x) shows what stood at (3 - y, 5 - x); turned back it says -y, -x
    assert (mean_of(maps, turned, SIGNS) == 0).all()


@pytest.mark.parametrize("shape", [(1, 8, 4, 6), (2, 4, 2, 2), (1, 4, 6, 150), (2, 8, 78, 6)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_mean_is_that_of_both_looks_pixel_by_pixel(shape, layout):
    maps, turned = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    signs = SIGNS.repeat(shape[1] // 4)
    expected = (maps + turned.flip(2, 3) * signs[:, None, None]) / 2
    assert torch.equal(mean_of(maps, turned, signs, layout=layout), expected)


def test_the_network_s_second_look_is_at_the_turned_frame():
    network = fresh_network(Architecture(slots=SLOTS, cell_roles=2, widths=(8, 8, 8, 8)), seed=2)
    network = network.for_inference(torch.float32)
    planes = torch.randn(1, 2 * SLOTS, 2 * STRIDE, 4 * STRIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, second = network(planes), network(planes.flip(2, 3)).flip(2, 3)
        both = network.look_twice(planes)
    signs = SIGNS.repeat(2)[:, None, None]
    assert torch.equal(both, (first + second * signs) / 2)
    assert not torch.equal(both, first)


@pytest.mark.parametrize("roles", [("brightfield",), ("effector", "target", "death", "brightfield")])
def test_a_frame_gives_the_same_maps_upside_down(roles):
    model = Predictor(
        fresh_network(Architecture(slots=SLOTS, cell_roles=2, widths=(8, 8, 8, 8)), seed=2),
        name="random",
        sha256="0",
        pixel_um=0.65,
        device="cpu",
        precision="fp32",
    )
    image = np.random.default_rng(4).standard_normal((SLOTS, 64, 96), dtype=np.float32)
    present = [role in roles for role in CHANNEL_ROLES]
    maps = model.maps(image, present=present)
    turned = model.maps(image[:, ::-1, ::-1], present=present)[:, ::-1, ::-1].reshape(2, 4, 64, 96)
    signs = np.array([1, 1, -1, -1])[:, None, None]
    assert np.array_equal(maps.reshape(2, 4, 64, 96), turned * signs)
    assert np.ptp(maps) > 0
