"""The compiled loop of the benchmark's worlds: who moves where, binds, hits and dies, minute by minute.

Nothing but numbers and arrays of them. All chance is drawn before, so that a world is the same on every machine.
Arrays of what is now so are changed in place.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled, part

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]

FREE = -1
N_ENGAGED, N_HITS, N_PRESENT, N_IDS = 0, 1, 2, 3  # places in `Log.counts`


class Targets(NamedTuple):
    """(n,) unless said otherwise."""

    place: Doubles  # (n, 2)
    radius: Doubles
    steps: Doubles  # (minutes, n, 2)
    delay: Doubles  # from the lethal hit to the death
    stays: Doubles  # minutes that a dead one is there
    death: Doubles  # minute; of its own accord, or sooner by effectors
    lethal: Doubles  # minute of the lethal hit, inf where none
    damage: Doubles


class Effectors(NamedTuple):
    """(m,) unless said otherwise."""

    place: Doubles  # (m, 2)
    radius: Doubles
    speed: Doubles
    heading: Doubles
    kills_left: Longs
    dies: Doubles
    stays: Doubles
    identity: Longs  # from 0; one that leaves the field comes back as another
    bound: Longs  # target, or FREE
    since: Doubles
    until: Doubles
    free_from: Doubles  # does not bind before


class Chances(NamedTuple):
    """(minutes, m)."""

    turn: Doubles
    rests: NDArray[np.bool_]
    bind: Doubles
    hit: Doubles
    dwell: Doubles
    pause: Doubles


class Rules(NamedTuple):
    """What holds for all."""

    edge: float
    reach: float  # greatest gap to bind at
    p_bind: float  # a minute
    latency: float  # minutes bound before the first hit
    p_hit: float  # a minute
    lethal_damage: float
    heal: float  # half-life of damage


class Log(NamedTuple):
    """What happened; `counts` says how many rows are filled, and the next effector's id."""

    engaged: Longs  # (rows, 4) effector id, target, first minute bound, first minute after
    hits: Longs  # (rows, 3) minute, effector id, target
    present: Longs  # (rows, 2) target, effector id bound at its lethal hit
    counts: Longs


class Frames(NamedTuple):
    """(frames, cells)."""

    targets: Doubles  # (frames, n, 2)
    effectors: Doubles  # (frames, m, 2)
    identity: Longs
    bound: Longs


@compiled
def live(
    targets: Targets,
    effectors: Effectors,
    chances: Chances,
    rules: Rules,
    log: Log,
    frames: Frames,
    frame_min: int,
) -> None:
    """Let targets and effectors live as long as there are chances; a frame is kept every `frame_min` minutes."""
    n_minutes = len(chances.turn)
    keep = 0.5 ** (1.0 / rules.heal)
    for minute in range(n_minutes):
        if minute % frame_min == 0:
            frame = minute // frame_min
            frames.targets[frame], frames.effectors[frame] = targets.place, effectors.place
            frames.identity[frame], frames.bound[frame] = effectors.identity, effectors.bound
        now = minute + 1.0
        tremble(targets, minute, now, rules.edge)
        targets.damage[:] *= keep
        for e in range(len(effectors.radius)):
            if effectors.dies[e] + effectors.stays[e] <= now and effectors.bound[e] == FREE:
                continue
            effectors.heading[e] += chances.turn[minute, e]
            if effectors.bound[e] != FREE and stays_bound(targets, effectors, chances, log, e, minute):
                hit(targets, effectors, chances, rules, log, e, minute)
            elif effectors.dies[e] > now:
                wander(targets, effectors, chances, rules, log, e, minute)
    for e in range(len(effectors.radius)):
        if effectors.bound[e] != FREE:
            let_go(effectors, log, e, n_minutes)


@part
def tremble(targets: Targets, minute: int, now: float, edge: float) -> None:
    """Move targets a little; a step that would leave the field or run into another target is not made."""
    place, radius, step = targets.place, targets.radius, targets.steps[minute]
    for target in range(len(radius)):
        y, x = place[target, 0] + step[target, 0], place[target, 1] + step[target, 1]
        free = 0.0 <= y < edge and 0.0 <= x < edge
        for other in range(len(radius)):
            if other != target and targets.death[other] + targets.stays[other] > now:
                dy, dx, least = y - place[other, 0], x - place[other, 1], radius[target] + radius[other]
                free = free and dy * dy + dx * dx >= least * least
        if free:
            place[target, 0], place[target, 1] = y, x
        else:
            step[target] = 0.0


@part
def stays_bound(
    targets: Targets, effectors: Effectors, chances: Chances, log: Log, e: int, minute: int
) -> bool:
    """Whether an effector stays with its target for this minute; if so, it goes with it."""
    target, now = effectors.bound[e], minute + 1.0
    gone = targets.death[target] + targets.stays[target] <= now
    if effectors.until[e] <= now or gone or effectors.dies[e] <= now:
        let_go(effectors, log, e, minute)
        effectors.free_from[e] = now + chances.pause[minute, e]
        return False
    effectors.place[e, 0] += targets.steps[minute, target, 0]
    effectors.place[e, 1] += targets.steps[minute, target, 1]
    settle(targets, effectors, e, target)
    return True


@part
def let_go(effectors: Effectors, log: Log, e: int, minute: int) -> None:
    """End a binding, and write it down."""
    row = log.counts[N_ENGAGED]
    log.engaged[row, 0], log.engaged[row, 1] = effectors.identity[e], effectors.bound[e]
    log.engaged[row, 2], log.engaged[row, 3] = int(effectors.since[e]), minute + 1
    log.counts[N_ENGAGED] += 1
    effectors.bound[e] = FREE


@part
def hit(
    targets: Targets, effectors: Effectors, chances: Chances, rules: Rules, log: Log, e: int, minute: int
) -> None:
    """Let a bound killer hit its target, if it is its time; the hit may be the lethal one."""
    target, now = effectors.bound[e], minute + 1.0
    able = effectors.kills_left[e] > 0 and now - effectors.since[e] > rules.latency
    if not able or targets.lethal[target] < np.inf or targets.death[target] <= now:
        return
    if chances.hit[minute, e] >= rules.p_hit:
        return
    row = log.counts[N_HITS]
    log.hits[row, 0], log.hits[row, 1], log.hits[row, 2] = minute + 1, effectors.identity[e], target
    log.counts[N_HITS] += 1
    targets.damage[target] += 1.0
    if targets.damage[target] < rules.lethal_damage:
        return
    effectors.kills_left[e] -= 1
    targets.lethal[target], targets.death[target] = now, now + targets.delay[target]
    for other in range(len(effectors.radius)):
        if effectors.bound[other] == target:
            row = log.counts[N_PRESENT]
            log.present[row, 0], log.present[row, 1] = target, effectors.identity[other]
            log.counts[N_PRESENT] += 1


@part
def wander(
    targets: Targets, effectors: Effectors, chances: Chances, rules: Rules, log: Log, e: int, minute: int
) -> None:
    """Let a free effector go its way, and bind to a living target that it comes to."""
    now, place = minute + 1.0, effectors.place
    if not chances.rests[minute, e]:
        place[e, 0] += effectors.speed[e] * math.sin(effectors.heading[e])
        place[e, 1] += effectors.speed[e] * math.cos(effectors.heading[e])
    out = False
    for axis in range(2):
        if place[e, axis] < 0.0 or place[e, axis] >= rules.edge:
            place[e, axis] %= rules.edge
            out = True
    if out:
        effectors.identity[e] = log.counts[N_IDS]
        log.counts[N_IDS] += 1
    nearest = keep_out(targets, effectors, e, now, rules.reach)
    may = nearest != FREE and effectors.free_from[e] <= now and chances.bind[minute, e] < rules.p_bind
    if may and targets.death[nearest] > now:
        effectors.bound[e], effectors.since[e] = nearest, now
        effectors.until[e] = now + chances.dwell[minute, e]
        settle(targets, effectors, e, nearest)


@part
def settle(targets: Targets, effectors: Effectors, e: int, target: int) -> None:
    """Put an effector to its target's edge, on the side where it is."""
    distance = effectors.radius[e] + targets.radius[target]
    dy = effectors.place[e, 0] - targets.place[target, 0]
    dx = effectors.place[e, 1] - targets.place[target, 1]
    length = max(math.sqrt(dy * dy + dx * dx), 1e-9)
    effectors.place[e, 0] = targets.place[target, 0] + dy / length * distance
    effectors.place[e, 1] = targets.place[target, 1] + dx / length * distance


@part
def keep_out(targets: Targets, effectors: Effectors, e: int, now: float, reach: float) -> int:
    """Push an effector out of the targets it has run into; the nearest target within reach, or FREE."""
    nearest, least = FREE, reach
    for target in range(len(targets.radius)):
        if targets.death[target] + targets.stays[target] <= now:
            continue
        dy = effectors.place[e, 0] - targets.place[target, 0]
        dx = effectors.place[e, 1] - targets.place[target, 1]
        touch = effectors.radius[e] + targets.radius[target]
        if abs(dy) >= touch + reach or abs(dx) >= touch + reach:
            continue
        gap = math.sqrt(dy * dy + dx * dx) - touch
        if gap < 0.0:
            settle(targets, effectors, e, target)
            gap = 0.0
        if gap < least:
            nearest, least = target, gap
    return nearest
