"""Tracks and masks to other programs and back: nothing is lost, and what does not fit together is refused."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from assay.columns import columns_of, table_of_rows
from assay.errors import AssayError, ImageError, ResultsError, TableError
from assay.io.exporters import export_tracks
from assay.io.given_labels import LabelRequest, labels_of, open_labels
from assay.io.lineage_films import LineageFilm
from assay.io.lineage_sources import open_lineages
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import write_table
from assay.labels import CELL_ROLES, CellRole
from assay.stack import FieldId
from assay.units import Calibration

PLACES = (FieldId("B02", 0), FieldId("B02", 1), FieldId("C03", 0))
SHAPE = (18, 24, 32)  # a full shard of 16 frames and a part of one
PIXEL_UM = (0.5, 0.25)
# track -> its mother, its row of pixels, the frames it is seen in; 4 has a gap and two daughters, 7 an only daughter
LIVES: dict[int, tuple[int | None, int, tuple[int, ...]]] = {
    1: (None, 0, tuple(range(18))),
    4: (None, 4, (0, 1, 2, 5, 6)),
    5: (4, 8, (7, 8, 17)),
    6: (4, 10, (8,)),
    7: (None, 14, (2, 3)),
    70_001: (7, 16, (4, 5, 9)),
}


class Silent:
    def __init__(self) -> None:
        self.total = self.done = 0

    def begin(self, step: str, total: int, done: int = 0) -> None:
        self.total += total

    def advance(self) -> None:
        self.done += 1


def column_of(frame: int, role: CellRole) -> int:
    return frame + (3 if role == "target" else 0)


def write_results(folder: Path) -> Path:
    """Cells of 2 x 4 pixels that go to the right; the last field has no effectors."""
    labels = LabelPlate.create(
        folder / "labels.zarr",
        fields=PLACES,
        shapes=SHAPE,
        calibration=Calibration(pixel_um=PIXEL_UM, frame_min=4.0),
        values="track_id",
    )
    cells: list[dict[str, Any]] = []
    tracks: list[dict[str, Any]] = []
    for place in PLACES:
        for role in CELL_ROLES:
            images = np.zeros(SHAPE, np.uint32)
            for track, (mother, row, frames) in (
                LIVES.items() if (place, role) != (PLACES[2], "effector") else ()
            ):
                for frame in frames:
                    x = column_of(frame, role)
                    images[frame, row : row + 2, x : x + 4] = track
                    cells.append(cell(place, role, track, frame, (row + 0.5, x + 1.5)))
                tracks.append(track_row(place, role, track, mother, frames))
            for first in labels.shard_starts(place):
                labels.write(place, role, first, images[first : first + labels.shard_frames(place)])
    labels.close()
    write_table(folder / "tables", "cells", table_of_rows("cells", cells, channel_names=["GFP"]))
    write_table(folder / "tables", "tracks", table_of_rows("tracks", tracks))
    return folder


def cell(place: FieldId, role: CellRole, track: int, frame: int, yx: tuple[float, float]) -> dict[str, Any]:
    row: dict[str, Any] = {column.name: None for column in columns_of("cells", ["GFP"])}
    return row | {
        "well": place.well,
        "field": place.field,
        "role": role,
        "track_id": track,
        "frame": frame,
        "time_min": 4.0 * frame,
        "label": 1,
        "y_um": yx[0] * PIXEL_UM[0],
        "x_um": yx[1] * PIXEL_UM[1],
        "area_um2": 1.0,
        "eccentricity": 0.5,
        "covered": 0.0,
        "at_border": False,
        "score": 0.75,
        "dead": frame > 8,
        "mean_GFP": 100.0 + frame,
    }


def track_row(
    place: FieldId, role: CellRole, track: int, mother: int | None, frames: tuple[int, ...]
) -> dict[str, Any]:
    row: dict[str, Any] = {column.name: None for column in columns_of("tracks")}
    return row | {
        "well": place.well,
        "field": place.field,
        "role": role,
        "track_id": track,
        "first_frame": frames[0],
        "last_frame": frames[-1],
        "parent_track_id": mother,
        "start": "appeared",
        "end": "lost",
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results") / "results")


def exported(results: Path, to: Path, form: str) -> Path:
    to.mkdir()
    export_tracks(open_lineages(results).films, to, form, progress=Silent())
    return to


@pytest.fixture(scope="module")
def folders(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("exported")
    return {form: exported(results, base / form, form) for form in ("ctc", "geff")}


def pixels(film: LineageFilm) -> np.ndarray:
    assert film.film is not None
    return film.film.read(range(film.shape[0]))


@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_tracks_gaps_mothers_and_masks_come_back_as_they_were(
    results: Path, folders: dict[str, Path], form: str
):
    before, after = open_lineages(results).films, open_lineages(folders[form]).films
    assert {(film.place, film.role) for film in after} == {
        (place, role) for place in PLACES for role in CELL_ROLES
    }
    found = {(film.place, film.role): film for film in after}
    for film in before:
        back = found[film.place, film.role]
        assert back.shape == SHAPE
        np.testing.assert_array_equal(pixels(back), pixels(film))
        assert dict(back.parents) == dict(film.parents)
        for name in ("frame", "track_id"):
            np.testing.assert_array_equal(back.cells[name], film.cells[name])
    empty = found[PLACES[2], "effector"]
    assert len(empty.cells["frame"]) == 0
    assert not pixels(empty).any()


def test_a_graph_keeps_every_number_of_the_cells(results: Path, folders: dict[str, Path]):
    before, after = open_lineages(results).films[0], open_lineages(folders["geff"]).films[0]
    assert (before.place, before.role) == (after.place, after.role)
    assert after.calibration == Calibration(pixel_um=PIXEL_UM, frame_min=4.0)
    for name in set(before.cells) - {"label"}:
        np.testing.assert_array_equal(after.cells[name], before.cells[name], err_msg=name)
    assert {"y_um", "x_um", "area_um2", "dead", "mean_GFP", "link_confidence"} <= set(after.cells)


def test_positions_of_a_challenge_folder_are_those_of_the_masks_in_pixels(
    results: Path, folders: dict[str, Path]
):
    before = open_lineages(results).films[0]
    after = open_lineages(folders["ctc"] / "B02" / "0" / "effectors").films[0]
    np.testing.assert_allclose(after.cells["y_px"] * PIXEL_UM[0], before.cells["y_um"])
    np.testing.assert_allclose(after.cells["x_px"] * PIXEL_UM[1], before.cells["x_um"])
    assert (after.cells["area_px"] == 8).all()


def test_the_challenges_table_has_no_gaps_and_every_parent_ends_before_its_child(folders: dict[str, Path]):
    folder = folders["ctc"] / "B02" / "0" / "targets"
    rows = np.loadtxt(folder / "res_track.txt", dtype=int)
    masks = [tifffile.imread(file) for file in sorted(folder.glob("mask*.tif"))]
    assert masks[0].dtype == np.uint16
    for label, first, last, parent in rows:
        assert [frame for frame in range(18) if (masks[frame] == label).any()] == list(range(first, last + 1))
        assert parent == 0 or rows[rows[:, 0] == parent][0, 2] < first
    # by hand: 1, 4 in two pieces, 5 in two, 6, 7, 70001 in two; numbered anew, because 70001 does not fit 16 bits
    assert len(rows) == 9
    with (folder / "pieces.csv").open() as file:
        tracks = [int(row["track_id"]) for row in csv.DictReader(file)]
    assert sorted(tracks) == [1, 4, 4, 5, 5, 6, 7, 70_001, 70_001]


def test_without_the_list_of_pieces_only_children_after_a_gap_are_joined(
    folders: dict[str, Path], tmp_path: Path
):
    folder = shutil.copytree(folders["ctc"] / "B02" / "0" / "targets", tmp_path / "targets")
    (folder / "pieces.csv").unlink()
    film = open_lineages(folder).films[0]
    frames = {
        track: film.cells["frame"][film.cells["track_id"] == track].tolist()
        for track in film.cells["track_id"]
    }
    # labels count the first pieces of 1, 4, 5, 6, 7, 70001 as 1 to 6; the others follow
    assert frames[2] == [0, 1, 2, 5, 6]
    assert frames[3] == [7, 8, 17]
    assert frames[6] == [4, 5, 9]
    assert dict(film.parents) == {3: 2, 4: 2, 6: 5}


@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_a_run_takes_them_as_tracked_labels_of_their_fields(
    results: Path, folders: dict[str, Path], form: str
):
    request = LabelRequest(path=folders[form])
    source = open_labels(request, channels={}, fields=PLACES)
    for film in open_lineages(results).films:
        given = labels_of(source, request, film.place, shape=SHAPE, missing=())[film.role]
        assert given.tracked
        assert dict(given.parents) == dict(film.parents)
        assert given.film is not None
        np.testing.assert_array_equal(given.film.read([0, 5, 17]), pixels(film)[[0, 5, 17]])


def test_a_changed_table_of_tracks_changes_the_identity_of_the_labels(
    folders: dict[str, Path], tmp_path: Path
):
    folder = shutil.copytree(folders["ctc"], tmp_path / "ctc")

    def identity() -> str:
        request = LabelRequest(path=folder)
        source = open_labels(request, channels={}, fields=PLACES)
        return labels_of(source, request, PLACES[0], shape=SHAPE, missing=())["target"].identity

    before = identity()
    assert identity() == before
    pieces = folder / "B02" / "0" / "targets" / "pieces.csv"
    pieces.write_text(pieces.read_text().replace(",70001,", ",70002,"))
    assert identity() != before


def test_the_same_results_give_the_same_bytes(results: Path, folders: dict[str, Path], tmp_path: Path):
    for form in ("ctc", "geff"):
        again = exported(results, tmp_path / form, form)
        files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
        assert len(files) > 30
        assert all((again / file).read_bytes() == (folders[form] / file).read_bytes() for file in files)


def test_progress_counts_every_frame(results: Path, tmp_path: Path):
    progress = Silent()
    export_tracks(open_lineages(results).films, tmp_path, "ctc", progress=progress)
    assert (progress.done, progress.total) == (6 * 18, 6 * 18)


def test_graphs_are_valid_to_the_reference_program(folders: dict[str, Path]):
    geff = pytest.importorskip("geff", reason="needs the extra conformance")
    from geff.validate.structure import validate_structure

    graph_folder = str(folders["geff"] / "B02_0.zarr" / "targets.geff")
    validate_structure(graph_folder)
    graph, metadata = geff.read(graph_folder, structure_validation=True, backend="networkx")
    assert metadata.geff_version == "1.1"
    assert metadata.track_node_props is None  # 7 has an only daughter, so its track is no whole tracklet
    # by hand: 18 + 5 + 3 + 1 + 2 + 3 cells; per track one edge less than cells; three daughters
    assert graph.number_of_nodes() == 32
    assert graph.number_of_edges() == 32 - 6 + 3
    born = sorted(
        (graph.nodes[a]["track_id"], graph.nodes[b]["track_id"])
        for a, b, edge in graph.edges(data=True)
        if edge["division"]
    )
    assert born == [(4, 5), (4, 6), (7, 70_001)]
    longest = max(edge["frames"] for *_, edge in graph.edges(data=True))
    assert longest == 9  # track 5 is not seen from frame 9 to 16


def test_films_of_nobody_are_said_with_what_was_expected(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match="Expected a RESULTS folder of a finished"):
        open_lineages(tmp_path / "empty")
    with pytest.raises(ImageError, match="does not exist"):
        open_lineages(tmp_path / "nowhere")


Spoil = Callable[[Path], object]


def rewrite(name: str, old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (rewrite("res_track.txt", "1 0 17 0\n", "1 0 17 0\n1 0 17 0\n"), "line 2: label 1 stands twice"),
        (rewrite("res_track.txt", "1 0 17 0", "1 0 17"), "Expected four whole numbers"),
        (rewrite("res_track.txt", "1 0 17 0", "1 9 3 0"), "is no track"),
        (rewrite("pieces.csv", "1,1,0,17,", "1,1,0,16,"), "does not belong to res_track.txt"),
        (rewrite("pieces.csv", "1,1,0,17,", "1,one,0,17,"), "pieces.csv is damaged"),
        (rewrite("pieces.csv", "1,1,0,17,", "1,4,0,17,"), "track 4 stands twice in frame 0"),
        (rewrite("pieces.csv", "6,70001,4,5,7", "6,70001,4,5,5"), "track 70001 has two mothers"),
        (rewrite("pieces.csv", "4,6,8,8,4", "4,6,8,8,5"), "its mother 5 ends only in frame 17"),
        (rewrite("pieces.csv", "4,6,8,8,4", "4,6,8,8,33"), "track 33 is the daughter or mother"),
        (lambda folder: (folder / "mask003.tif").unlink(), "no file for frame 3"),
        (lambda folder: (folder / "mask003.tif").write_bytes(b"II*"), "mask003.tif cannot be read"),
        (
            lambda folder: tifffile.imwrite(folder / "mask003.tif", np.full((24, 32), 1, np.uint16)),
            "the masks have it from frame",
        ),
        (
            lambda folder: tifffile.imwrite(folder / "mask003.tif", np.full((4, 4), 0, np.uint16)),
            "do not belong together|Expected one film",
        ),
    ],
)
def test_a_damaged_folder_of_the_challenge_is_refused_in_a_line(
    folders: dict[str, Path], tmp_path: Path, spoil: Spoil, message: str
):
    folder = shutil.copytree(folders["ctc"] / "B02" / "0" / "targets", tmp_path / "targets")
    spoil(folder)
    with pytest.raises(AssayError, match=message) as caught:
        open_lineages(folder)
    assert "\n" not in str(caught.value)


def change_geff(folder: Path, **values: Any) -> None:
    file = folder / "zarr.json"
    group = json.loads(file.read_text())
    group["attributes"]["geff"] |= values
    file.write_text(json.dumps(group))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"directed": False}, "is not directed"),
        ({"geff_version": "7.0"}, "version 7.0 is not read"),
        ({"axes": None}, "expected one axis of type time"),
        (
            {"related_objects": [{"type": "labels", "path": "../gone", "label_prop": "track_id"}]},
            "which is not there",
        ),
        (
            {"related_objects": [{"type": "labels", "path": "../labels/targets/0", "label_prop": "no"}]},
            "no node has",
        ),
    ],
)
def test_a_graph_that_cannot_be_understood_is_refused_in_a_line(
    folders: dict[str, Path], tmp_path: Path, values: dict[str, Any], message: str
):
    store = shutil.copytree(folders["geff"] / "B02_0.zarr", tmp_path / "B02_0.zarr")
    change_geff(store / "targets.geff", **values)
    with pytest.raises(ImageError, match=message):
        open_lineages(store / "targets.geff")


def test_a_graph_of_another_program_gets_its_tracks_from_its_edges(folders: dict[str, Path], tmp_path: Path):
    store = shutil.copytree(folders["geff"] / "B02_0.zarr", tmp_path / "B02_0.zarr")
    change_geff(store / "targets.geff", extra={})
    film = open_lineages(store / "targets.geff").films[0]
    assert (film.place, film.role) == (FieldId("A01", 0), "target")
    frames = {
        track: film.cells["frame"][film.cells["track_id"] == track].tolist()
        for track in film.cells["track_id"]
    }
    # numbered by first frame; an only daughter goes on with her mother's track
    assert frames[3] == [2, 3, 4, 5, 9]
    assert frames[2] == [0, 1, 2, 5, 6]
    assert sorted(film.parents) == [4, 5]
    assert set(film.parents.values()) == {2}


def test_a_label_without_a_node_and_a_label_of_two_nodes_are_refused(
    folders: dict[str, Path], tmp_path: Path
):
    store = shutil.copytree(folders["geff"] / "C03_0.zarr", tmp_path / "C03_0.zarr")
    labels = {"type": "labels", "path": "../labels/targets/0", "label_prop": "track_id"}
    change_geff(store / "effectors.geff", related_objects=[labels])  # a graph without nodes
    film = open_lineages(store / "effectors.geff").films[0]
    assert film.film is not None
    with pytest.raises(ImageError, match="frame 0: label 1 has no node in the graph"):
        film.film.read([0])
    change_geff(store / "targets.geff", related_objects=[labels | {"label_prop": "is_effector"}])
    with pytest.raises(ImageError, match="two nodes of frame 0 have the label 0"):
        open_lineages(store / "targets.geff")


def test_tables_of_two_runs_are_not_exported(results: Path, tmp_path: Path):
    folder = shutil.copytree(results, tmp_path / "results")
    labels = LabelPlate.open(folder / "labels.zarr")
    labels.write(PLACES[0], "target", 0, np.zeros((16, 24, 32), np.uint32))
    for sums in labels.path.rglob("killassay.sums.json"):
        sums.unlink()  # which would say that they were changed
    with pytest.raises(
        ResultsError, match="frame 0: track 1 is in the label image or in the table, not in both"
    ):
        export_tracks(open_lineages(folder).films, tmp_path, "ctc", progress=Silent())
    assert not (tmp_path / "B02" / "0" / "targets").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("tracks", "track 1 stands twice in tracks.parquet"), ("cells", "track 1 stands twice in frame 0")],
)
def test_ids_that_stand_twice_in_a_table_are_named(results: Path, tmp_path: Path, name: str, message: str):
    from assay.columns import concatenate, take
    from assay.io.tables import read_table

    folder = shutil.copytree(results, tmp_path / "results")
    table = read_table(folder / "tables", name)
    write_table(folder / "tables", name, concatenate([table, take(table, np.array([0]))]))
    with pytest.raises(TableError, match=f"well B02, field 0, effectors: {message}"):
        open_lineages(folder)


def test_a_table_of_tracks_with_an_id_twice_is_refused_and_one_with_a_row_per_frame_is_not(tmp_path: Path):
    from assay.io.lineages import parents_in_csv

    table = tmp_path / "tracks.csv"
    table.write_text(
        "well,field,role,track_id,parent_track_id\nB02,0,target,3,\nB03,0,target,3,\nB02,0,target,3,1\n"
    )
    with pytest.raises(ImageError, match="line 4: track 3 of well B02, field 0, target, stands twice"):
        parents_in_csv(table, PLACES[0], "target", single=False)
    table.write_text("frame,track_id,parent_track_id\n0,3,1\n1,3,1\n")
    assert parents_in_csv(table, PLACES[0], "target", single=True) == {3: 1}
