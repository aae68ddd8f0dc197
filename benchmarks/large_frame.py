"""A film of frames of 30,000 x 30,000 pixels through the whole of `killassay run`: peak memory, and what each step took.

    python -m benchmarks.large_frame [--side 30000] [--frames 2] [--every-block] [--folder DIR] [--json F]

Each frame repeats every 1024 px, which is a block of `models.large_frames`; so equal windows have equal maps, and these
are kept on disk and read again instead of computed: the network runs in some 16 of 900 blocks, with the same memory in
each. `--every-block` computes all of them. All else is done for every pixel: light, brightness, previews, decoding, scores,
measures of three channels, touching pairs, label images with their pyramids, tracks, contacts, deaths, kills and the
report with its film strips. The cells of blocks that lie far from the frame's edge must all be alike, and are compared.
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
from assay.io.layout import array_layout
from assay.io.metadata import channel_colours, full_windows, image_attributes, multiscales_block, omero_block
from assay.simulate.film import simulate_film
from assay.simulate.scenario import scenario_named
from assay.units import Calibration
from benchmarks.measuring import measured
from models.large_frames import BLOCK_PX

ROLES = ("effector", "target", "death")
CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=5.0)
TILE_PX = 512
MEGA = 1e6
GIGA = 1e9


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=30_000)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--every-block", action="store_true", help="let the network look at every block")
    parser.add_argument("--folder", type=Path, help="where images and results lie meanwhile")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="killassay-large-", dir=given.folder))
    try:
        write_film(folder / "film.zarr", given.side, given.frames)
        how = ["--every-block"] if given.every_block else []
        cost = measured("benchmarks.large_frame_job", folder, *how)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, Any] = {
        "side": given.side,
        "frames": given.frames,
        **cost.report,
        "peak_bytes": cost.peak_bytes,
    }
    print(page(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def page(figures: dict[str, Any]) -> str:
    """The figures as text."""
    size = len(ROLES) * 2 * figures["side"] ** 2 * figures["frames"] / GIGA
    lines = [
        f"{figures['frames']} frames of {figures['side']} x {figures['side']} px, {len(ROLES)} channels of 16 bits: {size:.1f} GB",
        f"peak memory {figures['peak_bytes'] / MEGA:.0f} MB, of which before the first frame {figures['start_bytes'] / MEGA:.0f} MB",
        ", ".join(f"{number} {name}" for name, number in figures["found"].items()),
        f"blocks: {figures['blocks']}, of which through the network {figures['computed']}; "
        f"inner blocks alike: {figures['alike']} of {figures['inner']}",
    ]
    lines += [
        f"{step:<20}{cost['seconds']:8.1f} processor s, peak until then {cost['peak_bytes'] / MEGA:.0f} MB"
        for step, cost in figures["steps"].items()
    ]
    return "\n".join(lines)


def write_film(path: Path, side: int, n_frames: int) -> None:
    """Write an OME-Zarr image whose frames repeat every `BLOCK_PX`; equal shards are one file with several names."""
    scenario = scenario_named("adherent_standard")
    film = simulate_film(scenario, seed=505, n_frames=n_frames)
    order = [next(n for n, (role, _) in enumerate(scenario.channels) if role == wanted) for wanted in ROLES]
    _write_metadata(path)
    shape = (n_frames, len(ROLES), side, side)
    layout = array_layout(shape, itemsize=2, sharded=True, shard_frames=1)
    chunks.make_array(
        path, "0", layout, dtype=np.dtype(np.uint16), axes="tcyx", content="image", zarr_format=3
    )
    array = chunks.open_for_writing(path, "0")
    for frame in range(n_frames):
        tile = _tile(film.images(frame)[order][:, :TILE_PX, :TILE_PX], seed=frame)
        for channel in range(len(ROLES)):
            _write_plane(path, array, (frame, channel), tile[channel])


def _write_metadata(path: Path) -> None:
    dtype = np.dtype(np.uint16)
    multiscales = multiscales_block(
        "tcyx", calibration=CALIBRATION, levels=1, ngff="0.5", name="film", method="mean"
    )
    omero = omero_block(
        ROLES,
        colours=channel_colours(ROLES, roles={}, colours={}),
        windows=full_windows(len(ROLES), dtype),
        dtype=dtype,
    )
    attributes = image_attributes(multiscales=multiscales, omero=omero, block={}, ngff="0.5")
    chunks.make_group(path, "", attributes, zarr_format=3)


def _tile(small: NDArray[np.uint16], *, seed: int) -> NDArray[np.uint16]:
    """(C, `BLOCK_PX`, `BLOCK_PX`): what is repeated, every second part of it without cells."""
    times = BLOCK_PX // TILE_PX
    tile = np.tile(small, (1, times, times))
    dark, generator = np.percentile(small, 5, axis=(1, 2)), np.random.default_rng((5, seed))
    for y, x in np.ndindex(times, times):
        if (y + x) % 2:  # about as many cells as the frames of `benchmarks.decoding` have
            noise = generator.poisson(dark[:, None, None], small.shape)
            tile[:, y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX] = noise
    return tile


def _write_plane(path: Path, array: Any, place: tuple[int, int], tile: NDArray[np.uint16]) -> None:
    side, step = array.shape[2], chunks.file_shape(array)[2]
    period = int(np.lcm(step, BLOCK_PX)) // step  # shards after which all repeats
    number = -(-side // step)
    for y, x in np.ndindex(number, number):
        here = (*place, y, x)
        whole = max(y, x) < number - 1 or side % step == 0
        if max(y, x) >= period and whole:
            _link(path, array, here, (*place, y % period, x % period))
            continue
        rows = np.arange(y * step, min((y + 1) * step, side)) % BLOCK_PX
        columns = np.arange(x * step, min((x + 1) * step, side)) % BLOCK_PX
        array[*place, y * step : y * step + len(rows), x * step : x * step + len(columns)] = tile[
            np.ix_(rows, columns)
        ]


def _link(path: Path, array: Any, place: tuple[int, ...], of: tuple[int, ...]) -> None:
    new, old = (path / "0" / array.metadata.encode_chunk_key(key) for key in (place, of))
    new.parent.mkdir(parents=True, exist_ok=True)
    os.link(old, new)


if __name__ == "__main__":
    main()
