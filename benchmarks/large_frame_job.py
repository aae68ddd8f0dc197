"""The main job on a film of large frames, in a process of its own; `benchmarks.large_frame` calls it.

python -m benchmarks.large_frame_job FOLDER [--every-block] --json F
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import models.predictor
from assay.io.ome_zarr import open_plate
from assay.io.tables import read_table
from assay.labels import Segmenter
from assay.pipeline.planning import RunOptions, plan_run
from assay.pipeline.run import run_plate
from assay.pipeline.work_files import measures_file, read_measures
from assay.protocol import parse_protocol
from benchmarks.large_frame import CALIBRATION, MEGA
from benchmarks.measuring import own_peak_bytes, processor_s
from models.devices import one_thread
from models.large_frames import BLOCK_PX, BlockFinder
from models.weights import load_model

PROTOCOL = """
[channels]
effector = "effector"
target = "target"
death = "death"
"""


class Repeating:
    """Gives the maps of windows that were seen before in the same frame from disk."""

    def __init__(self, folder: Path, side: int, *, every_block: bool) -> None:
        self._folder, self._side, self._every_block = folder, side, every_block
        self.frames, self.asked, self.computed = 0, 0, 0

    def finder(self, maps_of: Any, **how: Any) -> BlockFinder:
        """A finder whose maps come from disk where they can; there is one for each frame."""
        self.frames += 1

        def kept(rows: slice, columns: slice) -> Tensor:
            self.asked += 1
            name = "_".join(self._name(part) for part in (rows, columns))
            file = self._folder / f"maps_{self.frames}_{name}.npy"
            if self._every_block or not file.exists():
                self.computed += 1
                maps: Tensor = maps_of(rows, columns)
                if not self._every_block:
                    np.save(file, maps.numpy())
                return maps
            return torch.from_numpy(np.load(file))

        return BlockFinder(kept, **how)

    def _name(self, part: slice) -> str:
        """Equal for windows that hold and are surrounded by the same."""
        edges = f"{'a' if part.start == 0 else ''}{'z' if part.stop == self._side else ''}"
        return f"{part.start % BLOCK_PX}-{part.stop - part.start}{edges}"


class Steps:
    """Is told how far the run is, and keeps what each step took."""

    def __init__(self) -> None:
        self.costs: dict[str, dict[str, float]] = {}
        self._name, self._since = "before", processor_s()

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""
        self.end()
        self._name = step

    def advance(self) -> None:
        """One more unit is done."""
        self._say("one more done")

    def say(self, line: str) -> None:
        """Something worth knowing."""
        if line.startswith("failed"):
            raise SystemExit(line)
        self._say(line)

    def end(self) -> None:
        """The last step is done."""
        now = processor_s()
        cost = self.costs.setdefault(self._name, {"seconds": 0.0, "peak_bytes": 0.0})
        cost["seconds"] += now - self._since
        cost["peak_bytes"] = own_peak_bytes()
        self._since = now
        self._say("done")

    def _say(self, line: str) -> None:
        sys.stderr.write(
            f"{self._name}: {line}, {processor_s():.0f} s, peak {own_peak_bytes() / MEGA:.0f} MB\n"
        )


def run_job(folder: Path, *, every_block: bool) -> dict[str, Any]:
    """Do it all, and say what it took."""
    plate, results = folder / "film.zarr", folder / "results"
    opened = open_plate(plate)
    side = opened.stack(opened.fields[0]).shape[2]
    repeating = Repeating(folder, side, every_block=every_block)
    models.predictor.BlockFinder = repeating.finder  # type: ignore[misc, assignment]
    model = load_model("standard", device="cpu")
    plan = plan_run(plate, results, protocol=parse_protocol(PROTOCOL), options=RunOptions())
    plan = plan.with_segmenter(model.identity)

    def make() -> Segmenter:
        return model

    start, steps = own_peak_bytes(), Steps()
    outcome = run_plate(plan, make_segmenter=make, provenance={}, options=RunOptions(), progress=steps)
    steps.end()
    assert outcome.complete, "a run without parts ends"
    field = plan.fields[0].field
    targets = read_measures(measures_file(results, "target", field, 0), "target")
    alike, inner = alike_blocks(targets.y_um, targets.x_um, targets.means["target"], side)
    names = ("tracks", "contacts", "deaths", "kills")
    return {
        "start_bytes": start,
        "peak_bytes": own_peak_bytes(),
        "cpu_s": sum(cost["seconds"] for cost in steps.costs.values()),
        "steps": steps.costs,
        "found": {
            "targets in the first frame": len(targets),
            **{name: len(read_table(results / "tables", name)["well"]) for name in names},
        },
        "report_bytes": (results / "report.html").stat().st_size,
        "blocks": repeating.asked,
        "computed": repeating.computed,
        "alike": alike,
        "inner": inner,
    }


def alike_blocks(
    y_um: NDArray[np.float64], x_um: NDArray[np.float64], means: NDArray[np.float64], side: int
) -> tuple[int, int]:
    """How many of the blocks that do not lie at the frame's edge have the same cells, and how many there are."""
    # a little more, so that no centre lies where its place would be rounded one way here and another there
    at = [np.floor(um / CALIBRATION.mean_pixel_um * 16 + 0.0123).astype(np.int64) for um in (y_um, x_um)]
    block = [place // (16 * BLOCK_PX) for place in at]
    n = side // BLOCK_PX
    seen: Counter[bytes] = Counter()
    for i in range(1, n - 1):
        for j in range(1, n - 1):
            here = (block[0] == i) & (block[1] == j)
            rows = [place[here] % (16 * BLOCK_PX) for place in at] + [
                np.rint(means[here] * 1e6).astype(np.int64)
            ]
            table = np.stack(rows, axis=1)
            seen[table[np.lexsort(table.T)].tobytes()] += 1
    return max(seen.values(), default=0), max(n - 2, 0) ** 2


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every-block", action="store_true")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    one_thread()
    given.json.write_text(json.dumps(run_job(given.folder, every_block=given.every_block), indent=1))


if __name__ == "__main__":
    main()
