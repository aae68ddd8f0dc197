"""Decoding as torch operations, for maps on any device.

Gives bit for bit what `decode_cpu` gives. Whatever is summed over pixels is a whole number, so that a device may
sum in any order; whatever is written to one place twice is the smallest of it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.decode_joins import joined_owners
from models.decode_rules import (
    CHANCE_UNIT,
    LARGEST_VOTE,
    STEPS_PER_LOGIT,
    SURE,
    VOTES_PER_PX,
    Rules,
    chances,
)
from models.network import FOREGROUND, HEAT, OFFSET_X, OFFSET_Y

NINTH = float(np.float32(1 / 9))


def averaged(maps: Tensor) -> Tensor:
    """Mean over 3x3 pixels of (C, Y, X); beyond the edge lies what lies at the edge."""
    wide = functional.pad(maps[None], (1, 1, 1, 1), mode="replicate")[0]
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) * NINTH


@torch.inference_mode()
def decode_tensors(
    maps: Tensor, other_foreground: Tensor, rules: Rules
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], int]:
    """Find the cells of one role; what comes back is said at `models.decode_cpu.decode_arrays`."""
    shape = (maps.shape[1], maps.shape[2])
    if rules.smooth:
        maps = torch.cat([averaged(maps[:OFFSET_Y]), maps[OFFSET_Y:]])
    table = torch.from_numpy(chances()).to(maps.device)
    inside = maps[FOREGROUND] > float(rules.thresholds[0])
    seeds = _seeds(maps[HEAT], inside, rules)
    pixels = inside.flatten().nonzero()[:, 0]  # flat places of the foreground, in row order
    votes = _votes(maps, pixels, rules)
    owner = _joined(_owners(votes, seeds, shape, rules), votes, pixels, seeds, maps[HEAT], shape, rules)
    piece = _pieces(owner, pixels, shape)
    cell, kept = _cells(
        owner, piece, seeds, rules
    )  # -> number from 1 of each pixel's cell; seeds that are kept
    labels = torch.zeros(shape[0] * shape[1], dtype=torch.int32, device=maps.device)
    labels[pixels] = cell.to(torch.int32)
    own = table[_steps(maps[FOREGROUND].flatten()[pixels])].long()
    other = table[_steps(other_foreground.flatten()[pixels])].long()
    seed_of = torch.cat([kept.new_zeros((1, 2)), kept])[cell] * VOTES_PER_PX
    miss = (votes - seed_of) ** 2
    columns = torch.stack(
        [torch.ones_like(own), own, other, (own < round(SURE * CHANCE_UNIT)).long(), miss[:, 0], miss[:, 1]],
        1,
    )
    sums = torch.zeros((len(kept) + 1, columns.shape[1]), dtype=torch.int64, device=maps.device)
    sums.index_add_(0, cell, columns)
    heat = table[_steps(maps[HEAT][kept[:, 0], kept[:, 1]])]
    back = labels.reshape(shape), kept.to(torch.int32), heat, sums[1:]
    labels_back, seeds_back, heat_back, sums_back = (tensor.cpu().numpy() for tensor in back)
    return labels_back, seeds_back, heat_back, sums_back, len(pixels)


def _seeds(heat: Tensor, inside: Tensor, rules: Rules) -> Tensor:
    """(n, 2) peaks of the heat: warmest in their window, of equally warm ones the first; in row order."""
    warm = inside & (heat >= float(rules.thresholds[1]))
    heat = torch.where(warm, heat, heat.new_tensor(-torch.inf))
    ry, rx = rules.seed_radius.tolist()
    window = (2 * ry + 1, 2 * rx + 1)
    y, x = warm.nonzero().T
    near = functional.max_pool2d(heat[None], window, stride=1, padding=(ry, rx))[0]
    high = heat[y, x] == near[y, x]
    y, x = y[high], x[high]
    # an equally warm pixel before it in its window, peak or not, makes a peak no seed
    before = torch.zeros_like(y, dtype=torch.bool)
    padded = functional.pad(heat[None], (rx, rx, ry, ry), value=-torch.inf)[0]
    for dy in range(-ry, 1):
        for dx in range(-rx, rx + 1 if dy else 0):
            before |= padded[y + ry + dy, x + rx + dx] == heat[y, x]
    return torch.stack([y[~before], x[~before]], dim=1)


def _votes(maps: Tensor, pixels: Tensor, rules: Rules) -> Tensor:
    """(n, 2) where each pixel's vote lands on the frame, in `VOTES_PER_PX`; -1 for no vote."""
    height, width = maps.shape[1:]
    columns = []
    for place, offset, scale, side in (
        (pixels // width, OFFSET_Y, rules.vote_scale[0], height),
        (pixels % width, OFFSET_X, rules.vote_scale[1], width),
    ):
        vote = maps[offset].flatten()[pixels] * float(scale)
        near = vote.abs() < LARGEST_VOTE
        landing = place * VOTES_PER_PX + torch.where(near, vote, 0.0).round().long()
        columns.append(torch.where(near, landing.clamp(0, (side - 1) * VOTES_PER_PX), -1))
    return torch.stack(columns, dim=1)


def _owners(votes: Tensor, seeds: Tensor, shape: tuple[int, int], rules: Rules) -> Tensor:
    """Number from 1 of the seed that each vote belongs to: the nearest to where it lands; 0 for none."""
    rank = torch.from_numpy(rules.capture_rank).to(votes.device).long()
    dy = torch.arange(1 - rank.shape[0], rank.shape[0], device=votes.device)
    dx = torch.arange(1 - rank.shape[1], rank.shape[1], device=votes.device)
    of_step = rank[dy.abs()[:, None], dx.abs()[None]]
    step_y, step_x = (of_step >= 0).nonzero().T
    y = seeds[:, :1] + dy[step_y]  # (seeds, steps)
    x = seeds[:, 1:] + dx[step_x]
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    number = torch.arange(1, len(seeds) + 1, device=votes.device)
    key = of_step[step_y, step_x] * (len(seeds) + 1) + number[:, None]  # nearer is smaller, then earlier
    far = rank.numel() * (len(seeds) + 1)  # a multiple, so that what no seed captures gets 0
    nearest = torch.full((shape[0] * shape[1],), far, dtype=torch.int64, device=votes.device)
    nearest.scatter_reduce_(0, (y * shape[1] + x)[inside], key[inside], "amin")
    place = votes.clamp(min=0).add(VOTES_PER_PX // 2).div(VOTES_PER_PX, rounding_mode="floor")
    owner = nearest[place[:, 0] * shape[1] + place[:, 1]] % (len(seeds) + 1)
    return torch.where((votes >= 0).all(dim=1), owner, 0)


def _joined(
    owner: Tensor,
    votes: Tensor,
    pixels: Tensor,
    seeds: Tensor,
    heat: Tensor,
    shape: tuple[int, int],
    rules: Rules,
) -> Tensor:
    """Give the pixels of seeds that lie in one cell to the warmest of them."""
    if rules.most_jump <= 0:
        return owner
    place = _places(pixels, shape)
    keys, sums = [], []
    for step in (1, shape[1] + 2):  # to the right, and below
        here, there = _neighbours(pixels, place, step, shape)
        border = (owner[here] > 0) & (owner[there] > 0) & (owner[here] != owner[there])
        here, there = here[border], there[border]
        low, high = torch.minimum(owner[here], owner[there]), torch.maximum(owner[here], owner[there])
        keys.append(low * (len(seeds) + 1) + high)
        one = torch.ones_like(here)
        sides = (one, 0 * one) if step == 1 else (0 * one, one)
        sums.append(torch.cat([(votes[here] - votes[there]).abs(), torch.stack(sides, 1)], dim=1))
    pairs, which = torch.unique(torch.cat(keys), return_inverse=True)
    borders = torch.zeros((len(pairs), 4), dtype=torch.int64, device=owner.device)
    borders.index_add_(0, which, torch.cat(sums))
    size = torch.zeros(len(seeds) + 1, dtype=torch.int64, device=owner.device)
    size.index_add_(0, owner, torch.ones_like(owner))
    pair = torch.stack([pairs // (len(seeds) + 1), pairs % (len(seeds) + 1)], dim=1)
    warm = heat[seeds[:, 0], seeds[:, 1]]
    places, heats, pair_of, sums_of, sizes = (
        tensor.cpu().numpy() for tensor in (seeds.to(torch.int32), warm, pair, borders, size)
    )
    joined = joined_owners(places, heats, pair_of, sums_of, sizes, rules)
    return torch.from_numpy(joined).to(owner.device).long()[owner]


def _pieces(owner: Tensor, pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """First pixel, by its place in `pixels`, of each pixel's piece: neighbours (of 8) with one owner.

    Each round gives both ends of every edge the earlier of their two firsts, then lets firsts point to their
    own firsts, so that rounds grow with the logarithm of a cell's length.
    """
    edges = _edges(owner, pixels, shape)
    first = torch.arange(len(pixels), device=pixels.device)
    while True:
        ends = first[edges]
        earlier = ends.amin(dim=0)
        if bool((ends[0] == ends[1]).all()):
            return first
        first.scatter_reduce_(0, ends[0], earlier, "amin")
        first.scatter_reduce_(0, ends[1], earlier, "amin")
        while True:
            further = first[first]
            if torch.equal(further, first):
                break
            first = further


def _edges(owner: Tensor, pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """(2, n) pairs of neighbouring pixels of one owner, by their places in `pixels`."""
    width = shape[1]
    place = _places(pixels, shape)
    found = []
    for step in (1, width + 1, width + 2, width + 3):
        here, there = _neighbours(pixels, place, step, shape)
        same = (owner[here] > 0) & (owner[here] == owner[there])
        found.append(torch.stack([here[same], there[same]]))
    return torch.cat(found, dim=1)


def _places(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """The frame with a margin left, right and below, flat: places in `pixels`, -1 where there is none."""
    place = torch.full(((shape[0] + 1) * (shape[1] + 2),), -1, dtype=torch.int64, device=pixels.device)
    place[pixels // shape[1] * (shape[1] + 2) + pixels % shape[1] + 1] = torch.arange(
        len(pixels), device=pixels.device
    )
    return place


def _neighbours(pixels: Tensor, place: Tensor, step: int, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixels that have one `step` further in the frame with a margin, and that one; by place in `pixels`."""
    there = place[pixels // shape[1] * (shape[1] + 2) + pixels % shape[1] + 1 + step]
    here = (there >= 0).nonzero()[:, 0]
    return here, there[here]


def _cells(owner: Tensor, piece: Tensor, seeds: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Number from 1 of each pixel's cell, 0 for none, and the seeds of these cells.

    Of an owner's pieces the largest is the cell, of equally large ones the first.
    """
    n, n_px = len(seeds), len(owner)
    size = torch.zeros(n_px, dtype=torch.int64, device=owner.device).index_add_(
        0, piece, torch.ones_like(piece)
    )
    key = size[piece] * (n_px + 1) + (n_px - piece)  # larger first, then earlier
    best = torch.zeros(n + 1, dtype=torch.int64, device=owner.device).scatter_reduce_(0, owner, key, "amax")
    largest = best // (n_px + 1)
    top, stop, left, right = rules.owned.tolist()
    inside = (seeds[:, 0] >= top) & (seeds[:, 0] < stop) & (seeds[:, 1] >= left) & (seeds[:, 1] < right)
    kept = inside & (largest[1:] >= max(rules.least_px, 1))
    number = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0) * kept])
    return torch.where(key == best[owner], number[owner], 0), seeds[kept]


def _steps(logits: Tensor) -> Tensor:
    """Places of logits in the table of probabilities."""
    half = (len(chances()) - 1) // 2
    steps = torch.where(logits.isnan(), -torch.inf, logits) * STEPS_PER_LOGIT
    return steps.clamp(-half, half).round().long() + half
