import numpy as np
import pytest
import torch

from assay.labels import CHANNEL_ROLES
from models.network import OFFSET_X, OFFSET_Y, Architecture
from models.predictor import Predictor
from models.second_look import is_worth_it, mean_of_two_looks
from models.training.initial import fresh_network

SLOTS = len(CHANNEL_ROLES)


def channels(*roles):
    return [role in roles for role in CHANNEL_ROLES]


@pytest.mark.parametrize(
    ("roles", "twice"),
    [
        (("brightfield",), True),
        (("brightfield", "death"), True),
        (("brightfield", "target"), True),  # effectors show in transmitted light alone
        (("brightfield", "effector"), True),
        (("brightfield", "effector", "nuclei"), False),
        (("brightfield", "effector", "target", "death"), False),
        (("effector",), False),  # without transmitted light targets are not seen at all
        ((), False),
    ],
)
def test_frames_are_looked_at_twice_where_a_role_shows_in_transmitted_light_alone(roles, twice):
    assert is_worth_it(channels(*roles)) is twice


def test_offsets_of_the_turned_look_are_turned_back():
    # a "network" that says y and x of the pixel it sees in place of the offsets, and 0 elsewhere
    def compute(planes):
        maps = torch.zeros(1, 4, 2, 3)
        maps[:, OFFSET_Y : OFFSET_X + 1] = planes[:, :2]
        return maps

    y, x = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")
    maps = mean_of_two_looks(compute, torch.stack([y, x])[None])
    # turned by 180 degrees pixel (y, x) shows (1 - y, 2 - x) where (y, x) was; turned back it says -y, -x
    assert (maps == 0).all()


def test_a_frame_without_dyes_gives_the_same_maps_upside_down():
    model = Predictor(
        fresh_network(Architecture(slots=SLOTS, cell_roles=2, widths=(8, 8, 8, 8)), seed=2),
        name="random",
        sha256="0",
        pixel_um=0.65,
        device="cpu",
        precision="fp32",
    )
    image = np.random.default_rng(4).standard_normal((SLOTS, 64, 96), dtype=np.float32)
    present = channels("brightfield")
    maps = model.maps(image, present=present)
    turned = model.maps(image[:, ::-1, ::-1], present=present)[:, ::-1, ::-1].reshape(2, 4, 64, 96)
    signs = np.array([1, 1, -1, -1])[:, None, None]
    assert np.array_equal(maps.reshape(2, 4, 64, 96), turned * signs)
    assert np.ptp(maps) > 0
