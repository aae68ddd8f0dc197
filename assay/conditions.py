"""Conditions compared over wells: the well is the unit, never the cell.

Knows the rows of the wells table and each well's incidence. Gives no p-value over cells.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from assay.incidence import Incidence

_TAIL = 0.95  # upper end of a two-sided 90 % interval


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalCurve:
    """Targets of one condition through time: mean over wells with its 90 % band; NaN without two wells."""

    condition: str
    n_wells: int
    times_min: NDArray[np.float64]
    alive: NDArray[np.float64]
    alive_low: NDArray[np.float64]
    alive_high: NDArray[np.float64]
    killed: NDArray[np.float64]
    killed_low: NDArray[np.float64]
    killed_high: NDArray[np.float64]


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over wells and its 90 % t interval; NaN ends for a single well, all NaN for none."""
    if len(values) == 0:
        return math.nan, math.nan, math.nan
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stdtrit(len(values) - 1, _TAIL)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def difference_interval(
    values: NDArray[np.float64], control: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Difference of two means over wells and its 90 % interval (Welch); NaN ends with fewer than two wells."""
    if len(values) == 0 or len(control) == 0:
        return math.nan, math.nan, math.nan
    difference = float(np.mean(values) - np.mean(control))
    if min(len(values), len(control)) < 2:
        return difference, math.nan, math.nan
    parts = np.array([np.var(each, ddof=1) / len(each) for each in (values, control)])
    if parts.sum() == 0:
        return difference, difference, difference
    freedom = parts.sum() ** 2 / np.sum(parts**2 / (np.array([len(values), len(control)]) - 1))
    half = float(stdtrit(freedom, _TAIL)) * math.sqrt(parts.sum())
    return difference, difference - half, difference + half


def compare_conditions(
    wells: Sequence[Mapping[str, object]], *, untold: str | None = None
) -> list[dict[str, object]]:
    """Make the rows of the conditions table from rows of the wells table, in the order of their first well.

    A well without status "ok" does not count. Kills are per 100 live targets of the first frame, so that wells
    of different density may be put together. Control are all mock wells.

    Args:
        wells: Rows of the wells table.
        untold: Why the plate does not tell kills from spontaneous deaths; stands in the note of every condition
            in which effectors may kill.
    """
    names = list(dict.fromkeys(str(well["condition"]) for well in wells if well["condition"] is not None))
    mock = _kills_per_100([well for well in wells if well["kind"] == "mock"])
    return [
        _condition_row(name, [w for w in wells if w["condition"] == name], mock, untold) for name in names
    ]


def _condition_row(
    name: str, wells: Sequence[Mapping[str, object]], mock: NDArray[np.float64], untold: str | None
) -> dict[str, object]:
    kind = str(wells[0]["kind"])
    kills = _kills_per_100(wells)
    cytolysis = _numbers([well["cytolysis_percent"] for well in wells if well["status"] == "ok"])
    mean, low, high = mean_interval(kills)
    percent, percent_low, percent_high = mean_interval(cytolysis)
    apart = (math.nan, math.nan, math.nan) if kind == "mock" else difference_interval(kills, mock)
    return {
        "condition": name,
        "kind": kind,
        "n_wells": len(kills),
        "kills_per_100_targets": mean,
        "kills_per_100_targets_low": max(low, 0.0) if low == low else low,
        "kills_per_100_targets_high": high,
        "cytolysis_percent": percent,
        "cytolysis_percent_low": percent_low,
        "cytolysis_percent_high": percent_high,
        "difference_to_control": apart[0],
        "difference_low": apart[1],
        "difference_high": apart[2],
        "note": _note(kind, len(kills), len(cytolysis), len(mock), untold),
    }


def _note(kind: str, n_wells: int, n_cytolysis: int, n_mock: int, untold: str | None) -> str | None:
    notes = []
    if untold and kind == "sample" and n_wells > 0:
        notes.append(untold)
    if n_wells == 0:
        notes.append("no well counts")
    elif n_wells < 2:
        notes.append("one well: no interval")
    if n_wells > 0 and n_cytolysis == 0:
        notes.append("no target_only wells: no cytolysis_percent")
    if kind == "mock":
        notes.append("is the control itself: no difference")
    elif n_mock == 0:
        notes.append("no mock wells: no difference")
    elif n_mock < 2:
        notes.append("one mock well: the difference has no interval")
    return "; ".join(notes) or None


def _kills_per_100(wells: Sequence[Mapping[str, object]]) -> NDArray[np.float64]:
    ok = [well for well in wells if well["status"] == "ok"]
    kills, targets = _numbers([w["kills"] for w in ok]), _numbers([w["n_targets"] for w in ok])
    if len(kills) != len(ok) or len(targets) != len(ok):  # a well without a number does not count
        pairs = [(w["kills"], w["n_targets"]) for w in ok]
        known = [pair for pair in pairs if len(_numbers(pair)) == 2]
        kills, targets = _numbers([pair[0] for pair in known]), _numbers([pair[1] for pair in known])
    return np.asarray(100.0 * kills[targets > 0] / targets[targets > 0])


def _numbers(values: Sequence[object]) -> NDArray[np.float64]:
    """The values that are known."""
    known = [float(value) for value in values if isinstance(value, int | float)]
    return np.array([value for value in known if not math.isnan(value)])


def survival_curve(
    condition: str, wells: Sequence[Incidence], *, times_min: NDArray[np.float64]
) -> SurvivalCurve:
    """Put the curves of a condition's wells together: mean, and a 90 % t band with the well as unit.

    Args:
        condition: Its name.
        wells: One incidence per well, with "divided", "left" and "lost" censored.
        times_min: Times to give the curve at.
    """
    killed = np.array([well.on(times_min, "killed") for well in wells]).reshape(len(wells), len(times_min))
    other = np.array([well.on(times_min, "spontaneous") for well in wells]).reshape(killed.shape)
    alive = _band(1.0 - killed - other)
    shown = _band(killed)
    return SurvivalCurve(
        condition=condition,
        n_wells=len(wells),
        times_min=times_min,
        alive=alive[0],
        alive_low=alive[1],
        alive_high=alive[2],
        killed=shown[0],
        killed_low=shown[1],
        killed_high=shown[2],
    )


def _band(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    columns = [mean_interval(curves[:, n]) for n in range(curves.shape[1])]
    return np.asarray(np.clip(np.array(columns).reshape(-1, 3).T, 0.0, 1.0))
