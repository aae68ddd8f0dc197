"""The cells of a simulated film: what one looks like, fixed at birth, and where it stands in its life.

Arrays have one row per cell. Positions are (y, x) in um in a world without edges that is larger than the
field; times are minutes since frame 0, `inf` where something never happens.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.simulate.scenario import EffectorTraits, Scenario, TargetTraits

Floats = NDArray[np.float64]
MODES = np.arange(2, 8)
N_BUMPS = 4
NEVER = np.inf


@dataclass(slots=True)
class Cells:
    """All cells of one role that ever lived in the world; row + 1 is the cell's number."""

    # looks, fixed at birth
    radius_um: Floats
    shape_norm: Floats
    mode_amplitude: Floats  # (n, 6)
    mode_phase: Floats
    mode_rate: Floats  # radians per min
    bump_amplitude: Floats  # (n, 4)
    bump_angle: Floats
    bump_sharpness: Floats
    bump_phase: Floats
    bump_rate: Floats
    log_stretch: Floats
    nucleus_um: Floats
    nucleus_aspect: Floats
    nucleus_shift: Floats  # (n, 2) in um
    texture_at: NDArray[np.int64]  # (n, 2)
    brightness: Floats  # (n, 5), one per channel role
    rounded_size: Floats
    # life
    y_um: Floats
    x_um: Floats
    angle: Floats
    heading: Floats
    speed_um_per_min: Floats
    hits_per_min: Floats
    birth_min: Floats
    commit_min: Floats
    onset_min: Floats
    dye_rise_min: Floats
    dye_level: Floats
    death_size: Floats
    necrotic: NDArray[np.bool_]
    gone_min: Floats  # detached, vanished or divided
    mitosis_min: Floats  # begins
    mitosis_end_min: Floats
    parent: NDArray[np.int64]  # row of the parent, -1 without
    daughter_growth: Floats  # size at birth, in units of the grown radius
    # contact, effectors only
    bound_to: NDArray[np.int64]  # row of the target, -1 when free
    bound_since_min: Floats
    bound_until_min: Floats
    bound_angle: Floats
    bound_depth: Floats  # share of the effector's diameter over the target
    rest_until_min: Floats

    def __len__(self) -> int:
        return len(self.radius_um)

    def append(self, more: "Cells") -> None:
        """Add cells at the end."""
        for entry in fields(self):
            setattr(self, entry.name, np.concatenate([getattr(self, entry.name), getattr(more, entry.name)]))

    def present(self, time_min: float) -> NDArray[np.bool_]:
        """Cells that are born and not gone."""
        return (self.birth_min <= time_min) & (time_min < self.gone_min)

    def alive(self, time_min: float) -> NDArray[np.bool_]:
        """Cells into which no dye has entered."""
        return self.present(time_min) & (time_min < self.onset_min)


def make_targets(n: int, scenario: Scenario, rng: np.random.Generator, *, birth_min: float) -> Cells:
    """Draw targets: every one another outline, brightness and texture."""
    traits = scenario.targets
    irregular = traits.irregularity
    amplitude = rng.normal(0, 1, (n, 6)) * (0.16 / MODES**0.75) * (0.35 + irregular)
    n_bumps = rng.integers(0, N_BUMPS + 1, n)
    bumps = (
        rng.gamma(1.6, 0.34, (n, N_BUMPS)).clip(0, 1.7) * irregular * (np.arange(N_BUMPS) < n_bumps[:, None])
    )
    cells = _draw(n, scenario, rng, traits.radius_um, traits.radius_cv, amplitude, bumps, birth_min)
    cells.mode_rate = rng.normal(0, 0.012 if traits.adherent else 0.03, (n, 6))
    cells.bump_rate = rng.normal(0, 0.02, (n, N_BUMPS))
    cells.log_stretch = np.abs(rng.normal(0, traits.elongation_sd, n)).clip(0, 0.6)
    cells.nucleus_um = traits.nucleus_radius_um * np.exp(rng.normal(0, 0.11, n))
    cells.nucleus_um = np.minimum(cells.nucleus_um, 0.72 * cells.radius_um)
    cells.rounded_size = np.full(n, traits.rounded_size) * rng.uniform(0.94, 1.06, n)
    cells.speed_um_per_min = traits.speed_um_per_min * np.exp(rng.normal(0, 0.5, n))
    cells.hits_per_min = np.zeros(n)
    cells.shape_norm = _shape_norm(cells)
    return cells


def make_effectors(n: int, scenario: Scenario, rng: np.random.Generator, *, birth_min: float) -> Cells:
    """Draw effectors: half of them or more may never kill, some are strong."""
    traits = scenario.effectors
    amplitude = rng.normal(0, 1, (n, 6)) * (0.16 / MODES**1.3)
    bumps = np.zeros((n, N_BUMPS))
    bumps[:, 0] = rng.gamma(3.0, 0.13, n)  # the uropod, behind
    bumps[:, 1] = rng.gamma(2.0, 0.10, n)  # the leading lamella
    bumps[:, 2] = rng.gamma(1.0, 0.10, n)
    cells = _draw(n, scenario, rng, traits.radius_um, traits.radius_cv, amplitude, bumps, birth_min)
    cells.bump_angle[:, 0] = np.pi + rng.normal(0, 0.25, n)
    cells.bump_angle[:, 1] = rng.normal(0, 0.5, n)
    cells.bump_sharpness[:, 0] = rng.uniform(5, 12, n)
    cells.mode_rate = rng.normal(0, 0.12, (n, 6))
    cells.bump_rate = rng.normal(0, 0.1, (n, N_BUMPS))
    cells.log_stretch = rng.normal(0.13, 0.09, n).clip(-0.05, 0.35)
    cells.nucleus_um = 0.66 * cells.radius_um * np.exp(rng.normal(0, 0.06, n))
    cells.nucleus_shift *= 0.4
    cells.rounded_size = np.full(n, 0.9)
    cells.speed_um_per_min = traits.speed_um_per_min * np.exp(rng.normal(0, traits.speed_sigma, n))
    strong = rng.gamma(traits.hits_shape, 1 / traits.hits_shape, n) * traits.hits_per_h / 60
    cells.hits_per_min = np.where(rng.random(n) < traits.killer_fraction, strong, 0.0)
    cells.shape_norm = _shape_norm(cells)
    return cells


def _draw(
    n: int,
    scenario: Scenario,
    rng: np.random.Generator,
    radius_um: float,
    radius_cv: float,
    amplitude: Floats,
    bumps: Floats,
    birth_min: float,
) -> Cells:
    looks = _draw_looks(n, rng, radius_um, radius_cv)
    looks |= {"mode_amplitude": amplitude, "bump_amplitude": bumps}
    return Cells(**looks, **_draw_life(n, scenario, rng, birth_min))


def _draw_looks(n: int, rng: np.random.Generator, radius_um: float, radius_cv: float) -> dict[str, Any]:
    return {
        "radius_um": radius_um * np.exp(rng.normal(0, radius_cv, n).clip(-2.2 * radius_cv, 1.9 * radius_cv)),
        "shape_norm": np.ones(n),
        "mode_phase": rng.uniform(0, 2 * np.pi, (n, 6)),
        "mode_rate": np.zeros((n, 6)),
        "bump_angle": rng.uniform(0, 2 * np.pi, (n, N_BUMPS)),
        "bump_sharpness": np.exp(rng.uniform(np.log(5), np.log(40), (n, N_BUMPS))),
        "bump_phase": rng.uniform(0, 2 * np.pi, (n, N_BUMPS)),
        "bump_rate": np.zeros((n, N_BUMPS)),
        "log_stretch": np.zeros(n),
        "nucleus_um": np.ones(n),
        "nucleus_aspect": np.exp(np.abs(rng.normal(0, 0.14, n))),
        "nucleus_shift": rng.normal(0, 0.09, (n, 2)) * radius_um,
        "texture_at": rng.integers(0, 1 << 16, (n, 2)),
        "brightness": np.exp(rng.normal(0, 1, (n, 5)) * np.array([0.32, 0.38, 0.2, 0.3, 0.12])),
        "rounded_size": np.ones(n),
    }


def _draw_life(n: int, scenario: Scenario, rng: np.random.Generator, birth_min: float) -> dict[str, Any]:
    height, width = world_um(scenario)
    never = np.full(n, NEVER)
    return {
        "y_um": rng.uniform(0, height, n),
        "x_um": rng.uniform(0, width, n),
        "angle": rng.uniform(0, 2 * np.pi, n),
        "heading": rng.uniform(0, 2 * np.pi, n),
        "speed_um_per_min": np.zeros(n),
        "hits_per_min": np.zeros(n),
        "birth_min": np.full(n, birth_min),
        "commit_min": never.copy(),
        "onset_min": never.copy(),
        "dye_rise_min": rng.uniform(*scenario.kill.dye_rise_min, n),
        "dye_level": np.exp(rng.normal(0, 0.35, n)),
        "death_size": rng.uniform(0.72, 0.86, n),
        "necrotic": rng.random(n) < scenario.kill.necrotic_fraction,
        "gone_min": never.copy(),
        "mitosis_min": never.copy(),
        "mitosis_end_min": never.copy(),
        "parent": np.full(n, -1),
        "daughter_growth": np.ones(n),
        "bound_to": np.full(n, -1),
        "bound_since_min": never.copy(),
        "bound_until_min": never.copy(),
        "bound_angle": np.zeros(n),
        "bound_depth": np.zeros(n),
        "rest_until_min": np.full(n, -NEVER),
    }


def world_um(scenario: Scenario) -> tuple[float, float]:
    """Size of the world (y, x): the field and a margin on every side; what leaves on one side comes back."""
    return (
        scenario.shape_px[0] * scenario.pixel_um[0] + 2 * scenario.margin_um,
        scenario.shape_px[1] * scenario.pixel_um[1] + 2 * scenario.margin_um,
    )


def counts(scenario: Scenario, rng: np.random.Generator) -> tuple[int, int]:
    """How many targets and effectors are seeded into the world."""
    height, width = world_um(scenario)
    targets: TargetTraits = scenario.targets
    effectors: EffectorTraits = scenario.effectors
    expected = targets.density_per_mm2 * height * width / 1e6
    lone = height * width / 1e6 if targets.density_per_mm2 == 0 else expected
    return int(rng.poisson(expected)), int(rng.poisson(lone * effectors.et_ratio))


def _shape_norm(cells: Cells) -> Floats:
    """Root mean square radius of the outline at full irregularity, so that `radius_um` means the area."""
    theta = np.arange(64) * (2 * np.pi / 64)
    waves = np.cos(MODES[None, :, None] * theta + cells.mode_phase[:, :, None])
    radius = 1 + np.einsum("nk,nka->na", cells.mode_amplitude, waves, optimize=False)
    near = np.exp(cells.bump_sharpness[:, :, None] * (np.cos(theta - cells.bump_angle[:, :, None]) - 1))
    radius += np.einsum("nk,nka->na", 0.6 * cells.bump_amplitude, near, optimize=False)
    norm: Floats = np.sqrt(np.mean(np.maximum(radius, 0.35) ** 2, axis=1))
    return norm
