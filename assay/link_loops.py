"""The inner loops of the linker: who is in reach, the best pairs, how sure they are; `link_odds` says how likely each pair is.

Knows arrays. Pairs are kept in order of (track, detection), `start[t]:start[t + 1]` being those of track t.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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
