"""Fifty pairs of protocols drawn by seed, one run after the other in one folder, each compared with a fresh run."""

from pathlib import Path

import pytest

from tests.assay.pipeline.test_config_pairs import pairs_agree
from tests.small_plates import film, write_small_plate

N_PAIRS = 50


@pytest.mark.slow
def test_fifty_pairs_of_protocols_never_mix(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(14)[:, :, :48, :64]})
    pairs_agree(plate, tmp_path, range(N_PAIRS + 1))
