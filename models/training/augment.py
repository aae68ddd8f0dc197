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
from models.training.dataset import Tile, random_crop
from models.training.targets import border_weight, role_truth

ZOOM = (0.8, 1.25)
ALL_CHANNELS = 0.4  # share of crops that keep every channel
BRIGHTFIELD_ONLY = 0.3  # share of the others that lose all dyes, where there is transmitted light
DROP = 0.35  # chance of each further channel to be dropped
_EFFECTOR, _TARGET, _NUCLEI, _DEATH, _BRIGHTFIELD = range(len(CHANNEL_ROLES))
_DYES = (_EFFECTOR, _TARGET, _NUCLEI, _DEATH)

_Number = TypeVar("_Number", np.float32, np.int32)

Example = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Planes (2R, Y, X), truth (roles * 4, Y, X), weight (roles, Y, X)."""


def example(tile: Tile, *, side_px: int, generator: np.random.Generator) -> Example:
    """Draw one augmented training example of `side_px` pixels a side from a tile."""
    slots, labels = _placed(tile, side_px, generator)
    present = dropped_channels(tile.present, generator)
    slots = _brightness(slots, present, generator)
    slots[~present] = 0
    planes = np.concatenate([slots, np.broadcast_to(present[:, None, None], slots.shape)])
    truth, weight = truth_of(labels, present)
    return planes.astype(np.float32), truth, weight


def plain_example(tile: Tile) -> Example:
    """The tile as it is."""
    slots = tile.slots.astype(np.float32)
    planes = np.concatenate([slots, np.broadcast_to(tile.present[:, None, None], slots.shape)])
    labels: dict[CellRole, NDArray[np.int32]] = {
        "effector": tile.effectors.astype(np.int32),
        "target": tile.targets.astype(np.int32),
    }
    truth, weight = truth_of(labels, tile.present)
    return planes.astype(np.float32), truth, weight


def truth_of(
    labels: Mapping[CellRole, NDArray[np.int32]], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps and weights of all roles; a role that no channel shows has no cells to be learned."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    seen = [labels[role] * (not shown.isdisjoint(SEEN_BY[role])) for role in CELL_ROLES]
    truth = np.concatenate([role_truth(of_role) for of_role in seen])
    return truth, np.stack([border_weight(of_role) for of_role in seen])


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
    tile: Tile, side_px: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], dict[CellRole, NDArray[np.int32]]]:
    """Crop, zoom, turn and flip images and labels alike."""
    zoom = float(np.exp(generator.uniform(*np.log(ZOOM))))
    crop = random_crop(tile, side_px=max(8, round(side_px / zoom)), generator=generator)
    slots = _zoomed(crop.slots.astype(np.float32), side_px)
    labels: dict[CellRole, NDArray[np.int32]] = {
        "effector": _nearest(crop.effectors.astype(np.int32), side_px),
        "target": _nearest(crop.targets.astype(np.int32), side_px),
    }
    turns, flip = int(generator.integers(4)), bool(generator.integers(2))
    labels = {role: _turned(of_role, turns, flip) for role, of_role in labels.items()}
    return _turned(slots, turns, flip), labels


def _turned(image: NDArray[_Number], turns: int, flip: bool) -> NDArray[_Number]:
    turned = np.rot90(image, turns, axes=(-2, -1))
    placed: NDArray[_Number] = np.ascontiguousarray(turned[..., ::-1] if flip else turned)
    return placed


def _places(length: int, side_px: int) -> NDArray[np.float32]:
    places = (np.arange(side_px, dtype=np.float32) + 0.5) * (length / side_px) - 0.5
    inside: NDArray[np.float32] = np.clip(places, 0, length - 1)
    return inside


def _nearest(labels: NDArray[np.int32], side_px: int) -> NDArray[np.int32]:
    index = np.rint(_places(labels.shape[0], side_px)).astype(np.intp)
    return labels[index[:, None], index]


def _zoomed(slots: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Linear between the pixels, one axis after the other."""
    places = _places(slots.shape[1], side_px)
    low = places.astype(np.intp)
    high = np.minimum(low + 1, slots.shape[1] - 1)
    share = places - low
    rows = slots[:, low] * (1 - share[:, None]) + slots[:, high] * share[:, None]
    return rows[..., low] * (1 - share) + rows[..., high] * share  # type: ignore[no-any-return]


def _brightness(
    slots: NDArray[np.float32], present: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.float32]:
    """Other microscopes, dyes and exposures."""
    out = slots.copy()
    if generator.random() < 0.3:
        _bleed(out, present, generator)
    for slot in np.flatnonzero(present):
        image = out[slot]
        if generator.random() < 0.3:
            image = ndimage.gaussian_filter(image, generator.uniform(0.3, 1.5), mode="nearest", truncate=3)
        image = image * np.exp(generator.normal(0, 0.3))
        if slot == _BRIGHTFIELD and generator.random() < 0.15:
            image = -image  # beyond focus bright and dark change places
        elif slot != _BRIGHTFIELD and generator.random() < 0.3:
            image = np.sign(image) * np.abs(image) ** np.exp(generator.normal(0, 0.25))
        image = image + generator.normal(0, 0.04)
        if generator.random() < 0.3:
            image = image + _uneven(image.shape, generator) * generator.uniform(0.02, 0.15)
        noise = generator.standard_normal(image.shape, dtype=np.float32)
        out[slot] = image + noise * (0.1 * generator.random() ** 2)
    if generator.random() < 0.05:
        _black_border(out, generator)
    return out


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
