"""A frame of 30,000 x 30,000 pixels: peak memory from pixels on disk to labels on disk and measures.

    python -m benchmarks.large_frame [--side 30000] [--folder DIR] [--json F]

The frame repeats every 1536 px, which is a block of `models.large_frames`; so equal windows have equal maps, and they
are kept on disk and read again instead of computed: the network runs in some 16 of 400 blocks, with the same memory
in each. All else is done for every pixel: decoding, scores, measures of three channels, touching pairs, and label images
written by shards. The cells of blocks that lie far from the frame's edge must all be alike, and are compared.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.io import chunks
from assay.io.layout import array_layout, shard_frames_of
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from benchmarks.measuring import measured
from models.large_frames import BLOCK_PX

ROLES = ("effector", "target", "death")
TILE_PX = 512
MEGA = 1e6
GIGA = 1e9


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--folder", type=Path, help="where the image and the labels lie meanwhile")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="killassay-large-", dir=given.folder))
    try:
        tile = write_frame(folder / "frame.zarr", given.side)
        np.save(folder / "tile.npy", tile)
        cost = measured("benchmarks.large_frame_job", folder, given.side)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, Any] = {"side": given.side, **cost.report, "peak_bytes": cost.peak_bytes}
    print(page(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def page(figures: dict[str, Any]) -> str:
    """The figures as text."""
    pixels = figures["side"] ** 2
    lines = [
        f"{figures['side']} x {figures['side']} px, {len(ROLES)} channels of 16 bits: {len(ROLES) * 2 * pixels / GIGA:.1f} GB",
        f"peak memory {figures['peak_bytes'] / MEGA:.0f} MB, of which before the first block {figures['start_bytes'] / MEGA:.0f} MB",
        f"{figures['effectors']} effectors, {figures['targets']} targets, {figures['pairs']} pairs",
        f"blocks: {figures['blocks']}, of which through the network {figures['computed']}; "
        f"inner blocks alike: {figures['alike']} of {figures['inner']}",
    ]
    lines += [f"{step:<10}{seconds:8.1f} processor s" for step, seconds in figures["steps_s"].items()]
    return "\n".join(lines)


def write_frame(path: Path, side: int) -> NDArray[np.uint16]:
    """Write one frame that repeats every `BLOCK_PX`; equal shards are one file with several names.

    Returns:
        (C, `BLOCK_PX`, `BLOCK_PX`): what is repeated.
    """
    scenario = scenario_named("adherent_standard")
    film = simulate_film(scenario, seed=505, n_frames=1)
    order = [next(n for n, (role, _) in enumerate(scenario.channels) if role == wanted) for wanted in ROLES]
    small = film.images(0)[order][:, :TILE_PX, :TILE_PX]
    times = BLOCK_PX // TILE_PX
    tile = np.tile(small, (1, times, times))
    dark, generator = np.percentile(small, 5, axis=(1, 2)), np.random.default_rng(5)
    for y, x in np.ndindex(times, times):
        if (y + x) % 2:  # about as many cells as the frames of `benchmarks.decoding` have
            noise = generator.poisson(dark[:, None, None], small.shape)
            tile[:, y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX] = noise
    shape = (1, len(ROLES), side, side)
    layout = array_layout(
        shape, itemsize=2, sharded=True, shard_frames=shard_frames_of(shape, itemsize=2, sharded=True)
    )
    chunks.make_array(
        path, "0", layout, dtype=np.dtype(np.uint16), axes="tcyx", content="image", zarr_format=3
    )
    array = chunks.open_for_writing(path, "0")
    step = chunks.file_shape(array)[2]
    period = int(np.lcm(step, BLOCK_PX)) // step  # shards after which all repeats
    number = -(-side // step)
    for channel in range(len(ROLES)):
        for y, x in np.ndindex(min(period, number), min(period, number)):
            rows = np.arange(y * step, min((y + 1) * step, side)) % BLOCK_PX
            columns = np.arange(x * step, min((x + 1) * step, side)) % BLOCK_PX
            array[0, channel, y * step : y * step + len(rows), x * step : x * step + len(columns)] = tile[
                channel
            ][np.ix_(rows, columns)]
        for y, x in np.ndindex(number, number):
            if max(y, x) >= period:
                _link(path, array, (0, channel, y, x), (0, channel, y % period, x % period))
    return tile


def _link(path: Path, array: Any, place: tuple[int, ...], of: tuple[int, ...]) -> None:
    new, old = (path / "0" / array.metadata.encode_chunk_key(key) for key in (place, of))
    new.parent.mkdir(parents=True, exist_ok=True)
    os.link(old, new)


if __name__ == "__main__":
    main()
