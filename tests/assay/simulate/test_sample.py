from pathlib import Path

import numpy as np

from assay.io.ome_zarr import open_plate
from assay.io.tables import read_table
from assay.simulate.film import simulate_film
from assay.simulate.plate import film_seed
from assay.simulate.scenario import scenario_named
from assay.stack import FieldId

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def test_the_sample_plate_stays_under_12_megabytes():
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 12_000_000


def test_the_simulator_still_makes_the_sample_plate():
    field = FieldId("B03", 0)
    film = simulate_film(scenario_named("sample"), seed=film_seed(1, field))
    stack = open_plate(SAMPLE / "plate.zarr").stack(field)
    for frame in (0, 39):
        np.testing.assert_array_equal(stack.read([frame])[0], film.images(frame))


def test_the_car_t_wells_of_the_sample_hold_a_dozen_kills_and_the_controls_none():
    deaths = read_table(SAMPLE / "plate-truth" / "tables", "deaths")
    for well in ("B02", "B03", "C02", "C03", "D02", "D03"):
        own = (deaths["well"] == well) & (deaths["role"] == "target")
        kills = (1 - deaths["uncredited_share"][own]).sum()
        assert kills >= 12 if well.startswith("B") else kills == 0
