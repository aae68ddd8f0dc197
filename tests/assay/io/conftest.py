"""Small plates on disk, made by our own writer or as other programs make them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.io.ome_zarr import PlateWriter
from assay.stack import FieldId
from assay.units import Calibration

B02 = FieldId("B02", 0)
NAMES = ("CTDR", "GFP")
FOUR_MINUTES = Calibration(pixel_um=(0.65, 0.5), frame_min=4.0)
METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}


def noisy(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    """Pictures with structure and camera noise, nowhere black."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    light = 200 + 100 * np.sin(x / 9) + 50 * np.cos(y / 7)
    return (np.random.default_rng(seed).poisson(light, shape) + 1).astype(np.uint16)


def chunk_files(array: Path) -> list[Path]:
    """Files of an array that hold pixels."""
    return sorted(file for file in array.rglob("*") if file.is_file() and file.name not in METADATA)


@pytest.fixture
def write_plate(tmp_path: Path) -> Callable[..., Path]:
    """Write images {field: (T, C, Y, X)} as a plate and return its path."""

    def write(images: dict[FieldId, NDArray[Any]], *, name: str = "plate.zarr", **settings: Any) -> Path:
        first = next(iter(images.values()))
        settings = {"channel_names": NAMES[: first.shape[1]], "calibration": FOUR_MINUTES, **settings}
        shapes = {field: frames.shape for field, frames in images.items()}
        path = tmp_path / name
        with PlateWriter.create(
            path, fields=list(images), shapes=shapes, dtype=first.dtype, **settings
        ) as writer:
            for field, frames in images.items():
                for start in writer.shard_starts(field):
                    writer.write(field, start, frames[start : start + writer.shard_frames(field)])
        return path

    return write
