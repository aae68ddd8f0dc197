"""Sixteen times the images, the same memory: peak of the product's main job over plates of 1 and 16 GB.

    python -m benchmarks.flat_memory [--fields 5 80] [--frames 32] [--side 1024] [--folder DIR] [--json F]

The bytes are those of the images as they are worked on (decoded); on disk they are small, because the noise of a
plate is one tile over and over. The cells are found by a threshold instead of the network, so that it takes minutes;
all other steps are the product's, in one process. `--fields 1 1 --frames 160 2560` makes films longer instead of plates
wider. Each run has a process of its own, which first runs a small plate, so that imports and compiled code are in both.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.io.ome_zarr import PlateWriter
from assay.stack import FieldId
from assay.units import Calibration
from benchmarks.measuring import measured

CHANNELS = {"CTDR": "effector", "GFP": "target", "PI": "death"}
FIELDS_PER_WELL = 4
COLUMNS = 12
NOISE_PX = 64
LARGEST_RATIO = 1.10
GIGA = 1e9
MEGA = 1e6
PROTOCOL = """[channels]
effector = "CTDR"
target = "GFP"
death = "PI"

[[condition]]
name = "sample"
wells = [{wells}]
kind = "sample"
"""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, nargs=2, default=(5, 80), metavar=("SMALL", "LARGE"))
    parser.add_argument("--frames", type=int, nargs="+", default=[32], help="one for both plates or one each")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="where plates and results lie meanwhile")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="killassay-flat-", dir=given.folder))
    try:
        figures = [
            _figures(folder, fields, frames, given.side)
            for fields, frames in zip(given.fields, (given.frames[0], given.frames[-1]), strict=True)
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(page(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def page(figures: list[dict[str, Any]]) -> str:
    """The figures as text."""
    lines = [f"{'input GB':>9}{'fields':>8}{'frames':>8}{'peak MB':>9}{'processor s':>13}"]
    for of in figures:
        lines.append(
            f"{of['bytes'] / GIGA:>9.2f}{of['fields']:>8}{of['frames']:>8}{of['peak_bytes'] / MEGA:>9.0f}{of['cpu_s']:>13.1f}"
        )
    small, large = figures
    ratio = large["peak_bytes"] / small["peak_bytes"]
    slope = (large["peak_bytes"] - small["peak_bytes"]) / (large["bytes"] - small["bytes"]) * GIGA / MEGA
    lines.append(
        f"peak of the larger over that of the smaller: {ratio:.3f} (at most {LARGEST_RATIO:.2f} is allowed); "
        f"{slope:.1f} MB for every further GB"
    )
    return "\n".join(lines)


def write_plate(path: Path, *, fields: int, frames: int, side: int) -> Path:
    """Write a plate that compresses well, and its protocol beside it.

    Returns:
        The protocol file.
    """
    places = [FieldId(_well(number // FIELDS_PER_WELL), number % FIELDS_PER_WELL) for number in range(fields)]
    with PlateWriter.create(
        path,
        fields=places,
        shapes=(frames, len(CHANNELS), side, side),
        dtype=np.uint16,
        channel_names=tuple(CHANNELS),
        channel_roles=CHANNELS,  # type: ignore[arg-type]
        calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=5.0),
    ) as writer:
        step = writer.shard_frames(places[0])
        for first in range(0, frames, step):
            run = np.stack([draw_frame(frame, side) for frame in range(first, min(first + step, frames))])
            for number, place in enumerate(places):
                writer.write(place, first, run[..., :: -1 if number % 2 else 1])
    protocol = path.with_suffix(".toml")
    wells = ", ".join(f'"{well}"' for well in sorted({place.well for place in places}))
    protocol.write_text(PROTOCOL.format(wells=wells), encoding="utf-8")
    return protocol


def draw_frame(frame: int, side: int) -> NDArray[np.uint16]:
    """(C, side, side): a grid of targets, one in four of which dies, with effectors that walk between them."""
    generator = np.random.default_rng(7)
    tile = generator.poisson(100.0, (len(CHANNELS), NOISE_PX, NOISE_PX)).astype(np.uint16)
    noise = np.roll(tile, frame, axis=(1, 2))
    image = np.tile(noise, (1, -(-side // NOISE_PX), -(-side // NOISE_PX)))[:, :side, :side].copy()
    for number, (y, x) in enumerate(np.ndindex(side // 128, side // 128)):
        middle = 64 + 128 * np.array([y, x])
        _disc(image[1], middle, 12, 900)
        if number % 4 == 0 and frame > 8 + number % 16:
            _disc(image[2], middle, 12, 700)
        turn = 0.2 * frame + number
        _disc(image[0], middle + np.rint(30 * np.array([np.sin(turn), np.cos(turn)])).astype(int), 7, 800)
    return image


def _disc(plane: NDArray[np.uint16], middle: NDArray[np.int64], radius: int, light: int) -> None:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = y**2 + x**2 <= radius**2
    plane[y[inside] + middle[0], x[inside] + middle[1]] += np.uint16(light)


def _well(number: int) -> str:
    return f"{chr(ord('A') + number // COLUMNS)}{number % COLUMNS + 1:02d}"


def _figures(folder: Path, fields: int, frames: int, side: int) -> dict[str, Any]:
    plate, warm = folder / f"plate{fields}x{frames}.zarr", folder / "warm.zarr"
    if not warm.exists():
        write_plate(warm, fields=1, frames=16, side=side)
    protocol = write_plate(plate, fields=fields, frames=frames, side=side)
    results = folder / f"results{fields}x{frames}"
    cost = measured("benchmarks.flat_memory_job", plate, protocol, results, warm, warm.with_suffix(".toml"))
    shutil.rmtree(plate)
    shutil.rmtree(results)
    size = fields * frames * len(CHANNELS) * side * side * 2
    return {
        "bytes": size,
        "fields": fields,
        "frames": frames,
        "peak_bytes": cost.peak_bytes,
        "cpu_s": cost.cpu_s,
        **cost.report,
    }


if __name__ == "__main__":
    main()
