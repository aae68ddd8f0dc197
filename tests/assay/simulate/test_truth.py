import numpy as np

from assay.simulate.cells import make_targets
from assay.simulate.film import seeded
from assay.simulate.scenario import scenario_named
from assay.simulate.truth import Sighting, follow
from assay.units import Calibration

FOUR_MIN = Calibration(pixel_um=(1.0, 1.0), frame_min=4.0)


def cells(n):
    return make_targets(n, scenario_named("adherent_standard"), seeded(1), birth_min=-np.inf)


def seen(*rows, area=100.0, inside=()):
    every = sorted({*rows, *inside})
    return Sighting(
        row=np.array(every, dtype=np.int64),
        area_um2=np.array([area if row in rows else 0.0 for row in every]),
        inside=np.array([row in inside for row in every], dtype=bool),
    )


def tracks_of(sightings, some):
    return follow(sightings, some, role="target", calibration=FOUR_MIN, visible_um2=12.0)


def test_a_cell_that_leaves_and_comes_back_is_a_new_track():
    found = tracks_of([seen(0), seen(), seen(0)], cells(1))
    assert [(t.first_frame, t.last_frame, t.start, t.end) for t in found.tracks] == [
        (0, 0, "movie_start", "left_field"),
        (2, 2, "entered", "movie_end"),
    ]
    assert found.ids == ({0: 1}, {}, {0: 2})


def test_a_cell_hidden_by_its_neighbours_keeps_its_track():
    found = tracks_of([seen(0, inside=[0]), seen(inside=[0]), seen(0, inside=[0])], cells(1))
    assert [(t.first_frame, t.last_frame) for t in found.tracks] == [(0, 2)]
    assert found.ids == ({0: 1}, {}, {0: 1})


def test_a_sliver_at_the_edge_is_not_a_cell_until_it_is_large_enough_and_then_does_not_flicker():
    found = tracks_of([seen(0, area=8), seen(0, area=12), seen(0, area=8), seen(0, area=5)], cells(1))
    assert [(t.first_frame, t.last_frame) for t in found.tracks] == [(1, 2)]


def test_tracks_are_numbered_by_first_frame_then_cell():
    found = tracks_of([seen(1), seen(0, 1, 2)], cells(3))
    assert list(found.rows) == [1, 0, 2]


def test_daughters_know_their_parent():
    some = cells(3)
    some.parent[1:] = 0
    some.birth_min[1:] = 6.0  # between frames 1 and 2
    some.gone_min[0] = 6.0
    found = tracks_of([seen(0), seen(0), seen(1, 2)], some)
    assert [(t.start, t.end, t.parent_track_id) for t in found.tracks] == [
        ("movie_start", "divided", None),
        ("divided", "movie_end", 1),
        ("divided", "movie_end", 1),
    ]


def test_the_death_frame_is_the_first_at_or_after_the_dye():
    some = cells(4)
    some.onset_min[:] = [8.0, 8.5, -3.0, 50.0]
    found = tracks_of([seen(0, 1, 2, 3)] * 5, some)
    frames = [found.death_frame(i, some, FOUR_MIN) for i in range(4)]
    assert frames == [2, 3, None, None]  # on a frame, after one, entered dead, not in the film


def test_a_cell_that_dies_out_of_sight_has_no_death():
    some = cells(1)
    some.onset_min[:] = 6.0
    found = tracks_of([seen(0), seen(0), seen(), seen(0)], some)
    assert [found.death_frame(i, some, FOUR_MIN) for i in range(2)] == [None, None]


def test_a_body_that_floats_away_ended_by_death():
    some = cells(1)
    some.onset_min[:] = 2.0
    some.gone_min[:] = 7.0
    found = tracks_of([seen(0), seen(0), seen()], some)
    assert found.tracks[0].end == "died"
