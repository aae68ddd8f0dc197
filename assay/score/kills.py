"""How well deaths are credited: effector-killed or not, and by whom.

A death is effector-killed when less than half of it stays uncredited. The killer of a true death is the
effector with the largest true share; where two share it equally, either is right. What is asked of "the
deaths found" is asked of the paired deaths within max(3 frames, 10 min).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.errors import ResultsError
from assay.score.cells import ratio
from assay.score.deaths import DeathPairs, window_frames
from assay.score.matching import Identities

ECE_BINS = 10
END_TO_END_FRAMES = 2
UNCREDITED_LIMIT = 0.5

Forecast = tuple[float, bool]  # stated probability, what was true


@dataclass(frozen=True, slots=True, kw_only=True)
class KillCounts:
    """Kills of one field, right and wrong."""

    n_true: int  # deaths that are effector-killed
    n_called: int
    both_killed: int  # paired, at any distance in time
    end_to_end: int  # right target, within 2 frames, right top effector
    found_killed: int  # truly effector-killed among the deaths found
    top_right: int
    shares_to_killer: tuple[float, ...]
    caused: tuple[Forecast, ...]  # 1 - uncredited_share, of every death found
    top: tuple[Forecast, ...]  # the largest share, of every death found that names an effector

    @property
    def kill_f1(self) -> float:
        """2 TP / (2 TP + FP + FN) over targets called effector-killed, whenever they died."""
        return ratio(2 * self.both_killed, self.n_true + self.n_called)

    @property
    def end_to_end_f1(self) -> float:
        """2 TP / (2 TP + FP + FN) over effector-killed targets with the right killer within 2 frames."""
        return ratio(2 * self.end_to_end, self.n_true + self.n_called)

    @property
    def top_effector_right(self) -> float:
        """Share of the found, truly effector-killed deaths whose largest share goes to the killer."""
        return ratio(self.top_right, self.found_killed)

    @property
    def killer_share(self) -> float:
        """Mean share that the killer gets in those deaths, all its called tracks together."""
        return ratio(sum(self.shares_to_killer), len(self.shares_to_killer))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What a table says of one death; the effectors by their true ids."""

    killed: bool
    caused: float
    top: frozenset[int | None]  # more than one only where the largest true shares are equal
    top_share: float
    shares: dict[int | None, float]


def count_kills(
    true_deaths: Table,
    called_deaths: Table,
    true_kills: Table,
    called_kills: Table,
    called_contacts: Table,
    *,
    pairs: DeathPairs,
    effectors: Identities,
    frame_min: float | None,
) -> KillCounts:
    """Compare the credit of one field's target deaths.

    An effector that is credited is who it was during the credited contact.

    Args:
        true_deaths: Target deaths of the truth.
        called_deaths: Target deaths of RESULTS.
        true_kills: Rows of the kills table of the truth.
        called_kills: The same from RESULTS.
        called_contacts: Contacts of RESULTS, to look the credited ones up.
        pairs: Which called death is which true one.
        effectors: Who the called effectors are.
        frame_min: Frame interval; None takes 3 frames for the window.
    """
    truth = _verdicts(true_deaths, true_kills, None, None, tied=True)
    verdicts = _verdicts(called_deaths, called_kills, called_contacts, effectors, tied=False)
    window = window_frames(frame_min)
    paired = [
        (truth[true_row], verdicts[row], abs(error))
        for true_row, row, error in zip(
            pairs.true_rows.tolist(), pairs.called_rows.tolist(), pairs.error_frames.tolist(), strict=True
        )
    ]
    found = [(true, called) for true, called, error in paired if error <= window]
    killed = [(true, called) for true, called in found if true.killed]
    return KillCounts(
        n_true=sum(verdict.killed for verdict in truth),
        n_called=sum(verdict.killed for verdict in verdicts),
        both_killed=sum(true.killed and called.killed for true, called, _ in paired),
        end_to_end=sum(
            true.killed and called.killed and error <= END_TO_END_FRAMES and bool(true.top & called.top)
            for true, called, error in paired
        ),
        found_killed=len(killed),
        top_right=sum(bool(true.top & called.top) for true, called in killed),
        shares_to_killer=tuple(
            max((called.shares.get(killer, 0.0) for killer in true.top), default=0.0)
            for true, called in killed
        ),
        caused=tuple((called.caused, true.killed) for true, called in found),
        top=tuple((called.top_share, bool(true.top & called.top)) for true, called in found if called.shares),
    )


def _verdicts(
    deaths: Table, kills: Table, contacts: Table | None, effectors: Identities | None, *, tied: bool
) -> list[_Verdict]:
    """One verdict per row of `deaths`; with `effectors`, called ids become true ones (None: nobody)."""
    frames = _frames_of(contacts) if contacts is not None else {}
    credited: dict[int, list[tuple[float, int, int | None]]] = {}
    names = ("death_id", "effector_track_id", "contact_id", "share")
    for death_id, track_id, contact_id, share in zip(*(kills[name].tolist() for name in names), strict=True):
        identity: int | None = track_id
        if effectors is not None:
            seen = frames.get(contact_id)
            identity = effectors.during(track_id, *seen) if seen else effectors.of_track(track_id)
        credited.setdefault(death_id, []).append((-share, track_id, identity))
    uncredited = _uncredited(deaths)
    return [
        _verdict(sorted(credited.get(death_id, []), key=lambda entry: entry[:2]), left, tied=tied)
        for death_id, left in zip(deaths["death_id"].tolist(), uncredited, strict=True)
    ]


def _frames_of(contacts: Table) -> dict[int, tuple[int, int]]:
    names = ("contact_id", "first_frame", "last_frame")
    rows = zip(*(contacts[name].tolist() for name in names), strict=True)
    return {contact_id: (first, last) for contact_id, first, last in rows}


def _verdict(entries: list[tuple[float, int, int | None]], uncredited: float, *, tied: bool) -> _Verdict:
    shares: dict[int | None, float] = {}
    for negative, _, identity in entries:
        shares[identity] = shares.get(identity, 0.0) - negative
    best = entries[0][0] if entries else 0.0
    top = (
        [identity for negative, _, identity in entries if negative == best]
        if tied
        else [e[2] for e in entries[:1]]
    )
    return _Verdict(
        killed=uncredited < UNCREDITED_LIMIT,
        caused=1.0 - uncredited,
        top=frozenset(top) - {None},
        top_share=-best,
        shares=shares,
    )


def _uncredited(deaths: Table) -> list[float]:
    unknown = np.isnan(deaths["uncredited_share"])
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise ResultsError(
            f"well {deaths['well'][row]}, field {deaths['field'][row]}: target death {deaths['death_id'][row]} has "
            "no uncredited_share, expected a number from 0 to 1. Credit is given at the end of `killassay run`; "
            "run it again on the same RESULTS to finish."
        )
    return [float(value) for value in deaths["uncredited_share"].tolist()]


def brier(forecasts: tuple[Forecast, ...]) -> float:
    """Mean squared difference of the stated probability and what was true; 0 is best."""
    return ratio(sum((stated - happened) ** 2 for stated, happened in forecasts), len(forecasts))


def ece(forecasts: tuple[Forecast, ...]) -> float:
    """Expected calibration error: ten bins of equal width over 0 to 1, the last including 1.

    Mean over the forecasts of |mean stated probability - share that came true| of their bin.
    """
    if not forecasts:
        return float("nan")
    _, stated, happened = _binned(forecasts)
    return float(np.abs(stated - happened).sum() / len(forecasts))


def reliability(forecasts: tuple[Forecast, ...]) -> list[tuple[int, float, float]]:
    """Of each of the bins of `ece`: forecasts, mean stated probability, share that came true; NaN of none."""
    count, stated, happened = _binned(forecasts)
    return [
        (n, ratio(mean, n), ratio(share, n))
        for n, mean, share in zip(count.tolist(), stated.tolist(), happened.tolist(), strict=True)
    ]


def _binned(
    forecasts: tuple[Forecast, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each bin: forecasts, and the sums of what was stated and of what came true."""
    stated = np.array([probability for probability, _ in forecasts], dtype=np.float64)
    happened = np.array([outcome for _, outcome in forecasts], dtype=np.float64)
    bins = np.clip(np.floor(np.round(stated * ECE_BINS, 9)).astype(np.int64), 0, ECE_BINS - 1)
    count = np.bincount(bins, minlength=ECE_BINS).astype(np.int64)
    sums = [
        np.asarray(np.bincount(bins, weights=values, minlength=ECE_BINS), dtype=np.float64)
        for values in (stated, happened)
    ]
    return count, sums[0], sums[1]
