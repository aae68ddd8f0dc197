import itertools

import numpy as np

from assay.marginals import pair_probabilities


def exact(first, second, odds):
    """Probabilities by going through every set of pairs that shares no side."""
    weights = np.zeros(len(first))
    total = 0.0
    for chosen in itertools.product((False, True), repeat=len(first)):
        taken = np.flatnonzero(chosen)
        if len(set(first[taken])) == len(set(second[taken])) == len(taken):
            weight = float(np.exp(odds[taken].sum()))
            total += weight
            weights[taken] += weight
    return weights / total


def test_pairs_without_rings_get_their_exact_probability():
    first, second = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3])
    odds = np.array([1.0, 0.5, 2.0, -1.0])
    found = pair_probabilities(first, second, odds, n_first=3, n_second=4)
    np.testing.assert_allclose(found, exact(first, second, odds), atol=1e-6)


def test_without_pairs_there_is_nothing_to_say():
    none = np.zeros(0, np.int64)
    assert len(pair_probabilities(none, none, np.zeros(0), n_first=3, n_second=0)) == 0
