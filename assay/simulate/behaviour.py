"""Cells through time: crawling, touching, hitting, dividing and dying, in steps finer than the film.

Hits fall while an effector is bound to a live target; damage adds up and heals; at `hits_to_kill` the target
is committed to die, the shares of its damage are the truth of who did it, and the dye enters later.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.simulate.cells import NEVER, Cells, Floats, counts, make_effectors, make_targets, world_um
from assay.simulate.scenario import Scenario
from assay.simulate.shapes import Looks, looks_at, radius_along

BURN_IN_MIN = 40.0
_GRID = 1024.0  # positions are kept to 1/1024 um, so that last-bit differences of processors never grow


@dataclass(frozen=True, slots=True)
class TrueKill:
    """Who put the lethal damage into a target: effector row -> share."""

    target: int
    commit_min: float
    onset_min: float
    shares: dict[int, float]


@dataclass(slots=True)
class World:
    """Everything that lives, at one moment."""

    scenario: Scenario
    rng: np.random.Generator
    targets: Cells
    effectors: Cells
    time_min: float
    size_um: Floats  # (y, x)
    damage: Floats  # (targets, effectors)
    kills: list[TrueKill] = field(default_factory=list)
    target_looks: Looks | None = None
    killing: bool = False

    def shortest(self, delta: Floats) -> Floats:
        """Shortest way in a world without edges; last axis is (y, x)."""
        return delta - self.size_um * np.round(delta / self.size_um)


def seeded_world(scenario: Scenario, rng: np.random.Generator) -> World:
    """Seed cells at random, push overlapping ones apart, kill those that come dead."""
    n_targets, n_effectors = counts(scenario, rng)
    start = -BURN_IN_MIN
    targets = make_targets(n_targets, scenario, rng, birth_min=-NEVER)
    effectors = make_effectors(n_effectors, scenario, rng, birth_min=-NEVER)
    for cells, share in (
        (targets, scenario.targets.dead_at_start),
        (effectors, scenario.effectors.dead_at_start),
    ):
        dead = rng.random(len(cells)) < share
        when = start - rng.exponential(120, len(cells)) - 5
        cells.onset_min[dead] = when[dead]
        cells.commit_min[dead] = when[dead]
    world = World(
        scenario=scenario,
        rng=rng,
        targets=targets,
        effectors=effectors,
        time_min=start,
        size_um=np.array(world_um(scenario)),
        damage=np.zeros((n_targets, n_effectors)),
    )
    for _ in range(40):
        _push_apart(world, targets, 0.9, 0.5)
    for _ in range(5):
        _push_apart(world, effectors, 0.9, 0.5)
    return world


def simulate_world(scenario: Scenario, rng: np.random.Generator, n_frames: int) -> Iterator[World]:
    """Run the world and yield it, changing, at every frame."""
    world = seeded_world(scenario, rng)
    dt = scenario.frame_min / max(1, round(scenario.frame_min / scenario.step_min))
    burn_in = int(np.ceil(BURN_IN_MIN / dt))
    world.time_min = -burn_in * dt
    for _ in range(burn_in):
        step(world, dt)
    world.killing = True
    steps = round(scenario.frame_min / dt)
    for frame in range(n_frames):
        world.time_min = frame * scenario.frame_min  # no rounding drift
        yield world
        for _ in range(steps if frame + 1 < n_frames else 0):
            step(world, dt)


def step(world: World, dt: float) -> None:
    """Move everything on by `dt` minutes."""
    t = world.time_min
    rows = np.flatnonzero(world.targets.present(t))
    world.target_looks = looks_at(world.targets, rows, t)
    _release(world)
    _crawl_targets(world, dt)
    _crawl_effectors(world, dt)
    _bind(world, dt)
    _hit(world, dt)
    _die_by_chance(world, dt)
    _divide(world, dt)
    _push_apart(world, world.targets, 0.88, 0.25)
    _push_apart(world, world.effectors, 0.9, 0.35)
    world.time_min = t + dt
    _finish_divisions(world)
    for cells in (world.targets, world.effectors):
        cells.y_um = np.round((cells.y_um % world.size_um[0]) * _GRID) / _GRID
        cells.x_um = np.round((cells.x_um % world.size_um[1]) * _GRID) / _GRID
        cells.angle = np.round(cells.angle * _GRID) / _GRID
        cells.heading = np.round(cells.heading * _GRID) / _GRID


def _crawl_targets(world: World, dt: float) -> None:
    c, rng, t = world.targets, world.rng, world.time_min
    moving = c.alive(t) & (c.commit_min > t - 5) & (t < c.mitosis_min)
    c.heading = c.heading + rng.normal(0, np.sqrt(2 * dt / 30), len(c))
    way = np.where(moving, c.speed_um_per_min * dt, 0.0)
    floating = np.where(c.present(t), 0.04 if world.scenario.targets.adherent else 0.15, 0.0) * np.sqrt(dt)
    c.y_um = c.y_um + way * np.sin(c.heading) + floating * rng.normal(0, 1, len(c))
    c.x_um = c.x_um + way * np.cos(c.heading) + floating * rng.normal(0, 1, len(c))
    c.angle = c.angle + np.where(moving, 0.008, 0.002) * np.sqrt(dt) * rng.normal(0, 1, len(c))


def _crawl_effectors(world: World, dt: float) -> None:
    c, rng, t = world.effectors, world.rng, world.time_min
    n = len(c)
    alive = c.alive(t) & (c.onset_min > t + 12)
    free = alive & (c.bound_to < 0)
    turn = np.sqrt(2 * dt / world.scenario.effectors.persistence_min)
    c.heading = c.heading + np.where(free, turn, 0.0) * rng.normal(0, 1, n)
    pace = c.speed_um_per_min * rng.gamma(2.0, 0.5, n)
    way = np.where(free, pace, 0.0) * dt
    shake = np.where(c.present(t), 0.12, 0.0) * np.sqrt(dt)
    c.y_um = c.y_um + way * np.sin(c.heading) + shake * rng.normal(0, 1, n)
    c.x_um = c.x_um + way * np.cos(c.heading) + shake * rng.normal(0, 1, n)
    lag = (c.heading - c.angle + np.pi) % (2 * np.pi) - np.pi
    c.angle = c.angle + np.where(free, 0.5, 0.05) * lag
    bound = np.flatnonzero(c.bound_to >= 0)
    if len(bound):
        c.bound_angle[bound] += 0.05 * np.sqrt(dt) * rng.normal(0, 1, len(bound))
        _hold(world, bound)


def _hold(world: World, bound: NDArray[np.int64]) -> None:
    """Bound effectors go with their target, at its outline or on top of it."""
    c, targets, looks = world.effectors, world.targets, world.target_looks
    assert looks is not None
    target = c.bound_to[bound]
    edge = radius_along(looks, np.searchsorted(looks.row, target), c.bound_angle[bound])
    reach = edge + c.radius_um[bound] * (1 - 2 * c.bound_depth[bound])
    reach = np.maximum(reach, 0.25 * edge)
    goal = np.stack(
        [
            targets.y_um[target] + reach * np.sin(c.bound_angle[bound]),
            targets.x_um[target] + reach * np.cos(c.bound_angle[bound]),
        ],
        axis=1,
    )
    here = np.stack([c.y_um[bound], c.x_um[bound]], axis=1)
    way = world.shortest(goal - here)
    length = np.hypot(way[:, 0], way[:, 1])
    pull = np.minimum(1.0, 3.0 / np.maximum(length, 1e-9))[:, None]  # um per step
    c.y_um[bound] += (way * pull)[:, 0]
    c.x_um[bound] += (way * pull)[:, 1]
    c.heading[bound] = c.bound_angle[bound] + np.pi


def _bind(world: World, dt: float) -> None:
    c, targets, rng, t = world.effectors, world.targets, world.rng, world.time_min
    traits, looks = world.scenario.effectors, world.target_looks
    assert looks is not None
    ready = np.flatnonzero(c.alive(t) & (c.bound_to < 0) & (c.rest_until_min <= t) & (c.commit_min > t))
    if not len(ready) or not len(looks.row):
        return
    pair_e, pair_t, angle, distance = _near(world, ready, looks.row, 40.0)
    gap = (
        distance - radius_along(looks, np.searchsorted(looks.row, pair_t), angle) - 0.9 * c.radius_um[pair_e]
    )
    eager = np.where(targets.alive(t)[pair_t], 1.0, 0.12)  # corpses still hold some
    chance = 1 - np.exp(-traits.bind_per_min * dt * eager)
    bind = (gap < 0.8) & (rng.random(len(pair_e)) < chance)
    _, first = np.unique(pair_e[bind], return_index=True)
    chosen = np.flatnonzero(bind)[first]
    e, target = pair_e[chosen], pair_t[chosen]
    c.bound_to[e] = target
    c.bound_since_min[e] = t
    dwell = traits.dwell_median_min * np.exp(rng.normal(0, traits.dwell_sigma, len(e)))
    strong = c.hits_per_min[e] > 0
    c.bound_until_min[e] = t + np.maximum(dwell * np.where(strong, 1.8, 1.0), 2.0)
    c.bound_angle[e] = angle[chosen]
    c.bound_depth[e] = rng.normal(traits.on_top, traits.on_top_sd, len(e)).clip(0.02, 1.6)


def _near(
    world: World, rows: NDArray[np.int64], others: NDArray[np.int64], within_um: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Effector-target pairs by distance of centres: rows of both, direction seen from the target, distance."""
    a, b = world.effectors, world.targets
    places = np.stack([a.y_um[rows], a.x_um[rows]], axis=1) % world.size_um
    other = np.stack([b.y_um[others], b.x_um[others]], axis=1) % world.size_um
    found = cKDTree(other, boxsize=world.size_um).query_ball_point(places, within_um, return_sorted=True)
    lengths = np.array([len(one) for one in found])
    i = np.repeat(np.arange(len(rows)), lengths)
    j = np.concatenate([np.asarray(one, dtype=np.int64) for one in found] or [np.zeros(0, np.int64)])
    delta = world.shortest(places[i] - other[j])
    distance = np.hypot(delta[:, 0], delta[:, 1])
    return rows[i], others[j], np.arctan2(delta[:, 0], delta[:, 1]), distance


def _hit(world: World, dt: float) -> None:
    c, targets, rng, t = world.effectors, world.targets, world.rng, world.time_min
    kill = world.scenario.kill
    world.damage *= 0.5 ** (dt / kill.recovery_half_life_min)
    if not world.killing:
        return
    bound = np.flatnonzero((c.bound_to >= 0) & c.alive(t) & (c.bound_since_min + kill.latency_min <= t))
    target = c.bound_to[bound]
    open_ = targets.commit_min[target] > t
    falls = open_ & (rng.random(len(bound)) < 1 - np.exp(-c.hits_per_min[bound] * dt))
    np.add.at(world.damage, (target[falls], bound[falls]), 1.0)
    for row in np.unique(target[falls]):
        total = world.damage[row].sum()
        if total >= kill.hits_to_kill - 0.25:
            _commit(world, int(row), total)


def _commit(world: World, row: int, total: float) -> None:
    c, targets, rng, t = world.effectors, world.targets, world.rng, world.time_min
    kill = world.scenario.kill
    lag = kill.lag_median_min * np.exp(rng.normal(0, kill.lag_sigma))
    if targets.necrotic[row]:
        lag = min(lag, 3 + rng.exponential(5))
    targets.commit_min[row] = t
    targets.onset_min[row] = np.round((t + lag) * _GRID) / _GRID
    targets.mitosis_min[row] = targets.mitosis_end_min[row] = NEVER
    _plan_detachment(world, targets, np.array([row]))
    given = {
        int(e): float(world.damage[row, e] / total) for e in np.flatnonzero(world.damage[row] > 1e-3 * total)
    }
    rest = sum(given.values())
    shares = {e: share / rest for e, share in given.items()}
    world.kills.append(TrueKill(row, t, float(targets.onset_min[row]), shares))
    for e in shares:
        if c.bound_to[e] == row:  # lets go some minutes after the target has died
            c.bound_until_min[e] = min(
                c.bound_until_min[e] + 5, targets.onset_min[row] + 2 + rng.exponential(7)
            )
            c.rest_until_min[e] = t + kill.refractory_min
            c.hits_per_min[e] *= 0.85  # tires


def _die_by_chance(world: World, dt: float) -> None:
    rng, t = world.rng, world.time_min
    traits = world.scenario
    for cells, per_h in (
        (world.targets, traits.targets.spontaneous_death_per_h),
        (world.effectors, traits.effectors.death_per_h),
    ):
        dies = rng.random(len(cells)) < 1 - np.exp(-per_h * dt / 60)
        rows = np.flatnonzero(dies & cells.present(t) & (cells.commit_min > t))
        if len(rows):
            lag = 22 + rng.exponential(15, len(rows))
            cells.commit_min[rows] = t
            cells.onset_min[rows] = np.round((t + lag) * _GRID) / _GRID
            cells.mitosis_min[rows] = NEVER
            cells.mitosis_end_min[rows] = NEVER
            _plan_detachment(world, cells, rows)


def _plan_detachment(world: World, cells: Cells, rows: NDArray[np.int64]) -> None:
    leaves = world.rng.random(len(rows)) < world.scenario.targets.detach_fraction
    when = cells.onset_min[rows] + 45 + world.rng.exponential(150, len(rows))
    cells.gone_min[rows] = np.where(leaves, when, NEVER)


def _release(world: World) -> None:
    c, t = world.effectors, world.time_min
    bound = np.flatnonzero(c.bound_to >= 0)
    gone = ~world.targets.present(t)[c.bound_to[bound]] if len(bound) else np.zeros(0, bool)
    off = bound[(c.bound_until_min[bound] <= t) | gone | ~c.alive(t)[bound]]
    c.bound_to[off] = -1
    rest = world.scenario.effectors.rest_min
    c.rest_until_min[off] = np.maximum(
        c.rest_until_min[off], t + rest * world.rng.uniform(0.5, 1.5, len(off))
    )
    c.heading[off] = c.bound_angle[off] + world.rng.normal(0, 0.6, len(off))


def _divide(world: World, dt: float) -> None:
    rng, t = world.rng, world.time_min
    plans = (
        (world.targets, world.scenario.targets.doubling_h, world.scenario.targets.mitosis_min),
        (world.effectors, world.scenario.effectors.doubling_h, (15.0, 25.0)),
    )
    for cells, doubling_h, (low, high) in plans:
        draw = rng.random(len(cells)) < 1 - np.exp(-np.log(2) / doubling_h / 60 * dt)
        free = cells.bound_to < 0
        adult = cells.birth_min < t - 300
        rows = np.flatnonzero(
            draw & free & adult & cells.alive(t) & (cells.commit_min > t) & np.isinf(cells.mitosis_min)
        )
        cells.mitosis_min[rows] = t
        cells.mitosis_end_min[rows] = np.round((t + rng.uniform(low, high, len(rows))) * _GRID) / _GRID


def _finish_divisions(world: World) -> None:
    t, rng = world.time_min, world.rng
    for cells, make in ((world.targets, make_targets), (world.effectors, make_effectors)):
        rows = np.flatnonzero((cells.mitosis_end_min <= t) & cells.present(t) & (cells.commit_min > t))
        for row in rows:
            cells.append(_daughters(make(2, world.scenario, rng, birth_min=t), cells, int(row), t))
            cells.gone_min[row] = t
        cells.mitosis_end_min[rows] = NEVER
    grown = np.zeros((len(world.targets), len(world.effectors)))
    grown[: world.damage.shape[0], : world.damage.shape[1]] = world.damage
    world.damage = grown


def _daughters(pair: Cells, cells: Cells, row: int, t: float) -> Cells:
    """Two daughters side by side along the axis of the parent, with its dyes and half its size."""
    half = 0.62 * cells.radius_um[row] * cells.rounded_size[row] * np.array([1.0, -1.0])
    pair.y_um = cells.y_um[row] + half * np.sin(cells.angle[row])
    pair.x_um = cells.x_um[row] + half * np.cos(cells.angle[row])
    pair.angle = np.full(2, cells.angle[row]) + np.pi / 2
    pair.brightness = np.repeat(cells.brightness[[row]], 2, axis=0)
    pair.brightness[:, 0] *= 0.75  # a dye is shared out
    pair.radius_um = cells.radius_um[row] * np.array([0.98, 1.02])
    pair.daughter_growth = np.full(2, 0.76)
    pair.hits_per_min = np.repeat(cells.hits_per_min[[row]], 2)
    pair.speed_um_per_min = np.repeat(cells.speed_um_per_min[[row]], 2)
    pair.parent = np.full(2, row)
    pair.birth_min = np.full(2, t)
    return pair


def _push_apart(world: World, cells: Cells, close: float, strength: float) -> None:
    """Cells of one role give way to each other: discs that overlap move apart."""
    rows = np.flatnonzero(cells.present(world.time_min))
    if len(rows) < 2:
        return
    places = np.stack([cells.y_um[rows], cells.x_um[rows]], axis=1) % world.size_um
    reach = cells.radius_um[rows] * np.where(cells.onset_min[rows] < world.time_min, 0.6, 1.0)
    pairs = cKDTree(places, boxsize=world.size_um).query_pairs(2 * close * reach.max(), output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    delta = world.shortest(places[pairs[:, 0]] - places[pairs[:, 1]])
    distance = np.maximum(np.hypot(delta[:, 0], delta[:, 1]), 1e-3)
    missing = np.maximum(close * (reach[pairs[:, 0]] + reach[pairs[:, 1]]) - distance, 0)
    push = delta * (strength * 0.5 * missing / distance)[:, None]
    held = (cells.bound_to[rows] >= 0)[:, None]
    move = np.zeros_like(places)
    np.add.at(move, pairs[:, 0], push)
    np.add.at(move, pairs[:, 1], -push)
    move = np.where(held, 0.3 * move, move)
    cells.y_um[rows] += move[:, 0]
    cells.x_um[rows] += move[:, 1]


def rows_of(cells: Cells, rows: NDArray[np.int64]) -> Cells:
    """Copy of some cells, for keeping a moment of the film."""
    return replace(cells, **{entry.name: getattr(cells, entry.name)[rows].copy() for entry in fields(cells)})
