"""What to look at next, when it is enough, and how good the pipeline is where nobody chose to look.

The value of looking at an event is how much less one expects the headline to be off afterwards. Errors of independent
events add up in squares, so that is counted in variance: with p the probability of a death, c the share that effectors
have in it and k = p c, the kills of the well are off by k (1 - k) for this event. Whether it is a death accounts for
c^2 p (1 - p) of that, who did it for the rest, p c (1 - c). A reader can always say the first and half of the time the
second: how often a film shows it is not known beforehand.

Of a death that was too doubtful to be called the pipeline counts nothing, so that the kills are off by all of k: whether
it is a death accounts for c^2 p, and the expected error of the well by k for each such event.

Probabilities may be too sure of themselves, so they are moved by what readers found in events of about the same
probability, the more the more of these were decided.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length, take
from assay.errors import ResultsError
from assay.review.state import ACCEPTED, DISAGREEMENT, PENDING, REJECTED, ReviewState, coded, texts_of

SORTS = ("value", "probability", "well", "time", "disagreement", "random", "audit")

TELLS_KILLER = 0.5
"""How often a reader can say who did it, or that nobody did."""

AUDIT_SEED = 20260101
"""Of the order in which the audit sample is drawn: the same for everybody, so that samples add up."""

_NEVER_SURER = 0.01  # no probability is taken as nearer to 0 or 1: there are mistakes that no model foresees
_BINS = (0.0, 0.5, 0.95)  # of probability, within which found errors are carried over
_BELIEF = 20.0  # decisions that weigh as much as the model's own probabilities
_WHICH_EFFECTOR = (
    0.1  # of not knowing which effector it was: no kill of the well, but of the effectors' records
)
_Z = 1.6448536269514722  # 90 % of a normal distribution lie within
_CALLED = 0.5  # probability from which the pipeline calls a death


@dataclass(frozen=True, slots=True, kw_only=True)
class WellRemaining:
    """What looking at the rest of a well could still change."""

    well: str
    n_pending: int
    remaining_kills: float  # 90 % of the time the well's kills would change by less
    allowed_kills: float  # the stated part of half the width of its interval; NaN where it has none
    is_enough: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Whether looking on is worth it."""

    reached: bool
    part: float
    wells: tuple[WellRemaining, ...]  # that count and have an interval
    unjudged: tuple[str, ...]  # wells without an interval: nothing says when it is enough
    n_more: int  # decisions until it is enough, most valuable first


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How many of the deaths that the pipeline calls are deaths, from a random sample."""

    value: float  # NaN without a decided event
    low: float
    high: float
    n: int  # events of the sample that were accepted or rejected
    n_true: int
    n_unsure: int  # unsure or disagreed on: in neither number


def review_order(
    events: Table,
    state: ReviewState,
    *,
    sort: str = "value",
    seed: int = 0,
    wells: Table | None = None,
) -> NDArray[np.int64]:
    """Rows of the events in the order of looking; what is decided comes last, disagreements do not count as decided.

    Args:
        events: `state.events`.
        state: What is decided.
        sort: "value" (what makes the headline surer), "probability" (the least probable first), "well",
            "time", "disagreement" (these first), "random" (by `seed`) or "audit" (the random sample everybody shares).
        seed: Of "random".
        wells: The wells table, where the headline is the conditions' kills per 100 targets; left out, the wells' kills.
    """
    if sort not in SORTS:
        raise ResultsError(f"sort {sort!r}: expected one of {', '.join(SORTS)}.")
    keys: dict[str, Any] = {
        "value": lambda: (-decision_values(events, state, wells=wells),),
        "probability": lambda: (events["probability"],),
        "well": lambda: (events["frame"], events["field"], texts_of(events, state, "well")[0]),
        "time": lambda: (events["field"], texts_of(events, state, "well")[0], events["time_min"]),
        "disagreement": lambda: (-decision_values(events, state, wells=wells), state.status != DISAGREEMENT),
        "random": lambda: (_noise(events, seed, texts_of(events, state, "well")),),
        "audit": lambda: (_noise(events, AUDIT_SEED, texts_of(events, state, "well")),),
    }
    decided = (state.status != PENDING) & (state.status != DISAGREEMENT)
    return np.lexsort((np.arange(length(events)), *keys[sort](), decided))


def decision_values(events: Table, state: ReviewState, *, wells: Table | None = None) -> NDArray[np.float64]:
    """Expected decrease of the headline's variance by a decision on each event; 0 where it is decided, or its field does not count.

    Args:
        events: `state.events`.
        state: What is decided.
        wells: The wells table; with it a kill weighs by what it changes of its condition's kills per 100 targets.
    """
    p = learned_probability(events, state)
    credited = 1 - _uncredited(events)
    is_death = credited**2 * p * np.where(state.is_uncalled, 1.0, 1 - p)
    value = is_death + TELLS_KILLER * p * credited * (1 - credited)
    best = np.minimum(np.nan_to_num(events["killer_share"]), credited)
    value = value + _WHICH_EFFECTOR**2 * p * (credited - best)
    return np.where(_open(events, state), value * _weights(events, state, wells) ** 2, 0.0)


def learned_probability(events: Table, state: ReviewState) -> NDArray[np.float64]:
    """The pipeline's probabilities, moved by what readers found in events of about the same probability."""
    p = events["probability"]
    learned = p.astype(np.float64).copy()
    bins = np.digitize(p, _BINS[1:])
    own = np.arange(length(events)) < state.n_pipeline_events
    for one in range(len(_BINS)):
        mine = (bins == one) & own
        sure = mine & ((state.status == ACCEPTED) | (state.status == REJECTED))
        n = int(sure.sum())
        if n:
            found = float(np.mean(state.status[sure] == ACCEPTED)) - float(np.mean(p[sure]))
            learned[mine] += n / (n + _BELIEF) * found
    return np.clip(learned, _NEVER_SURER, 1 - _NEVER_SURER)


def stop_rule(events: Table, state: ReviewState, wells: Table, *, part: float = 0.25) -> Stop:
    """Whether what is left could still change a well by more than a part of its interval.

    The rest of a well changes its kills by less than z sqrt(sum k (1 - k)) + |sum of the learned shifts| in 90 % of
    cases, events being independent; the sums go over its undecided events.

    Args:
        events: `state.events`.
        state: What is decided.
        wells: The wells table, with its intervals.
        part: Of half the width of a well's 90 % interval.
    """
    is_open = _open(events, state)
    credited = 1 - _uncredited(events)
    kill = learned_probability(events, state) * credited
    counted = np.where(state.is_uncalled, 0.0, np.clip(events["probability"], _NEVER_SURER, 1 - _NEVER_SURER))
    shift = kill - counted * credited
    codes, names = texts_of(events, state, "well")
    order = review_order(events, state)
    order = order[is_open[order]]
    by_well = order[np.argsort(codes[order], kind="stable")]
    ends = np.searchsorted(codes[by_well], np.arange(len(names) + 1))
    rows = {name: by_well[ends[code] : ends[code + 1]] for code, name in enumerate(names)}
    judged, unjudged, n_more = [], [], 0
    for row, well in enumerate(wells["well"].tolist()):
        half = float(wells["kills_high"][row] - wells["kills_low"][row]) / 2
        mine = rows.get(well, by_well[:0])
        if wells["status"][row] != "ok" or not np.isfinite(half):
            unjudged += [well] if len(mine) else []
            continue
        left = _left_after(kill[mine], shift[mine])
        enough = left <= part * half
        n_more += int(np.argmax(enough)) if enough.any() else len(mine)
        judged.append(
            WellRemaining(
                well=well,
                n_pending=len(mine),
                remaining_kills=float(left[0]),
                allowed_kills=part * half,
                is_enough=bool(enough[0]) or not len(mine),
            )
        )
    return Stop(
        reached=all(one.is_enough for one in judged) and not unjudged,
        part=part,
        wells=tuple(judged),
        unjudged=tuple(unjudged),
        n_more=n_more,
    )


def audit_sample(events: Table, n: int, seed: int = AUDIT_SEED) -> NDArray[np.int64]:
    """Rows of a random sample of the deaths that the pipeline calls; a larger one of the same seed holds a smaller one.

    It depends on the names of the events only, not on their order or on what is decided.
    """
    called = np.flatnonzero((events["probability"] >= _CALLED) & (events["death_id"] > 0))
    return called[np.argsort(_noise(take(events, called), seed), kind="stable")][:n]


def audited_precision(
    events: Table, state: ReviewState, sample: NDArray[np.integer] | None = None, *, level: float = 0.9
) -> Precision:
    """Precision of the pipeline's deaths with an exact (Clopper-Pearson) interval.

    Args:
        events: `state.events`.
        state: What is decided.
        sample: From `audit_sample`; left out, the shared sample as far as it was looked at without a gap.
        level: Of the interval.
    """
    if sample is None:
        every = audit_sample(events, length(events))
        pending = np.flatnonzero(state.status[every] == PENDING)
        sample = every[: pending[0]] if len(pending) else every
    found = state.status[sample]
    n_true, n_false = int(np.sum(found == ACCEPTED)), int(np.sum(found == REJECTED))
    n = n_true + n_false
    low, high = exact_interval(n_true, n, level=level)
    return Precision(
        value=n_true / n if n else math.nan,
        low=low,
        high=high,
        n=n,
        n_true=n_true,
        n_unsure=int(np.sum(found != PENDING)) - n,
    )


def exact_interval(k: int, n: int, *, level: float = 0.9) -> tuple[float, float]:
    """Clopper-Pearson interval of a share, k of n; NaN for n = 0."""
    if n == 0:
        return math.nan, math.nan
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else _crossing(lambda p: 1 - _below(k - 1, n, p) - tail)
    high = 1.0 if k == n else _crossing(lambda p: tail - _below(k, n, p))
    return low, high


def shuffled(events: Mapping[str, NDArray[Any]], *, seed: int) -> NDArray[np.int64]:
    """Rows in an order that depends on the seed and the names of the events only."""
    return np.argsort(_noise(events, seed), kind="stable")


def _left_after(kill: NDArray[Any], shift: NDArray[Any]) -> NDArray[Any]:
    """What could still change after none, one, two, ... of these events were decided in this order."""
    spread = np.append(np.cumsum((kill * (1 - kill))[::-1])[::-1], 0.0)
    moved = np.append(np.cumsum(shift[::-1])[::-1], 0.0)
    return np.asarray(_Z * np.sqrt(np.maximum(spread, 0)) + np.abs(moved))


def _open(events: Table, state: ReviewState) -> NDArray[np.bool_]:
    """Undecided events that count: a field that does not count changes no well."""
    undecided = (state.status == PENDING) | (state.status == DISAGREEMENT)
    return np.asarray(undecided & ~np.isnan(events["uncredited_share"]), dtype=bool)


def _uncredited(events: Table) -> NDArray[np.float64]:
    return np.asarray(np.clip(np.nan_to_num(events["uncredited_share"], nan=1.0), 0.0, 1.0))


def _weights(events: Table, state: ReviewState, wells: Table | None) -> NDArray[np.float64]:
    """What one kill changes of its condition's kills per 100 targets, the mean of all wells being 1.

    A mock well changes the difference of every sample condition, so it weighs for itself and once for all these.
    """
    n = length(events)
    if wells is None:
        return np.ones(n)
    counted = (wells["status"] == "ok") & (wells["n_targets"] > 0)
    peers: dict[Any, int] = {}
    for condition in wells["condition"][counted].tolist():
        peers[condition] = peers.get(condition, 0) + 1
    weight = {
        well: (2.0 if kind == "mock" else 1.0) * 100 / (targets * peers[condition])
        for well, condition, kind, targets in zip(
            *(wells[name][counted].tolist() for name in ("well", "condition", "kind", "n_targets")),
            strict=True,
        )
    }
    mean = float(np.mean(list(weight.values()))) if weight else 1.0
    codes, names = texts_of(events, state, "well")
    return np.asarray(np.array([weight.get(name, 0.0) / mean for name in names])[codes])


def _noise(
    events: Mapping[str, NDArray[Any]], seed: int, wells: tuple[NDArray[np.int64], list[str]] | None = None
) -> NDArray[np.uint64]:
    """A number per event from its name and the seed, the same on every machine (splitmix64)."""
    codes, names = wells or coded(events["well"])
    crc = np.array([zlib.crc32(name.encode()) for name in names], dtype=np.uint64)
    well = crc[codes] if names else np.zeros(0, np.uint64)
    mixed = np.full(len(well), np.uint64(seed % (1 << 64)))
    for part in (well, events["field"], events["death_id"], events["target_track_id"]):
        mixed = _mix(mixed ^ np.asarray(part).astype(np.uint64))
    return mixed


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _below(k: int, n: int, p: float) -> float:
    """P(at most k of n)."""
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 or k >= n else 0.0
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(j + 1)
        - math.lgamma(n - j + 1)
        + j * math.log(p)
        + (n - j) * math.log1p(-p)
        for j in range(k + 1)
    ]
    return min(1.0, math.fsum(math.exp(one) for one in logs))


def _crossing(rising: Any) -> float:
    """Where a rising function of a share crosses 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
