"""Where the private, intermediate tables of a run lie, and how measures become tables and back.

May change from version to version; only the tables of CONTRACT are for others.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from assay.brightness import Brightness
from assay.columns import Table
from assay.io.durable import write_whole
from assay.io.tables import read_arrays, write_arrays
from assay.io.witness import require_as_written
from assay.labels import CELL_ROLES, CellMeasures, CellRole, Pairs
from assay.quality import FrameQuality
from assay.stack import FieldId
from assay.tracks import Track, Tracks

_PLAIN = [entry.name for entry in fields(CellMeasures) if entry.name not in ("role", "means", "own_means")]
_LATER = ("blank", "fingerprint")
_MEAN, _OWN = "mean:", "own:"


def work_file(results: Path, kind: str, field: FieldId, first_frame: int | None = None) -> Path:
    """Path of one private table of a field, or of one of its runs of frames."""
    name = f"{field.well}_{field.field}"
    if first_frame is not None:
        return results / "work" / kind / name / f"{first_frame:06d}.parquet"
    return results / "work" / kind / f"{name}.parquet"


def write_brightness(path: Path, brightness: Brightness) -> Path:
    """Keep one field's brightness scale."""
    table: Table = {entry.name: getattr(brightness, entry.name) for entry in fields(Brightness)}
    return write_arrays(path, table)


def read_brightness(path: Path) -> Brightness:
    """Read it back, exactly."""
    return Brightness(**read_arrays(path))


def write_measures(path: Path, measures: CellMeasures) -> Path:
    """Keep the measures of one role."""
    table: Table = {name: getattr(measures, name) for name in _PLAIN}
    table |= {f"{_MEAN}{channel}": values for channel, values in measures.means.items()}
    table |= {f"{_OWN}{channel}": values for channel, values in measures.own_means.items()}
    return write_arrays(path, table)


def read_measures(path: Path, role: CellRole) -> CellMeasures:
    """Read them back, exactly."""
    table = read_arrays(path)
    plain: dict[str, Any] = {name: table[name] for name in _PLAIN}
    return CellMeasures(
        role=role,
        means={name.removeprefix(_MEAN): table[name] for name in table if name.startswith(_MEAN)},
        own_means={name.removeprefix(_OWN): table[name] for name in table if name.startswith(_OWN)},
        **plain,
    )


def write_pairs(path: Path, pairs: Pairs) -> Path:
    """Keep the touching pairs of some frames."""
    return write_arrays(path, {entry.name: getattr(pairs, entry.name) for entry in fields(Pairs)})


def read_pairs(path: Path) -> Pairs:
    """Read them back, exactly."""
    return Pairs(**read_arrays(path))


def write_quality(path: Path, quality: FrameQuality) -> Path:
    """Keep the light of some frames: one row per frame and channel."""
    n_frames, n_channels = quality.mean.shape
    table: Table = {
        "frame": np.repeat(quality.frame, n_channels),
        "channel": np.tile(np.arange(n_channels, dtype=np.int32), n_frames),
    }
    table |= {name: getattr(quality, name).ravel() for name in _quality_columns()}
    return write_arrays(path, table)


def read_quality(path: Path, n_channels: int) -> FrameQuality:
    """Read it back, exactly."""
    table = read_arrays(path)
    later = {name: np.zeros(len(table["frame"])) for name in _LATER if name not in table}
    table = {**table, **later}  # a run of an earlier version did not measure these
    columns = {name: table[name].reshape(-1, n_channels) for name in _quality_columns()}
    return FrameQuality(frame=table["frame"].reshape(-1, n_channels)[:, 0], **columns)


def write_lost(path: Path, lost: Mapping[tuple[int, int], str]) -> Path:
    """Keep which planes of some frames could not be read, and why."""
    return write_facts(path, {f"{frame} {channel}": reason for (frame, channel), reason in lost.items()})


def read_lost(path: Path) -> dict[tuple[int, int], str]:
    """Read it back; a run of an earlier version kept none."""
    facts = read_facts(path) if path.with_suffix(".json").is_file() else {}
    places = {tuple(map(int, place.split())): reason for place, reason in facts.items()}
    return {(frame, channel): reason for (frame, channel), reason in sorted(places.items())}


def write_facts(path: Path, facts: dict[str, Any]) -> Path:
    """Keep small facts of one field as JSON."""
    write_whole(path.with_suffix(".json"), json.dumps(facts, sort_keys=True).encode())
    return path.with_suffix(".json")


def read_facts(path: Path) -> dict[str, Any]:
    """Read them back.

    Raises:
        DamageError: They are not as they were written.
        OSError: They are not there.
    """
    if path.with_suffix(".json").is_file():
        require_as_written(path.with_suffix(".json"))
    facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return facts


def take_measures(measures: CellMeasures, rows: Sequence[int] | Any) -> CellMeasures:
    """The chosen rows of measures (indices or a boolean mask)."""
    return CellMeasures(
        role=measures.role,
        means={name: values[rows] for name, values in measures.means.items()},
        own_means={name: values[rows] for name, values in measures.own_means.items()},
        **{name: getattr(measures, name)[rows] for name in _PLAIN},
    )


def take_channels(quality: FrameQuality, channels: Sequence[int]) -> FrameQuality:
    """The light of the chosen channels."""
    columns = {name: getattr(quality, name)[:, list(channels)] for name in _quality_columns()}
    return FrameQuality(frame=quality.frame, **columns)


def measures_file(results: Path, role: CellRole, field: FieldId, first_frame: int) -> Path:
    """Path of the measures of one role in one run of frames."""
    assert role in CELL_ROLES
    return work_file(results, f"measures_{role}", field, first_frame)


def _quality_columns() -> list[str]:
    return [entry.name for entry in fields(FrameQuality) if entry.name != "frame"]


def read_linked(results: Path, place: FieldId, role: CellRole) -> Tracks:
    """The tracks of one role as they were linked, whoever died.

    Raises:
        TableError: RESULTS/work/ lacks them.
    """
    rows = read_arrays(work_file(results, f"track_rows_{role}", place))
    table = read_arrays(work_file(results, f"tracks_{role}", place))
    tracks = tuple(
        Track(
            track_id=int(track_id),
            first_frame=int(first),
            last_frame=int(last),
            parent_track_id=int(parent) or None,
            start=start,
            end=end,
            min_link_confidence=None if np.isnan(confidence) else float(confidence),
        )
        for track_id, first, last, parent, start, end, confidence in zip(*table.values(), strict=True)
    )
    return Tracks(
        role=role, track_id=rows["track_id"], tracks=tracks, link_confidence=rows.get("link_confidence")
    )
