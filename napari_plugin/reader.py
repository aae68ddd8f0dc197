"""Lets napari open a RESULTS folder: the first field of the plate."""

from collections.abc import Callable
from pathlib import Path

from assay.errors import ResultsError
from assay.io.results import Results
from napari_plugin.layers import LayerData, fields_of, layers_of


def open_results(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Offer to read `path` if it is a RESULTS folder; None leaves it to others."""
    folder = _one(path)
    try:
        Results.open(folder)
    except ResultsError:
        return None
    return _read


def _read(path: str | list[str]) -> list[LayerData]:
    results = _one(path)
    return layers_of(results, fields_of(results)[0])


def _one(path: str | list[str]) -> Path:
    return Path(path if isinstance(path, str) else path[0])
