"""The levels of difficulty of the table benchmark. Lengths in um, times in minutes."""

from dataclasses import dataclass, replace
from typing import Literal

from assay.errors import ProtocolError

WellKind = Literal["sample", "mock", "target_only"]
WELL_KINDS: tuple[WellKind, ...] = ("sample", "mock", "target_only")

FILM_MIN = 480
PIXEL_UM = 0.65


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSettings:
    """What one level of the specification sets; the rest is common to all and stands in `world.py`."""

    n_targets: int = 250
    et_ratio: float = 1.0
    frame_min: int = 3
    hits_needed: int = 1
    heal_min: float = 30.0  # half-life of a sublethal hit
    hit_every_min: float = 18.0
    killer_share: float = 0.4
    spontaneous_per_h: float = 0.01
    speed_um_per_min: float = 6.0
    dye_rise: float = 8.0  # median, in units of the dye of a living cell
    dye_noise: float = 0.25  # sd of its logarithm
    bleed: float = 0.2
    drift: float = 0.1  # by how much the dye channel rises over the film
    missed: float = 0.02
    missed_bound: float = 0.06  # the same again for an effector that is bound
    false_cells: float = 0.01
    flipped: float = 0.005
    lysed: float = 0.08
    edge_um: float = 900.0

    @property
    def n_effectors(self) -> int:
        """Effectors in the field."""
        return round(self.n_targets * self.et_ratio)

    @property
    def n_frames(self) -> int:
        """Frames of the film."""
        return FILM_MIN // self.frame_min


_MEDIUM = LevelSettings()
LEVELS: dict[str, LevelSettings] = {
    "easy": LevelSettings(
        n_targets=150, et_ratio=0.5, frame_min=2, spontaneous_per_h=0.003, dye_noise=0.15, bleed=0.0, drift=0.0,
        missed=0.005, missed_bound=0.01, false_cells=0.002, flipped=0.0, lysed=0.0,
    ),
    "medium": _MEDIUM,
    "hard": LevelSettings(
        n_targets=300, et_ratio=3.0, frame_min=5, killer_share=0.2, spontaneous_per_h=0.02, speed_um_per_min=8.0,
        dye_rise=4.0, dye_noise=0.4, bleed=0.4, missed=0.05, missed_bound=0.15, false_cells=0.03, flipped=0.02,
        lysed=0.2,
    ),
    "additive": replace(_MEDIUM, et_ratio=2.0, hits_needed=3, heal_min=50.0, hit_every_min=12.0),
    "mock": replace(_MEDIUM, killer_share=0.0),
    "control": replace(_MEDIUM, et_ratio=0.0),
}  # fmt: skip
"""Settings of each level; "mock" and "control" are the control wells of the plate of "medium"."""

_ITSELF: dict[str, WellKind] = {"mock": "mock", "control": "target_only"}


def kind_of(level: str) -> WellKind:
    """Which well of its plate the level asks about."""
    return _ITSELF.get(level, "sample")


def settings_of(level: str, kind: WellKind) -> tuple[str, LevelSettings]:
    """Name and settings of one well of a level's plate.

    The plate has a sample, a mock and a target-only well that differ in their effectors alone. The plate of
    "mock" and of "control" is that of "medium".

    Raises:
        ProtocolError: There is no such level.
    """
    if level not in LEVELS:
        raise ProtocolError(f"level {level!r}: expected one of {', '.join(LEVELS)}.")
    base = "medium" if level in _ITSELF else level
    if kind == "sample":
        return base, LEVELS[base]
    if kind == "mock":
        return f"{base}/mock", replace(LEVELS[base], killer_share=0.0)
    return f"{base}/target_only", replace(LEVELS[base], et_ratio=0.0)
