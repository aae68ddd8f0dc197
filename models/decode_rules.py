"""The numbers that decoding goes by, ready for pixels: the same for the compiled loops and for torch.

Knows neither maps nor cells.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CHANCE_UNIT = 1 << 20  # probabilities are summed as whole numbers of this, so that no order of sums matters
STEPS_PER_LOGIT = 128
VOTES_PER_PX = 16  # votes land on sixteenths of a pixel
LARGEST_VOTE = 1 << 24  # in these; a vote that points further is no vote
NO_VOTE = np.int32(-(2**31))
LARGEST_LOGIT = 16
SURE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the maps of one grid become cells, in pixels of that grid."""

    smooth: bool  # average over 3x3 pixels first
    thresholds: NDArray[np.float32]  # logits of foreground and heat
    vote_scale: NDArray[np.float32]  # from offsets as the network speaks to `VOTES_PER_PX`, y and x
    seed_radius: NDArray[np.int32]  # half the window of a seed, y and x
    capture_rank: NDArray[np.int32]  # (|dy|, |dx|) -> rank of the step by its length, -1 beyond the capture
    most_jump: float  # of votes between two seeds of one cell, see `decode_joins`
    pixel_um: tuple[float, float]
    least_px: int
    owned: NDArray[np.int32]  # first and stop row, first and stop column of the seeds that are kept


def logit(probability: float) -> np.float32:
    """Of a probability in 0..1; infinite at the ends."""
    if not 0 < probability < 1:
        return np.float32(-math.inf if probability <= 0 else math.inf)
    return np.float32(math.log(probability / (1 - probability)))


@lru_cache(maxsize=1)
def chances() -> NDArray[np.int32]:
    """Probability, in `CHANCE_UNIT`, of each logit from -`LARGEST_LOGIT` to `LARGEST_LOGIT`."""
    half = LARGEST_LOGIT * STEPS_PER_LOGIT
    logits = np.arange(-half, half + 1) / STEPS_PER_LOGIT
    return np.rint(CHANCE_UNIT / (1 + np.exp(-logits))).astype(np.int32)


@lru_cache(maxsize=16)
def capture_ranks(pixel_um: tuple[float, float], capture_um: float) -> NDArray[np.int32]:
    """Rank of the steps (|dy|, |dx|) by their length in um, -1 where they are longer than `capture_um`."""
    reach = [int(capture_um / size + 1e-9) for size in pixel_um]
    y, x = np.mgrid[: reach[0] + 1, : reach[1] + 1]
    # rounded, so that steps of one length are of one rank however their squares are summed
    square = np.round((y * pixel_um[0]) ** 2 + (x * pixel_um[1]) ** 2, 9)
    rank = np.unique(square, return_inverse=True)[1].reshape(square.shape).astype(np.int32)
    rank[square > round(capture_um**2, 9)] = -1
    return rank
