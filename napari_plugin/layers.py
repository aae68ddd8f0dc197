"""What napari shows of one field: the raw channels, and the labels of both roles as tracks' colours.

Knows RESULTS and the plate they came from. Knows no window: each layer is (data, options, kind).
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ResultsError
from assay.io.ome_zarr import LabelPlate, MissingChunks, open_plate
from assay.io.results import Results
from assay.labels import CELL_ROLES, ChannelRole
from assay.protocol import read_protocol
from assay.stack import FieldId, Stack
from napari_plugin.lazy import lazy_film

LayerData = tuple[Any, dict[str, Any], str]

_COLORMAPS: dict[ChannelRole, str] = {
    "effector": "yellow",
    "target": "red",
    "nuclei": "bop blue",
    "death": "cyan",
    "brightfield": "gray",
}


def fields_of(results: Path) -> tuple[FieldId, ...]:
    """The fields whose labels RESULTS hold, those that were not run or failed left out.

    Raises:
        ResultsError: It is no RESULTS folder, or nothing was segmented yet.
    """
    opened = Results.open(results)
    written = {record.unit.rpartition("_")[0] for record in opened.ledger.records("labels")}
    if not written or not opened.labels.is_dir():
        raise ResultsError(f"{results} has no labels yet. Run `killassay run` first.")
    return tuple(
        field for field in LabelPlate.open(opened.labels).fields if f"{field.well}_{field.field}" in written
    )


def layers_of(results: Path, field: FieldId) -> list[LayerData]:
    """The layers of one field; raw channels only where the plate is still in its place.

    Scales are um; the time axis counts frames. A frame that was never recorded shows as black.
    """
    opened = Results.open(results)
    labels = LabelPlate.open(opened.labels)
    layers: list[LayerData] = []
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    plate = Path(opened.plate_path)
    if plate.is_dir():
        protocol = read_protocol(opened.protocol_file)
        policy: MissingChunks = "mask" if protocol.input.missing_chunks == "mask" else "fail"
        stack = open_plate(plate).stack(field, calibration=protocol.calibration, missing_chunks=policy)
        scale = (1.0, *stack.calibration.pixel_um)
        n_frames, _, *plane = stack.shape
        for role, names in protocol.channels.items():
            for name in names:
                read_one = functools.partial(_read_channel, stack, stack.channel_names.index(name))
                channel = lazy_film(read_one, shape=(n_frames, *plane), dtype=stack.dtype)
                options = {"name": name, "scale": scale, "colormap": _COLORMAPS[role], "blending": "additive"}
                layers.append((channel, options, "image"))
    for cell_role in CELL_ROLES:
        read = functools.partial(labels.read, field, cell_role)
        film = lazy_film(read, shape=labels.shape(field), dtype="uint32")
        layers.append((film, {"name": f"{cell_role}s", "scale": scale, "opacity": 0.4}, "labels"))
    return layers


def _read_channel(stack: Stack, channel: int, frames: Sequence[int]) -> NDArray[Any]:
    """One channel of some frames, (t, Y, X)."""
    if stack.missing_frames.isdisjoint(frames):
        return stack.read(frames, [channel])[:, 0]
    there = [place for place, frame in enumerate(frames) if frame not in stack.missing_frames]
    images = np.zeros((len(frames), *stack.shape[2:]), dtype=stack.dtype)
    if there:
        images[there] = stack.read([frames[place] for place in there], [channel])[:, 0]
    return images
