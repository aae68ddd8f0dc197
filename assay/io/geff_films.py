"""GEFF graphs of this program and of others -> films of tracked cells, with the label images that they speak of."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.errors import ImageError
from assay.io.checked import CheckedArray
from assay.io.geff_graphs import Graph, is_geff, read_graph
from assay.io.guard import read_json
from assay.io.image_info import group_attributes, ome_of
from assay.io.label_films import FilmShape, LabelFilm, values_of
from assay.io.lineage_films import LineageFilm
from assay.labels import CellRole
from assay.stack import FieldId, well_name
from assay.units import Calibration

RECORD = "killassay"
_DEPTH = 3  # folders below the one given in which graphs are looked for


class GeffFilm:
    """Label images of a graph, made into track ids by its nodes; opened when it is read."""

    def __init__(self, graph: Path, labels: Path, keys: NDArray[np.int64], tracks: NDArray[np.int64]) -> None:
        self.graph, self.folder = graph, labels
        self._keys, self._tracks = keys, tracks  # (frame << 32 | label), sorted -> track id

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Track ids: (len(frames), Y, X).

        Raises:
            ImageError: A chunk is damaged, or a label has no node.
        """
        array = self._opened()
        images = array.read_sparse(list(frames), None)
        return np.stack([self._tracked(frame, image) for frame, image in zip(frames, images, strict=True)])

    @property
    def shape(self) -> FilmShape:
        """(T, Y, X)."""
        array = self._opened()
        return array.size("t"), array.size("y"), array.size("x")

    def _opened(self) -> CheckedArray:
        return CheckedArray(self.folder.parent, self.folder.name, where=str(self.graph), axes="tyx")

    def _tracked(self, frame: int, image: NDArray[Any]) -> NDArray[np.int64]:
        values, spread = values_of(image)
        keys = (frame << 32) | values
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        known = self._keys[place] == keys if len(self._keys) else np.zeros(len(keys), dtype=bool)
        if (~known & (values != 0)).any():
            odd = values[~known & (values != 0)][0]
            raise ImageError(
                f"{self.graph}, frame {frame}: label {odd} has no node in the graph. Expected a node for every cell that is "
                "drawn; erase the others, or leave --labels-tracked out and give the label images alone."
            )
        tracks = np.zeros(len(values), dtype=np.int64)
        tracks[known] = self._tracks[place[known]]
        return spread(tracks)


def find_geffs(path: Path) -> list[Path]:
    """The folder itself, if it is a graph, or the graphs below it, sorted."""
    return sorted(_below(path, _DEPTH))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if is_geff(folder):
        yield folder
        return
    if depth and folder.is_dir() and not _is_ome(folder):
        for inner in folder.iterdir():
            if inner.is_dir() and inner.name != "labels" and not inner.name.isdigit():
                yield from _below(inner, depth - 1)


def _is_ome(folder: Path) -> bool:
    """A plate or image has no graphs of ours, and thousands of folders."""
    if not any((folder / name).is_file() for name in ("zarr.json", ".zattrs")):
        return False
    ome = ome_of(group_attributes(folder, str(folder)), str(folder))
    return "plate" in ome or "multiscales" in ome


def place_of(folder: Path) -> tuple[FieldId, CellRole] | None:
    """Which field and role the graph says it shows; only killassay's own say so."""
    record = _record(group_attributes(folder, str(folder)).get("geff", {}))
    try:
        role = record["role"]
        return (
            (FieldId(well_name(str(record["well"])), int(record["field"])), role)
            if role
            in (
                "effector",
                "target",
            )
            else None
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_geff(folder: Path, *, role: CellRole | None = None, place: FieldId | None = None) -> LineageFilm:
    """Read a graph; what it does not say itself is taken from the arguments.

    Raises:
        ImageError: It is damaged, has no time axis, merges tracks, or its label images are not there.
        TableError: A track is twice in a frame, or a daughter begins before her mother ends.
    """
    graph, block = read_graph(folder)
    said = place_of(folder)
    time, centre = _axes(folder, block, graph)
    frames = _frames(folder, graph.node_props[time])
    tracks, parents = _tracks(folder, graph, frames, block)
    order = np.lexsort((tracks, frames))
    cells: Table = {"frame": frames[order], "track_id": tracks[order]}
    for name, values in graph.node_props.items():
        if name not in (time, "track_id", "is_effector"):
            cells[centre.get(name, name)] = values[order]
    film = _film(folder, block, graph, frames, tracks)
    record = _record(block)
    shape = film.shape if film else tuple(record.get("shape") or (int(frames.max(initial=-1)) + 1, 0, 0))
    return LineageFilm(
        place=said[0] if said else place or FieldId("A01", 0),
        role=said[1] if said else role or "target",
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        cells=cells,
        parents=parents,
        film=film,
        calibration=_calibration(record),
    ).checked()


def _record(block: Any) -> Mapping[str, Any]:
    extra = block.get("extra") if isinstance(block, Mapping) else None
    record = extra.get(RECORD) if isinstance(extra, Mapping) else None
    return record if isinstance(record, Mapping) else {}


def _calibration(record: Mapping[str, Any]) -> Calibration | None:
    if not record.get("pixel_um"):
        return None
    height, width = record["pixel_um"]
    return Calibration(pixel_um=(float(height), float(width)), frame_min=record.get("frame_min"))


def _axes(folder: Path, block: Mapping[str, Any], graph: Graph) -> tuple[str, dict[str, str]]:
    """Name of the time axis, and what the last two axes in space are called here."""
    axes = [axis for axis in block.get("axes") or () if isinstance(axis, Mapping)]
    times = [str(axis.get("name")) for axis in axes if axis.get("type") == "time"]
    spaces = [axis for axis in axes if axis.get("type") == "space"][-2:]
    names = [*times, *(str(axis.get("name")) for axis in spaces)]
    absent = [name for name in names if name not in graph.node_props]
    if len(times) != 1 or len(spaces) != 2 or absent:
        raise ImageError(
            f"{folder}: expected one axis of type time and two of type space (y, x) among its properties, got "
            f"{', '.join(names) or 'none'}."
        )
    ending = "_um" if all(axis.get("unit") in ("micrometer", "um") for axis in spaces) else "_px"
    return times[0], {
        str(axis["name"]): f"{letter}{ending}" for letter, axis in zip("yx", spaces, strict=True)
    }


def _frames(folder: Path, time: NDArray[Any]) -> NDArray[np.int64]:
    values = time.astype(np.float64)
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or (values < 0).any():
        raise ImageError(f"{folder}: times are not whole numbers from 0. Expected frames on the time axis.")
    return values.astype(np.int64)


def _tracks(
    folder: Path, graph: Graph, frames: NDArray[np.int64], block: Mapping[str, Any]
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Track id of each node, and daughter -> mother."""
    order = np.argsort(graph.ids)
    start, end = (order[np.searchsorted(graph.ids[order], graph.edges[:, side])] for side in (0, 1))
    back = np.flatnonzero(frames[end] <= frames[start])
    if len(back):
        raise ImageError(
            f"{folder}: an edge leads from frame {frames[start[back[0]]]} to frame {frames[end[back[0]]]}. Expected edges to lead "
            "forward in time."
        )
    into, counts = np.unique(end, return_counts=True)
    if (counts > 1).any():
        raise ImageError(
            f"{folder}: two edges lead to the node {graph.ids[into[counts > 1][0]]} (frame {frames[into[counts > 1][0]]}). Tracks "
            "that merge are no cells; expected one edge to a node at most."
        )
    named = str(_record(block).get("track_prop") or (block.get("track_node_props") or {}).get("tracklet"))
    if named in graph.node_props:
        tracks = graph.node_props[named].astype(np.float64)
        if not np.isfinite(tracks).all() or (tracks != np.rint(tracks)).any() or (tracks < 0).any():
            raise ImageError(
                f"{folder}: the track ids in {named} are not whole numbers. Expected one per node."
            )
        ids = tracks.astype(np.int64) + int((tracks == 0).any())  # ours count from 1
    else:
        ids = _chains(frames, graph.ids, start, end)
    between = ids[start] != ids[end]
    return ids, dict(zip(ids[end[between]].tolist(), ids[start[between]].tolist(), strict=True))


def _chains(
    frames: NDArray[np.int64], nodes: NDArray[np.int64], start: NDArray[Any], end: NDArray[Any]
) -> NDArray[np.int64]:
    """Number the unbranched runs of nodes from 1, by frame and node."""
    before = np.full(len(nodes), -1)
    before[end] = start
    children = np.bincount(start, minlength=len(nodes))
    ids = np.zeros(len(nodes), dtype=np.int64)
    n_tracks = 0
    for node in np.lexsort((nodes, frames)).tolist():
        mother = before[node]
        if mother >= 0 and children[mother] == 1:
            ids[node] = ids[mother]
        else:
            n_tracks += 1
            ids[node] = n_tracks
    return ids


def _film(
    folder: Path,
    block: Mapping[str, Any],
    graph: Graph,
    frames: NDArray[np.int64],
    tracks: NDArray[np.int64],
) -> GeffFilm | None:
    """The label images that the graph names; None where it names none."""
    related = [one for one in block.get("related_objects") or () if isinstance(one, Mapping)]
    labels = next((one for one in related if one.get("type") == "labels"), None)
    if labels is None:
        return None
    where, prop = (folder / str(labels.get("path", ""))).resolve(), str(labels.get("label_prop"))
    if not where.is_dir():
        raise ImageError(
            f"{folder}: its label images should lie in {labels.get('path')}, which is not there. Copy them with it."
        )
    if prop not in graph.node_props:
        raise ImageError(f"{folder}: its label images are named by the property {prop!r}, which no node has.")
    if not _is_array(where):
        where = where / "0"  # a multiscale image: the largest is the first
    keys = (frames << 32) | graph.node_props[prop].astype(np.int64)
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        twice = keys[order][:-1][np.diff(keys[order]) == 0][0]
        raise ImageError(
            f"{folder}: two nodes of frame {twice >> 32} have the label {twice & 0xFFFFFFFF}. Expected a label of its own for each."
        )
    return GeffFilm(folder, where, keys[order], tracks[order])


def _is_array(folder: Path) -> bool:
    if (folder / "zarr.json").is_file():
        return read_json(folder / "zarr.json", str(folder)).get("node_type") == "array"
    return (folder / ".zarray").is_file()


__all__ = ["GeffFilm", "LabelFilm", "find_geffs", "place_of", "read_geff"]
