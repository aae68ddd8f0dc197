"""How numbers are written: unknown is a dash and never a zero, intervals stand in brackets."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "–"


def number(value: Any, digits: int = 1) -> str:
    """A number with so many decimals; a dash where it is not known."""
    if value is None or not math.isfinite(float(value)):
        return UNKNOWN
    written = f"{float(value):.{digits}f}"
    return written.lstrip("-") if float(written) == 0 else written.replace("-", "−")


def interval(value: Any, low: Any, high: Any, *, digits: int = 1, dash: str = "–") -> str:
    """A number with its interval, as 12.3 (9.8–15.0)."""
    main = number(value, digits)
    if main == UNKNOWN or not is_known(low) or not is_known(high):
        return main
    join = " to " if float(low) < 0 else dash
    return f"{main} ({number(low, digits)}{join}{number(high, digits)})"


def is_known(value: Any) -> bool:
    """Neither None nor NaN."""
    return value is not None and math.isfinite(float(value))


def minutes(value: Any) -> str:
    """A time as 45 min or 6.5 h."""
    if not is_known(value):
        return UNKNOWN
    return f"{float(value):.0f} min" if abs(float(value)) < 120 else f"{float(value) / 60:.1f} h"


def count(n: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 well, 2 wells."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def rows(table: Mapping[str, NDArray[Any]] | None) -> list[dict[str, Any]]:
    """The rows of a table as mappings; a table that is not there has none."""
    if not table:
        return []
    names = list(table)
    return [dict(zip(names, values, strict=True)) for values in zip(*table.values(), strict=True)]


def kills_per_100(well: Mapping[str, Any]) -> tuple[float, float, float]:
    """Kills per 100 targets of a row of `wells`, with its interval; NaN where there is no target."""
    targets = float(well["n_targets"])
    if not (well["status"] == "ok" and math.isfinite(targets) and targets > 0):
        return math.nan, math.nan, math.nan
    low, middle, high = (100.0 * float(well[name]) / targets for name in ("kills_low", "kills", "kills_high"))
    return middle, low, high


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The value below which half of the weight lies; NaN where there is none."""
    if not values.size or weights.sum() <= 0:
        return math.nan
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
