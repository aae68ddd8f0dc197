"""What a microscope and a segmentation make of a made world: the tables that the product starts from.

Knows the world. Knows nothing of how the tables are read.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.killbench.levels import (
    FILM_MIN,
    PIXEL_UM,
    WELL_KINDS,
    LevelSettings,
    WellKind,
    kind_of,
    settings_of,
)
from assay.killbench.world import EFFECTOR_RADIUS_UM, TARGET_RADIUS_UM, World, make_world, rng_of
from assay.labels import CELL_ROLES, CellMeasures, CellRole
from assay.units import Calibration

DYE = "PI"
MARKERS: dict[CellRole, str] = {"effector": "effector dye", "target": "target dye"}
LOCATION_UM = 0.6  # per axis
AREA_NOISE = 0.10
MARKER_NOISE = 0.10
RISE_MIN, RISE_SPREAD, AMPLITUDE_SPREAD = 12.0, 0.3, 0.5
GLOW_UM, GLOWING_NEIGHBOURS = 14.0, 4
BACKGROUND, DYE_COUNTS, MARKER_COUNTS = 100.0, 100.0, 1000.0
_WELLS: dict[WellKind, str] = {"sample": "B02", "mock": "B03", "target_only": "B04"}
_OTHER: dict[CellRole, CellRole] = {"effector": "target", "target": "effector"}

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One made well of one field, as segmentation would hand it on, with the truth kept apart."""

    level: str
    seed: int
    kind: WellKind
    well: str
    calibration: Calibration
    field_shape: tuple[int, int]
    n_frames: int
    measures: dict[CellRole, CellMeasures]
    background: dict[str, Doubles]  # (T,) of each channel
    true_id: dict[CellRole, NDArray[np.int64]]  # per row of the measures; 0 for a false cell
    world: World


def simulate(level: str, seed: int, kind: WellKind | None = None) -> Scene:
    """Make one scene of the benchmark.

    Args:
        level: One of `LEVELS`.
        seed: Same seed, same scene.
        kind: A well of the level's plate; None for the one that the level asks about.

    Raises:
        ProtocolError: There is no such level.
    """
    kind = kind or kind_of(level)
    name, settings = settings_of(level, kind)
    return make_scene(name, seed, settings, level=level, kind=kind, well=_WELLS[kind])


def make_scene(
    name: str, seed: int, settings: LevelSettings, *, level: str, kind: WellKind, well: str
) -> Scene:
    """Make one well of a film of 8 h; name and seed decide its chance."""
    world = make_world(name, seed, settings)
    cells = _Cells.of(world, rng_of(name, seed, "dyes"))
    rng = rng_of(name, seed, "frames")
    rows = [_see(world, cells, frame, rng) for frame in range(settings.n_frames)]
    seen = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    pixels = math.ceil(settings.edge_um / PIXEL_UM)
    measures: dict[CellRole, CellMeasures] = {}
    true_id: dict[CellRole, NDArray[np.int64]] = {}
    for role in CELL_ROLES:
        measures[role], true_id[role] = _table(seen, role, settings.edge_um)
    level_of = np.full(settings.n_frames, BACKGROUND)
    return Scene(
        level=level,
        seed=seed,
        kind=kind,
        well=well,
        calibration=Calibration(pixel_um=(PIXEL_UM, PIXEL_UM), frame_min=float(settings.frame_min)),
        field_shape=(pixels, pixels),
        n_frames=settings.n_frames,
        measures=measures,
        background={channel: level_of.copy() for channel in (DYE, *MARKERS.values())},
        true_id=true_id,
        world=world,
    )


def plate(level: str, seed: int) -> list[Scene]:
    """The sample, mock and target-only well that a level is read with."""
    return [simulate(level, seed, kind) for kind in WELL_KINDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """What belongs to a cell for its whole life; targets first, then effectors."""

    radius_um: Doubles
    death_min: Doubles
    gone_min: Doubles
    amplitude: Doubles  # 0 for one that bursts
    rise_min: Doubles
    is_target: NDArray[np.bool_]

    @classmethod
    def of(cls, world: World, rng: np.random.Generator) -> "_Cells":
        """Draw how the dye enters each cell."""
        n, m = len(world.target_radius_um), len(world.effector_radius_um)
        lysed = np.concatenate([world.target_lysed, world.effector_lysed])
        amplitude = world.settings.dye_rise * np.exp(AMPLITUDE_SPREAD * rng.standard_normal(n + m))
        return cls(
            radius_um=np.concatenate([world.target_radius_um, world.effector_radius_um]),
            death_min=np.concatenate([world.target_death_min, world.effector_death_min]),
            gone_min=np.concatenate([world.target_gone_min, world.effector_gone_min]),
            amplitude=np.where(lysed, 0.0, amplitude),
            rise_min=RISE_MIN * np.exp(RISE_SPREAD * rng.standard_normal(n + m)),
            is_target=np.arange(n + m) < n,
        )


def _see(world: World, cells: _Cells, frame: int, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """One frame's detections in no order: who it is, called role, place, area, dye."""
    settings = world.settings
    now = frame * settings.frame_min
    place = np.concatenate([world.target_yx_um[frame], world.effector_yx_um[frame]])
    ids = np.concatenate([np.arange(settings.n_targets) + 1, world.effector_id[frame]])
    risk = settings.missed + settings.missed_bound * np.concatenate(
        [np.zeros(settings.n_targets, dtype=np.bool_), world.bound[frame]]
    )
    here = cells.gone_min > now
    dye = _dye(settings, cells, place, here, now)
    seen = here & (rng.random(len(ids)) >= risk)
    n_false = rng.poisson(settings.false_cells * here.sum())
    share = settings.n_targets / max(settings.n_targets + settings.n_effectors, 1)
    false_target = rng.random(n_false) < share
    false_radius = np.where(
        false_target, rng.normal(*TARGET_RADIUS_UM, n_false), rng.normal(*EFFECTOR_RADIUS_UM, n_false)
    )
    place = np.concatenate([place[seen], rng.uniform(0.0, settings.edge_um, (n_false, 2))])
    target = np.concatenate([cells.is_target[seen], false_target])
    radius = np.concatenate([cells.radius_um[seen], false_radius])
    rest = np.full(n_false, 1.0 + settings.drift * now / FILM_MIN)
    count = len(target)
    return {
        "frame": np.full(count, frame, dtype=np.int32),
        "true_id": np.concatenate([ids[seen], np.zeros(n_false, dtype=np.int64)]),
        "is_target": target ^ (rng.random(count) < settings.flipped),
        "yx_um": np.clip(
            place + LOCATION_UM * rng.standard_normal((count, 2)), 0.0, settings.edge_um - PIXEL_UM
        ),
        "area_um2": math.pi * radius**2 * np.exp(AREA_NOISE * rng.standard_normal(count)),
        "dye": np.concatenate([dye[seen], rest]) * np.exp(settings.dye_noise * rng.standard_normal(count)),
        "marker": np.exp(MARKER_NOISE * rng.standard_normal((count, 2))),
        "eccentricity": rng.uniform(0.1, 0.5, count),
    }


def _dye(
    settings: LevelSettings, cells: _Cells, place: Doubles, here: NDArray[np.bool_], now: float
) -> Doubles:
    """Dye of every cell in units of a living cell's at the start: own, rising after death, and spilled over."""
    since = np.maximum(now - cells.death_min, 0.0)
    own = np.where(here, cells.amplitude * -np.expm1(-since / cells.rise_min), 0.0)
    lit = np.flatnonzero(own > 0)
    spilled = np.zeros(len(own))
    if len(lit) and settings.bleed > 0:
        apart = np.hypot(place[:, None, 0] - place[None, lit, 0], place[:, None, 1] - place[None, lit, 1])
        apart[lit, np.arange(len(lit))] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")[:, :GLOWING_NEIGHBOURS]
        near = np.take_along_axis(apart, order, axis=1)
        spilled = settings.bleed * (np.exp(-((near / GLOW_UM) ** 2)) * own[lit][order]).sum(axis=1)
    return 1.0 + settings.drift * now / FILM_MIN + own + spilled


def _table(
    seen: dict[str, NDArray[np.generic]], role: CellRole, edge_um: float
) -> tuple[CellMeasures, NDArray[np.int64]]:
    """The rows of one role, labelled in each frame in the order of their place."""
    mine = seen["is_target"] if role == "target" else ~seen["is_target"].astype(np.bool_)
    rows = np.flatnonzero(mine)
    y, x = seen["yx_um"][rows].T.astype(np.float64)
    frame = seen["frame"][rows].astype(np.int32)
    order = np.lexsort((x, y, frame))
    rows, y, x, frame = rows[order], y[order], x[order], frame[order]
    label = np.arange(len(rows)) - np.searchsorted(frame, frame) + 1
    area = seen["area_um2"][rows].astype(np.float64)
    radius = np.sqrt(area / math.pi)
    marker = seen["marker"][rows].astype(np.float64)
    means = {
        DYE: BACKGROUND + DYE_COUNTS * seen["dye"][rows].astype(np.float64),
        MARKERS[role]: BACKGROUND + MARKER_COUNTS * marker[:, 0],
        MARKERS[_OTHER[role]]: BACKGROUND * marker[:, 1],
    }
    edge = np.minimum(np.minimum(y, x), edge_um - np.maximum(y, x))
    measures = CellMeasures(
        role=role,
        frame=frame,
        label=label.astype(np.int32),
        y_um=y,
        x_um=x,
        area_um2=area,
        eccentricity=seen["eccentricity"][rows].astype(np.float64),
        covered=np.zeros(len(rows)),
        at_border=edge < radius,
        score=np.ones(len(rows)),
        means={name: means[name] for name in (DYE, *MARKERS.values())},
        own_means={name: means[name].copy() for name in (DYE, *MARKERS.values())},
    )
    return measures, seen["true_id"][rows].astype(np.int64)
