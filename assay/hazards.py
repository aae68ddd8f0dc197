"""What contacts make of a target's hazard, and how the deaths are shared out: the sums that fit and credit need.

Knows the evidence of `hits.py`. Does not fit anything: `lag_model.py` does, `kills.py` credits.

The hazard of a target at frame f, per minute, is

    h0 + sum over pieces of its contacts, over lag bins, of strength(piece) x theta(bin) x minutes in it

    strength = potency(well) x readiness(age of the contact) x engagement x activity(effector) x G

G is 1 where one hit kills. Where m hits are needed, hits heal with a half-life, and G is the probability that a
hit finds m - 1 others still there, whoever gave them. Source of the half-life: Weigelin 2021,
doi:10.1038/s41467-021-25282-3.
"""

from dataclasses import dataclass

import numpy as np

from assay.hits import Evidence, Floats, Ints, Pieces
from assay.sameness import Activity, Sameness, no_activity

HEAL_MIN = 50.0
"""Half-life of a sublethal hit."""

_FORGOTTEN = 6.0  # half-lives after which a hit no longer counts
_STILL_THERE = 0.75  # of a hit that helped, at the lethal one


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazards:
    """Where a fit stands."""

    h0: float  # per minute
    theta: Floats  # (bins,) deaths per minute, per minute of contact at strength 1
    widths: Floats  # (bins,) minutes
    potency: Floats  # (wells,)
    readiness: Floats  # (ages,)
    alike: float  # shape of the gamma distribution of activities; large: all alike
    hits_needed: int

    @property
    def rate(self) -> float:
        """Hits, or kills where one hit kills, that a minute of contact leads to."""
        return float(self.theta @ self.widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The deaths shared out under some hazards; everything is weighted by the deaths' probabilities."""

    of_row: Floats  # (rows,)
    of_pair: Floats  # (pairs,)
    of_nobody: Floats  # (deaths,)
    density: Floats  # (deaths,) hazard at the onset, per minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Which earlier hits are still there when a piece of a contact hits: pairs of pieces of one target."""

    later: Ints
    earlier: Ints
    minutes: Floats  # of the earlier piece before the middle of the later one, as far as not healed
    # each (death, later piece) with each earlier one: which of them, of whom
    cell_of_row: Ints  # (rows,) place of (death, piece)
    part_cell: Ints
    part_damage: Ints  # place in the three arrays above
    part_pair: Ints


def damage_of(evidence: Evidence) -> Damage:
    """Lay out which earlier contacts a later one may build upon."""
    later, earlier, minutes = _earlier_pieces(evidence.pieces)
    count = len(evidence.exposure)
    death = evidence.onset_death[evidence.row_onset]
    cells, cell_of_row = np.unique(death * count + evidence.row_piece, return_inverse=True)
    first = np.searchsorted(later, cells % max(count, 1), side="left")
    n = np.searchsorted(later, cells % max(count, 1), side="right") - first
    part_cell = np.repeat(np.arange(len(cells)), n)
    part_damage = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    span = max(evidence.n_effectors, 1)
    known = evidence.pair_death * span + evidence.pair_effector
    asked = (cells // max(count, 1))[part_cell] * span + evidence.pieces.effector[earlier[part_damage]]
    place = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
    there = known[place] == asked if len(known) else np.zeros(len(asked), dtype=np.bool_)
    return Damage(
        later=later,
        earlier=earlier,
        minutes=minutes,
        cell_of_row=cell_of_row.astype(np.int64),
        part_cell=part_cell[there],
        part_damage=part_damage[there],
        part_pair=place[there],
    )


def _earlier_pieces(pieces: Pieces) -> tuple[Ints, Ints, Floats]:
    order = np.argsort(pieces.target, kind="stable")
    cuts = np.flatnonzero(np.diff(pieces.target[order])) + 1
    middle, start = pieces.middle_min, pieces.first * pieces.frame_min
    found: list[tuple[Ints, Ints, Floats]] = []
    for mine in np.split(order, cuts) if len(order) else []:
        later, earlier = (index.ravel() for index in np.meshgrid(mine, mine, indexing="ij"))
        lasted = np.clip(middle[later] - start[earlier], 0.0, pieces.minutes[earlier])
        healing = np.maximum(middle[later] - start[earlier] - lasted / 2, 0.0) / HEAL_MIN
        kept = (lasted > 0) & (healing < _FORGOTTEN)
        found.append((later[kept], earlier[kept], (lasted * 0.5**healing)[kept]))
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    later, earlier, minutes = (np.concatenate(each) for each in zip(*found, strict=True))
    place = np.lexsort((earlier, later))
    return later[place], earlier[place], minutes[place]


def strengths(
    evidence: Evidence, hazards: Hazards, activity: Activity, damage: Damage | None
) -> tuple[Floats, Floats]:
    """Strength of each piece at an activity of 1, and what each entry of `damage` adds to the damage."""
    return strengths_under(evidence, hazards, activity.of_effector[evidence.pieces.effector], damage)


def strengths_under(
    evidence: Evidence, hazards: Hazards, activity_of_piece: Floats, damage: Damage | None
) -> tuple[Floats, Floats]:
    """The same, where earlier hits were given with these activities: (pieces,)."""
    pieces = evidence.pieces
    plain = hazards.potency[pieces.well] * hazards.readiness[pieces.age] * pieces.weight
    if damage is None or hazards.hits_needed == 1:
        return plain, np.zeros(0)
    hits = hazards.rate * plain * activity_of_piece
    adds = hits[damage.earlier] * damage.minutes
    there = np.bincount(damage.later, weights=adds, minlength=len(plain))
    none = np.exp(-there)
    enough = 1.0 - none if hazards.hits_needed == 2 else 1.0 - none * (1.0 + there)
    return plain * enough, adds


def share_deaths(
    evidence: Evidence, hazards: Hazards, activity: Activity, damage: Damage | None = None
) -> Shares:
    """Share out every death among its contacts and nobody, by their parts in the hazard at the onset."""
    strength, adds = strengths(evidence, hazards, activity, damage)
    part = strength[evidence.row_piece] * activity.of_pair[evidence.row_pair]
    part = part * hazards.theta[evidence.row_bin] * evidence.row_min
    density = densities(evidence, hazards, part)
    each = (evidence.death_weight / density)[evidence.onset_death] * evidence.onset_chance
    of_row = each[evidence.row_onset] * part
    return Shares(
        of_row=of_row,
        of_pair=_by_pair(evidence, of_row, adds, hazards.hits_needed, damage),
        of_nobody=evidence.death_weight * hazards.h0 / density,
        density=density,
    )


def densities(evidence: Evidence, hazards: Hazards, part: Floats) -> Floats:
    """Hazard of each death at its onset, per minute, from what each row adds to it: (deaths,)."""
    total = hazards.h0 + np.bincount(evidence.row_onset, weights=part, minlength=len(evidence.onset_death))
    return np.bincount(
        evidence.onset_death, weights=evidence.onset_chance * total, minlength=len(evidence.death_weight)
    ).astype(np.float64)


def _by_pair(
    evidence: Evidence, of_row: Floats, adds: Floats, hits_needed: int, damage: Damage | None
) -> Floats:
    """Of each death to each effector: its lethal hit, and its part of the earlier ones."""
    n_pairs = len(evidence.pair_death)
    if damage is None or hits_needed == 1:
        return np.bincount(evidence.row_pair, weights=of_row, minlength=n_pairs).astype(np.float64)
    before = _STILL_THERE * (hits_needed - 1)
    direct = np.bincount(evidence.row_pair, weights=of_row, minlength=n_pairs) / (1 + before)
    n_cells = int(damage.cell_of_row.max(initial=-1)) + 1
    lethal = np.bincount(damage.cell_of_row, weights=of_row, minlength=n_cells)
    added = adds[damage.part_damage]
    total = np.bincount(damage.part_cell, weights=added, minlength=n_cells)
    part = (lethal / np.maximum(total, 1e-300))[damage.part_cell] * added * before / (1 + before)
    return np.asarray(direct + np.bincount(damage.part_pair, weights=part, minlength=n_pairs))


def expected_kills(
    evidence: Evidence, hazards: Hazards, activity: Activity, damage: Damage | None = None
) -> Floats:
    """Kills that each piece would lead to, or help to, at an activity of 1: (pieces,)."""
    strength, adds = strengths(evidence, hazards, activity, damage)
    kills = strength * (evidence.exposure @ hazards.theta)
    if damage is None or hazards.hits_needed == 1:
        return np.asarray(kills)
    before = _STILL_THERE * (hazards.hits_needed - 1)
    total = np.bincount(damage.later, weights=adds, minlength=len(kills))
    part = (kills / np.maximum(total, 1e-300))[damage.later] * adds
    helped = np.bincount(damage.earlier, weights=part, minlength=len(kills))
    return np.asarray((kills + before * helped) / (1 + before))


def settle(
    evidence: Evidence, hazards: Hazards, sameness: Sameness, damage: Damage | None, *, rounds: int
) -> tuple[Shares, Activity]:
    """Shares and activities in turn, until each fits the other."""
    activity = no_activity(evidence)
    for _ in range(rounds):
        shares = share_deaths(evidence, hazards, activity, damage)
        expected = expected_kills(evidence, hazards, activity, damage)
        activity = sameness.activity(shares.of_pair, expected, hazards.alike)
    return share_deaths(evidence, hazards, activity, damage), activity
