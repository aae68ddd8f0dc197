"""Corrections of who is who: cuts, joins and swaps of tracks, applied to the rows that the linker named.

A person's word is no doubt: the link that a join or swap makes is taken for sure. What is not touched stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellMeasures, CellRole
from assay.pipeline.field_films import FieldFilm
from assay.review.decisions import Decision
from assay.tracks import Track, TrackEnd, Tracks, TrackStart

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A film after corrections, and the tracks of each role that they touch."""

    film: FieldFilm
    touched: Mapping[CellRole, frozenset[int]]
    problems: tuple[str, ...] = ()


def correct_tracks(film: FieldFilm, edits: Sequence[Decision]) -> Corrected:
    """Apply cuts, joins and swaps in their order; one that cannot be is named and left out."""
    tracks, touched, problems = dict(film.tracks), {}, []
    for role in CELL_ROLES:
        mine = [edit for edit in edits if edit.values.get("role") == role]
        tracks[role], touched[role], said = _correct_role(film.tracks[role], film.measures[role], mine)
        problems += said
    return Corrected(film=replace(film, tracks=tracks), touched=touched, problems=tuple(problems))


def _correct_role(
    tracks: Tracks, measures: CellMeasures, edits: Sequence[Decision]
) -> tuple[Tracks, frozenset[int], list[str]]:
    ids, frame = tracks.track_id.copy(), measures.frame.astype(np.int64)
    ends = {track.track_id: _End.of(track) for track in tracks.tracks}
    touched: set[int] = set()
    problems: list[str] = []
    for edit in edits:
        said = _apply(ids, frame, ends, edit)
        if said:
            problems.append(f"{edit.verb} of {edit.reader}: {said}")
            continue
        touched |= {
            int(edit.values[name])
            for name in ("track_id", "other_track_id", "new_track_id")
            if edit.values.get(name) is not None
        }
    if not touched:
        return tracks, frozenset(), problems
    return _rebuilt(tracks, ids, frame, ends, touched), frozenset(touched), problems


@dataclass(slots=True)
class _End:
    """How a track begins and ends, as far as its rows do not say."""

    start: TrackStart
    end: TrackEnd
    parent: int | None

    @classmethod
    def of(cls, track: Track) -> "_End":
        return cls(track.start, track.end, track.parent_track_id)


def _apply(ids: Ids, frame: Ids, ends: dict[int, _End], edit: Decision) -> str | None:
    """Change the names in place; says why not where it cannot be."""
    track, at = int(edit.values.get("track_id") or 0), int(edit.values["frame"])
    mine = ids == track
    if not mine.any():
        return f"there is no {edit.values['role']} {track}"
    if edit.verb == "split":
        new = int(edit.values.get("new_track_id") or 0)
        if new < 1 or (ids == new).any():
            return f"{new} is the name of another {edit.values['role']}"
        if not ((mine & (frame < at)).any() and (mine & (frame >= at)).any()):
            return f"{track} is not seen on both sides of frame {at}"
        ids[mine & (frame >= at)] = new
        ends[new] = _End("appeared", ends[track].end, None)
        ends[track].end = "lost"
        _move_children(ends, {track: new})
        return None
    other = int(edit.values.get("other_track_id") or 0)
    theirs = ids == other
    if other == track or not theirs.any():
        return f"there is no other {edit.values['role']} {other}"
    if edit.verb == "join":
        return _join(ids, frame, ends, track, other)
    ids[mine & (frame >= at)], ids[theirs & (frame >= at)] = other, track
    ends[track].end, ends[other].end = ends[other].end, ends[track].end
    _move_children(ends, {track: other, other: track})
    return None


def _join(ids: Ids, frame: Ids, ends: dict[int, _End], track: int, other: int) -> str | None:
    together = np.intersect1d(frame[ids == track], frame[ids == other])
    if len(together):
        return f"{track} and {other} are both seen in frame {int(together[0])}"
    first, last = (track, other) if frame[ids == track].min() < frame[ids == other].min() else (other, track)
    whole = _End(ends[first].start, ends[last].end, ends[first].parent)
    ids[ids == other] = track
    ends[track] = whole
    ends.pop(other)
    _move_children(ends, {other: track})
    return None


def _move_children(ends: dict[int, _End], moved: Mapping[int, int]) -> None:
    """Daughters are of the track that holds their mother's end."""
    for end in ends.values():
        if end.parent is not None:
            end.parent = moved.get(end.parent, end.parent)


def _rebuilt(tracks: Tracks, ids: Ids, frame: Ids, ends: Mapping[int, _End], touched: set[int]) -> Tracks:
    sure = tracks.link_confidence
    if sure is not None:
        sure = _links(ids, frame, tracks.track_id, sure)
    known = {track.track_id: track for track in tracks.tracks}
    made = [known[number] for number in known if number not in touched and number in ends]
    made = [replace(track, parent_track_id=ends[track.track_id].parent) for track in made]
    for number in sorted(touched & set(ids.tolist())):
        made.append(
            track_over(number, ids, frame, sure, ends[number].start, ends[number].end, ends[number].parent)
        )
    made.sort(key=lambda track: track.track_id)
    return Tracks(role=tracks.role, track_id=ids, tracks=tuple(made), link_confidence=sure)


def track_over(
    number: int,
    ids: Ids,
    frame: Ids,
    sure: NDArray[np.float64] | None,
    start: TrackStart,
    end: TrackEnd,
    parent: int | None,
) -> Track:
    """A track as its rows show it."""
    mine = ids == number
    known = sure[mine & np.isfinite(sure)] if sure is not None else np.zeros(0)
    return Track(
        track_id=number,
        first_frame=int(frame[mine].min()),
        last_frame=int(frame[mine].max()),
        parent_track_id=parent,
        start=start,
        end=end,
        min_link_confidence=float(known.min()) if len(known) else None,
    )


def _links(ids: Ids, frame: Ids, before: Ids, sure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Confidence of each row's link to the row before: a new one was made by a person, a first row has none."""
    kept = sure.copy()
    last, last_before = _previous(ids, frame), _previous(before, frame)
    new = last != last_before
    kept[new] = np.where(last[new] >= 0, 1.0, np.nan)
    return kept


def _previous(ids: Ids, frame: Ids) -> Ids:
    """Of each row the row of its track before; -1 in the first."""
    order = np.lexsort((frame, ids))
    found = np.full(len(ids), -1, dtype=np.int64)
    follows = ids[order][1:] == ids[order][:-1]
    found[order[1:][follows]] = order[:-1][follows]
    return found
