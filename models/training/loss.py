"""How far the network's maps are from the truth."""

import torch
from torch import Tensor
from torch.nn import functional

from models.network import MAPS_PER_ROLE

DICE_SHARE, HEAT_SHARE, OFFSET_SHARE = 0.5, 1.0, 0.7
HEAT_WEIGHT = 8.0  # centres are a few pixels in a hundred


def map_loss(maps: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean over pixels, sum over the cell roles, of foreground, heat and offset errors.

    Args:
        maps: (roles * 4, ...) from the network; in which order the pixels come does not matter.
        truth: (roles * 4, ...), the maps of `targets.role_truth` in the same order.
        weight: (roles, ...), higher where pixels matter more, 0 where the truth is not known.
    """
    roles = len(weight)
    said = maps.float().view(roles, MAPS_PER_ROLE, -1).unbind(1)  # 4 of (roles, pixels)
    cell, heat, true_y, true_x = truth.view(roles, MAPS_PER_ROLE, -1).unbind(1)
    weight = weight.view(roles, -1)
    known = (weight > 0).float()
    pixel = functional.binary_cross_entropy_with_logits(said[0], cell, weight=weight * (1 + cell))
    chance, seen = torch.sigmoid(said[0]) * known, cell * known
    overlap, sizes = (chance * seen).sum(1), (chance + seen).sum(1)  # (roles,)
    dice = (1 - (2 * overlap + 1) / (sizes + 1)).sum()
    centre_weight = known * (1 + HEAT_WEIGHT * heat)
    centre = functional.binary_cross_entropy_with_logits(said[1], heat, weight=centre_weight)
    inside = weight * cell
    miss = ((said[2] - true_y).abs() + (said[3] - true_x).abs()) * inside
    offset = (miss.sum(1) / (inside.sum(1) + 1)).sum()
    loss: Tensor = roles * (pixel + HEAT_SHARE * centre) + DICE_SHARE * dice + OFFSET_SHARE * offset
    return loss
