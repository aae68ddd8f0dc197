"""The films of one field as a zarr store with a GEFF graph per role, and the label images that the graphs speak of.

B02_0.zarr/
  effectors.geff/              graph: a node per cell and frame, an edge from sighting to sighting and mother to daughter
  labels/effectors/0           (T, Y, X) uint32, value = the node's track_id
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay._version import __version__
from assay.columns import MEAN_PREFIX, length
from assay.io import chunks
from assay.io.durable import disk_refusals, made_whole
from assay.io.geff_graphs import Graph, write_graph
from assay.io.label_groups import LABEL_DTYPE, LABEL_VALUES
from assay.io.label_roles import FOLDERS
from assay.io.layout import array_layout, shard_frames_of
from assay.io.lineage_films import LineageFilm
from assay.io.metadata import BLOCK, label_attributes, labels_attributes, multiscales_block

RECORD = "killassay"
"""Key in the graph's `extra`: whose cells they are."""
TIME = "t"
_NOT_PROPS = ("frame", "label")  # the time axis; a label in its own frame, whose image is not exported


def write_geff(films: Sequence[LineageFilm], store: Path, *, advance: Callable[[], None]) -> None:
    """Write the films of one field into a zarr store that does not exist yet; it is there whole or not at all.

    Args:
        films: One per role.
        store: Where to.
        advance: Called after each frame of each film.

    Raises:
        ImageError: An image is damaged.
        ResultsError: Label images and tables are of two runs.
        StorageError: The disk refuses.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with made_whole(store) as making:
        chunks.make_group(making, "", {}, zarr_format=3)
        drawn = [film for film in films if film.film is not None]
        if drawn:
            names = [FOLDERS[film.role] for film in drawn]
            chunks.make_group(making, "labels", labels_attributes(names, ngff="0.5"), zarr_format=3)
        for film in drawn:
            _write_labels(making, film, advance)
        for film in films:
            with disk_refusals(film.name, store):
                write_graph(making, f"{FOLDERS[film.role]}.geff", graph_of(film), _metadata(film))


def graph_of(film: LineageFilm) -> Graph:
    """Nodes ordered by (frame, track_id); edges by the node they lead to."""
    cells = film.cells
    n = length(cells)
    order = np.lexsort((cells["frame"], cells["track_id"]))
    track = cells["track_id"][order]
    same = np.diff(track) == 0
    pairs = [np.stack([order[:-1][same], order[1:][same]], axis=1)]
    first = dict(zip(*_ends(track, order, first=True), strict=True))
    last = dict(zip(*_ends(track, order, first=False), strict=True))
    born = [(last[mother], first[child]) for child, mother in sorted(film.parents.items())]
    edges = np.concatenate([*pairs, np.array(born, dtype=np.int64).reshape(-1, 2)]).astype(np.int64)
    division = np.arange(len(edges)) >= len(edges) - len(born)
    by_child = np.argsort(edges[:, 1], kind="stable")
    edges, division = edges[by_child], division[by_child]
    frames = cells["frame"][edges[:, 1]] - cells["frame"][edges[:, 0]]
    edge_props: dict[str, NDArray[Any]] = {"division": division, "frames": frames.astype(np.int64)}
    if "link_confidence" in cells:
        edge_props["link_confidence"] = np.where(division, np.nan, cells["link_confidence"][edges[:, 1]])
    node_props = {TIME: cells["frame"].astype(np.int64)}
    node_props |= {
        name: values
        for name, values in cells.items()
        if name not in _NOT_PROPS and values.dtype.kind in "iufb"
    }
    node_props["is_effector"] = np.full(n, film.role == "effector")
    return Graph(ids=np.arange(n, dtype=np.int64), edges=edges, node_props=node_props, edge_props=edge_props)


def _ends(track: NDArray[Any], rows: NDArray[Any], *, first: bool) -> tuple[list[int], list[int]]:
    """Track ids, and the row in which each begins or ends."""
    edge = np.diff(track, prepend=0) != 0 if first else np.diff(track, append=0) != 0
    return track[edge].tolist(), rows[edge].tolist()


def _metadata(film: LineageFilm) -> dict[str, Any]:
    name = FOLDERS[film.role]
    time: dict[str, Any] = {"name": TIME, "type": "time", "unit": "frame"}
    if film.calibration and film.calibration.frame_min:
        time |= {"scale": film.calibration.frame_min, "scaled_unit": "minute"}
    unit = "micrometer" if film.centre[0].endswith("_um") else "pixel"
    axes = [time, *({"name": axis, "type": "space", "unit": unit} for axis in film.centre)]
    for axis in axes:
        values = film.cells["frame" if axis["name"] == TIME else axis["name"]]
        if len(values):
            axis |= {"min": float(values.min()), "max": float(values.max())}
    record = {
        "version": __version__,
        "well": film.place.well,
        "field": film.place.field,
        "role": film.role,
        "shape": list(film.shape),
        "track_prop": "track_id",
        "channels": [column[len(MEAN_PREFIX) :] for column in film.cells if column.startswith(MEAN_PREFIX)],
    }
    if film.calibration:
        record |= {"pixel_um": list(film.calibration.pixel_um), "frame_min": film.calibration.frame_min}
    metadata: dict[str, Any] = {"axes": axes, "extra": {RECORD: record}}
    if film.film is not None:
        where = f"../labels/{name}/0"
        metadata["related_objects"] = [{"type": "labels", "path": where, "label_prop": "track_id"}]
    children = list(film.parents.values())
    if all(children.count(mother) > 1 for mother in set(children)):
        # the format's tracklets go on through an only child, our tracks end at every division
        metadata["track_node_props"] = {"tracklet": "track_id"}
    return metadata


def _write_labels(root: Path, film: LineageFilm, advance: Callable[[], None]) -> None:
    group = f"labels/{FOLDERS[film.role]}"
    attributes: dict[str, Any] = {}
    if film.calibration:
        block = multiscales_block(
            "tyx",
            calibration=film.calibration,
            levels=1,
            ngff="0.5",
            name=FOLDERS[film.role],
            method="nearest",
        )
        attributes = label_attributes(multiscales=block, ngff="0.5")
    chunks.make_group(root, group, {**attributes, BLOCK: {LABEL_VALUES: "track_id"}}, zarr_format=3)
    step = shard_frames_of(film.shape, itemsize=LABEL_DTYPE.itemsize, sharded=True)
    layout = array_layout(film.shape, itemsize=LABEL_DTYPE.itemsize, sharded=True, shard_frames=step)
    chunks.make_array(
        root, f"{group}/0", layout, dtype=LABEL_DTYPE, axes="tyx", content="labels", zarr_format=3
    )
    array = chunks.open_for_writing(root, f"{group}/0")
    shard: list[NDArray[Any]] = []
    for frame, image in film.images():
        shard.append(image.astype(LABEL_DTYPE, copy=False))
        if len(shard) == step or frame == film.shape[0] - 1:
            with disk_refusals(film.name, root):
                chunks.write_frames(root, array, frame + 1 - len(shard), np.stack(shard))
            shard = []
        advance()
