"""A few of the fifty points of `tests/chaos/test_kill_points.py`, for every test run."""

from pathlib import Path

from tests.chaos.test_kill_points import kill_and_go_on
from tests.small_plates import film, write_small_plate


def test_a_run_killed_before_any_change_to_the_disk_goes_on_to_the_same_bytes(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(18), "C02": film(4, effectors=False)})
    killed, same = kill_and_go_on(plate, tmp_path, 6)
    assert same == 6
    assert all(0 <= one.lost <= 1 for one in killed)
