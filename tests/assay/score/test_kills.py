import math

import numpy as np
import pytest

from assay.columns import table_of_rows
from assay.errors import ResultsError
from assay.score.deaths import pair_deaths
from assay.score.kills import brier, count_kills, ece, reliability
from assay.score.matching import Identities


def tables(*rows):
    """Deaths, kills and contacts. Each row: target, frame of death, {effector: share}.

    The credited contact lasts the three frames up to the death.
    """
    deaths, kills, contacts = [], [], []
    for death_id, (target, frame, shares) in enumerate(rows, 1):
        place = {"well": "B02", "field": 0}
        deaths.append(
            {
                **place,
                "death_id": death_id,
                "role": "target",
                "track_id": target,
                "frame": frame,
                "first_possible_frame": frame,
                "last_possible_frame": frame,
                "time_min": 4.0 * frame,
                "probability": 1.0,
                "evidence": "dye",
                "uncredited_share": None if shares is None else 1.0 - sum(shares.values()),
            }
        )
        for effector, share in (shares or {}).items():
            contact_id = len(contacts) + 1
            pair = {"effector_track_id": effector, "target_track_id": target}
            kills.append(
                {
                    **place,
                    "death_id": death_id,
                    **pair,
                    "contact_id": contact_id,
                    "share": share,
                    "lag_min": 8.0,
                }
            )
            contacts.append(
                {
                    **place,
                    "contact_id": contact_id,
                    **pair,
                    "first_frame": frame - 2,
                    "last_frame": frame,
                    "duration_min": 12.0,
                    "min_gap_um": 0.0,
                    "mean_interface_um": 5.0,
                    "starts_censored": False,
                    "ends_censored": False,
                    "target_dead": False,
                }
            )
    return table_of_rows("deaths", deaths), table_of_rows("kills", kills), table_of_rows("contacts", contacts)


def same(frames=30):
    ids = np.tile(np.arange(1, 10), frames)
    return Identities(np.repeat(np.arange(frames), 9), ids, ids)


def count(true, called, effectors=None):
    true_deaths, true_kills, _ = tables(*true)
    called_deaths, called_kills, called_contacts = tables(*called)
    return count_kills(
        true_deaths,
        called_deaths,
        true_kills,
        called_kills,
        called_contacts,
        pairs=pair_deaths(true_deaths, called_deaths, targets=same()),
        effectors=effectors or same(),
        frame_min=4.0,
    )


def test_perfect_credit_scores_one_and_errs_by_nothing():
    scene = [(1, 10, {4: 1.0}), (2, 12, {}), (3, 20, {5: 1.0})]
    counts = count(scene, scene)
    assert (counts.n_true, counts.n_called) == (2, 2)
    assert (counts.kill_f1, counts.end_to_end_f1) == (1.0, 1.0)
    assert (counts.top_effector_right, counts.killer_share) == (1.0, 1.0)
    assert (brier(counts.caused), ece(counts.caused)) == (0.0, 0.0)
    assert (brier(counts.top), ece(counts.top)) == (0.0, 0.0)


def test_wrong_effector_leaves_the_kill_but_not_the_killer():
    counts = count([(1, 10, {4: 1.0}), (2, 12, {4: 1.0})], [(1, 10, {4: 1.0}), (2, 12, {5: 1.0})])
    assert counts.kill_f1 == 1.0
    assert counts.top_effector_right == 1 / 2
    assert counts.killer_share == 1 / 2
    assert counts.end_to_end_f1 == 1 / 2
    assert brier(counts.caused) == 0.0
    assert brier(counts.top) == 1 / 2


def test_spontaneous_death_called_a_kill_is_a_false_kill():
    counts = count([(1, 10, {4: 1.0}), (2, 12, {})], [(1, 10, {4: 1.0}), (2, 12, {4: 0.8})])
    assert counts.kill_f1 == pytest.approx(2 / 3)
    assert counts.end_to_end_f1 == pytest.approx(2 / 3)
    assert counts.top_effector_right == 1.0  # asked only where an effector did it
    assert brier(counts.caused) == pytest.approx(0.64 / 2)
    assert brier(counts.top) == pytest.approx(0.64 / 2)


def test_kill_called_spontaneous_is_a_missed_kill():
    counts = count([(1, 10, {4: 1.0})], [(1, 10, {4: 0.4})])
    assert (counts.n_called, counts.kill_f1, counts.end_to_end_f1) == (0, 0.0, 0.0)
    assert counts.top_effector_right == 1.0  # the effector named is right all the same
    assert counts.killer_share == pytest.approx(0.4)
    assert brier(counts.caused) == pytest.approx(0.36)


def test_share_of_one_half_is_not_a_kill():
    assert count([(1, 10, {4: 0.5})], []).n_true == 0
    assert count([(1, 10, {4: 0.51})], []).n_true == 1


def test_late_death_keeps_the_kill_but_loses_end_to_end():
    true, at = [(1, 10, {4: 1.0})], [13, 14]
    third, fourth = (count(true, [(1, frame, {4: 1.0})]) for frame in at)
    assert (third.kill_f1, third.end_to_end_f1, third.top_effector_right) == (1.0, 0.0, 1.0)
    assert (fourth.kill_f1, fourth.end_to_end_f1) == (1.0, 0.0)
    assert math.isnan(fourth.top_effector_right)  # 4 frames and 16 min away: not a death found
    assert count(true, [(1, 12, {4: 1.0})]).end_to_end_f1 == 1.0


def test_missed_death_is_a_missed_kill_but_says_nothing_of_credit():
    counts = count([(1, 10, {4: 1.0}), (2, 12, {4: 1.0})], [(1, 10, {4: 1.0})])
    assert counts.kill_f1 == pytest.approx(2 / 3)
    assert counts.top_effector_right == 1.0
    assert len(counts.caused) == 1


def test_largest_share_is_the_killer_where_several_contributed():
    counts = count([(1, 10, {4: 0.6, 5: 0.4})], [(1, 10, {4: 0.3, 5: 0.5})])
    assert counts.top_effector_right == 0.0
    assert counts.killer_share == pytest.approx(0.3)
    assert counts.top == ((pytest.approx(0.5), False),)


def test_equal_true_killers_are_both_right():
    counts = count([(1, 10, {4: 0.5, 5: 0.5})], [(1, 10, {5: 0.7, 4: 0.2})])
    assert (counts.top_effector_right, counts.end_to_end_f1) == (1.0, 1.0)
    assert counts.killer_share == pytest.approx(0.7)


def test_death_without_any_effector_named_has_no_top_forecast():
    counts = count([(1, 10, {4: 1.0})], [(1, 10, {})])
    assert (counts.top_effector_right, counts.killer_share) == (0.0, 0.0)
    assert counts.caused == ((0.0, True),)
    assert counts.top == ()
    assert math.isnan(brier(counts.top))


def test_effector_is_who_it_was_during_the_credited_contact():
    frames = np.arange(30)  # called 7 is cell 4 up to frame 10, then cell 5 for longer
    effectors = Identities(frames, np.where(frames <= 10, 4, 5), np.full(30, 7))
    assert count([(1, 10, {4: 1.0})], [(1, 10, {7: 1.0})], effectors).top_effector_right == 1.0
    assert count([(1, 20, {4: 1.0})], [(1, 20, {7: 1.0})], effectors).top_effector_right == 0.0


def test_two_tracks_of_the_killer_share_its_credit():
    ids = np.array([7, 8])
    effectors = Identities(np.repeat(np.arange(30), 2), np.full(60, 4), np.tile(ids, 30))
    counts = count([(1, 10, {4: 1.0})], [(1, 10, {7: 0.5, 8: 0.4})], effectors)
    assert counts.killer_share == pytest.approx(0.9)
    assert counts.top == ((0.5, True),)


def test_false_effector_is_never_the_killer():
    nobody = Identities(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    counts = count([(1, 10, {4: 1.0})], [(1, 10, {4: 1.0})], nobody)
    assert (counts.top_effector_right, counts.killer_share, counts.end_to_end_f1) == (0.0, 0.0, 0.0)
    assert counts.kill_f1 == 1.0


def test_target_death_without_credit_is_refused():
    with pytest.raises(ResultsError, match=r"well B02, field 0: target death 1 has no uncredited_share"):
        count([(1, 10, {4: 1.0})], [(1, 10, None)])


def test_calibration_error_is_the_gap_between_stated_and_true():
    # bin 0.2: 0.2 and 0.2, none true -> gap 0.4; bin 0.9: 0.9 and 1.0, both true -> gap 0.1; four forecasts
    forecasts = ((0.2, False), (0.2, False), (0.9, True), (1.0, True))
    assert ece(forecasts) == pytest.approx((0.4 + 0.1) / 4)
    assert brier(forecasts) == pytest.approx((0.04 + 0.04 + 0.01) / 4)


def test_reliability_says_per_bin_what_was_stated_and_what_came_true():
    # 0.2 and 0.28 in the bin from 0.2, one of them true; 1.0 in the last
    table = reliability(((0.2, False), (0.28, True), (1.0, True)))
    assert len(table) == 10
    assert table[2] == pytest.approx((2, 0.24, 0.5))
    assert table[9] == (1, 1.0, 1.0)
    assert table[0][0] == 0
    assert math.isnan(table[0][1])


def test_calibrated_forecasts_have_no_calibration_error():
    assert ece(((0.5, True), (0.5, False))) == 0.0
    assert brier(((0.5, True), (0.5, False))) == 0.25


def test_bin_edges_do_not_depend_on_rounding():
    # 1 - 0.7 is 0.30000000000000004, and 0.1 + 0.2 - 0.3 hair below is still the bin from 0.3
    assert ece(((1 - 0.7, True), (0.3 - 1e-12, False))) == pytest.approx(abs(0.6 - 1) / 2)


def test_no_forecast_has_no_error():
    assert math.isnan(ece(()))
    assert math.isnan(brier(()))
