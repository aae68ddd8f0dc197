"""Each effector's ways through all that it touches: free, or engaged with one of the targets beside it.

Knows arrays alone; `engagements.py` says what they mean. A moment is a frame of an effector, an entry one of the
contacts that are open then.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What each effector touches, frame by frame; entries are ordered by (effector, frame, contact)."""

    begin: Ints  # (moments + 1,) from where on the entries are of each moment
    opens: NDArray[np.bool_]  # (moments,) no contact goes on from before
    moment: Ints  # (entries,)
    contact: Ints  # (entries,)
    frame: Ints  # (entries,)
    row: Ints  # (entries,) of the meetings; -1 where the two were not seen beside each other
    before: Ints  # (entries,) the entry before of the same contact; -1 where it begins
    after: Ints  # (entries,) the next; -1 where it ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """How much likelier a row is while engaged than while free, and the chances of going from one to the other."""

    still: Floats  # (rows,) for the step since the row before
    near: Floats  # (rows,) for how near the two are
    begins: float  # a free effector takes hold of a target that it newly touches
    takes_hold: float  # of one that it touched before
    stays: float  # engaged, at the same place
    elsewhere: float  # of those that let go, hold on by the next frame, elsewhere or to another target

    @property
    def chances(self) -> tuple[float, float, float, float]:
        """In the order in which the loops take them."""
        return self.begins, self.takes_hold, self.stays, self.elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What all that was seen says."""

    engaged: Floats  # (entries,) probability
    held: Floats  # (entries,) of having held on since the entry before
    free: Floats  # (moments,)
    never: Floats  # (contacts,) that the effector holds on from none of its frames to the next


def expect(moments: Moments, odds: Odds, n_contacts: int) -> Posterior:
    """Forward and backward along the ways of every effector (Baum 1970)."""
    m = moments
    way = m.begin, m.row, m.before, odds.still, odds.near, *odds.chances
    past, free_past, scale = _forward(m.opens, *way)
    ahead, free_ahead, held = _backward(m.opens, *way, past, scale)
    never = np.ones(n_contacts)
    _never_held(*way, past, free_past, scale, ahead, free_ahead, m.moment, m.after, m.contact, never)
    return Posterior(engaged=past * ahead, held=held, free=free_past * free_ahead, never=never)


@compiled
def _appeal(
    a: int, b: int, row: Ints, before: Ints, begins: float, takes_hold: float
) -> tuple[float, float, int]:
    """Chance that a free effector takes hold of none of the entries, their chances together, and how many are seen."""
    none, appeal, seen = 1.0, 0.0, 0
    for n in range(a, b):
        if row[n] != _NONE:
            wanted = begins if before[n] == _NONE else takes_hold
            none *= 1.0 - wanted
            appeal += wanted
            seen += 1
    return none, appeal, seen


@compiled
def _step(
    a: int, b: int, was: int, now: Floats, free: float,
    row: Ints, before: Ints, still: Floats, near: Floats,
    begins: float, takes_hold: float, stays: float, elsewhere: float, never: int, then: Floats,
) -> float:  # fmt: skip
    """From one moment, whose first entry is `was`, to the entries a to b of the next: into `then`, and being free.

    Ways that hold on since the entry `never` are left out.
    """
    none, appeal, seen = _appeal(a, b, row, before, begins, takes_hold)
    leaving = 0.0
    for each in now:
        leaving += each
    for n in range(a, b):
        if before[n] != _NONE:
            leaving -= stays * now[before[n] - was]
    again = elsewhere if seen else 0.0
    for n in range(a, b):
        then[n - a] = 0.0
        if before[n] != _NONE and (before[n] != never or row[n] == _NONE):
            then[n - a] = stays * now[before[n] - was]
            if row[n] != _NONE:
                then[n - a] *= still[row[n]]
        if row[n] != _NONE:
            wanted = begins if before[n] == _NONE else takes_hold
            then[n - a] += free * (1.0 - none) * wanted / appeal + leaving * again / seen
            then[n - a] *= near[row[n]]
    return free * none + leaving * (1.0 - again)


@compiled
def _forward(
    opens: NDArray[np.bool_], begin: Ints, row: Ints, before: Ints, still: Floats, near: Floats,
    begins: float, takes_hold: float, stays: float, elsewhere: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Probabilities of each entry and of being free, given all up to then, and the chance of what each moment shows."""
    engaged, free, scale = np.zeros(len(row)), np.zeros(len(opens)), np.ones(len(opens))
    for m in range(len(opens)):
        a, b = begin[m], begin[m + 1]
        if opens[m]:
            free[m] = 1.0 - begins
            for n in range(a, b):
                engaged[n] = begins / (b - a) * near[row[n]]
        else:
            was = begin[m - 1]
            free[m] = _step(
                a, b, was, engaged[was:a], free[m - 1],
                row, before, still, near, begins, takes_hold, stays, elsewhere, _NONE, engaged[a:b],
            )  # fmt: skip
        scale[m] = free[m] + engaged[a:b].sum()
        free[m] /= scale[m]
        engaged[a:b] /= scale[m]
    return engaged, free, scale


@compiled
def _backward(
    opens: NDArray[np.bool_], begin: Ints, row: Ints, before: Ints, still: Floats, near: Floats,
    begins: float, takes_hold: float, stays: float, elsewhere: float, engaged: Floats, scale: Floats,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """How likely what is to come is from each entry and from being free, and the probability of having held on."""
    ahead, free, held = np.ones(len(row)), np.ones(len(opens)), np.zeros(len(row))
    for m in range(len(opens) - 1, 0, -1):
        if opens[m]:
            continue
        a, b = begin[m], begin[m + 1]
        none, appeal, seen = _appeal(a, b, row, before, begins, takes_hold)
        again = elsewhere if seen else 0.0
        from_free, from_leaving = none * free[m], (1.0 - again) * free[m]
        for n in range(a, b):
            if row[n] != _NONE:
                come = near[row[n]] * ahead[n]
                wanted = begins if before[n] == _NONE else takes_hold
                from_free += (1.0 - none) * wanted / appeal * come
                from_leaving += again / seen * come
        free[m - 1] = from_free / scale[m]
        for n in range(begin[m - 1], a):
            ahead[n] = from_leaving / scale[m]
        for n in range(a, b):
            if before[n] != _NONE:
                on = stays * ahead[n]
                if row[n] != _NONE:
                    on *= still[row[n]] * near[row[n]]
                held[n] = engaged[before[n]] * on / scale[m]
                ahead[before[n]] = (on + (1.0 - stays) * from_leaving) / scale[m]
    return ahead, free, held


@compiled
def _never_held(
    begin: Ints, row: Ints, before: Ints, still: Floats, near: Floats,
    begins: float, takes_hold: float, stays: float, elsewhere: float,
    engaged: Floats, free: Floats, scale: Floats, ahead: Floats, free_ahead: Floats,
    moment: Ints, after: Ints, contact: Ints, never: Floats,
) -> None:  # fmt: skip
    """Into `never`: forward once more through each contact, along the ways that never hold on in it."""
    for first in range(len(row)):
        if before[first] != _NONE:
            continue
        m, mine = moment[first], first
        now, loose = engaged[begin[m] : begin[m + 1]].copy(), free[m]
        while after[mine] != _NONE:
            m += 1
            a, b = begin[m], begin[m + 1]
            then = np.empty(b - a)
            loose = _step(
                a, b, begin[m - 1], now, loose,
                row, before, still, near, begins, takes_hold, stays, elsewhere, mine, then,
            ) / scale[m]  # fmt: skip
            now = then / scale[m]
            mine = after[mine]
        never[contact[first]] = loose * free_ahead[m] + np.sum(now * ahead[begin[m] : begin[m + 1]])
