import itertools

import numpy as np
import pytest

from assay.link_loops import best_pairs, pair_confidence, pairs_in_reach


def every_way(start, found):
    """All sets of pairs in which nobody occurs twice, as lists of places."""
    track = np.repeat(np.arange(len(start) - 1), np.diff(start))
    for chosen in itertools.product((False, True), repeat=len(found)):
        places = np.flatnonzero(chosen)
        if len(set(track[places])) == len(set(found[places])) == len(places):
            yield places


def random_pairs(seed, n_tracks=4, n_found=4, share=0.55):
    rng = np.random.default_rng(seed)
    near = rng.random((n_tracks, n_found)) < share
    start = np.concatenate([[0], np.cumsum(near.sum(axis=1))])
    return start, np.nonzero(near)[1], np.round(rng.normal(2, 3, int(near.sum())), 6)


@pytest.mark.parametrize("seed", range(30))
def test_no_other_set_of_pairs_has_larger_odds(seed):
    start, found, odds = random_pairs(seed)
    taken = best_pairs(start, found, odds, 4)
    best = max(odds[places].sum() for places in every_way(start, found))
    assert odds[taken[taken >= 0]].sum() == pytest.approx(best)
    assert len(set(found[taken[taken >= 0]])) == (taken >= 0).sum()
    assert (odds[taken[taken >= 0]] > 0).all()


def test_many_rivals_for_few_places_are_matched_as_scipy_does():
    from scipy.optimize import linear_sum_assignment

    odds = np.round(np.random.default_rng(5).normal(0, 2, (60, 45)), 6)
    start, found = np.arange(61) * 45, np.tile(np.arange(45), 60)
    taken = best_pairs(start, found, odds.ravel(), 45)
    worth = np.maximum(odds, 0)
    lines, columns = linear_sum_assignment(-worth)
    assert odds.ravel()[taken[taken >= 0]].sum() == pytest.approx(worth[lines, columns].sum())


def exact_confidence(start, found, odds, place):
    weights = {tuple(places): np.exp(odds[places].sum()) for places in every_way(start, found)}
    right = sum(weight for places, weight in weights.items() if place in places)
    return right / sum(weights.values())


def test_two_rivals_for_two_places_are_as_sure_as_the_exchange_is_unlikely():
    start, found = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    odds = np.array([9.0, 8.0, 8.0, 9.0])
    taken = best_pairs(start, found, odds, 2)
    sure = pair_confidence(start, found, odds, taken, 2)
    assert taken.tolist() == [0, 3]
    # staying against exchanging: 18 against 16
    assert sure == pytest.approx([1 / (1 + np.exp(-2))] * 2, abs=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_confidence_is_near_the_share_of_all_sets_of_pairs_that_hold_the_pair(seed):
    start, found, odds = random_pairs(seed, n_tracks=3, n_found=3, share=0.7)
    taken = best_pairs(start, found, odds, 3)
    sure = pair_confidence(start, found, odds, taken, 3)
    for track in np.flatnonzero(taken >= 0):
        assert sure[track] == pytest.approx(exact_confidence(start, found, odds, taken[track]), abs=0.12)
    assert np.isnan(sure[taken < 0]).all()


def test_pairs_in_reach_are_all_those_within_each_tracks_own_reach():
    rng = np.random.default_rng(2)
    tracks, cells, reach = (
        rng.uniform(0, 300, (40, 2)),
        rng.uniform(-20, 320, (70, 2)),
        rng.uniform(5, 60, 40),
    )
    start, found = pairs_in_reach(tracks, reach, cells)
    far = np.hypot(*(tracks[:, None] - cells[None]).transpose(2, 0, 1))
    for track in range(40):
        assert (
            found[start[track] : start[track + 1]].tolist()
            == np.flatnonzero(far[track] <= reach[track]).tolist()
        )


def test_without_detections_there_are_no_pairs():
    start, found = pairs_in_reach(np.zeros((2, 2)), np.ones(2), np.zeros((0, 2)))
    assert start.tolist() == [0, 0, 0]
    assert len(best_pairs(start, found, np.zeros(0), 0)) == 2
