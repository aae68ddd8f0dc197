from dataclasses import replace

import numpy as np
import pytest

from assay.errors import CalibrationError, ShapeError
from assay.labels import CellMeasures
from assay.tracks import Track, Tracks, link, step_and_spacing_um, track_ids_of
from assay.units import Calibration
from benchmarks import tracking

MICRON = Calibration(pixel_um=(1.0, 1.0), frame_min=1.0)


def seen(rows, role="target", means=None):
    """Detections as (frame, label, y, x, area); the field is 200 x 200 um, cells of 300 um2 touch no edge."""
    table = np.array(rows, float).reshape(-1, 5)
    zero = np.zeros(len(table))
    light = {"dye": zero + 100.0} if means is None else means
    return CellMeasures(
        role=role,
        frame=table[:, 0].astype(np.int32),
        label=table[:, 1].astype(np.int32),
        y_um=table[:, 2],
        x_um=table[:, 3],
        area_um2=table[:, 4],
        eccentricity=zero,
        covered=zero,
        at_border=(table[:, 2:4].min(axis=1) < 10) | (table[:, 2:4].max(axis=1) > 190),
        score=zero + 1,
        means=light,
        own_means=light,
    )


def linked(measures, *, n_frames, calibration=MICRON, masked_frames=(), max_gap_frames=2, **settings):
    return link(
        measures,
        n_frames=n_frames,
        masked_frames=masked_frames,
        calibration=calibration,
        field_shape=(200, 200),
        max_gap_frames=max_gap_frames,
        **({"max_um_per_min": 5.0} | settings),
    )


def spans(tracks):
    return [(track.first_frame, track.last_frame, track.start, track.end) for track in tracks.tracks]


def resting(frames, y=100.0, x=100.0, label=1, area=300.0):
    return [(frame, label, y, x, area) for frame in frames]


def take(measures, rows):
    names = (
        "frame",
        "label",
        "y_um",
        "x_um",
        "area_um2",
        "eccentricity",
        "covered",
        "at_border",
        "score",
    )
    return replace(
        measures,
        **{name: getattr(measures, name)[rows] for name in names},
        means={name: mean[rows] for name, mean in measures.means.items()},
        own_means={name: mean[rows] for name, mean in measures.own_means.items()},
    )


def test_a_cell_that_stays_is_one_track_from_first_to_last_frame():
    tracks = linked(seen(resting(range(6))), n_frames=6)
    assert tracks.role == "target"
    assert tracks.track_id.tolist() == [1] * 6
    assert tracks.tracks == (
        Track(
            track_id=1,
            first_frame=0,
            last_frame=5,
            parent_track_id=None,
            start="movie_start",
            end="movie_end",
            min_link_confidence=tracks.tracks[0].min_link_confidence,
        ),
    )
    assert tracks.tracks[0].min_link_confidence > 0.99
    assert np.isnan(tracks.link_confidence[0])
    assert tracks.link_confidence[1:].min() == tracks.tracks[0].min_link_confidence


def test_tracks_are_numbered_by_first_frame_then_label():
    rows = (
        resting(range(4), y=60, label=2) + resting(range(4), y=140, label=1) + resting([2, 3], x=30, label=3)
    )
    tracks = linked(seen(rows), n_frames=4)
    assert tracks.track_id.tolist() == [2] * 4 + [1] * 4 + [3] * 2


def test_cells_that_cross_keep_their_identity():
    up = [(frame, 1, 80.0 + 4 * frame, 100.0, 300.0) for frame in range(11)]
    down = [(frame, 2, 120.0 - 4 * frame, 103.0, 300.0) for frame in range(11)]
    tracks = linked(seen(up + down, role="effector"), n_frames=11)
    assert tracks.track_id.tolist() == [1] * 11 + [2] * 11


def test_looks_decide_between_cells_that_meet():
    rng = np.random.default_rng(1)
    large = [(frame, 1, *(100 + rng.normal(0, 1.5, 2)), 600 + 3 * (frame % 2)) for frame in range(40)]
    small = [(frame, 2, *(102 + rng.normal(0, 1.5, 2)), 200 + 3 * (frame % 2)) for frame in range(40)]
    tracks = linked(seen(large + small), n_frames=40)
    assert tracks.track_id.tolist() == [1] * 40 + [2] * 40


def test_a_cell_missed_in_two_frames_is_the_same_cell_and_in_three_it_is_lost():
    kept = linked(seen(resting([0, 1, 2, 5, 6])), n_frames=7)
    assert spans(kept) == [(0, 6, "movie_start", "movie_end")]
    lost = linked(seen(resting([0, 1, 2, 6, 7])), n_frames=8)
    assert spans(lost) == [(0, 2, "movie_start", "lost"), (6, 7, "appeared", "movie_end")]
    strict = linked(seen(resting([0, 1, 2, 4])), n_frames=5, max_gap_frames=0)
    assert len(strict.tracks) == 2


def test_masked_frames_are_no_misses():
    measures = seen(resting([0, 1, 2, 12, 13]))
    tracks = linked(measures, n_frames=14, masked_frames=range(3, 12))
    assert spans(tracks) == [(0, 13, "movie_start", "movie_end")]


def test_a_film_begins_and_ends_with_its_usable_frames():
    tracks = linked(seen(resting([2, 3, 4])), n_frames=7, masked_frames=[0, 1, 5, 6])
    assert spans(tracks) == [(2, 4, "movie_start", "movie_end")]


def test_cells_enter_and_leave_where_their_centre_is_within_a_step_of_the_edge():
    steps = [3.0, 8.0, 13.0, 18.0]
    entering = [(frame + 2, 1, y, 50.0, 300.0) for frame, y in enumerate([*steps, 23.0])]
    leaving = [(frame, 2, y, 150.0, 300.0) for frame, y in enumerate(steps[::-1])]
    inside = resting([2, 3], label=3)
    touching = [(frame, 4, 190.5, 20.0, 300.0) for frame in (2, 3)]
    tracks = linked(seen(entering + leaving + inside + touching), n_frames=8)
    assert spans(tracks) == [
        (0, 3, "movie_start", "left_field"),
        (2, 6, "entered", "lost"),  # its centre is 23 um from the image's edge, its steps are 5 um
        (2, 3, "appeared", "lost"),
        (2, 3, "appeared", "lost"),  # its mask is cut by the edge, and its centre 9 um inside
    ]


def test_no_link_is_longer_than_the_speed_limit_and_jitter_allow():
    rows = [(0, 1, 50.0, 50.0, 300.0), (1, 1, 50.0, 62.0, 300.0)]
    # 5 um in a frame, and 0.4 of the radius of 9.8 um for the outline: 8.9 um
    assert len(linked(seen(rows), n_frames=2).tracks) == 2
    assert len(linked(seen(rows), n_frames=2, max_um_per_min=9.0).tracks) == 1


def divided(daughter_um2=150.0, frames=range(4, 10)):
    mother = resting(range(4), area=300.0)
    one = resting(frames, y=93.0, label=1, area=daughter_um2)
    other = resting(frames, y=107.0, label=2, area=daughter_um2)
    return mother + one + other


def test_a_mother_ends_divided_and_both_daughters_are_new_tracks():
    tracks = linked(seen(divided()), n_frames=10)
    assert spans(tracks) == [
        (0, 3, "movie_start", "divided"),
        (4, 9, "divided", "movie_end"),
        (4, 9, "divided", "movie_end"),
    ]
    assert [track.parent_track_id for track in tracks.tracks] == [None, 1, 1]
    assert tracks.track_id.tolist() == [1] * 4 + [2] * 6 + [3] * 6


def test_a_cell_that_appears_beside_one_that_keeps_its_area_is_no_daughter():
    tracks = linked(seen(divided(daughter_um2=290.0)), n_frames=10)
    assert "divided" not in {track.start for track in tracks.tracks}


def test_an_outline_cut_in_two_for_two_frames_is_no_division():
    whole = resting([0, 1, 2, 3, 6, 7, 8, 9], area=300.0)
    halves = resting([4, 5], y=97.0, label=1, area=180.0) + resting([4, 5], y=107.0, label=2, area=120.0)
    tracks = linked(seen(whole + halves), n_frames=10)
    assert {track.start for track in tracks.tracks} == {"movie_start", "appeared"}
    assert (0, 9, "movie_start", "movie_end") in spans(tracks)


def test_a_daughter_born_in_the_last_frames_is_believed():
    tracks = linked(seen(divided(frames=range(4, 6))), n_frames=6)
    assert [track.start for track in tracks.tracks] == ["movie_start", "divided", "divided"]


def test_cells_are_followed_over_a_stage_jump_that_is_known():
    rng = np.random.default_rng(0)
    places = rng.uniform(40, 130, (8, 2))
    jump = np.array([30.0, 20.0])
    rows = [
        (frame, number, *(place + jump * (frame >= 3)), 300.0)
        for frame in range(6)
        for number, place in enumerate(places, 1)
    ]
    drift = np.array([[0.0, 0.0]] * 3 + [[30.0, 20.0]] * 3)
    tracks = linked(seen(rows), n_frames=6, drift_um=drift)
    assert len(tracks.tracks) == 8
    assert {span[2:] for span in spans(tracks)} == {("movie_start", "movie_end")}


def test_a_sudden_dye_does_not_break_a_resting_cells_track():
    dye = np.array([100.0] * 4 + [3000.0] * 4)
    tracks = linked(seen(resting(range(8)), means={"dye": dye}), n_frames=8)
    assert len(tracks.tracks) == 1


def test_a_channel_that_shows_the_place_and_not_the_cell_can_be_left_out():
    """Two cells of their own dye change places; the other channel is bright on the left, whoever is there."""
    rng = np.random.default_rng(8)
    rows, dye, place = [], [], []
    for frame in range(40):
        left, right = (1, 2) if frame < 20 else (2, 1)
        for label, x in ((left, 98.0), (right, 102.0)):
            rows.append((frame, label, 100 + rng.normal(0, 0.5), x + rng.normal(0, 0.5), 300.0))
            dye.append({1: 400.0, 2: 900.0}[label] * rng.lognormal(0, 0.02))
            place.append((2000.0 if x < 100 else 50.0) * rng.lognormal(0, 0.02))
    measures = seen(rows, role="effector", means={"dye": np.array(dye), "light": np.array(place)})
    tracks = linked(measures, n_frames=40, marker_channels=["dye"])
    assert len({(a, b) for a, b in zip(measures.label.tolist(), tracks.track_id.tolist(), strict=True)}) == 2


def test_one_frame_needs_no_interval_and_several_do():
    still = Calibration(pixel_um=(1.0, 1.0))
    tracks = linked(seen(resting([0])), n_frames=1, calibration=still)
    assert spans(tracks) == [(0, 0, "movie_start", "movie_end")]
    with pytest.raises(CalibrationError, match="the film has no frame interval"):
        linked(seen(resting([0, 1])), n_frames=2, calibration=still)


def test_forty_cells_at_rest_in_a_film_of_two_frames_are_forty_tracks():
    places = [(20.0 + 22 * y, 20.0 + 22 * x) for y in range(5) for x in range(8)]
    rows = [(frame, n, *place, 300.0) for frame in (0, 1) for n, place in enumerate(places, start=1)]
    assert spans(linked(seen(rows), n_frames=2)) == [(0, 1, "movie_start", "movie_end")] * 40


def test_a_film_without_cells_has_no_tracks():
    assert linked(seen([]), n_frames=5).tracks == ()
    assert linked(seen([]), n_frames=3, masked_frames=[0, 1, 2]).tracks == ()


def test_measures_of_a_masked_frame_are_refused():
    with pytest.raises(ShapeError, match="frame 2 has target measures, but is masked"):
        linked(seen(resting(range(4))), n_frames=4, masked_frames=[2])


def test_track_ids_are_looked_up_by_frame_and_label():
    measures = seen(resting(range(3), label=7))
    tracks = linked(measures, n_frames=3)
    found = track_ids_of(measures, tracks, frame=np.array([2, 0]), label=np.array([7, 7]))
    assert found.tolist() == [1, 1]
    with pytest.raises(ShapeError, match="frame 1 has no target with label 8"):
        track_ids_of(measures, tracks, frame=np.array([1]), label=np.array([8]))
    with pytest.raises(ShapeError, match="3 target measures but track ids for 2"):
        track_ids_of(
            measures,
            replace(tracks, track_id=tracks.track_id[:2]),
            frame=np.array([1]),
            label=np.array([7]),
        )


@pytest.fixture(scope="module")
def effector_film():
    return tracking.film("effector", tracking.EFFECTOR, n_cells=60, n_frames=60, frame_min=2.0, field_um=730)


@pytest.fixture(scope="module")
def target_film():
    return tracking.film("target", tracking.TARGET, n_cells=80, n_frames=60, frame_min=4.0, field_um=700)


def test_the_order_of_rows_does_not_matter(effector_film):
    measures = effector_film.measures
    order = np.random.default_rng(3).permutation(len(measures))
    track_id, _ = tracking.ours(effector_film, max_um_per_min=15.0)
    shuffled = replace(effector_film, measures=take(measures, order))
    shuffled_id, _ = tracking.ours(shuffled, max_um_per_min=15.0)
    assert (shuffled_id == track_id[order]).all()


def test_more_walking_effectors_are_followed_from_end_to_end_than_by_the_nearest_neighbour(effector_film):
    ours = tracking.score(effector_film, *tracking.ours(effector_film, max_um_per_min=15.0))
    nearest = tracking.score(effector_film, *tracking.nearest(effector_film, max_um_per_min=15.0))
    assert ours["edge_f1"] > 0.99
    assert ours["complete"] > 1.3 * nearest["complete"]


def test_targets_and_their_divisions_are_followed(target_film):
    scores = tracking.score(target_film, *tracking.ours(target_film, max_um_per_min=3.0))
    assert scores["edge_f1"] > 0.998
    assert scores["complete"] > 0.9
    assert scores["true_divisions"] > 5
    assert scores["division_precision"] > 0.8
    assert scores["division_recall"] > 0.7


def test_steps_and_spacing_are_measured_between_cells_of_one_role():
    frame = np.array([0, 0, 1, 1], dtype=np.int32)
    zeros = np.zeros(4)
    measures = CellMeasures(
        role="effector",
        frame=frame,
        label=np.array([1, 2, 1, 2], dtype=np.int32),
        y_um=np.array([0.0, 0.0, 3.0, 0.0]),
        x_um=np.array([0.0, 10.0, 4.0, 10.0]),
        area_um2=zeros,
        eccentricity=zeros,
        covered=zeros,
        at_border=zeros.astype(bool),
        score=zeros,
    )
    tracks = Tracks(role="effector", track_id=np.array([1, 2, 1, 2]), tracks=())
    step_um, spacing_um = step_and_spacing_um(measures, tracks)
    assert step_um == pytest.approx(4.75)  # steps of 5 and 0: 19/20 of the way from one to the other
    assert spacing_um == pytest.approx((10 + np.hypot(3, 6)) / 2)  # 10, 10 and twice the hypotenuse
