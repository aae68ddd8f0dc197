"""Single frames with truth for training: every one from another laboratory.

A small world is seeded at a random moment of an assay and run for a few minutes only, then photographed once
or twice, the second time much later in looks but not in work.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES, ChannelRole
from assay.simulate.behaviour import World, seeded_world, step
from assay.simulate.camera import black_strips
from assay.simulate.clutter import draw_clutter, draw_debris
from assay.simulate.film import moment_of, paint_moment, seeded
from assay.simulate.laboratory import random_scenario
from assay.simulate.masks import visible_owner
from assay.simulate.optics import expose
from assay.simulate.paint import Canvas
from assay.simulate.scenario import Scenario
from assay.simulate.scene import Scene

TILE_UM = 166.4  # 256 pixels of 0.65 um


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFrame:
    """One photographed frame and what is truly in it; labels are 1.. in each role, 0 is background."""

    images: NDArray[np.uint16]  # (C, Y, X)
    roles: tuple[ChannelRole, ...]  # of each channel
    effectors: NDArray[np.uint32]  # (Y, X)
    targets: NDArray[np.uint32]  # (Y, X)
    pixel_um: tuple[float, float]
    scenario: Scenario


def training_frame(index: int, *, seed: int, tile_um: float = TILE_UM) -> TrainingFrame:
    """Make frame number `index` of the set of that seed: one with its own cells, dyes, optics and pixel size.

    It depends on `seed` and `index` alone, so that a set can be made in parts.
    """
    rng = seeded(seed, 7, index)
    return frame_of(random_scenario(rng, tile_um=tile_um), rng=rng)


def frame_of(scenario: Scenario, *, rng: np.random.Generator) -> TrainingFrame:
    """Make one frame of a laboratory, in the middle of an assay."""
    world = seeded_world(scenario, rng)
    _age(world, rng)
    _stain(world, rng)
    world.killing = True
    for _ in range(int(rng.integers(6, 14))):
        step(world, 2.0)
    return _photograph(world, scenario, rng)


def _photograph(world: World, scenario: Scenario, rng: np.random.Generator) -> TrainingFrame:
    moment = moment_of(world, (scenario.margin_um, scenario.margin_um))
    targets, effectors = paint_moment(scenario, moment, world.targets, world.effectors)
    scene = Scene(
        targets=targets,
        effectors=effectors,
        target_cells=world.targets,
        effector_cells=world.effectors,
        target_looks=moment.targets,
        effector_looks=moment.effectors,
        debris=draw_debris(scenario, rng, world.size_um),
        clutter=draw_clutter(scenario, rng),
    )
    images = expose(scene, scenario, frame=int(rng.integers(0, 150)), origin_um=moment.origin_um, rng=rng)
    black = black_strips(scenario, rng)
    images[black] = 0
    hidden: NDArray[np.bool_] = np.asarray(black.all(axis=0))
    return TrainingFrame(
        images=images,
        roles=tuple(role for role, _ in scenario.channels),
        effectors=_in_order(visible_owner(_without(effectors, hidden), scenario, "effector")),
        targets=_in_order(visible_owner(_without(targets, hidden), scenario, "target")),
        pixel_um=scenario.pixel_um,
        scenario=scenario,
    )


def _without(canvas: Canvas, hidden: NDArray[np.bool_]) -> Canvas:
    """What lies under a strip that is black in every channel is seen by nobody."""
    return (
        replace(canvas, owner=np.where(hidden, 0, canvas.owner).astype(np.int32)) if hidden.any() else canvas
    )


def _stain(world: World, rng: np.random.Generator) -> None:
    """Dyes take unevenly, some of the dead have lost their nuclear dye, their nuclei shrink."""
    stain = world.scenario.hardships.stain
    slot = CHANNEL_ROLES.index("nuclei")
    for cells in (world.targets, world.effectors):
        n = len(cells)
        cells.brightness = cells.brightness.copy()
        level = np.exp(rng.normal(0, stain.level_sd, (n, slot + 2)).clip(-1.1, 1.3))
        cells.brightness[:, : slot + 2] *= level
        cells.brightness[:, : slot + 2] = cells.brightness[:, : slot + 2].clip(0.4, 5.0)
        dead = cells.onset_min <= world.time_min
        shrunk = np.maximum(cells.nucleus_um * rng.uniform(0.65, 1.05, n), np.minimum(3.3, cells.nucleus_um))
        # never so small that the truth drops them
        cells.nucleus_um = np.where(dead, shrunk, cells.nucleus_um)
        lost = dead & (rng.random(n) < stain.lost_share)
        cells.brightness[:, slot] *= np.where(lost, rng.uniform(0.06, 0.3, n), 1.0)


def _in_order(owner: NDArray[np.int32]) -> NDArray[np.uint32]:
    _, numbered = np.unique(owner, return_inverse=True)
    result: NDArray[np.uint32] = numbered.reshape(owner.shape).astype(np.uint32)
    return result if (owner == 0).any() else result + np.uint32(1)


def _age(world: World, rng: np.random.Generator) -> None:
    """Put the world in the middle of an assay: some cells dying, dead, dividing or just divided."""
    t = world.time_min
    dying = float(rng.choice([0.02, 0.1, 0.25, 0.5], p=[0.3, 0.35, 0.25, 0.1]))
    for cells, share in ((world.targets, dying), (world.effectors, 0.35 * dying)):
        n = len(cells)
        chosen = rng.random(n) < share
        cells.onset_min = np.where(chosen, t + rng.uniform(-150, 60, n), cells.onset_min)
        cells.commit_min = np.where(chosen, cells.onset_min - 40, cells.commit_min)
        dividing = ~chosen & (rng.random(n) < 0.05) & np.isinf(cells.onset_min)
        start = t - rng.uniform(0, 40, n)
        cells.mitosis_min = np.where(dividing, start, cells.mitosis_min)
        cells.mitosis_end_min = np.where(dividing, start + rng.uniform(41, 90, n), cells.mitosis_end_min)
    _heap_effectors(world, rng)
    _set_effectors_on_targets(world, rng)


def _heap_effectors(world: World, rng: np.random.Generator) -> None:
    """In some fields effectors lie in heaps; they give way to each other afterwards."""
    e = world.effectors
    if rng.random() > 0.2 or not len(e):
        return
    heaps = rng.uniform(0, 1, (int(rng.integers(1, 5)), 2)) * world.size_um
    chosen = np.flatnonzero(rng.random(len(e)) < rng.uniform(0.3, 0.9))
    width = float(rng.uniform(0.7, 1.3)) * e.radius_um.mean() * np.sqrt(len(chosen) / len(heaps))
    places = heaps[rng.integers(0, len(heaps), len(chosen))] + rng.normal(0, 1, (len(chosen), 2)) * width
    e.y_um[chosen], e.x_um[chosen] = places[:, 0], places[:, 1]


def _set_effectors_on_targets(world: World, rng: np.random.Generator) -> None:
    """Some effectors have found their target already."""
    e, targets = world.effectors, world.targets
    if not len(e) or not len(targets):
        return
    chosen = np.flatnonzero((rng.random(len(e)) < rng.uniform(0.05, 0.5)) & e.alive(world.time_min))
    few = len(targets)
    if rng.random() < 0.25:  # in heaps around a few of them
        few = min(int(rng.integers(1, 4)) + len(chosen) // 10, few)
    row = rng.permutation(len(targets))[:few][rng.integers(0, min(few, len(targets)), len(chosen))]
    angle = rng.uniform(0, 2 * np.pi, len(chosen))
    traits = world.scenario.effectors
    reach = targets.radius_um[row] + 0.5 * e.radius_um[chosen]
    e.bound_to[chosen] = row
    e.bound_since_min[chosen] = world.time_min
    e.bound_until_min[chosen] = world.time_min + 200
    e.bound_angle[chosen] = angle
    e.bound_depth[chosen] = rng.normal(traits.on_top, traits.on_top_sd, len(chosen)).clip(0.02, 1.6)
    e.y_um[chosen] = targets.y_um[row] + reach * np.sin(angle)
    e.x_um[chosen] = targets.x_um[row] + reach * np.cos(angle)
