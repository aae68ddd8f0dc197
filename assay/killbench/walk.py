"""The compiled loop of the benchmark's worlds: who moves where, binds, hits and dies, minute by minute.

Nothing but numbers and arrays of them. All chance is drawn before, so that a world is the same on every machine.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

FREE = -1


@compiled
def live(
    targets: tuple[Doubles, Doubles, Doubles, Doubles, Doubles, Doubles],
    effectors: tuple[Doubles, Doubles, Doubles, Doubles, Longs, Doubles, Doubles],
    chances: tuple[Doubles, Flags, Doubles, Doubles, Doubles, Doubles],
    rules: tuple[float, float, float, float, float, float],
    n_minutes: int,
    frame_min: int,
) -> tuple[Any, ...]:
    """Let targets and effectors live for `n_minutes`.

    Args:
        targets: Place (n, 2), radius, steps (minutes, n, 2), minute of spontaneous death, delay from the lethal
            hit to the death, minutes that a dead one stays.
        effectors: Place (m, 2), radius, speed, heading, kills it can make, minute of death, minutes it stays.
        chances: Each (minutes, m): turn, rests, chance to bind, chance to hit, minutes bound, minutes between.
        rules: Edge of the field, greatest gap to bind at, probability to bind, minutes bound before the first
            hit, probability to hit, damage that is lethal, half-life of damage.
        n_minutes: Length of the film.
        frame_min: Places are kept every so many minutes, from minute 0 on.

    Returns:
        Places of targets (frames, n, 2), of effectors (frames, m, 2), ids of effectors and whom they are bound to
        (frames, m); minute of death and of the lethal hit of targets, inf where none; rows (effector id, target,
        first minute, first minute after) bound; rows (minute, effector id, target) of hits; rows (target, effector
        id) bound at lethal hits. Effector ids run from 0; one that leaves the field comes back as another.
    """
    place_t, radius_t, steps, alone, delay, stays_t = targets
    place_e, radius_e, speed, heading, kills_left, dies_e, stays_e = effectors
    turns, rests, bind_chance, hit_chance, dwell, pause = chances
    edge, reach, p_bind, latency, p_hit, lethal_damage, heal = rules
    n, m = len(radius_t), len(radius_e)
    n_frames = (n_minutes + frame_min - 1) // frame_min
    seen_t, seen_e = np.zeros((n_frames, n, 2)), np.zeros((n_frames, m, 2))
    ids, partner = np.zeros((n_frames, m), np.int64), np.full((n_frames, m), FREE)
    death, lethal = alone.copy(), np.full(n, np.inf)
    damage = np.zeros(n)
    own_id, next_id = np.arange(m), m
    bound, since, until, free_from = np.full(m, FREE), np.zeros(m), np.zeros(m), np.zeros(m)
    engaged, hits, present_at = (
        np.zeros((m * n_minutes + 1, 4), np.int64),
        np.zeros((m * n_minutes + 1, 3), np.int64),
        np.zeros((m * n_minutes + 1, 2), np.int64),
    )
    n_engaged = n_hits = n_present = 0
    keep = 0.5 ** (1.0 / heal)
    for minute in range(n_minutes):
        if minute % frame_min == 0:
            frame = minute // frame_min
            seen_t[frame], seen_e[frame] = place_t, place_e
            ids[frame], partner[frame] = own_id, bound
        now = minute + 1.0
        move_targets(place_t, radius_t, steps[minute], death + stays_t, now, edge)
        damage *= keep
        for e in range(m):
            if dies_e[e] + stays_e[e] <= now and bound[e] == FREE:
                continue
            heading[e] += turns[minute, e]
            if bound[e] != FREE:
                target = bound[e]
                gone = death[target] + stays_t[target] <= now
                if until[e] <= now or gone or dies_e[e] <= now:
                    engaged[n_engaged] = own_id[e], target, int(since[e]), minute + 1
                    n_engaged += 1
                    bound[e], free_from[e] = FREE, now + pause[minute, e]
                else:
                    place_e[e, 0] += steps[minute, target, 0]
                    place_e[e, 1] += steps[minute, target, 1]
                    settle(place_e, e, place_t, target, radius_e[e] + radius_t[target])
                    able = kills_left[e] > 0 and now - since[e] > latency and lethal[target] == np.inf
                    if able and death[target] > now and hit_chance[minute, e] < p_hit:
                        hits[n_hits] = minute + 1, own_id[e], target
                        n_hits += 1
                        damage[target] += 1.0
                        if damage[target] >= lethal_damage:
                            kills_left[e] -= 1
                            lethal[target], death[target] = now, now + delay[target]
                            for other in range(m):
                                if bound[other] == target:
                                    present_at[n_present] = target, own_id[other]
                                    n_present += 1
                    continue
            if dies_e[e] <= now:
                continue
            if not rests[minute, e]:
                place_e[e, 0] += speed[e] * math.sin(heading[e])
                place_e[e, 1] += speed[e] * math.cos(heading[e])
            if crosses(place_e, e, edge):
                own_id[e] = next_id
                next_id += 1
            nearest = keep_out(place_e, e, radius_e[e], place_t, radius_t, death + stays_t, now, reach)
            may = nearest != FREE and free_from[e] <= now and bind_chance[minute, e] < p_bind
            if may and death[nearest] > now:
                bound[e], since[e], until[e] = nearest, now, now + dwell[minute, e]
                settle(place_e, e, place_t, nearest, radius_e[e] + radius_t[nearest])
    for e in range(m):
        if bound[e] != FREE:
            engaged[n_engaged] = own_id[e], bound[e], int(since[e]), n_minutes + 1
            n_engaged += 1
    return (
        seen_t,
        seen_e,
        ids,
        partner,
        death,
        lethal,
        engaged[:n_engaged],
        hits[:n_hits],
        present_at[:n_present],
    )


@part
def move_targets(
    place: Doubles, radius: Doubles, step: Doubles, gone: Doubles, now: float, edge: float
) -> None:
    """Let targets tremble; a step that would leave the field or run into another target is not made."""
    for target in range(len(radius)):
        y, x = place[target, 0] + step[target, 0], place[target, 1] + step[target, 1]
        free = 0.0 <= y < edge and 0.0 <= x < edge
        for other in range(len(radius)):
            if other != target and gone[other] > now:
                dy, dx, least = y - place[other, 0], x - place[other, 1], radius[target] + radius[other]
                free = free and dy * dy + dx * dx >= least * least
        if free:
            place[target, 0], place[target, 1] = y, x
        else:
            step[target] = 0.0


@part
def settle(place: Doubles, e: int, place_t: Doubles, target: int, distance: float) -> None:
    """Put an effector at this distance from a target's centre, on the side where it is."""
    dy, dx = place[e, 0] - place_t[target, 0], place[e, 1] - place_t[target, 1]
    length = max(math.sqrt(dy * dy + dx * dx), 1e-9)
    place[e, 0] = place_t[target, 0] + dy / length * distance
    place[e, 1] = place_t[target, 1] + dx / length * distance


@part
def crosses(place: Doubles, e: int, edge: float) -> bool:
    """Whether an effector has left the field; it comes in again on the other side."""
    out = False
    for axis in range(2):
        if place[e, axis] < 0.0 or place[e, axis] >= edge:
            place[e, axis] %= edge
            out = True
    return out


@part
def keep_out(
    place: Doubles,
    e: int,
    own: float,
    place_t: Doubles,
    radius_t: Doubles,
    gone: Doubles,
    now: float,
    reach: float,
) -> int:
    """Push an effector out of the targets it has run into; the nearest target within reach, or FREE."""
    nearest, least = FREE, reach
    for target in range(len(radius_t)):
        if gone[target] <= now:
            continue
        dy, dx = place[e, 0] - place_t[target, 0], place[e, 1] - place_t[target, 1]
        touch = own + radius_t[target]
        if abs(dy) >= touch + reach or abs(dx) >= touch + reach:
            continue
        gap = math.sqrt(dy * dy + dx * dx) - touch
        if gap < 0.0:
            settle(place, e, place_t, target, touch)
            gap = 0.0
        if gap < least:
            nearest, least = target, gap
    return nearest
