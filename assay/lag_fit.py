"""Fits the lag model of a plate to the events of its fields, of a large plate to those of some of them.

Knows the events of all fields. Knows nothing of pixels.

The hazard stands in `hazards.py`. theta is a staircase over lags up to `max_lag_min`, readiness one over the age of
the contact; both, h0 and the potency of each well are fitted together by expectation-maximisation (stochastic
declustering: Zhuang 2002, doi:10.1198/016214502760046925), each held by a weak prior. Targets of target-only and
mock wells count for h0 alone. The potency of a well, 1 where nothing else is known, says how often its contacts
kill compared with the plate's; a mock well's is then fitted too, and comes out near 0. Whether one hit kills or
several are needed that heal meanwhile is decided by the likelihood of the deaths.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp, ndtr

from assay.field_events import Film, Floats
from assay.hazards import (
    Damage,
    Hazards,
    Shares,
    damage_of,
    expected_kills,
    settle,
    share_deaths,
    strengths,
)
from assay.hits import Evidence, gather, join, lag_edges
from assay.lag_model import CONTROL_KINDS, USUAL_LIKENESS, LagModel
from assay.left_out import left_out_likelihood
from assay.pieces import N_AGES
from assay.potency import POTENCY_KILLS, potency_of, potency_of_control, rests_on
from assay.sameness import Activity, Sameness, no_activity

PRIOR_H0_PER_MIN = 5e-5
"""Spontaneous hazard where nothing is known: 0.3 % of the targets an hour."""

PRIOR_KILLS_PER_CONTACT_MIN = 2e-3
"""Kills a minute of contact leads to where nothing is known: 3 % of contacts of a quarter of an hour."""

PRIOR_LAG_MIN = 45.0
PRIOR_LAG_SPREAD = 1.0
"""Median of the prior lag and sd of its logarithm: broad, minutes to hours."""

MOST_CONTACTS = 150_000
"""More contacts than these, with thousands of deaths, tell nothing more of what all wells have in common."""

MOST_HITS = 3
"""Models with 1 to so many hits are compared."""

_FEWEST_FIELDS = 8  # are fitted to, whatever their contacts
_H0_DEATHS = 1.0  # the prior on h0 counts as so many deaths
_KERNEL_DEATHS = 4.0  # the prior on theta counts as so many deaths, over all lags together
_READY_DEATHS = 6.0  # the prior that a contact of each age is as good as any counts as so many, per age
_LIKENESS = (0.1, 0.15, 0.25, 0.4, 0.7, 1.2, 2.5, 5.0, 20.0, 1000.0)
_LIKENESS_ROUNDS = 2
# sd of its logarithm below and above: few kills take effectors for more different than they are
_LIKENESS_SPREAD = (0.3, 1.0)
_SETTLED = 8  # rounds of shares and activities in turn
_ROUNDS = 80
_CLOSE = 1e-3
_H0_STEPS = (0.02, 8.0)  # other values of h0 are tried from and up to so many times the fitted one,
_H0_VALUES = 10  # so many, or up to where all deaths are spontaneous
_H0_SPREAD = 2.0  # sd of the logarithm of h0 where nothing is known: 0.01 to 8 % of targets an hour
_H0_ROUNDS = 6
_LOOK_ROUNDS = 10  # of several hits, before they are fitted for good,
_HOPELESS = 25.0  # unless the deaths are so much less likely: fitting gains less (at most 10 on killbench's development seeds)
_FAR_LIKELIER = 3.0  # log likelihood by which several hits must explain the deaths better than one


def fit_lag_model(
    films: Sequence[Film],
    *,
    max_lag_min: float,
    control_kinds: Collection[str] = CONTROL_KINDS,
    most_contacts: int = MOST_CONTACTS,
) -> LagModel:
    """Fit the spontaneous hazard, the lag kernel and each well's potency to all fields of a plate.

    Without control wells spontaneous deaths and kills are told apart by the timing of deaths after contacts
    alone, which fails where nearly every target is touched all the time: `tells_h0` says so. Without deaths, or
    without contacts, the priors above come back.

    A large plate has more contacts than are needed, or can be held: what its wells have in common is then fitted to
    fields chosen by lot, always the same ones, and each well's potency to that well.

    Args:
        films: All fields that count.
        max_lag_min: Longest time from contact to death.
        control_kinds: Kinds of wells in which no effector kills.
        most_contacts: With more in the wells that may kill, the plate is large.
    """
    edges = lag_edges(max_lag_min)
    ordered = sorted(films, key=lambda each: (each.well, each.field))
    wells = sorted({each.well for each in ordered})
    kinds = {each.well: each.kind for each in reversed(ordered)}
    control = np.array([kinds[well] in control_kinds for well in wells], dtype=np.bool_)
    tested = [film for film in ordered if kinds[film.well] not in control_kinds]
    chosen = _by_lot(tested, most_contacts)
    evidence = _Gathered(edges, keep=len(chosen) == len(tested))
    controls = [evidence.count(film) for film in ordered if kinds[film.well] in control_kinds]
    samples = join(
        [(wells.index(film.well), evidence.of(film)) for film in chosen], len(wells), len(edges) - 1
    )
    plate = _Plate(
        samples=samples,
        at_risk_min=float(samples.at_risk_min.sum() + sum(at_risk for at_risk, _ in controls)),
        control_deaths=float(sum(deaths for _, deaths in controls)),
        edges=edges,
    )
    fit, told = _choose(plate, len(wells))
    odds, nobody = _h0_odds(plate, fit)
    potency = {well: float(fit.hazards.potency[n]) for n, well in enumerate(wells)}
    told_by: dict[str, float] = {}
    for n, well in enumerate(wells):
        mine = [film for film in ordered if film.well == well]
        alone = join([(0, evidence.of(film)) for film in mine], 1, len(edges) - 1)
        if control[n]:
            potency[well] = potency_of_control(alone, fit.hazards)
        elif not all(film in chosen for film in mine):
            potency[well] = potency_of(alone, fit.hazards)
        told_by[well] = rests_on(alone, replace(fit.hazards, potency=np.array([potency[well]])))
    return LagModel(
        edges_min=tuple(float(edge) for edge in edges),
        kernel_per_min2=tuple(float(step) for step in fit.hazards.theta),
        h0_per_min=fit.hazards.h0,
        h0_deaths=_H0_DEATHS + plate.control_deaths + float(fit.shares.of_nobody.sum()),
        kill_deaths=0.5 + float(fit.shares.of_row.sum()),
        potency=potency,
        potency_kills=told_by,
        has_controls=bool(control.any()),
        readiness=tuple(float(step) for step in fit.hazards.readiness),
        alike=fit.hazards.alike,
        hits_needed=fit.hazards.hits_needed,
        log_likelihoods=told,
        h0_odds=odds,
        nobody_share=nobody,
        fitted_fields=(len(chosen), len(tested)),
    )


def _by_lot(films: Sequence[Film], most_contacts: int) -> list[Film]:
    """All of them, or of a large plate some, the same ones whenever it is asked; in their order."""
    if sum(film.n_contacts for film in films) <= most_contacts:
        return list(films)
    drawn: list[int] = []
    for place in np.random.default_rng(0).permutation(len(films)).tolist():
        if len(drawn) >= _FEWEST_FIELDS and sum(films[n].n_contacts for n in [*drawn, place]) > most_contacts:
            break
        drawn.append(place)
    return [films[place] for place in sorted(drawn)]


class _Gathered:
    """The evidence of films; laid out once, unless there is too much of it to be kept."""

    def __init__(self, edges: Floats, *, keep: bool) -> None:
        self._edges, self._keep = edges, keep
        self._kept: dict[tuple[str, int], Evidence] = {}

    def of(self, film: Film) -> Evidence:
        place = film.well, film.field
        found = self._kept.get(place) or gather(film.load(), self._edges)
        if self._keep:
            self._kept[place] = found
        return found

    def count(self, film: Film) -> tuple[float, float]:
        """Minutes at risk and deaths."""
        evidence = self.of(film)
        return float(evidence.at_risk_min[0]), float(evidence.death_weight.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plate:
    """What is fitted: the wells that may kill, and what the control wells say of h0."""

    samples: Evidence
    at_risk_min: float  # of all targets
    control_deaths: float
    edges: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Where a fit stands."""

    hazards: Hazards
    activity: Activity
    shares: Shares


def _choose(plate: _Plate, n_wells: int) -> tuple[_Fit, dict[int, float]]:
    """Fit the models of one hit and of several; one hit, unless the deaths are far less surprising under others."""
    widths = np.diff(plate.edges)
    sameness = Sameness(plate.samples)
    hazards = Hazards(
        h0=PRIOR_H0_PER_MIN,
        theta=PRIOR_KILLS_PER_CONTACT_MIN * _prior_lags(plate.edges) / widths,
        widths=widths,
        potency=np.ones(n_wells),
        readiness=np.ones(N_AGES),
        alike=USUAL_LIKENESS,
        hits_needed=1,
    )
    activity = no_activity(plate.samples)
    strength = strengths(plate.samples, hazards, activity, None)
    shares = share_deaths(plate.samples, hazards, activity, strength)
    start = _Fit(hazards=hazards, activity=activity, shares=shares)
    fits: dict[int, _Fit] = {}
    told: dict[int, float] = {}
    damage = None
    for hits in range(1, MOST_HITS + 1):
        if hits == 2:
            if float(start.shares.of_row.sum()) < POTENCY_KILLS:
                break  # hardly a kill: nothing to compare
            damage = damage_of(plate.samples)
        start = replace(start, hazards=replace(start.hazards, hits_needed=hits))
        if hits == 2:
            look = _climb(plate, start, sameness, damage, rounds=_LOOK_ROUNDS)
            told[hits] = _foretold(plate, look, sameness, damage)
            if told[2] < told[1] - _HOPELESS:
                break
        fits[hits] = start = _fit(plate, start, sameness, damage)
        told[hits] = _foretold(plate, start, sameness, damage)
        if hits == 2 and told[2] < told[1]:
            break
    best = max(told, key=lambda hits: (told[hits], -hits))
    return fits[best if told[best] >= told[1] + _FAR_LIKELIER else 1], told


def _fit(plate: _Plate, start: _Fit, sameness: Sameness, damage: Damage | None) -> _Fit:
    """Expectation-maximisation; how alike the effectors are is weighed when it stands still, and once more."""
    now = _climb(plate, start, sameness, damage, rounds=_ROUNDS)
    for _ in range(_LIKENESS_ROUNDS):
        hazards = replace(now.hazards, alike=_likeness(plate, now.hazards, sameness, damage))
        shares, activity = settle(plate.samples, hazards, sameness, damage, rounds=_SETTLED)
        start = _Fit(hazards=hazards, activity=activity, shares=shares)
        now = _climb(plate, start, sameness, damage, rounds=_ROUNDS)
    return now


def _likeness(plate: _Plate, hazards: Hazards, sameness: Sameness, damage: Damage | None) -> float:
    """How alike the effectors are: mean of its logarithm under a log-normal prior and what it foretells.

    A mean, because few kills tell next to nothing: then the prior's middle is right and an end of the range is not.
    """
    weights = np.zeros(len(_LIKENESS))
    for n, alike in enumerate(_LIKENESS):
        under = replace(hazards, alike=alike)
        shares, activity = settle(plate.samples, under, sameness, damage, rounds=_SETTLED)
        fit = _Fit(hazards=under, activity=activity, shares=shares)
        weights[n] = _foretold(plate, fit, sameness, damage)
    logs = np.log(_LIKENESS)
    away = logs - np.log(USUAL_LIKENESS)
    weights -= 0.5 * (away / np.where(away < 0, *_LIKENESS_SPREAD)) ** 2
    weights += np.log(np.gradient(logs))
    return float(np.exp(np.exp(weights - logsumexp(weights)) @ logs))


def _foretold(plate: _Plate, fit: _Fit, sameness: Sameness, damage: Damage | None) -> float:
    """How well every target's fate is told by all others, those of the control wells by h0 alone."""
    h0, samples = fit.hazards.h0, plate.samples
    told = left_out_likelihood(samples, fit.hazards, fit.shares, fit.activity, sameness, damage)
    elsewhere_min = plate.at_risk_min - float(samples.at_risk_min.sum())
    return told + plate.control_deaths * float(np.log(h0)) - h0 * elsewhere_min


def _climb(
    plate: _Plate,
    start: _Fit,
    sameness: Sameness,
    damage: Damage | None,
    *,
    rounds: int,
    h0: float | None = None,
) -> _Fit:
    now = start
    for _ in range(rounds):
        before = now.hazards
        strength = strengths(plate.samples, before, now.activity, damage)
        shares = share_deaths(plate.samples, before, now.activity, strength)
        hazards = _improve(plate, before, shares, strength.of_piece)
        hazards = replace(hazards, h0=hazards.h0 if h0 is None else h0)
        strength = strengths(plate.samples, hazards, now.activity, damage)
        expected = expected_kills(plate.samples, hazards, strength)
        activity = sameness.activity(shares.of_pair, expected, hazards.alike)
        now = _Fit(hazards=hazards, activity=activity, shares=shares)
        change = max(abs(hazards.h0 / before.h0 - 1.0), abs(hazards.rate / before.rate - 1.0))
        if change < _CLOSE and np.allclose(
            hazards.theta, before.theta, rtol=0.0, atol=_CLOSE * before.theta.max()
        ):
            break
    return now


def _improve(plate: _Plate, before: Hazards, shares: Shares, strength: Floats) -> Hazards:
    """The hazards under which these shares are likeliest, one after the other: each explains what the last left."""
    evidence = plate.samples
    pieces, prior, widths = evidence.pieces, _prior_lags(plate.edges), before.widths
    n_wells = len(before.potency)
    by_lag = np.bincount(evidence.row_bin, weights=shares.of_row, minlength=len(widths))
    exposure = strength @ evidence.exposure
    rate = (0.5 + float(by_lag.sum())) / (
        0.5 / PRIOR_KILLS_PER_CONTACT_MIN + float(np.sum(exposure * prior / widths))
    )
    theta = (_KERNEL_DEATHS * prior + by_lag) / (_KERNEL_DEATHS * widths / rate + exposure)
    kills = strength * (evidence.exposure @ theta)
    by_age = np.bincount(pieces.age[evidence.row_piece], weights=shares.of_row, minlength=N_AGES)
    expected = np.bincount(pieces.age, weights=kills, minlength=N_AGES) / before.readiness
    readiness = (_READY_DEATHS + by_age) / (_READY_DEATHS + expected)
    kills = kills * (readiness / before.readiness)[pieces.age]
    by_well = np.bincount(pieces.well[evidence.row_piece], weights=shares.of_row, minlength=n_wells)
    expected = np.bincount(pieces.well, weights=kills, minlength=n_wells) / before.potency
    spontaneous = plate.control_deaths + float(shares.of_nobody.sum())
    return replace(
        before,
        h0=(_H0_DEATHS + spontaneous) / (_H0_DEATHS / PRIOR_H0_PER_MIN + plate.at_risk_min),
        theta=theta,
        readiness=readiness,
        potency=(POTENCY_KILLS + by_well) / (POTENCY_KILLS + expected),
    )


def _h0_odds(plate: _Plate, fit: _Fit) -> tuple[tuple[tuple[float, float], ...], tuple[float, float]]:
    """How far the share that nobody gets may be off for want of knowing h0: other values of it, fitted anew.

    Each is weighed by the likelihood of the deaths and by a prior of h0 that is broader than the one of the fit.
    """
    evidence, sameness = plate.samples, Sameness(plate.samples)
    damage = damage_of(evidence) if fit.hazards.hits_needed > 1 else None
    deaths = float(evidence.death_weight.sum())
    if deaths == 0:
        return (), (0.0, 1.0)
    highest = 1.2 * (deaths + plate.control_deaths) / max(plate.at_risk_min, 1.0)
    grid = np.geomspace(
        _H0_STEPS[0] * fit.hazards.h0, max(_H0_STEPS[1] * fit.hazards.h0, highest), _H0_VALUES
    )
    grid = np.sort(np.append(grid, fit.hazards.h0))
    weights, shares = np.zeros(len(grid)), np.zeros(len(grid))
    for n, h0 in enumerate(grid.tolist()):
        start = replace(fit, hazards=replace(fit.hazards, h0=h0))
        one = _climb(plate, start, sameness, damage, rounds=_H0_ROUNDS, h0=h0)
        told = _foretold(plate, one, sameness, damage)
        told -= 0.5 * (np.log(h0 / PRIOR_H0_PER_MIN) / _H0_SPREAD) ** 2
        width = np.log(grid[min(n + 1, len(grid) - 1)] / grid[max(n - 1, 0)])
        weights[n] = told + np.log(width)
        shares[n] = float(one.shares.of_nobody.sum()) / deaths
    weights = np.exp(weights - logsumexp(weights))
    odds = np.log((1.0 - shares + 1e-3) / (shares + 1e-3))
    here = odds[int(np.argmin(np.abs(grid - fit.hazards.h0)))]
    total = np.cumsum(weights)
    low, high = (float(np.interp(q, total - weights / 2, shares)) for q in (0.05, 0.95))
    return tuple(zip((odds - here).tolist(), weights.tolist(), strict=True)), (low, high)


def _prior_lags(edges: Floats) -> Floats:
    prior = np.diff(ndtr(np.log(np.maximum(edges, 1e-9) / PRIOR_LAG_MIN) / PRIOR_LAG_SPREAD))
    return np.asarray(prior / prior.sum())
