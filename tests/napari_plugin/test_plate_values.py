import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assay.columns import Table
from assay.stack import FieldId
from napari_plugin.plate_values import MEASURES, plate_of

UNKNOWN = math.nan


def text(*values: Any) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.fixture
def tables() -> dict[str, Table]:
    """A1 kills, A2 truly none, B1 failed, B2 without effectors."""
    return {
        "wells": {
            "well": text("A01", "A02", "B01", "B02"),
            "condition": text("CAR-T", "Mock", None, "Targets only"),
            "status": text("ok", "ok", "failed", "ok"),
            "reason": text(None, None, "no chunk 0/1", None),
            "n_targets": np.array([50.0, 40, UNKNOWN, 30]),
            "n_effectors": np.array([20.0, 25, UNKNOWN, 0]),
            "kills": np.array([6.0, 0, UNKNOWN, 0]),
            "kills_low": np.array([4.0, 0, UNKNOWN, 0]),
            "kills_high": np.array([9.0, 1, UNKNOWN, 1]),
            "cytolysis_percent": np.array([12.0, 0.5, UNKNOWN, 0.1]),
        },
        "fields": {
            "well": text("A01", "A01", "A02", "B01", "B02"),
            "field": np.array([1, 0, 0, 0, 0]),
            "status": text("ok", "ok", "ok", "failed", "ok"),
            "warning": text("dim", None, None, None, None),
        },
        "effectors": {
            "well": text("A01", "A01", "A02"),
            "observed_min": np.array([600.0, 300, 1500]),
            "kills": np.array([4.5, 1.5, 0]),
        },
    }


def test_kills_per_effector_hour_is_all_kills_over_all_hours_watched(tables: dict[str, Table]):
    values = plate_of(tables).values("kills_per_hour")
    assert values["A01"].value == pytest.approx(6 / 15)
    assert values["A02"].value == 0.0


def test_a_failed_well_and_one_without_effectors_are_no_zero(tables: dict[str, Table]):
    values = plate_of(tables).values("kills_per_hour")
    assert (values["B01"].is_known, values["B01"].status) == (False, "failed")
    assert (values["B02"].is_known, values["B02"].status) == (False, "no_effectors")
    assert "no chunk 0/1" in values["B01"].words
    assert values["A02"].is_known
    for measure in ("kills", "cytolysis"):
        assert not plate_of(tables).values(measure)["B01"].is_known


def test_quality_is_the_share_of_fields_that_a_person_should_look_at(tables: dict[str, Table]):
    values = plate_of(tables).values("quality")
    assert {name: one.value for name, one in values.items()} == {"A01": 50, "A02": 0, "B01": 100, "B02": 0}


def test_reviews_are_unknown_until_the_results_are_open_for_review(tables: dict[str, Table]):
    for measure in ("reviewed", "disagreement"):
        assert {one.status for one in plate_of(tables).values(measure).values()} == {"unknown", "failed"}


def test_reviewed_share_and_disagreements_are_counted_by_well(tables: dict[str, Table]):
    events = {"well": text("A01", "A01", "A01", "A01", "A02", "A01")}
    status = np.array(
        [0, 1, 3, 4, 0, 5], np.int8
    )  # pending, accepted, unsure, disagreement; pending; withdrawn
    state = SimpleNamespace(events=events, status=status, counts_as_event=status != 5)
    plate: Any = plate_of(tables)
    reviewed = plate.values("reviewed", state=state)
    assert reviewed["A01"].value == 75.0
    assert reviewed["A02"].value == 0.0
    assert (reviewed["B02"].is_known, reviewed["B02"].status) == (False, "no_events")
    assert plate.values("disagreement", state=state)["A01"].value == 1.0
    assert "3 of 4 events reviewed, 1 disagreed about" in reviewed["A01"].words


def test_wells_stand_where_their_names_say_and_fields_are_in_order(tables: dict[str, Table]):
    plate = plate_of(tables)
    assert plate.shape == (8, 12)
    places = {name: (one.row, one.column) for name, one in plate.values("kills").items()}
    assert places == {"A01": (0, 0), "A02": (0, 1), "B01": (1, 0), "B02": (1, 1)}
    assert plate.fields_of("A01") == (FieldId("A01", 0), FieldId("A01", 1))
    assert plate.fields_of("H12") == ()


def test_every_measure_can_be_shown_for_a_plate_without_effectors(tables: dict[str, Table]):
    tables["effectors"] = {"well": text(), "observed_min": np.zeros(0), "kills": np.zeros(0)}
    for measure in MEASURES:
        assert set(plate_of(tables).values(measure.name)) == {"A01", "A02", "B01", "B02"}
