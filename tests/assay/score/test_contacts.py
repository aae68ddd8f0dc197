import math

import numpy as np
import pytest

from assay.columns import table_of_rows
from assay.score.contacts import Episode, count_contacts
from assay.score.matching import Identities


def contacts(*rows):
    """Each row: effector, target, first frame, last frame, and optionally "dead"."""
    return table_of_rows(
        "contacts",
        [
            {
                "well": "B02",
                "field": 0,
                "contact_id": number,
                "effector_track_id": row[0],
                "target_track_id": row[1],
                "first_frame": row[2],
                "last_frame": row[3],
                "duration_min": 4.0 * (row[3] - row[2] + 1),
                "min_gap_um": 0.0,
                "mean_interface_um": 5.0,
                "starts_censored": False,
                "ends_censored": False,
                "target_dead": "dead" in row,
            }
            for number, row in enumerate(rows, 1)
        ],
    )


def same(*ids, frames=20):
    """Called track i is true cell i in every frame."""
    every = np.tile(np.array(ids, dtype=np.int64), frames)
    return Identities(np.repeat(np.arange(frames), len(ids)), every, every)


def count(true, called, effectors=None, targets=None):
    return count_contacts(
        contacts(*true),
        contacts(*called),
        effectors=effectors or same(1, 2, 3),
        targets=targets or same(1, 2, 3),
    )


def test_perfect_contacts_score_one():
    counts = count([(1, 2, 0, 4), (3, 2, 8, 9)], [(1, 2, 0, 4), (3, 2, 8, 9)])
    assert (counts.precision, counts.recall, counts.episode_f1, counts.count_ratio) == (1.0, 1.0, 1.0, 1.0)


def test_missed_contact_costs_recall():
    counts = count([(1, 2, 0, 4), (3, 2, 8, 9)], [(1, 2, 0, 4)])
    assert (counts.precision, counts.recall) == (1.0, 5 / 7)
    assert counts.episode_f1 == pytest.approx(2 / 3)
    assert counts.count_ratio == 1 / 2


def test_invented_contact_costs_precision():
    counts = count([(1, 2, 0, 4)], [(1, 2, 0, 4), (1, 3, 0, 4)])
    assert (counts.precision, counts.recall) == (1 / 2, 1.0)
    assert counts.count_ratio == 2.0


def test_contact_too_short_by_half_is_the_same_episode():
    counts = count([(1, 2, 0, 3)], [(1, 2, 2, 3)])  # 2 of 4 frames
    assert (counts.precision, counts.recall, counts.episode_f1) == (1.0, 1 / 2, 1.0)
    counts = count([(1, 2, 0, 4)], [(1, 2, 3, 4)])  # 2 of 5
    assert counts.episode_f1 == 0.0


def test_contact_cut_in_two_is_one_right_episode_and_one_wrong():
    counts = count([(1, 2, 0, 9)], [(1, 2, 0, 5), (1, 2, 7, 9)])  # 6 of 10, 3 of 10
    assert counts.episodes_right == 1
    assert counts.episode_f1 == pytest.approx(2 / 3)
    assert counts.count_ratio == 2.0
    assert counts.recall == 9 / 10


def test_contacts_with_dead_targets_count_on_neither_side():
    counts = count([(1, 2, 0, 4), (3, 2, 9, 12, "dead")], [(1, 2, 0, 4), (3, 3, 9, 12, "dead")])
    assert (counts.episodes_true, counts.episodes_called) == (1, 1)
    assert (counts.precision, counts.recall) == (1.0, 1.0)


def test_contact_after_a_death_we_missed_is_false():
    counts = count([(3, 2, 9, 12, "dead")], [(3, 2, 9, 12)])
    assert counts.precision == 0.0
    assert math.isnan(counts.recall)
    assert math.isnan(counts.count_ratio)


def test_contact_of_a_false_cell_is_false():
    counts = count([(1, 2, 0, 3)], [(1, 2, 0, 3), (9, 2, 0, 3), (9, 9, 0, 3)])  # track 9 matches nobody
    assert counts.precision == 4 / 12
    assert counts.episode_f1 == 2 / 4


def test_effector_swapped_later_still_has_its_contact():
    # called effector 5 is cell 1 in frames 0-3 and cell 2 in frames 4-19
    frames = np.arange(20)
    effectors = Identities(frames, np.where(frames < 4, 1, 2), np.full(20, 5))
    counts = count([(1, 2, 0, 3)], [(5, 2, 0, 3)], effectors=effectors)
    assert (counts.episode_f1, counts.recall) == (1.0, 1.0)


def test_two_fragments_of_one_effector_do_not_count_a_frame_twice():
    frames = np.arange(20)
    effectors = Identities(np.concatenate([frames, frames]), np.full(40, 1), np.repeat([5, 6], 20))
    counts = count([(1, 2, 0, 5)], [(5, 2, 0, 3), (6, 2, 3, 5)], effectors=effectors)
    assert (counts.pair_frames_called, counts.pair_frames_right) == (6, 6)
    assert counts.episodes_right == 1  # 4 of 6 frames; the other has 3 of 6 but the contact is taken


def test_contacts_that_only_follow_each_other_do_not_overlap():
    first = Episode(effector=1, target=1, first_frame=0, last_frame=3)
    after = Episode(effector=1, target=1, first_frame=4, last_frame=7)
    assert first.time_iou(after) == 0.0
    assert first.time_iou(first) == 1.0


def test_field_without_contacts_asks_nothing():
    counts = count([], [])
    assert all(
        math.isnan(v) for v in (counts.precision, counts.recall, counts.episode_f1, counts.count_ratio)
    )
