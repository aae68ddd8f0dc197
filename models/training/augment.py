"""One tile made into many: turned, zoomed, dimmed, blurred, noisy, and with channels missing.

What changes the place of things is done to images and label images alike, before the truth is computed from
the labels: so offsets turn with the image.
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.labels import CELL_ROLES, CHANNEL_ROLES, CellRole
from models.predictor import SEEN_BY
from models.training.dataset import TrainingFrame, random_crop
from models.training.targets import border_weight, role_truth

ZOOM = (0.8, 1.25)
ALL_CHANNELS = 0.3  # share of crops that keep every channel
BRIGHTFIELD_ONLY = 0.45  # share of the others that lose all dyes, where there is transmitted light
DROP = 0.35  # chance of each further channel to be dropped
_EFFECTOR, _TARGET, _NUCLEI, _DEATH, _BRIGHTFIELD = range(len(CHANNEL_ROLES))
_DYES = (_EFFECTOR, _TARGET, _NUCLEI, _DEATH)

_Number = TypeVar("_Number", np.float32, np.int32, np.bool_)

Example = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Planes (2R, Y, X), truth (roles * 4, Y, X), weight (roles, Y, X)."""


def example(tile: TrainingFrame, *, side_px: int, generator: np.random.Generator) -> Example:
    """Draw one augmented training example of `side_px` pixels a side from a tile."""
    present = dropped_channels(tile.present, generator)
    shown, labels, known = _placed(tile, present, side_px, generator)
    planes = np.zeros((2 * len(present), side_px, side_px), dtype=np.float32)
    planes[: len(present)][present] = shown
    _disturb(planes[: len(present)], present, generator)
    planes[len(present) :][present] = 1
    truth, weight = truth_of(labels, present)
    return planes, truth, weight if known is None else weight * known


def truth_of(
    labels: Mapping[CellRole, NDArray[np.int32]], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps and weights of all roles; of a role that no channel shows nothing is learned."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    visible = {role: not shown.isdisjoint(SEEN_BY[role]) for role in CELL_ROLES}
    truth = np.concatenate([role_truth(labels[role] * visible[role]) for role in CELL_ROLES])
    return truth, np.stack([border_weight(labels[role]) * np.float32(visible[role]) for role in CELL_ROLES])


def dropped_channels(present: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which channels this example keeps, so that one model serves any channel set.

    The outline of a target is that of its dye where there is one, else of its nucleus, else what
    transmitted light shows. So a target dye goes together with the nuclei, and nuclei without a target dye
    stay: else one image would have two truths.
    """
    kept = present.copy()
    if generator.random() < ALL_CHANNELS:
        return kept
    nuclear_outlines = bool(present[_NUCLEI] and not present[_TARGET])
    if present[_BRIGHTFIELD] and not nuclear_outlines and generator.random() < BRIGHTFIELD_ONLY:
        kept[list(_DYES)] = False
        return kept
    kept &= generator.random(len(kept)) >= DROP
    if nuclear_outlines:
        kept[_NUCLEI] = True
    elif present[_TARGET] and not kept[_TARGET]:
        kept[_NUCLEI] = False
    if not kept[[_EFFECTOR, _TARGET, _NUCLEI, _BRIGHTFIELD]].any():
        return present.copy()
    return kept


def _placed(
    tile: TrainingFrame, present: NDArray[np.bool_], side_px: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], dict[CellRole, NDArray[np.int32]], NDArray[np.bool_] | None]:
    """Crop, zoom, turn and flip the present images, the labels and what is known of them alike."""
    zoom = float(np.exp(generator.uniform(*np.log(ZOOM))))
    crop = random_crop(tile, side_px=max(8, round(side_px / zoom)), generator=generator)
    turns, flip = int(generator.integers(4)), bool(generator.integers(2))
    labels: dict[CellRole, NDArray[np.int32]] = {
        role: _turned(_nearest(crop.of(role).astype(np.int32), side_px), turns, flip) for role in CELL_ROLES
    }
    known = None if crop.known is None else _turned(_nearest(crop.known, side_px), turns, flip)
    shown = _zoomed(crop.slots[present].astype(np.float32), side_px)
    return _turned(shown, turns, flip), labels, known


def _turned(image: NDArray[_Number], turns: int, flip: bool) -> NDArray[_Number]:
    turned = np.rot90(image, turns, axes=(-2, -1))
    placed: NDArray[_Number] = np.ascontiguousarray(turned[..., ::-1] if flip else turned)
    return placed


def _places(length: int, side_px: int) -> NDArray[np.float32]:
    places = (np.arange(side_px, dtype=np.float32) + 0.5) * (length / side_px) - 0.5
    inside: NDArray[np.float32] = np.clip(places, 0, length - 1)
    return inside


def _nearest(labels: NDArray[_Number], side_px: int) -> NDArray[_Number]:
    index = np.rint(_places(labels.shape[-1], side_px)).astype(np.intp)
    return labels[..., index[:, None], index]


def _zoomed(slots: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Linear between the pixels, one axis after the other."""
    places = _places(slots.shape[1], side_px)
    low = places.astype(np.intp)
    high = np.minimum(low + 1, slots.shape[1] - 1)
    share = places - low.astype(np.float32)
    rows = slots[:, low] * (1 - share[:, None]) + slots[:, high] * share[:, None]
    zoomed = rows[..., low] * (1 - share) + rows[..., high] * share
    return zoomed.astype(np.float32, copy=False)


def _disturb(slots: NDArray[np.float32], present: NDArray[np.bool_], generator: np.random.Generator) -> None:
    """Other microscopes, dyes and exposures, in place."""
    if generator.random() < 0.3:
        _bleed(slots, present, generator)
    for slot in np.flatnonzero(present):
        slots[slot] = (_transmitted if slot == _BRIGHTFIELD else _dye)(slots[slot], generator)
    if generator.random() < 0.05:
        _black_border(slots, generator)
    slots[~present] = 0


def _dye(image: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    if generator.random() < 0.3:
        image = ndimage.gaussian_filter(image, generator.uniform(0.3, 1.5), mode="nearest", truncate=3)
    image = image * np.float32(np.exp(generator.normal(0, 0.3)))
    if generator.random() < 0.3:
        image = np.sign(image) * np.abs(image) ** np.float32(np.exp(generator.normal(0, 0.25)))
    return _disturbed(image, generator, shift=0.04, uneven=0.15, noise=0.1)


def _transmitted(image: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Gently: flat cells differ from the ground by a few hundredths only."""
    if generator.random() < 0.2:
        image = ndimage.gaussian_filter(image, generator.uniform(0.3, 1.0), mode="nearest", truncate=3)
    image = image * np.float32(np.exp(generator.normal(0, 0.3)))
    if generator.random() < 0.05:
        image = -image  # beyond focus bright and dark change places
    return _disturbed(image, generator, shift=0.02, uneven=0.06, noise=0.03)


def _disturbed(
    image: NDArray[np.float32], generator: np.random.Generator, *, shift: float, uneven: float, noise: float
) -> NDArray[np.float32]:
    image = image + np.float32(generator.normal(0, shift))
    if generator.random() < 0.3:
        image += _uneven(image.shape, generator) * np.float32(generator.uniform(0.1, 1.0) * uneven)
    grain = generator.standard_normal(image.shape, dtype=np.float32)
    image += grain * np.float32(noise * generator.random() ** 2)
    return image


def _bleed(slots: NDArray[np.float32], present: NDArray[np.bool_], generator: np.random.Generator) -> None:
    dyes = [slot for slot in _DYES if present[slot]]
    if len(dyes) > 1:
        source, into = generator.choice(dyes, size=2, replace=False)
        slots[into] += slots[source] * generator.uniform(0.02, 0.2)


def _uneven(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    wave_y, wave_x, phase = generator.uniform(-1.5, 1.5, 3)
    wave: NDArray[np.float64] = np.cos(2 * np.pi * (wave_y * y / shape[0] + wave_x * x / shape[1] + phase))
    return wave.astype(np.float32)


def _black_border(slots: NDArray[np.float32], generator: np.random.Generator) -> None:
    # registration leaves such borders; cells under it keep their truth only where they reach out of it
    width = int(generator.integers(2, 12))
    side = int(generator.integers(4))
    part = (np.s_[:, :width], np.s_[:, -width:], np.s_[..., :width], np.s_[..., -width:])[side]
    slots[part] = -0.3
