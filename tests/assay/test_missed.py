"""Cells at rest that were missed and found again at their place."""

import numpy as np
import pytest

from assay import link_passes
from assay.link_passes import link_film, taken_back
from assay.linking import Detections, Links, Reach
from assay.looks import LooksModel
from assay.missed import Linked, Stays, find_stays
from assay.motion import LinkModel

N_CELLS, N_FRAMES, EDGE_UM = 36, 12, 300.0
MOTION = LinkModel(
    still_um=0.5,
    moving_um=8.0,
    start_um=10.0,
    wide_um=20.0,
    persistence=0.5,
    moving_share=0.5,
    new_per_um2=1e-5,
)
NO_LOOKS = LooksModel(**{name: np.zeros(0) for name in LooksModel.__dataclass_fields__})


def film(*, back_at_um: float = 0.0, sure: float = 0.6) -> Linked:
    """36 cells at rest, 50 um apart, for 12 frames; in frame 6 the first is missed, and its track goes to a passer.

    The passer is 8 um away. In frame 7 the first cell is seen again, `back_at_um` beside its place, as a new one.
    """
    corner = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=-1).reshape(-1, 2) * 50.0 + 20.0
    yx = np.tile(corner, (N_FRAMES, 1))
    row = np.arange(N_CELLS * N_FRAMES)
    previous = np.where(row < N_CELLS, -1, row - N_CELLS)
    passer, back = 6 * N_CELLS, 7 * N_CELLS
    yx[passer] += (8.0, 0.0)
    yx[back] += (back_at_um, 0.0)
    yx[back + N_CELLS :: N_CELLS] += (back_at_um, 0.0)
    previous[back] = -1
    confidence = np.where(previous >= 0, 0.999, np.nan)
    confidence[passer] = sure
    return Linked(
        place=row // N_CELLS,
        yx_um=yx,
        looks=np.zeros((len(row), 0)),
        weight=np.ones((len(row), 0)),
        previous=previous,
        confidence=confidence,
    )


def stays_of(linked: Linked, *, most_missed: int = 2) -> Stays:
    return find_stays(
        linked,
        frames=range(N_FRAMES),
        most_missed=most_missed,
        area_um2=EDGE_UM**2,
        motion=MOTION,
        looks=NO_LOOKS,
    )


def test_a_cell_that_rests_at_its_place_on_both_sides_of_a_gap_was_there_meanwhile():
    found = stays_of(film())
    assert found.before.tolist() == [5 * N_CELLS]
    assert found.after.tolist() == [7 * N_CELLS]
    # resting: 0.98 x 0.95 x 0.387 per um2 at two frames; missed: 0.02 at least. Against it arrivals: 2 detections in
    # 11 frames of 9e4 um2; leaving: 0.05 at least; the link to the passer: 0.6 to 0.4
    for_it, against = 0.98 * 0.95 * 0.387 * 0.02, 2 / 11 / EDGE_UM**2 * 0.05 * 1.5
    assert found.probability == pytest.approx([for_it / (for_it + against)], abs=1e-4)


def test_a_cell_that_comes_back_beside_its_place_may_be_another():
    # 3 deviations of 0.5 um, times the root of 1.5 for two frames: 1.84 um
    assert len(stays_of(film(back_at_um=1.8)).before) == 1
    assert len(stays_of(film(back_at_um=1.9)).before) == 0


def only(linked: Linked, kept: np.ndarray) -> Linked:
    """The same without the other rows."""
    new = np.where(kept, np.cumsum(kept) - 1, -1)
    previous = np.where(linked.previous >= 0, new[linked.previous], -1)
    columns = {name: getattr(linked, name)[kept] for name in Linked.__dataclass_fields__}
    return Linked(**columns | {"previous": previous[kept]})


def test_a_cell_seen_once_on_either_side_of_a_gap_was_not_seen_to_rest():
    linked = film()
    first = np.arange(len(linked.place)) % N_CELLS == 0
    assert len(stays_of(only(linked, ~first | np.isin(linked.place, (4, 5, 6, 7)))).before) == 1
    assert len(stays_of(only(linked, ~first | np.isin(linked.place, (5, 6, 7, 8)))).before) == 1
    assert len(stays_of(only(linked, ~first | np.isin(linked.place, (5, 6, 7)))).before) == 0


def test_a_sure_link_is_not_taken_apart():
    assert len(stays_of(film(sure=0.99)).before) == 0


def test_no_cell_stays_unseen_for_longer_than_the_protocol_allows():
    assert len(stays_of(film(), most_missed=0).before) == 0
    assert len(stays_of(film(), most_missed=1).before) == 1


def test_a_link_more_likely_wrong_than_right_by_far_is_no_claim():
    links = Links.none(3, 1)
    links.previous[:] = (-1, 0, 1)
    links.frames[:] = (0, 1, 1)
    links.confidence[:] = (np.nan, 0.31, 0.29)
    kept = taken_back(links)
    assert kept.previous.tolist() == [-1, 0, -1]
    assert kept.frames.tolist() == [0, 1, 0]
    assert np.isnan(kept.confidence[2])


def crowd() -> tuple[Detections, np.ndarray]:
    """40 cells at rest, missed in 15 of 100 frames, among 60 that walk 20 um a frame, for 30 frames of 150 um."""
    rng = np.random.default_rng(4)
    n, walkers, n_frames, edge = 40, 60, 30, 150.0
    place, turn = rng.uniform(0, edge, (n + walkers, 2)), rng.uniform(0, 2 * np.pi, walkers)
    rows = []
    for frame in range(n_frames):
        turn += rng.normal(0, 1, walkers)
        place[n:] = (place[n:] + 20 * np.stack([np.sin(turn), np.cos(turn)], axis=1)) % edge
        seen = rng.random(n + walkers) >= np.where(np.arange(n + walkers) < n, 0.15, 0.03)
        for cell in np.flatnonzero(seen):
            rows.append((frame, cell, *(place[cell] + rng.normal(0, 0.5, 2))))
    table = np.array(rows)
    detections = Detections(
        frame=table[:, 0].astype(np.int64),
        yx_um=table[:, 2:],
        features=rng.normal(0, 0.1, (len(table), 1)),
        near_edge=np.zeros(len(table), dtype=np.bool_),
    )
    return detections, table[:, 1].astype(np.int64)


def kept_over_a_miss(monkeypatch: pytest.MonkeyPatch, *, look: bool) -> float:
    """Share of the cells at rest that were missed for one frame and are linked over it."""
    detections, cell = crowd()
    if not look:
        nothing = Stays(before=np.zeros(0, np.int64), after=np.zeros(0, np.int64), probability=np.zeros(0))
        monkeypatch.setattr(link_passes, "find_stays", lambda *_, **__: nothing)
    links = link_film(
        detections,
        frames=range(30),
        reach=Reach(um_per_frame=40.0, slack_um=2.0, most_frames=3),
        max_gap_frames=2,
        area_um2=150.0**2,
        smallest_um=0.1,
    )
    right = []
    for row in range(len(cell)):
        before = np.flatnonzero((cell[:row] == cell[row]) & (cell[row] < 40))
        if len(before) and detections.frame[row] - detections.frame[before[-1]] == 2:
            right.append(links.previous[row] == before[-1])
    return float(np.mean(right))


def test_more_cells_at_rest_keep_their_track_where_both_sides_of_a_gap_are_seen(monkeypatch):
    both_sides = kept_over_a_miss(monkeypatch, look=True)
    assert both_sides > kept_over_a_miss(monkeypatch, look=False) + 0.1
    assert both_sides > 0.7
