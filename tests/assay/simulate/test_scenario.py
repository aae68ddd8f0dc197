"""Scores are comparable between versions only while the scenes stay the same."""

import hashlib
from dataclasses import replace

import pytest

from assay.simulate.film import Film
from assay.simulate.hardships import Hardships
from assay.simulate.scenario import SCENARIOS

# SHA-256 (its first 16 digits) of the first two frames of 96 x 112 px, seed 501, as made at commit 6c981ec,
# before training tiles got hardships; `late_death` and `faults` differ from the standard later only.
_BEFORE = {
    "adherent_standard": "1274a8a807f74947",
    "suspension": "458829528fd1822e",
    "et5": "d97e1ffd0fe84e5e",
    "overlap": "55f958e2b040442d",
    "brightfield": "511fd8bf47425cab",
    "nuclei": "befbd11dd38ae56a",
    "late_death": "1274a8a807f74947",
    "mock": "9d8acc88150a8abf",
    "faults": "1274a8a807f74947",
    "sample": "5acea73222aba41d",
}


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scoring_films_are_what_they_were_before_training_tiles_became_hard(name):
    film = Film(replace(SCENARIOS[name], shape_px=(96, 112)), seed=501, kind="sample", n_frames=2)
    digest = hashlib.sha256(b"".join(film.images(frame).tobytes() for frame in range(2)))
    assert digest.hexdigest()[:16] == _BEFORE[name]


def test_no_named_scenario_has_hardships():
    assert all(scenario.hardships == Hardships() for scenario in SCENARIOS.values())
