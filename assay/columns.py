"""The columns of every result table, declared once: name, type, and what a biologist should read into it.

A table in memory is a plain mapping from column name to one numpy array, all of one length. Numbers that may
be unknown are float64 with NaN in memory, whatever their type on disk; text that may be unknown is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.column_types import Column as Column
from assay.column_types import Table as Table
from assay.errors import TableError

_WELL = Column("well", "text", 'well, as "B03"')
_FIELD = Column("field", "int", "field of view within the well")
_ROLE = Column("role", "text", '"effector" or "target"')
_TRACK = Column("track_id", "int", "one cell through time, from 1, unique within field and role")
_EFFECTOR = Column("effector_track_id", "int", "the effector")
_TARGET = Column("target_track_id", "int", "the target")
_FIRST = Column("first_frame", "int", "first frame, from 0")
_LAST = Column("last_frame", "int", "last frame, included")

TABLES: dict[str, tuple[Column, ...]] = {
    "cells": (
        _WELL,
        _FIELD,
        Column("frame", "int", "frame, from 0"),
        Column(
            "time_min", "float", "minutes since frame 0; null in a film of one frame without interval", True
        ),
        _ROLE,
        _TRACK,
        Column("label", "int", "the cell's label in the frame's own label image"),
        Column("y_um", "float", "centre of the mask; 0 is the centre of the topmost pixels"),
        Column("x_um", "float", "centre of the mask; 0 is the centre of the leftmost pixels"),
        Column("area_um2", "float", "area of the mask"),
        Column("eccentricity", "float", "0 round, towards 1 elongated"),
        Column("covered", "float", "share of the mask under cells of the other role"),
        Column("at_border", "bool", "the mask touches the edge of the image"),
        Column(
            "score",
            "float",
            "probability that the outline is right, 0 to 1; null where labels of another program were given",
            True,
        ),
        Column("dead", "bool", "at or after the frame of the cell's death"),
        Column(
            "link_confidence",
            "float",
            "probability that this is the cell that the track's row before shows; null in the first row, and where "
            "another program followed the cells",
            True,
            later=True,
        ),
    ),
    "tracks": (
        _WELL,
        _FIELD,
        _ROLE,
        _TRACK,
        _FIRST,
        _LAST,
        Column("parent_track_id", "int", "the cell it came from by division", True),
        Column("start", "text", '"movie_start", "entered", "divided" or "appeared"'),
        Column("end", "text", '"movie_end", "died", "divided", "left_field" or "lost" (lost speaks of us)'),
        Column(
            "min_link_confidence",
            "float",
            "the smallest link_confidence of its rows; null where there is none",
            True,
            later=True,
        ),
    ),
    "contacts": (
        _WELL,
        _FIELD,
        Column("contact_id", "int", "from 1, unique within the field"),
        _EFFECTOR,
        _TARGET,
        _FIRST,
        _LAST,
        Column("duration_min", "float", "time in contact; one frame lasts one frame interval"),
        Column("min_gap_um", "float", "smallest gap between the two outlines"),
        Column("mean_interface_um", "float", "outline of the effector within enter_um of the target, mean"),
        Column("starts_censored", "bool", "was there when one of the two was first seen, or seen again"),
        Column("ends_censored", "bool", "was still there when one of the two was last seen"),
        Column("unseen_frames", "int", "of its frames, those without a usable image", True, later=True),
        Column("target_dead", "bool", "began after the target's death: counts neither as hit nor as miss"),
        Column(
            "engaged_probability",
            "float",
            "that the effector held on to the target from one frame to the next at least, and did not only pass by",
            True,
            later=True,
        ),
        Column("n_engagements", "int", "how often it held on, at one place each time", True, later=True),
        Column("engaged_first_frame", "int", "first frame of the longest, null without", True, later=True),
        Column("engaged_last_frame", "int", "its last frame, included", True, later=True),
        Column(
            "engagements",
            "text",
            'each time it held on or may have (probability 0.1 and more), as "12-15:0.9310" (first and last frame, '
            "probability), joined by +; null without",
            True,
            later=True,
        ),
        Column(
            "outcome",
            "text",
            '"kill" (credited with the largest share of the death), "no_kill", "censored" (the target was not followed '
            'for long enough after it) or "zombie" (the target was dead); null in fields that do not count',
            True,
            later=True,
        ),
        Column("kill_share", "float", "share of the target's death that goes to it", True, later=True),
    ),
    "deaths": (
        _WELL,
        _FIELD,
        Column("death_id", "int", "from 1, unique within the field"),
        _ROLE,
        _TRACK,
        Column("frame", "int", "most probable frame of the onset"),
        Column("first_possible_frame", "int", "start of the interval that holds the onset"),
        Column("last_possible_frame", "int", "end of that interval, included"),
        Column("time_min", "float", "minutes since frame 0"),
        Column(
            "onset_min",
            "float",
            "median of the moment of the onset, minutes since frame 0, finer than a frame; null where it was not timed",
            True,
            later=True,
        ),
        Column("probability", "float", "that this is a death at all"),
        Column("evidence", "text", "what spoke for it, joined by +"),
        Column("uncredited_share", "float", "share that no effector gets; null for effectors", True),
    ),
    "doubtful_deaths": (
        _WELL,
        _FIELD,
        _TARGET,
        Column("frame", "int", "most probable frame of the onset, if it died"),
        Column("first_possible_frame", "int", "start of the interval that holds the onset"),
        Column("last_possible_frame", "int", "end of that interval, included"),
        Column("time_min", "float", "minutes since frame 0"),
        Column("probability", "float", "that this is a death at all: too small for the deaths table"),
        Column("evidence", "text", "what spoke for it, joined by +"),
        Column("uncredited_share", "float", "share of the death that no effector would get", True),
        Column("effector_track_id", "int", "who would get most of it; null for nobody", True),
        Column("share", "float", "how much that is", True),
        Column("lag_min", "float", "from the beginning of its contact to the death", True),
    ),
    "kills": (
        _WELL,
        _FIELD,
        Column("death_id", "int", "the death"),
        _TARGET,
        _EFFECTOR,
        Column("contact_id", "int", "the contact credited most"),
        Column("share", "float", "how much this effector's hits contributed to the death"),
        Column("lag_min", "float", "from the beginning of the credited contact to the death"),
    ),
    "effectors": (
        _WELL,
        _FIELD,
        _EFFECTOR,
        Column("observed_min", "float", "from its first to its last sight, up to its own death"),
        Column("contact_min", "float", "in contact with a live target"),
        Column("n_contacts", "int", "contacts with live targets"),
        Column("n_targets", "int", "live targets that it touched"),
        Column("kills", "float", "expected kills: sum over deaths of probability x share"),
        Column("kills_sd", "float", "standard deviation of that number, for want of knowing who did it"),
        Column("kills_hard", "int", "deaths of which it has the largest share, above what nobody gets"),
        Column("kills_joint", "int", "deaths in which it and another have a share of 0.2 or more"),
        Column("mean_lag_min", "float", "from contact to death, weighted by its shares", True),
    ),
    "fields": (
        _WELL,
        _FIELD,
        Column("status", "text", '"ok", "failed" or "excluded"'),
        Column("reason", "text", "why it failed or was excluded", True),
        Column("n_frames", "int", "frames of the film"),
        Column("n_masked_frames", "int", "frames in which effectors or targets cannot be seen"),
        Column("masked_frames", "text", "which ones, as 3,7-9"),
        Column(
            "n_invalid_planes", "int", "frames of single channels without a usable image", True, later=True
        ),
        Column("invalid_planes", "text", "what is wrong with which, by channel", True, later=True),
        Column("focus", "float", "median sharpness, comparable within a plate only", True),
        Column("drift_um", "float", "largest stage displacement from frame 0", True),
        Column("saturated_percent", "float", "pixels at the sensor's limit, highest channel", True),
        Column("brightness_change_percent", "float", "last against first frames, largest of channels", True),
        Column("lost_percent", "float", "tracks that end as lost, of all that end", True),
        Column(
            "effector_step_um", "float", "19 in 20 steps of effectors from frame to frame are shorter", True
        ),
        Column("effector_spacing_um", "float", "median distance of an effector to the nearest other", True),
        Column("warning", "text", "what a person should look at", True),
    ),
    "invalid_planes": (
        _WELL,
        _FIELD,
        Column("frame", "int", "frame, from 0"),
        Column("channel", "text", "channel whose image of this frame is not usable"),
        Column("fault", "text", "what is wrong, a key of assay.invalid_planes.FAULTS"),
        Column("reason", "text", "the same in words"),
    ),
    "wells": (
        _WELL,
        Column("condition", "text", "name from the protocol", True),
        Column("kind", "text", '"sample", "mock", "target_only" or "effector_only"', True),
        Column(
            "status",
            "text",
            '"ok", "failed", "excluded" or "no_events" (a film of fewer than 3 usable frames)',
        ),
        Column("reason", "text", "why a number is missing", True),
        Column("n_fields", "int", "fields that count"),
        Column("n_targets", "float", "live targets in the first valid frame", True),
        Column("n_effectors", "float", "live effectors in the first valid frame", True),
        Column("measured_et_ratio", "float", "their ratio", True),
        Column("contacts", "float", "contacts with live targets", True),
        Column("deaths", "float", "expected target deaths: sum of their probabilities", True),
        Column("kills", "float", "expected target deaths caused by effectors", True),
        Column("kills_low", "float", "5 % end of the 90 % interval", True),
        Column("kills_high", "float", "95 % end of the 90 % interval", True),
        Column(
            "missed_deaths",
            "float",
            "targets that vanished without a death, as far as they did not come back under another name; in the "
            "intervals, not in deaths and kills",
            True,
            later=True,
        ),
        Column("cytolysis_percent", "float", "dead share of targets, corrected by target-only wells", True),
        Column("cytolysis_percent_low", "float", "5 % end of the 90 % interval", True),
        Column("cytolysis_percent_high", "float", "95 % end of the 90 % interval", True),
    ),
    "conditions": (
        Column("condition", "text", "name from the protocol"),
        Column("kind", "text", '"sample", "mock", "target_only" or "effector_only"'),
        Column("n_wells", "int", "wells that count; the well is the unit"),
        Column("kills_per_100_targets", "float", "mean over wells", True),
        Column("kills_per_100_targets_low", "float", "5 % end of the 90 % interval over wells", True),
        Column("kills_per_100_targets_high", "float", "95 % end of the 90 % interval over wells", True),
        Column("cytolysis_percent", "float", "mean over wells", True),
        Column("cytolysis_percent_low", "float", "5 % end of the 90 % interval over wells", True),
        Column("cytolysis_percent_high", "float", "95 % end of the 90 % interval over wells", True),
        Column("difference_to_control", "float", "kills per 100 targets minus those of the mock wells", True),
        Column("difference_low", "float", "5 % end of its 90 % interval", True),
        Column("difference_high", "float", "95 % end of its 90 % interval", True),
        Column("note", "text", "why a number is missing", True),
    ),
    "contact_times": (
        Column("level", "text", '"plate", "condition" or "well"'),
        Column("condition", "text", "name from the protocol", True),
        Column("well", "text", 'well, as "B03"; null above the well', True),
        Column("n_wells", "int", "wells that count"),
        Column("n_contacts", "int", "contacts with live targets"),
        Column("n_censored", "int", "of these, whose beginning or end was not seen"),
        Column("mean_frames", "float", "how long they last; one seen in a single frame lasts 1", True),
        Column("median_frames", "float", "half of them last as long or longer", True),
        Column("max_frames", "float", "the longest", True),
        Column("mean_min", "float", "the same in minutes; null where frame intervals differ", True),
        Column("median_min", "float", "the same in minutes", True),
        Column("max_min", "float", "the same in minutes", True),
    ),
}

_EVENTS = Column("n_events", "int", "target deaths of the pipeline and of readers", True)
_REVIEWED = Column("n_reviewed", "int", "of these, about which readers agree that it is one, or none", True)
_REVIEW_COLUMNS: dict[str, tuple[Column, ...]] = {
    "deaths": (
        Column("event", "text", "what the review logs call it; null for effectors", True),
        Column("review", "text", '"pending", "accepted", "unsure", "disagreement" or "added"', True),
        Column("reviewed_by", "text", "names of its readers, joined by +", True),
        Column("pipeline_frame", "int", "before review; null where a reader added it", True),
        Column("pipeline_probability", "float", "before review; null where a reader added it", True),
    ),
    "kills": (
        Column("contact_id", "int", "the contact credited most; null where a reader saw one that was not found", True),
        Column("lag_min", "float", "from the beginning of the credited contact to the death", True),
        Column("chosen", "bool", "a reader named this effector"),
    ),
    "wells": (
        _EVENTS,
        _REVIEWED,
        Column("pipeline_deaths", "float", "before review", True),
        Column("pipeline_kills", "float", "before review", True),
    ),
    "conditions": (
        _EVENTS,
        _REVIEWED,
        Column("pipeline_kills_per_100_targets", "float", "before review", True),
        Column("pipeline_cytolysis_percent", "float", "before review", True),
    ),
    "contacts": (), "effectors": (), "tracks": (), "contact_times": (),
}  # fmt: skip
REVIEWED_PREFIX = "reviewed/"
REVIEWED_TABLES = tuple(_REVIEW_COLUMNS)
"""Tables that decisions of readers change: `reviewed/deaths` has the columns of `deaths` and those above."""

LATER_TABLES = ("doubtful_deaths",)
"""RESULTS of before these were declared lack them."""

MEAN_PREFIX = "mean_"
"""The cells table has one further float column per channel: `mean_<channel>`."""


def columns_of(name: str, channel_names: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns of a table; `cells` gets one `mean_<channel>` per channel.

    Raises:
        TableError: There is no such table.
    """
    if name.startswith(REVIEWED_PREFIX):
        return _columns_reviewed(name.removeprefix(REVIEWED_PREFIX))
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}. Tables are {', '.join(TABLES)}.")
    extra = tuple(
        Column(f"{MEAN_PREFIX}{channel}", "float", f"mean of {channel} over the mask, raw counts", True)
        for channel in (channel_names if name == "cells" else ())
    )
    return TABLES[name] + extra


def _columns_reviewed(name: str) -> tuple[Column, ...]:
    if name not in _REVIEW_COLUMNS:
        raise TableError(f"there is no reviewed table {name!r}. They are {', '.join(REVIEWED_TABLES)}.")
    more = {column.name: column for column in _REVIEW_COLUMNS[name]}
    return tuple(more.pop(column.name, column) for column in TABLES[name]) + tuple(more.values())


def make_table(
    name: str, values: Mapping[str, Sequence[Any] | NDArray[Any]], *, channel_names: Sequence[str] = ()
) -> Table:
    """Put columns in order and give each its type; a column declared later may be missing, and is unknown then.

    Raises:
        TableError: A column is missing, unknown, or of another length than the rest.
    """
    columns = columns_of(name, channel_names)
    wanted = [column.name for column in columns]
    n = length(values)
    unknown = {c.name: np.full(n, None) for c in columns if c.later and c.name not in values}
    values = {**values, **unknown}
    if set(wanted) != set(values):
        raise TableError(
            f"table {name}: missing columns {sorted(set(wanted) - set(values))}, "
            f"unknown columns {sorted(set(values) - set(wanted))}."
        )
    table = {column.name: _as_column(column, values[column.name]) for column in columns}
    lengths = {len(column) for column in table.values()}
    if len(lengths) > 1:
        raise TableError(f"table {name}: columns of different lengths {sorted(lengths)}.")
    return table


def table_of_rows(
    name: str, rows: Iterable[Mapping[str, Any]], *, channel_names: Sequence[str] = ()
) -> Table:
    """The same from one mapping per row; None is unknown."""
    columns: dict[str, list[Any]] = {column.name: [] for column in columns_of(name, channel_names)}
    later = {column.name for column in columns_of(name, channel_names) if column.later}
    for row in rows:  # one at a time: rows that are made as they are asked for are never held together
        for key, values in columns.items():
            values.append(row.get(key) if key in later else row[key])
    return make_table(name, columns, channel_names=channel_names)


def length(table: Mapping[str, Sequence[Any] | NDArray[Any]]) -> int:
    """Number of rows."""
    return len(next(iter(table.values()))) if table else 0


def take(table: Mapping[str, NDArray[Any]], rows: NDArray[Any]) -> Table:
    """The chosen rows (indices or a boolean mask)."""
    return {name: column[rows] for name, column in table.items()}


def concatenate(tables: Sequence[Mapping[str, NDArray[Any]]]) -> Table:
    """Tables of the same columns, one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _as_column(column: Column, values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    if column.kind == "text":
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array
    if column.nullable and (not isinstance(values, np.ndarray) or values.dtype == object):
        values = [np.nan if value is None else value for value in values]
    return np.asarray(values, dtype=column.dtype)
