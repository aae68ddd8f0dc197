"""The truth of a film: who is seen as which track, who touched whom, who died, who did it.

Ids follow what a perfect observer of the images could know: a cell that leaves the field and comes back is a
new track, a cell that enters dead is no death, and an effector that was never seen touching gets no share.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellRole
from assay.simulate.cells import Cells, Floats
from assay.tracks import Track, TrackEnd, Tracks, TrackStart
from assay.units import Calibration

STAYS_VISIBLE = 0.5  # of the area from which a cell counts as visible: at the edge a cell does not flicker


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The cells of one role in one frame, by row in `Cells`."""

    row: NDArray[np.int64]  # ascending
    area_um2: Floats  # visible
    inside: NDArray[np.bool_]  # the centre lies in the field


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueTracks:
    """The tracks of one role; `rows[i]` is the cell behind `tracks[i]`, `ids[frame]` maps cell -> track."""

    role: CellRole
    tracks: tuple[Track, ...]  # ordered by track_id
    rows: NDArray[np.int64]
    ids: tuple[dict[int, int], ...]

    def death_frame(self, index: int, cells: Cells, calibration: Calibration) -> int | None:
        """First frame at or after the dye begins to enter; None for whom no death is seen."""
        onset = cells.onset_min[self.rows[index]]
        if not np.isfinite(onset):
            return None
        frame = int(np.ceil(onset / calibration.minutes(1) - 1e-9))
        track = self.tracks[index]
        return frame if track.first_frame < frame <= track.last_frame else None

    def for_table(self, track_id: NDArray[np.int64]) -> Tracks:
        """The same for functions that link rows of measures."""
        return Tracks(role=self.role, track_id=track_id, tracks=self.tracks)


def follow(
    sightings: list[Sighting], cells: Cells, *, role: CellRole, calibration: Calibration, visible_um2: float
) -> TrueTracks:
    """Cut every cell's presence into tracks.

    Args:
        sightings: One per frame.
        cells: The cells that ever lived.
        role: Theirs.
        calibration: Gives the frame interval.
        visible_um2: Area from which a cell becomes visible.
    """
    runs = _runs(sightings, visible_um2)
    runs.sort(key=lambda run: (run[1], run[0]))
    ids: list[dict[int, int]] = [{} for _ in sightings]
    for number, (row, _, _, frames) in enumerate(runs, start=1):
        for frame in frames:
            ids[frame][row] = number
    minutes = calibration.minutes(1) if len(sightings) > 1 else 1.0
    divided = {int(parent) for parent in cells.parent if parent >= 0}
    tracks = []
    for number, (row, first, last, _) in enumerate(runs, start=1):
        start, parent = _start(cells, row, first, minutes, ids)
        end = _end(cells, row, last, minutes, len(sightings), divided)
        tracks.append(
            Track(
                track_id=number,
                first_frame=first,
                last_frame=last,
                parent_track_id=parent,
                start=start,
                end=end,
            )
        )
    rows = np.array([run[0] for run in runs], dtype=np.int64)
    return TrueTracks(role=role, tracks=tuple(tracks), rows=rows, ids=tuple(ids))


def _runs(sightings: list[Sighting], visible_um2: float) -> list[tuple[int, int, int, list[int]]]:
    """Runs of presence: (row, first frame, last frame, frames seen). Hidden under a neighbour is still present."""
    open_runs: dict[int, list[int]] = {}
    done: list[tuple[int, int, int, list[int]]] = []
    for frame, sighting in enumerate(sightings):
        seen = dict(zip(sighting.row.tolist(), sighting.area_um2.tolist(), strict=True))
        inside = set(sighting.row[sighting.inside].tolist())
        for row in sorted(set(seen) | set(open_runs)):
            limit = visible_um2 * (STAYS_VISIBLE if row in open_runs else 1.0)
            if seen.get(row, 0.0) >= limit:
                open_runs.setdefault(row, []).append(frame)
            elif row in open_runs and row not in inside:
                frames = open_runs.pop(row)
                done.append((row, frames[0], frames[-1], frames))
    done += [(row, frames[0], frames[-1], frames) for row, frames in open_runs.items()]
    return done


def _start(
    cells: Cells, row: int, first: int, minutes: float, ids: list[dict[int, int]]
) -> tuple[TrackStart, int | None]:
    if first == 0:
        return "movie_start", None
    born = cells.birth_min[row]
    if cells.parent[row] >= 0 and (first - 1) * minutes < born <= first * minutes:
        parent = ids[first - 1].get(int(cells.parent[row]))
        if parent is not None:
            return "divided", parent
    return "entered", None


def _end(cells: Cells, row: int, last: int, minutes: float, n_frames: int, divided: set[int]) -> TrackEnd:
    if last == n_frames - 1:
        return "movie_end"
    if cells.gone_min[row] <= (last + 1) * minutes:
        return "divided" if row in divided else "died"
    return "left_field"
