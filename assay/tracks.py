"""Which labels of successive frames are the same cell.

Knows the measures of one field's cells and the calibration. Knows nothing of contacts, deaths or kills.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellRole

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
