import csv
import json

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.columns import TABLES, table_of_rows
from assay.errors import ResultsError
from assay.io.results import Results
from assay.io.tables import read_arrays, write_table
from tests.assay.review.small_reviews import contact, death, kill


def blank(name):
    """A row in which nothing is known."""
    plain = {"text": "", "bool": False}
    return {one.name: None if one.nullable else plain.get(one.kind, 0) for one in TABLES[name]}


def results(folder, name, *, n_deaths, kills, plate="abc"):
    """Targets 1 and 2 at 20 and 60 um, effectors 5 and 6 beside them; the first deaths of the two."""
    made = Results.create_or_open(folder / name, plate_name=plate, plate_identity=plate)
    unknown = blank("cells")
    cells = [
        {**unknown, "well": "B02", "field": 0, "frame": frame, "time_min": 6.0 * frame, "role": role,
         "track_id": track, "y_um": y, "x_um": x, "area_um2": 80.0}
        for role, x, tracks in (("target", 50.0, (1, 2)), ("effector", 65.0, (5, 6)))
        for track, y in zip(tracks, (20.0, 60.0), strict=True)
        for frame in range(30)
    ]  # fmt: skip
    well = blank("wells")
    well |= {
        "well": "B02",
        "condition": "CAR-T",
        "kind": "sample",
        "status": "ok",
        "n_fields": 1,
        "n_targets": 2,
    }
    well |= {"n_effectors": 2, "deaths": 0.9 * n_deaths, "kills": kills, "contacts": 2}
    field = blank("fields")
    field |= {"well": "B02", "field": 0, "status": "ok"}
    tables = {
        "deaths": [death(1, 1, 10), death(2, 2, 20)][:n_deaths],
        "kills": [kill(1, 1, 5, 0.9), kill(2, 2, 6, 0.9)][:n_deaths],
        "contacts": [contact(5, 1, 4, 12), contact(6, 2, 15, 22)],
        "cells": cells,
        "wells": [well],
        "fields": [field],
    }
    files = [write_table(made.tables, name, table_of_rows(name, rows)) for name, rows in tables.items()]
    made.ledger.commit("summary", "plate", "key", files)
    return made.path


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return [str(results(tmp_path, name, n_deaths=n, kills=0.81 * n)) for name, n in (("A", 2), ("B", 1))]


def test_what_vanished_is_said_for_the_plate_and_for_each_well(pair, tmp_path):
    done = CliRunner().invoke(app, ["compare", *pair, "--json", str(tmp_path / "c.json")])
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "deaths 1 in both, 0 appeared, 1 vanished, 0 changed" in lines
    assert "contacts 2 in both, 0 appeared, 0 vanished" in lines
    assert "kills 1 in both, 0 appeared, 1 vanished, 0 changed" in lines
    assert "B02 1.8 0.9 1.6 0.8 - - +0 -2" in lines
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["counts"]["death"] == {"same": 1, "appeared": 0, "vanished": 1, "changed": 0}
    assert found["wells"][0]["cytolysis_percent_a"] is None


def test_the_same_results_twice_differ_in_nothing(pair):
    done = CliRunner().invoke(app, ["compare", pair[0], pair[0]])
    assert done.output.splitlines()[-1] == "no well's numbers differ"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_event_that_differs_is_written(pair, tmp_path, ending):
    file = tmp_path / f"events.{ending}"
    done = CliRunner().invoke(app, ["compare", *pair, "--events", str(file)])
    assert done.exit_code == 0, done.output
    if ending == "csv":
        with file.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        found = [(row["kind"], row["status"], int(float(row["target_a"]))) for row in rows]
    else:
        table = read_arrays(file)
        found = list(zip(*(table[name].tolist() for name in ("kind", "status", "target_a")), strict=True))
    assert found == [("death", "vanished", 2), ("kill", "vanished", 2)]


def test_results_of_two_plates_are_not_compared(pair, tmp_path):
    other = results(tmp_path, "C", n_deaths=1, kills=0.8, plate="other")
    done = CliRunner().invoke(app, ["compare", pair[0], str(other)])
    assert isinstance(done.exception, ResultsError)
    assert "are results of two plates (abc, other)" in str(done.exception)


def test_a_name_of_another_ending_and_a_folder_without_tables_are_refused_in_one_line(pair, tmp_path):
    done = CliRunner().invoke(app, ["compare", *pair, "--events", str(tmp_path / "events.xlsx")])
    assert "ends in .csv or .parquet" in str(done.exception)
    Results.create_or_open(tmp_path / "EMPTY", plate_name="abc", plate_identity="abc")
    done = CliRunner().invoke(app, ["compare", pair[0], str(tmp_path / "EMPTY")])
    assert isinstance(done.exception, ResultsError)
    assert "EMPTY has no tables yet" in str(done.exception)
