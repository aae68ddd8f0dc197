"""What napari shows of one field: the raw channels, and the labels of both roles as tracks' colours.

Knows RESULTS and the plate they came from. Knows no window: each layer is (data, options, kind).
"""

import functools
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.ome_zarr import LabelPlate, open_plate
from assay.io.results import Results
from assay.labels import CELL_ROLES, ChannelRole
from assay.protocol import read_protocol
from assay.stack import FieldId
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
    """The fields whose labels RESULTS hold.

    Raises:
        ResultsError: It is no RESULTS folder, or nothing was segmented yet.
    """
    labels = Results.open(results).labels
    if not labels.is_dir():
        raise ResultsError(f"{results} has no labels yet. Run `killassay run` first.")
    return LabelPlate.open(labels).fields


def layers_of(results: Path, field: FieldId) -> list[LayerData]:
    """The layers of one field; raw channels only where the plate is still in its place.

    Scales are um; the time axis counts frames.
    """
    opened = Results.open(results)
    labels = LabelPlate.open(opened.labels)
    layers: list[LayerData] = []
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    plate = Path(opened.plate_path)
    if plate.is_dir():
        protocol = read_protocol(opened.protocol_file)
        stack = open_plate(plate).stack(field, calibration=protocol.calibration)
        scale = (1.0, *stack.calibration.pixel_um)
        film = lazy_film(stack.read, shape=stack.shape, dtype=stack.dtype)
        for role, names in protocol.channels.items():
            for name in names:
                channel = film[:, stack.channel_names.index(name)]
                options = {"name": name, "scale": scale, "colormap": _COLORMAPS[role], "blending": "additive"}
                layers.append((channel, options, "image"))
    for cell_role in CELL_ROLES:
        read = functools.partial(labels.read, field, cell_role)
        film = lazy_film(read, shape=labels.shape(field), dtype="uint32")
        layers.append((film, {"name": f"{cell_role}s", "scale": scale, "opacity": 0.4}, "labels"))
    return layers
