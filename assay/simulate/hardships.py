"""What makes real images harder than clean ones: stains, clutter, light and camera, all off by default.

Named scenarios have none of it; `laboratory.py` draws it for the training tiles. A default leaves every
pixel as it would be without the trait.
"""

from dataclasses import dataclass
from typing import Literal

RedCellLook = Literal["ring", "dark", "bright"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StainTraits:
    """How unevenly dyes take."""

    effector_nuclei: float = 0.12  # nuclear dye of an effector in units of a target's
    chromatin: float = 1.0  # texture of the nuclei, 1 is faint
    nucleoli: float = 0.0  # loss of light in them
    plates: bool = False  # chromosomes of dividing cells stand in a plate, then in two
    level_sd: float = 0.0  # of the logarithm of a cell's dye, beside what there is
    lost_share: float = 0.0  # of dead targets that have nearly lost the nuclear dye
    deep_share: float = 0.0  # of cells that lie out of focus
    deep_um: float = 0.0  # standard deviation of their blur


@dataclass(frozen=True, slots=True, kw_only=True)
class ClutterTraits:
    """What lies in a field and is no cell of the assay."""

    red_cells_per_mm2: float = 0.0
    red_cells_per_clump: float = 1.0
    red_cell_um: float = 3.2  # radius
    red_cell_look: RedCellLook = "ring"
    red_cell_strength: float = 0.3  # in transmitted light
    red_cell_glow: float = 0.0  # in the dyes, in units of a cell
    fragments_per_mm2: float = 0.0  # blebs, apoptotic bodies, cell-sized debris
    fragment_um: float = 1.5
    fibres_per_mm2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LightTraits:
    """Transmitted light as it is."""

    gain: float = 1.0  # of all contrast; below 0 on the other side of the focus
    flatness: float = 1.0  # height of spread targets
    granularity: float = 1.0  # of the cytoplasm
    dead_granularity: float = 1.0  # of the dead and dying beside it
    halo: float = 1.0  # phase contrast only
    rim: float = 1.0  # brightfield only
    nucleus: float = 0.0  # contrast of the edge of nuclei and of nucleoli
    border: float = 0.0  # ridge along the outline of targets, in um
    defocus_um: float = 0.0
    mottle: float = 0.0  # texture of the background
    slope: float = 0.0  # uneven illumination, from one side to the other
    dust_per_mm2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTraits:
    """What happens to the picture on its way into the file."""

    auto_exposure: bool = False  # light is turned down until hardly a pixel clips
    shift_px: int = 0  # channels are moved against each other by at most so much
    flat_field: float = 0.0  # slow error of the fluorescence illumination
    hot_share: float = 0.0  # of pixels
    border_share: float = 0.0  # greatest width of black strips, of the side
    border_everywhere: bool = True  # black in all channels alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardships:
    """All of it."""

    stain: StainTraits = StainTraits()
    clutter: ClutterTraits = ClutterTraits()
    light: LightTraits = LightTraits()
    camera: CameraTraits = CameraTraits()
