"""How well cells are followed: edges, the measures of the Cell Tracking Challenge, complete tracks.

A node is a cell in a frame. An edge joins two successive sightings of one track (over a gap, if there is one)
or the last sighting of a parent with the first of its child.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.score.cells import CellCounts, FieldCells, ratio
from assay.score.matching import Ids

COMPLETE_MIN_FRAMES = 10
COMPLETE_MIN_COVERED = 0.8

Node = tuple[int, int]  # (frame, track id)
Edge = tuple[Node, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackCounts:
    """Links right and wrong, of one role."""

    edges_true: int
    edges_called: int
    edges_right: int
    nodes_true: int
    nodes_missed: int  # CTC: no called cell covers more than half of it
    nodes_extra: int  # CTC: covers no true cell
    nodes_to_split: int  # CTC: true cells beyond the first under one called cell
    edges_missed: int  # CTC
    edges_extra: int  # CTC
    edges_wrong_kind: int  # CTC: a division where there is none, or the other way round
    long_tracks: int
    complete_tracks: int

    @property
    def edge_f1(self) -> float:
        """2 TP / (2 TP + FP + FN) over edges; both ends must match at IoU >= 0.5."""
        return ratio(2 * self.edges_right, self.edges_true + self.edges_called)

    @property
    def det(self) -> float:
        """CTC's DET. Source: Matula 2015, doi:10.1371/journal.pone.0144959."""
        return _normalised(self._node_cost, 10.0 * self.nodes_true)

    @property
    def tra(self) -> float:
        """CTC's TRA. Source: Matula 2015, doi:10.1371/journal.pone.0144959."""
        edge_cost = 1.5 * self.edges_missed + 1.0 * self.edges_extra + 1.0 * self.edges_wrong_kind
        return _normalised(self._node_cost + edge_cost, 10.0 * self.nodes_true + 1.5 * self.edges_true)

    @property
    def _node_cost(self) -> float:
        return 5.0 * self.nodes_to_split + 10.0 * self.nodes_missed + 1.0 * self.nodes_extra

    @property
    def complete_fraction(self) -> float:
        """Share of the long true tracks that are complete; see `complete_tracks`."""
        return ratio(self.complete_tracks, self.long_tracks)


def seg(counts: CellCounts) -> float:
    """CTC's SEG: mean Jaccard index over the true cells, 0 where no called cell covers more than half.

    Source: Maska 2014, doi:10.1093/bioinformatics/btu080.
    """
    return ratio(counts.seg_sum, counts.n_true)


def count_tracks(
    cells: FieldCells, *, true_parents: Mapping[int, int], called_parents: Mapping[int, int], n_frames: int
) -> TrackCounts:
    """Compare the track graphs of one role in one field.

    Args:
        cells: The matched cells.
        true_parents: True track id -> the track it came from by division.
        called_parents: The same of the called tracks.
        n_frames: Length of the film.
    """
    true_edges = _edges(cells.true_frames, cells.true_ids, true_parents)
    called_edges = _edges(cells.called_frames, cells.called_ids, called_parents)
    match = dict(
        zip(
            zip(cells.match_frames.tolist(), cells.match_called.tolist(), strict=True),
            zip(cells.match_frames.tolist(), cells.match_true.tolist(), strict=True),
            strict=True,
        )
    )
    right = sum((match.get(start), match.get(end)) in true_edges for start, end in called_edges)
    long_tracks, complete = complete_tracks(cells, n_frames=n_frames)
    return TrackCounts(
        edges_true=len(true_edges),
        edges_called=len(called_edges),
        edges_right=right,
        nodes_true=len(cells.true_ids),
        long_tracks=long_tracks,
        complete_tracks=complete,
        **_ctc_errors(cells, true_edges, called_edges),
    )


def _edges(frames: Ids, ids: Ids, parents: Mapping[int, int]) -> dict[Edge, bool]:
    """Edge -> is it a division."""
    order = np.lexsort((frames, ids))
    nodes = list(zip(frames[order].tolist(), ids[order].tolist(), strict=True))
    first: dict[int, Node] = {}
    last: dict[int, Node] = {}
    edges: dict[Edge, bool] = {}
    for node in nodes:
        if node[1] in last:
            edges[last[node[1]], node] = False
        else:
            first[node[1]] = node
        last[node[1]] = node
    for child, parent in sorted(parents.items()):
        if child in first and parent in last and last[parent][0] < first[child][0]:
            edges[last[parent], first[child]] = True
    return edges


def _ctc_errors(
    cells: FieldCells, true_edges: dict[Edge, bool], called_edges: dict[Edge, bool]
) -> dict[str, int]:
    """The operations of the AOGM measure that turn the called graph into the true one."""
    covered: dict[Node, list[Node]] = {}
    called_of: dict[Node, Node] = {}
    rows = zip(
        cells.cover_frames.tolist(), cells.cover_true.tolist(), cells.cover_called.tolist(), strict=True
    )
    for frame, true, called in rows:
        covered.setdefault((frame, called), []).append((frame, true))
        called_of[frame, true] = (frame, called)
    alone = {called: true[0] for called, true in covered.items() if len(true) == 1}
    kept = {edge: kind for edge, kind in called_edges.items() if edge[0] in alone and edge[1] in alone}
    as_true = {(alone[start], alone[end]): kind for (start, end), kind in kept.items()}
    return {
        "nodes_missed": len(cells.true_ids) - len(called_of),
        "nodes_extra": len(cells.called_ids) - len(covered),
        "nodes_to_split": sum(len(true) - 1 for true in covered.values()),
        "edges_missed": sum(edge not in as_true for edge in true_edges),
        "edges_extra": sum(edge not in true_edges for edge in as_true),
        "edges_wrong_kind": sum(
            edge in true_edges and true_edges[edge] != kind for edge, kind in as_true.items()
        ),
    }


def complete_tracks(cells: FieldCells, *, n_frames: int) -> tuple[int, int]:
    """Count the true tracks that came out as exactly one pure track.

    A long track is seen in at least 10 frames (in all frames of a shorter film). It is complete when a single
    called track matches it, that track matches no other cell in any frame, and it does so in at least 80 % of
    the frames in which the cell is seen.

    Returns:
        (long true tracks, complete ones among them).
    """
    seen = Counter(cells.true_ids.tolist())
    frames_of = Counter(zip(cells.match_true.tolist(), cells.match_called.tolist(), strict=True))
    tracks_of: dict[int, list[int]] = {}
    cells_of: Counter[int] = Counter()
    for true, called in sorted(frames_of):
        tracks_of.setdefault(true, []).append(called)
        cells_of[called] += 1
    long_tracks = [
        true for true, frames in sorted(seen.items()) if frames >= min(COMPLETE_MIN_FRAMES, n_frames)
    ]
    complete = 0
    for true in long_tracks:
        called = tracks_of.get(true, [])
        if len(called) == 1 and cells_of[called[0]] == 1:
            complete += frames_of[true, called[0]] >= COMPLETE_MIN_COVERED * seen[true]
    return len(long_tracks), complete


def _normalised(cost: float, cost_of_nothing: float) -> float:
    """1 - the cost relative to that of an empty result, not below 0."""
    return 1.0 - min(cost, cost_of_nothing) / cost_of_nothing if cost_of_nothing else float("nan")
