"""Single frames with truth for training: every one from another laboratory.

A small world is seeded at a random moment of an assay and run for a few minutes only, then photographed once
or twice, the second time much later in looks but not in work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.labels import ChannelRole
from assay.simulate.behaviour import World, seeded_world, step
from assay.simulate.film import moment_of, paint_moment, seeded
from assay.simulate.masks import visible_owner
from assay.simulate.optics import Scene, draw_debris, expose
from assay.simulate.scenario import (
    EffectorTraits,
    OpticsTraits,
    Scenario,
    TargetTraits,
)

TILE_UM = 166.4  # 256 pixels of 0.65 um
_NAMES: dict[ChannelRole, str] = {
    "effector": "CTDR",
    "target": "GFP",
    "nuclei": "Hoechst",
    "death": "PI",
    "brightfield": "Phase",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFrame:
    """One photographed frame and what is truly in it; labels are 1.. in each role, 0 is background."""

    images: NDArray[np.uint16]  # (C, Y, X)
    roles: tuple[ChannelRole, ...]  # of each channel
    effectors: NDArray[np.uint32]  # (Y, X)
    targets: NDArray[np.uint32]  # (Y, X)
    pixel_um: tuple[float, float]
    scenario: Scenario


def training_frames(n: int, *, seed: int, tile_um: float = TILE_UM) -> Iterator[TrainingFrame]:
    """Make `n` frames, each with other cells, dyes, optics and pixel size.

    Frame k depends on `seed` and k alone, so that a set can be made in parts.
    """
    for k in range(n):
        yield training_frame(k, seed=seed, tile_um=tile_um)


def training_frame(index: int, *, seed: int, tile_um: float = TILE_UM) -> TrainingFrame:
    """Make frame number `index` of the set of that seed."""
    rng = seeded(seed, 7, index)
    scenario = random_scenario(rng, tile_um=tile_um)
    world = seeded_world(scenario, rng)
    _age(world, rng)
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
    )
    images = expose(scene, scenario, frame=int(rng.integers(0, 150)), origin_um=moment.origin_um, rng=rng)
    return TrainingFrame(
        images=images,
        roles=tuple(role for role, _ in scenario.channels),
        effectors=_in_order(visible_owner(effectors, scenario, "effector")),
        targets=_in_order(visible_owner(targets, scenario, "target")),
        pixel_um=scenario.pixel_um,
        scenario=scenario,
    )


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
    _set_effectors_on_targets(world, rng)


def _set_effectors_on_targets(world: World, rng: np.random.Generator) -> None:
    """Some effectors have found their target already."""
    e, targets = world.effectors, world.targets
    if not len(e) or not len(targets):
        return
    chosen = np.flatnonzero((rng.random(len(e)) < rng.uniform(0.05, 0.5)) & e.alive(world.time_min))
    row = rng.integers(0, len(targets), len(chosen))
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


def random_scenario(rng: np.random.Generator, *, tile_um: float) -> Scenario:
    """Draw a laboratory: cells, dyes, microscope."""
    pixel = float(np.round(np.exp(rng.uniform(np.log(0.32), np.log(1.3))) * 100) / 100)
    if rng.random() < 0.3:
        pixel = 0.65
    n_px = max(32, round(tile_um / pixel))
    adherent = bool(rng.random() < 0.7)
    nuclear = bool(rng.random() < 0.2)
    return Scenario(
        name="training",
        summary="random",
        channels=_random_channels(rng, nuclear),
        shape_px=(n_px, n_px),
        pixel_um=(pixel, pixel),
        margin_um=22.0,
        target_mask="nucleus" if nuclear else "cell",
        targets=_random_targets(rng, adherent),
        effectors=_random_effectors(rng, adherent),
        optics=_random_optics(rng),
    )


def _random_channels(rng: np.random.Generator, nuclear: bool) -> tuple[tuple[ChannelRole, str], ...]:
    body: ChannelRole = "nuclei" if nuclear else "target"
    kept: list[ChannelRole] = []
    if not nuclear and rng.random() < 0.12:  # no dye but perhaps the death dye
        kept = ["death", "brightfield"] if rng.random() < 0.6 else ["brightfield"]
        return tuple((role, _NAMES[role]) for role in kept)
    if rng.random() < 0.85:
        kept.append("effector")
    if nuclear or rng.random() < 0.85:
        kept.append(body)
    if not nuclear and rng.random() < 0.15:
        kept.append("nuclei")
    if rng.random() < 0.8:
        kept.append("death")
    if rng.random() < 0.75 or not {"effector", body} <= set(kept):  # or somebody would be seen by nobody
        kept.append("brightfield")
    return tuple((role, _NAMES[role]) for role in kept)


def _random_targets(rng: np.random.Generator, adherent: bool) -> TargetTraits:
    crowd = float(rng.choice([0.15, 0.5, 1.0, 1.7], p=[0.15, 0.3, 0.35, 0.2]))
    if rng.random() < 0.04:
        crowd = 0.0
    if not adherent:
        return TargetTraits(
            density_per_mm2=1500 * crowd,
            adherent=False,
            radius_um=float(rng.uniform(5.8, 8.5)),
            radius_cv=float(rng.uniform(0.06, 0.18)),
            irregularity=float(rng.uniform(0.1, 0.4)),
            elongation_sd=0.06,
            speed_um_per_min=0.4,
            nucleus_radius_um=float(rng.uniform(4.0, 5.5)),
            rounded_size=0.96,
        )
    radius = float(rng.uniform(9.0, 15.0))
    return TargetTraits(
        density_per_mm2=min(1150 * crowd * (11.5 / radius) ** 2, 2600),
        radius_um=radius,
        radius_cv=float(rng.uniform(0.08, 0.25)),
        irregularity=float(rng.uniform(0.3, 1.4)),
        elongation_sd=float(rng.uniform(0.08, 0.4)),
        nucleus_radius_um=float(rng.uniform(4.3, 6.8)),
        rounded_size=float(rng.uniform(0.62, 0.8)),
    )


def _random_effectors(rng: np.random.Generator, adherent: bool) -> EffectorTraits:
    ratio = float(rng.choice([0.0, 0.3, 1.0, 2.5, 5.0], p=[0.07, 0.25, 0.4, 0.2, 0.08]))
    return EffectorTraits(
        et_ratio=ratio,
        radius_um=float(rng.uniform(4.2, 6.2)),
        speed_um_per_min=float(rng.uniform(1, 8)),
        on_top=float(rng.choice([0.1, 0.4, 0.9])) if adherent else float(rng.choice([0.05, 0.2, 0.6])),
    )


def _random_optics(rng: np.random.Generator) -> OpticsTraits:
    base = OpticsTraits()
    dim = {role: float(value * np.exp(rng.normal(-0.2, 0.8))) for role, value in base.signal_counts.items()}
    max_counts = int(rng.choice([4095, 16383, 65535]))
    dim["brightfield"] = float(rng.uniform(0.1, 0.6) * max_counts)
    floor = {
        role: float(value * np.exp(rng.normal(0, 0.7))) for role, value in base.background_counts.items()
    }
    leak = {pair: float(share * rng.gamma(1.0, 1.5)) for pair, share in base.bleed.items()}
    return replace(
        base,
        psf_um=float(rng.uniform(0.3, 1.1)),
        haze_share=float(rng.uniform(0.02, 0.35)),
        haze_um=float(rng.uniform(2.5, 8.0)),
        counts_per_photon=float(np.exp(rng.uniform(np.log(0.5), np.log(12)))),
        offset_counts=float(rng.uniform(0, 400)),
        read_noise_counts=float(rng.uniform(1, 12)),
        max_counts=max_counts,
        signal_counts=dim,
        background_counts=floor,
        bleed=leak,
        vignetting=float(rng.uniform(0, 0.4)),
        debris_per_mm2=float(rng.choice([0, 100, 400, 1500], p=[0.2, 0.4, 0.3, 0.1])),
        contrast="phase" if rng.random() < 0.55 else "brightfield",
    )
