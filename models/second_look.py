"""Looking twice where cells are hard to see: in transmitted light alone, where no dye marks a role.

The frame is shown as it is and turned by 180 degrees, and the maps of the two looks are averaged. What the network
takes for a cell in one of them only is dimmed. It costs a second pass, so films with dyes are looked at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assay.labels import CHANNEL_ROLES
from models.network import MAPS_PER_ROLE, OFFSET_Y

_BY_DYE = (("effector",), ("target", "nuclei"))  # what marks each cell role; transmitted light shows both
_TRANSMITTED = CHANNEL_ROLES.index("brightfield")


def is_worth_it(present: Sequence[bool]) -> bool:
    """Whether a role is seen in transmitted light alone."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    return present[_TRANSMITTED] and any(shown.isdisjoint(dyes) for dyes in _BY_DYE)


def mean_of_two_looks(compute: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
    """The mean of the maps of frames as they are and turned by 180 degrees.

    Args:
        compute: (N, planes, Y, X) -> (N, maps, Y, X).
        planes: Of frames.
    """
    as_it_is, turned = compute(planes), compute(planes.flip(2, 3))
    return (as_it_is + _turned(turned)) / 2


def _turned(maps: Tensor) -> Tensor:
    frames, _, height, width = maps.shape
    back = maps.flip(2, 3).view(
        frames, -1, MAPS_PER_ROLE, height, width
    )  # (N, maps, Y, X) -> (N, roles, 4, Y, X)
    signs = torch.ones(MAPS_PER_ROLE, 1, 1, device=maps.device)
    signs[OFFSET_Y:] = -1  # offsets point the other way
    return (back * signs).flatten(1, 2)
