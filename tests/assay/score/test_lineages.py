"""Tracks of any origin scored against others, and the same numbers from traccuracy, on real and simulated films."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from assay.errors import ResultsError, ShapeError
from assay.io.exporters import export_tracks
from assay.io.lineage_films import LineageFilm
from assay.io.lineage_sources import open_lineages
from assay.score.lineages import format_lineage_scores, score_lineages

DATA = Path(__file__).parents[4] / "shared" / "data"
SIM, HELA = DATA / "ctc_sim_10f" / "01_GT" / "TRA", DATA / "hela_ctc_res_lineage"
real = pytest.mark.skipif(not HELA.is_dir(), reason="the collection of real files is not here")


class Silent:
    def begin(self, step: str, total: int, done: int = 0) -> None: ...

    def advance(self) -> None: ...


def write_ctc(folder: Path, film: np.ndarray, table: str = "") -> Path:
    folder.mkdir()
    for frame, image in enumerate(film):
        tifffile.imwrite(folder / f"mask{frame:03d}.tif", image.astype(np.uint16))
    if table:
        (folder / "res_track.txt").write_text(table)
    return folder


def squares(n_frames: int = 4) -> np.ndarray:
    """Two squares of 16 pixels that stand still."""
    film = np.zeros((n_frames, 12, 20), int)
    film[:, 2:6, 2:6] = 1
    film[:, 2:6, 12:16] = 2
    return film


def films(path: Path) -> tuple[LineageFilm, ...]:
    return open_lineages(path, role="target").films


@pytest.fixture(scope="module")
def hela() -> LineageFilm:
    return films(HELA / "01_RES")[0]


def test_a_broken_track_costs_its_edge(tmp_path: Path):
    broken = squares()
    broken[2:][broken[2:] == 2] = 3
    scores = score_lineages(
        films(write_ctc(tmp_path / "b", broken)), films(write_ctc(tmp_path / "a", squares()))
    )
    assert (scores.edges_true, scores.edges_called, scores.edges_right) == (6, 5, 5)
    assert scores.edge_f1 == pytest.approx(10 / 11)
    assert scores.det == scores.seg == 1.0
    # one edge to add costs 1.5; nothing at all would cost 10 x 8 cells and 1.5 x 6 edges
    assert scores.tra == pytest.approx(1 - 1.5 / 89)
    assert "edge F1                           0.9091" in format_lineage_scores(scores)


def test_positions_are_scored_by_the_outlines_they_lie_in(tmp_path: Path):
    drawn = films(write_ctc(tmp_path / "a", squares(3)))
    table = tmp_path / "b.csv"
    rows = [f"{n},{n},3.4,{x},{track}" for n in range(3) for track, x in ((7, 3.0), (8, 13.6))]
    table.write_text("\n".join(["id,t,y,x,track_id", *(f"{k}{row[1:]}" for k, row in enumerate(rows))]))
    scores = score_lineages(films(table), drawn)
    assert (scores.cells_called, scores.edges_right, scores.edge_f1) == (6, 4, 1.0)
    assert scores.as_dict()["tra"] is None
    assert "positions in outlines" in format_lineage_scores(scores)
    with pytest.raises(ResultsError, match="neither side has outlines"):
        score_lineages(films(table), films(table))


def test_films_of_other_sizes_and_without_a_partner_are_refused(tmp_path: Path):
    one, other = films(write_ctc(tmp_path / "a", squares())), films(write_ctc(tmp_path / "b", squares(5)))
    with pytest.raises(ShapeError, match="They are not of one film"):
        score_lineages(one, other)
    with pytest.raises(ResultsError, match="has no partner"):
        score_lineages([], one)


@real
def test_two_trackers_of_a_real_film_have_the_edges_in_common_that_their_publishers_counted(
    hela: LineageFilm,
):
    """8535 and 8460 edges, 8424 in common: README of the files, by another program."""
    scores = score_lineages(films(HELA / "hela_example_tracks.csv"), [hela])
    assert (scores.cells_true, scores.cells_called) == (8600, 8601)
    assert (scores.edges_true, scores.edges_called, scores.edges_right) == (8535, 8460, 8424)
    assert scores.edge_f1 == pytest.approx(2 * 8424 / (8535 + 8460))


def spoilt(film: np.ndarray) -> np.ndarray:
    """Ids exchanged, two cells merged, cells missed at the ends of their tracks, one invented."""
    called = film.copy()
    for frame in range(5, len(film)):
        one, two = called[frame] == 1, called[frame] == 2
        called[frame][one], called[frame][two] = 2, 1
    called[4][called[4] == 4] = 3
    for label in (5, 9, 10):
        called[8:][called[8:] == label] = 0
    called[0, :5, :5] = 900
    return called


@real
@pytest.mark.conformance
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_scores_of_a_film_of_the_challenge_are_those_of_traccuracy(tmp_path: Path, form: str):
    traccuracy = pytest.importorskip("traccuracy", reason="needs the extra conformance")
    from traccuracy.loaders import load_ctc_data, load_geff_data
    from traccuracy.matchers import CTCMatcher
    from traccuracy.metrics import CTCMetrics

    true = np.stack([tifffile.imread(file) for file in sorted(SIM.glob("man_track*.tif"))]).astype(int)
    folders = {}
    for name, film in (("true", true), ("called", spoilt(true))):
        source = films(write_ctc(tmp_path / f"{name}_masks", film))
        to = tmp_path / name
        to.mkdir()
        (folders[name],) = export_tracks(source, to, form, progress=Silent()).paths

    def load(folder: Path) -> object:
        if form == "ctc":
            return load_ctc_data(str(folder))
        return load_geff_data(str(folder), load_geff_seg=True)

    results, _ = traccuracy.run_metrics(
        load(folders["true"]), load(folders["called"]), matcher=CTCMatcher(), metrics=[CTCMetrics()]
    )
    theirs = results[0]["results"]
    ours = score_lineages(films(folders["called"]), films(folders["true"]))
    assert ours.det == pytest.approx(theirs["DET"], abs=1e-12)
    assert ours.tra == pytest.approx(theirs["TRA"], abs=1e-12)
    assert 0.5 < ours.tra < 0.99


@real
@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_a_real_film_with_106_divisions_goes_out_and_comes_back_without_loss(
    hela: LineageFilm, tmp_path: Path, form: str
):
    before = hela
    mothers = list(before.parents.values())
    assert len(before.cells["frame"]) == 8600
    assert len(np.unique(before.cells["track_id"])) == 285
    assert len({mother for mother in mothers if mothers.count(mother) > 1}) == 106
    few = before.film.read(range(0, 92, 13))  # type: ignore[union-attr]
    export_tracks([before], tmp_path, form, progress=Silent())
    (after,) = open_lineages(tmp_path).films
    assert dict(after.parents) == dict(before.parents)
    assert set(after.cells) == set(before.cells)
    for name, column in before.cells.items():
        np.testing.assert_array_equal(after.cells[name], column)
    np.testing.assert_array_equal(after.film.read(range(0, 92, 13)), few)  # type: ignore[union-attr]
