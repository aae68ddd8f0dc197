import math

import numpy as np
import pytest

from assay.review.agreement import agreement, cohens_kappa, fleiss_kappa, kappa_interval
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import replay
from tests.assay.review.small_reviews import events_of

EVENTS = events_of(10)
NAMES = EVENTS["event"].tolist()


def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[int], list[int]]:
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return a, b


def test_kappa_of_the_worked_example_of_sim_and_wright():
    """39 patients, 22 and 11 judged alike, 2 and 4 not: kappa .67 (Sim and Wright 2005, doi:10.1093/ptj/85.3.257)."""
    assert round(cohens_kappa(*table(22, 2, 4, 11)), 2) == 0.67
    # by hand: seen 33/39; by chance (24 * 26 + 15 * 13) / 39^2 = 819/1521; (1287 - 819) / (1521 - 819) = 2/3
    assert cohens_kappa(*table(22, 2, 4, 11)) == pytest.approx(2 / 3)


def test_kappa_is_one_for_the_same_zero_for_chance_and_below_for_opposite():
    assert cohens_kappa([0, 1, 0, 1], [0, 1, 0, 1]) == 1
    assert cohens_kappa([0, 0, 1, 1], [0, 1, 0, 1]) == 0
    assert cohens_kappa([0, 1, 0, 1], [1, 0, 1, 0]) == -1


def test_kappa_is_not_defined_where_both_always_say_the_same_one_thing():
    assert math.isnan(cohens_kappa([1, 1, 1], [1, 1, 1]))
    assert math.isnan(cohens_kappa([], []))
    assert all(map(math.isnan, kappa_interval([1, 1], [1, 1])))


def test_fleiss_kappa_of_his_own_worked_example():
    """10 subjects, 14 raters, 5 categories: kappa .210 (the table of Fleiss 1971 as it is reprinted)."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert round(fleiss_kappa(counts), 3) == 0.210


def test_the_interval_is_the_same_each_time_and_holds_the_truth_about_nine_times_in_ten():
    """500 pairs of readers of 100 events: both see the truth, each errs in a tenth: by hand kappa 0.64."""
    a, b = table(22, 2, 4, 11)
    assert kappa_interval(a, b) == kappa_interval(a, b)
    draw = np.random.default_rng(3)
    held = 0
    for seed in range(500):
        truth = np.arange(100) % 2
        one, other = (truth ^ (draw.random(100) < 0.1) for _ in range(2))
        low, high = kappa_interval(one.tolist(), other.tolist(), seed=seed)
        held += low <= 0.64 <= high  # seen .82, chance .5: (.82 - .5) / .5
    assert 0.85 <= held / 500 <= 0.95


def readers(**said: str):
    """Each reader's letters, one per event: a accept, r reject, u unsure, . not looked at."""
    decisions: list = []
    for reader, letters in said.items():
        sitting = Sitting(EVENTS, MemoryJournal(f"{reader}-1"), reader=reader)
        for name, letter in zip(NAMES, letters, strict=False):
            if letter != ".":
                verb = {"a": "accept", "r": "reject", "u": "unsure"}[letter]
                sitting.decide(verb, name, reason="debris" if letter == "r" else "")
        decisions += sitting.state.decisions
    return decisions


def test_pairs_count_only_events_on_which_both_were_sure():
    found = agreement(replay(readers(ana="aaarru.", ben="aararau"), EVENTS))
    (pair,) = found.pairs
    counts = (pair.both_accepted, pair.both_rejected, pair.only_reader_accepted, pair.only_other_accepted)
    assert counts == (2, 1, 1, 1)
    assert (pair.n, pair.n_unsure) == (5, 1)
    assert pair.kappa == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))
    assert math.isnan(found.fleiss_kappa)


def test_three_readers_give_three_pairs_and_one_kappa_of_all():
    found = agreement(replay(readers(ana="aarr", ben="aarr", eve="aar."), EVENTS))
    assert [(pair.reader, pair.other) for pair in found.pairs] == [
        ("ana", "ben"),
        ("ana", "eve"),
        ("ben", "eve"),
    ]
    assert found.fleiss_kappa == pytest.approx(1)
    assert found.n_by_all == 3


def test_killers_and_times_are_compared_where_both_accept():
    one = Sitting(EVENTS, MemoryJournal("ana-1"), reader="ana")
    other = Sitting(EVENTS, MemoryJournal("ben-1"), reader="ben")
    one.decide("accept", NAMES[0])  # stands for effector 5 and frame 10 as shown
    other.decide("retime", NAMES[0], frame=13)
    other.decide("killer", NAMES[0], effector_track_id=5)
    one.decide("killer", NAMES[1], effector_track_id=None)
    other.decide("killer", NAMES[1], effector_track_id=7)
    one.decide("killer", NAMES[2], effector_track_id=None)
    other.decide("killer", NAMES[2], effector_track_id=None)
    (pair,) = agreement(replay(one.state.decisions + other.state.decisions, EVENTS)).pairs
    assert (pair.n_killers, pair.killer_agreement) == (3, pytest.approx(2 / 3))
    assert pair.median_dt_frames == 0  # 3, 0 and 0 frames


def test_a_readers_second_readings_give_her_agreement_with_herself():
    sitting = Sitting(EVENTS, MemoryJournal("ana-1"), reader="ana", blinded=True)
    for name, first, second in zip(NAMES, "aarr", "aara", strict=False):
        for reading, letter in ((1, first), (2, second)):
            verb = "accept" if letter == "a" else "reject"
            sitting.decide(verb, name, reason="" if letter == "a" else "debris", reading=reading)
    (again,) = agreement(sitting.state).repeats
    assert (again.n, again.both_accepted, again.both_rejected, again.only_other_accepted) == (4, 2, 1, 1)
    assert again.kappa == pytest.approx(0.5)  # seen 3/4, by chance (2 * 3 + 2 * 1) / 16
    assert again.n_killers == 0  # blinded: no killer was shown
