"""One made field of view: what truly happens in it.

Knows the levels. Knows nothing of what a microscope sees of it (`detections.py`).
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.killbench.levels import FILM_MIN, LevelSettings
from assay.killbench.walk import (
    FREE,
    N_ENGAGED,
    N_HITS,
    N_PRESENT,
    Chances,
    Effectors,
    Frames,
    Log,
    Rules,
    Targets,
    live,
)

TARGET_RADIUS_UM, EFFECTOR_RADIUS_UM = (10.0, 1.0), (5.0, 0.4)
TARGET_LIMITS_UM = (7.0, 13.0)
TARGET_STEP_UM = 0.2  # per root minute
SPEED_CV = 0.4
PERSISTENCE_MIN = 4.0
REST_CHANCE = 0.15
BIND_GAP_UM, BIND_CHANCE = 1.0, 0.35
DWELL_MIN, DWELL_SPREAD, PAUSE_MIN = 12.0, 0.8, 4.0
MEAN_FURTHER_KILLS = 4.0  # a killer can make 1 + Poisson of these
LATENCY_MIN = 6.0
LETHAL_SLACK = 0.25  # damage that may have healed at the lethal hit
DELAY_MIN, DELAY_SPREAD = 10.0, 0.5
EFFECTOR_DEATHS_PER_H = 0.005
LYSED_STAY_MIN, STAY_MIN, STAY_SPREAD_MIN = 6.0, 30.0, 180.0

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueDeath:
    """A target's death; ids are those of `World`."""

    target: int
    time_min: float
    frame: int  # first frame at or after it
    shares: dict[int, float]  # effector -> its part of the damage at the lethal hit; empty: nobody's
    bound: tuple[int, ...]  # effectors bound to it at the lethal hit
    lysed: bool  # it vanishes and the dye never shows


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueContact:
    """An effector was bound to a target in these frames, both included."""

    effector: int
    target: int
    first_frame: int
    last_frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What truly happens. Targets have the ids 1 to n, effectors those above; 0 is nobody."""

    settings: LevelSettings
    target_yx_um: Doubles  # (T, n, 2)
    effector_yx_um: Doubles  # (T, m, 2)
    effector_id: Longs  # (T, m)
    bound: NDArray[np.bool_]  # (T, m)
    target_radius_um: Doubles
    effector_radius_um: Doubles
    target_death_min: Doubles  # (n,) inf for one that lives on
    effector_death_min: Doubles  # (m,)
    target_gone_min: Doubles
    effector_gone_min: Doubles
    target_lysed: NDArray[np.bool_]
    effector_lysed: NDArray[np.bool_]
    deaths: tuple[TrueDeath, ...]  # within the film, by target
    contacts: tuple[TrueContact, ...]  # by first frame, effector, target


def rng_of(name: str, seed: int, stream: str) -> np.random.Generator:
    """Chance of one well and one purpose; more draws for one purpose leave the others as they are."""
    return np.random.default_rng([seed, zlib.crc32(f"{name}:{stream}".encode())])


def make_world(name: str, seed: int, settings: LevelSettings) -> World:
    """Let one well live for 8 h; name and seed decide its chance."""
    rng = rng_of(name, seed, "cells")
    n, m = settings.n_targets, settings.n_effectors
    targets, lysed_t = _targets(rng, settings)
    effectors, lysed_e = _effectors(rng, settings)
    targets = targets._replace(steps=TARGET_STEP_UM * rng.standard_normal((FILM_MIN, n, 2)))
    log, frames = _empty(settings)
    rules = Rules(
        edge=settings.edge_um,
        reach=BIND_GAP_UM,
        p_bind=BIND_CHANCE,
        latency=LATENCY_MIN,
        p_hit=1.0 / settings.hit_every_min,
        lethal_damage=settings.hits_needed - LETHAL_SLACK,
        heal=settings.heal_min,
    )
    chances = _chances(rng_of(name, seed, "minutes"), m)
    live(targets, effectors, chances, rules, log, frames, settings.frame_min)
    return World(
        settings=settings,
        target_yx_um=frames.targets,
        effector_yx_um=frames.effectors,
        effector_id=frames.identity + n + 1,
        bound=frames.bound != FREE,
        target_radius_um=targets.radius,
        effector_radius_um=effectors.radius,
        target_death_min=targets.death,
        effector_death_min=effectors.dies,
        target_gone_min=targets.death + targets.stays,
        effector_gone_min=effectors.dies + effectors.stays,
        target_lysed=lysed_t,
        effector_lysed=lysed_e,
        deaths=_deaths(settings, targets, log, lysed_t),
        contacts=_contacts(settings, log.engaged[: log.counts[N_ENGAGED]]),
    )


def _targets(rng: np.random.Generator, settings: LevelSettings) -> tuple[Targets, NDArray[np.bool_]]:
    """Targets at the start, and which of them will burst when they die."""
    n = settings.n_targets
    radius = np.clip(rng.normal(*TARGET_RADIUS_UM, n), *TARGET_LIMITS_UM)
    place = _places(rng, radius, settings.edge_um)
    alone = rng.exponential(60.0 / settings.spontaneous_per_h, n)
    delay = DELAY_MIN * np.exp(DELAY_SPREAD * rng.standard_normal(n))
    lysed, stays = _stays(rng, n, settings.lysed)
    return Targets(
        place=place,
        radius=radius,
        steps=np.zeros((0, n, 2)),
        delay=delay,
        stays=stays,
        death=alone,
        lethal=np.full(n, np.inf),
        damage=np.zeros(n),
    ), lysed


def _effectors(rng: np.random.Generator, settings: LevelSettings) -> tuple[Effectors, NDArray[np.bool_]]:
    """Effectors at the start, and which of them will burst when they die."""
    m = settings.n_effectors
    radius = rng.normal(*EFFECTOR_RADIUS_UM, m)
    place, heading = rng.uniform(0.0, settings.edge_um, (m, 2)), rng.uniform(0.0, 2 * math.pi, m)
    spread = math.sqrt(math.log(1.0 + SPEED_CV**2))
    speed = settings.speed_um_per_min * np.exp(spread * rng.standard_normal(m) - spread**2 / 2)
    kills = np.where(rng.random(m) < settings.killer_share, 1 + rng.poisson(MEAN_FURTHER_KILLS, m), 0)
    dies = rng.exponential(60.0 / EFFECTOR_DEATHS_PER_H, m)
    lysed, stays = _stays(rng, m, settings.lysed)
    return Effectors(
        place=place,
        radius=radius,
        speed=speed,
        heading=heading,
        kills_left=kills.astype(np.int64),
        dies=dies,
        stays=stays,
        identity=np.arange(m, dtype=np.int64),
        bound=np.full(m, FREE, dtype=np.int64),
        since=np.zeros(m),
        until=np.zeros(m),
        free_from=np.zeros(m),
    ), lysed


def _empty(settings: LevelSettings) -> tuple[Log, Frames]:
    """Room for all that may happen."""
    n, m, most = settings.n_targets, settings.n_effectors, settings.n_effectors * FILM_MIN + 1
    log = Log(
        engaged=np.zeros((most, 4), dtype=np.int64),
        hits=np.zeros((most, 3), dtype=np.int64),
        present=np.zeros((most, 2), dtype=np.int64),
        counts=np.array([0, 0, 0, m], dtype=np.int64),
    )
    frames = Frames(
        targets=np.zeros((settings.n_frames, n, 2)),
        effectors=np.zeros((settings.n_frames, m, 2)),
        identity=np.zeros((settings.n_frames, m), dtype=np.int64),
        bound=np.zeros((settings.n_frames, m), dtype=np.int64),
    )
    return log, frames


def _places(rng: np.random.Generator, radius_um: Doubles, edge_um: float) -> Doubles:
    """Places at random such that no two cells overlap."""
    kept = np.zeros((len(radius_um), 2))
    for cell, radius in enumerate(radius_um):
        while True:
            kept[cell] = rng.uniform(0.0, edge_um, 2)
            apart = np.hypot(*(kept[:cell] - kept[cell]).T)
            if (apart >= radius_um[:cell] + radius).all():
                break
    return kept


def _stays(rng: np.random.Generator, count: int, lysed_share: float) -> tuple[NDArray[np.bool_], Doubles]:
    """Who bursts when dying, and how long dead cells stay in sight."""
    lysed = rng.random(count) < lysed_share
    soon, late = rng.exponential(LYSED_STAY_MIN, count), STAY_MIN + rng.exponential(STAY_SPREAD_MIN, count)
    return lysed, np.where(lysed, soon, late)


def _chances(rng: np.random.Generator, m: int) -> Chances:
    shape = (FILM_MIN, m)
    return Chances(
        turn=math.sqrt(2.0 / PERSISTENCE_MIN) * rng.standard_normal(shape),
        rests=rng.random(shape) < REST_CHANCE,
        bind=rng.random(shape),
        hit=rng.random(shape),
        dwell=DWELL_MIN * np.exp(DWELL_SPREAD * rng.standard_normal(shape)),
        pause=rng.exponential(PAUSE_MIN, shape),
    )


def _deaths(
    settings: LevelSettings, targets: Targets, log: Log, lysed: NDArray[np.bool_]
) -> tuple[TrueDeath, ...]:
    n, frame = settings.n_targets, np.ceil(targets.death / settings.frame_min)
    hits, present = log.hits[: log.counts[N_HITS]], log.present[: log.counts[N_PRESENT]]
    deaths = []
    for target in np.flatnonzero(frame < settings.n_frames).tolist():
        lethal = targets.lethal[target]
        mine = hits[(hits[:, 2] == target) & (hits[:, 0] <= lethal)]
        shares: dict[int, float] = {}
        if math.isfinite(lethal):
            damage = 0.5 ** ((lethal - mine[:, 0]) / settings.heal_min)
            for effector, part in zip(mine[:, 1].tolist(), (damage / damage.sum()).tolist(), strict=True):
                shares[effector + n + 1] = shares.get(effector + n + 1, 0.0) + part
        deaths.append(
            TrueDeath(
                target=target + 1,
                time_min=float(targets.death[target]),
                frame=int(frame[target]),
                shares=shares,
                bound=tuple((present[present[:, 0] == target, 1] + n + 1).tolist()),
                lysed=bool(lysed[target]),
            )
        )
    return tuple(deaths)


def _contacts(settings: LevelSettings, engaged: Longs) -> tuple[TrueContact, ...]:
    """Bound from minute a up to, not including, minute b; a binding that falls between two frames is none."""
    first = -(-engaged[:, 2] // settings.frame_min)
    last = np.minimum((engaged[:, 3] - 1) // settings.frame_min, settings.n_frames - 1)
    rows = np.stack([first, engaged[:, 0] + settings.n_targets + 1, engaged[:, 1] + 1, last], axis=1)
    rows = rows[rows[:, 0] <= rows[:, 3]]
    rows = rows[np.lexsort(rows.T[::-1])]
    return tuple(
        TrueContact(effector=effector, target=target, first_frame=first, last_frame=last)
        for first, effector, target, last in rows.tolist()
    )
