"""Small plates with plain blobs for cells, quick to write and to run; for everything but accuracy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.io.metadata import Ngff
from assay.io.ome_zarr import PlateWriter
from assay.labels import ChannelRole
from assay.stack import FieldId
from assay.units import Calibration

HEIGHT, WIDTH = 72, 96
CHANNELS: dict[str, ChannelRole] = {"CTDR": "effector", "GFP": "target", "PI": "death"}
CALIBRATION = Calibration(pixel_um=(1.0, 1.0), frame_min=5.0)
PROTOCOL = """
[channels]
effector = "CTDR"
target = "GFP"
death = "PI"
[[condition]]
name = "CAR-T"
wells = ["B02"]
[[condition]]
name = "targets alone"
wells = ["C02"]
kind = "target_only"
"""
_TARGETS = [(18, 20), (18, 60), (50, 30), (52, 72)]
_DEATH_FRAME = 12  # of the first target, in wells with effectors


def film(n_frames: int, *, effectors: bool = True, targets: bool = True, seed: int = 3) -> NDArray[np.uint16]:
    """(T, C, Y, X): four targets that stay, two effectors that wander, one death under an effector."""
    rng = np.random.Generator(np.random.PCG64(seed))
    images = rng.normal(200, 6, (n_frames, len(CHANNELS), HEIGHT, WIDTH))
    for frame in range(n_frames):
        for place in _TARGETS if targets else []:
            images[frame, 1] += _blob(place, 8.0, 900)
        if effectors:
            images[frame, 0] += _blob((18, 36 - min(frame, 8)), 4.5, 800)
            images[frame, 0] += _blob((40, 10 + 2 * frame % 80), 4.5, 800)
        if effectors and targets and frame >= _DEATH_FRAME:
            rise = 1 - np.exp(-(frame - _DEATH_FRAME + 1) / 2)
            images[frame, 2] += rise * _blob(_TARGETS[0], 7.0, 1500)
    return np.clip(np.rint(images), 0, 65535).astype(np.uint16)


def write_small_plate(
    path: Path,
    films: Mapping[str, NDArray[np.uint16]],
    *,
    calibration: Calibration = CALIBRATION,
    channel_names: Sequence[str] = tuple(CHANNELS),
    missing_frames: Mapping[FieldId, Sequence[int]] | None = None,
    ngff: Ngff = "0.5",
) -> Path:
    """A plate with one field per well."""
    fields = {FieldId(well, 0): images for well, images in films.items()}
    with PlateWriter.create(
        path,
        fields=list(fields),
        shapes={field: images.shape for field, images in fields.items()},
        dtype=np.uint16,
        channel_names=channel_names,
        channel_roles=CHANNELS,
        calibration=calibration,
        missing_frames=missing_frames,
        ngff=ngff,
    ) as writer:
        for field, images in fields.items():
            for first in writer.shard_starts(field):
                writer.write(field, first, images[first : first + writer.shard_frames(field)])
    return path


def _blob(place: tuple[int, int], radius: float, height: float) -> NDArray[np.float64]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(y - place[0], x - place[1])
    return height / (1 + np.exp((away - radius) / 0.8))
