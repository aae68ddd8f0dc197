"""A network before it has learned anything: the same one for a seed on every machine."""

import math

import numpy as np
import torch
from torch import nn

from models.network import FOREGROUND, HEAT, MAPS_PER_ROLE, Architecture, SegmentationNet

_RARE_CELLS, _RARE_CENTRES = -2.0, -4.0  # logits at the start: most pixels are background


def fresh_network(architecture: Architecture, *, seed: int) -> SegmentationNet:
    """Draw the weights from numpy's generator, scaled by the fan-in."""
    generator = np.random.default_rng(seed)
    network = SegmentationNet(architecture)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                drawn = generator.standard_normal(tuple(module.weight.shape)) * math.sqrt(2 / fan_in)
                module.weight.copy_(torch.from_numpy(drawn.astype(np.float32)))
                if module.bias is not None:
                    module.bias.zero_()
        network.head.weight.mul_(0.1)
        bias = network.head.bias
        assert bias is not None
        by_map = bias.view(architecture.cell_roles, MAPS_PER_ROLE, 4)  # pixel shuffle: 4 values a map
        by_map[:, FOREGROUND] = _RARE_CELLS
        by_map[:, HEAT] = _RARE_CENTRES
    return network
