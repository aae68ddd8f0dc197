"""The events as a reader sees them: sorted, filtered, and which one comes next.

Knows columns and an order of rows. Knows no window and no decision: the session tells it what stands.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length
from assay.review.state import DISAGREEMENT, PENDING, STATUSES, WITHDRAWN, ReviewState
from napari_plugin.blind_reading import BlindReading
from napari_plugin.event_filter import Columns, Filter, Numbers, Words, parse_filter

Rows = NDArray[np.int64]
Align = Literal["left", "right"]

NOBODY = "nobody"
DASH = "–"
BY_VALUE = "value"
"""Order by what a decision is worth; the one that the list begins with."""


@dataclass(frozen=True, slots=True)
class EventColumn:
    """One column of the table of events."""

    name: str
    title: str
    meaning: str
    aliases: tuple[str, ...]
    align: Align
    width_px: int
    hidden_when_blinded: bool = False


COLUMNS: tuple[EventColumn, ...] = (
    EventColumn(
        "probability", "P", "probability that it is a death at all", ("p", "prob", "conf"), "right", 40, True
    ),
    EventColumn("killer", "Killer", "effector with the largest share", ("effector", "k"), "right", 52, True),
    EventColumn("share", "Share", "how much of the death goes to it", ("s",), "right", 46, True),
    EventColumn(
        "contact", "Contact", "minutes it touched the target before", ("contact_min",), "right", 60, True
    ),
    EventColumn("well", "Well", "well", ("w",), "left", 40, True),
    EventColumn("time", "Time", "hours and minutes of the onset", ("time_min", "t"), "right", 44),
    EventColumn("status", "Status", "what stands", ("state",), "left", 76),
    EventColumn("flags", "Flags", "what a person should look at", ("flag", "note"), "left", 110, True),
)
_BLINDED_COLUMNS = tuple(column for column in COLUMNS if not column.hidden_when_blinded)
_FURTHER: dict[str, tuple[str, ...]] = {
    "field": ("f",),
    "frame": (),
    "target": (),
    "lag": ("lag_min",),
    "candidates": ("n_candidates",),
    "condition": ("c",),
    "evidence": ("e",),
    "event": ("name", "id"),
}
NAMES: dict[str, str] = {
    alias: name
    for name, aliases in [*((c.name, c.aliases) for c in COLUMNS), *_FURTHER.items()]
    for alias in (name, *aliases)
}
"""What a reader may write in the filter box -> the column."""
_PLACE_NAMES = {"well", "condition", "event", "field"}


class EventList:
    """Rows of the events in the order in which they are read.

    Rows keep their numbers; `visible` holds those that pass the filter, in the order of the sort. A decision never
    moves a row: it is sorted anew only when the reader asks.
    """

    def __init__(
        self, state: ReviewState, *, worth: Rows | None = None, blind: BlindReading | None = None
    ) -> None:
        """Lay the columns.

        Args:
            state: The events and what stands on them.
            worth: Rows in the order of what a decision is worth; as they are where left out.
            blind: Where given, hide what a blinded reader must not see, others' decisions among it.
        """
        self.state = state
        self._blind = blind
        self.blinded = blind is not None
        self._worth = worth
        self.seeks_disagreements = False  # whether these are among what comes next
        self._sort: tuple[str, bool] = (BY_VALUE, False)
        self._filter_text = ""
        self._filter: Filter = parse_filter("", NAMES)
        self._lay_fixed()
        self._order = self._sorted()
        self.visible: Rows = self._order
        self._place = np.zeros(0, dtype=np.int64)
        self._refilter(keep=None)

    @property
    def status(self) -> NDArray[np.int8]:
        """What stands, per row; for a blinded reader what she said herself."""
        return self.state.status if self._blind is None else self._blind.status

    def frame_of(self, row: int) -> int:
        """Frame of the death that stands; for a blinded reader her own or the pipeline's."""
        return int(self.state.frame[row]) if self._blind is None else self._blind.frame_of(row)

    def killer_of(self, row: int) -> float:
        """Killer that stands, NaN for nobody; for a blinded reader the one she chose."""
        return float(self.state.killer[row]) if self._blind is None else self._blind.killer_of(row)

    def minutes_of(self, row: int) -> float:
        """Minutes of the onset that stands."""
        given, late = (
            float(self.state.events["time_min"][row]),
            self.frame_of(row) - int(self.state.events["frame"][row]),
        )
        return given + late * float(self._frame_min[row]) if late else given

    def take_blind(self, names: Sequence[str]) -> None:
        """Take over a blinded reader's own decisions on these events."""
        if self._blind is not None:
            self._blind.take(names)

    @property
    def columns(self) -> tuple[EventColumn, ...]:
        """Columns that are shown."""
        return _BLINDED_COLUMNS if self.blinded else COLUMNS

    @property
    def sort(self) -> tuple[str, bool]:
        """(column, descending)."""
        return self._sort

    @property
    def filter_text(self) -> str:
        """The filter that holds."""
        return self._filter_text

    def sort_by(self, column: str, *, descending: bool = False) -> None:
        """Sort by a column, or by BY_VALUE; unknown numbers come last either way.

        A blinded reader's recorded order stands: columns that she sees could bring a well's events together.
        """
        if self.blinded:
            column, descending = BY_VALUE, False
        self._sort = (column, descending)
        self._order = self._sorted()
        self._refilter(keep=None)

    def set_worth(self, rows: Rows) -> None:
        """Take another order of what decisions are worth, and sort by it."""
        self._worth = rows
        self.sort_by(BY_VALUE)

    def filter_by(self, text: str, *, keep: int | None = None) -> None:
        """Show the rows that pass; `keep` stays whatever the filter says.

        Raises:
            FilterError: The text is not understood; the filter before it still holds.
        """
        chosen = parse_filter(text, self._names())
        chosen(self._all_columns())  # may refuse: then nothing changes
        self._filter, self._filter_text = chosen, text
        self._refilter(keep=keep)

    def refresh(self, *, keep: int | None = None) -> bool:
        """Take over what decisions changed; returns whether other rows are visible now."""
        before = self.visible
        if length(self.state.events) != len(self._fixed["probability"].values):  # type: ignore[union-attr]
            self._lay_fixed()
            self._order = self._sorted()
        self._refilter(keep=keep)
        return not np.array_equal(before, self.visible)

    def position(self, row: int) -> int | None:
        """Where a row stands among the visible ones."""
        place = int(self._place[row]) if 0 <= row < len(self._place) else -1
        return None if place < 0 else place

    def next_row(self, row: int | None, *, step: int = 1, pending: bool = True) -> int | None:
        """The row after this one in the visible order, or before it; None at the end.

        Args:
            row: Where to begin; None is before the first.
            step: 1 or -1.
            pending: Only rows that nobody decided, and those that readers disagree about where these are sought.
        """
        visible = self.visible
        here = self.position(row) if row is not None else None
        status = self.status[visible]
        wanted = (status == PENDING) if pending else np.ones(len(visible), dtype=bool)
        if self.seeks_disagreements:
            wanted |= status == DISAGREEMENT
        places = np.flatnonzero(wanted)
        if step > 0:
            after = places[places > (-1 if here is None else here)]
            return int(visible[after[0]]) if len(after) else None
        before = places[places < (len(visible) if here is None else here)]
        return int(visible[before[-1]]) if len(before) else None

    def cell(self, row: int, column: str) -> str:
        """What one cell says."""
        if column == "status":
            return STATUSES[self.status[row]]
        if column == "time":
            return hours_words(self.minutes_of(row))
        return _CELLS[column](self.state, row)

    def _lay_fixed(self) -> None:
        self._fixed = _fixed_columns(self.state.events)
        self._frame_min = _frame_min(self.state.events)
        self._given_flags = _words(self.state.events, "flags")

    def _frames(self) -> NDArray[np.float64]:
        """Frame of every onset that stands; for a blinded reader her own or the pipeline's."""
        frames = self.state.frame
        if self._blind is not None:
            frames = self._blind.frames()
        return frames.astype(np.float64)

    def _minutes(self) -> NDArray[np.float64]:
        """Minutes of every onset that stands."""
        given, late = self.state.events["time_min"], self._frames() - self.state.events["frame"]
        return np.asarray(np.where(late == 0, given, given + late * self._frame_min), dtype=np.float64)

    def _names(self) -> dict[str, str]:
        if not self.blinded:
            return NAMES
        hidden = (
            {c.name for c in COLUMNS if c.hidden_when_blinded}
            | _PLACE_NAMES
            | {"lag", "candidates", "evidence", "target", "frame"}
        )
        return {alias: name for alias, name in NAMES.items() if name not in hidden}

    def _all_columns(self) -> Columns:
        status = Words(self.status.astype(np.int64), STATUSES)
        now: dict[str, Numbers | Words] = {
            **self._fixed,
            "status": status,
            "killer": Numbers(self.state.killer, NOBODY),
            "frame": Numbers(self._frames()),
            "time": Numbers(self._minutes()),
            "flags": _flag_words(self._given_flags, self.state.flagged),
        }
        return {name: now[name] for name in dict.fromkeys(self._names().values())}

    def _sorted(self) -> Rows:
        name, descending = self._sort
        n = length(self.state.events)
        if name == BY_VALUE:
            worth = np.arange(n) if self._worth is None else self._worth
            rest = np.setdiff1d(np.arange(n), worth)  # added since
            order = np.concatenate([worth, rest]).astype(np.int64)
            return order[::-1].copy() if descending else order
        return _argsort(self._key(name), descending=descending)

    def _key(self, name: str) -> NDArray[np.float64]:
        if name == "time":
            return self._frames()
        if name == "status":
            return self.status.astype(np.float64)
        column = self._all_columns()[name]
        if isinstance(column, Numbers):
            return column.values
        rank = np.argsort(np.argsort(np.array(column.words, dtype=str), kind="stable"), kind="stable")
        key = rank[column.codes].astype(np.float64) if len(rank) else np.zeros(0)
        if "" in column.words:
            key[column.codes == column.words.index("")] = np.nan  # empty last
        return key

    def _refilter(self, *, keep: int | None) -> None:
        kept = self._filter(self._all_columns()) & (self.status != WITHDRAWN)
        if keep is not None:
            kept[keep] = True
        self.visible = self._order[kept[self._order]]
        self._place = np.full(len(kept), -1, dtype=np.int64)
        self._place[self.visible] = np.arange(len(self.visible))


def _argsort(key: NDArray[np.float64], *, descending: bool) -> Rows:
    known = np.flatnonzero(~np.isnan(key))
    values = -key[known] if descending else key[known]
    return np.concatenate([known[np.argsort(values, kind="stable")], np.flatnonzero(np.isnan(key))])


def _frame_min(events: Table) -> NDArray[np.float64]:
    """Minutes from frame to frame of every event's film, as times of deaths later than frame 0 say it; else NaN."""
    frame, well = events["frame"], events["well"]
    known = np.where(frame > 0, events["time_min"] / np.maximum(frame, 1), np.nan)
    if not np.isnan(known).any():
        return known
    of_well: dict[tuple[str, int], float] = {}
    keys = list(zip(well.tolist(), events["field"].tolist(), strict=True))
    for key, one in zip(keys, known.tolist(), strict=True):
        if not math.isnan(one):
            of_well.setdefault(key, one)
    found = [of_well.get(key, math.nan) for key in keys]
    return np.where(np.isnan(known), np.array(found, dtype=np.float64), known)


def _fixed_columns(events: Table) -> dict[str, Numbers | Words]:
    """Columns that no decision changes."""

    def numbers(name: str, unknown: str = "unknown") -> Numbers:
        return Numbers(np.asarray(events[name], dtype=np.float64), unknown)

    return {
        "probability": numbers("probability"),
        "share": numbers("killer_share"),
        "contact": numbers("contact_min"),
        "well": _words(events, "well"),
        "field": numbers("field"),
        "target": numbers("target_track_id"),
        "lag": numbers("lag_min"),
        "candidates": numbers("n_candidates"),
        "condition": _words(events, "condition"),
        "evidence": _words(events, "evidence"),
        "event": _words(events, "event"),
    }


def _words(events: Table, name: str) -> Words:
    return Words.of(np.array(["" if v is None else str(v) for v in events[name]], dtype=object))


def _flag_words(given: Words, flagged: NDArray[np.bool_]) -> Words:
    """The pipeline's flags, and those of readers before them."""
    if not flagged.any():
        return given
    both = [*given.words, *(f"flagged, {word}".rstrip(", ") for word in given.words)]
    return Words(np.where(flagged, given.codes + len(given.words), given.codes), tuple(both))


def number_words(value: float, pattern: str) -> str:
    """A number for a cell; a dash where it is unknown."""
    return DASH if not math.isfinite(value) else pattern.format(value)


def hours_words(minutes: float) -> str:
    """102 -> "1:42"."""
    if not math.isfinite(minutes):
        return DASH
    whole = round(minutes)
    return f"{whole // 60}:{whole % 60:02d}"


def killer_words(track_id: float) -> str:
    """The effector's number, or nobody."""
    return NOBODY if math.isnan(track_id) else f"{track_id:.0f}"


def _flags_cell(state: ReviewState, row: int) -> str:
    given = state.events["flags"][row] or ""
    return ("⚑ " if state.flagged[row] else "") + str(given)


_CELLS: Mapping[str, Callable[[ReviewState, int], str]] = {
    "probability": lambda s, r: number_words(float(s.events["probability"][r]), "{:.2f}"),
    "killer": lambda s, r: killer_words(float(s.killer[r])),
    "share": lambda s, r: (
        DASH if s.killer_chosen[r] else number_words(float(s.events["killer_share"][r]), "{:.2f}")
    ),
    "contact": lambda s, r: number_words(float(s.events["contact_min"][r]), "{:.0f}"),
    "well": lambda s, r: str(s.events["well"][r]),
    "flags": _flags_cell,
}
