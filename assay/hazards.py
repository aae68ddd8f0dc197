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
from numpy.typing import NDArray

from assay.compiled import compiled
from assay.field_events import Floats, Ints
from assay.hits import Evidence
from assay.pieces import Pieces
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
    """Which earlier hits are still there when a piece of a contact hits: for each piece the earlier ones of its target."""

    first: Ints  # (pieces + 1,) from where on the two arrays below are of each piece
    earlier: NDArray[np.int32]
    minutes: Floats  # of the earlier piece before the middle of the later one, as far as not healed
    # each (death, later piece) with each earlier one: which of them, of whom
    cell_of_row: Ints  # (rows,) place of (death, piece)
    part_cell: Ints
    part_damage: Ints  # place in the two arrays above
    part_pair: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """Strength of each piece at an activity of 1, and of the hits that it builds upon where one does not kill."""

    of_piece: Floats
    hits: Floats  # (pieces,) that each gives a minute, at its effector's activity
    there: Floats  # (pieces,) earlier hits not yet healed
    damage: Damage | None  # None: one hit kills


def damage_of(evidence: Evidence) -> Damage:
    """Lay out which earlier contacts a later one may build upon."""
    first, earlier, minutes = _earlier_pieces(evidence.pieces)
    count = len(evidence.exposure)
    death = evidence.onset_death[evidence.row_onset]
    cells, cell_of_row = np.unique(death * count + evidence.row_piece, return_inverse=True)
    piece = cells % max(count, 1)
    n = first[piece + 1] - first[piece] if count else np.zeros(0, dtype=np.int64)
    part_cell = np.repeat(np.arange(len(cells)), n)
    part_damage = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first[piece], n)
    span = max(evidence.n_effectors, 1)
    known = evidence.pair_death * span + evidence.pair_effector
    asked = (cells // max(count, 1))[part_cell] * span + evidence.pieces.effector[earlier[part_damage]]
    place = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
    there = known[place] == asked if len(known) else np.zeros(len(asked), dtype=np.bool_)
    return Damage(
        first=first,
        earlier=earlier,
        minutes=minutes,
        cell_of_row=cell_of_row.astype(np.int64),
        part_cell=part_cell[there],
        part_damage=part_damage[there],
        part_pair=place[there],
    )


def _earlier_pieces(pieces: Pieces) -> tuple[Ints, NDArray[np.int32], Floats]:
    order = np.argsort(pieces.target, kind="stable")
    group = np.searchsorted(pieces.target[order], np.arange(pieces.target.max(initial=-1) + 2))
    start, middle, minutes = pieces.first * pieces.frame_min, pieces.middle_min, pieces.minutes
    n = np.zeros(len(order) + 1, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0)
    each = (order, group, pieces.target, start, middle, minutes)
    _list_earlier(*each, n, *nothing)  # how many
    first = np.cumsum(n)
    earlier = np.zeros(first[-1], dtype=np.int32)
    lasted, healing = np.zeros(first[-1]), np.zeros(first[-1])
    _list_earlier(*each, first[:-1].copy(), earlier, lasted, healing)
    return first, earlier, lasted * 0.5**healing


@compiled
def _list_earlier(
    order: Ints, group: Ints, target: Ints, start: Floats, middle: Floats, minutes: Floats,
    place: Ints, earlier: NDArray[np.int32], lasted: Floats, healing: Floats,
) -> None:  # fmt: skip
    """Of each piece the earlier ones of its target that count, or how many, in `place[piece + 1]`, if there is no room."""
    counts = len(earlier) == 0
    for later in range(len(order)):
        for n in range(group[target[later]], group[target[later] + 1]):
            one = order[n]
            since = middle[later] - start[one]
            took = min(max(since, 0.0), minutes[one])
            age = max(since - took / 2, 0.0) / HEAL_MIN
            if took <= 0 or age >= _FORGOTTEN:
                continue
            if counts:
                place[later + 1] += 1
            else:
                earlier[place[later]], lasted[place[later]], healing[place[later]] = one, took, age
                place[later] += 1


def strengths(evidence: Evidence, hazards: Hazards, activity: Activity, damage: Damage | None) -> Strength:
    """How strong each piece is under these hazards and activities."""
    return strengths_under(evidence, hazards, activity.of_effector[evidence.pieces.effector], damage)


def strengths_under(
    evidence: Evidence, hazards: Hazards, activity_of_piece: Floats, damage: Damage | None
) -> Strength:
    """The same, where earlier hits were given with these activities: (pieces,)."""
    pieces = evidence.pieces
    plain = hazards.potency[pieces.well] * hazards.readiness[pieces.age] * pieces.weight
    if damage is None or hazards.hits_needed == 1:
        return Strength(of_piece=plain, hits=np.zeros(0), there=np.zeros(0), damage=None)
    hits = hazards.rate * plain * activity_of_piece
    there = _hits_there(damage.first, damage.earlier, damage.minutes, hits)
    none = np.exp(-there)
    enough = 1.0 - none if hazards.hits_needed == 2 else 1.0 - none * (1.0 + there)
    return Strength(of_piece=plain * enough, hits=hits, there=there, damage=damage)


@compiled
def _hits_there(first: Ints, earlier: NDArray[np.int32], minutes: Floats, hits: Floats) -> Floats:
    there = np.zeros(len(hits))
    for piece in range(len(hits)):
        for n in range(first[piece], first[piece + 1]):
            there[piece] += hits[earlier[n]] * minutes[n]
    return there


@compiled
def _helped(first: Ints, earlier: NDArray[np.int32], minutes: Floats, hits: Floats, each: Floats) -> Floats:
    """For each piece what it has in later ones, `each` of these being shared out by its hits among the earlier ones."""
    helped = np.zeros(len(hits))
    for piece in range(len(hits)):
        for n in range(first[piece], first[piece + 1]):
            helped[earlier[n]] += each[piece] * (hits[earlier[n]] * minutes[n])
    return helped


def share_deaths(evidence: Evidence, hazards: Hazards, activity: Activity, strength: Strength) -> Shares:
    """Share out every death among its contacts and nobody, by their parts in the hazard at the onset."""
    part = strength.of_piece[evidence.row_piece] * activity.of_pair[evidence.row_pair]
    part = part * hazards.theta[evidence.row_bin] * evidence.row_min
    density = densities(evidence, hazards, part)
    each = (evidence.death_weight / density)[evidence.onset_death] * evidence.onset_chance
    of_row = each[evidence.row_onset] * part
    return Shares(
        of_row=of_row,
        of_pair=_by_pair(evidence, of_row, strength, hazards.hits_needed),
        of_nobody=evidence.death_weight * hazards.h0 / density,
        density=density,
    )


def densities(evidence: Evidence, hazards: Hazards, part: Floats) -> Floats:
    """Hazard of each death at its onset, per minute, from what each row adds to it: (deaths,)."""
    total = hazards.h0 + np.bincount(evidence.row_onset, weights=part, minlength=len(evidence.onset_death))
    return np.bincount(
        evidence.onset_death, weights=evidence.onset_chance * total, minlength=len(evidence.death_weight)
    ).astype(np.float64)


def _by_pair(evidence: Evidence, of_row: Floats, strength: Strength, hits_needed: int) -> Floats:
    """Of each death to each effector: its lethal hit, and its part of the earlier ones."""
    n_pairs, damage = len(evidence.pair_death), strength.damage
    if damage is None:
        return np.bincount(evidence.row_pair, weights=of_row, minlength=n_pairs).astype(np.float64)
    before = _STILL_THERE * (hits_needed - 1)
    direct = np.bincount(evidence.row_pair, weights=of_row, minlength=n_pairs) / (1 + before)
    n_cells = int(damage.cell_of_row.max(initial=-1)) + 1
    lethal = np.bincount(damage.cell_of_row, weights=of_row, minlength=n_cells)
    added = strength.hits[damage.earlier[damage.part_damage]] * damage.minutes[damage.part_damage]
    total = np.bincount(damage.part_cell, weights=added, minlength=n_cells)
    part = (lethal / np.maximum(total, 1e-300))[damage.part_cell] * added * before / (1 + before)
    return np.asarray(direct + np.bincount(damage.part_pair, weights=part, minlength=n_pairs))


def expected_kills(evidence: Evidence, hazards: Hazards, strength: Strength) -> Floats:
    """Kills that each piece would lead to, or help to, at an activity of 1: (pieces,)."""
    kills = strength.of_piece * (evidence.exposure @ hazards.theta)
    damage = strength.damage
    if damage is None:
        return np.asarray(kills)
    before = _STILL_THERE * (hazards.hits_needed - 1)
    each = kills / np.maximum(strength.there, 1e-300)
    helped = _helped(damage.first, damage.earlier, damage.minutes, strength.hits, each)
    return np.asarray((kills + before * helped) / (1 + before))


def settle(
    evidence: Evidence, hazards: Hazards, sameness: Sameness, damage: Damage | None, *, rounds: int
) -> tuple[Shares, Activity]:
    """Shares and activities in turn, until each fits the other."""
    activity = no_activity(evidence)
    for _ in range(rounds):
        strength = strengths(evidence, hazards, activity, damage)
        shares = share_deaths(evidence, hazards, activity, strength)
        activity = sameness.activity(
            shares.of_pair, expected_kills(evidence, hazards, strength), hazards.alike
        )
    strength = strengths(evidence, hazards, activity, damage)
    return share_deaths(evidence, hazards, activity, strength), activity
