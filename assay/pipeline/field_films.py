"""One field's cells, tracks, pairs and light read back from RESULTS alone: the plate need not be there any more.

For reviews: what a decision touches is judged again from these, never from pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ResultsError
from assay.labels import CELL_ROLES, CellMeasures, CellRole, Pairs
from assay.measures import concatenate as concatenate_measures
from assay.pipeline.unseen_frames import background_levels, invalid_frames, read_unseen, seen_cells
from assay.pipeline.work_files import (
    read_facts,
    read_linked,
    read_measures,
    read_pairs,
    read_quality,
    work_file,
)
from assay.quality import concatenate as concatenate_quality
from assay.stack import FieldId
from assay.touching import concatenate_pairs
from assay.tracks import Tracks
from assay.unseen import Unseen
from assay.vanishing import sightings


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFilm:
    """What the run kept of one field beside its result tables; measures are of the frames that show their role."""

    field: FieldId
    n_frames: int
    unseen: Unseen
    measures: Mapping[CellRole, CellMeasures]
    tracks: Mapping[CellRole, Tracks]
    pairs: Pairs
    background: Mapping[str, NDArray[np.float64]]  # channel -> (T,) level without cells, NaN where unknown

    @property
    def masked(self) -> frozenset[int]:
        """Frames in which effectors or targets cannot be seen."""
        return frozenset(self.unseen.frames)


def read_field_film(results: Path, place: FieldId, *, n_frames: int) -> FieldFilm:
    """Read all of one field.

    Raises:
        ResultsError: RESULTS/work/ lacks a part.
    """
    try:
        facts, unseen = read_facts(work_file(results, "link", place)), read_unseen(results, place)
    except (OSError, ValueError) as error:
        raise _missing(results, place) from error
    raw = {role: _measures(results, place, role) for role in CELL_ROLES}
    names = tuple(raw["target"].means)
    invalid = invalid_frames(results, place, names)
    return FieldFilm(
        field=place,
        n_frames=n_frames,
        unseen=unseen,
        measures={role: seen_cells(raw[role], unseen, invalid) for role in CELL_ROLES},
        tracks={role: read_linked(results, place, role) for role in CELL_ROLES},
        pairs=concatenate_pairs([read_pairs(file) for file in _parts(results, "pairs", place)]),
        background=background_levels(
            concatenate_quality(
                [read_quality(file, len(names)) for file in _parts(results, "quality", place)]
            ),
            names,
            n_frames=n_frames,
            unseen=unseen,
            invalid=invalid,
            death_channels=facts.get("death_channels", ()),
        ),
    )


def later_pieces(tracks: Tracks, measures: CellMeasures) -> dict[int, tuple[int, ...]]:
    """Track -> the tracks in which the same cell was seen again, as the survey of deaths puts them together."""
    ids = [track.track_id for track in tracks.tracks]
    found: dict[int, tuple[int, ...]] = {}
    for chain in sightings(tracks, measures).rows:
        for n, place in enumerate(chain[:-1]):
            found[ids[place]] = tuple(ids[later] for later in chain[n + 1 :])
    return found


def _measures(results: Path, place: FieldId, role: CellRole) -> CellMeasures:
    return concatenate_measures(
        [read_measures(file, role) for file in _parts(results, f"measures_{role}", place)]
    )


def _parts(results: Path, kind: str, place: FieldId) -> list[Path]:
    """The files of a field's runs of frames, in order."""
    files = sorted(work_file(results, kind, place, 0).parent.glob("*.parquet"))
    if not files:
        raise _missing(results, place)
    return files


def _missing(results: Path, place: FieldId) -> ResultsError:
    return ResultsError(
        f"{place}: {results / 'work'} lacks what the run kept of it, so it cannot be judged again. Run the same "
        "`killassay run` again; what is done is not done again."
    )
