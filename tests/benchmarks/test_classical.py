import numpy as np
import pytest

from assay.labels import CHANNEL_ROLES
from benchmarks.classical import Classical

OWN = (0.65, 0.65)


def discs(*places, side=128):
    """Bright discs of the given (y, x, radius) on a dark field."""
    y, x = np.mgrid[:side, :side]
    image = np.zeros((side, side), np.float32)
    for cy, cx, radius in places:
        image[np.hypot(y - cy, x - cx) <= radius] = 1
    noise = np.random.default_rng(3).normal(0, 0.02, image.shape)
    return image + noise.astype(np.float32)


def slots_of(**images):
    shape = next(iter(images.values())).shape
    slots = np.stack([images.get(role, np.zeros(shape, np.float32)) for role in CHANNEL_ROLES])
    return slots[None], [role in images for role in CHANNEL_ROLES]


@pytest.mark.parametrize("threshold", ["otsu", "otsu of logarithm", "local"])
def test_the_baseline_finds_plain_cells(threshold):
    slots, present = slots_of(target=discs((30, 30, 14), (90, 90, 14)), effector=discs((30, 95, 8)))
    [found] = Classical(threshold=threshold).segment(slots, present=present, pixel_um=OWN)
    assert found.targets.max() == 2
    assert found.effectors.max() == 1


def test_the_baseline_parts_two_touching_nuclei():
    slots, present = slots_of(nuclei=discs((60, 52, 9), (60, 68, 9)))
    [found] = Classical().segment(slots, present=present, pixel_um=OWN)
    assert found.targets.max() == 2


def test_a_nucleus_under_effector_dye_is_no_target_for_the_baseline():
    slots, present = slots_of(nuclei=discs((30, 30, 9), (90, 90, 9)), effector=discs((30, 30, 11)))
    [found] = Classical().segment(slots, present=present, pixel_um=OWN)
    assert found.targets.max() == 1
    assert found.targets[90, 90] == 1


def test_a_frame_without_light_has_no_cells_for_the_baseline():
    slots, present = slots_of(
        target=np.zeros((64, 64), np.float32), brightfield=np.zeros((64, 64), np.float32)
    )
    [found] = Classical().segment(slots, present=present, pixel_um=OWN)
    assert not found.targets.any()
    slots, present = slots_of(brightfield=np.zeros((64, 64), np.float32))
    [found] = Classical().segment(slots, present=present, pixel_um=OWN)
    assert not found.targets.any()
    assert not found.effectors.any()
