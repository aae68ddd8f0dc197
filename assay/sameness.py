"""How active each effector is, learnt from its contacts as far as they are of the same cell.

Knows the doubt that links gather along tracks (`hits.py`). Knows no hazards.
"""

from dataclasses import dataclass

import numpy as np

from assay.compiled import compiled
from assay.field_events import Floats, Ints
from assay.hits import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """How active each effector is against the mean of 1."""

    of_effector: Floats  # (effectors,) from all its contacts
    of_pair: Floats  # (pairs,) from its contacts but for the death in question


def no_activity(evidence: Evidence) -> Activity:
    """All effectors alike."""
    return Activity(of_effector=np.ones(evidence.n_effectors), of_pair=np.ones(len(evidence.pair_death)))


class Sameness:
    """Sums over the contacts of one effector's track, each counted as far as it is of the same cell.

    A meeting is all that one effector has with one target.
    """

    def __init__(self, evidence: Evidence) -> None:
        pieces, self._evidence = evidence.pieces, evidence
        pair_target = np.zeros(len(evidence.pair_death), dtype=np.int64)
        pair_target[evidence.row_pair] = pieces.target[evidence.row_piece]
        effector = np.concatenate([pieces.effector, evidence.pair_effector])
        target = np.concatenate([pieces.target, pair_target])
        doubt = np.concatenate([pieces.doubt, _pair_doubts(evidence)])
        _, meeting = np.unique(effector * max(evidence.n_targets, 1) + target, return_inverse=True)
        self.meeting: Ints = meeting[: len(pieces.effector)]  # (pieces,)
        self.n_meetings = int(meeting.max(initial=-1)) + 1
        self._track, self._meeting = _Walk(effector, doubt), _Walk(meeting, doubt)

    def activity(self, kills: Floats, expected: Floats, alike: float) -> Activity:
        """Mean of each effector's gamma posterior, its kills as count and its expected kills as exposure.

        Args:
            kills: (pairs,) of every death what each effector had in it.
            expected: (pieces,) kills that its contacts would lead to at an activity of 1.
            alike: Shape of the prior, whose mean is 1.
        """
        evidence, pairs = self._evidence, slice(len(expected), None)
        of = evidence.pair_effector
        all_kills = np.bincount(of, weights=kills, minlength=evidence.n_effectors)
        all_expected = np.bincount(evidence.pieces.effector, weights=expected, minlength=evidence.n_effectors)
        others = np.maximum(self._track.sums(_on_pairs(kills, expected))[pairs] - kills, 0.0)
        exposed = self._track.sums(_on_pieces(kills, expected))[pairs]
        return Activity(
            of_effector=(alike + all_kills) / (alike + all_expected),
            of_pair=(alike + others) / (alike + exposed),
        )

    def elsewhere(self, kills: Floats, expected: Floats) -> tuple[Floats, Floats]:
        """For each meeting the effector's kills and expected kills with all other targets: (meetings,) each."""
        pieces = slice(0, len(expected))
        count = np.maximum(np.bincount(self.meeting, minlength=self.n_meetings), 1)
        found = []
        for values in (_on_pairs(kills, expected), _on_pieces(kills, expected)):
            left = np.maximum(self._track.sums(values) - self._meeting.sums(values), 0.0)[pieces]
            found.append(np.bincount(self.meeting, weights=left, minlength=self.n_meetings) / count)
        return found[0], found[1]


class _Walk:
    """Points along tracks, each with the doubt gathered up to it."""

    def __init__(self, track: Ints, doubt: Floats) -> None:
        self._order = np.lexsort((doubt, track))
        new = np.append(True, np.diff(track[self._order]) != 0)[: len(track)]
        step = np.append(0.0, np.diff(doubt[self._order]))[: len(track)]
        self._same_as_last = np.where(new, 0.0, np.exp(-step))

    def sums(self, values: Floats) -> Floats:
        """For each point the values of its track, each weighted with the probability of one cell in both."""
        found = np.empty(len(values))
        found[self._order] = _both_ways(values[self._order], self._same_as_last)
        return found


@compiled
def _both_ways(values: Floats, same_as_last: Floats) -> Floats:
    sums = np.empty(len(values))
    before = 0.0
    for n in range(len(values)):
        before = values[n] + same_as_last[n] * before
        sums[n] = before
    after = 0.0
    for n in range(len(values) - 1, -1, -1):
        sums[n] += after
        after = same_as_last[n] * (after + values[n])
    return sums


def _on_pairs(kills: Floats, expected: Floats) -> Floats:
    return np.concatenate([np.zeros(len(expected)), kills])


def _on_pieces(kills: Floats, expected: Floats) -> Floats:
    return np.concatenate([expected, np.zeros(len(kills))])


def _pair_doubts(evidence: Evidence) -> Floats:
    """Doubt up to the contact of each pair: the mean over its rows."""
    count = np.bincount(evidence.row_pair, minlength=len(evidence.pair_death))
    total = np.bincount(
        evidence.row_pair, weights=evidence.pieces.doubt[evidence.row_piece], minlength=len(count)
    )
    return np.asarray(total / np.maximum(count, 1))
