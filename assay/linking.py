"""Which detection of one frame follows which of the frames before: a streaming linker in log odds.

Knows positions (drift taken off), features and frames of one role's detections. Knows nothing of how tracks
begin and end, nor of divisions; `tracks.py` reads those from the links. State is one row per open track.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from assay.link_loops import best_pairs, looks_ahead, pair_confidence, pairs_in_reach
from assay.link_odds import pair_odds
from assay.looks import LooksModel
from assay.motion import LinkModel, mode_weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

END_PROBABILITY = 0.05  # that an open track has no detection in the next frame
MISS_PROBABILITY = 0.03  # for each further frame in which the cell was not detected
VELOCITY_WEIGHT = 0.7  # of the newest step in a track's velocity
LOOKS_LIMITS = (-8.0, 12.0)  # what looks may say against and for a link
TEMPER = 0.7  # of the odds, where confidence is read from them: pairs share what they are judged by


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What was found, rows ordered by frame."""

    frame: Ints
    yx_um: Floats  # (N, 2), stage drift taken off
    features: Floats  # (N, F), logarithms, each frame's median taken off
    near_edge: NDArray[np.bool_]  # so near the image's edge that a new cell is no surprise
    twins: tuple[tuple[int, int], ...] = ()  # columns of features that measure the same in two ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a cell may be from where it was last seen: `slack_um` + frames x `um_per_frame`.

    Beyond `most_frames`, which only a run of masked frames lasts, it grows no more.
    """

    um_per_frame: float
    slack_um: float
    most_frames: int

    def after(self, frames: Ints) -> Floats:
        """The reach over that many frames, in um."""
        reach: Floats = self.slack_um + self.um_per_frame * np.minimum(frames, self.most_frames)
        return reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """For each detection the one it follows (-1: none) and what the linker knew when it chose it."""

    previous: Ints
    frames: Ints  # frames since then
    step_um: Floats  # (N, 2)
    velocity_um: Floats  # (N, 2) per frame, before the step; nan where the track had a single detection
    change: Floats  # (N, F) of looks
    weight: Floats  # (N, F) detections that the looks before were worth
    confidence: Floats  # probability that the link is right; nan where there is none

    @classmethod
    def none(cls, n: int, n_features: int) -> "Links":
        """No detection follows another."""
        return cls(
            previous=np.full(n, -1, dtype=np.int64),
            frames=np.zeros(n, dtype=np.int64),
            step_um=np.zeros((n, 2)),
            velocity_um=np.full((n, 2), np.nan),
            change=np.zeros((n, n_features)),
            weight=np.ones((n, n_features)),
            confidence=np.full(n, np.nan),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """All that the linker believes of this film's cells."""

    motion: LinkModel
    looks: LooksModel
    reach: Reach
    max_gap_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One frame's detections, with what is known of what each does afterwards (nothing: trust 0)."""

    frame: int
    first_row: int
    yx_um: Floats
    features: Floats
    near_edge: NDArray[np.bool_]
    after: Floats  # (n, 4) step y, x, trust in it, unused
    looks: Floats  # (n, F) averages of the detection and what follows
    weight: Floats  # (n, F)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTracks:
    """The tracks that may still go on: the linker's whole state, one row each, ordered by last detection."""

    row: Ints  # last detection
    frame: Ints
    missed: Ints  # usable frames since
    yx_um: Floats
    motion: Floats  # (n, 4) velocity y, x in um per frame, trust in it, probability of moving
    looks: Floats  # (n, F)
    weight: Floats  # (n, F) detections that the looks are worth

    @classmethod
    def none(cls, n_features: int) -> "OpenTracks":
        """Before the first frame."""
        return cls(
            row=np.zeros(0, np.int64),
            frame=np.zeros(0, np.int64),
            missed=np.zeros(0, np.int64),
            yx_um=np.zeros((0, 2)),
            motion=np.zeros((0, 4)),
            looks=np.zeros((0, n_features)),
            weight=np.ones((0, n_features)),
        )


def link_detections(
    detections: Detections, *, frames: Sequence[int], known: Knowledge, before: Links | None = None
) -> Links:
    """Follow cells through `frames`, which are the usable ones in order.

    Each frame's detections are given to the open tracks so that the sum of log odds (same cell against a
    lost one and a new one) is largest. A track stays open over `max_gap_frames` usable frames.

    Args:
        detections: Of the whole film.
        frames: The usable ones, in order.
        known: How these cells move and look.
        before: Links of an earlier pass: what each cell did afterwards then counts as well.
    """
    n, n_features = detections.features.shape
    links = Links.none(n, n_features)
    after, looks, weight = np.zeros((n, 4)), detections.features, np.ones((n, n_features))
    if before is not None:
        after, looks, weight = ahead(detections, before, known)
    firsts = np.searchsorted(detections.frame, np.asarray(frames))
    ends = np.searchsorted(detections.frame, np.asarray(frames), side="right")
    tracks = OpenTracks.none(n_features)
    for start, end, frame in zip(firsts.tolist(), ends.tolist(), frames, strict=True):
        seen = Seen(
            frame=frame,
            first_row=start,
            yx_um=detections.yx_um[start:end],
            features=detections.features[start:end],
            near_edge=detections.near_edge[start:end],
            after=after[start:end],
            looks=looks[start:end],
            weight=weight[start:end],
        )
        tracks = step(tracks, seen, known=known, links=links)
    return links


def ahead(detections: Detections, before: Links, known: Knowledge) -> tuple[Floats, Floats, Floats]:
    """What each detection's cell does afterwards by these links: its step and trust in it, its looks, their weight."""
    following = np.full(len(before.previous), -1, dtype=np.int64)
    rows = np.flatnonzero(before.previous >= 0)
    following[before.previous[rows]] = rows
    after, looks, weight = looks_ahead(
        detections.yx_um,
        detections.frame,
        detections.features,
        following,
        before.confidence,
        known.looks.gain,
    )
    return after, looks, weight


def step(tracks: OpenTracks, seen: Seen, *, known: Knowledge, links: Links) -> OpenTracks:
    """Link one frame: writes its rows of `links`, returns the open tracks afterwards."""
    track, found, confidence = _assign(tracks, seen, known)
    row = seen.first_row + found
    links.previous[row] = tracks.row[track]
    links.frames[row] = seen.frame - tracks.frame[track]
    links.step_um[row] = seen.yx_um[found] - tracks.yx_um[track]
    links.velocity_um[row] = np.where(tracks.motion[track, 2:3] > 0, tracks.motion[track, :2], np.nan)
    links.change[row] = seen.features[found] - tracks.looks[track]
    links.weight[row] = tracks.weight[track]
    links.confidence[row] = confidence
    return _after(tracks, seen, track, found, confidence, known)


def _assign(tracks: OpenTracks, seen: Seen, known: Knowledge) -> tuple[Ints, Ints, Floats]:
    """Open tracks, the detections that go on with them, and how probable that is."""
    waited = seen.frame - tracks.frame
    start, found = pairs_in_reach(tracks.yx_um, known.reach.after(waited), seen.yx_um)
    new = math.log(known.motion.new_per_um2) + np.where(seen.near_edge, math.log(5.0), 0.0)
    odds = pair_odds(
        start,
        found,
        tracks.yx_um,
        tracks.motion,
        tracks.looks,
        tracks.weight,
        waited.astype(np.float64),
        (math.log(END_PROBABILITY) - tracks.missed * math.log(MISS_PROBABILITY)).astype(np.float64),
        seen.yx_um,
        seen.after,
        seen.looks,
        seen.weight,
        new,
        known.motion.table(),
        known.looks.table(),
        np.array(LOOKS_LIMITS),
    )
    taken = best_pairs(start, found, odds, len(seen.yx_um))
    confidence = pair_confidence(start, found, TEMPER * odds, taken, len(seen.yx_um))
    track = np.flatnonzero(taken >= 0)
    return track, found[taken[track]], confidence[track]


def _after(
    tracks: OpenTracks, seen: Seen, track: Ints, found: Ints, confidence: Floats, known: Knowledge
) -> OpenTracks:
    """The open tracks once a frame was linked: gone on, missed, or begun; ordered by last detection.

    What was known of a track counts no more than the link to it is sure.
    """
    lost = np.ones(len(tracks.row), dtype=np.bool_)
    lost[track] = False
    waiting = np.flatnonzero(lost & (tracks.missed < known.max_gap_frames))
    unlinked = np.ones(len(seen.yx_um), dtype=np.bool_)
    unlinked[found] = False
    new = np.flatnonzero(unlinked)
    looks, weight = _blended(tracks, seen, track, found, confidence, known)
    begun = np.zeros((len(new), 4))
    begun[:, 3] = known.motion.moving_share
    joined = OpenTracks(
        row=np.concatenate([seen.first_row + found, tracks.row[waiting], seen.first_row + new]),
        frame=np.concatenate(
            [np.full(len(found), seen.frame), tracks.frame[waiting], np.full(len(new), seen.frame)]
        ),
        missed=np.concatenate([np.zeros_like(found), tracks.missed[waiting] + 1, np.zeros_like(new)]),
        yx_um=np.concatenate([seen.yx_um[found], tracks.yx_um[waiting], seen.yx_um[new]]),
        motion=np.concatenate(
            [_moved(tracks, seen, track, found, confidence, known), tracks.motion[waiting], begun]
        ),
        looks=np.concatenate([looks, tracks.looks[waiting], seen.features[new]]),
        weight=np.concatenate([weight, tracks.weight[waiting], np.ones((len(new), looks.shape[1]))]),
    )
    order = np.argsort(joined.row, kind="stable")
    return OpenTracks(**{entry.name: getattr(joined, entry.name)[order] for entry in fields(joined)})


def _moved(
    tracks: OpenTracks, seen: Seen, track: Ints, found: Ints, confidence: Floats, known: Knowledge
) -> Floats:
    """Velocity, trust in it and probability of moving, after a step."""
    before = tracks.motion[track]
    way = (seen.yx_um[found] - tracks.yx_um[track]) / (seen.frame - tracks.frame[track])[:, None]
    had = before[:, 2:3] > 0
    old = np.where(had, before[:, :2], np.nan)
    still, moving, _ = mode_weights(known.motion, way, old, share=before[:, 3])
    velocity = np.where(had, VELOCITY_WEIGHT * way + (1 - VELOCITY_WEIGHT) * before[:, :2], way)
    goes = moving / np.maximum(still + moving, 1e-12)
    share = known.motion.moving_share
    return np.column_stack([velocity, confidence, share + confidence * (goes - share)])


def _blended(
    tracks: OpenTracks, seen: Seen, track: Ints, found: Ints, confidence: Floats, known: Knowledge
) -> tuple[Floats, Floats]:
    """Looks of the tracks and what they are worth, the newest detection in them."""
    part = np.maximum(known.looks.gain, 1 / (1 + confidence[:, None] * tracks.weight[track]))
    looks = tracks.looks[track] + part * (seen.features[found] - tracks.looks[track])
    return looks, 1 / part
