"""Plates of any size for the benchmarks, made quickly: one simulated film, mirrored to fill the field.

Density, sharpness, noise and motion are those of the simulator; only the time to make it does not grow with the
size of the frame or the number of wells. Fields of a plate are that film, turned over.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.io.ome_zarr import PlateWriter
from assay.simulate.film import simulate_film
from assay.simulate.plate import SimulatedWell, protocol_of
from assay.simulate.scenario import scenario_named
from assay.stack import FieldId

TILE_PX = 512
COLUMNS = 12


def write_plate(
    path: Path, *, wells: int, fields: int, frames: int, size_px: tuple[int, int], seed: int = 5
) -> Path:
    """Write a plate of the standard scenario and its protocol beside it.

    Returns:
        The protocol file.
    """
    side_y, side_x = (min(TILE_PX, side) for side in size_px)
    scenario = replace(scenario_named("adherent_standard"), shape_px=(side_y, side_x), n_frames=frames)
    film = simulate_film(scenario, seed=seed, kind="sample", n_frames=frames)
    names = [f"{chr(ord('A') + number // COLUMNS)}{number % COLUMNS + 1:02d}" for number in range(wells)]
    places = [FieldId(name, field) for name in names for field in range(fields)]
    with PlateWriter.create(
        path,
        fields=places,
        shapes=(frames, len(scenario.channels), *size_px),
        dtype=np.uint16,
        channel_names=scenario.channel_names,
        channel_roles={name: role for role, name in scenario.channels},
        calibration=scenario.calibration,
    ) as writer:
        step = writer.shard_frames(places[0])
        for first in range(0, frames, step):
            tiles = [film.images(frame) for frame in range(first, min(first + step, frames))]
            run = np.stack([_mirrored(tile, size_px) for tile in tiles])
            for number, place in enumerate(places):
                writer.write(place, first, _turned(run, number))
    layout = [SimulatedWell(well=name, kind="sample") for name in names]
    protocol = path.with_suffix(".toml")
    protocol.write_text(protocol_of(scenario, layout).to_toml(), encoding="utf-8")
    return protocol


def _mirrored(tile: NDArray[np.uint16], size_px: tuple[int, int]) -> NDArray[np.uint16]:
    extra = [(0, 0), *((0, size - side) for size, side in zip(size_px, tile.shape[1:], strict=True))]
    return np.pad(tile, extra, mode="symmetric")


def _turned(run: NDArray[np.uint16], number: int) -> NDArray[np.uint16]:
    rows = slice(None, None, -1) if number % 2 else slice(None)
    columns = slice(None, None, -1) if number // 2 % 2 else slice(None)
    return np.ascontiguousarray(run[:, :, rows, columns])
