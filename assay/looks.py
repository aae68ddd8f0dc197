"""How constant cells look, and how much they differ: measured from links, asked by the linker.

Knows features (logarithms, each frame's median taken off) of linked detections. A cell's feature wanders slowly and is
seen with noise; at times it is odd (the cell lies on another, rounds up, is badly outlined). What two cells differ by
is measured between cells of one frame.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellMeasures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_CHANGES = 30  # to measure anything from
MOST_CHANGES = 10_000  # beyond, every n-th is asked
SMALLEST = 1e-3
LAG = 4  # links over which slow wandering is told from noise
ODD_SHARES = (0.01, 0.3)
FIT_ROUNDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LooksModel:
    """One entry per feature; variances. `use` is 0 for a feature that is left out."""

    noise: Floats  # of one detection
    walk: Floats  # per frame
    odd_share: Floats
    odd: Floats  # of the change to or from an odd detection
    far_share: Floats
    far: Floats  # between two cells, the wide part
    near: Floats  # between two cells, the narrow part
    use: Floats

    def table(self) -> Floats:
        """(F, 8), as the compiled loops read it."""
        columns = (
            self.noise,
            self.walk,
            self.odd_share,
            self.odd,
            self.far_share,
            self.far,
            self.near,
            self.use,
        )
        return np.ascontiguousarray(np.stack(columns, axis=1))

    @property
    def gain(self) -> Floats:
        """How much the newest detection counts in a long track's average: best for this noise and wandering."""
        spread = (self.walk + np.sqrt(self.walk**2 + 4 * self.walk * self.noise)) / 2
        gain: Floats = np.clip((spread + 1e-12) / (spread + self.noise + 1e-12), 0.05, 1.0)
        return gain


def features_of(
    measures: CellMeasures, order: Ints, channels: Collection[str] | None
) -> tuple[Floats, tuple[tuple[int, int], ...]]:
    """Log area, eccentricity and log means of each channel, each frame's median taken off: light may flicker.

    A channel is there twice, over the whole mask and over what no cell of the other role covers: which of these
    twins tells cells apart better depends on whose dye it is.
    """
    columns = [np.log(np.maximum(measures.area_um2, 1e-3)), measures.eccentricity]
    twins = []
    for name, mean in measures.means.items():
        if channels is not None and name not in channels:
            continue
        own = measures.own_means[name]
        twins.append((len(columns), len(columns) + 1))
        columns += [np.log(np.maximum(v, 1e-3)) for v in (mean, np.where(np.isfinite(own), own, mean))]
    features = np.stack(columns, axis=1)[order]
    frame = measures.frame[order]
    bounds = np.flatnonzero(np.diff(frame, prepend=-1, append=np.iinfo(np.int32).max))
    for start, end in itertools.pairwise(bounds.tolist()):
        features[start:end] -= np.median(features[start:end], axis=0)
    return features, tuple(twins)


def first_looks(frame: Ints, features: Floats, use: Floats) -> LooksModel:
    """Before anything is linked: one cell's changes are taken for a fraction of what cells differ by."""
    n_features = features.shape[1]
    near, far, share = np.ones(n_features), np.ones(n_features), np.zeros(n_features)
    apart = _apart(frame, features)
    for f in range(n_features):
        near[f], far[f], share[f] = _two_spreads(apart[:, f])
    return LooksModel(
        noise=near / 24,
        walk=near / 24,
        odd_share=np.full(n_features, 0.2),
        odd=near,
        far_share=share,
        far=far,
        near=near,
        use=use,
    )


def fit_looks(
    model: LooksModel,
    *,
    features: Floats,
    previous: Ints,
    frames: Ints,
    change: Floats,
    weight: Floats,
    sure: NDArray[np.bool_],
) -> LooksModel:
    """Measure what one cell's looks do from links of one frame that are sure.

    Args:
        model: To start from; what two cells differ by is kept.
        features: (N, F) of all detections.
        previous: The row each follows.
        frames: Frames since then.
        change: (N, F) from the track's average to the detection.
        weight: (N, F) detections that this average was worth.
        sure: Links to learn from.
    """
    rows = np.flatnonzero(sure & (frames == 1))
    if len(rows) < LEAST_CHANGES:
        return model
    rows = rows[:: -(-len(rows) // MOST_CHANGES)]
    one = features[rows] - features[previous[rows]]
    lagged = _lagged(features, previous, frames, sure, rows)
    short = np.maximum(1.4826 * np.median(np.abs(one), axis=0), SMALLEST) ** 2
    walk = np.zeros_like(short)
    if len(lagged) >= LEAST_CHANGES:
        long = (1.4826 * np.median(np.abs(lagged), axis=0)) ** 2
        walk = np.clip((long - short) / (LAG - 1), 0.0, 0.9 * short)
    noise = np.maximum((short - walk) / 2, SMALLEST**2 / 2)
    odd, odd_share, scale = np.ones_like(short), np.ones_like(short), np.ones_like(short)
    for f in range(features.shape[1]):
        usual = noise[f] * (1 + 1 / weight[rows, f]) + walk[f]
        scale[f], odd[f], odd_share[f] = _usual_and_odd(change[rows, f], usual)
    return replace(model, noise=scale * noise, walk=scale * walk, odd=odd, odd_share=odd_share)


def better_of(model: LooksModel, change: Floats, weight: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """Of each pair of columns that measure the same in two ways, use the one that tells cells apart better."""
    use = model.use.copy()
    told = _told(model, change, weight)
    for one, other in pairs:
        use[one], use[other] = (1.0, 0.0) if told[one] >= told[other] else (0.0, 1.0)
    return use


def _told(model: LooksModel, change: Floats, weight: Floats) -> Floats:
    """Mean log odds that each feature gives to a right link."""
    usual = model.noise * (1 + 1 / weight) + model.walk
    same = (1 - model.odd_share) * _normal(change, usual) + model.odd_share * _normal(change, model.odd)
    other = (1 - model.far_share) * _normal(change, model.near) + model.far_share * _normal(change, model.far)
    mean: Floats = np.log((same + 1e-12) / (other + 1e-12)).mean(axis=0)
    return mean


def _lagged(features: Floats, previous: Ints, frames: Ints, sure: NDArray[np.bool_], rows: Ints) -> Floats:
    """Changes over `LAG` sure links of one frame each."""
    good = sure & (frames == 1)
    before = previous[rows]
    for _ in range(LAG - 1):
        keep = good[before]
        rows, before = rows[keep], previous[before[keep]]
    change: Floats = features[rows] - features[before]
    return change


def _apart(frame: Ints, features: Floats) -> Floats:
    """Differences between cells of one frame, each with the one after next in the order of rows."""
    if len(frame) < 3:
        return np.zeros((1, features.shape[1]))
    same = np.flatnonzero(frame[2:] == frame[:-2])
    same = same[:: max(-(-len(same) // MOST_CHANGES), 1)]
    if len(same) < 3:
        return np.asarray(features - features.mean(axis=0))
    apart: Floats = features[same + 2] - features[same]
    return apart


def _normal(value: Floats, variance: Floats | float) -> Floats:
    density: Floats = np.asarray(np.exp(-0.5 * value**2 / variance) / np.sqrt(variance))
    return density


def _two_spreads(value: Floats) -> tuple[float, float, float]:
    """Variances of the narrow and the wide part, and the share of the wide one."""
    near = max(1.4826 * float(np.median(np.abs(value))), SMALLEST) ** 2
    far, share = 9 * near, 0.1
    for _ in range(FIT_ROUNDS):
        wide = share * _normal(value, far)
        part = wide / np.maximum(wide + (1 - share) * _normal(value, near), 1e-300)
        share = float(np.clip(part.mean(), 0.001, 0.5))
        near = max(float(((1 - part) * value**2).sum() / max((1 - part).sum(), 1e-9)), SMALLEST**2)
        far = max(float((part * value**2).sum() / max(part.sum(), 1e-9)), 4 * near)
    return near, far, share


def _usual_and_odd(change: Floats, usual: Floats) -> tuple[float, float, float]:
    """By what to scale the usual variance, the variance of odd changes, and their share."""
    scale, share = 1.0, 0.1
    odd = 16 * float(np.median(usual))
    for _ in range(FIT_ROUNDS):
        strange = share * _normal(change, odd)
        part = strange / np.maximum(strange + (1 - share) * _normal(change, scale * usual), 1e-300)
        share = float(np.clip(part.mean(), *ODD_SHARES))
        scale = float(((1 - part) * change**2 / usual).sum() / max((1 - part).sum(), 1e-9))
        scale = float(np.clip(scale, 0.25, 4.0))
        odd = float((part * change**2).sum() / max(part.sum(), 1e-9))
        odd = max(odd, 4 * scale * float(np.median(usual)))
    return scale, odd, share
