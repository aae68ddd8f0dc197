import numpy as np
import pytest
import torch

from models.network import HALO_PX, STRIDE, Architecture, in_blocks
from models.training.initial import fresh_network

SMALL = Architecture(slots=5, cell_roles=2, widths=(8, 8, 8, 8))


def planes(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((shape[0], 10, *shape[1:]), dtype=np.float32)
    return torch.from_numpy(drawn)


def test_every_role_has_foreground_heat_and_two_offsets_at_full_resolution():
    maps = fresh_network(SMALL, seed=0)(planes(2, 32, 48))
    assert tuple(maps.shape) == (2, 8, 32, 48)
    assert maps.dtype == torch.float32


def test_the_standard_network_has_under_two_million_weights():
    network = fresh_network(Architecture(slots=5, cell_roles=2), seed=0)
    assert 1_000_000 < sum(weight.numel() for weight in network.parameters()) < 2_000_000


@pytest.mark.parametrize("phase", range(0, STRIDE, 5))
def test_no_pixel_is_seen_from_beyond_the_halo(phase):
    # a corner of 16 px is changed; every map beyond HALO_PX of the cut must stay as it was, bit for bit
    network = fresh_network(SMALL, seed=1).for_inference(torch.float32)
    before = planes(1, 16, 256)
    after = before.clone()
    after[..., :16] += 10 + phase
    with torch.inference_mode():
        a, b = network(before), network(after)
    assert not torch.equal(a[..., :16], b[..., :16])
    assert torch.equal(a[..., 16 + HALO_PX :], b[..., 16 + HALO_PX :])


def test_folding_the_normalisations_changes_no_map():
    network = fresh_network(SMALL, seed=2)
    network.train()
    network(planes(4, 32, 32, seed=1))  # so that the running means are not the trivial ones
    network.eval()
    x = planes(1, 32, 32)
    with torch.inference_mode():
        before = network(x)
        after = network.for_inference(torch.float32)(x)
    assert torch.allclose(before, after, atol=1e-4)


def test_a_seed_gives_the_same_weights_again():
    one, other = (fresh_network(SMALL, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    third = fresh_network(SMALL, seed=4).state_dict()
    assert not torch.equal(one["head.weight"], third["head.weight"])


def test_the_maps_that_training_reads_are_those_that_the_network_gives():
    generator = np.random.default_rng(3)
    network = fresh_network(Architecture(slots=2, cell_roles=2, widths=(8, 8, 8, 8)), seed=5).eval()
    planes = torch.from_numpy(generator.standard_normal((2, 4, 32, 48), dtype=np.float32))
    with torch.no_grad():
        maps, blocks = network(planes), network.maps_by_block(planes)
    np.testing.assert_allclose(blocks.numpy(), in_blocks(maps.numpy()), atol=1e-5)


def test_a_block_is_four_neighbouring_pixels():
    planes = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert in_blocks(planes).tolist() == [[[0, 2, 8, 10], [1, 3, 9, 11], [4, 6, 12, 14], [5, 7, 13, 15]]]
