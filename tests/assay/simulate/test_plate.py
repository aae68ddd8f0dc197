import json
from dataclasses import replace

import numpy as np
import pytest

from assay.errors import ImageError, ProtocolError
from assay.io.label_plate import LabelPlate
from assay.io.ome_zarr import open_plate
from assay.io.tables import read_table
from assay.protocol import read_protocol
from assay.simulate.film import simulate_film
from assay.simulate.plate import SimulatedWell, film_seed, simulate_plate, standard_layout
from assay.simulate.scenario import scenario_named
from assay.stack import FieldId

SMALL = replace(scenario_named("sample"), shape_px=(60, 72), margin_um=25.0)
WELLS = (SimulatedWell(well="B02", kind="sample"), SimulatedWell(well="D02", kind="target_only"))


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    path = tmp_path_factory.mktemp("plates") / "small.zarr"
    simulate_plate(path, scenario=SMALL, seed=5, wells=WELLS, n_frames=18)
    return path


def test_the_plate_holds_the_films_of_its_seed(plate):
    field = FieldId("B02", 0)
    film = simulate_film(SMALL, seed=film_seed(5, field), n_frames=18)
    stack = open_plate(plate).stack(field)
    assert stack.channel_names == film.channel_names
    assert stack.calibration == film.calibration
    for frame in (0, 16, 17):
        np.testing.assert_array_equal(stack.read([frame])[0], film.images(frame))


def test_the_truth_beside_it_holds_labels_and_tables_of_every_field(plate):
    truth = plate.with_name("small-truth")
    labels = LabelPlate.open(truth / "labels.zarr")
    assert labels.finished
    cells = read_table(truth / "tables", "cells")
    assert set(cells["well"]) == {"B02", "D02"}
    for well in ("B02", "D02"):
        image = labels.read(FieldId(well, 0), "target", [17])[0]
        here = (cells["well"] == well) & (cells["frame"] == 17) & (cells["role"] == "target")
        assert set(np.unique(image)) - {0} == set(cells["track_id"][here])
    for name in ("tracks", "contacts", "deaths", "kills"):
        assert read_table(truth / "tables", name)


def test_the_scenario_is_written_down_with_its_seed(plate):
    record = json.loads((plate.with_name("small-truth") / "scenario.json").read_text())
    assert record["seed"] == 5
    assert record["wells"] == {"B02": "sample", "D02": "target_only"}
    assert record["scenario"]["frame_min"] == 6.0


def test_the_protocol_beside_it_fits_the_plate(plate):
    protocol = read_protocol(plate.with_suffix(".toml"))
    assert protocol.channels == {"effector": ("CTDR",), "target": ("GFP",), "death": ("PI",)}
    assert [(c.kind, c.wells) for c in protocol.conditions] == [
        ("sample", ("B02",)),
        ("target_only", ("D02",)),
    ]


def test_a_plate_is_never_written_over_another(plate):
    with pytest.raises(ImageError, match="exists already"):
        simulate_plate(plate, scenario=SMALL, seed=5, wells=WELLS, n_frames=2)


def test_a_plate_whose_name_is_taken_leaves_no_truth_behind(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(ImageError, match=r"mine\.toml exists already"):
        simulate_plate(tmp_path / "mine.zarr", scenario=SMALL, seed=5, wells=WELLS, n_frames=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_film_of_no_frames_is_refused(tmp_path):
    with pytest.raises(ProtocolError, match="at least one frame"):
        simulate_plate(tmp_path / "none.zarr", scenario=SMALL, seed=5, wells=WELLS, n_frames=0)


def test_the_standard_layout_has_controls_and_a_mock_scenario_no_killers():
    assert [(w.well, w.kind) for w in standard_layout(SMALL, 2)] == [
        ("B02", "sample"),
        ("B03", "sample"),
        ("C02", "mock"),
        ("C03", "mock"),
        ("D02", "target_only"),
        ("D03", "target_only"),
    ]
    assert {w.kind for w in standard_layout(scenario_named("mock"), 1)} == {"mock", "target_only"}


def test_every_field_has_a_seed_of_its_own():
    fields = [FieldId(well, field) for well in ("B02", "B03", "C02", "AA02") for field in (0, 1)]
    assert len({film_seed(1, field) for field in fields}) == 8
    assert film_seed(1, fields[0]) != film_seed(2, fields[0])
