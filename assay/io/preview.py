"""The small images beside labels, that let them be looked at without the raw data."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.io import chunks
from assay.io.layout import ArrayLayout
from assay.io.metadata import channel_colours, full_windows, image_attributes, multiscales_block, omero_block
from assay.labels import ChannelRole
from assay.stack import FieldId
from assay.units import Calibration

PREVIEW_PX = 256
"""A preview's longer side is this or less."""

FrameShape = tuple[int, int, int]


class PreviewPlan:
    """What all previews of a plate have in common."""

    def __init__(
        self,
        names: Sequence[str],
        roles: Mapping[str, ChannelRole],
        windows: Mapping[str, tuple[float, float]],
        dtype: np.dtype[Any],
    ) -> None:
        colours = channel_colours(names, roles=roles, colours={})
        full = full_windows(len(names), dtype)
        shown = [windows.get(name, whole) for name, whole in zip(names, full, strict=True)]
        self.names, self.dtype = tuple(names), dtype
        self.omero = omero_block(names, colours=colours, windows=shown, dtype=dtype)

    def make(
        self,
        root: Path,
        field: FieldId,
        shape: FrameShape,
        calibration: Calibration,
        *,
        levels: int,
        shard_frames: int,
    ) -> None:
        """One preview image, of as many levels as its labels have (validators ask for it)."""
        shrink = shrink_factor(shape)
        multiscales = multiscales_block(
            "tcyx",
            calibration=calibration,
            levels=levels,
            ngff="0.5",
            name="preview",
            method="mean",
            shrink=shrink,
        )
        record = {"preview_of_px": list(shape[1:]), "shrink": shrink}
        attributes = image_attributes(multiscales=multiscales, omero=self.omero, block=record, ngff="0.5")
        chunks.make_group(root, field.path, attributes, zarr_format=3)
        small = tuple(math.ceil(size / shrink) for size in shape[1:])
        for level in range(levels):
            channels = len(self.names)  # one shard holds all: the preview is small, files are dear
            layout = ArrayLayout(
                shape=(shape[0], channels, *small),
                chunks=(1, 1, *small),
                shards=(shard_frames, channels, *small),
            )
            chunks.make_array(
                root,
                f"{field.path}/{level}",
                layout,
                dtype=self.dtype,
                axes="tcyx",
                content="image",
                zarr_format=3,
            )
            small = tuple(math.ceil(size / 2) for size in small)


def shrink_factor(shape: FrameShape) -> int:
    """By how much a preview is smaller than the images."""
    factor = 1
    while max(shape[1:]) > PREVIEW_PX * factor:
        factor *= 2
    return factor


def shrink(images: NDArray[Any], factor: int) -> NDArray[Any]:
    """Mean over factor x factor pixels; edges are repeated."""
    extra = [(0, 0), (0, 0), *((0, -size % factor) for size in images.shape[2:])]
    padded = np.pad(images, extra, mode="edge") if any(e for _, e in extra) else images
    t, c, height, width = padded.shape
    parts = padded.reshape(t, c, height // factor, factor, width // factor, factor)
    mean: Any = parts.mean(axis=(3, 5), dtype=np.float64)
    small: NDArray[Any] = (mean if images.dtype.kind == "f" else np.floor(mean + 0.5)).astype(images.dtype)
    return small
