"""Confidence made honest: curves fitted to how often cells are right, on frames the network never learned from.

Each frame is looked at with all its channels and again with some left out, as in training, so that the confidence
holds for any channel set. A cell is right where it matches a true one of its role.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellRole
from models.confidence import CURVES, Confidence, Curve, cell_numbers, curve_of, curve_terms
from models.doubts import LEAST_CELLS, FoundCells, usual_of
from models.predictor import Predictor
from models.training.augment import dropped_channels
from models.training.dataset import TrainingFrame
from models.training.evaluate import overlaps_of
from models.weights import ModelCard, load_model, read_card, write_card

RIGHT_IOU = 0.5
_LEAST = 30  # cells that are right, and cells that are wrong, for a curve to mean anything
_RIDGE = 1e-3  # per cell; keeps weights small where numbers say the same
_STEPS, _STILL = 50, 1e-8
_SEED = 9_000_000  # of the channels that are left out
_FEWER = 2  # times that channels are left out of a frame, if others each time


@dataclass(slots=True)
class Observed:
    """The cells of one curve: what the maps said and whether they were right; and of each frame what is usual."""

    numbers: list[NDArray[np.float64]] = field(default_factory=list)
    right: list[NDArray[np.bool_]] = field(default_factory=list)
    areas_um2: list[float] = field(default_factory=list)  # median of the right cells
    strays: list[float] = field(default_factory=list)

    @property
    def n_right(self) -> int:
        """Cells that were right."""
        return sum(int(part.sum()) for part in self.right)

    @property
    def n_wrong(self) -> int:
        """Cells that were wrong."""
        return sum(len(part) for part in self.right) - self.n_right


def calibrated(
    card_path: Path, frames: Iterable[TrainingFrame], *, log: Callable[[str], None], device: str = "auto"
) -> ModelCard:
    """Fit a model's confidence, and what is usual for it, and write them into its card.

    A model that finds too few cells, or is hardly ever wrong, gets a card without: its scores are then no
    probabilities, and no frame is told from those it was trained on.

    Args:
        card_path: The model's card; its weights lie beside it and do not change.
        frames: At the model's pixel size, none of them trained on; 300 are enough.
        log: Is told how it goes, a line at a time.
        device: Where the network runs.

    Raises:
        ModelError: The model cannot be loaded.
    """
    card = read_card(card_path)
    observed, n_frames = observe(
        load_model(card_path, device=device), frames, pixel_um=(card.pixel_um, card.pixel_um)
    )
    curves, usual = {}, {}
    for name, of_curve in observed.items():
        counts = f"{of_curve.n_right} right and {of_curve.n_wrong} wrong cells of {name!r}"
        if min(of_curve.n_right, of_curve.n_wrong) < _LEAST or not of_curve.areas_um2:
            log(f"not calibrated: {counts}, expected at least {_LEAST} of each")
            continue
        curves[name] = fit_curve(np.concatenate(of_curve.numbers), np.concatenate(of_curve.right))
        usual[name] = usual_of(of_curve.areas_um2, of_curve.strays)
        log(f"calibrated by {counts}")
    confidence = None
    if len(curves) == len(CURVES):
        confidence = Confidence(curves=curves, usual=usual, frames=n_frames)
    card = replace(card, confidence=confidence)
    write_card(card_path, card)
    return card


def observe(
    model: Predictor, frames: Iterable[TrainingFrame], *, pixel_um: tuple[float, float]
) -> tuple[dict[str, Observed], int]:
    """Look at every frame with all its channels and, twice, with some left out.

    Returns:
        What was seen, per curve, and how many frames there were.
    """
    observed = {name: Observed() for name in CURVES}
    n_frames = 0
    for frame in frames:
        generator = np.random.default_rng([_SEED, n_frames])
        n_frames += 1
        sets = [frame.present, *(dropped_channels(frame.present, generator) for _ in range(_FEWER))]
        for present in np.unique(sets, axis=0):
            found = model.found(
                np.asarray(frame.slots, dtype=np.float32), present=present.tolist(), pixel_um=pixel_um
            )
            for role, of_role in found.items():
                _note(observed[curve_of(role, present.tolist())], of_role, frame, role, pixel_um)
    return observed, n_frames


def _note(
    observed: Observed,
    found: FoundCells,
    frame: TrainingFrame,
    role: CellRole,
    pixel_um: tuple[float, float],
) -> None:
    labels, features = found.cells.labels, found.cells.features
    right = right_cells(labels, frame.of(role))
    shape = (labels.shape[0], labels.shape[1])
    counted = _known_cells(labels, frame, role)
    observed.numbers.append(cell_numbers(features, shape=shape, pixel_um=pixel_um)[counted])
    observed.right.append(right[counted])
    if (right & counted).sum() >= LEAST_CELLS:
        observed.areas_um2.append(float(np.median(features.area_um2[right & counted])))
        observed.strays.append(found.stray)


def right_cells(
    labels: NDArray[np.int32], truth: NDArray[np.integer], *, least_iou: float = RIGHT_IOU
) -> NDArray[np.bool_]:
    """(n,) whether label i + 1 matches a true cell; labels have no holes."""
    overlaps = overlaps_of(labels, truth)
    right = np.zeros(int(labels.max(initial=0)), dtype=bool)
    right[overlaps.called[overlaps.matched(least_iou=least_iou)] - 1] = True
    return right


def _known_cells(labels: NDArray[np.int32], frame: TrainingFrame, role: CellRole) -> NDArray[np.bool_]:
    """(n,) whether a cell lies for at least half where the truth is known."""
    size = np.bincount(labels.ravel(), minlength=1)[1:]
    if frame.known is None:
        return np.ones(len(size), dtype=bool)
    known = frame.known[CELL_ROLES.index(role)]
    inside = np.bincount(labels[known], minlength=len(size) + 1)[1:]
    return 2 * inside >= size


def fit_curve(numbers: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
    """Logistic regression with a small ridge, by Newton's method."""
    centre, spread = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-6)
    terms = curve_terms(numbers, centre.tolist(), spread.tolist())
    ridge = np.full(terms.shape[1], _RIDGE * len(terms))
    ridge[0] = 0.0
    weights = np.zeros(terms.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(terms @ weights, -50, 50)))
        slope = terms.T @ (chance - right) + ridge * weights
        bend = (terms * (chance * (1 - chance))[:, None]).T @ terms + np.diag(ridge)
        bend[0, 0] += 1e-9
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < _STILL:
            break
    return Curve(
        centre=_rounded(centre),
        spread=_rounded(spread),
        weights=_rounded(weights),
    )


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Six significant digits: what stands in the card is what is used."""
    return tuple(float(f"{value:.6g}") for value in values)
