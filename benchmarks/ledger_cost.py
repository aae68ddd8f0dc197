"""What the ledger costs: a commit, asking whether a unit is done, comparing bytes, and going on after 10,000 units.

    python -m benchmarks.ledger_cost [--fields 370] [--json ledger.json]

The resumed run is real from the command's first line on: every field's metadata is looked at, every record read and
every output's size asked for; one unit of the last field is missing, and the clock stops when its segmenter is asked.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from assay.io.durable import write_whole
from assay.io.ledger import Ledger, file_sha256
from assay.io.ome_zarr import PlateWriter
from assay.pipeline.label_images import make_label_images
from assay.pipeline.pixels import field_unit_of, unit_of
from assay.pipeline.plan import RunPlan
from assay.pipeline.run import RunOptions, open_results, plan_run, run_plate
from assay.pipeline.status import write_expected
from assay.protocol import parse_protocol
from assay.stack import FieldId
from assay.units import Calibration

N_FRAMES, SIDE_PX = 128, 16  # eight units of 16 frames a field
OUTPUTS = {"brightness": 1, "pixels": 8, "pairs": 1, "link": 5, "labels": 4, "events": 5}
PROTOCOL = '[channels]\neffector = "E"\ntarget = "T"\n[model]\nname = "standard"\n'


class Reached(Exception):  # noqa: N818 - no error: the first work began
    """The segmenter was asked for."""


def reached() -> Any:
    """Stands for the model."""
    raise Reached


class Quiet:
    """Progress that nobody listens to."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """Not shown."""

    def advance(self) -> None:
        """Not shown."""

    def say(self, line: str) -> None:
        """Not said."""


def cost_of_units(folder: Path, n: int = 200, outputs: int = 10) -> dict[str, float]:
    """Milliseconds per unit of ten small outputs."""
    ledger = Ledger(folder / "ledger", base=folder)
    rng = np.random.default_rng(1)
    seconds = dict.fromkeys(("write", "commit", "is_done", "compare"), 0.0)
    for unit in range(n):
        files = [folder / "work" / f"{unit}_{k}" for k in range(outputs)]
        files[0].parent.mkdir(exist_ok=True)
        with clocked(seconds, "write"):
            for file in files:
                file.write_bytes(rng.bytes(20_000))
        with clocked(seconds, "commit"):
            ledger.commit("pixels", f"B02_0_{unit:06d}", "k", files)
    for unit in range(n):
        with clocked(seconds, "is_done"):
            assert ledger.is_done("pixels", f"B02_0_{unit:06d}", "k")
        with clocked(seconds, "compare"):
            assert ledger.is_done("pixels", f"B02_0_{unit:06d}", "k", compare=True)
    big = folder / "big"
    big.write_bytes(rng.bytes(1 << 27))
    took = dict.fromkeys(("hash",), 0.0)
    with clocked(took, "hash"):
        file_sha256(big)
    found = {f"{name}_ms_per_unit": 1e3 * value / n for name, value in seconds.items()}
    return {**found, "sha256_mb_per_s": (1 << 27) / 1e6 / took["hash"]}


@contextmanager
def clocked(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of a block."""
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


def make_done(folder: Path, n_fields: int) -> tuple[Path, Path, int]:
    """A plate and RESULTS in which every unit but one is done: (plate, results, units)."""
    plate, results = folder / "plate.zarr", folder / "results"
    fields = [FieldId(f"{chr(65 + n // 24)}{n % 24 + 1:02d}", 0) for n in range(n_fields)]
    frames = np.random.default_rng(1).integers(1, 999, (16, 2, SIDE_PX, SIDE_PX), dtype=np.uint16)
    with PlateWriter.create(
        plate,
        fields=fields,
        shapes=(N_FRAMES, 2, SIDE_PX, SIDE_PX),
        dtype=np.uint16,
        channel_names=("E", "T"),
        calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=4.0),
    ) as writer:
        for field in fields:
            for first in writer.shard_starts(field):
                writer.write(field, first, frames[: writer.shard_frames(field)])
    plan = planned(plate, results)
    opened = open_results(plan)
    opened.write_protocol(plan.protocol.to_toml())
    make_label_images(plan, opened)
    write_expected(plan, opened, labels={})
    with mock.patch("assay.io.ledger.sync_files"), mock.patch("os.fsync"):
        n_units = sum(commit_all(plan, opened.ledger, results, number) for number in range(n_fields))
    last = plan.fields[-1]
    opened.ledger.forget("pixels", unit_of(last, last.runs()[-1][0]))
    return plate, results, n_units


def commit_all(plan: RunPlan, ledger: Ledger, results: Path, number: int) -> int:
    """Commit every unit of one field with small outputs."""
    field = plan.fields[number]
    keys = {step: getattr(field, f"{step}_key")() for step in OUTPUTS}
    units = [(step, field_unit_of(field)) for step in ("brightness", "link", "events")]
    units += [
        (step, unit_of(field, first)) for step in ("pixels", "pairs", "labels") for first, _ in field.runs()
    ]
    for step, unit in units:
        files = [results / "work" / f"{step}_{k}" / f"{unit}.bin" for k in range(OUTPUTS[step])]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"done")
        ledger.commit(step, unit, keys[step], files)
    return len(units)


def planned(plate: Path, results: Path) -> RunPlan:
    """Look at the plate, as every run does first."""
    plan = plan_run(plate, results, protocol=parse_protocol(PROTOCOL), options=RunOptions())
    return plan.with_segmenter({"name": "none", "device": "cpu"})


def first_work_s(plate: Path, results: Path) -> dict[str, float]:
    """Seconds from the command to its first work: looking at the plate, and at what is done."""
    start = time.perf_counter()
    plan = planned(plate, results)
    looked = time.perf_counter()
    with mock.patch("assay.pipeline.run.segment_runs", side_effect=Reached):
        try:
            run_plate(plan, make_segmenter=reached, provenance={}, options=RunOptions(), progress=Quiet())
        except Reached:
            end = time.perf_counter()
    return {"plan_s": looked - start, "ledger_s": end - looked, "first_work_s": end - start}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=370)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ledger_cost_"))
    try:
        (folder / "units").mkdir()
        found: dict[str, float] = cost_of_units(folder / "units")
        plate, results, n_units = make_done(folder, given.fields)
        found |= {"units": n_units, **first_work_s(plate, results)}
    finally:
        shutil.rmtree(folder)
    for name, value in found.items():
        print(f"{name:24} {value:10.2f}")
    if given.json is not None:
        write_whole(given.json, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
