"""How far the numbers of wells are from the truth.

Only wells in which effectors meet targets are asked (kind "sample" or "mock", or none given): in target-only
wells no kill is possible and the intervals hold it for free.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.columns import Table, take
from assay.score.cells import ratio

SINGLE_KINDS = ("target_only", "effector_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueWell:
    """What truly happened in one well, over the fields that count."""

    well: str
    kind: str | None
    deaths: float
    kills: float
    alive: int  # targets alive in the last frame

    @property
    def dead_share(self) -> float:
        """Share that died, of those that died and those alive in the last frame."""
        return ratio(self.deaths, self.deaths + self.alive)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberScores:
    """One number of the wells table against the truth."""

    bias: float  # mean of called - true
    absolute_error: float  # mean of |called - true|
    relative_error: float  # mean of |called - true| / true over wells whose true number is above 0
    coverage: float  # share of wells whose 90 % interval holds the truth
    n_wells: int
    n_missing: int  # wells with a true number and none called; in none of the above


def true_well(well: str, kind: str | None, deaths: Table, last_cells: Table) -> TrueWell:
    """Count what truly happened in one well.

    Args:
        well: Its name.
        kind: From the plate map; None if it has none.
        deaths: The truth's deaths of this well, effectors too.
        last_cells: The truth's cells of this well in the last frame of each film (role and dead are read).
    """
    targets = take(deaths, deaths["role"] == "target")
    alive = (last_cells["role"] == "target") & ~last_cells["dead"].astype(np.bool_)
    caused = targets["probability"] * (1.0 - targets["uncredited_share"])
    return TrueWell(
        well=well,
        kind=kind,
        deaths=math.fsum(targets["probability"].tolist()),
        kills=math.fsum(caused.tolist()),
        alive=int(np.count_nonzero(alive)),
    )


def true_cytolysis(wells: Sequence[TrueWell]) -> dict[str, float]:
    """cytolysis_percent of each well by the product's own formula; NaN without target-only wells.

    100 (d - d0) / (1 - d0), with d the dead share of the well and d0 that of all target-only wells together.
    """
    alone = [well for well in wells if well.kind == "target_only"]
    dead = math.fsum(well.deaths for well in alone)
    base = ratio(dead, dead + sum(well.alive for well in alone))
    return {well.well: ratio(100.0 * (well.dead_share - base), 1.0 - base) for well in wells}


def score_number(name: str, truth: dict[str, float], wells: Table) -> NumberScores:
    """Compare one column of the wells table, with its interval, to the truth.

    Args:
        name: "kills" or "cytolysis_percent"; its interval is in `<name>_low` and `<name>_high`.
        truth: Well -> true number; wells whose true number is NaN are left out.
        wells: The wells table of RESULTS.
    """
    row_of = {well: row for row, well in enumerate(wells["well"].tolist())}
    known = {well: value for well, value in sorted(truth.items()) if not math.isnan(value)}
    errors: list[float] = []
    relative: list[float] = []
    held: list[bool] = []
    for well, value in known.items():
        row = row_of.get(well)
        if row is None or math.isnan(wells[name][row]):
            continue
        errors.append(float(wells[name][row]) - value)
        if value > 0:
            relative.append(abs(errors[-1]) / value)
        low, high = float(wells[f"{name}_low"][row]), float(wells[f"{name}_high"][row])
        if not (math.isnan(low) or math.isnan(high)):
            held.append(low <= value <= high)
    return NumberScores(
        bias=ratio(math.fsum(errors), len(errors)),
        absolute_error=ratio(math.fsum(abs(error) for error in errors), len(errors)),
        relative_error=ratio(math.fsum(relative), len(relative)),
        coverage=ratio(sum(held), len(held)),
        n_wells=len(errors),
        n_missing=len(known) - len(errors),
    )
