"""One large frame from disk to labels and measures, in a process of its own; `benchmarks.large_frame` calls it.

python -m benchmarks.large_frame_job FOLDER SIDE --json F
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import models.predictor
from assay.brightness import measure_brightness, role_slots
from assay.io import chunks
from assay.io.checked import CheckedArray
from assay.io.large_labels import write_large_labels
from assay.io.layout import array_layout
from assay.labels import CELL_ROLES, ChannelRole
from assay.measures import measure_large
from assay.touching import touching_pairs_large
from assay.units import Calibration
from benchmarks.measuring import own_peak_bytes, processor_s
from models.devices import one_thread
from models.large_frames import BLOCK_PX, BlockFinder
from models.weights import load_model

CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=5.0)
ROLES: tuple[ChannelRole, ...] = ("effector", "target", "death")


class Repeating:
    """Gives the maps of windows that were seen before from disk."""

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self._side, self.asked, self.computed = folder, side, 0, 0

    def finder(self, maps_of: Any, **how: Any) -> BlockFinder:
        """A finder whose maps come from disk where they can."""

        def kept(rows: slice, columns: slice) -> Tensor:
            self.asked += 1
            name = "_".join(self._name(part) for part in (rows, columns))
            file = self._folder / f"maps_{name}.npy"
            if not file.exists():
                self.computed += 1
                np.save(file, maps_of(rows, columns).numpy())
            return torch.from_numpy(np.load(file))

        return BlockFinder(kept, **how)

    def _name(self, part: slice) -> str:
        """Equal for windows that hold and are surrounded by the same."""
        edges = f"{'a' if part.start == 0 else ''}{'z' if part.stop == self._side else ''}"
        return f"{part.start % BLOCK_PX}-{part.stop - part.start}{edges}"


def run_job(folder: Path, side: int) -> dict[str, Any]:
    """Do it all, and say what it took."""
    tile = np.load(folder / "tile.npy")
    brightness = measure_brightness([tile])
    image = CheckedArray(folder / "frame.zarr", "0", where="the large frame", axes="tcyx")
    shape, present = (side, side), [role in ROLES for role in models.predictor.CHANNEL_ROLES]
    roles = {role: [number] for number, role in enumerate(ROLES)}

    def raw(rows: slice, columns: slice = slice(0, side)) -> NDArray[np.uint16]:
        return image.read([0], [0, 1, 2], window=(rows, columns))[0]

    def slots(rows: slice, columns: slice) -> NDArray[np.float32]:
        return role_slots(raw(rows, columns)[None], brightness, roles)[0][0]

    model = load_model("standard", device="cpu")
    repeating = Repeating(folder, side)
    models.predictor.BlockFinder = repeating.finder  # type: ignore[misc, assignment]
    start, clock, steps = own_peak_bytes(), processor_s(), {}

    def lap(step: str) -> None:
        nonlocal clock
        now = processor_s()
        steps[step], clock = now - clock, now

    labels = model.segment_large(slots, shape=shape, present=present, pixel_um=CALIBRATION.pixel_um)
    lap("cells")
    cells = measure_large(
        labels, frame=0, read=raw, channel_names=list(ROLES), calibration=CALIBRATION, rows_at_once=256
    )
    lap("measures")
    pairs = touching_pairs_large(labels, frame=0, calibration=CALIBRATION, max_gap_um=3.0, enter_um=1.0)
    lap("pairs")
    layout = array_layout((1, *shape), itemsize=4, sharded=True, shard_frames=1)
    for role in CELL_ROLES:
        chunks.make_array(
            folder / "labels.zarr",
            role,
            layout,
            dtype=np.dtype(np.uint32),
            axes="tyx",
            content="labels",
            zarr_format=3,
        )
        write_large_labels(folder / "labels.zarr", role, 0, labels.of(role)[0], shape=shape)
    lap("labels")
    alike, inner = alike_blocks(
        cells["target"].y_um, cells["target"].x_um, cells["target"].means["target"], side
    )
    return {
        "start_bytes": start,
        "peak_bytes": own_peak_bytes(),
        "cpu_s": sum(steps.values()),
        "steps_s": steps,
        "effectors": len(cells["effector"]),
        "targets": len(cells["target"]),
        "pairs": len(pairs),
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
    parser.add_argument("side", type=int)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    one_thread()
    given.json.write_text(json.dumps(run_job(given.folder, given.side), indent=1))


if __name__ == "__main__":
    main()
