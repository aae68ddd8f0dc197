"""How far readers agree, with each other and with themselves, beyond what chance would give.

Unsure counts as no verdict. Intervals are by bootstrap over events with a fixed seed: the same decisions give the same
numbers. Sources: Cohen 1960, doi:10.1177/001316446002000104; Fleiss 1971, doi:10.1037/h0031619.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from assay.review.state import ACCEPTED, REJECTED, EventState, ReviewState, Verdict

_CERTAIN = (ACCEPTED, REJECTED)
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAgreement:
    """Two readings of the same events."""

    reader: str
    other: str  # the same name: the reader's own second readings
    n: int  # events on which both were sure
    n_unsure: int  # on which one was not: not counted
    both_accepted: int
    both_rejected: int
    only_reader_accepted: int
    only_other_accepted: int
    kappa: float  # NaN where both always said the same one thing, which leaves nothing to measure
    kappa_low: float  # 5 % end of the 90 % interval
    kappa_high: float
    n_killers: int  # events that both accepted and for which both stand for a killer, or for nobody
    killer_agreement: float  # share of these on which it is the same; NaN without any
    median_dt_frames: float  # |difference of the frames| of events that both accepted; NaN without any


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All pairs of readers, and all of them together."""

    readers: tuple[str, ...]
    pairs: tuple[PairAgreement, ...]
    repeats: tuple[PairAgreement, ...]
    fleiss_kappa: float  # over events on which every reader was sure; NaN with fewer than three readers
    n_by_all: int
    n_disagreements: int  # that stand
    n_settled: int


def cohens_kappa(a: Sequence[int] | NDArray[np.integer], b: Sequence[int] | NDArray[np.integer]) -> float:
    """Agreement of two readers beyond chance, 1 complete, 0 as by chance.

    Args:
        a: One reader's verdicts, any whole numbers.
        b: The other's on the same events.

    Returns:
        NaN without events, or where chance alone gives complete agreement.
    """
    first, second = np.asarray(a), np.asarray(b)
    if len(first) != len(second):
        raise ValueError(f"expected two verdicts per event, got {len(first)} and {len(second)}.")
    names, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    k = len(names)
    counts = np.zeros((k, k))
    np.add.at(counts, (codes[: len(first)], codes[len(first) :]), 1)
    return float(_kappa_of(counts[None])[0]) if k else math.nan


def kappa_interval(
    a: Sequence[int], b: Sequence[int], *, level: float = 0.9, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of Cohen's kappa over events; NaN where kappa is.

    Resamples in which kappa is not defined are left out.
    """
    if not len(a) or math.isnan(cohens_kappa(a, b)):
        return math.nan, math.nan
    names, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    k, n = len(names), len(a)
    cells = np.bincount(codes[:n] * k + codes[n:], minlength=k * k)
    drawn = np.random.default_rng(seed).multinomial(n, cells / n, size=_RESAMPLES)
    kappas = _kappa_of(drawn.reshape(-1, k, k).astype(np.float64))
    low, high = np.nanquantile(kappas, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fleiss_kappa(counts: Sequence[Sequence[int]] | NDArray[np.integer]) -> float:
    """Agreement of several readers beyond chance.

    Args:
        counts: (events, categories), how many readers said which; the same number of readers on every event.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        return math.nan
    n, readers = len(table), table.sum(axis=1)
    if (readers != readers[0]).any() or readers[0] < 2:
        raise ValueError("expected the same number of readers, two or more, on every event.")
    r = readers[0]
    seen = ((table**2).sum(axis=1) - r) / (r * (r - 1))
    chance = float(((table.sum(axis=0) / (n * r)) ** 2).sum())
    return math.nan if chance >= 1 else float((seen.mean() - chance) / (1 - chance))


def agreement(state: ReviewState, *, seed: int = 0) -> Agreement:
    """How far the readers of a plate agree; settlements are no readings."""
    judged = [(name, state.of(name)) for name in sorted(state.judged)]
    readers = tuple(sorted({reader for _, now in judged for reader in now.verdicts}))
    shown = {name: state.shown(name) for name, _ in judged}
    pairs = tuple(_pair(judged, shown, one, other, seed) for one, other in combinations(readers, 2))
    again = sorted({reader for _, now in judged for reader in now.repeats})
    by_all = [now for _, now in judged if all(_is_sure(now.verdicts.get(reader)) for reader in readers)]
    counts = [[sum(v.status == code for v in now.verdicts.values()) for code in _CERTAIN] for now in by_all]
    return Agreement(
        readers=readers,
        pairs=pairs,
        repeats=tuple(_pair(judged, shown, reader, reader, seed) for reader in again),
        fleiss_kappa=fleiss_kappa(counts) if len(readers) > 2 else math.nan,
        n_by_all=len(by_all) if len(readers) > 1 else 0,
        n_disagreements=state.counts()["disagreement"],
        n_settled=sum(now.settled for _, now in judged),
    )


def _pair(
    judged: Sequence[tuple[str, EventState]],
    shown: Mapping[str, tuple[int, float]],
    reader: str,
    other: str,
    seed: int,
) -> PairAgreement:
    both = [
        (name, now.verdicts.get(reader), (now.repeats if reader == other else now.verdicts).get(other))
        for name, now in judged
    ]
    sure = [(name, a, b) for name, a, b in both if a and b and _is_sure(a) and _is_sure(b)]
    a, b = [one.status for _, one, _ in sure], [one.status for *_, one in sure]
    counts = {(x, y): 0 for x in _CERTAIN for y in _CERTAIN}
    for x, y in zip(a, b, strict=True):
        counts[x, y] += 1
    yes = [(shown[name], x, y) for name, x, y in sure if x.status == y.status == ACCEPTED]
    killers = [(_killer(x, at), _killer(y, at)) for at, x, y in yes]
    stated = [(x, y) for x, y in killers if x is not None and y is not None]
    apart = [abs(_frame(x, at) - _frame(y, at)) for at, x, y in yes]
    low, high = kappa_interval(a, b, seed=seed)
    return PairAgreement(
        reader=reader,
        other=other,
        n=len(sure),
        n_unsure=sum(x is not None and y is not None for _, x, y in both) - len(sure),
        both_accepted=counts[ACCEPTED, ACCEPTED],
        both_rejected=counts[REJECTED, REJECTED],
        only_reader_accepted=counts[ACCEPTED, REJECTED],
        only_other_accepted=counts[REJECTED, ACCEPTED],
        kappa=cohens_kappa(a, b),
        kappa_low=low,
        kappa_high=high,
        n_killers=len(stated),
        killer_agreement=float(np.mean([_same(x, y) for x, y in stated])) if stated else math.nan,
        median_dt_frames=float(np.median(apart)) if apart else math.nan,
    )


def _kappa_of(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa of (..., k, k) tables of counts; NaN where it is not defined."""
    n = counts.sum(axis=(1, 2))
    seen = np.trace(counts, axis1=1, axis2=2)
    chance = (counts.sum(axis=1) * counts.sum(axis=2)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = (n * seen - chance) / (n * n - chance)
    return np.where(n * n > chance, kappa, np.nan)


def _is_sure(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.status in _CERTAIN


def _killer(verdict: Verdict, shown: tuple[int, float]) -> float | None:
    if verdict.killer is not None:
        return verdict.killer
    return shown[1] if verdict.sees_killer else None


def _frame(verdict: Verdict, shown: tuple[int, float]) -> int:
    return shown[0] if verdict.frame is None else verdict.frame


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
