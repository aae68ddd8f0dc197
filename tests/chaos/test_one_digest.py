"""How the plate is cut, by how many the work is done, in which batches and by which engine: one digest.

Slurm's part of the same is in `test_slurm_runs.py`.
"""

from pathlib import Path

import pytest

from assay.io.metadata import Ngff
from assay.pipeline.run import RunOptions
from tests.assay.pipeline.test_run import digest, run
from tests.small_plates import film, write_small_plate

WAYS = {
    "in-process, batch of 1": [RunOptions(batch_frames=1)],
    "in-process, batch of 4": [RunOptions(batch_frames=4)],
    "in-process, batch of 8, two shards a task": [RunOptions(batch_frames=8, shards_per_task=2)],
    "two Dask workers, batch of 1": [RunOptions(workers=2, batch_frames=1)],
    "two Dask workers, batch of 8, two shards a task": [
        RunOptions(workers=2, batch_frames=8, shards_per_task=2)
    ],
    "three parts of a job array, then merged": [
        *(RunOptions(part=(part, 3), batch_frames=4) for part in (2, 3, 1)),
        RunOptions(),
    ],
}


@pytest.mark.slow
def test_one_digest_however_plate_and_work_are_cut(tmp_path: Path):
    films = {"B02": film(20), "C02": film(20, effectors=False)}
    layouts: tuple[Ngff, ...] = ("0.5", "0.4")  # shards of 16 frames; a file for every plane
    found: dict[str, dict[str, str]] = {}
    for ngff in layouts:
        plate = write_small_plate(tmp_path / ngff / "small.zarr", films, ngff=ngff)
        for number, (name, runs) in enumerate(WAYS.items()):
            out = tmp_path / ngff / f"results_{number}"
            for options in runs:
                run(plate, out, options=options)
            found[f"{ngff}, {name}"] = digest(out)
    first = next(iter(found.values()))
    other = [name for name, one in found.items() if one != first]
    print(f"{len(found)} ways, {len(found) - len(other)} of one digest")  # noqa: T201
    assert not other
