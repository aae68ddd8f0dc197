"""Graphs of tracked cells in the Graph Exchange File Format (GEFF 1.1), a zarr group: nodes, edges, their properties.

Written and read straight, because the reference package brings a dozen others; tests read ours with that package.
Source: github.com/live-image-tracking-tools/geff-spec.

    write_graph(root, "effectors.geff", graph, metadata)
    graph, metadata = read_graph(root / "effectors.geff")
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from assay.errors import ImageError
from assay.io import chunks
from assay.io.chunk_sizes import ALWAYS_ALLOWED_BYTES, MAX_SWELLING, require_decoded_size
from assay.io.guard import METADATA_FILES, read_json, require_no_way_out, require_safe_array
from assay.io.image_info import group_attributes

VERSION = "1.1"
_READ_MAJOR = ("0", "1")
_CHUNK_ROWS = 1 << 20
_ERRORS = (RuntimeError, ValueError, TypeError, OSError, LookupError, ArithmeticError)

Values = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes and directed edges; a property that is not known is NaN."""

    ids: NDArray[np.int64]
    edges: NDArray[np.int64]  # (n, 2) of ids: from, to
    node_props: Mapping[str, Values]
    edge_props: Mapping[str, Values]


def write_graph(root: Path, path: str, graph: Graph, metadata: Mapping[str, Any]) -> None:
    """Write a graph below a zarr store, in zarr v3.

    Args:
        root: The store.
        path: Of the group in it.
        graph: What to write; floating-point properties with NaN get a list of what is missing.
        metadata: The `geff` block without version, direction and lists of properties.
    """
    block = {
        "geff_version": VERSION,
        "directed": True,
        "node_props_metadata": _described(graph.node_props),
        "edge_props_metadata": _described(graph.edge_props),
        **metadata,
    }
    chunks.make_group(root, path, {"geff": block}, zarr_format=3)
    for part, ids, props in (
        ("nodes", graph.ids, graph.node_props),
        ("edges", graph.edges, graph.edge_props),
    ):
        chunks.make_group(root, f"{path}/{part}/props", {}, zarr_format=3)
        _write(root, f"{path}/{part}/ids", ids.astype(np.uint64))
        for name, values in props.items():
            group = f"{path}/{part}/props/{name}"
            chunks.make_group(root, group, {}, zarr_format=3)
            _write(root, f"{group}/values", values)
            if values.dtype.kind == "f" and np.isnan(values).any():
                _write(root, f"{group}/missing", np.isnan(values))


def is_geff(folder: Path) -> bool:
    """Whether a folder is the group of a GEFF graph."""
    if not any((folder / name).is_file() for name in ("zarr.json", ".zattrs")):
        return False
    return isinstance(group_attributes(folder, str(folder)).get("geff"), Mapping)


def read_graph(folder: Path) -> tuple[Graph, Mapping[str, Any]]:
    """Read a graph and its `geff` block, zarr v2 or v3; properties of text or of several values are left out.

    Raises:
        ImageError: It is none, damaged, not directed, of another version, or an id stands twice or nowhere.
    """
    block = group_attributes(folder, str(folder)).get("geff")
    if not isinstance(block, Mapping):
        raise ImageError(f"{folder} is no GEFF graph. Expected a zarr group with `geff` in its attributes.")
    version = str(block.get("geff_version", ""))
    if version.split(".")[0] not in _READ_MAJOR:
        raise ImageError(f"{folder}: GEFF version {version or 'none'} is not read. Expected 1.x.")
    if block.get("directed") is not True:
        raise ImageError(
            f"{folder}: the graph is not directed, so it does not say what comes before what. Save it as a directed graph."
        )
    ids = _whole(folder, _read(folder, "nodes/ids"), "nodes/ids", 1)
    edges = _whole(folder, _read(folder, "edges/ids"), "edges/ids", 2).reshape(-1, 2)
    known, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ImageError(f"{folder}: the node {known[counts > 1][0]} stands twice. Expected every id once.")
    lost = np.setdiff1d(edges, known)
    if len(lost):
        raise ImageError(f"{folder}: an edge names the node {lost[0]}, which is not there.")
    graph = Graph(
        ids=ids,
        edges=edges,
        node_props=_props(folder, "nodes", len(ids), block.get("node_props_metadata")),
        edge_props=_props(folder, "edges", len(edges), block.get("edge_props_metadata")),
    )
    return graph, block


def _described(props: Mapping[str, Values]) -> dict[str, Any]:
    return {
        name: {"identifier": name, "dtype": values.dtype.name, "varlength": False}
        | ({"unit": unit} if (unit := _unit(name)) else {})
        for name, values in props.items()
    }


def _unit(name: str) -> str | None:
    units = {"_um": "micrometer", "_um2": "square micrometer", "_min": "minute", "_px": "pixel"}
    return next((unit for ending, unit in units.items() if name.endswith(ending)), None)


def _write(root: Path, path: str, values: Values) -> None:
    shape = tuple(max(1, min(size, _CHUNK_ROWS)) for size in values.shape)
    array = zarr.create_array(
        str(root),
        name=path,
        shape=values.shape,
        chunks=shape,
        dtype=values.dtype,
        compressors=(ZstdCodec(level=3, checksum=True),),
        fill_value=False if values.dtype.kind == "b" else 0,
        zarr_format=3,
    )
    if values.size:
        array[:] = values


def _read(folder: Path, path: str) -> Values:
    empty = _empty(folder / path)
    if empty is not None:
        return empty
    _require_whole(folder, path)
    try:
        return np.asarray(zarr.open_array(str(folder), path=path, mode="r")[...])
    except _ERRORS as error:
        raise ImageError(f"{folder}: {path} cannot be read ({error}).") from error


def _require_whole(folder: Path, path: str) -> None:
    """An array is read at once: it must lie in the store, and hold about what it says."""
    safe = require_safe_array(folder / path, f"{folder}, {path}")
    require_no_way_out(folder, folder / path, str(folder))
    stored = 0
    for file in (folder / path).rglob("*"):
        if file.is_file() and file.name not in METADATA_FILES:
            require_decoded_size(file, safe.coding, file.name, f"{folder}, {path}")
            stored += file.stat().st_size
    size = math.prod(safe.shape) * 8
    if size > ALWAYS_ALLOWED_BYTES and size > MAX_SWELLING * stored:
        raise ImageError(
            f"{folder}: {path} speaks of {safe.shape} values, which are not in its {stored} bytes."
        )


def _empty(folder: Path) -> Values | None:
    """The values of an array of size 0, of which nothing is stored."""
    name = next((name for name in ("zarr.json", ".zarray") if (folder / name).is_file()), None)
    shape = read_json(folder / name, str(folder)).get("shape") if name else None
    if isinstance(shape, list) and 0 in shape and all(size in (0, 2) for size in shape):
        return np.zeros(shape, dtype=np.int64)
    return None


def _whole(folder: Path, values: Values, path: str, axes: int) -> NDArray[np.int64]:
    if values.dtype.kind not in "iu" or values.ndim != axes or (axes == 2 and values.shape[1] != 2):
        raise ImageError(
            f"{folder}: {path} has shape {values.shape} of {values.dtype}. Expected whole numbers, one per node or two per edge."
        )
    return values.astype(np.int64)


def _props(folder: Path, part: str, n: int, described: Any) -> dict[str, Values]:
    """Properties that are one number each."""
    found: dict[str, Values] = {}
    for name, about in described.items() if isinstance(described, Mapping) else ():
        one_number = (
            isinstance(about, Mapping) and not about.get("varlength") and _is_numeric(about.get("dtype"))
        )
        if (
            not one_number
            or Path(name).name != name
            or not (folder / part / "props" / name / "values").is_dir()
        ):
            continue
        values = _read(folder, f"{part}/props/{name}/values")
        if len(values) != n:
            raise ImageError(f"{folder}: {part}/props/{name} has {len(values)} values, expected {n}.")
        if (folder / part / "props" / name / "missing").is_dir() and values.dtype.kind in "iuf":
            missing = _read(folder, f"{part}/props/{name}/missing").astype(bool)
            values = np.where(missing, np.nan, values.astype(np.float64)) if missing.any() else values
        if values.ndim == 1:
            found[name] = values
    return found


def _is_numeric(dtype: Any) -> bool:
    return isinstance(dtype, str) and dtype.startswith(("int", "uint", "float", "bool"))
