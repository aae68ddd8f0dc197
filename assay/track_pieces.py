"""Tracks cut where a cell was not seen, as the Cell Tracking Challenge wants them, and put together again.

Knows track ids, frames and mothers. Knows no images and no files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.errors import TableError

LARGEST_UINT16 = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of successive frames in which one cell was seen; `label` is its value in the label images."""

    label: int
    track_id: int
    first_frame: int
    last_frame: int  # included
    parent: int  # label of the piece before, or of the mother's last piece; 0 for none
    parent_track_id: int | None  # the mother of the whole track


def cut_at_gaps(
    frames: NDArray[np.integer], track_ids: NDArray[np.integer], parents: Mapping[int, int]
) -> list[Piece]:
    """Cut every track where the cell was not seen in a frame.

    The first piece keeps the track's id, the others get numbers above all of them; where those would not fit 16 bits
    and there are few enough pieces, all are numbered anew from 1.

    Args:
        frames: Of every sighting of a cell.
        track_ids: The same.
        parents: Daughter -> mother; a mother that does not end before her daughter begins is no parent of a piece.

    Returns:
        The pieces, ordered by label.

    Raises:
        TableError: A track is seen twice in a frame.
    """
    order = np.lexsort((frames, track_ids))
    frame, track = frames[order].astype(np.int64), track_ids[order].astype(np.int64)
    require_once(frame, track)
    begins = np.ones(len(frame), dtype=bool)
    begins[1:] = (np.diff(track) != 0) | (np.diff(frame) > 1)
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(frame))[: len(firsts)] - 1
    next_label = int(track.max(initial=0)) + 1
    pieces: list[Piece] = []
    previous: Piece | None = None
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        track_id = int(track[first])
        goes_on = previous is not None and previous.track_id == track_id
        previous = Piece(
            label=next_label if goes_on else track_id,
            track_id=track_id,
            first_frame=int(frame[first]),
            last_frame=int(frame[last]),
            parent=previous.label if goes_on and previous is not None else 0,
            parent_track_id=parents.get(track_id),
        )
        next_label += goes_on
        pieces.append(previous)
    return _numbered(_with_mothers(pieces))


def require_once(frames: NDArray[np.integer], track_ids: NDArray[np.integer]) -> None:
    """Refuse a track that is in two places at once.

    Raises:
        TableError: It is.
    """
    order = np.lexsort((frames, track_ids))
    frame, track = frames[order], track_ids[order]
    twice = np.flatnonzero((np.diff(track) == 0) & (np.diff(frame) == 0))
    if len(twice):
        at = twice[0]
        raise TableError(
            f"track {track[at]} stands twice in frame {frame[at]} ({len(twice)} such doubles). Expected each track once in a "
            "frame: ids must be unique within field and role."
        )


def continuations(rows: Iterable[tuple[int, int, int, int]]) -> dict[int, int]:
    """Which labels are an earlier cell seen again: the only child, after frames in which nobody was there.

    The Cell Tracking Challenge has no other way to write a gap. An only child that begins in the very next frame is
    none: a track may not end there and go on, so it is a daughter whose sister was not seen, or a mistake.

    Args:
        rows: (label, first frame, last frame, parent or 0).

    Returns:
        Label -> label of the first piece of its track; labels that are the first are left out.
    """
    kept = {label: (first, last, parent) for label, first, last, parent in rows}
    children = Counter(parent for _, _, parent in kept.values() if parent)
    before = {
        label: parent
        for label, (first, _, parent) in kept.items()
        if parent in kept and children[parent] == 1 and first > kept[parent][1] + 1
    }
    found: dict[int, int] = {}
    for label in before:
        root, seen = before[label], {label}
        while root in before and root not in seen:
            seen.add(root)
            root = before[root]
        found[label] = root
    return found


def _with_mothers(pieces: list[Piece]) -> list[Piece]:
    ends: dict[int, Piece] = {piece.track_id: piece for piece in pieces}  # the last of each track
    linked = []
    for piece in pieces:
        mother = ends.get(piece.parent_track_id) if piece.parent_track_id is not None else None
        if not piece.parent and mother is not None and mother.last_frame < piece.first_frame:
            linked.append(replace(piece, parent=mother.label))
        else:
            linked.append(piece)
    return sorted(linked, key=lambda piece: piece.label)


def _numbered(pieces: list[Piece]) -> list[Piece]:
    if not pieces or pieces[-1].label <= LARGEST_UINT16 or len(pieces) > LARGEST_UINT16:
        return pieces
    new = {piece.label: number for number, piece in enumerate(pieces, start=1)} | {0: 0}
    return [replace(piece, label=new[piece.label], parent=new[piece.parent]) for piece in pieces]
