import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import beta

from assay.columns import Table
from assay.errors import ResultsError
from assay.review.queue import (
    SORTS,
    audit_sample,
    audited_precision,
    decision_values,
    exact_interval,
    learned_probability,
    review_order,
    stop_rule,
)
from assay.review.state import ReviewState, replay
from tests.assay.review.small_reviews import events_of, sitting_of


def events_with(probability, uncredited=None, well=None) -> Table:
    """Deaths of these probabilities; a single effector has what nobody has not."""
    events = events_of(len(probability))
    uncredited = np.asarray(uncredited if uncredited is not None else np.zeros(len(probability)), dtype=float)
    changed = {"probability": np.asarray(probability, float), "uncredited_share": uncredited}
    changed["killer_share"] = 1 - uncredited
    if well is not None:
        changed["well"] = np.array(well, dtype=object)
    return {**events, **changed}


def untouched(events: Table) -> ReviewState:
    return replay([], events)


def wells_of(*rows) -> Table:
    """well, condition, kind, targets, low, high."""
    names = ("well", "condition", "kind", "n_targets", "kills_low", "kills_high")
    table = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return {**table, "status": np.full(len(rows), "ok", dtype=object)}


def test_what_is_least_sure_and_could_be_a_kill_comes_first():
    events = events_with([0.99, 0.5, 0.8, 0.1])
    assert review_order(events, untouched(events)).tolist() == [1, 2, 3, 0]


def test_the_value_is_what_a_decision_takes_off_the_variance_of_the_kills():
    """p .8, credited .5: .25 * .8 * .2 = .04 for whether it is a death, half of .8 * .5 * .5 = .2 for who did it."""
    events = events_with([0.8], [0.5])
    assert decision_values(events, untouched(events))[0] == pytest.approx(0.14)


def test_a_doubtful_death_that_no_effector_could_have_caused_changes_no_kills():
    events = events_with([0.5, 0.9], [1.0, 0.1])
    assert decision_values(events, untouched(events))[0] == 0
    assert review_order(events, untouched(events))[0] == 1


def test_not_knowing_which_effector_it_was_counts_less_than_not_knowing_whether():
    events = events_with([0.99, 0.99, 0.9])
    events["killer_share"] = np.array([1.0, 0.5, 1.0])
    assert review_order(events, untouched(events)).tolist() == [2, 1, 0]


def test_fields_that_do_not_count_come_last():
    events = events_with([0.5, 0.9], [math.nan, 0.0])
    assert decision_values(events, untouched(events))[0] == 0


def test_decided_events_come_last_and_disagreements_do_not_count_as_decided():
    events = events_with([0.5, 0.6, 0.7])
    one, other = sitting_of(events), sitting_of(events, "ben")
    names = events["event"].tolist()
    one.decide("accept", names[0])
    one.decide("accept", names[1])
    other.decide("reject", names[1], reason="debris")
    state = replay(one.state.decisions + other.state.decisions, events)
    for sort in SORTS:
        assert review_order(events, state, sort=sort)[2] == 0
    assert review_order(events, state, sort="disagreement")[0] == 1


def test_a_kill_weighs_by_what_it_changes_of_its_condition():
    """The same doubt: in a well of few targets, of a condition of one well, of mock."""
    events = events_with([0.5] * 4, well=["B02", "B03", "C02", "D02"])
    wells = wells_of(
        ("B02", "a", "sample", 100, 0, 9),
        ("B03", "a", "sample", 50, 0, 9),
        ("C02", "b", "sample", 100, 0, 9),
        ("D02", "m", "mock", 100, 0, 9),
    )
    values = decision_values(events, untouched(events), wells=wells)
    by_hand = np.array([1, 2, 2, 4])  # 100 / (targets x wells), mock twice
    assert values / values[0] == pytest.approx(by_hand**2)  # of a variance


def test_sorts_by_probability_well_and_time():
    events = events_with([0.9, 0.1, 0.5], well=["C02", "B02", "B02"])
    events["time_min"] = np.array([3.0, 9.0, 1.0])
    state = untouched(events)
    assert review_order(events, state, sort="probability").tolist() == [1, 2, 0]
    assert review_order(events, state, sort="well").tolist() == [1, 2, 0]
    assert review_order(events, state, sort="time").tolist() == [2, 0, 1]
    with pytest.raises(ResultsError, match=r"sort 'colour': expected one of value, probability"):
        review_order(events, state, sort="colour")


def test_a_random_order_is_the_same_for_its_seed_and_another_for_another():
    events = events_of(50)
    state = untouched(events)
    seven = review_order(events, state, sort="random", seed=7)
    assert seven.tolist() == review_order(events, state, sort="random", seed=7).tolist()
    assert seven.tolist() != review_order(events, state, sort="random", seed=8).tolist()
    assert sorted(seven) == list(range(50))


def test_probabilities_learn_from_what_readers_found_nearby_only():
    """20 events of .98, half of them rejected: as much evidence as the model's, so halfway from .98 to .5."""
    events = events_with([0.98] * 40 + [0.7] * 5)
    sitting = sitting_of(events)
    for row in range(20):
        name = events["event"][row]
        if row % 2:
            sitting.decide("accept", name)
        else:
            sitting.decide("reject", name, reason="debris")
    learned = learned_probability(events, sitting.state)
    assert learned[30] == pytest.approx(0.98 + 0.5 * (0.5 - 0.98))
    assert learned[42] == 0.7


def test_the_most_valuable_decisions_take_more_error_away_than_random_ones_or_the_least_probable():
    """2000 deaths, the truth drawn from their probabilities, 300 looked at, five times.

    The best order there can be, by k (1 - k), takes about 1.45 times as much as a random one.
    """
    draw = np.random.default_rng(5)
    for _ in range(5):
        p = draw.beta(2, 0.5, 2000)
        events = events_with(p, draw.beta(0.5, 2, 2000))
        expected = p * (1 - events["uncredited_share"])
        error = np.abs((draw.random(2000) < expected) - expected)
        state = untouched(events)
        taken = {
            sort: error[review_order(events, state, sort=sort)[:300]].sum()
            for sort in ("value", "random", "probability")
        }
        best = error[np.argsort(-expected * (1 - expected))[:300]].sum()
        assert taken["value"] > 1.3 * taken["random"]
        assert taken["value"] > 1.15 * taken["probability"]
        assert taken["value"] > 0.92 * best


def test_it_is_enough_when_the_rest_can_change_little():
    """8 events of k = .5: 1.645 sqrt(8 / 4) = 2.33 kills; a quarter of half of 0 to 20 is 2.5, of 0 to 16 is 2."""
    events = events_with([0.5] * 8)
    enough = stop_rule(events, untouched(events), wells_of(("B02", "a", "sample", 50, 0.0, 20.0)))
    assert enough.reached
    assert enough.n_more == 0
    assert enough.wells[0].remaining_kills == pytest.approx(1.6449 * math.sqrt(2), rel=1e-3)
    short = stop_rule(events, untouched(events), wells_of(("B02", "a", "sample", 50, 0.0, 16.0)))
    assert not short.reached
    assert short.n_more == 3  # 1.645 sqrt(6 / 4) = 2.01, 1.645 sqrt(5 / 4) = 1.84


def test_it_is_not_enough_while_readers_find_the_pipeline_wrong():
    """Of 20 sure deaths, all were rejected: half of the 20 that are left is expected to go as well."""
    events = events_with([0.99] * 40)
    sitting = sitting_of(events)
    before = stop_rule(events, sitting.state, wells_of(("B02", "a", "sample", 50, 0.0, 40.0)))
    for name in events["event"][:20]:
        sitting.decide("reject", name, reason="debris")
    after = stop_rule(events, sitting.state, wells_of(("B02", "a", "sample", 50, 0.0, 40.0)))
    assert (before.reached, after.reached) == (True, False)
    assert after.wells[0].remaining_kills > 20 * 0.99 / 2


def test_a_well_without_an_interval_is_never_enough_by_itself():
    events = events_with([0.5, 0.5], well=["B02", "B03"])
    wells = wells_of(("B02", "a", "sample", 50, 0.0, 20.0), ("B03", "a", "sample", 50, math.nan, math.nan))
    found = stop_rule(events, untouched(events), wells)
    assert (found.reached, found.unjudged) == (False, ("B03",))


def test_the_exact_interval_is_that_of_clopper_and_pearson():
    for k, n in ((0, 10), (3, 10), (10, 10), (57, 60), (950, 1000)):
        low = beta.ppf(0.05, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
        assert exact_interval(k, n) == pytest.approx((low, high), abs=1e-9)
    assert all(map(math.isnan, exact_interval(0, 0)))


def test_the_audit_draws_from_called_deaths_and_larger_samples_hold_smaller_ones():
    events = events_with([0.9] * 60 + [0.3] * 40)
    samples = [audit_sample(events, n) for n in (5, 20, 100)]
    assert all(set(one) <= set(more) for one, more in pairwise(samples))
    assert len(samples[2]) == 60
    turned = {name: column[::-1] for name, column in events.items()}
    assert set(turned["event"][audit_sample(turned, 5)]) == set(events["event"][samples[0]])


def test_the_audits_precision_counts_its_own_sample_only_and_not_what_was_picked_for_doubt():
    events = events_with([0.9] * 60)
    sitting = sitting_of(events)
    order = audit_sample(events, 60)
    for row in order[20:]:
        sitting.decide("reject", events["event"][row], reason="debris")
    assert audited_precision(events, sitting.state).n == 0
    for place, row in enumerate(order[:10]):
        name = events["event"][row]
        if place < 2:
            sitting.decide("unsure", name)
        elif place < 9:
            sitting.decide("accept", name)
        else:
            sitting.decide("reject", name, reason="debris")
    found = audited_precision(events, sitting.state)
    assert (found.n, found.n_true, found.n_unsure) == (8, 7, 2)
    assert found.value == 7 / 8
    assert (found.low, found.high) == pytest.approx((beta.ppf(0.05, 7, 2), beta.ppf(0.95, 8, 1)), abs=1e-9)


def test_an_empty_plate_has_nothing_to_look_at():
    events = events_of(0)
    state = untouched(events)
    for sort in SORTS:
        assert len(review_order(events, state, sort=sort)) == 0
    assert math.isnan(audited_precision(events, state).value)
    assert stop_rule(events, state, wells_of(("B02", "a", "sample", 50, 0.0, 20.0))).reached
