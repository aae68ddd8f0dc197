"""Which detection of one frame follows which of the frames before: a streaming linker in log odds.

Knows positions (drift taken off), features and frames of one role's detections. Knows nothing of how tracks
begin and end, nor of divisions; `tracks.py` reads those from the links. State is one row per open track.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from assay.marginals import pair_probabilities
from assay.motion import LinkModel, first_model, fit_model, looks_log_odds, mode_weights, motion_log_density

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

END_PROBABILITY = 0.05  # that an open track has no detection in the next frame
MISS_PROBABILITY = 0.03  # for each further frame in which the cell was not detected
NEWEST_WEIGHT = 0.35  # of the newest detection in a track's own looks
VELOCITY_WEIGHT = 0.7  # of the newest step in a track's velocity
NEW_SHARES = (5e-4, 0.01)  # what the share of new detections away from the edge may be
FITS = 2  # times the model is measured from links


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What was found, rows ordered by frame."""

    frame: Ints
    yx_um: Floats  # (N, 2), stage drift taken off
    features: Floats  # (N, F), logarithms, each frame's median taken off
    near_edge: NDArray[np.bool_]  # so near the image's edge that a new cell is no surprise


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a cell may be from where it was last seen: `slack_um` + frames x `um_per_frame`.

    Beyond `most_frames`, which only a run of masked frames lasts, it grows no more.
    """

    um_per_frame: float
    slack_um: float
    most_frames: int

    def after(self, frames: int) -> float:
        """The reach over that many frames, in um."""
        return self.slack_um + self.um_per_frame * min(frames, self.most_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """For each detection the one it follows (-1: none) and what the linker knew when it chose it."""

    previous: Ints
    frames: Ints  # frames since then
    step_um: Floats  # (N, 2)
    velocity_um: Floats  # (N, 2) per frame, before the step; nan where the track had a single detection
    change: Floats  # (N, F) of looks
    confidence: Floats  # probability that the link is right; nan where there is none


def link_film(
    detections: Detections,
    *,
    frames: Sequence[int],
    reach: Reach,
    max_gap_frames: int,
    area_um2: float,
    smallest_um: float,
) -> Links:
    """Link a film, measure the model from the links, and link again with it."""
    per_um2 = max(len(detections.frame), 1) / max(len(frames), 1) / area_um2
    model = first_model(
        detections.features, per_um2=per_um2, um_per_frame=reach.um_per_frame, slack_um=reach.slack_um
    )
    for _ in range(FITS):
        links = link_detections(
            detections, frames=frames, reach=reach, max_gap_frames=max_gap_frames, model=model
        )
        rows = (links.previous >= 0) & (links.frames == 1)
        model = fit_model(
            replace(model, new_per_um2=per_um2 * _new_share(detections, links)),
            step=links.step_um[rows],
            velocity=links.velocity_um[rows],
            change=links.change[rows],
            smallest_um=smallest_um,
        )
    return link_detections(detections, frames=frames, reach=reach, max_gap_frames=max_gap_frames, model=model)


def _new_share(detections: Detections, links: Links) -> float:
    """Share of the detections away from the edge that continue no track."""
    asked = (detections.frame > detections.frame.min(initial=0)) & ~detections.near_edge
    new = int((asked & (links.previous < 0)).sum())
    return float(np.clip(new / max(int(asked.sum()), 1), *NEW_SHARES))


def link_detections(
    detections: Detections, *, frames: Sequence[int], reach: Reach, max_gap_frames: int, model: LinkModel
) -> Links:
    """Follow cells through `frames`, which are the usable ones in order.

    Each frame's detections are given to the open tracks so that the sum of log odds (same cell against a
    lost one and a new one) is largest. A track stays open over `max_gap_frames` usable frames.
    """
    n, n_features = detections.features.shape
    links = Links(
        previous=np.full(n, -1, dtype=np.int64),
        frames=np.zeros(n, dtype=np.int64),
        step_um=np.zeros((n, 2)),
        velocity_um=np.full((n, 2), np.nan),
        change=np.zeros((n, n_features)),
        confidence=np.full(n, np.nan),
    )
    bounds = np.searchsorted(detections.frame, np.asarray([*frames, np.iinfo(np.int64).max]))
    ends = np.searchsorted(detections.frame, np.asarray(frames), side="right")
    tracks = _OpenTracks.none(n_features)
    for start, end, frame in zip(bounds[:-1].tolist(), ends.tolist(), frames, strict=True):
        rows = np.arange(start, end)
        track, row, confidence = _assign(tracks, rows, frame, detections=detections, reach=reach, model=model)
        _note(links, tracks, track, row, detections, frame)
        links.confidence[row] = confidence
        tracks = tracks.after(
            track, row, rows, detections=detections, frame=frame, model=model, max_gap_frames=max_gap_frames
        )
    return links


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenTracks:
    """The tracks that may still go on."""

    row: Ints  # last detection
    frame: Ints
    missed: Ints  # usable frames since
    yx_um: Floats
    velocity_um: Floats  # per frame; nan after a single detection
    moving: Floats  # probability
    looks: Floats

    @classmethod
    def none(cls, n_features: int) -> "_OpenTracks":
        return cls(
            row=np.zeros(0, np.int64),
            frame=np.zeros(0, np.int64),
            missed=np.zeros(0, np.int64),
            yx_um=np.zeros((0, 2)),
            velocity_um=np.zeros((0, 2)),
            moving=np.zeros(0),
            looks=np.zeros((0, n_features)),
        )

    def after(
        self,
        track: Ints,
        row: Ints,
        rows: Ints,
        *,
        detections: Detections,
        frame: int,
        model: LinkModel,
        max_gap_frames: int,
    ) -> "_OpenTracks":
        """The open tracks once `frame` was linked: gone on, missed, or begun; ordered by last detection."""
        missed = np.ones(len(self.row), dtype=np.bool_)
        missed[track] = False
        waiting = np.flatnonzero(missed & (self.missed < max_gap_frames))
        new = np.setdiff1d(rows, row)
        step = (detections.yx_um[row] - self.yx_um[track]) / (frame - self.frame[track])[:, None]
        before = self.velocity_um[track]
        velocity = np.where(
            np.isfinite(before), VELOCITY_WEIGHT * step + (1 - VELOCITY_WEIGHT) * before, step
        )
        still, moving, _ = mode_weights(model, step, before, share=self.moving[track])
        looks = self.looks[track] + NEWEST_WEIGHT * (detections.features[row] - self.looks[track])
        joined = _OpenTracks(
            row=np.concatenate([row, self.row[waiting], new]),
            frame=np.concatenate([np.full(len(row), frame), self.frame[waiting], np.full(len(new), frame)]),
            missed=np.concatenate([np.zeros_like(row), self.missed[waiting] + 1, np.zeros_like(new)]),
            yx_um=np.concatenate([detections.yx_um[row], self.yx_um[waiting], detections.yx_um[new]]),
            velocity_um=np.concatenate([velocity, self.velocity_um[waiting], np.full((len(new), 2), np.nan)]),
            moving=np.concatenate(
                [
                    moving / np.maximum(still + moving, 1e-12),
                    self.moving[waiting],
                    np.full(len(new), model.moving_share),
                ]
            ),
            looks=np.concatenate([looks, self.looks[waiting], detections.features[new]]),
        )
        order = np.argsort(joined.row, kind="stable")
        return _OpenTracks(**{name: getattr(joined, name)[order] for name in _OpenTracks.__slots__})


def _note(
    links: Links, tracks: _OpenTracks, track: Ints, row: Ints, detections: Detections, frame: int
) -> None:
    links.previous[row] = tracks.row[track]
    links.frames[row] = frame - tracks.frame[track]
    links.step_um[row] = detections.yx_um[row] - tracks.yx_um[track]
    links.velocity_um[row] = tracks.velocity_um[track]
    links.change[row] = detections.features[row] - tracks.looks[track]


def _assign(
    tracks: _OpenTracks,
    rows: Ints,
    frame: int,
    *,
    detections: Detections,
    reach: Reach,
    model: LinkModel,
) -> tuple[Ints, Ints, Floats]:
    """Open tracks, the detections (row numbers) that go on with them, and how probable that is."""
    track, found = _within_reach(tracks, detections.yx_um[rows], frame, reach)
    if len(track) == 0:
        return track, rows[found], np.zeros(0)
    row = rows[found]
    odds = motion_log_density(
        model,
        step=detections.yx_um[row] - tracks.yx_um[track],
        velocity=tracks.velocity_um[track],
        frames=frame - tracks.frame[track],
        moving=tracks.moving[track],
    )
    odds += looks_log_odds(model, detections.features[row] - tracks.looks[track])
    odds -= math.log(model.new_per_um2) + np.where(detections.near_edge[row], math.log(5.0), 0.0)
    odds += tracks.missed[track] * math.log(MISS_PROBABILITY) - math.log(END_PROBABILITY)
    worth = np.flatnonzero(odds > 0)
    chosen = _best_matching(
        track[worth], found[worth], np.round(odds[worth], 6), n_tracks=len(tracks.row), n_rows=len(rows)
    )
    probability = pair_probabilities(track, found, odds, n_first=len(tracks.row), n_second=len(rows))
    taken = worth[chosen]
    return track[taken], row[taken], probability[taken]


def _within_reach(tracks: _OpenTracks, yx_um: Floats, frame: int, reach: Reach) -> tuple[Ints, Ints]:
    """Pairs of open track and detection, ordered."""
    pairs = []
    if len(yx_um):
        tree = cKDTree(yx_um)
        for waited in np.unique(frame - tracks.frame).tolist():
            group = np.flatnonzero(frame - tracks.frame == waited)
            near = cKDTree(tracks.yx_um[group]).sparse_distance_matrix(
                tree, reach.after(waited), output_type="ndarray"
            )
            pairs.append(np.stack([group[near["i"]], near["j"]], 1))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    track, found = np.concatenate(pairs).astype(np.int64).T
    order = np.lexsort((found, track))
    return track[order], found[order]


def _best_matching(track: Ints, found: Ints, odds: Floats, *, n_tracks: int, n_rows: int) -> Ints:
    """Which pairs to take so that each side is used once and the sum of odds is largest.

    Every track also has a column of its own, worth nothing, for the case that it finds no detection.
    """
    if len(track) == 0:
        return np.zeros(0, np.int64)
    top = float(odds.max()) + 1.0  # the solver minimises, and takes no zeros
    used, place = np.unique(track, return_inverse=True)
    weights = np.concatenate([top - odds, np.full(len(used), top)])
    lines = np.concatenate([place, np.arange(len(used))])
    columns = np.concatenate([found, n_rows + np.arange(len(used))])
    matrix = csr_array((weights, (lines, columns)), shape=(len(used), n_rows + len(used)))
    line, column = min_weight_full_bipartite_matching(matrix)
    taken = np.full(len(used), -1, dtype=np.int64)
    taken[line] = column
    chosen: Ints = np.flatnonzero(taken[place] == found)
    return chosen
