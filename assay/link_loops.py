"""The inner loops of the linker: who is in reach, how likely each pair is, the best pairs, how sure they are.

Knows arrays. Pairs are kept in order of (track, detection), `start[t]:start[t + 1]` being those of track t.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOPELESS = -10.0  # log odds of a pair that even the same looks could not save
NEGLIGIBLE = -40.0  # log odds of a change below which it is not counted


@compiled
def pairs_in_reach(track_yx: Floats, reach: Floats, yx: Floats) -> Any:
    """All pairs of a track and a detection no farther than the track's reach: `start`, detections."""
    n_tracks, n = len(track_yx), len(yx)
    start = np.zeros(n_tracks + 1, np.int64)
    if n_tracks == 0 or n == 0:
        return start, np.zeros(0, np.int64)
    low_y, low_x = yx[:, 0].min(), yx[:, 1].min()
    high_y, high_x = yx[:, 0].max(), yx[:, 1].max()
    size = max(reach.min(), max(high_y - low_y, high_x - low_x) / 200, 1e-6)
    rows, columns = int((high_y - low_y) / size) + 1, int((high_x - low_x) / size) + 1
    first, members = _in_boxes(yx, low_y, low_x, size, rows, columns)
    found = np.empty(4 * n_tracks + 16, np.int64)
    count = 0
    for t in range(n_tracks):
        y, x, far = track_yx[t, 0], track_yx[t, 1], reach[t]
        begin = count
        for row in range(
            max(math.floor((y - far - low_y) / size), 0),
            min(math.floor((y + far - low_y) / size), rows - 1) + 1,
        ):
            for column in range(
                max(math.floor((x - far - low_x) / size), 0),
                min(math.floor((x + far - low_x) / size), columns - 1) + 1,
            ):
                box = row * columns + column
                for place in range(first[box], first[box + 1]):
                    j = members[place]
                    if (yx[j, 0] - y) ** 2 + (yx[j, 1] - x) ** 2 <= far * far:
                        if count == len(found):
                            found = np.concatenate((found, np.empty(len(found), np.int64)))
                        found[count] = j
                        count += 1
        found[begin:count].sort()
        start[t + 1] = count
    return start, found[:count].copy()


@part
def _in_boxes(yx: Floats, low_y: float, low_x: float, size: float, rows: int, columns: int) -> Any:
    box = np.empty(len(yx), np.int64)
    first = np.zeros(rows * columns + 1, np.int64)
    for j in range(len(yx)):
        row, column = int((yx[j, 0] - low_y) / size), int((yx[j, 1] - low_x) / size)
        box[j] = min(row, rows - 1) * columns + min(column, columns - 1)
        first[box[j] + 1] += 1
    first = np.cumsum(first)
    members, filled = np.empty(len(yx), np.int64), first[:-1].copy()
    for j in range(len(yx)):
        members[filled[box[j]]] = j
        filled[box[j]] += 1
    return first, members


@part
def _gauss(squared: float, variance: float) -> float:
    return math.exp(-squared / (2 * variance)) / (2 * math.pi * variance)


@part
def _resting(squared: float, variance: float, shift_share: float, shift: float) -> Any:
    usual = (1 - shift_share) * _gauss(squared, variance)
    return usual + shift_share * _gauss(squared, shift * shift * variance)


@part
def _motion(
    step_y: float,
    step_x: float,
    waited: float,
    before: Floats,  # velocity y, x, trust in it, probability of moving
    after: Floats,  # the same of the step that follows
    motion: Floats,
) -> Any:
    """Density, per um2, of a step, times what the step after it says for it."""
    still, moving, begin, wide = motion[0] ** 2, motion[1] ** 2, motion[2] ** 2, motion[3] ** 2
    p, share, stay, wide_share, shift_share, shift = (
        motion[4],
        motion[5],
        motion[6],
        motion[7],
        motion[8],
        motion[9],
    )
    squared = step_y**2 + step_x**2
    power = p**waited
    ahead = p * (1 - power) / (1 - p)
    blur = (waited - 2 * ahead + p * p * (1 - power**2) / (1 - p * p)) / (1 - p) ** 2
    resting = _resting(squared, still * (1 + waited) / 2, shift_share, shift)
    going = _gauss(squared, begin * blur)
    if before[2] > 0:
        off = (step_y - ahead * before[0]) ** 2 + (step_x - ahead * before[1]) ** 2
        going = before[2] * _gauss(off, moving * blur) + (1 - before[2]) * going
    elsewhere = _gauss(squared, wide * waited)
    if after[2] > 0:
        next_squared = after[0] ** 2 + after[1] ** 2
        next_rest = _resting(next_squared, still, shift_share, shift)
        next_any = (1 - share) * next_rest + share * _gauss(next_squared, begin)
        next_any = (1 - wide_share) * next_any + wide_share * _gauss(next_squared, wide)
        off = (after[0] - p * step_y / waited) ** 2 + (after[1] - p * step_x / waited) ** 2
        next_going = _gauss(off, moving)
        next_begun = _gauss(next_squared, begin)
        next_wide = wide_share * _gauss(next_squared, wide)
        goes_on, begins = share + (1 - share) * stay, share - share * stay
        after_going = (1 - wide_share) * (goes_on * next_going + (1 - goes_on) * next_rest) + next_wide
        after_resting = (1 - wide_share) * (begins * next_begun + (1 - begins) * next_rest) + next_wide
        going *= after[2] * after_going / next_any + 1 - after[2]
        resting *= after[2] * after_resting / next_any + 1 - after[2]
    now = share + (before[3] - share) * stay**waited
    return (1 - wide_share) * ((1 - now) * resting + now * going) + wide_share * elsewhere


@part
def _log_normal(value: float, variance: float) -> float:
    return -0.5 * value * value / variance - 0.5 * math.log(variance)


@part
def _looks(
    ours: Floats, our_weight: Floats, theirs: Floats, their_weight: Floats, waited: float, looks: Floats
) -> float:
    """Log odds that two averages of looks are of one cell, feature by feature."""
    total = 0.0
    for f in range(looks.shape[0]):
        noise, walk, odd, odd_var, far, far_var, near_var, use = looks[f]
        if use == 0.0:
            continue
        apart = ours[f] - theirs[f]
        same_var = noise * (1 / our_weight[f] + 1 / their_weight[f]) + walk * waited
        same = (1 - odd) * math.exp(_log_normal(apart, same_var)) + odd * math.exp(
            _log_normal(apart, odd_var)
        )
        other = (1 - far) * math.exp(_log_normal(apart, near_var)) + far * math.exp(
            _log_normal(apart, far_var)
        )
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
    for t in range(len(start) - 1):
        for place in range(start[t], start[t + 1]):
            j = found[place]
            density = _motion(
                yx[j, 0] - track_yx[t, 0],
                yx[j, 1] - track_yx[t, 1],
                waited[t],
                track_motion[t],
                after[j],
                motion,
            )
            total = math.log(max(density, 1e-300)) - seen_cost[j] - track_cost[t]
            if total + limits[1] < HOPELESS:
                odds[place] = HOPELESS
                continue
            alike = _looks(track_looks[t], track_weight[t], seen_looks[j], seen_weight[j], waited[t], looks)
            alike = min(max(alike, limits[0]), limits[1])
            odds[place] = round((total + alike) * 1e6) / 1e6
    return odds


@compiled
def best_pairs(start: Ints, found: Ints, odds: Floats, n_found: int) -> Any:
    """The pairs whose odds, all above 0, have the largest sum: for each track the place of its pair, or -1.

    Shortest augmenting paths, track by track; every track may also stay alone, at no cost.
    """
    n_tracks = len(start) - 1
    taken = np.full(n_tracks, -1, np.int64)  # place of each track's pair
    owner = np.full(n_found, -1, np.int64)
    price, value = np.zeros(n_found), np.zeros(n_tracks)
    far = np.full(n_found, np.inf)
    by_place = np.full(n_found, -1, np.int64)  # the pair by which each detection was reached
    by_track = np.full(n_found, -1, np.int64)
    done = np.zeros(n_found, np.bool_)
    touched = np.empty(n_found, np.int64)
    for s in range(n_tracks):
        lowest = 0.0
        for place in range(start[s], start[s + 1]):
            if odds[place] > 0:
                lowest = min(lowest, -odds[place] - price[found[place]])
        value[s] = lowest
        n_touched = 0
        track, way = s, 0.0
        alone, alone_track = np.inf, -1
        sink = -1
        while True:
            if way - value[track] < alone:
                alone, alone_track = way - value[track], track
            for place in range(start[track], start[track + 1]):
                j = found[place]
                if odds[place] <= 0 or done[j]:
                    continue
                there = way - odds[place] - value[track] - price[j]
                if there < far[j]:
                    if far[j] == np.inf:
                        touched[n_touched] = j
                        n_touched += 1
                    far[j], by_place[j], by_track[j] = there, place, track
            nearest, best = -1, np.inf
            for index in range(n_touched):
                j = touched[index]
                if not done[j] and (far[j] < best or (far[j] == best and j < nearest)):
                    nearest, best = j, far[j]
            if nearest < 0 or alone <= best:
                way = alone
                break
            way = best
            if owner[nearest] < 0:
                sink = nearest
                break
            done[nearest] = True
            track = owner[nearest]
        value[s] += way
        for index in range(n_touched):
            j = touched[index]
            if done[j]:
                value[owner[j]] += way - far[j]
                price[j] -= way - far[j]
        if sink < 0:  # someone on the way stays alone, and leaves its detection to the one before
            track = alone_track
            sink = -1 if track == s else found[taken[track]]
            taken[track] = -1
        while sink >= 0:
            track, place = by_track[sink], by_place[sink]
            before = -1 if track == s else found[taken[track]]
            taken[track], owner[sink] = place, track
            sink = before
        for index in range(n_touched):
            far[touched[index]] = np.inf
            done[touched[index]] = False
    return taken


@compiled
def pair_confidence(start: Ints, found: Ints, odds: Floats, taken: Ints, n_found: int) -> Any:
    """Probability of each track's chosen pair against all that a few changes would put in its place.

    Counted are all that the track may do without the detection (stay alone, take another, displace one other track)
    times all that the detection may do without the track, and exchanges between two and among three tracks.
    """
    n_tracks = len(start) - 1
    owner = np.full(n_found, -1, np.int64)
    own_odds = np.zeros(n_tracks)
    for t in range(n_tracks):
        if taken[t] >= 0:
            owner[found[taken[t]]] = t
            own_odds[t] = odds[taken[t]]
    first, who, at = _by_detection(start, found, n_found)
    sure = np.full(n_tracks, np.nan)
    reach = np.full(n_tracks, -np.inf)  # odds of each track with the detection that is given up
    for t in range(n_tracks):
        if taken[t] < 0:
            continue
        given = found[taken[t]]
        others = 1.0  # what the detection may do without the track
        for index in range(first[given], first[given + 1]):
            other = who[index]
            reach[other] = odds[at[index]]
            if other != t:
                others += _weight(reach[other] - own_odds[other])
        ours, rings = 1.0, 0.0  # what the track may do without the detection; exchanges
        for place in range(start[t], start[t + 1]):
            j = found[place]
            rival = owner[j]
            if j == given:
                continue
            if rival < 0:
                ours += _weight(odds[place])
                continue
            gain = odds[place] - own_odds[rival]
            ours += _weight(gain)
            rings += _weight(gain + reach[rival])
            for onward in range(start[rival], start[rival + 1]):
                k = found[onward]
                if k in (j, given):
                    continue
                third = owner[k]
                if third < 0:
                    ours += _weight(gain + odds[onward])
                elif third != t:
                    rings += _weight(gain + odds[onward] - own_odds[third] + reach[third])
        for index in range(first[given], first[given + 1]):
            reach[who[index]] = -np.inf
        against = math.exp(math.log(ours * others + rings) - own_odds[t])
        sure[t] = round(1e6 / (1 + against)) / 1e6
    return sure


@part
def _weight(odds: float) -> float:
    return 0.0 if odds < NEGLIGIBLE else math.exp(min(odds, 50.0))


@part
def _by_detection(start: Ints, found: Ints, n_found: int) -> Any:
    first = np.zeros(n_found + 1, np.int64)
    for j in found:
        first[j + 1] += 1
    first = np.cumsum(first)
    filled = first[:-1].copy()
    who, at = np.empty(len(found), np.int64), np.empty(len(found), np.int64)
    for t in range(len(start) - 1):
        for place in range(start[t], start[t + 1]):
            j = found[place]
            who[filled[j]], at[filled[j]] = t, place
            filled[j] += 1
    return first, who, at


@compiled
def looks_ahead(
    yx: Floats,
    frame: Ints,
    features: Floats,
    following: Ints,
    confidence: Floats,
    gain: Floats,
) -> Any:
    """What each detection's cell does afterwards: its step (y, x, trust in it), its looks, their weight.

    Runs from the last row to the first along links; what lies beyond a doubtful link counts less.
    """
    n = len(frame)
    after, looks, weight = np.zeros((n, 4)), features.copy(), np.ones((n, features.shape[1]))
    for row in range(n - 1, -1, -1):
        later = following[row]
        if later < 0:
            continue
        sure, waited = confidence[later], frame[later] - frame[row]
        after[row, 0] = (yx[later, 0] - yx[row, 0]) / waited
        after[row, 1] = (yx[later, 1] - yx[row, 1]) / waited
        after[row, 2] = sure
        for f in range(features.shape[1]):
            weight[row, f] = 1 + sure * weight[later, f]
            part_of_new = max(gain[f], 1 / weight[row, f])
            weight[row, f] = 1 / part_of_new
            looks[row, f] += (1 - part_of_new) * (looks[later, f] - features[row, f])
    return after, looks, weight
