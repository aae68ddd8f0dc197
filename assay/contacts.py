"""Which effector touches which target, from when to when.

Knows the pairs of each frame (`touching.py`), tracks and calibration. Knows nothing of killing.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import ProtocolError
from assay.labels import CellMeasures, Pairs
from assay.touching import LIMIT_TOLERANCE_UM
from assay.touching import concatenate_pairs as concatenate_pairs
from assay.touching import touching_pairs as touching_pairs
from assay.tracks import Tracks, track_ids_of
from assay.units import Calibration

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One uninterrupted contact; seen in a single frame it lasts one frame interval."""

    contact_id: int
    effector_track_id: int
    target_track_id: int
    first_frame: int
    last_frame: int  # included
    min_gap_um: float
    mean_interface_um: float
    starts_censored: bool
    ends_censored: bool
    unseen_frames: int = 0  # of these, in which one of the two could not be seen for want of an image

    def duration_min(self, calibration: Calibration) -> float:
        """Time in contact, in minutes."""
        return calibration.minutes(self.last_frame - self.first_frame + 1)


def find_contacts(
    pairs: Pairs,
    *,
    effectors: CellMeasures,
    effector_tracks: Tracks,
    targets: CellMeasures,
    target_tracks: Tracks,
    masked_frames: Collection[int],
    enter_um: float,
    leave_um: float,
    bridge_frames: int,
    min_frames: int,
) -> list[Contact]:
    """Find who touches whom from when to when.

    A contact begins at a frame with gap <= `enter_um` and ends at the last frame with gap <= `leave_um`
    before more than `bridge_frames` frames above it. Only frames in which both cells were seen count: a
    masked frame, or one in which either cell was missed, neither begins nor ends a contact.

    Args:
        pairs: Pairs of the whole film, with every pair up to `leave_um` at least.
        effectors: The effectors of the whole film.
        effector_tracks: Their tracks.
        targets: The targets of the whole film.
        target_tracks: Their tracks.
        masked_frames: Frames that hold no usable image.
        enter_um: Gap at which a contact begins.
        leave_um: Gap above which it ends.
        bridge_frames: Frames above `leave_um` that do not end it.
        min_frames: A shorter contact, from first to last frame, is none.

    Returns:
        The contacts ordered by (first frame, effector, target), numbered from 1 in that order.
        `mean_interface_um` is the mean over their frames with gap <= `leave_um`.

    Raises:
        ShapeError: `pairs` names a cell that is not in the measures.
        ProtocolError: `leave_um` is smaller than `enter_um`.
    """
    meetings, sight = meet(
        pairs,
        effectors=effectors,
        effector_tracks=effector_tracks,
        targets=targets,
        target_tracks=target_tracks,
        masked_frames=masked_frames,
        leave_um=leave_um,
    )
    return contacts_among(
        meetings, sight, enter_um=enter_um, bridge_frames=bridge_frames, min_frames=min_frames
    )


def contacts_among(
    meetings: "Meetings", sight: "Sight", *, enter_um: float, bridge_frames: int, min_frames: int
) -> list[Contact]:
    """The contacts in what `meet` found; settings, result and errors as of `find_contacts`."""
    leave_um = meetings.leave_um
    if leave_um < enter_um:
        raise ProtocolError(f"leave_um must be at least enter_um = {enter_um} um, got {leave_um} um.")
    first, last = _episodes(meetings, sight, enter_um=enter_um, bridge_frames=bridge_frames)
    long_enough = meetings.frame[last] - meetings.frame[first] + 1 >= min_frames
    return _contacts_of(meetings, sight, first[long_enough], last[long_enough])


@dataclass(frozen=True, slots=True, kw_only=True)
class Meetings:
    """Frames in which a pair is within leave_um, ordered by (effector, target, frame); both are track ids."""

    leave_um: float
    effector: Ids
    target: Ids
    frame: Ids
    effector_label: Ids
    target_label: Ids
    gap_um: NDArray[np.float64]
    interface_um: NDArray[np.float64]


def meet(
    pairs: Pairs,
    *,
    effectors: CellMeasures,
    effector_tracks: Tracks,
    targets: CellMeasures,
    target_tracks: Tracks,
    masked_frames: Collection[int],
    leave_um: float,
) -> tuple[Meetings, "Sight"]:
    """In which usable frames each pair of tracks is within `leave_um`, and in which both were seen."""
    masked = np.array(sorted(masked_frames), dtype=np.int64)
    close = (pairs.gap_um <= leave_um + LIMIT_TOLERANCE_UM) & ~np.isin(pairs.frame, masked)
    frame = pairs.frame[close].astype(np.int64)
    effector = track_ids_of(effectors, effector_tracks, frame=frame, label=pairs.effector_label[close])
    target = track_ids_of(targets, target_tracks, frame=frame, label=pairs.target_label[close])
    order = np.lexsort((frame, target, effector))
    meetings = Meetings(
        leave_um=leave_um,
        effector=effector[order],
        target=target[order],
        frame=frame[order],
        effector_label=pairs.effector_label[close][order].astype(np.int64),
        target_label=pairs.target_label[close][order].astype(np.int64),
        gap_um=pairs.gap_um[close][order],
        interface_um=pairs.interface_um[close][order],
    )
    sight = Sight(
        effectors=effectors,
        effector_tracks=effector_tracks,
        targets=targets,
        target_tracks=target_tracks,
        masked=masked,
    )
    return meetings, sight


def _episodes(meetings: Meetings, sight: "Sight", *, enter_um: float, bridge_frames: int) -> tuple[Ids, Ids]:
    """First and last row of each contact, both included."""
    effector, target, frame = meetings.effector, meetings.target, meetings.frame
    same = (effector[1:] == effector[:-1]) & (target[1:] == target[:-1])
    broken = ~same
    broken[same] = (
        sight.frames_seen(
            effector[1:][same],
            target[1:][same],
            frame[:-1][same] + 1,
            frame[1:][same],
            enough=bridge_frames,
        )
        > bridge_frames
    )
    episode = np.concatenate([[0], np.cumsum(broken)])[: len(frame)]
    # an episode begins to be a contact where the gap first falls to enter_um
    entered = np.flatnonzero(meetings.gap_um <= enter_um + LIMIT_TOLERANCE_UM)
    _, nth = np.unique(episode[entered], return_index=True)
    first = entered[nth]
    last = np.searchsorted(episode, episode[first], side="right") - 1
    return first, last


def _contacts_of(meetings: Meetings, sight: "Sight", first: Ids, last: Ids) -> list[Contact]:
    order = np.lexsort((meetings.target[first], meetings.effector[first], meetings.frame[first]))
    first, last = first[order], last[order]
    effector, target = meetings.effector[first], meetings.target[first]
    begun, ended = meetings.frame[first], meetings.frame[last]
    starts_censored = ~sight.seen_before(effector, target, begun) | sight.is_masked(begun - 1)
    ends_censored = ~sight.seen_after(effector, target, ended) | sight.is_masked(ended + 1)
    unseen = sight.masked_within(begun, ended)
    return [
        Contact(
            contact_id=k + 1,
            effector_track_id=int(effector[k]),
            target_track_id=int(target[k]),
            first_frame=int(begun[k]),
            last_frame=int(ended[k]),
            min_gap_um=float(meetings.gap_um[first[k] : last[k] + 1].min()),
            mean_interface_um=float(meetings.interface_um[first[k] : last[k] + 1].mean()),
            starts_censored=bool(starts_censored[k]),
            ends_censored=bool(ends_censored[k]),
            unseen_frames=int(unseen[k]),
        )
        for k in range(len(first))
    ]


class Sight:
    """In which frames both cells of a pair were seen."""

    def __init__(
        self,
        *,
        effectors: CellMeasures,
        effector_tracks: Tracks,
        targets: CellMeasures,
        target_tracks: Tracks,
        masked: NDArray[np.int64],
    ) -> None:
        frames = np.concatenate([effectors.frame, targets.frame, masked])
        self._span = int(frames.max(initial=0)) + 2
        self._masked = masked
        self._seen = (self._keys(effectors, effector_tracks), self._keys(targets, target_tracks))
        self._lives = (_lives(effector_tracks), _lives(target_tracks))

    def _keys(self, measures: CellMeasures, tracks: Tracks) -> Ids:
        usable = ~np.isin(measures.frame, self._masked)
        keys: Ids = tracks.track_id[usable] * self._span + measures.frame[usable]
        return np.sort(keys)

    def is_masked(self, frame: Ids) -> NDArray[np.bool_]:
        """Does the frame hold no usable image?"""
        return np.isin(frame, self._masked)

    def masked_within(self, first: Ids, last: Ids) -> Ids:
        """Count the masked frames from `first` to `last`, both included."""
        return np.searchsorted(self._masked, last, side="right") - np.searchsorted(self._masked, first)

    def seen_before(self, effector: Ids, target: Ids, frame: Ids) -> NDArray[np.bool_]:
        """Was the pair seen together in any frame before `frame`?"""
        start = np.maximum(self._lives[0][0, effector], self._lives[1][0, target])
        return self.frames_seen(effector, target, start, frame, enough=0) > 0

    def seen_after(self, effector: Ids, target: Ids, frame: Ids) -> NDArray[np.bool_]:
        """Was the pair seen together in any frame after `frame`?"""
        stop = np.minimum(self._lives[0][1, effector], self._lives[1][1, target]) + 1
        return self.frames_seen(effector, target, frame + 1, stop, enough=0) > 0

    def frames_seen(self, effector: Ids, target: Ids, start: Ids, stop: Ids, *, enough: int) -> Ids:
        """Count the frames from `start` up to, not including, `stop` in which both cells were seen.

        The count is exact up to `enough`; beyond, it is only certain to be larger than that.
        """
        cells = ((effector, self._seen[0]), (target, self._seen[1]))
        one, other = (
            np.searchsorted(seen, cell * self._span + stop) - np.searchsorted(seen, cell * self._span + start)
            for cell, seen in cells
        )
        count: Ids = np.maximum(one + other - (stop - start), 0)
        asked = np.flatnonzero((count <= enough) & (count < np.minimum(one, other)))
        length = (stop - start)[asked]
        frame = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        frame += np.repeat(start[asked], length)
        both = np.ones(len(frame), dtype=np.bool_)
        for cell, seen in cells:
            both &= _is_in(np.repeat(cell[asked], length) * self._span + frame, seen)
        count[asked] = np.bincount(np.repeat(np.arange(len(asked)), length)[both], minlength=len(asked))
        return count


def _is_in(values: Ids, sorted_values: Ids) -> NDArray[np.bool_]:
    if len(sorted_values) == 0:
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(sorted_values, values), len(sorted_values) - 1)
    found: NDArray[np.bool_] = sorted_values[place] == values
    return found


def _lives(tracks: Tracks) -> Ids:
    """First and last frame of each track, (2, highest id + 1)."""
    lives: Ids = np.zeros(
        (2, max((track.track_id for track in tracks.tracks), default=0) + 1), dtype=np.int64
    )
    for track in tracks.tracks:
        lives[:, track.track_id] = track.first_frame, track.last_frame
    return lives
