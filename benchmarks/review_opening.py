"""A plate of 50 GB for the viewer's benchmarks, that takes a few MB of the disk; and what is read of it, counted.

Every frame of every field is the same few chunks, linked: metadata, shards and reads are those of a real plate.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from assay.io.checked import CheckedArray
from assay.io.durable import write_whole
from assay.io.ome_zarr import LabelPlate, PlateWriter
from assay.io.results import Results
from assay.labels import CELL_ROLES, ChannelRole
from assay.stack import FieldId
from assay.units import Calibration

CHANNELS: dict[str, ChannelRole] = {"CTDR": "effector", "GFP": "target", "PI": "death"}
CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=4.0)
PROTOCOL = '[channels]\neffector = "CTDR"\ntarget = "GFP"\ndeath = "PI"\n'
BYTES_PER_PIXEL = 2 * len(CHANNELS) + 4 * len(CELL_ROLES)
CELL_PX = 32


class Counted:
    """How many planes of pixels, of one frame and channel or role, were read."""

    def __init__(self) -> None:
        self.planes = 0


@contextmanager
def counted_reads() -> Iterator[Counted]:
    """Count every plane that is read from any array on the disk."""
    counted, read = Counted(), CheckedArray._read_run

    def counting(self: CheckedArray, frames: slice, channels: slice, window: Any) -> Any:
        counted.planes += (frames.stop - frames.start) * (channels.stop - channels.start)
        return read(self, frames, channels, window)

    CheckedArray._read_run = counting  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        CheckedArray._read_run = read  # type: ignore[method-assign]


def make_results(folder: Path, *, gb: float, size_px: int, n_frames: int) -> tuple[Path, int]:
    """A plate of about `gb` and its RESULTS with labels; gives RESULTS and the number of fields."""
    n_fields = max(1, round(gb * 1e9 / (n_frames * size_px**2 * BYTES_PER_PIXEL)))
    fields = [FieldId(f"{chr(65 + n // 12)}{1 + n % 12:02d}", 0) for n in range(n_fields)]
    _write_plate(folder / "large.zarr", fields, size_px, n_frames)
    results = Results.create_or_open(
        folder / "results", plate_name="large", plate_identity="made", plate_path=str(folder / "large.zarr")
    )
    _write_labels(results.labels, fields, size_px, n_frames)
    for field in fields:
        results.ledger.commit("labels", f"{field.well}_{field.field}_000000", "made")
    write_whole(results.protocol_file, PROTOCOL.encode())
    return results.path, n_fields


def _write_plate(path: Path, fields: list[FieldId], size_px: int, n_frames: int) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    noise = rng.integers(100, 400, (1, len(CHANNELS), size_px, size_px), dtype=np.uint16)
    with PlateWriter.create(
        path,
        fields=fields,
        shapes=(n_frames, len(CHANNELS), size_px, size_px),
        dtype=np.uint16,
        channel_names=tuple(CHANNELS),
        channel_roles=CHANNELS,
        calibration=CALIBRATION,
    ) as writer:
        step = writer.shard_frames(fields[0])
        writer.write(fields[0], 0, np.repeat(noise, step, axis=0))
        making = next(
            folder for folder in (path, *path.parent.iterdir()) if (folder / fields[0].path).is_dir()
        )
        _link_everywhere(making, fields, n_frames // step)


def _write_labels(path: Path, fields: list[FieldId], size_px: int, n_frames: int) -> None:
    side = size_px // CELL_PX
    cells = np.arange(1, side * side + 1, dtype=np.uint32).reshape(side, side)
    image = np.kron(cells, np.ones((CELL_PX, CELL_PX), np.uint32))
    image[::CELL_PX], image[:, ::CELL_PX] = 0, 0
    labels = LabelPlate.create(
        path,
        fields=fields,
        shapes=(n_frames, size_px, size_px),
        calibration=CALIBRATION,
        preview_channels=tuple(CHANNELS),
        preview_dtype=np.uint16,
        pyramid=False,
    )
    step = labels.shard_frames(fields[0])
    for role in CELL_ROLES:
        labels.write(fields[0], role, 0, np.repeat(image[None], step, axis=0))
    _link_everywhere(path, fields, n_frames // step)


def _link_everywhere(root: Path, fields: list[FieldId], n_shards: int) -> None:
    """Let the first run of frames of the first field stand for all runs of all fields."""
    first = root / fields[0].path
    written = [file for file in sorted(first.rglob("*")) if file.is_file() and "c/0/" in file.as_posix()]
    for field in fields:
        for file in written:
            for shard in range(n_shards):
                place = file.relative_to(first).as_posix().replace("c/0/", f"c/{shard}/", 1)
                goal = root / field.path / place
                if not goal.exists():
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    os.link(file, goal)
