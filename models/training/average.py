"""The running average of the weights: steadier than the weights of the last step, at no cost.

Source: Polyak & Juditsky 1992; exponential form as in Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

import copy

import torch

from models.network import SegmentationNet

_MEMORY = 0.998  # share that is kept at each step: an average over about 500 steps
_EARLY = 10.0  # at the start the average follows faster


class AveragedNetwork:
    """A copy of a network that follows it slowly."""

    def __init__(self, network: SegmentationNet) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)

    @torch.no_grad()
    def follow(self, network: SegmentationNet, *, step: int) -> None:
        """Move towards `network` as it is after `step` steps."""
        kept = min(_MEMORY, (1 + step) / (_EARLY + step))
        new = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - kept)
            else:
                value.copy_(new[name])
