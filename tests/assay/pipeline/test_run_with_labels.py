"""The main job on label images of another program: the same numbers from the same outlines, in every form."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from assay.errors import AssayError, ImageError, ResultsError
from assay.io.exporters import export_tracks
from assay.io.given_labels import LabelRequest
from assay.io.lineage_sources import open_lineages
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.tables import read_table
from assay.labels import CELL_ROLES, CellMeasures
from assay.pipeline.cells import _relabelled
from assay.pipeline.check import check_plate
from assay.pipeline.outlines import _require_followed
from assay.pipeline.run import RunOptions, RunOutcome, plan_run, report_again, run_plate
from assay.protocol import parse_protocol
from assay.stack import FieldId
from tests.assay.pipeline.test_run import ROOT, Silent, digest
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import make

N_FRAMES = 20  # two shards
FIELDS = {"B02": FieldId("B02", 0), "C02": FieldId("C02", 0)}
FOLDERS = {"effector": "effectors", "target": "targets"}
PRIVATE = {
    "score",
    "label",
    "link_confidence",
    "min_link_confidence",
}  # they tell whence outlines and tracks came


def no_model() -> Never:
    raise AssertionError("nobody needs a model")


def run(
    plate: Path, out: Path, labels: Path | None, *, redo: bool = False, **request: Any
) -> tuple[RunOutcome, Silent]:
    options, progress = RunOptions(redo=redo), Silent()
    asked = LabelRequest(path=labels, **request) if labels else None
    plan = plan_run(plate, out, protocol=parse_protocol(PROTOCOL), options=options, labels=asked)
    identity = dict(make().identity) if plan.needs_model else {}
    outcome = run_plate(
        plan.with_segmenter(identity),
        make_segmenter=make if plan.needs_model else no_model,
        provenance={"model": identity},
        options=options,
        progress=progress,
    )
    return outcome, progress


def assert_same_tables(one: Path, other: Path, *, but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    for name in ("cells", "tracks", "contacts", "deaths", "kills", "fields", "wells", "conditions"):
        left, right = read_table(one / "tables", name), read_table(other / "tables", name)
        for column in sorted(set(left) - but):
            if left[column].dtype.kind == "f":
                # tracks that are given are not doubted, the linker's own are: credit differs by that little
                np.testing.assert_allclose(left[column], right[column], rtol=1e-6, err_msg=f"{name}.{column}")
            else:
                np.testing.assert_array_equal(left[column], right[column], err_msg=f"{name}.{column}")


def write_tiffs(folder: Path, results: Path, *, by_frame: bool) -> Path:
    """The tracked labels of RESULTS as a lab would save them, and the table of their tracks."""
    labels = LabelPlate.open(results / "labels.zarr")
    folder.mkdir()
    for well, place in FIELDS.items():
        for role in CELL_ROLES:
            images = labels.read(place, role, range(N_FRAMES)).astype(np.uint16)
            if not by_frame:
                tifffile.imwrite(
                    folder / f"{well}_f0_{FOLDERS[role]}.tif", images, imagej=True, metadata={"axes": "TYX"}
                )
                continue
            (folder / FOLDERS[role]).mkdir(exist_ok=True)
            for frame, image in enumerate(images, start=1):
                tifffile.imwrite(folder / FOLDERS[role] / f"{well}_t{frame:03d}.tif", image)
    return folder


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = {"B02": film(N_FRAMES), "C02": film(N_FRAMES, effectors=False)}
    return write_small_plate(tmp_path_factory.mktemp("plate") / "small.zarr", films)


@pytest.fixture(scope="module")
def by_model(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "results"
    run(plate, out, None)
    return out


@pytest.fixture(scope="module")
def by_labels(plate: Path, by_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "results"
    outcome, _ = run(plate, out, by_model / "labels.zarr")
    assert outcome.complete
    assert not outcome.failed
    return out


@pytest.fixture(scope="module")
def stacks(by_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiffs(tmp_path_factory.mktemp("stacks") / "labels", by_model, by_frame=False)


@pytest.fixture(scope="module")
def by_stacks(plate: Path, stacks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("by_stacks") / "results"
    run(plate, out, stacks, tracked=True)
    return out


def test_tracked_labels_of_a_run_give_the_tables_of_that_run_and_need_no_model(
    by_model: Path, by_labels: Path
):
    assert len(read_table(by_model / "tables", "contacts")["well"]) > 0
    assert len(read_table(by_model / "tables", "deaths")["well"]) > 0
    assert_same_tables(by_model, by_labels, but=PRIVATE)
    cells = read_table(by_labels / "tables", "cells")
    np.testing.assert_array_equal(cells["label"], cells["track_id"])
    assert np.isnan(cells["score"]).all()


def test_labels_of_single_frames_are_followed_as_the_models_are(plate: Path, by_model: Path, tmp_path: Path):
    run(plate, tmp_path / "results", by_model / "work" / "frame_labels.zarr")
    assert_same_tables(by_model, tmp_path / "results", but={"score"})


def test_a_stack_per_film_gives_the_same_bytes_as_zarr(by_labels: Path, by_stacks: Path):
    assert digest(by_stacks) == digest(by_labels)


def test_a_file_per_frame_gives_the_same_bytes_as_zarr(
    plate: Path, by_model: Path, by_labels: Path, tmp_path: Path
):
    folder = write_tiffs(tmp_path / "labels", by_model, by_frame=True)
    run(plate, tmp_path / "results", folder, tracked=True)
    assert digest(tmp_path / "results") == digest(by_labels)


@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_exported_tracks_give_the_same_bytes_as_the_results_they_came_from(
    plate: Path, by_labels: Path, tmp_path: Path, form: str
):
    (tmp_path / form).mkdir()
    export_tracks(open_lineages(by_labels).films, tmp_path / form, form, progress=Silent())
    run(plate, tmp_path / "results", tmp_path / form)
    assert digest(tmp_path / "results") == digest(by_labels)


def test_the_model_gives_the_role_that_is_not_given(plate: Path, by_model: Path, tmp_path: Path):
    out = tmp_path / "results"
    run(plate, out, by_model / "work" / "frame_labels.zarr", names={"target": "targets"})
    assert_same_tables(by_model, out, but={"score"})
    cells = read_table(out / "tables", "cells")
    targets = cells["role"] == "target"
    assert np.isnan(cells["score"][targets]).all()
    assert (cells["score"][~targets] == 1.0).all()
    note = "The outlines of targets are label images that were given"
    assert note in (out / "report.html").read_text()
    assert "Those of effectors come from the model." in (out / "report.html").read_text()


def test_provenance_and_report_say_where_the_outlines_came_from(by_model: Path, by_labels: Path):
    labels = Results.open(by_labels).read_provenance()["labels"]
    assert labels["source"] == str(by_model / "labels.zarr")
    assert labels["tracked"] is True
    assert labels["roles"] == {"effector": "effectors", "target": "targets"}
    assert len(labels["fields"]["well B02, field 0"]["target"]["identity"]) == 64
    assert labels["warnings"] == []  # nobody expects effectors in the target-only well C02
    page = (by_labels / "report.html").read_text()
    assert "The outlines of effectors and targets are label images that were given" in page


def test_wells_without_a_cell_are_said_where_the_plate_map_expects_some(
    plate: Path, stacks: Path, tmp_path: Path
):
    protocol = parse_protocol(PROTOCOL.replace("target_only", "mock"))
    _, lines = check_plate(plate, protocol, LabelRequest(path=stacks))
    assert "WARNING well C02, field 0, labels of effectors: no cell in any of 3 frames" in lines
    assert not any("no cell" in line for line in checked(plate, stacks)[1])


def copies(stacks: Path, by_stacks: Path, folder: Path) -> tuple[Path, Path]:
    """Labels and RESULTS moved elsewhere, as they were."""
    return shutil.copytree(stacks, folder / "labels"), shutil.copytree(by_stacks, folder / "results")


def test_a_report_is_made_again_when_the_labels_are_gone(stacks: Path, by_stacks: Path, tmp_path: Path):
    folder, out = copies(stacks, by_stacks, tmp_path)
    shutil.rmtree(folder)
    report_again(out, tables_only=False, for_print=False, progress=Silent())
    assert (out / "report.html").read_bytes() == (by_stacks / "report.html").read_bytes()


def test_labels_that_were_moved_are_still_the_same_and_a_changed_file_redoes_its_field_only(
    plate: Path, stacks: Path, by_stacks: Path, tmp_path: Path
):
    folder, out = copies(stacks, by_stacks, tmp_path)
    _, progress = run(plate, out, folder, tracked=True)
    assert progress.steps["segmentation"] == (4, 4)
    images = tifffile.imread(folder / "B02_f0_targets.tif")
    images[images == 2] = 0
    tifffile.imwrite(folder / "B02_f0_targets.tif", images, imagej=True, metadata={"axes": "TYX"})
    _, progress = run(plate, out, folder, tracked=True)
    assert progress.steps["segmentation"] == (4, 2)
    assert progress.steps["tracking"] == (2, 1)
    tracks = read_table(out / "tables", "tracks")
    ids = tracks["track_id"][(tracks["well"] == "B02") & (tracks["role"] == "target")]
    assert ids.tolist() == [1, 3, 4]


def test_saying_that_values_are_not_tracks_links_again_and_nothing_more(
    plate: Path, stacks: Path, by_stacks: Path, tmp_path: Path
):
    out = shutil.copytree(by_stacks, tmp_path / "results")
    _, progress = run(plate, out, stacks, tracked=False)
    assert progress.steps["segmentation"] == (4, 4)
    assert progress.steps["tracking"] == (2, 0)


def test_outlines_from_elsewhere_are_refused_in_the_same_results(
    plate: Path, by_model: Path, by_labels: Path, stacks: Path, tmp_path: Path
):
    out = shutil.copytree(by_labels, tmp_path / "labels")
    with pytest.raises(
        ResultsError, match=r"outlines from .*labels\.zarr \(effectors and targets\); now .*--redo"
    ):
        run(plate, out, stacks)
    with pytest.raises(ResultsError, match="now they would come from the model"):
        run(plate, out, None)
    with pytest.raises(ResultsError, match="outlines from the model; now"):
        run(plate, shutil.copytree(by_model, tmp_path / "model"), stacks)
    run(plate, out, stacks, tracked=True, redo=True)
    assert digest(out) == digest(by_labels)


def test_a_mask_fails_its_field_and_the_others_run_on(plate: Path, stacks: Path, tmp_path: Path):
    folder = shutil.copytree(stacks, tmp_path / "labels")
    mask = (tifffile.imread(folder / "B02_f0_targets.tif") > 0).astype(np.uint8) * 255
    tifffile.imwrite(folder / "B02_f0_targets.tif", mask, imagej=True, metadata={"axes": "TYX"})
    outcome, _ = run(plate, tmp_path / "results", folder, tracked=True)
    assert list(outcome.failed) == [FIELDS["B02"]]
    assert "16 values stand in 64 separate pieces. This is a mask" in outcome.failed[FIELDS["B02"]]
    fields = read_table(tmp_path / "results" / "tables", "fields")
    assert dict(zip(fields["well"], fields["status"], strict=True)) == {"B02": "failed", "C02": "ok"}


def test_a_field_without_labels_is_refused_and_not_empty(plate: Path, stacks: Path, tmp_path: Path):
    folder = shutil.copytree(stacks, tmp_path / "labels")
    (folder / "C02_f0_effectors.tif").unlink()
    outcome, _ = run(plate, tmp_path / "results", folder, tracked=True)
    assert "well C02, field 0, labels of effectors: no such file" in outcome.failed[FIELDS["C02"]]


def test_track_ids_beyond_measure_are_refused(plate: Path, stacks: Path, tmp_path: Path):
    folder = shutil.copytree(stacks, tmp_path / "labels")
    images = tifffile.imread(folder / "B02_f0_targets.tif").astype(np.uint32)
    images[images == 2] = 2**31 - 1
    tifffile.imwrite(folder / "B02_f0_targets.tif", images, metadata={"axes": "TYX"})
    outcome, _ = run(plate, tmp_path / "results", folder, tracked=True)
    assert "the track id 2147483647 is too large" in outcome.failed[FIELDS["B02"]]


def test_large_labels_become_track_ids_without_a_table_of_their_size():
    image = np.array([[0, 2**31 - 1, 7, 12]], np.uint32)
    found = _relabelled(image, np.array([7, 2**31 - 1]), np.array([1, 2]))
    assert found.tolist() == [[0, 2, 1, 0]]
    assert _relabelled(np.array([[0, 7, 3]], np.uint32), np.array([7]), np.array([4])).tolist() == [[0, 4, 0]]


def test_a_command_with_labels_for_both_roles_never_loads_torch(plate: Path, stacks: Path, tmp_path: Path):
    protocol = tmp_path / "assay.toml"
    protocol.write_text(PROTOCOL)
    code = (
        "import sys; from assay.cli.main import _exit_code\n"
        f"sys.argv = ['killassay', 'run', {str(plate)!r}, '--protocol', {str(protocol)!r}, '--out', "
        f"{str(tmp_path / 'results')!r}, '--labels', {str(stacks)!r}, '--labels-tracked', '--workers', '1']\n"
        "code = _exit_code(); print('torch' in sys.modules, code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False 0"
    assert "labels: TIFF files, names read as well, field; 'effectors' for effectors" in done.stderr
    record = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert record["model"] == {}


def checked(plate: Path, labels: Path, **request: Any) -> tuple[list[str], list[str]]:
    return check_plate(plate, parse_protocol(PROTOCOL), LabelRequest(path=labels, **request))


def changed(stacks: Path, folder: Path, change: Mapping[str, str] | None = None, *, shift: int = 0) -> Path:
    """A copy with files renamed, or all labels of B02 shifted to the right."""
    folder.mkdir()
    for file in stacks.iterdir():
        images: NDArray[Any] = tifffile.imread(file)
        name = file.name
        for old, new in (change or {}).items():
            if old in file.name:
                name = file.name.replace(old, new)
        tifffile.imwrite(folder / name, np.roll(images, shift, axis=2), imagej=True, metadata={"axes": "TYX"})
    return folder


def test_check_says_what_labels_were_taken_for_and_that_they_lie_on_the_cells(plate: Path, stacks: Path):
    problems, lines = checked(plate, stacks)
    assert problems == []
    said = "'effectors' for effectors, 'targets' for targets; values are labels of their own frame, to be followed"
    assert f"labels: TIFF files, names read as well, field; {said}" in lines
    assert not any("inside the outlines" in line or "swapped" in line for line in lines)


def test_check_doubts_labels_that_do_not_lie_on_the_cells(plate: Path, stacks: Path, tmp_path: Path):
    _, lines = checked(plate, changed(stacks, tmp_path / "shifted", shift=20))
    doubt = "well B02, field 0, labels of targets: GFP is no brighter inside the outlines than outside"
    assert any(doubt in line for line in lines)
    roles = {"effectors": "targets", "targets": "effectors"}
    _, lines = checked(plate, changed(stacks, tmp_path / "swapped", roles))
    assert any("well B02, field 0: the labels of effectors lie on the targets' dye" in line for line in lines)


def test_check_finds_a_mask_before_anything_is_run(plate: Path, stacks: Path, tmp_path: Path):
    folder = shutil.copytree(stacks, tmp_path / "labels")
    mask = (tifffile.imread(folder / "B02_f0_targets.tif") > 0).astype(np.uint8)
    tifffile.imwrite(folder / "B02_f0_targets.tif", mask, imagej=True, metadata={"axes": "TYX"})
    problems, _ = checked(plate, folder)
    assert len(problems) == 1
    assert "3 values stand in 12 separate pieces" in problems[0]


def resting(n_frames: int, *, anew: bool) -> CellMeasures:
    """Five cells 20 um apart that stay; in every other frame one is missed. Numbered anew, the topmost is 1."""
    rows = []
    for frame in range(n_frames):
        there = [cell for cell in range(5) if frame % 2 == 0 or cell != frame % 5]
        rows += [
            (frame, number if anew else cell + 1, 20.0 * cell) for number, cell in enumerate(there, start=1)
        ]
    frame, label, y = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return CellMeasures(
        role="target",
        frame=frame.astype(np.int32),
        label=label.astype(np.int32),
        y_um=y,
        x_um=np.zeros(n),
        area_um2=np.full(n, 80.0),
        eccentricity=np.zeros(n),
        covered=np.zeros(n),
        at_border=np.zeros(n, bool),
        score=np.full(n, np.nan),
    )


def test_labels_numbered_anew_in_each_frame_are_no_tracks():
    _require_followed(resting(20, anew=False), "here")
    with pytest.raises(
        ImageError, match="here were said to be tracked, but each frame counts its cells from 1"
    ):
        _require_followed(resting(20, anew=True), "here")


def test_options_for_labels_without_labels_are_refused():
    from assay.cli.label_options import label_request

    with pytest.raises(AssayError, match="without --labels LABELS"):
        label_request(None, "", "*", "", None)
