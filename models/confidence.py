"""How likely a cell's outline is right, from what the maps say of it and of the cells beside it.

Knows the features of one role's cells in one frame. A few numbers per cell go through a logistic curve of second
order, which `training.calibrate` fits on frames that the network never learned from; so the result is a
probability on films like those, and no more than an order among cells elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from assay.errors import ModelError
from assay.labels import CHANNEL_ROLES, CellRole, ChannelRole
from models.decode import CellFeatures

NUMBERS = ("vote_miss", "foreground", "heat", "margin", "area", "relative_area", "neighbour", "edge")
"""What is looked at, in the order of a curve's weights; see `cell_numbers`."""
CURVES = ("effector", "effector without dye", "target", "target without dye")
_DYES: Mapping[CellRole, tuple[ChannelRole, ...]] = {
    "effector": ("effector",),
    "target": ("target", "nuclei"),
}
_FIRST, _SECOND = np.triu_indices(len(NUMBERS))
_TERMS = 1 + len(NUMBERS) + len(_FIRST)
_FARTHEST = 3.0  # standard deviations: beyond what was fitted the curve stays level
_CHANCES = (0.005, 0.995)
_DIGITS = 4  # processors differ in the last bits of an exponential


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """From the numbers of a cell to the probability that it is right."""

    centre: tuple[float, ...]  # of each number, over the cells it was fitted on
    spread: tuple[float, ...]
    weights: tuple[float, ...]  # constant, each number, each product of two

    def probability(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n, numbers) -> (n,) probabilities."""
        logit = np.zeros(len(numbers))
        for weight, term in zip(self.weights, curve_terms(numbers, self.centre, self.spread).T, strict=True):
            logit += weight * term  # one after the other: no library chooses the order of the sum
        return np.round(1 / (1 + np.exp(-logit)), _DIGITS).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What frames look like that the curve was fitted on."""

    least_area_um2: float  # of a frame's median cell
    most_area_um2: float
    most_stray: float  # share of the foreground that is in no cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """What a model knows of its own errors: for each entry of `CURVES` a curve and what is usual."""

    curves: Mapping[str, Curve]
    usual: Mapping[str, Usual]
    frames: int  # it was fitted on

    def scores(
        self,
        features: CellFeatures,
        *,
        role: CellRole,
        present: Sequence[bool],
        shape: tuple[int, int],
        pixel_um: tuple[float, float],
    ) -> NDArray[np.float32]:
        """(n,) probabilities that a cell matches a true one of its role at an intersection over union of 0.5.

        Args:
            features: All cells of the role in the frame: a cell's neighbours count.
            role: What the cells are.
            present: Which channels the frame has, one flag per entry of `CHANNEL_ROLES`.
            shape: Size (y, x) of the frame in pixels.
            pixel_um: Pixel size (y, x).
        """
        numbers = cell_numbers(features, shape=shape, pixel_um=pixel_um)
        return self.curves[curve_of(role, present)].probability(numbers)

    @property
    def identity(self) -> str:
        """Changes whenever a score may."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]

    def as_json(self) -> dict[str, Any]:
        """As it stands in a model's card."""
        content = asdict(self)
        return {"numbers": list(NUMBERS), **json.loads(json.dumps(content))}


def read_confidence(content: Any) -> Confidence:
    """The confidence of a card, checked.

    Raises:
        ModelError: Entries are missing, of the wrong number, or no numbers.
    """
    try:
        if tuple(content["numbers"]) != NUMBERS:
            raise ValueError(f"numbers {content['numbers']}")
        return Confidence(
            curves={name: _curve(content["curves"][name]) for name in CURVES},
            usual={name: _usual(content["usual"][name]) for name in CURVES},
            frames=int(content["frames"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the card's `confidence` cannot be used ({error!r}); expected curves {', '.join(CURVES)} over "
            f"{', '.join(NUMBERS)}. Calibrate the model again: killassay models calibrate."
        ) from None


def _curve(content: Mapping[str, Sequence[float]]) -> Curve:
    parts = {name: tuple(float(value) for value in content[name]) for name in ("centre", "spread", "weights")}
    lengths = tuple(len(values) for values in parts.values())
    if lengths != (len(NUMBERS), len(NUMBERS), _TERMS):
        raise ValueError(f"{lengths} values instead of {(len(NUMBERS), len(NUMBERS), _TERMS)}")
    if not all(np.isfinite(values).all() for values in parts.values()) or min(parts["spread"]) <= 0:
        raise ValueError("values that are no numbers, or a spread of 0")
    return Curve(**parts)


def _usual(content: Mapping[str, float]) -> Usual:
    usual = Usual(**{entry.name: float(content[entry.name]) for entry in fields(Usual)})
    if not 0 <= usual.least_area_um2 < usual.most_area_um2 < np.inf or not 0 <= usual.most_stray <= 1:
        raise ValueError(f"{usual}")
    return usual


def curve_of(role: CellRole, present: Sequence[bool]) -> str:
    """Which curve serves: cells whose dye is seen are another matter than those guessed from other channels."""
    shown = {channel for channel, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    return role if not shown.isdisjoint(_DYES[role]) else f"{role} without dye"


def cell_numbers(
    features: CellFeatures, *, shape: tuple[int, int], pixel_um: tuple[float, float]
) -> NDArray[np.float64]:
    """(n, numbers): what is looked at, made even.

    Beside the votes, probabilities and area of the cell: its area against the median of its kind in the frame (two
    cells taken for one, half a cell), how near the next cell's centre is in its own radii (one cell taken for
    two), and how near the edge of the frame (slivers).
    """
    area = np.maximum(features.area_um2.astype(np.float64), 1e-3)
    radius = np.sqrt(area / np.pi)
    columns = [
        np.log(0.2 + features.vote_miss_um),
        _logit(features.foreground),
        _logit(features.heat),
        features.class_margin,
        np.log(area),
        np.log(area / (np.median(area) if len(area) else 1.0)),
        np.log(0.3 + np.minimum(_nearest_um(features, pixel_um) / radius, 6.0)),
        np.log(0.3 + np.minimum(_edge_um(features, shape, pixel_um) / radius, 2.0)),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def curve_terms(
    numbers: NDArray[np.float64], centre: Sequence[float], spread: Sequence[float]
) -> NDArray[np.float64]:
    """(n, terms): 1, each number, and each product of two, in units of their spread."""
    even = np.clip((numbers - np.asarray(centre)) / np.asarray(spread), -_FARTHEST, _FARTHEST)
    return np.concatenate([np.ones((len(even), 1)), even, even[:, _FIRST] * even[:, _SECOND]], axis=1)


def _logit(chance: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = np.clip(chance.astype(np.float64), *_CHANCES)
    odds: NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def _nearest_um(features: CellFeatures, pixel_um: tuple[float, float]) -> NDArray[np.float64]:
    """(n,) from each seed to the nearest other; infinite for a lone cell."""
    if len(features) < 2:
        return np.full(len(features), np.inf)
    places = np.stack([features.seed_y * pixel_um[0], features.seed_x * pixel_um[1]], axis=1)
    distance, _ = KDTree(places).query(places, k=2)
    next_um: NDArray[np.float64] = distance[:, 1]
    return next_um


def _edge_um(
    features: CellFeatures, shape: tuple[int, int], pixel_um: tuple[float, float]
) -> NDArray[np.float64]:
    y, x = features.seed_y, features.seed_x
    down = (np.minimum(y, shape[0] - 1 - y) + 0.5) * pixel_um[0]
    across = (np.minimum(x, shape[1] - 1 - x) + 0.5) * pixel_um[1]
    nearest: NDArray[np.float64] = np.minimum(down, across)
    return nearest
