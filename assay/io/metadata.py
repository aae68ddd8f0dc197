"""OME-Zarr metadata as we write it, 0.5 and 0.4, checked by the models of ome-zarr-models before it is written.

Pure dictionaries in and out; no files.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np

from assay._version import __version__
from assay.labels import ChannelRole
from assay.stack import FieldId
from assay.units import Calibration

Ngff = Literal["0.5", "0.4"]
NGFF_VERSIONS: tuple[Ngff, ...] = ("0.5", "0.4")
BLOCK = "killassay"
"""Our own attribute block, beside OME's, for what OME-Zarr cannot hold."""
UNFINISHED = "being_written"
"""In our attribute block while a plate is being written; readers refuse it."""

ROLE_COLOURS: dict[ChannelRole, str] = {
    "effector": "FFFF00",
    "target": "FF0000",
    "nuclei": "4080FF",
    "death": "00FFFF",
    "brightfield": "FFFFFF",
}
_OTHER_COLOURS = ("00FF00", "FF00FF", "FF8000", "8080FF")
_TRANSMITTED = re.compile(r"bright.?field|phase|trans|dic\b|\bbf\b|\bph\d?\b", re.IGNORECASE)
_AXES: dict[str, dict[str, str]] = {
    "t": {"name": "t", "type": "time", "unit": "second"},
    "c": {"name": "c", "type": "channel"},
    "y": {"name": "y", "type": "space", "unit": "micrometer"},
    "x": {"name": "x", "type": "space", "unit": "micrometer"},
}


def channel_colours(
    names: Sequence[str], *, roles: Mapping[str, ChannelRole], colours: Mapping[str, str]
) -> list[str]:
    """The colour of each channel: the given one, else its role's, else a fixed one by its place."""
    chosen = []
    for index, name in enumerate(names):
        if name in colours:
            chosen.append(colours[name])
        elif name in roles:
            chosen.append(ROLE_COLOURS[roles[name]])
        elif _TRANSMITTED.search(name):
            chosen.append(ROLE_COLOURS["brightfield"])
        else:
            chosen.append(_OTHER_COLOURS[index % len(_OTHER_COLOURS)])
    return chosen


def omero_block(
    names: Sequence[str],
    *,
    colours: Sequence[str],
    windows: Sequence[tuple[float, float]],
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Channel names, colours and display windows."""
    low, high = (0.0, 1.0)
    if dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    channels = [
        {
            "label": name,
            "color": colour,
            "active": True,
            "coefficient": 1,
            "family": "linear",
            "inverted": False,
            "window": {"min": min(low, start), "max": max(high, end), "start": start, "end": end},
        }
        for name, colour, (start, end) in zip(names, colours, windows, strict=True)
    ]
    return {"channels": channels, "rdefs": {"model": "color", "defaultT": 0, "defaultZ": 0}}


def full_windows(n_channels: int, dtype: np.dtype[Any]) -> list[tuple[float, float]]:
    """Windows over all values, until the data is there to choose better ones."""
    high = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
    return [(0.0, high)] * n_channels


def multiscales_block(
    axes: str, *, calibration: Calibration, levels: int, ngff: Ngff, name: str, method: str, shrink: int = 1
) -> list[dict[str, Any]]:
    """Axes, units and the scale of each pyramid level; level 0 has pixels `shrink` times the calibration's.

    A film without frame interval has a time axis without unit, which says that nothing is known.
    """
    described = [dict(_AXES[axis]) for axis in axes]
    if calibration.frame_min is None:
        for axis in described:
            if axis["name"] == "t":
                del axis["unit"]
    datasets = []
    for level in range(levels):
        size = {
            "t": 1.0 if calibration.frame_min is None else calibration.frame_min * 60,
            "c": 1.0,
            "y": calibration.pixel_um[0] * shrink * 2**level,
            "x": calibration.pixel_um[1] * shrink * 2**level,
        }
        scale = {"type": "scale", "scale": [float(size[axis]) for axis in axes]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    block: dict[str, Any] = {"name": name, "axes": described, "datasets": datasets, "type": method}
    return [{"version": "0.4", **block} if ngff == "0.4" else block]


def image_attributes(
    *, multiscales: list[dict[str, Any]], omero: dict[str, Any], block: Mapping[str, Any], ngff: Ngff
) -> dict[str, Any]:
    """Attributes of an image group."""
    if ngff == "0.4":
        flat: dict[str, Any] = {"multiscales": multiscales, "omero": {"version": "0.4", **omero}}
        _validate(ngff, "image", "ImageAttrs", flat)
        return {**flat, BLOCK: dict(block)}
    ome = {"version": "0.5", "multiscales": multiscales, "omero": {"version": "0.5", **omero}}
    _validate(ngff, "image", "ImageAttrs", ome)
    return {"ome": ome, BLOCK: dict(block)}


def label_attributes(*, multiscales: list[dict[str, Any]], ngff: Ngff) -> dict[str, Any]:
    """Attributes of a label image group."""
    ome: dict[str, Any] = {
        "multiscales": multiscales,
        "image-label": {"version": ngff, "source": {"image": "../../"}},
    }
    if ngff == "0.4":
        _validate(ngff, "image_label", "ImageLabelAttrs", ome)
        return ome
    ome = {"version": "0.5", **ome}
    _validate(ngff, "image_label", "ImageLabelAttrs", ome)
    return {"ome": ome}


def labels_attributes(names: Sequence[str], *, ngff: Ngff) -> dict[str, Any]:
    """Attributes of the group that holds the label images."""
    return {"labels": list(names)} if ngff == "0.4" else {"ome": {"version": "0.5", "labels": list(names)}}


def plate_attributes(
    fields: Sequence[FieldId], *, name: str, block: Mapping[str, Any], ngff: Ngff
) -> dict[str, Any]:
    """Attributes of the plate group."""
    rows = sorted({field.row for field in fields}, key=lambda row: (len(row), row))
    columns = sorted({field.column for field in fields})
    wells = sorted({field.well: field for field in reversed(fields)}.values())
    counts = [sum(other.well == field.well for other in fields) for field in wells]
    plate: dict[str, Any] = {
        "version": ngff,
        "name": name,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "field_count": max(counts),
        "wells": [
            {
                "path": f"{field.row}/{field.column}",
                "rowIndex": rows.index(field.row),
                "columnIndex": columns.index(field.column),
            }
            for field in wells
        ],
    }
    _validate(ngff, "plate", "Plate", plate)
    ome: dict[str, Any] = {"plate": plate} if ngff == "0.4" else {"ome": {"version": "0.5", "plate": plate}}
    return {**ome, BLOCK: {"writer": f"killassay {__version__}", **block}}


def well_attributes(fields: Sequence[FieldId], *, ngff: Ngff) -> dict[str, Any]:
    """Attributes of a well group."""
    well = {"version": ngff, "images": [{"path": str(field.field)} for field in fields]}
    _validate(ngff, "well_types", "WellMeta", well)
    return {"well": well} if ngff == "0.4" else {"ome": {"version": "0.5", "well": well}}


def _validate(ngff: Ngff, module: str, model: str, attributes: Mapping[str, Any]) -> None:
    """Whatever the models refuse here is our bug, not the user's. Loading them takes a second: only who writes does."""
    version = "v04" if ngff == "0.4" else "v05"
    models = import_module(f"ome_zarr_models.{version}.{module}")
    getattr(models, model).model_validate(dict(attributes))
