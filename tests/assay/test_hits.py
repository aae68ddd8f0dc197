import numpy as np
import pytest

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents, alive_until, link_doubts, onset_weights
from assay.hits import exposures, gather, join, lag_edges, minutes_before
from assay.pieces import UNKNOWN_AGE
from assay.tracks import Track
from assay.units import Calibration

TWO_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)
EDGES = np.array([0.0, 20.0, 100.0])


def contact(number, effector, target, first, last, *, censored=False):
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=4.0, starts_censored=censored, ends_censored=False,
    )  # fmt: skip


def death(number, target, frame, *, first=None, last=None, probability=1.0):
    return Death(
        death_id=number, role="target", track_id=target, frame=frame,
        first_possible_frame=frame if first is None else first,
        last_possible_frame=frame if last is None else last, probability=probability, evidence=("dye",),
    )  # fmt: skip


def field(*, contacts=(), deaths=(), targets=3, frames=100, **changes):
    tracks = tuple(
        Track(track_id=n, first_frame=0, last_frame=frames - 1, parent_track_id=None, start="movie_start", end="movie_end")
        for n in range(1, targets + 1)
    )  # fmt: skip
    return FieldEvents(
        well="B02", field=0, kind="sample", n_frames=frames, calibration=TWO_MIN, contacts=tuple(contacts),
        deaths=tuple(deaths), targets=tracks, **changes,
    )  # fmt: skip


def ints(*values):
    return np.array(values, dtype=np.int64)


def test_minutes_of_a_contact_lie_in_the_lag_bins_before_the_onset():
    # frames 10..14 seen from frame 20: lags 20, 18, 16, 14, 12 min; the first bin ends at 15, the second at 20, included
    minutes = minutes_before(ints(10), ints(14), ints(20), np.array([0.0, 15.0, 20.0, 60.0]), 2.0)
    assert minutes.tolist() == [[4.0, 6.0, 0.0]]
    # from frame 12 only frames 10 and 11 lie before it
    minutes = minutes_before(ints(10), ints(14), ints(12), np.array([0.0, 15.0]), 2.0)
    assert minutes.tolist() == [[4.0]]


def test_exposure_counts_contact_minutes_times_minutes_at_risk_after_them():
    # at risk in frames 1, 2, 3: pairs (contact frame 0 or 1, later frame) with lag 1: 2, lag 2: 2, lag 3: 1
    exposure = exposures(ints(0), ints(1), ints(3), np.array([0.0, 2.0, 6.0]), 2.0)
    assert exposure.tolist() == [[2 * 4.0, 3 * 4.0]]


def test_a_target_that_was_dead_when_first_seen_is_never_at_risk():
    contacts = [contact(1, 1, 1, 0, 9), contact(2, 1, 2, 0, 9)]
    evidence = gather(field(contacts=contacts, dead_targets=frozenset({1})), EDGES)
    assert evidence.at_risk_min.tolist() == [2 * 99 * 2.0]  # targets 2 and 3, 99 intervals of 2 min
    of_contact = evidence.exposure.sum(axis=1)
    assert of_contact[evidence.pieces.contact == 0].sum() == 0.0
    assert of_contact[evidence.pieces.contact == 1].sum() > 0.0


def test_a_target_is_at_risk_up_to_its_death_and_a_doubtful_one_for_all_its_life():
    deaths = [death(1, 1, 20), death(2, 2, 30, probability=0.2)]
    assert alive_until(field(deaths=deaths)) == {1: 20, 2: 99, 3: 99}


def test_contacts_are_cut_by_their_age():
    # 10 frames of 2 min at ages 1, 3 | 5, 7 | 9, 11, 13 | 15, 17, 19 min
    pieces = gather(field(contacts=[contact(1, 1, 1, 10, 19)]), EDGES).pieces
    assert list(zip(pieces.first, pieces.last, pieces.age, strict=True)) == [
        (10, 11, 0), (12, 13, 1), (14, 16, 2), (17, 19, 3),
    ]  # fmt: skip


def test_the_age_of_a_contact_that_was_there_from_the_start_is_unknown():
    pieces = gather(field(contacts=[contact(1, 1, 1, 0, 9, censored=True)]), EDGES).pieces
    assert set(pieces.age.tolist()) == {UNKNOWN_AGE}


def test_the_rows_of_a_death_hold_all_minutes_of_contact_before_it():
    contacts = [contact(1, 7, 1, 10, 14), contact(2, 8, 1, 18, 30), contact(3, 9, 1, 21, 30)]
    evidence = gather(field(contacts=contacts, deaths=[death(1, 1, 20)]), EDGES)
    # effector 7: 5 frames of 2 min, effector 8: frames 18 and 19; effector 9 came after the death
    by_pair = np.bincount(evidence.row_pair, weights=evidence.row_min)
    assert by_pair.tolist() == [10.0, 4.0]
    assert evidence.pair_effector.tolist() == [0, 1]


def test_joined_fields_count_on_and_keep_their_wells():
    one = gather(field(contacts=[contact(1, 7, 1, 10, 14)], deaths=[death(1, 1, 20)]), EDGES)
    both = join([(0, one), (2, one)], 3, 2)
    assert both.death_well.tolist() == [0, 2]
    assert both.pair_effector.tolist() == [0, 1]
    assert both.at_risk_min.tolist() == [one.at_risk_min[0], 0.0, one.at_risk_min[0]]
    assert both.row_onset.max() == len(both.onset_death) - 1
    assert set(both.pieces.well[both.row_piece[both.row_pair == 1]].tolist()) == {2}


def test_no_fields_join_to_nothing():
    empty = join([], 0, 2)
    assert len(empty.row_min) == len(empty.pieces.first) == len(empty.death_weight) == 0
    assert empty.exposure.shape == (0, 2)


def test_the_weights_of_the_onset_sum_to_one_and_peak_at_the_frame():
    frames, weights = onset_weights(death(1, 1, 20, first=18, last=26))
    assert frames.tolist() == list(range(18, 27))
    assert weights.sum() == pytest.approx(1.0)
    assert frames[np.argmax(weights)] == 20


def test_a_long_interval_of_the_onset_is_stood_for_by_few_frames_within_it():
    evidence = gather(
        field(contacts=[contact(1, 1, 1, 0, 9)], deaths=[death(1, 1, 50, first=20, last=80)]), EDGES
    )
    assert len(evidence.onset_chance) <= 9
    assert evidence.onset_chance.sum() == pytest.approx(1.0)


def test_lags_finer_than_a_frame_are_never_asked_for():
    edges = lag_edges(360.0)
    assert edges[0] == 0.0
    assert edges[-1] == 360.0
    assert np.all(np.diff(edges) > 0)


def test_doubt_gathers_along_a_track():
    # track 5 in frames 2, 3, 4 with links of 0.5 and 0.8; its rows come in any order
    doubts = link_doubts(ints(5, 6, 5, 5), ints(4, 0, 2, 3), np.array([0.8, np.nan, np.nan, 0.5]))
    frames, doubt = doubts[5]
    assert frames.tolist() == [2, 3, 4]
    assert np.exp(-doubt).tolist() == pytest.approx([1.0, 0.5, 0.4])
    assert doubts[6][1].tolist() == [0.0]


def test_a_field_without_cells_leaves_no_doubt():
    assert link_doubts(ints(), ints(), np.zeros(0)) == {}


def test_only_the_time_in_which_an_effector_holds_on_counts_fully_and_ages_from_there():
    contacts = [contact(1, 1, 1, 10, 19)]
    held = field(contacts=contacts, engagements={1: [(14, 17, 0.9)]})
    pieces = gather(held, EDGES).pieces
    # passing by in frames 10..13 at ages 1, 3 | 5, 7 min; holding on at 1, 3 | 5, 7; then at 17, 19 since frame 10
    assert list(zip(pieces.first, pieces.last, pieces.age, pieces.weight, strict=True)) == [
        (10, 11, 0, 0.1), (12, 13, 1, 0.1), (14, 15, 0, 0.9), (16, 17, 1, 0.9), (18, 19, 3, 0.1),
    ]  # fmt: skip


def test_a_contact_in_which_nobody_asked_whether_the_effector_holds_on_counts_wholly():
    assert set(gather(field(contacts=[contact(1, 1, 1, 10, 19)]), EDGES).pieces.weight.tolist()) == {1.0}
