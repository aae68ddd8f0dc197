from dataclasses import fields

import numpy as np

from assay.linking import Detections, Knowledge, Links, OpenTracks, Reach, Seen, link_detections, step
from assay.looks import first_looks
from assay.motion import first_model


def walkers(n_cells=12, n_frames=10, seed=4):
    """Cells that walk at random in a field of 300 x 300 um, all seen in every frame."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(30, 270, (n_cells, 2))
    walk = start + np.cumsum(rng.normal(0, 4, (n_frames, n_cells, 2)), axis=0)
    looks = np.tile(rng.normal(0, 0.3, (n_cells, 1)), (n_frames, 1))
    return Detections(
        frame=np.repeat(np.arange(n_frames), n_cells),
        yx_um=walk.reshape(-1, 2),
        features=looks + rng.normal(0, 0.02, looks.shape),
        near_edge=np.zeros(n_cells * n_frames, dtype=bool),
    )


def knowledge(detections):
    return Knowledge(
        motion=first_model(per_um2=12 / 9e4, um_per_frame=15.0, slack_um=2.0),
        looks=first_looks(detections.frame, detections.features, np.ones(1)),
        reach=Reach(um_per_frame=15.0, slack_um=2.0, most_frames=3),
        max_gap_frames=2,
    )


def seen_in(detections, frame):
    rows = np.flatnonzero(detections.frame == frame)
    return Seen(
        frame=frame,
        first_row=int(rows[0]),
        yx_um=detections.yx_um[rows],
        features=detections.features[rows],
        near_edge=detections.near_edge[rows],
        after=np.zeros((len(rows), 4)),
        looks=detections.features[rows],
        weight=np.ones((len(rows), 1)),
    )


def test_a_film_taken_up_again_from_a_kept_state_is_linked_as_in_one_go():
    detections = walkers()
    known = knowledge(detections)
    whole = link_detections(detections, frames=range(10), known=known)
    links, tracks = Links.none(len(detections.frame), 1), OpenTracks.none(1)
    for frame in range(10):
        tracks = step(tracks, seen_in(detections, frame), known=known, links=links)
        kept = {entry.name: getattr(tracks, entry.name).tolist() for entry in fields(tracks)}  # a checkpoint
        tracks = OpenTracks(
            **{
                name: np.array(column, dtype=getattr(tracks, name).dtype).reshape(getattr(tracks, name).shape)
                for name, column in kept.items()
            }
        )
    assert (links.previous == whole.previous).all()
    assert (whole.previous >= 0).sum() > 80
    np.testing.assert_array_equal(links.confidence, whole.confidence)


def test_the_state_holds_no_more_than_the_cells_of_the_frames_a_gap_may_last():
    detections = walkers()
    known = knowledge(detections)
    links, tracks = Links.none(len(detections.frame), 1), OpenTracks.none(1)
    for frame in range(10):
        tracks = step(tracks, seen_in(detections, frame), known=known, links=links)
        assert len(tracks.row) <= 12 * 3
        assert (frame - tracks.frame <= 2).all()


def test_a_link_between_two_cells_side_by_side_is_less_sure_than_one_of_a_cell_alone():
    frame = np.repeat(np.arange(6), 3)
    place = np.tile([[50.0, 50.0], [50.0, 52.0], [200.0, 200.0]], (6, 1))
    detections = Detections(
        frame=frame,
        yx_um=place,
        features=np.zeros((18, 1)),
        near_edge=np.zeros(18, dtype=bool),
    )
    links = link_detections(detections, frames=range(6), known=knowledge(detections))
    assert links.confidence[5::3].min() > 0.95
    assert links.confidence[3::3].max() < links.confidence[5::3].min()
    assert np.isnan(links.confidence[:3]).all()
