"""SIGKILL at fifty seeded points of a run, resumed: the same bytes, and at most one unit done twice."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.assay.pipeline.test_run import digest, run
from tests.chaos.kill_points import Killed, killed_run
from tests.small_plates import film, write_small_plate

N_POINTS = 50


def points(changes: int, n: int, seed: int = 6) -> list[int]:
    """Changes to the disk before which a run is killed: one drawn in each n-th of the run."""
    rng = np.random.Generator(np.random.PCG64(seed))
    edges = np.linspace(1, changes, n + 1)
    return [int(rng.integers(int(a), max(int(a) + 1, int(b)))) for a, b in pairwise(edges)]


def kill_and_go_on(plate: Path, folder: Path, n_points: int) -> tuple[list[Killed], int]:
    """(how each run was killed, how many of the resumed ones gave the same bytes)."""
    whole = killed_run(plate, folder / "whole", folder / "note", change=0)
    expected = digest(folder / "whole")
    killed, same = [], 0
    for n, change in enumerate(points(whole.changes, n_points)):
        out = folder / f"killed_{n}"
        killed.append(killed_run(plate, out, folder / "note", change=change))
        run(plate, out)
        left = {name: sha for name, sha in digest(out).items() if not name.endswith(".partial")}
        same += left == expected  # half-written files under other names stay, which nobody reads
    return killed, same


@pytest.mark.slow
def test_killed_at_fifty_points_and_run_again_gives_the_same_bytes_and_loses_a_unit_at_most(tmp_path: Path):
    films = {"B02": film(36), "C02": film(18, effectors=False)}
    plate = write_small_plate(tmp_path / "small.zarr", films)
    killed, same = kill_and_go_on(plate, tmp_path, N_POINTS)
    assert same == N_POINTS
    assert max(one.lost for one in killed) <= 1
    assert min(one.lost for one in killed) >= 0
    places = " ".join(one.at for one in killed)
    for part in (
        "ledger/",
        "work/frame_labels.zarr/",
        "labels.zarr/",
        "work/table_",
        "tables/",
        "os.rename",
        "fsync",
    ):
        assert part in places
