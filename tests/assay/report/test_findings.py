"""What is said of plates that are not what one wishes: no control to speak of, no sample, no death channel."""

from typing import Any

import pytest

from assay.columns import TABLES, table_of_rows
from assay.protocol import Protocol, parse_protocol
from assay.report.findings import control_note, death_note, headline


def tables(*wells: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for number, values in enumerate(wells):
        row: dict[str, Any] = {column.name: None for column in TABLES["wells"]}
        row |= {
            "well": f"B{number + 1:02}",
            "status": "ok",
            "n_fields": 1,
            "n_targets": 20.0,
            "n_effectors": 20.0,
        }
        rows.append(row | {"kills": 5.0, "kills_low": 3.0, "kills_high": 7.0} | values)
    return {"wells": table_of_rows("wells", rows)}


def protocol(channels: str) -> Protocol:
    return parse_protocol(f'[channels]\neffector = "CTDR"\ntarget = "GFP"\n{channels}')


def test_a_plate_of_mock_wells_alone_has_no_result_to_compare():
    said = headline(tables({"kind": "mock"}, {"kind": "mock"}))
    assert said == [
        "There is no sample: the protocol calls all 2 wells mock control, so there is no result to compare with the control."
    ]


def test_wells_without_any_kind_are_asked_for_their_conditions():
    assert "Name the conditions in the protocol" in headline(tables({"kind": None}, {"kind": None}))[0]


@pytest.mark.parametrize(
    ("well", "said"),
    [
        (
            {"kind": "target_only", "n_targets": 0.0},
            "Well B02 (targets only) shows no targets in the first usable frame",
        ),
        ({"kind": "mock", "n_targets": 0.0}, "Well B02 (mock control) shows no targets"),
        ({"kind": "mock", "n_effectors": 0.0}, "Well B02 (mock control) shows no effectors"),
        ({"kind": "effector_only", "n_effectors": 0.0}, "Well B02 (effectors only) shows no effectors"),
    ],
)
def test_a_control_well_without_cells_is_named(well: dict[str, Any], said: str):
    assert said in (control_note(tables({"kind": "sample"}, well)) or "")


def test_a_target_only_well_is_not_blamed_for_having_no_effectors():
    note = control_note(tables({"kind": "sample"}, {"kind": "target_only", "n_effectors": 0.0}))
    assert "shows no" not in (note or "")


def test_a_protocol_without_death_channel_is_told_what_that_costs():
    assert death_note(protocol('death = "PI"')) is None
    assert "No channel shows death" in (death_note(protocol("")) or "")
