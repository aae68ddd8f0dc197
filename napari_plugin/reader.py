"""Lets napari open a RESULTS folder or an OME-Zarr plate: the first field of the plate."""

from collections.abc import Callable
from pathlib import Path

from assay.errors import ImageError, ResultsError
from assay.io.ome_zarr import open_plate as open_ome_zarr
from assay.io.results import Results
from napari_plugin.layers import Images, LayerData, layers_of

Paths = str | list[str]
Reader = Callable[[Paths], list[LayerData]]


def open_results(path: Paths) -> Reader | None:
    """Offer to read `path` if it is a RESULTS folder; None leaves it to others."""
    try:
        Results.open(_one(path))
    except ResultsError:
        return None
    return _read_results


def open_plate(path: Paths) -> Reader | None:
    """Offer to read `path` if it is an OME-Zarr plate or image; None leaves it to others."""
    try:
        open_ome_zarr(_one(path))
    except ImageError:
        return None
    return _read_plate


def _read_results(path: Paths) -> list[LayerData]:
    images = Images.open(_one(path))
    return layers_of(images, images.fields[0])


def _read_plate(path: Paths) -> list[LayerData]:
    images = Images.of_plate(_one(path))
    return layers_of(images, images.fields[0])


def _one(path: Paths) -> Path:
    return Path(path if isinstance(path, str) else path[0])
