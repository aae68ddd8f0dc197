"""Deaths credited and counted a well at a time, so that no more than one well's events are held.

Knows the fitted lag model. Knows nothing of other wells, or of how the plate's tables are put together.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from assay.columns import Table, concatenate, length, table_of_rows
from assay.field_events import FieldEvents
from assay.kills import Kill, credit_kills
from assay.lag_model import LagModel
from assay.pipeline.cells import read_event_table
from assay.pipeline.credit_tables import contacts_table, effectors_table
from assay.pipeline.doubtful import DOUBTFUL_DEATHS, doubtful_table
from assay.pipeline.events_of import events_of, outcome_of
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.protocol import Protocol
from assay.stack import FieldId
from assay.survival import ControlDeaths, CountedWell, FieldOutcome, control_deaths, count_well

EVENT_TABLES = ("deaths", "kills", "contacts", "effectors", DOUBTFUL_DEATHS)
"""Tables of the plate that are made well by well."""


class FilmOnDisk:
    """The events of a field that is done, read when they are asked for; an `assay.field_events.Film`."""

    def __init__(self, plan: RunPlan, field: FieldPlan) -> None:
        condition = plan.protocol.condition_of(field.field.well)
        self.well, self.field = field.field.well, field.field.field
        self.kind = condition.kind if condition else None
        self._plan, self._field = plan, field

    @cached_property
    def n_contacts(self) -> int:
        """How much there is to read."""
        return length(read_event_table(self._field, "contacts"))

    def load(self) -> FieldEvents:
        """The events themselves."""
        return events_of(self._plan, self._field)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedWell:
    """What is kept of a well when its events are let go."""

    well: str
    tables: Mapping[str, Table]  # its rows of the plate's tables of events
    outcomes: tuple[FieldOutcome, ...]  # of the fields that count, without their events
    counted: CountedWell | None  # None: no field counts
    control: ControlDeaths | None  # what its fields say of deaths without effectors


def credit_well(
    plan: RunPlan, fields: Sequence[FieldPlan], counting: Collection[FieldId], model: LagModel
) -> CreditedWell:
    """Credit the deaths of one well and count them.

    Args:
        plan: Of the plate.
        fields: Of the well, all that did not fail.
        counting: Places of the plate's fields that count.
        model: As fitted to the plate.
    """
    counted = [field for field in fields if field.field in counting]
    events = [events_of(plan, field) for field in counted]
    # a single frame has no events, and no interval to time them
    credits = [credit_kills(of, model) if of.n_frames > 1 else ([], {}) for of in events]
    outcomes = [
        outcome_of(field, of, uncredited)
        for field, of, (_, uncredited) in zip(counted, events, credits, strict=True)
    ]
    tables = {
        "deaths": _deaths_table(fields, events, [uncredited for _, uncredited in credits]),
        "kills": table_of_rows(
            "kills",
            [_kill_row(of, kill) for of, (kills, _) in zip(events, credits, strict=True) for kill in kills],
        ),
        "contacts": contacts_table(fields, events, credits, model),
        "effectors": effectors_table(counted, events, credits, outcomes),
        DOUBTFUL_DEATHS: doubtful_table(
            {
                (field.field.well, field.field.field): read_event_table(field, DOUBTFUL_DEATHS)
                for field in fields
            },
            events,
            model,
        ),
    }
    return CreditedWell(
        well=fields[0].field.well,
        tables=tables,
        outcomes=tuple(_without_events(outcome) for outcome in outcomes),
        counted=count_outcomes(plan.protocol, outcomes, model) if outcomes else None,
        control=control_deaths(outcomes),
    )


def count_outcomes(protocol: Protocol, outcomes: Sequence[FieldOutcome], model: LagModel) -> CountedWell:
    """Count a well from its fields that count, those too short to show deaths left out unless all are."""
    well = outcomes[0].events.well
    condition = protocol.condition_of(well)
    name, kind = (condition.name, condition.kind) if condition else (None, None)
    return count_well(
        [outcome for outcome in outcomes if outcome.shows_deaths] or outcomes,
        well=well,
        condition=name,
        kind=kind,
        model=model,
    )


def _without_events(outcome: FieldOutcome) -> FieldOutcome:
    events = replace(outcome.events, contacts=(), deaths=(), targets=(), engagements=None, link_doubts={})
    return replace(outcome, events=events, uncredited={}, effectors=())


def _deaths_table(
    fields: Sequence[FieldPlan], events: Sequence[FieldEvents], uncredited: Sequence[Mapping[int, float]]
) -> Table:
    """All deaths of the well; effectors' deaths, and those of fields that do not count, have no share."""
    shares = {
        (of.well, of.field, death): share
        for of, mine in zip(events, uncredited, strict=True)
        for death, share in mine.items()
    }
    deaths = concatenate([read_event_table(field, "deaths") for field in fields])
    keys = zip(deaths["well"], deaths["field"].tolist(), deaths["death_id"].tolist(), strict=True)
    return {
        **deaths,
        "uncredited_share": np.array([shares.get(key, np.nan) for key in keys], dtype=np.float64),
    }


def _kill_row(of: FieldEvents, kill: Kill) -> dict[str, Any]:
    return {
        "well": of.well,
        "field": of.field,
        "death_id": kill.death_id,
        "target_track_id": kill.target_track_id,
        "effector_track_id": kill.effector_track_id,
        "contact_id": kill.contact_id,
        "share": kill.share,
        "lag_min": kill.lag_min,
    }
