"""Laboratories for training: which cells, dyes, microscope and accidents one tile has.

Every trait has a probability of its own, so that no two go together more often than by chance.
"""

from dataclasses import replace

import numpy as np

from assay.labels import ChannelRole
from assay.simulate.hardships import CameraTraits, ClutterTraits, Hardships, LightTraits, StainTraits
from assay.simulate.scenario import Contrast, EffectorTraits, OpticsTraits, Scenario, TargetTraits

_NAMES: dict[ChannelRole, str] = {
    "effector": "CTDR",
    "target": "GFP",
    "nuclei": "Hoechst",
    "death": "PI",
    "brightfield": "Phase",
}
_DYES: tuple[ChannelRole, ...] = ("effector", "target", "nuclei", "death")


def random_scenario(rng: np.random.Generator, *, tile_um: float) -> Scenario:
    """Draw a laboratory: cells, dyes, microscope, accidents."""
    pixel = float(np.round(np.exp(rng.uniform(np.log(0.3), np.log(1.3))) * 100) / 100)
    if rng.random() < 0.3:
        pixel = 0.65
    n_px = max(32, round(tile_um / pixel))
    adherent = bool(rng.random() < 0.75)
    nuclear = bool(rng.random() < 0.2)
    contrast: Contrast = "phase" if rng.random() < 0.5 else "brightfield"
    camera = _random_camera(rng, pixel)
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
        optics=_random_optics(rng, contrast, overexposed=not camera.auto_exposure),
        hardships=_random_hardships(rng, contrast, camera),
    )


def _random_hardships(rng: np.random.Generator, contrast: Contrast, camera: CameraTraits) -> Hardships:
    """Two in five laboratories are tidy: a model that saw only trouble would draw worse outlines without."""
    if rng.random() < 0.4:
        return Hardships(camera=CameraTraits(auto_exposure=camera.auto_exposure))
    return Hardships(
        stain=_random_stain(rng),
        clutter=_random_clutter(rng),
        light=_random_light(rng, contrast),
        camera=camera,
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
    if rng.random() < 0.8 or not {"effector", body} <= set(kept):  # or somebody would be seen by nobody
        kept.append("brightfield")
    return tuple((role, _NAMES[role]) for role in kept)


def _random_targets(rng: np.random.Generator, adherent: bool) -> TargetTraits:
    crowd = float(rng.choice([0.06, 0.2, 0.5, 1.0, 1.7], p=[0.03, 0.07, 0.26, 0.38, 0.26]))
    if rng.random() < 0.02:
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
            nucleus_radius_um=float(rng.uniform(4.0, 6.0)),
            rounded_size=0.96,
        )
    large = bool(rng.random() < 0.25)
    radius = float(rng.uniform(14.0, 19.0) if large else rng.uniform(9.0, 15.0))
    spindly = bool(rng.random() < 0.2)
    return TargetTraits(
        density_per_mm2=min(1150 * crowd * (11.5 / radius) ** 2, 2600),
        radius_um=radius,
        radius_cv=float(rng.uniform(0.08, 0.3)),
        irregularity=float(rng.uniform(1.0, 2.2) if spindly else rng.uniform(0.3, 1.4)),
        elongation_sd=float(rng.uniform(0.4, 0.8) if spindly else rng.uniform(0.08, 0.4)),
        nucleus_radius_um=float(rng.uniform(0.4, 0.62) * min(radius, 14.0)),
        rounded_size=float(rng.uniform(0.62, 0.8) * min(1.0, 14.0 / radius)),
    )


def _random_effectors(rng: np.random.Generator, adherent: bool) -> EffectorTraits:
    ratio = float(rng.choice([0.0, 0.3, 1.0, 2.5, 5.0], p=[0.07, 0.25, 0.38, 0.22, 0.08]))
    return EffectorTraits(
        et_ratio=ratio,
        radius_um=float(rng.uniform(3.8, 6.2)),
        speed_um_per_min=float(rng.uniform(1, 8)),
        on_top=float(rng.choice([0.1, 0.4, 0.9])) if adherent else float(rng.choice([0.05, 0.2, 0.6])),
    )


def _random_optics(rng: np.random.Generator, contrast: Contrast, *, overexposed: bool) -> OpticsTraits:
    """Light in photons first, then in counts of the camera at hand."""
    base = OpticsTraits()
    max_counts = int(rng.choice([255, 4095, 16383, 65535], p=[0.14, 0.3, 0.28, 0.28]))
    full_well = float(np.exp(rng.uniform(np.log(4000), np.log(40000))))  # photons at the sensor's limit
    per_photon = max_counts / full_well
    photons = {role: float(np.exp(rng.uniform(np.log(50), np.log(1500)))) for role in _DYES}
    boost = float(rng.uniform(3, 8)) if overexposed else 1.0  # the dead and the brightest clip
    signal = {role: boost * max(many * per_photon, 0.03 * max_counts) for role, many in photons.items()}
    floor = {
        role: many * float(np.exp(rng.uniform(np.log(0.01), np.log(0.6)))) for role, many in signal.items()
    }
    enough = min(0.6, 1500 / full_well)  # photons, or the noise would hide the cells
    signal["brightfield"] = float(rng.uniform(enough if enough > 0.1 else 0.1, 0.6) * max_counts)
    bleed = {
        (source, into): min(float(share * rng.gamma(1.0, 1.5)), 0.3 * signal[into] / signal[source])
        for (source, into), share in base.bleed.items()
    }
    hazy = bool(rng.random() < 0.15)
    soft = bool(rng.random() < 0.12)
    return replace(
        base,
        psf_um=float(rng.uniform(1.0, 1.8) if soft else rng.uniform(0.3, 1.0)),
        haze_share=float(rng.uniform(0.35, 0.6) if hazy else rng.uniform(0.02, 0.35)),
        haze_um=float(rng.uniform(2.5, 9.0)),
        counts_per_photon=per_photon,
        offset_counts=float(rng.uniform(0, 0.03) * max_counts),
        read_noise_counts=float(rng.uniform(1, 4) * per_photon),
        max_counts=max_counts,
        signal_counts=signal,
        background_counts={**floor, "brightfield": 0.0},
        bleed=bleed,
        vignetting=float(rng.uniform(0, 0.4)),
        debris_per_mm2=float(rng.choice([0, 100, 400, 1500], p=[0.2, 0.4, 0.3, 0.1])),
        contrast=contrast,
    )


def _random_stain(rng: np.random.Generator) -> StainTraits:
    shared = bool(rng.random() < 0.65)  # effectors take the nuclear dye as well
    deep = bool(rng.random() < 0.35)
    return StainTraits(
        effector_nuclei=float(rng.uniform(0.3, 1.5) if shared else rng.uniform(0.0, 0.3)),
        chromatin=float(np.exp(rng.uniform(np.log(0.6), np.log(2.5)))),
        nucleoli=float(rng.uniform(0, 0.5)),
        plates=True,
        level_sd=float(rng.uniform(0, 0.55)),
        lost_share=float(rng.uniform(0, 0.6) if rng.random() < 0.5 else 0),
        deep_share=float(rng.uniform(0.05, 0.4) if deep else 0),
        deep_um=float(rng.uniform(0.9, 2.5)),
    )


def _random_clutter(rng: np.random.Generator) -> ClutterTraits:
    red = bool(rng.random() < 0.35)
    messy = bool(rng.random() < 0.45)
    return ClutterTraits(
        red_cells_per_mm2=float(np.exp(rng.uniform(np.log(80), np.log(7000))) if red else 0),
        red_cells_per_clump=float(np.exp(rng.uniform(0, np.log(40)))),
        red_cell_um=float(rng.uniform(2.4, 4.0)),
        red_cell_look=("ring", "dark", "bright")[int(rng.choice(3, p=[0.5, 0.25, 0.25]))],
        red_cell_strength=float(rng.uniform(0.12, 0.6)),
        red_cell_glow=float(rng.uniform(0.01, 0.12) if rng.random() < 0.3 else 0),
        fragments_per_mm2=float(np.exp(rng.uniform(np.log(60), np.log(1500))) if messy else 0),
        fragment_um=float(rng.uniform(0.7, 1.7)),
        fibres_per_mm2=float(rng.uniform(5, 40) if rng.random() < 0.12 else 0),
    )


def _random_light(rng: np.random.Generator, contrast: Contrast) -> LightTraits:
    phase = contrast == "phase"
    side = 1.0 if phase or rng.random() < 0.6 else -1.0
    flatness = float(np.exp(rng.uniform(np.log(0.25), np.log(1.1))))
    border = float(rng.uniform(0.3, 2.0) if rng.random() < 0.5 else 0)
    if flatness < (0.45 if phase else 0.6):  # else nobody could say where a cell ends
        border = float(rng.uniform(0.8, 1.6 if phase else 2.5))
    return LightTraits(
        gain=side * float(np.exp(rng.uniform(np.log(0.5 if phase else 0.9), np.log(1.6 if phase else 2.2)))),
        flatness=flatness,
        granularity=float(np.exp(rng.uniform(np.log(0.6), np.log(3.0 if phase else 6.0)))),
        dead_granularity=float(rng.uniform(0.15, 1)),
        border=border,
        halo=float(rng.uniform(0.2, 2.6)),
        rim=float(np.exp(rng.uniform(np.log(0.8), np.log(2.0)))),
        nucleus=float(rng.uniform(0, 0.8 if phase else 1.6)),
        defocus_um=float(rng.uniform(0.3, 1.1) if rng.random() < 0.25 else 0),
        mottle=float(rng.uniform(0.003, 0.02) if rng.random() < 0.6 else 0),
        slope=float(rng.uniform(0.05, 0.6) if rng.random() < 0.6 else 0),
        dust_per_mm2=float(np.exp(rng.uniform(np.log(20), np.log(500))) if rng.random() < 0.4 else 0),
    )


def _random_camera(rng: np.random.Generator, pixel_um: float) -> CameraTraits:
    alike = bool(rng.random() < 0.7)
    widest = 0.12 if alike else 0.025  # a strip that is black in some channels only still has its truth
    return CameraTraits(
        auto_exposure=bool(rng.random() < 0.97),
        shift_px=int(min(2, round(0.8 / pixel_um))) if rng.random() < 0.4 else 0,
        flat_field=float(rng.uniform(0.02, 0.25) if rng.random() < 0.5 else 0),
        hot_share=float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-3))) if rng.random() < 0.2 else 0),
        border_share=float(rng.uniform(0.01, widest) if rng.random() < 0.15 else 0),
        border_everywhere=alike,
    )
