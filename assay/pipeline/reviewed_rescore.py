"""Which target deaths are others after corrections and decisions: "3 events changed"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.columns import Table, length
from assay.pipeline.reviewed import ReviewedPlate
from assay.review.events import review_events
from assay.review.state import ReviewState, replay

_SURER = 0.005  # a smaller change of a probability or share is none
Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedEvent:
    """One death that is another than before. `before` and `after` are short texts, None where there is no death."""

    event: str
    well: str
    field: int
    target_track_id: int
    what: str  # "new", "gone", "target", "retimed", "killer" or "probability"; "target": the cell has another name
    before: str | None
    after: str | None


def rescore(
    results: Path,
    state: ReviewState,
    *,
    before: ReviewState | None = None,
    plate: ReviewedPlate | None = None,
) -> list[ChangedEvent]:
    """What the decisions and corrections of `state` make of the deaths.

    Args:
        results: RESULTS.
        state: Decisions as they stand.
        before: What to compare with; None for the pipeline's own deaths.
        plate: Of an earlier call, which knows what was computed.

    Raises:
        AssayError: RESULTS are not whole.
    """
    plate = plate or ReviewedPlate.open(results)
    earlier = before or replay((), review_events(plate.base.tables))
    was = _events(plate.update(earlier))
    return _changed(was, _events(plate.update(state)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    name: str
    target: int
    frame: int
    probability: float
    killer: float
    share: float

    @property
    def said(self) -> str:
        who = "nobody" if math.isnan(self.killer) else f"effector {int(self.killer)} ({self.share:.2f})"
        return f"frame {self.frame}, {who}, probability {self.probability:.2f}"

    def beside(self, other: "_Event | None") -> str:
        """The same, with the target where that of the other is another one."""
        is_same = other is None or other.target == self.target
        return self.said if is_same else f"target {self.target}, {self.said}"


def _events(tables: Mapping[str, Table]) -> dict[Key, _Event]:
    rows = review_events({name: tables[name] for name in ("deaths", "kills", "contacts")})
    found: dict[Key, _Event] = {}
    for row in range(length(rows)):
        key = (str(rows["well"][row]), int(rows["field"][row]), int(rows["death_id"][row]))
        found[key] = _Event(
            name=str(rows["event"][row]),
            target=int(rows["target_track_id"][row]),
            frame=int(rows["frame"][row]),
            probability=float(rows["probability"][row]),
            killer=float(rows["killer_track_id"][row]),
            share=float(rows["killer_share"][row]),
        )
    return found


def _changed(was: Mapping[Key, _Event], now: Mapping[Key, _Event]) -> list[ChangedEvent]:
    found = []
    for key in sorted({*was, *now}):
        old, new = was.get(key), now.get(key)
        what = _what(old, new)
        if what is None:
            continue
        one = new or old
        assert one is not None
        found.append(
            ChangedEvent(
                event=one.name,
                well=key[0],
                field=key[1],
                target_track_id=one.target,
                what=what,
                before=old.beside(new) if old else None,
                after=new.beside(old) if new else None,
            )
        )
    return found


def _what(old: _Event | None, new: _Event | None) -> str | None:
    if old is None or new is None:
        return "gone" if new is None else "new"
    if old.target != new.target:
        return "target"
    if old.frame != new.frame:
        return "retimed"
    other = old.killer != new.killer and not (math.isnan(old.killer) and math.isnan(new.killer))
    if other or abs(old.share - new.share) > _SURER:
        return "killer"
    return "probability" if abs(old.probability - new.probability) > _SURER else None
