"""How long after a contact a target dies of it, and how often targets die of nothing: one model per plate.

Knows contacts, deaths and when each target was seen. Knows nothing of pixels. `kills.py` credits with it.

The hazard of a target at frame f, per minute, is

    h0 + sum over its contacts c, over the frames s < f of c, of theta(lag = (f - s) x frame_min) x frame_min

theta is a staircase over lags up to `max_lag_min`; h0 and theta are fitted together by expectation-maximisation
(stochastic declustering: Zhuang 2002, doi:10.1198/016214502760046925), each held by a weak prior. Targets of
target-only and mock wells count for h0 alone.
"""

from collections.abc import Collection, Sequence
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
_ROUNDS = 300
_CLOSE = 1e-7


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
    first = np.array([contact.first_frame for contact in contacts])[:, None]
    last = np.minimum(np.array([contact.last_frame for contact in contacts])[:, None], frame - 1)
    # frames s of the contact with edge < (frame - s) x frame_min <= next edge
    reach = np.floor(edges_min / frame_min + 1e-9)[None, :]
    newest, oldest = frame - reach[:, :-1] - 1, frame - reach[:, 1:]
    return np.asarray(np.maximum(np.minimum(last, newest) - np.maximum(first, oldest) + 1, 0.0) * frame_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """A plate's events in the shape that the fit needs."""

    minutes: NDArray[np.float64]  # (rows, bins) contact minutes of a death, an onset frame and a contact
    onset: NDArray[np.int64]  # (rows,) which entry of `weight`
    weight: NDArray[np.float64]  # (onsets,) probability of the death x of this onset frame
    exposure: NDArray[np.float64]  # (bins,) contact minutes x minutes at risk
    at_risk_min: float  # of all targets
    control_deaths: float


def fit_lag_model(
    fields: Sequence[FieldEvents], *, max_lag_min: float, control_kinds: Collection[str] = CONTROL_KINDS
) -> LagModel:
    """Fit the spontaneous hazard and the lag kernel to all fields of a plate.

    Without control wells the two are told apart by the timing of deaths after contacts alone, which fails
    where nearly every target is touched all the time: `has_controls` says so. Without deaths, or without
    contacts, the priors above come back.

    Args:
        fields: All fields that count.
        max_lag_min: Longest time from contact to death.
        control_kinds: Kinds of wells in which no effector kills.
    """
    edges = lag_edges(max_lag_min)
    evidence = _gather(fields, edges, control_kinds)
    widths = np.diff(edges)
    prior = np.diff(ndtr(np.log(np.maximum(edges, 1e-9) / PRIOR_LAG_MIN) / PRIOR_LAG_SPREAD))
    prior = prior / prior.sum()
    h0, rate = PRIOR_H0_PER_MIN, PRIOR_KILLS_PER_CONTACT_MIN
    theta = rate * prior / widths
    spontaneous, caused = 0.0, np.zeros(len(widths))
    for _ in range(_ROUNDS):
        before = np.append(theta, h0)
        caused, spontaneous = _expect(evidence, theta, h0)
        h0 = (_H0_DEATHS + evidence.control_deaths + spontaneous) / (
            _H0_DEATHS / PRIOR_H0_PER_MIN + evidence.at_risk_min
        )
        usual = float(np.sum(evidence.exposure * prior / widths))
        rate = (0.5 + float(caused.sum())) / (0.5 / PRIOR_KILLS_PER_CONTACT_MIN + usual)
        theta = (_KERNEL_DEATHS * prior + caused) / (_KERNEL_DEATHS * widths / rate + evidence.exposure)
        if np.all(np.abs(np.append(theta, h0) - before) <= _CLOSE * before):
            break
    return LagModel(
        edges_min=tuple(float(edge) for edge in edges),
        kernel_per_min2=tuple(float(step) for step in theta),
        h0_per_min=float(h0),
        h0_deaths=_H0_DEATHS + evidence.control_deaths + spontaneous,
        kill_deaths=0.5 + float(caused.sum()),
        has_controls=any(field.kind in control_kinds for field in fields),
    )


def _expect(evidence: _Evidence, theta: NDArray[np.float64], h0: float) -> tuple[NDArray[np.float64], float]:
    """Expected deaths caused at each lag, and expected spontaneous deaths."""
    parts = evidence.minutes * theta
    total = h0 + np.bincount(evidence.onset, weights=parts.sum(axis=1), minlength=len(evidence.weight))
    share = evidence.weight / total
    return parts.T @ share[evidence.onset], float(np.sum(share * h0))


def _gather(
    fields: Sequence[FieldEvents], edges: NDArray[np.float64], control_kinds: Collection[str]
) -> _Evidence:
    minutes: list[NDArray[np.float64]] = []
    onset: list[int] = []
    weight: list[float] = []
    exposure = np.zeros(len(edges) - 1)
    at_risk, control_deaths = 0.0, 0.0
    for field in sorted(fields, key=lambda field: (field.well, field.field)):
        ends = _ends(field)
        frame_min = field.calibration.minutes(1)
        at_risk += frame_min * sum(ends[track.track_id] - track.first_frame for track in field.targets)
        if field.kind in control_kinds:
            control_deaths += sum(death.probability for death in field.deaths)
            continue
        exposure += _exposure(field, ends, edges)
        touching = contacts_by_target(field.contacts)
        for death in field.deaths:
            mine = touching.get(death.track_id, [])
            for frame, chance in zip(*onset_weights(death), strict=True):
                early = [contact for contact in mine if contact.first_frame <= min(death.frame, frame)]
                if early:
                    rows = contact_minutes(early, int(frame), edges, frame_min)
                    minutes.append(rows)
                    onset += [len(weight)] * len(rows)
                weight.append(death.probability * float(chance))
    return _Evidence(
        minutes=np.concatenate(minutes) if minutes else np.zeros((0, len(edges) - 1)),
        onset=np.array(onset, dtype=np.int64),
        weight=np.array(weight),
        exposure=exposure,
        at_risk_min=at_risk,
        control_deaths=control_deaths,
    )


def contacts_by_target(contacts: Sequence[Contact]) -> dict[int, list[Contact]]:
    """Contacts of each target, in their order."""
    touching: dict[int, list[Contact]] = {}
    for contact in contacts:
        touching.setdefault(contact.target_track_id, []).append(contact)
    return touching


def _ends(field: FieldEvents) -> dict[int, int]:
    """Last frame in which each target was alive and in sight, as far as we know."""
    ends = {track.track_id: track.last_frame for track in field.targets}
    for death in field.deaths:
        if death.track_id in ends and death.probability >= 0.5:
            ends[death.track_id] = min(ends[death.track_id], death.frame)
    return ends


def _exposure(field: FieldEvents, ends: dict[int, int], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contact minutes x minutes at risk that the field's targets spent in each lag bin."""
    frame_min = field.calibration.minutes(1)
    lags = np.arange(1, int(np.floor(edges[-1] / frame_min + 1e-9)) + 1)
    bins = np.searchsorted(edges, lags * frame_min * (1 - 1e-12), side="left") - 1
    known = [contact for contact in field.contacts if contact.target_track_id in ends]
    if not known or len(lags) == 0:
        return np.zeros(len(edges) - 1)
    first = np.array([contact.first_frame for contact in known])[:, None]
    last = np.array([contact.last_frame for contact in known])[:, None]
    end = np.array([ends[contact.target_track_id] for contact in known])[:, None]
    at_risk = np.maximum(np.minimum(end - lags[None, :], last) - first + 1, 0).sum(axis=0)
    total = np.bincount(bins, weights=at_risk * frame_min**2, minlength=len(edges) - 1)
    return total[: len(edges) - 1].astype(np.float64)
