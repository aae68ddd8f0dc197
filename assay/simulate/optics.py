"""From painted cells to what the camera writes: dyes, point spread, haze, bleed-through."""

import numpy as np
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES, ChannelRole
from assay.simulate.blur import blur, blur_wide, illumination
from assay.simulate.camera import photograph, spoil, with_faults
from assay.simulate.cells import Cells, Floats
from assay.simulate.clutter import speck_image
from assay.simulate.paint import Pixels
from assay.simulate.scenario import Scenario
from assay.simulate.scene import Scene, look_up
from assay.simulate.shapes import Looks
from assay.simulate.transmitted import transmitted


def expose(
    scene: Scene,
    scenario: Scenario,
    *,
    frame: int,
    origin_um: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Photograph a scene: (C, Y, X) counts."""
    specks = speck_image(scene.debris, scenario, origin_um)
    dyes: dict[ChannelRole, Pixels] = {}
    deep: dict[ChannelRole, Pixels] = {}
    for role, _ in scenario.channels:
        if role != "brightfield":
            dyes[role], deep[role] = _dye(scene, scenario, role, specks[1])
    bad = dict(scenario.optics.bad_frames).get(frame)
    images = []
    for role, _ in scenario.channels:
        if role == "brightfield":
            expected = transmitted(scene, scenario, specks[0], rng)
        else:
            expected = _fluorescence(dyes, deep[role], scenario, role, frame)
        expected = with_faults(spoil(expected, bad), scenario, role, rng)
        images.append(photograph(expected, scenario, rng, bad))
    return np.stack(images)


def _dye(scene: Scene, scenario: Scenario, role: ChannelRole, speck_glow: Pixels) -> tuple[Pixels, Pixels]:
    """One dye before the optics, 1 in a typical bright cell, and the part of it that lies out of focus."""
    slot = CHANNEL_ROLES.index(role)
    of_targets = _target_dye(scene, scenario, role, slot)
    of_effectors = _effector_dye(scene, scenario, role, slot)
    light = of_targets + of_effectors
    if role == "death":
        light = light + np.float32(0.5) * speck_glow
    if scene.clutter is not None:
        light = light + scene.clutter.glow[slot]
    if not scenario.hardships.stain.deep_share:
        return light, np.zeros((0, 0), np.float32)
    share = scenario.hardships.stain.deep_share
    deep_targets = _deep(scene.target_cells, scene.target_looks, share)[scene.targets.owner]
    deep_effectors = _deep(scene.effector_cells, scene.effector_looks, share)[scene.effectors.owner]
    return light, of_targets * deep_targets + of_effectors * deep_effectors


def _deep(cells: Cells, looks: Looks, share: float) -> Pixels:
    """Which cells lie out of focus: the same ones in all channels."""
    return look_up((cells.texture_at[looks.row, 0] % 1000 < 1000 * share).astype(np.float64))


def _target_dye(scene: Scene, scenario: Scenario, role: ChannelRole, slot: int) -> Pixels:
    t, looks, stain = scene.targets, scene.target_looks, scenario.hardships.stain
    amp = scene.target_cells.brightness[looks.row, slot]
    if role == "effector":
        return np.zeros(t.owner.shape, np.float32)
    if role == "target":
        thick = np.minimum(looks.size**-1.4, 1.9)  # the same dye on a smaller area
        shown = look_up(amp * looks.marker * thick)[t.owner]
        return shown * t.height * (1 + np.float32(0.13) * t.cloud + np.float32(0.08) * t.grain)
    if role == "nuclei":
        packed = look_up(amp * (1 + 0.7 * looks.condensed))[t.owner] * t.nucleus
        chromatin = np.float32(0.15 * stain.chromatin), np.float32(0.12 * stain.chromatin)
        packed = packed * np.maximum(1 + chromatin[0] * t.cloud + chromatin[1] * t.grain, 0)
        if stain.nucleoli:
            packed = packed * (
                1 - np.float32(stain.nucleoli) * np.clip((t.cloud - np.float32(0.9)) * 2, 0, 1)
            )
        return packed
    # the death dye: nearly dark in the living, nucleus and body bright in the dead
    body = np.float32(0.3)
    inside = body * t.height + (1 - body) * t.nucleus * (1 + np.float32(0.15) * t.grain)
    dead: Pixels = look_up(amp * (looks.dye + 0.006))[t.owner] * inside
    return dead


def _effector_dye(scene: Scene, scenario: Scenario, role: ChannelRole, slot: int) -> Pixels:
    e, looks = scene.effectors, scene.effector_looks
    amp = scene.effector_cells.brightness[looks.row, slot]
    if role == "target":
        return np.zeros(e.owner.shape, np.float32)
    if role == "effector":
        rim = np.float32(0.55) + np.float32(0.45) * e.height
        return (
            look_up(amp * looks.marker)[e.owner]
            * np.minimum(e.depth * 6, 1)
            * rim
            * (1 + np.float32(0.16) * e.cloud + np.float32(0.12) * e.grain)
        )
    if role == "nuclei":
        return look_up(scenario.hardships.stain.effector_nuclei * amp)[e.owner] * e.nucleus
    body = np.float32(0.3)
    inside = body * e.height + (1 - body) * e.nucleus * (1 + np.float32(0.15) * e.grain)
    dead: Pixels = look_up(0.8 * amp * (looks.dye + 0.006))[e.owner] * inside
    return dead


def _fluorescence(
    dyes: dict[ChannelRole, Pixels], deep: Pixels, scenario: Scenario, role: ChannelRole, frame: int
) -> Floats:
    optics = scenario.optics
    shown = {name for name, _ in scenario.channels}
    light = dyes[role].astype(np.float64)
    for (source, into), share in optics.bleed.items():
        if into == role and source in shown:
            scale = optics.signal_counts[source] / optics.signal_counts[role]
            light += share * scale * dyes[source]
    strength = optics.signal_counts[role] * (1 - optics.bleach_per_frame) ** frame
    light *= strength
    haze = blur_wide(light, optics.haze_um, scenario)
    if deep.size:
        soft = deep * strength
        sharp = blur(light - soft, optics.psf_um, scenario)
        sharp += blur_wide(soft, scenario.hardships.stain.deep_um, scenario)
    else:
        sharp = blur(light, optics.psf_um, scenario)
    image = (1 - optics.haze_share) * sharp + optics.haze_share * haze
    return (image + optics.background_counts[role]) * illumination(scenario, CHANNEL_ROLES.index(role))
