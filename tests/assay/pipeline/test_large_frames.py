"""A run of frames that are not held says the same as a run that holds them; the limit is lowered so that small ones do."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from assay.columns import TABLES
from assay.errors import ImageError
from assay.io.exporters import export_tracks
from assay.io.lineage_sources import open_lineages
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.tables import read_table
from assay.io.verification import verify_results
from assay.label_runs import label_runs
from assay.labels import CELL_ROLES, LargeFrameLabels
from assay.pipeline.check import check_plate
from assay.pipeline.event_films import write_event_films
from assay.pipeline.planning import RunOptions, plan_run
from assay.pipeline.run import run_plate
from assay.protocol import parse_protocol
from assay.stack import FieldId
from tests.small_plates import HEIGHT, PROTOCOL, WIDTH, film, write_small_plate
from tests.threshold_segmenter import ThresholdSegmenter, make

N_FRAMES, TIMES = 20, (2, 1)
SHAPE = (HEIGHT * TIMES[0], WIDTH * TIMES[1])  # 144 x 96
FIELD = FieldId("B02", 0)


class InParts(ThresholdSegmenter):
    """The same cells, as runs of pixels."""

    def segment(self, images, **options):
        raise AssertionError("a whole frame was asked for")

    def segment_large(self, read, *, shape, present, pixel_um):
        slots = np.concatenate(
            [read(slice(top, min(top + 50, shape[0])), slice(0, shape[1])) for top in range(0, shape[0], 50)],
            axis=1,
        )
        [cells] = make().segment(slots[None], present=present, pixel_um=pixel_um)
        return LargeFrameLabels(
            shape=shape,
            effectors=label_runs(cells.effectors)[0],
            targets=label_runs(cells.targets)[0],
            effector_scores=cells.effector_scores,
            target_scores=cells.target_scores,
        )


def in_parts() -> InParts:
    return InParts()


class Silent:
    def begin(self, step: str, total: int, done: int = 0) -> None: ...

    def advance(self) -> None: ...

    def say(self, line: str) -> None: ...


def run(plate: Path, out: Path, segmenter, protocol: str = PROTOCOL):
    plan = plan_run(plate, out, protocol=parse_protocol(protocol), options=RunOptions())
    plan = plan.with_segmenter(make().identity)
    outcome = run_plate(
        plan,
        make_segmenter=segmenter,
        provenance={"model": make().identity},
        options=RunOptions(),
        progress=Silent(),
    )
    assert outcome.complete
    return outcome


def hold_nothing(patch: pytest.MonkeyPatch) -> None:
    """Frames of 144 x 96 px are too large; 96 rows are held at once, and shards are of one frame."""
    patch.setattr("assay.labels.LARGEST_WHOLE_PX", SHAPE[0] * SHAPE[1] - 1)
    patch.setattr("assay.pipeline.large_frames.ROWS_AT_ONCE", 96)
    patch.setattr("assay.pipeline.measured_frames._ROWS_AT_ONCE", 40)
    patch.setattr("assay.io.large_labels._ROWS_AT_ONCE", 40)
    patch.setattr("assay.io.layout.MAX_SHARD_BYTES", SHAPE[0] * SHAPE[1] * 4 - 1)
    patch.setattr("assay.report.crops._AROUND_PX", 90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
def plate(folder: Path) -> Path:
    films = {"B02": np.tile(film(N_FRAMES), (1, 1, *TIMES))}
    return write_small_plate(folder / "plate.zarr", films, missing_frames={FIELD: [17]})


@pytest.fixture(scope="module")
def whole(plate: Path, folder: Path) -> Path:
    assert not run(plate, folder / "whole", make).failed
    return folder / "whole"


@pytest.fixture(scope="module")
def parts(plate: Path, folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        hold_nothing(patch)
        assert not run(plate, folder / "parts", in_parts).failed
    return folder / "parts"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_that_of_frames_that_are_held(whole: Path, parts: Path, name: str):
    ours, theirs = (read_table(results / "tables", name) for results in (parts, whole))
    assert list(ours) == list(theirs)
    for column in ours:
        if ours[column].dtype.kind == "f":  # of light, sums over parts differ in their last digits
            assert ours[column] == pytest.approx(theirs[column], rel=1e-12, abs=1e-12, nan_ok=True), column
        else:
            assert ours[column].tolist() == theirs[column].tolist(), column
    assert name not in ("cells", "tracks", "contacts", "deaths") or len(ours["well"])


def test_label_images_and_previews_are_the_same(whole: Path, parts: Path):
    ours, theirs = (LabelPlate.open(results / "labels.zarr") for results in (parts, whole))
    frames = range(N_FRAMES)
    assert [len(one.files_of(FIELD, "target", 0, N_FRAMES)) for one in (ours, theirs)] == [20, 2]
    assert np.array_equal(ours.read_preview(FIELD, frames), theirs.read_preview(FIELD, frames))
    for role in CELL_ROLES:
        image = theirs.read(FIELD, role, frames)
        assert image.any()
        assert np.array_equal(ours.read(FIELD, role, frames), image)


def test_smaller_levels_hold_every_second_pixel(tmp_path: Path):
    """A frame of 1100 x 1030 px has a level of 550 x 515 and one of 275 x 258."""
    from assay.io.checked import CheckedArray
    from assay.io.large_labels import read_label_runs, write_label_runs
    from assay.units import Calibration

    image = np.zeros((1100, 1030), np.int32)
    for number, (y, x) in enumerate(np.random.default_rng(3).integers(0, 1000, (400, 2)), start=1):
        image[y : y + 9, x : x + 7] = number
    calibration = Calibration(pixel_um=(0.65, 0.65), frame_min=5.0)
    labels = LabelPlate.create(
        tmp_path / "l.zarr", fields=[FIELD], shapes=(1, 1100, 1030), calibration=calibration
    )
    write_label_runs(labels, FIELD, "target", 0, label_runs(image)[0])
    for level, path in enumerate(labels.levels(FIELD, "target")):
        read = CheckedArray(labels.path, path, where="here", axes="tyx").read([0], None)[0]
        assert np.array_equal(read, image[:: 2**level, :: 2**level])
    assert np.array_equal(read_label_runs(labels, FIELD, "target", 0), label_runs(image)[0])


def test_the_report_the_check_the_films_and_verify_do_without_whole_frames(
    plate: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from assay.io.plate_reader import PlateStack

    hold_nothing(monkeypatch)
    once = PlateStack.read

    def read(self, frames, channels=None, *, window=None):
        block = once(self, frames, channels, window=window)
        assert block.shape[-2] * block.shape[-1] < SHAPE[0] * SHAPE[1], "a whole frame was read"
        return block

    monkeypatch.setattr(PlateStack, "read", read)
    problems, lines = check_plate(plate, parse_protocol(PROTOCOL))
    assert problems == []
    assert lines[-1] == "nothing speaks against a run"
    assert 'class="film"' in (parts / "report.html").read_text()
    assert len(write_event_films(parts, tmp_path, most=1, progress=Silent())) == 1
    assert verify_results(Results.open(parts)).problems == ()


def test_a_changed_contact_is_found_again_from_the_label_images(
    plate: Path, parts: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nearer = PROTOCOL + "\n[contact]\nenter_um = 2.0\nleave_um = 4.0\n"
    assert not run(plate, tmp_path / "whole", make, nearer).failed
    again = tmp_path / "parts"
    shutil.copytree(parts, again)
    hold_nothing(monkeypatch)

    def nobody():
        raise AssertionError("the model was asked")

    assert not run(plate, again, nobody, nearer).failed
    for name in ("contacts", "kills"):
        ours, theirs = (read_table(results / "tables", name) for results in (again, tmp_path / "whole"))
        assert all(
            ours[column].tolist() == theirs[column].tolist()
            for column in ours
            if ours[column].dtype.kind != "f"
        )


def test_a_model_that_holds_whole_frames_says_so_and_the_field_counts_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hold_nothing(monkeypatch)
    monkeypatch.setattr("assay.labels.LARGEST_WHOLE_PX", HEIGHT * WIDTH - 1)
    monkeypatch.setattr("assay.io.layout.MAX_SHARD_BYTES", HEIGHT * WIDTH * 4 - 1)
    plate = write_small_plate(tmp_path / "short.zarr", {"B02": film(2)})
    outcome = run(plate, tmp_path / "out", make)
    assert list(outcome.failed) == [FIELD]
    assert "frames of 72 x 96 pixels are too large for this model" in outcome.failed[FIELD]


@pytest.mark.parametrize("form", ["ctc", "geff"])
def test_masks_that_are_held_as_a_whole_are_not_exported(
    parts: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
):
    films = open_lineages(parts, role=None).films
    hold_nothing(monkeypatch)
    with pytest.raises(ImageError, match=rf"frames of 144 x 96 pixels are too large for {form}"):
        export_tracks(films, tmp_path, form, progress=Silent())
    assert list(tmp_path.iterdir()) == []
