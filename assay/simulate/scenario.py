"""What is filmed: cells, how they behave, and the microscope, with a unit in every name.

Named scenarios are in `SCENARIOS`; `scenario_named` finds one. The numbers and their sources stand in
`docs/simulator.md`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from assay.errors import ProtocolError
from assay.labels import ChannelRole
from assay.simulate.hardships import Hardships
from assay.units import Calibration

Contrast = Literal["phase", "brightfield"]
BadFrame = Literal["black", "out_of_focus", "overexposed"]
WellKind = Literal["sample", "mock", "target_only", "effector_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTraits:
    """What the target cells are like."""

    density_per_mm2: float = 1150.0
    adherent: bool = True
    radius_um: float = 11.5  # of the disc of the same area, spread
    radius_cv: float = 0.16
    irregularity: float = 1.0  # 0 discs, 1 spread cells with lamellae and processes
    elongation_sd: float = 0.22  # of log(length / width) / 2
    speed_um_per_min: float = 0.12
    nucleus_radius_um: float = 5.0
    spontaneous_death_per_h: float = 0.003
    dead_at_start: float = 0.015
    doubling_h: float = 26.0
    mitosis_min: tuple[float, float] = (40.0, 90.0)
    rounded_size: float = 0.72  # radius when rounded, for mitosis and death, in units of the spread radius
    detach_fraction: float = 0.25  # of the dead that float away later


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorTraits:
    """What the effectors are like."""

    et_ratio: float = 1.0
    radius_um: float = 5.3
    radius_cv: float = 0.09
    speed_um_per_min: float = 4.0  # median over cells
    speed_sigma: float = 0.5  # of its logarithm
    persistence_min: float = 4.0
    bind_per_min: float = 0.09
    dwell_median_min: float = 13.0
    dwell_sigma: float = 0.8
    rest_min: float = 18.0  # after letting go
    on_top: float = 0.35  # mean share of the effector's diameter that lies over the target's mask
    on_top_sd: float = 0.25
    killer_fraction: float = 0.4
    hits_per_h: float = 3.0  # mean over killers, while in contact
    hits_shape: float = 1.2  # gamma shape over killers: small is a few strong ones
    death_per_h: float = 0.004
    dead_at_start: float = 0.01
    doubling_h: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KillTraits:
    """How hits become death."""

    hits_to_kill: float = 3.0
    recovery_half_life_min: float = 60.0
    latency_min: float = 4.0  # in contact before the first hit can fall
    refractory_min: float = 20.0  # of an effector after a lethal hit
    lag_median_min: float = 28.0  # from the lethal hit to the dye
    lag_sigma: float = 0.5
    dye_rise_min: tuple[float, float] = (5.0, 15.0)
    necrotic_fraction: float = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticsTraits:
    """Microscope and camera. Counts are what the camera writes."""

    psf_um: float = 0.45  # standard deviation of the sharp part
    haze_share: float = 0.16  # light from out of focus
    haze_um: float = 5.0
    counts_per_photon: float = 2.2
    offset_counts: float = 160.0
    read_noise_counts: float = 5.0
    max_counts: int = 16383
    signal_counts: Mapping[ChannelRole, float] = field(
        default_factory=lambda: {
            "effector": 900.0,
            "target": 700.0,
            "nuclei": 1500.0,
            "death": 1300.0,
            "brightfield": 6500.0,
        }
    )
    background_counts: Mapping[ChannelRole, float] = field(
        default_factory=lambda: {
            "effector": 60.0,
            "target": 90.0,
            "nuclei": 60.0,
            "death": 40.0,
            "brightfield": 0.0,
        }
    )
    bleed: Mapping[tuple[ChannelRole, ChannelRole], float] = field(
        default_factory=lambda: {
            ("target", "effector"): 0.03,
            ("death", "effector"): 0.05,
            ("target", "death"): 0.03,
            ("nuclei", "target"): 0.03,
        }
    )
    vignetting: float = 0.18  # loss of light in the corners
    bleach_per_frame: float = 0.0006
    drift_um_per_h: float = 0.6
    jitter_um: float = 0.12
    debris_per_mm2: float = 120.0
    contrast: Contrast = "phase"
    bad_frames: tuple[tuple[int, BadFrame], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of film."""

    name: str
    summary: str
    channels: tuple[tuple[ChannelRole, str], ...] = (
        ("effector", "CTDR"),
        ("target", "GFP"),
        ("death", "PI"),
        ("brightfield", "Phase"),
    )
    shape_px: tuple[int, int] = (512, 512)
    pixel_um: tuple[float, float] = (0.65, 0.65)
    frame_min: float = 4.0
    n_frames: int = 120
    step_min: float = 1.0  # of the behaviour, finer than the film
    margin_um: float = 45.0  # of world around the field, so that cells enter and leave
    target_mask: Literal["cell", "nucleus"] = "cell"
    targets: TargetTraits = TargetTraits()
    effectors: EffectorTraits = EffectorTraits()
    kill: KillTraits = KillTraits()
    optics: OpticsTraits = OpticsTraits()
    hardships: Hardships = field(default_factory=Hardships)

    @property
    def calibration(self) -> Calibration:
        """Pixel size and frame interval."""
        return Calibration(pixel_um=self.pixel_um, frame_min=self.frame_min)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order of C."""
        return tuple(name for _, name in self.channels)

    @property
    def roles(self) -> dict[ChannelRole, str]:
        """Role -> channel name, as the protocol's [channels] has it."""
        return dict(self.channels)


def for_kind(scenario: Scenario, kind: WellKind) -> Scenario:
    """The same film in a control well: mock effectors never kill, target-only wells have none."""
    if kind == "mock":
        return replace(
            scenario, effectors=replace(scenario.effectors, killer_fraction=0.0, bind_per_min=0.08)
        )
    if kind == "target_only":
        return replace(scenario, effectors=replace(scenario.effectors, et_ratio=0.0))
    if kind == "effector_only":
        lone = scenario.effectors.et_ratio * scenario.targets.density_per_mm2
        targets = replace(scenario.targets, density_per_mm2=0.0)
        return replace(scenario, targets=targets, effectors=replace(scenario.effectors, et_ratio=lone))
    return scenario


_STANDARD = Scenario(
    name="adherent_standard",
    summary="adherent targets and motile effectors, 0.65 um per pixel, 4 min a frame: the standard scenario",
)

_SUSPENSION = replace(
    _STANDARD,
    name="suspension",
    summary="round targets in suspension that settle side by side",
    channels=(("effector", "CellTrace Far Red"), ("target", "CFSE"), ("death", "PI"), ("brightfield", "BF")),
    targets=TargetTraits(
        density_per_mm2=1500.0,
        adherent=False,
        radius_um=6.9,
        radius_cv=0.12,
        irregularity=0.28,
        elongation_sd=0.06,
        speed_um_per_min=0.45,
        nucleus_radius_um=4.6,
        rounded_size=0.96,
        doubling_h=22.0,
        mitosis_min=(30.0, 60.0),
        detach_fraction=0.1,
    ),
    effectors=EffectorTraits(on_top=0.08, on_top_sd=0.1, radius_um=4.9, hits_per_h=0.9),
    kill=KillTraits(hits_to_kill=1.0, lag_median_min=22.0, lag_sigma=0.6),
    optics=OpticsTraits(contrast="brightfield"),
)

_SAMPLE = replace(
    _STANDARD,
    name="sample",
    summary="the shipped sample plate: small, 1.24 um per pixel as of a 10x objective, quick killers",
    channels=(("effector", "CTDR"), ("target", "GFP"), ("death", "PI")),
    shape_px=(152, 164),
    pixel_um=(1.24, 1.24),
    frame_min=6.0,
    n_frames=40,
    targets=TargetTraits(spontaneous_death_per_h=0.005),
    effectors=EffectorTraits(hits_per_h=2.0, killer_fraction=0.5, bind_per_min=0.12),
    kill=KillTraits(hits_to_kill=2.0, lag_median_min=20.0),
    optics=OpticsTraits(  # few counts, as of an 8-bit export: the plate is shipped, so it must compress
        counts_per_photon=0.05,
        read_noise_counts=0.3,
        offset_counts=12.0,
        max_counts=255,
        signal_counts={"effector": 100.0, "target": 80.0, "nuclei": 0.0, "death": 130.0, "brightfield": 0.0},
        background_counts={"effector": 3.0, "target": 4.0, "nuclei": 0.0, "death": 2.5, "brightfield": 0.0},
    ),
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _STANDARD,
        _SUSPENSION,
        replace(
            _STANDARD,
            name="et5",
            summary="five effectors per target",
            targets=replace(_STANDARD.targets, density_per_mm2=550.0),
            effectors=replace(_STANDARD.effectors, et_ratio=5.0),
        ),
        replace(
            _STANDARD,
            name="overlap",
            summary="effectors sit on top of the targets",
            effectors=replace(_STANDARD.effectors, on_top=0.95, on_top_sd=0.3, bind_per_min=0.3),
        ),
        replace(
            _STANDARD,
            name="brightfield",
            summary="no dye but the death dye",
            channels=(("death", "PI"), ("brightfield", "Phase")),
        ),
        replace(
            _STANDARD,
            name="nuclei",
            summary="targets show only their nuclei, effectors their dye",
            channels=(("nuclei", "Hoechst"), ("effector", "CFSE"), ("death", "PI"), ("brightfield", "BF")),
            target_mask="nucleus",
            optics=replace(_STANDARD.optics, contrast="brightfield"),
        ),
        replace(
            _STANDARD,
            name="late_death",
            summary="the death dye enters hours after the lethal hit",
            kill=replace(_STANDARD.kill, lag_median_min=140.0, lag_sigma=0.4),
        ),
        replace(
            _STANDARD,
            name="mock",
            summary="effectors that touch and never kill",
            effectors=for_kind(_STANDARD, "mock").effectors,
        ),
        replace(
            _STANDARD,
            name="faults",
            summary="the standard scenario with a black, a blurred and an overexposed frame",
            optics=replace(
                _STANDARD.optics,
                bad_frames=((9, "black"), (17, "out_of_focus"), (26, "overexposed")),
            ),
        ),
        _SAMPLE,
    )
}


def scenario_named(name: str) -> Scenario:
    """Find a scenario.

    Raises:
        ProtocolError: There is none of that name; the nearest one is suggested.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = difflib.get_close_matches(name, list(SCENARIOS), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ProtocolError(f"scenario {name!r} is not known. Known are {', '.join(SCENARIOS)}.{hint}")
