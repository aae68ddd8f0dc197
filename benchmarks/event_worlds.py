"""Small worlds of effectors and targets in which it is known who killed whom: tables only, no pixels.

Follows the published sketch of killbench: targets rest, effectors walk, bind, and hit after a latency; hits add
up and heal; a target whose damage suffices dies, and its dye rises after a delay. Effectors differ: some never
kill. Targets also die by themselves. What the product would see is made from it: contacts from noisy gaps,
deaths with a shifted frame, an interval, misses and false calls.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assay.contacts import Contact
from assay.deaths import Death
from assay.lag_model import FieldEvents
from assay.tracks import Track
from assay.units import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """One level of difficulty. Lengths in um, times in minutes."""

    n_targets: int = 250
    et_ratio: float = 1.0
    frame_min: float = 3.0
    hours: float = 8.0
    edge_um: float = 900.0
    killers: float = 0.4
    spontaneous_per_h: float = 0.01
    hits: float = 1.0
    heal_min: float = 30.0
    hit_every_min: float = 18.0
    latency_min: float = 6.0
    delay_min: float = 10.0
    speed: float = 6.0
    missed: float = 0.04
    false: float = 0.006  # false deaths per target


LEVELS = {
    "easy": WorldSettings(n_targets=150, et_ratio=0.5, frame_min=2.0, spontaneous_per_h=0.003, missed=0.01, false=0.0),
    "medium": WorldSettings(),
    "hard": WorldSettings(
        n_targets=300, et_ratio=3.0, frame_min=5.0, killers=0.2, spontaneous_per_h=0.02, speed=8.0, missed=0.1,
        false=0.02,
    ),
    "additive": WorldSettings(et_ratio=2.0, hits=3.0, heal_min=50.0, hit_every_min=12.0),
    "alike": WorldSettings(killers=1.0, hit_every_min=45.0),
    "solid": WorldSettings(delay_min=120.0, frame_min=10.0, hours=24.0, hit_every_min=40.0, speed=2.0),
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class World:
    """What happened, and what is seen of it."""

    events: FieldEvents
    who: dict[int, dict[int, float]]  # dead target -> true shares of effectors; empty: nobody
    onset: dict[int, float]  # dead target -> minute of onset
    bound: dict[int, set[int]] = field(default_factory=dict)


def make_world(seed: int, settings: WorldSettings, *, kind: str = "sample", well: str = "A01") -> World:
    """Let one field live; `kind` "mock" has no killers, "target_only" no effectors."""
    rng = np.random.default_rng([seed, sum(map(ord, well)), len(kind)])
    s = settings
    n, m = s.n_targets, 0 if kind == "target_only" else round(s.n_targets * s.et_ratio)
    minutes = round(s.hours * 60)
    spots = _spots(rng, n, s.edge_um)
    radius_t, radius_e = np.clip(rng.normal(10, 1, n), 7, 13), rng.normal(5, 0.4, m)
    place = rng.uniform(0, s.edge_um, (m, 2))
    angle = rng.uniform(0, 2 * np.pi, m)
    speed = s.speed * np.exp(0.4 * rng.standard_normal(m) - 0.08)
    charges = np.where((rng.random(m) < s.killers) & (kind == "sample"), 1 + rng.poisson(4, m), 0)
    bound_to, since, until = np.full(m, -1), np.zeros(m), np.zeros(m)
    rest_until = np.zeros(m)
    damage, shares = np.zeros(n), np.zeros((n, m))
    onset = np.full(n, np.inf)
    lethal = np.full(n, np.inf)
    alone = rng.exponential(1 / (s.spontaneous_per_h / 60), n)
    frames = round(minutes / s.frame_min)
    gaps = np.zeros((frames, m, n), dtype=np.float32)
    who: dict[int, dict[int, float]] = {}
    frame = 0
    for minute in range(minutes):
        if frame < frames and minute >= frame * s.frame_min:
            gaps[frame] = _gaps(rng, place, spots, radius_e, radius_t, noise=0.6)
            frame += 1
        free = bound_to < 0
        angle += np.sqrt(2 / 4.0) * rng.standard_normal(m)
        step = speed * (rng.random(m) > 0.15) * free
        place = np.mod(place + step[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), s.edge_um)
        _keep_out(place, spots, radius_e, radius_t)
        near = _gaps(rng, place, spots, radius_e, radius_t, noise=0.0)
        near[:, onset <= minute] = np.inf
        closest = np.argmin(near, axis=1) if n else np.zeros(m, dtype=int)
        binds = free & (near[np.arange(m), closest] < 1) & (rest_until <= minute) & (rng.random(m) < 0.35)
        bound_to[binds] = closest[binds]
        since[binds] = minute
        until[binds] = minute + 12 * np.exp(0.8 * rng.standard_normal(binds.sum()))
        damage *= 0.5 ** (1 / s.heal_min)
        shares *= 0.5 ** (1 / s.heal_min)
        hitting = (bound_to >= 0) & (minute - since >= s.latency_min) & (charges > 0)
        for e in np.flatnonzero(hitting & (rng.random(m) < 1 / s.hit_every_min)):
            target = bound_to[e]
            if lethal[target] <= minute:
                continue
            damage[target] += 1
            shares[target, e] += 1
            if damage[target] >= s.hits - 0.25:
                charges[e] -= 1
                lethal[target] = minute
                onset[target] = min(alone[target], minute + s.delay_min * np.exp(0.5 * rng.standard_normal()))
                if onset[target] < alone[target]:
                    given = shares[target] / shares[target].sum()
                    who[int(target)] = {int(k): float(given[k]) for k in np.flatnonzero(given > 0)}
        dies_alone = (alone <= minute) & (onset == np.inf)
        onset[dies_alone] = alone[dies_alone]
        lets_go = (bound_to >= 0) & ((until <= minute) | (onset[np.maximum(bound_to, 0)] <= minute))
        rest_until[lets_go] = minute + rng.exponential(4, lets_go.sum())
        bound_to[lets_go] = -1
    return _seen(rng, s, kind, well, gaps, onset, {k: v for k, v in who.items() if onset[k] < minutes})


def _spots(rng: np.random.Generator, n: int, edge: float) -> NDArray[np.float64]:
    kept: list[NDArray[np.float64]] = []
    while len(kept) < n:
        spot = rng.uniform(0, edge, 2)
        if all(np.hypot(*(spot - other)) > 21 for other in kept):
            kept.append(spot)
    return np.array(kept).reshape(-1, 2)


def _gaps(
    rng: np.random.Generator,
    place: NDArray[np.float64],
    spots: NDArray[np.float64],
    radius_e: NDArray[np.float64],
    radius_t: NDArray[np.float64],
    *,
    noise: float,
) -> NDArray[np.float64]:
    moved = place + noise * rng.standard_normal(place.shape) if noise else place
    distance = np.hypot(moved[:, None, 0] - spots[None, :, 0], moved[:, None, 1] - spots[None, :, 1])
    return np.maximum(distance - radius_e[:, None] - radius_t[None, :], 0.0)


def _keep_out(
    place: NDArray[np.float64],
    spots: NDArray[np.float64],
    radius_e: NDArray[np.float64],
    radius_t: NDArray[np.float64],
) -> None:
    """Push effectors out of targets, down to a small overlap."""
    if len(place) == 0:
        return
    away = place[:, None] - spots[None]
    distance = np.hypot(away[..., 0], away[..., 1])
    deep = np.argmin(distance - radius_t[None], axis=1)
    rows = np.arange(len(place))
    least = radius_e + radius_t[deep] - 1.0
    near = distance[rows, deep] < least
    unit = away[rows, deep] / np.maximum(distance[rows, deep], 1e-6)[:, None]
    place[near] = (spots[deep] + unit * least[:, None])[near]


def _seen(
    rng: np.random.Generator,
    s: WorldSettings,
    kind: str,
    well: str,
    gaps: NDArray[np.float32],
    onset: NDArray[np.float64],
    who: dict[int, dict[int, float]],
) -> World:
    frames, _, n = gaps.shape
    contacts: list[Contact] = []
    for effector, target in zip(*np.nonzero((gaps <= 1).any(axis=0)), strict=True):
        for first, last in _episodes(gaps[:, effector, target]):
            contacts.append(
                Contact(
                    contact_id=len(contacts) + 1, effector_track_id=int(effector) + 1,
                    target_track_id=int(target) + 1, first_frame=first, last_frame=last, min_gap_um=0.0,
                    mean_interface_um=5.0, starts_censored=first == 0, ends_censored=last == frames - 1,
                )
            )  # fmt: skip
    deaths: list[Death] = []
    last_seen = np.full(n, frames - 1)
    for target in range(n):
        true_frame = int(np.ceil(onset[target] / s.frame_min)) if np.isfinite(onset[target]) else frames
        if true_frame < frames and rng.random() > s.missed:
            called = int(np.clip(true_frame + rng.choice([-1, 0, 0, 0, 1, 1]), 1, frames - 1))
            deaths.append(_death(len(deaths) + 1, target, called, frames, float(rng.uniform(0.98, 1.0))))
        elif true_frame >= frames and rng.random() < s.false:
            called = int(rng.integers(1, frames))
            deaths.append(_death(len(deaths) + 1, target, called, frames, float(rng.uniform(0.5, 0.8))))
        elif rng.random() < 0.05 and true_frame >= frames:
            last_seen[target] = int(rng.integers(1, frames))
    targets = tuple(
        Track(
            track_id=t + 1, first_frame=0, last_frame=int(last_seen[t]), parent_track_id=None, start="movie_start",
            end="movie_end" if last_seen[t] == frames - 1 else "lost",
        )
        for t in range(n)
    )  # fmt: skip
    events = FieldEvents(
        well=well, field=0, kind=kind, n_frames=frames,
        calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=s.frame_min),
        contacts=tuple(contacts), deaths=tuple(deaths), targets=targets,
    )  # fmt: skip
    within = {t + 1: float(onset[t]) for t in range(n) if onset[t] < (frames - 1) * s.frame_min}
    given = {t + 1: {e + 1: share for e, share in who[t].items()} for t in who if t + 1 in within}
    return World(events=events, who=given, onset=within)


def _death(number: int, target: int, frame: int, frames: int, probability: float) -> Death:
    return Death(
        death_id=number, role="target", track_id=target + 1, frame=frame, first_possible_frame=max(frame - 1, 1),
        last_possible_frame=min(frame + 1, frames - 1), probability=probability, evidence=("dye",),
    )  # fmt: skip


def _episodes(gap: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Contacts of one pair: enter at 1 um, leave above 3 um, bridge 2 frames, last 2 frames or more."""
    runs: list[tuple[int, int]] = []
    start, last = -1, -1
    for frame, value in enumerate(gap):
        if start >= 0 and frame - last > 3:
            runs.append((start, last))
            start = -1
        if value <= (1 if start < 0 else 3):
            start = frame if start < 0 else start
            last = frame
    if start >= 0:
        runs.append((start, last))
    return [(first, end) for first, end in runs if end - first >= 1]
