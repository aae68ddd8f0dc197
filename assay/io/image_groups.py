"""Making the empty groups, arrays and metadata of images and plates, all at once, before anyone writes pixels."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.errors import ImageError
from assay.io import chunks
from assay.io.layout import array_layout, pyramid_shapes, shard_frames_of
from assay.io.metadata import (
    NGFF_VERSIONS,
    Ngff,
    channel_colours,
    full_windows,
    image_attributes,
    multiscales_block,
    omero_block,
    plate_attributes,
    well_attributes,
)
from assay.io.metadata import UNFINISHED as UNFINISHED
from assay.labels import ChannelRole
from assay.stack import FieldId
from assay.units import Calibration

Shape = tuple[int, int, int, int]
_COLOUR = re.compile(r"[0-9A-Fa-f]{6}")


class ImagePlan:
    """What all images of a plate have in common."""

    def __init__(
        self,
        dtype: np.dtype[Any],
        names: tuple[str, ...],
        roles: Mapping[str, ChannelRole],
        colours: Mapping[str, str],
        ngff: Ngff,
    ) -> None:
        self.dtype, self.names, self.ngff = dtype, names, ngff
        self.colours = channel_colours(names, roles=roles, colours=colours)
        self.zarr_format: Literal[2, 3] = 2 if ngff == "0.4" else 3

    def make_plate(self, root: Path, fields: list[FieldId], name: str) -> None:
        """The plate group and its wells."""
        attributes = plate_attributes(fields, name=name, block={UNFINISHED: True}, ngff=self.ngff)
        chunks.make_group(root, "", attributes, zarr_format=self.zarr_format)
        for row in sorted({field.row for field in fields}):
            chunks.make_group(root, row, {}, zarr_format=self.zarr_format)
        for well in sorted({field.well for field in fields}):
            inside = sorted(field for field in fields if field.well == well)
            group = f"{inside[0].row}/{inside[0].column}"
            chunks.make_group(
                root, group, well_attributes(inside, ngff=self.ngff), zarr_format=self.zarr_format
            )

    def make_image(
        self, root: Path, group: str, shape: Shape, calibration: Calibration, record: Mapping[str, Any]
    ) -> None:
        """One image group and its empty arrays."""
        shapes = pyramid_shapes(shape)
        multiscales = multiscales_block(
            "tcyx",
            calibration=calibration,
            levels=len(shapes),
            ngff=self.ngff,
            name=group or "image",
            method="mean",
        )
        windows = full_windows(len(self.names), self.dtype)
        omero = omero_block(self.names, colours=self.colours, windows=windows, dtype=self.dtype)
        attributes = image_attributes(multiscales=multiscales, omero=omero, block=record, ngff=self.ngff)
        chunks.make_group(root, group, attributes, zarr_format=self.zarr_format)
        sharded = self.ngff == "0.5"
        frames = shard_frames_of(shape, itemsize=self.dtype.itemsize, sharded=sharded)
        for level, level_shape in enumerate(shapes):
            layout = array_layout(
                level_shape, itemsize=self.dtype.itemsize, sharded=sharded, shard_frames=frames
            )
            chunks.make_array(
                root,
                f"{group}/{level}".lstrip("/"),
                layout,
                dtype=self.dtype,
                axes="tcyx",
                content="image",
                zarr_format=self.zarr_format,
            )


def make_plate(root: Path, fields: Sequence[FieldId], *, name: str, ngff: Ngff) -> None:
    """Make the plate group, marked as unfinished, and its wells."""
    zarr_format: Literal[2, 3] = 2 if ngff == "0.4" else 3
    attributes = plate_attributes(fields, name=name, block={UNFINISHED: True}, ngff=ngff)
    chunks.make_group(root, "", attributes, zarr_format=zarr_format)
    for row in sorted({field.row for field in fields}):
        chunks.make_group(root, row, {}, zarr_format=zarr_format)
    for well in sorted({field.well for field in fields}):
        inside = sorted(field for field in fields if field.well == well)
        group = f"{inside[0].row}/{inside[0].column}"
        chunks.make_group(root, group, well_attributes(inside, ngff=ngff), zarr_format=zarr_format)


def per_field(fields: Sequence[FieldId], values: Any) -> dict[FieldId, Any]:
    """One value for all fields, or one each, as one each.

    Raises:
        ImageError: A field has none.
    """
    if not isinstance(values, Mapping):
        return dict.fromkeys(sorted(fields), values)
    absent = [str(field) for field in fields if field not in values]
    if absent:
        raise ImageError(f"{absent[0]}: no shape or calibration is given for this field.")
    return {field: values[field] for field in sorted(fields)}


def require_possible(
    path: Path,
    shapes: Mapping[FieldId, Shape],
    dtype: np.dtype[Any],
    names: Sequence[str],
    colours: Mapping[str, str],
    *,
    ngff: str,
    form: str,
) -> None:
    """Refuse what cannot be written.

    Raises:
        ImageError: The path exists, or a setting is impossible.
    """
    if path.exists():
        raise ImageError(f"{path} exists already. Choose another name, or delete it first.")
    if ngff not in NGFF_VERSIONS:
        raise ImageError(f"OME-Zarr version {ngff!r}: expected {' or '.join(NGFF_VERSIONS)}.")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageError(f"pixels of type {dtype} cannot be written. Expected whole numbers or floats.")
    if not shapes or (form == "image" and len(shapes) != 1):
        raise ImageError(
            f"{len(shapes)} fields were given. Expected {'one' if form == 'image' else 'at least one'}."
        )
    if len(set(names)) != len(names):
        raise ImageError(f"channel names {', '.join(names)}: two are alike. Give each its own name.")
    for field, shape in shapes.items():
        if len(shape) != 4 or min(shape) < 1 or shape[1] != len(names):
            raise ImageError(
                f"{field}: shape {tuple(shape)} with {len(names)} channel names. Expected (T, C, Y, X), all at "
                "least 1, and one name per channel."
            )
    wrong = next((colour for colour in colours.values() if not _COLOUR.fullmatch(colour)), None)
    if wrong is not None:
        raise ImageError(f"channel colour {wrong!r}: expected six hexadecimal digits, e.g. FF0000.")
