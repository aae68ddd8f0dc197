"""How sure each pair of an assignment is, when either side may also stay alone.

Knows pairs of two sides and their log odds. Knows nothing of cells. Where everyone has at most one partner, the
probability of a pair depends on all rivals of both sides: belief propagation settles it in a few rounds, exactly
where the pairs form no rings.

Source: Williams and Lau 2014, doi:10.1109/TAES.2014.120568.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 30
LARGEST_ODDS = 30.0


def pair_probabilities(first: Ints, second: Ints, odds: Floats, *, n_first: int, n_second: int) -> Floats:
    """Probability of each pair, if any set of pairs without a shared side is as likely as its odds multiplied.

    Args:
        first: Of each pair, the one of the first side.
        second: Of each pair, the one of the second side.
        odds: Log odds of the pair against both staying alone.
        n_first: How many the first side has.
        n_second: How many the second side has.
    """
    weight = np.exp(np.minimum(odds, LARGEST_ODDS))
    back = np.ones(len(odds))
    for _ in range(ROUNDS):
        pull = weight * back
        others = 1 + np.bincount(first, pull, n_first)[first] - pull
        forth = weight / others
        back = 1 / (1 + np.bincount(second, forth, n_second)[second] - forth)
    pull = weight * back
    probability: Floats = pull / (1 + np.bincount(first, pull, n_first)[first])
    return probability
