"""The same film by both ways: with frames held, and part by part as frames of more than 8192 x 8192 px are; all results compared.

    python -m benchmarks.large_frame_ways [--side 3072] [--frames 2] [--folder DIR]

The whole of `killassay run` with the shipped model. The limit is lowered for the second run, and shards are made to hold single
frames.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

import assay.io.layout
import assay.labels
from assay.columns import TABLES
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import read_table
from assay.labels import CELL_ROLES, Segmenter
from assay.pipeline.planning import RunOptions, plan_run
from assay.pipeline.run import run_plate
from assay.protocol import parse_protocol
from benchmarks.large_frame import write_film
from benchmarks.large_frame_job import PROTOCOL, Steps
from models.devices import one_thread
from models.weights import load_model


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    one_thread()
    folder = Path(tempfile.mkdtemp(prefix="killassay-ways-", dir=given.folder))
    try:
        write_film(folder / "film.zarr", given.side, given.frames)
        run(folder / "film.zarr", folder / "held")
        assay.labels.LARGEST_WHOLE_PX = given.side**2 - 1
        assay.io.layout.MAX_SHARD_BYTES = given.side**2 * 4 - 1
        run(folder / "film.zarr", folder / "parts")
        print("\n".join(compared(folder / "held", folder / "parts")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(plate: Path, results: Path) -> None:
    """The main job."""
    model = load_model("standard", device="cpu")

    def make() -> Segmenter:
        return model

    plan = plan_run(plate, results, protocol=parse_protocol(PROTOCOL), options=RunOptions())
    plan = plan.with_segmenter(model.identity)
    run_plate(plan, make_segmenter=make, provenance={}, options=RunOptions(), progress=Steps())


def compared(held: Path, parts: Path) -> list[str]:
    """What is alike and what is not, a line for each table and label image."""
    lines = []
    for name in TABLES:
        ours, theirs = (read_table(results / "tables", name) for results in (parts, held))
        odd = []
        for column in ours:
            if ours[column].dtype.kind == "f":
                if not np.array_equal(ours[column], theirs[column], equal_nan=True):
                    away = float(np.nanmax(np.abs(ours[column] / theirs[column] - 1)))
                    odd.append(f"{column} to {away:.0e}")
            elif ours[column].tolist() != theirs[column].tolist():
                odd.append(f"{column} DIFFERS")
        lines.append(
            f"{name:<20}{len(next(iter(ours.values()))):>8} rows  {', '.join(odd) or 'alike to the last bit'}"
        )
    images = [LabelPlate.open(results / "labels.zarr") for results in (parts, held)]
    for field in images[0].fields:
        for role in CELL_ROLES:
            ours, theirs = (image.read(field, role, range(image.shape(field)[0])) for image in images)
            lines.append(
                f"labels of {role}s: {np.count_nonzero(ours != theirs)} of {ours.size} pixels differ"
            )
    return lines


if __name__ == "__main__":
    main()
