"""The inner loop of the linker that says how likely each pair of a track and a detection is: by its step and its looks.

Knows arrays. Pairs are kept in order of (track, detection), `start[t]:start[t + 1]` being those of track t. What depends on one of
the two alone is computed once.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, lent, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOPELESS = -10.0  # log odds of a pair that even the same looks could not save


@part
def _gauss(squared: float, variance: float) -> float:
    return math.exp(-squared / (2 * variance)) / (2 * math.pi * variance)


@part
def _resting(squared: float, variance: float, shift_share: float, shift: float) -> Any:
    usual = (1 - shift_share) * _gauss(squared, variance)
    return usual + shift_share * _gauss(squared, shift * shift * variance)


@part
def _of_track(waited: float, moving_share: float, motion: Floats, out: Floats) -> None:
    """What a step after so many frames may be.

    Variances of resting, of setting out, of moving on and of going far; how much of a velocity is left; how probably it moves.
    """
    still, moving, begin, wide = motion[0] ** 2, motion[1] ** 2, motion[2] ** 2, motion[3] ** 2
    p, share, stay = motion[4], motion[5], motion[6]
    power = p**waited
    ahead = p * (1 - power) / (1 - p)
    blur = (waited - 2 * ahead + p * p * (1 - power**2) / (1 - p * p)) / (1 - p) ** 2
    out[0], out[1], out[2], out[3] = still * (1 + waited) / 2, begin * blur, moving * blur, wide * waited
    out[4], out[5] = ahead, share + (moving_share - share) * stay**waited


@part
def _of_next(after: Floats, motion: Floats, out: Floats) -> None:
    """Densities of the step that follows a detection: resting, far, any; and what it says for a cell that rests now."""
    still, begin, wide = motion[0] ** 2, motion[2] ** 2, motion[3] ** 2
    share, stay, wide_share, shift_share, shift = motion[5], motion[6], motion[7], motion[8], motion[9]
    squared = after[0] ** 2 + after[1] ** 2
    rest, begun = _resting(squared, still, shift_share, shift), _gauss(squared, begin)
    either = (1 - share) * rest + share * begun
    far = wide_share * _gauss(squared, wide)
    out[0], out[1], out[2] = rest, far, (1 - wide_share) * either + far
    begins = share - share * stay
    after_resting = (1 - wide_share) * (begins * begun + (1 - begins) * rest) + far
    out[3] = after[2] * after_resting / out[2] + 1 - after[2]


@part
def _motion(
    step_y: float,
    step_x: float,
    waited: float,
    before: Floats,  # velocity y, x, trust in it, probability of moving
    after: Floats,  # the same of the step that follows
    of_track: Floats,
    of_next: Floats,
    motion: Floats,
) -> Any:
    """Density, per um2, of a step, times what the step after it says for it."""
    moving, p, share, stay, wide_share = motion[1] ** 2, motion[4], motion[5], motion[6], motion[7]
    squared = step_y**2 + step_x**2
    resting = _resting(squared, of_track[0], motion[8], motion[9])
    going = _gauss(squared, of_track[1])
    if before[2] > 0:
        off = (step_y - of_track[4] * before[0]) ** 2 + (step_x - of_track[4] * before[1]) ** 2
        going = before[2] * _gauss(off, of_track[2]) + (1 - before[2]) * going
    elsewhere = _gauss(squared, of_track[3])
    if after[2] > 0:
        off = (after[0] - p * step_y / waited) ** 2 + (after[1] - p * step_x / waited) ** 2
        goes_on = share + (1 - share) * stay
        after_going = (1 - wide_share) * (
            goes_on * _gauss(off, moving) + (1 - goes_on) * of_next[0]
        ) + of_next[1]
        going *= after[2] * after_going / of_next[2] + 1 - after[2]
        resting *= of_next[3]
    now = of_track[5]
    return (1 - wide_share) * ((1 - now) * resting + now * going) + wide_share * elsewhere


@part
def _normal(value: float, variance: float, half_log: float) -> float:
    return math.exp(-0.5 * value * value / variance - half_log)


@part
def _half_logs(looks: Floats) -> Floats:
    """Half the logarithms of the variances of odd, far and near looks, feature by feature."""
    logs = np.empty((looks.shape[0], 3))
    for f in range(looks.shape[0]):
        for k in range(3):
            variance = looks[f, 3 + k + (k > 0)]  # odd_var; far_var, near_var
            logs[f, k] = 0.5 * math.log(variance)
    return logs


@part
def _looks(
    ours: Floats,
    our_weight: Floats,
    theirs: Floats,
    their_weight: Floats,
    waited: float,
    looks: Floats,
    logs: Floats,
) -> float:
    """Log odds that two averages of looks are of one cell, feature by feature."""
    total = 0.0
    for f in range(looks.shape[0]):
        noise, walk, odd, odd_var, far, far_var, near_var, use = looks[f]
        if use == 0.0:
            continue
        apart = ours[f] - theirs[f]
        same_var = noise * (1 / our_weight[f] + 1 / their_weight[f]) + walk * waited
        same = (1 - odd) * _normal(apart, same_var, 0.5 * math.log(same_var))
        same += odd * _normal(apart, odd_var, logs[f, 0])
        other = (1 - far) * _normal(apart, near_var, logs[f, 2]) + far * _normal(apart, far_var, logs[f, 1])
        total += use * math.log((same + 1e-12) / (other + 1e-12))
    return total


@compiled
def pair_odds(
    start: Ints,
    found: Ints,
    track_yx: Floats,
    track_motion: Floats,
    track_looks: Floats,
    track_weight: Floats,
    waited: Floats,
    track_cost: Floats,
    yx: Floats,
    after: Floats,
    seen_looks: Floats,
    seen_weight: Floats,
    seen_cost: Floats,
    motion: Floats,
    looks: Floats,
    limits: Floats,
) -> Any:
    """Log odds of each pair: same cell against a lost one and a new one."""
    odds = np.empty(len(found))
    track_motion, track_looks, track_weight = lent(track_motion), lent(track_looks), lent(track_weight)
    after, seen_looks, seen_weight, looks = lent(after), lent(seen_looks), lent(seen_weight), lent(looks)
    logs, of_track, held = _half_logs(looks), np.empty(6), np.empty((len(yx), 4))
    of_next = lent(held)
    for j in range(len(yx)):
        if after[j, 2] > 0:
            _of_next(after[j], motion, of_next[j])
    for t in range(len(start) - 1):
        _of_track(waited[t], track_motion[t, 3], motion, of_track)
        for place in range(start[t], start[t + 1]):
            j = found[place]
            density = _motion(
                yx[j, 0] - track_yx[t, 0],
                yx[j, 1] - track_yx[t, 1],
                waited[t],
                track_motion[t],
                after[j],
                of_track,
                of_next[j],
                motion,
            )
            total = math.log(max(density, 1e-300)) - seen_cost[j] - track_cost[t]
            if total + limits[1] < HOPELESS:
                odds[place] = HOPELESS
                continue
            alike = _looks(
                track_looks[t], track_weight[t], seen_looks[j], seen_weight[j], waited[t], looks, logs
            )
            alike = min(max(alike, limits[0]), limits[1])
            odds[place] = round((total + alike) * 1e6) / 1e6
    return odds[: len(odds) + 0 * len(held)]  # it was lent until here
