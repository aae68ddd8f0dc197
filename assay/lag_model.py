"""How long after a contact a target dies of it, and how often targets die of nothing: one model per plate.

Knows contacts, deaths and when each target was seen. Knows nothing of pixels. `kills.py` credits with it.

The hazard of a target at frame f, per minute, is

    h0 + potency x sum over its contacts c, over frames s < f of c, of theta(lag = (f - s) x frame_min) x frame_min

theta is a staircase over lags up to `max_lag_min`; h0 and theta are fitted together by expectation-maximisation
(stochastic declustering: Zhuang 2002, doi:10.1198/016214502760046925), each held by a weak prior. Targets of
target-only and mock wells count for h0 alone. The potency of a well, 1 where nothing else is known, says how
often its contacts kill compared with the plate's; a mock well's is then fitted too, and comes out near 0.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from assay.contacts import Contact
from assay.deaths import Death
from assay.tracks import Track
from assay.units import Calibration

CONTROL_KINDS = ("target_only", "mock")
"""Wells in which no effector kills: what dies there, dies by itself."""

PRIOR_H0_PER_MIN = 5e-5
"""Spontaneous hazard where nothing is known: 0.3 % of the targets an hour."""

PRIOR_KILLS_PER_CONTACT_MIN = 2e-3
"""Kills a minute of contact leads to where nothing is known: 3 % of contacts of a quarter of an hour."""

PRIOR_LAG_MIN = 45.0
PRIOR_LAG_SPREAD = 1.0
"""Median of the prior lag and sd of its logarithm: broad, minutes to hours."""

_EDGES_MIN = (0, 4, 8, 12, 18, 25, 35, 50, 70, 100, 140, 200, 280, 400, 560, 800, 1200, 1800, 2880, 5760)
_H0_DEATHS = 1.0  # the prior on h0 counts as so many deaths
_KERNEL_DEATHS = 4.0  # the prior on theta counts as so many deaths, over all lags together
_POTENCY_KILLS = 3.0  # the prior on a well's potency counts as so many kills
_CONTROL_CHANCE = 0.5  # kills of a mock well that pass for chance
_CONTROL_LEAST = 0.1
_ROUNDS = 300
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEvents:
    """What happened in one field: who touched whom, which targets died, when each target was in sight."""

    well: str
    field: int
    kind: str | None  # of the well's condition; None where the plate map leaves it out
    n_frames: int
    calibration: Calibration
    contacts: tuple[Contact, ...]
    deaths: tuple[Death, ...]  # of targets
    targets: tuple[Track, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LagModel:
    """Fitted hazards. `kernel_per_min2[b]` holds for lags from `edges_min[b]` to `edges_min[b + 1]`."""

    edges_min: tuple[float, ...]
    kernel_per_min2: tuple[float, ...]  # deaths per minute, per minute of contact
    h0_per_min: float
    h0_deaths: float  # deaths the spontaneous hazard rests on, prior included
    kill_deaths: float  # deaths the kernel rests on, prior included
    potency: Mapping[str, float]  # well -> its contacts' strength compared with the plate's
    potency_kills: Mapping[str, float]  # well -> how many kills, seen without others, would tell it as well
    has_controls: bool

    def kernel(self, lags_min: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hazard per minute that a minute of contact causes after each lag; 0 beyond the longest."""
        place = np.searchsorted(self.edges_min, lags_min, side="left") - 1
        inside = (place >= 0) & (place < len(self.kernel_per_min2))
        steps = np.asarray(self.kernel_per_min2)
        return np.where(inside, steps[np.clip(place, 0, len(steps) - 1)], 0.0)

    @property
    def kills_per_contact_min(self) -> float:
        """Deaths that a minute of contact leads to in the end."""
        return float(np.sum(np.diff(self.edges_min) * np.asarray(self.kernel_per_min2)))

    @property
    def median_lag_min(self) -> float:
        """Half of the killed targets die sooner after the minute of contact that killed them."""
        mass = np.diff(self.edges_min) * np.asarray(self.kernel_per_min2)
        total = np.concatenate([[0.0], np.cumsum(mass)])
        return float(np.interp(total[-1] / 2, total, self.edges_min))


def onset_weights(death: Death) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Frames that may hold the onset of a death, and how probable each is; the weights sum to 1."""
    frames = np.arange(death.first_possible_frame, death.last_possible_frame + 1)
    before = max((death.frame - death.first_possible_frame + 0.5) / 1.645, 0.3)
    after = max((death.last_possible_frame - death.frame + 0.5) / 1.645, 0.3)
    away = frames - death.frame
    weights = np.exp(-0.5 * (away / np.where(away < 0, before, after)) ** 2)
    return frames, np.asarray(weights / weights.sum())


def lag_edges(max_lag_min: float) -> NDArray[np.float64]:
    """Edges of the staircase, finer at short lags, ending at the longest lag."""
    inner = np.array([edge for edge in _EDGES_MIN if edge < 0.85 * max_lag_min], dtype=np.float64)
    return np.append(inner, max_lag_min)


def contact_minutes(
    contacts: Sequence[Contact], frame: int, edges_min: NDArray[np.float64], frame_min: float
) -> NDArray[np.float64]:
    """Minutes of each contact that lie in each lag bin before `frame`: (contacts, bins)."""
    first = np.array([contact.first_frame for contact in contacts], dtype=np.int64)[:, None]
    last = np.array([contact.last_frame for contact in contacts], dtype=np.int64)[:, None]
    last = np.minimum(last, frame - 1)
    # frames s of the contact with edge < (frame - s) x frame_min <= next edge
    reach = np.floor(edges_min / frame_min + 1e-9)[None, :]
    newest, oldest = frame - reach[:, :-1] - 1, frame - reach[:, 1:]
    return np.asarray(np.maximum(np.minimum(last, newest) - np.maximum(first, oldest) + 1, 0.0) * frame_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Events of some fields in the shape that the fit needs."""

    minutes: NDArray[np.float64]  # (onsets, bins) minutes of all contacts before a possible onset of a death
    weight: NDArray[np.float64]  # (onsets,) probability of the death x of this onset frame
    exposure: NDArray[np.float64]  # (bins,) contact minutes x minutes at risk
    at_risk_min: float  # of all targets


def fit_lag_model(
    fields: Sequence[FieldEvents], *, max_lag_min: float, control_kinds: Collection[str] = CONTROL_KINDS
) -> LagModel:
    """Fit the spontaneous hazard, the lag kernel and each well's potency to all fields of a plate.

    Without control wells spontaneous deaths and kills are told apart by the timing of deaths after contacts
    alone, which fails where nearly every target is touched all the time: `has_controls` says so. Without
    deaths, or without contacts, the priors above come back.

    Args:
        fields: All fields that count.
        max_lag_min: Longest time from contact to death.
        control_kinds: Kinds of wells in which no effector kills.
    """
    edges = lag_edges(max_lag_min)
    ordered = sorted(fields, key=lambda field: (field.well, field.field))
    wells: dict[str, list[FieldEvents]] = {}
    for field in ordered:
        wells.setdefault(field.well, []).append(field)
    evidence = {well: _gather(mine, edges) for well, mine in wells.items()}
    control = {well for well, mine in wells.items() if mine[0].kind in control_kinds}
    start = _Hazards(
        h0=PRIOR_H0_PER_MIN,
        rate=PRIOR_KILLS_PER_CONTACT_MIN,
        theta=PRIOR_KILLS_PER_CONTACT_MIN * _prior_lags(edges) / np.diff(edges),
        potency=dict.fromkeys(wells, 1.0),
        spontaneous=0.0,
        caused=0.0,
    )
    fitted = _fit(evidence, control, edges, start)
    potency = dict(fitted.potency)
    for well in sorted(control):
        potency[well] = _own_potency(evidence[well], fitted)
    rests_on = {well: _rests_on(evidence[well], fitted, potency[well]) for well in wells}
    return LagModel(
        edges_min=tuple(float(edge) for edge in edges),
        kernel_per_min2=tuple(float(step) for step in fitted.theta),
        h0_per_min=fitted.h0,
        h0_deaths=_H0_DEATHS + fitted.spontaneous,
        kill_deaths=0.5 + fitted.caused,
        potency=potency,
        potency_kills=rests_on,
        has_controls=bool(control),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hazards:
    """Where the fit stands."""

    h0: float
    rate: float
    theta: NDArray[np.float64]
    potency: dict[str, float]
    spontaneous: float  # deaths
    caused: float


def _prior_lags(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    prior = np.diff(ndtr(np.log(np.maximum(edges, 1e-9) / PRIOR_LAG_MIN) / PRIOR_LAG_SPREAD))
    return np.asarray(prior / prior.sum())


def _fit(
    evidence: Mapping[str, _Evidence], control: Collection[str], edges: NDArray[np.float64], start: _Hazards
) -> _Hazards:
    """Expectation-maximisation over all wells; the control wells' deaths are all spontaneous."""
    prior, widths = _prior_lags(edges), np.diff(edges)
    at_risk = sum(each.at_risk_min for each in evidence.values())
    control_deaths = sum(float(evidence[well].weight.sum()) for well in sorted(control))
    now = start
    for _ in range(_ROUNDS):
        spontaneous, caused = control_deaths, np.zeros(len(widths))
        exposure = np.zeros(len(widths))
        potency = dict(now.potency)
        for well, mine in evidence.items():
            if well in control:
                continue
            by_lag, alone = _expect(mine, now.theta * now.potency[well], now.h0)
            caused, spontaneous = caused + by_lag, spontaneous + alone
            exposure += now.potency[well] * mine.exposure
            potency[well] = _potency(float(by_lag.sum()), float(mine.exposure @ now.theta))
        rate = (0.5 + float(caused.sum())) / (
            0.5 / PRIOR_KILLS_PER_CONTACT_MIN + float(np.sum(exposure * prior / widths))
        )
        following = _Hazards(
            h0=(_H0_DEATHS + spontaneous) / (_H0_DEATHS / PRIOR_H0_PER_MIN + at_risk),
            rate=rate,
            theta=(_KERNEL_DEATHS * prior + caused) / (_KERNEL_DEATHS * widths / rate + exposure),
            potency=potency,
            spontaneous=spontaneous,
            caused=float(caused.sum()),
        )
        close = np.allclose(following.theta, now.theta, rtol=_CLOSE, atol=0.0)
        close = close and abs(following.h0 - now.h0) <= _CLOSE * now.h0
        now = following
        if close:
            break
    return now


def _potency(caused: float, expected: float) -> float:
    return (_POTENCY_KILLS + caused) / (_POTENCY_KILLS + expected)


def _own_potency(evidence: _Evidence, fitted: _Hazards) -> float:
    """Potency of a well that the fit took for a control: how far its contacts kill after all.

    The mode of the posterior under a gamma prior that is highest at 0: what may be chance counts as chance.
    """
    expected = float(evidence.exposure @ fitted.theta)
    potency = 1.0
    for _ in range(_ROUNDS):
        by_lag, _alone = _expect(evidence, fitted.theta * potency, fitted.h0)
        excess = max(float(by_lag.sum()) - _CONTROL_CHANCE, _CONTROL_LEAST)
        before, potency = potency, excess / (_POTENCY_KILLS + expected)
        if abs(potency - before) <= _CLOSE * before:
            break
    return potency


def _rests_on(evidence: _Evidence, fitted: _Hazards, potency: float) -> float:
    """Few kills among many spontaneous deaths tell a potency badly: (kills / error)^2, the error being Poisson."""
    by_lag, alone = _expect(evidence, fitted.theta * potency, fitted.h0)
    kills = float(by_lag.sum())
    return kills**2 / max(kills + alone, 1e-9) + _CONTROL_CHANCE


def _expect(evidence: _Evidence, theta: NDArray[np.float64], h0: float) -> tuple[NDArray[np.float64], float]:
    """Expected deaths caused at each lag, and expected spontaneous deaths."""
    parts = evidence.minutes * theta
    share = evidence.weight / (h0 + parts.sum(axis=1))
    return (share[:, None] * parts).sum(axis=0), float(np.sum(share * h0))


def _gather(fields: Sequence[FieldEvents], edges: NDArray[np.float64]) -> _Evidence:
    minutes: list[NDArray[np.float64]] = []
    weight: list[float] = []
    exposure = np.zeros(len(edges) - 1)
    at_risk = 0.0
    for field in fields:
        ends = alive_until(field)
        frame_min = field.calibration.minutes(1)
        at_risk += frame_min * sum(ends[track.track_id] - track.first_frame for track in field.targets)
        exposure += contact_exposure(field, edges, ends=ends).sum(axis=0)
        touching = contacts_by_target(field.contacts)
        for death in field.deaths:
            mine = touching.get(death.track_id, [])
            for frame, chance in zip(*onset_weights(death), strict=True):
                early = [contact for contact in mine if contact.first_frame <= min(death.frame, frame)]
                minutes.append(contact_minutes(early, int(frame), edges, frame_min).sum(axis=0))
                weight.append(death.probability * float(chance))
    return _Evidence(
        minutes=np.stack(minutes) if minutes else np.zeros((0, len(edges) - 1)),
        weight=np.array(weight),
        exposure=exposure,
        at_risk_min=at_risk,
    )


def contacts_by_target(contacts: Sequence[Contact]) -> dict[int, list[Contact]]:
    """Contacts of each target, in their order."""
    touching: dict[int, list[Contact]] = {}
    for contact in contacts:
        touching.setdefault(contact.target_track_id, []).append(contact)
    return touching


def alive_until(field: FieldEvents) -> dict[int, int]:
    """Last frame in which each target was alive and in sight, as far as we know."""
    ends = {track.track_id: track.last_frame for track in field.targets}
    for death in field.deaths:
        if death.track_id in ends and death.probability >= 0.5:
            ends[death.track_id] = min(ends[death.track_id], death.frame)
    return ends


def contact_exposure(
    field: FieldEvents, edges: NDArray[np.float64], *, ends: Mapping[int, int]
) -> NDArray[np.float64]:
    """Minutes of each contact x minutes at risk of its target after them, per lag bin: (contacts, bins)."""
    frame_min = field.calibration.minutes(1)
    lags = np.arange(1, int(np.floor(edges[-1] / frame_min + 1e-9)) + 1)
    bins = np.searchsorted(edges, lags * frame_min * (1 - 1e-12), side="left") - 1
    total = np.zeros((len(field.contacts), len(edges) - 1))
    if len(field.contacts) == 0:
        return total
    first = np.array([contact.first_frame for contact in field.contacts])
    last = np.array([contact.last_frame for contact in field.contacts])
    end = np.array([ends.get(contact.target_track_id, -1) for contact in field.contacts])
    for lag, place in zip(lags, bins, strict=True):
        total[:, place] += np.maximum(np.minimum(end - lag, last) - first + 1, 0)
    return total * frame_min**2
