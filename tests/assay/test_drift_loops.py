"""The compiled loops of drift give what scipy's trees give."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from assay.drift_loops import agreeing, ways_within

REACH = 60.0


def _places(rng: np.random.Generator, n: int) -> np.ndarray:
    places = rng.uniform(0, 400, (n, 2))
    return places[np.lexsort(places.T[::-1])]


@pytest.mark.parametrize(("n", "after"), [(300, 280), (1, 1), (5, 0), (0, 7), (40, 900)])
def test_ways_are_all_that_are_short_enough_in_order(n: int, after: int):
    rng = np.random.default_rng(n)
    here, there = _places(rng, n), _places(rng, after)
    way, owner = ways_within(here, there, REACH)
    away = there[None] - here[:, None]
    i, j = np.nonzero(np.hypot(away[..., 0], away[..., 1]) <= REACH)
    assert owner.tolist() == i.tolist()
    assert way.tolist() == away[i, j].tolist()


@pytest.mark.parametrize("radius", [2.0, 4.0, 7.3, 60.0, 100.0])
def test_ways_that_agree_are_counted_as_a_tree_counts_them(radius: float):
    rng = np.random.default_rng(1)
    angle, length = rng.uniform(0, 2 * np.pi, 3000), REACH * np.sqrt(rng.uniform(0, 1, 3000))
    way = np.stack([length * np.sin(angle), length * np.cos(angle)], axis=1)
    way[:200] = rng.normal(0, 0.5, (200, 2))
    way[200:204] = [(REACH, 0), (-REACH, 0), (0, REACH), (0, -REACH)]
    way[204:210] = way[210]
    counted = cKDTree(way).query_ball_point(way, radius, return_length=True)
    assert agreeing(way, radius, REACH).tolist() == counted.tolist()


def test_no_way_agrees_with_none():
    assert len(agreeing(np.zeros((0, 2)), 2.0, REACH)) == 0
