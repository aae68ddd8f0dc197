"""How far the network's maps are from the truth."""

import torch
from torch import Tensor
from torch.nn import functional

from models.network import FOREGROUND, HEAT, MAPS_PER_ROLE, OFFSET_X, OFFSET_Y

DICE_SHARE, HEAT_SHARE, OFFSET_SHARE = 0.5, 1.0, 0.7
HEAT_WEIGHT = 8.0  # centres are a few pixels in a hundred


def map_loss(maps: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Sum over the cell roles of foreground, heat and offset errors.

    Args:
        maps: (B, roles * 4, Y, X) from the network.
        truth: (B, roles * 4, Y, X) from `targets.role_truth`.
        weight: (B, roles, Y, X), higher where pixels matter more.
    """
    maps = maps.float()
    total = maps.new_zeros(())
    for role in range(maps.shape[1] // MAPS_PER_ROLE):
        first = role * MAPS_PER_ROLE
        total = total + _role_loss(
            maps[:, first : first + MAPS_PER_ROLE], truth[:, first : first + MAPS_PER_ROLE], weight[:, role]
        )
    return total


def _role_loss(maps: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    cell = truth[:, FOREGROUND]  # (B, Y, X)
    pixel = functional.binary_cross_entropy_with_logits(maps[:, FOREGROUND], cell, weight=weight * (1 + cell))
    chance = torch.sigmoid(maps[:, FOREGROUND])
    overlap = (chance * cell).sum()
    dice = 1 - (2 * overlap + 1) / (chance.sum() + cell.sum() + 1)
    heat = truth[:, HEAT]
    centre = functional.binary_cross_entropy_with_logits(maps[:, HEAT], heat, weight=1 + HEAT_WEIGHT * heat)
    miss = (maps[:, [OFFSET_Y, OFFSET_X]] - truth[:, [OFFSET_Y, OFFSET_X]]).abs().sum(1)
    offset = (miss * cell * weight).sum() / ((cell * weight).sum() + 1)
    return pixel + DICE_SHARE * dice + HEAT_SHARE * centre + OFFSET_SHARE * offset
