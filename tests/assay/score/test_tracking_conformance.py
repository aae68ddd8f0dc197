"""Our CTC measures and edge F1 against traccuracy, an independent program, on random films full of errors."""

import numpy as np
import pytest

from assay.score.cells import CellTally
from assay.score.tracking import count_tracks

pytestmark = pytest.mark.conformance

traccuracy = pytest.importorskip("traccuracy", reason="needs the extra conformance")
nx = pytest.importorskip("networkx")

N_FRAMES, SIZE, N_CELLS = 12, 96, 14


def true_film(seed):
    """Squares that wander; cell i divides into two that stay side by side."""
    random = np.random.default_rng(seed)
    film = np.zeros((N_FRAMES, SIZE, SIZE), dtype=np.uint32)
    grid = [(y, x) for y in range(8, SIZE - 8, 20) for x in range(8, SIZE - 8, 20)]
    parents = {}
    for number, (y, x) in enumerate(grid[:N_CELLS], 1):
        divides = N_FRAMES // 2 if number % 5 == 0 else N_FRAMES
        first, last = (2, N_FRAMES) if number % 7 == 0 else (0, N_FRAMES)
        for frame in range(first, last):
            dy, dx = random.integers(-2, 3, 2)
            rows, columns = slice(y + dy, y + dy + 8), slice(x + dx, x + dx + 8)
            if frame < divides:
                film[frame, rows, columns] = number
            else:
                film[frame, y + dy : y + dy + 4, columns] = 100 + number
                film[frame, y + dy + 4 : y + dy + 8, columns] = 200 + number
                parents |= {100 + number: number, 200 + number: number}
    return film, parents


def spoilt(film, parents, seed):
    """The same film with missed, invented, merged, swapped and broken tracks."""
    random = np.random.default_rng(seed)
    called = film.copy()
    for frame in range(N_FRAMES):
        ids = np.unique(called[frame])[1:]
        for missed in random.choice(ids, 1):
            called[frame][called[frame] == missed] = 0
        y, x = random.integers(0, SIZE - 3, 2)
        if not called[frame, y : y + 3, x : x + 3].any():
            called[frame, y : y + 3, x : x + 3] = 900 + frame
    called[4][np.isin(called[4], (1, 2))] = 1  # merged in one frame
    called[4, 0, 0] = 1  # IoU just below 0.5 with both: at 0.5 the one that is matched is a matter of taste
    for first, second in ((3, 4), (6, 8)):  # swapped from frame 7 on
        later = called[7:]
        one, two = later == first, later == second
        later[one], later[two] = second, first
    called[9:][called[9:] == 9] = 990  # broken
    kept = {child: parent for child, parent in parents.items() if parent != 10}  # one division unseen
    return called, kept


def graph_of(film, parents):
    graph = nx.DiGraph()
    last = {}
    for frame in range(len(film)):
        for track in np.unique(film[frame])[1:].tolist():
            ys, xs = np.nonzero(film[frame] == track)
            node = 10_000 * frame + track
            box = [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
            graph.add_node(node, t=frame, y=ys.mean(), x=xs.mean(), segmentation_id=track, bbox=np.array(box))
            start = last.get(track, last.get(parents.get(track)))
            if start is not None:
                graph.add_edge(start, node)
            last[track] = node
    return traccuracy.TrackingGraph(
        graph,
        segmentation=film.astype(np.int64),
        frame_key="t",
        label_key="segmentation_id",
        location_keys=("y", "x"),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.filterwarnings("ignore")
def test_ctc_measures_and_edge_f1_agree_with_traccuracy(seed):
    from traccuracy.matchers import CTCMatcher, IOUMatcher
    from traccuracy.metrics import BasicMetrics, CTCMetrics

    true, true_parents = true_film(seed)
    called, called_parents = spoilt(true, true_parents, seed + 100)
    tally = CellTally()
    for frame in range(N_FRAMES):
        tally.add(frame, true[frame], called[frame])
    ours = count_tracks(
        tally.finish(), true_parents=true_parents, called_parents=called_parents, n_frames=N_FRAMES
    )

    def graphs():
        return graph_of(true, true_parents), graph_of(called, called_parents)

    ctc, _ = traccuracy.run_metrics(*graphs(), matcher=CTCMatcher(), metrics=[CTCMetrics()])
    theirs = ctc[0]["results"]
    assert ours.nodes_missed == theirs["fn_nodes"]
    assert ours.nodes_extra == theirs["fp_nodes"]
    assert ours.nodes_to_split == theirs["ns_nodes"] > 0
    assert ours.edges_missed == theirs["fn_edges"] > 0
    assert ours.edges_extra == theirs["fp_edges"] > 0
    assert ours.edges_wrong_kind == theirs["ws_edges"]
    assert ours.det == pytest.approx(theirs["DET"], abs=1e-12)
    assert ours.tra == pytest.approx(theirs["TRA"], abs=1e-12)

    matcher = IOUMatcher(iou_threshold=0.5, one_to_one=True)
    basic, _ = traccuracy.run_metrics(*graphs(), matcher=matcher, metrics=[BasicMetrics()])
    assert ours.edge_f1 == pytest.approx(basic[0]["results"]["Edge F1"], abs=1e-12)
