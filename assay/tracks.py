"""Which labels of successive frames are the same cell.

Knows the measures of one field's cells and the calibration. Knows nothing of contacts, deaths or kills.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.errors import ShapeError
from assay.labels import CellMeasures, CellRole

TrackStart = Literal["movie_start", "entered", "divided", "appeared"]
TrackEnd = Literal["movie_end", "died", "divided", "left_field", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One cell through time. "lost" is a statement about us, never about the cell."""

    track_id: int
    first_frame: int
    last_frame: int  # included
    parent_track_id: int | None
    start: TrackStart
    end: TrackEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """The cells of one role in one field.

    `track_id[i]` belongs to row i of the `CellMeasures` that were linked; every row has one, from 1.
    Ids are ordered by (first frame, label in it), so they do not depend on how the work was cut.
    """

    role: CellRole
    track_id: NDArray[np.int64]
    tracks: tuple[Track, ...]  # ordered by track_id


def track_ids_of(
    measures: CellMeasures,
    tracks: Tracks,
    *,
    frame: NDArray[np.integer[Any]],
    label: NDArray[np.integer[Any]],
) -> NDArray[np.int64]:
    """Look up which track each (frame, label) belongs to.

    Raises:
        ShapeError: The measures hold no such cell, or are not those that were linked.
    """
    if len(measures) != len(tracks.track_id):
        raise ShapeError(
            f"{len(measures)} {measures.role} measures but track ids for {len(tracks.track_id)}; "
            "expected the measures that were linked."
        )
    span = int(max(measures.label.max(initial=0), label.max(initial=0))) + 1
    known = measures.frame.astype(np.int64) * span + measures.label
    order = np.argsort(known, kind="stable")
    wanted = frame.astype(np.int64) * span + label
    place = np.searchsorted(known, wanted, sorter=order)
    found = place < len(known)
    found[found] = known[order[place[found]]] == wanted[found]
    if not found.all():
        first = int(np.flatnonzero(~found)[0])
        raise ShapeError(f"frame {frame[first]} has no {measures.role} with label {label[first]}.")
    return tracks.track_id[order[place]]
