"""Tracks of cells that another program has followed: its ids stay, its gaps and divisions are taken as they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile

from assay.labels import CellMeasures
from assay.tracks import Tracks, track_by_labels
from assay.units import Calibration

CALIBRATION = Calibration(pixel_um=(1.0, 1.0), frame_min=5.0)
FIELD = (100, 100)


def cells(*rows: tuple[int, int, float, float]) -> CellMeasures:
    """(frame, label, y, x) of cells of 9 um2."""
    frame, label, y, x = (np.array(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    n = len(rows)
    return CellMeasures(
        role="target",
        frame=np.asarray(frame, np.int32),
        label=np.asarray(label, np.int32),
        y_um=np.asarray(y, float),
        x_um=np.asarray(x, float),
        area_um2=np.full(n, 9.0),
        eccentricity=np.zeros(n),
        covered=np.zeros(n),
        at_border=np.zeros(n, bool),
        score=np.full(n, np.nan),
    )


def tracks_of(
    measures: CellMeasures,
    *,
    n_frames: int,
    parents: Mapping[int, int] | None = None,
    masked: Sequence[int] = (),
) -> Tracks:
    return track_by_labels(
        measures,
        n_frames=n_frames,
        masked_frames=masked,
        calibration=CALIBRATION,
        field_shape=FIELD,
        parents=parents or {},
    )


def lines(tracks: Tracks) -> list[tuple[int, int, int, int | None, str, str]]:
    return [
        (t.track_id, t.first_frame, t.last_frame, t.parent_track_id, t.start, t.end) for t in tracks.tracks
    ]


def test_ids_stay_and_a_cell_may_be_missing_from_frames_in_between():
    measures = cells((0, 70, 50, 50), (0, 9, 20, 20), (1, 9, 20, 21), (3, 70, 50, 52), (3, 9, 20, 22))
    tracks = tracks_of(measures, n_frames=4)
    assert lines(tracks) == [
        (9, 0, 3, None, "movie_start", "movie_end"),
        (70, 0, 3, None, "movie_start", "movie_end"),
    ]
    assert tracks.track_id.tolist() == [70, 9, 9, 70, 9]


def test_a_cell_that_comes_from_beyond_the_edge_entered_and_one_in_the_middle_appeared():
    measures = cells((1, 1, 50, 50), (2, 1, 50, 50), (1, 2, 1, 50), (2, 2, 1, 50))
    assert lines(tracks_of(measures, n_frames=4)) == [
        (1, 1, 2, None, "appeared", "lost"),
        (2, 1, 2, None, "entered", "left_field"),
    ]


def test_two_daughters_are_a_division_and_one_alone_is_none():
    measures = cells((0, 1, 50, 50), (1, 2, 47, 50), (1, 3, 53, 50), (0, 4, 20, 20), (1, 5, 20, 20))
    found = lines(tracks_of(measures, n_frames=2, parents={2: 1, 3: 1, 5: 4, 99: 4}))
    assert found == [
        (1, 0, 0, None, "movie_start", "divided"),
        (2, 1, 1, 1, "divided", "movie_end"),
        (3, 1, 1, 1, "divided", "movie_end"),
        (4, 0, 0, None, "movie_start", "lost"),
        (5, 1, 1, None, "appeared", "movie_end"),
    ]


def test_a_daughter_that_lives_beside_her_mother_is_none():
    measures = cells((0, 1, 50, 50), (1, 1, 50, 50), (1, 2, 47, 50), (1, 3, 53, 50))
    assert all(line[3] is None for line in lines(tracks_of(measures, n_frames=2, parents={2: 1, 3: 1})))


def test_first_and_last_frames_that_are_masked_do_not_count():
    measures = cells((1, 1, 50, 50), (2, 1, 50, 50))
    assert lines(tracks_of(measures, n_frames=4, masked=[0, 3])) == [
        (1, 1, 2, None, "movie_start", "movie_end")
    ]


def test_a_film_without_cells_has_no_tracks():
    assert tracks_of(cells(), n_frames=3).tracks == ()


HELA = Path(__file__).parents[3] / "shared" / "data" / "hela_ctc_res_lineage" / "01_RES"


@pytest.mark.skipif(not HELA.is_dir(), reason="the collection of real files is not here")
def test_tracks_and_divisions_of_a_real_challenge_result_are_those_of_its_table():
    table = np.loadtxt(HELA / "res_track.txt", dtype=int)
    seen = [
        np.flatnonzero(np.bincount(tifffile.imread(HELA / f"mask{n:03d}.tif").ravel())) for n in range(92)
    ]
    measures = cells(*((n, int(label), 50.0, 50.0) for n, labels in enumerate(seen) for label in labels[1:]))
    tracks = tracks_of(measures, n_frames=92, parents={int(r[0]): int(r[3]) for r in table if r[3]})
    assert [(t.track_id, t.first_frame, t.last_frame) for t in tracks.tracks] == [
        (int(label), int(first), int(last)) for label, first, last, _ in table
    ]
    mothers = [int(mother) for mother in table[:, 3] if mother]
    twice = {mother for mother in mothers if mothers.count(mother) > 1}
    assert {t.track_id for t in tracks.tracks if t.end == "divided"} == twice
    assert len(twice) == 106
