"""What a run that was stopped, changed or cut otherwise leaves behind never gets into another run's numbers."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import assay.pipeline.cells
import assay.pipeline.plate
from assay.errors import ResultsError
from assay.io.results import Results
from assay.io.tables import read_table
from assay.labels import FrameLabels
from assay.pipeline.run import RunOptions, plan_run, report_again, run_plate
from assay.pipeline.status import status_lines
from assay.protocol import parse_protocol
from assay.stack import FieldId
from tests.assay.pipeline.test_run import Silent, digest, run
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import ThresholdSegmenter

N_FRAMES = 36  # three shards of at most 16


class Stopped(ThresholdSegmenter):
    """Ctrl-C comes in the second shard."""

    def __init__(self) -> None:
        self._left = 18

    def segment(
        self, images: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[FrameLabels]:
        self._left -= len(images)
        if self._left < 0:
            raise KeyboardInterrupt
        return super().segment(images, present=present, pixel_um=pixel_um)


class OtherMachine(ThresholdSegmenter):
    @property
    def identity(self) -> Mapping[str, str]:
        return {**super().identity, "numerics": "cuda bf16"}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = {"B02": film(N_FRAMES), "C02": film(N_FRAMES, effectors=False)}
    return write_small_plate(tmp_path_factory.mktemp("plate") / "small.zarr", films)


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "results"
    run(plate, out)
    return out


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (1, 3)])
def test_a_run_may_go_on_with_another_number_of_shards_per_task(
    plate: Path, undisturbed: Path, tmp_path: Path, before: int, after: int
):
    out = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        options = RunOptions(shards_per_task=before, batch_frames=1)
        run(plate, out, options=options, make_segmenter=Stopped)
    run(plate, out, options=RunOptions(shards_per_task=after))
    assert digest(out) == digest(undisturbed)


def test_finished_shards_are_not_segmented_again_in_larger_tasks(plate: Path, tmp_path: Path):
    out = tmp_path / "results"
    run(plate, out)
    _, progress = run(plate, out, options=RunOptions(shards_per_task=2))
    assert progress.steps["segmentation"] == (4, 4)


def test_a_report_is_not_made_of_a_run_that_was_stopped_halfway(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "results"
    run(plate, out)
    strict = replace(
        parse_protocol(PROTOCOL), death=replace(parse_protocol(PROTOCOL).death, min_probability=0.9)
    )
    find, left = assay.pipeline.cells.find_events, [1]

    def stopping(plan):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        find(plan)

    monkeypatch.setattr("assay.pipeline.run.find_events", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(plate, out, protocol=strict)
    with pytest.raises(ResultsError, match="not finished, well C02, field 0 still lacks its events"):
        report_again(out, tables_only=True, for_print=False, progress=Silent())
    monkeypatch.undo()
    run(plate, out, protocol=strict)
    run(plate, tmp_path / "fresh", protocol=strict)
    assert digest(out) == digest(tmp_path / "fresh")


def test_tables_overwritten_by_a_run_that_died_are_made_again(
    plate: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "results"
    shutil.copytree(undisturbed, out)
    other = replace(parse_protocol(PROTOCOL), kill=replace(parse_protocol(PROTOCOL).kill, max_lag_min=90.0))
    write = assay.pipeline.plate.merge_tables

    def dying(folder, name, parts, names):
        if name == "tracks":  # all other tables are written by now
            raise KeyboardInterrupt
        return write(folder, name, parts, names)

    monkeypatch.setattr("assay.pipeline.plate.merge_tables", dying)
    with pytest.raises(KeyboardInterrupt):
        run(plate, out, protocol=other)
    monkeypatch.undo()
    assert Results.open(out).ledger.record("summary", "plate") is None
    run(plate, out)
    assert digest(out) == digest(undisturbed)


def test_results_of_another_kind_of_machine_are_not_mixed_with(plate: Path, tmp_path: Path):
    out = tmp_path / "results"
    wells = RunOptions(wells=("C02",))
    run(plate, out, options=wells)
    before = digest(out)
    with pytest.raises(
        ResultsError, match="another kind of machine: the device's numerics was avx, is cuda bf16"
    ):
        _run_on(plate, out, {"name": "threshold", "numerics": "avx"}, options=replace(wells, redo=True))
        _run_on(plate, out, OtherMachine().identity, options=wells)
    assert digest(out) == before


def _run_on(plate: Path, out: Path, identity: Mapping[str, str], *, options: RunOptions) -> None:
    plan = plan_run(plate, out, protocol=parse_protocol(PROTOCOL), options=options).with_segmenter(identity)
    provenance = {"model": dict(identity)}
    run_plate(
        plan, make_segmenter=ThresholdSegmenter, provenance=provenance, options=options, progress=Silent()
    )


def test_frames_that_lack_a_chunk_can_be_left_out_without_doing_the_other_fields_again(tmp_path: Path):
    films = {"B02": film(20), "C02": film(20, effectors=False)}
    plate = write_small_plate(tmp_path / "small.zarr", films)
    shards = sorted(file for file in (plate / "B" / "02" / "0" / "0" / "c").rglob("*") if file.is_file())
    shards[-1].unlink()  # frames 16 to 19 of the last channel
    out = tmp_path / "results"
    strict = parse_protocol(PROTOCOL + '[input]\nmissing_chunks = "fail"\n')
    outcome, _ = run(plate, out, protocol=strict)
    assert list(outcome.failed) == [FieldId("B02", 0)]
    assert status_lines(out)[1]
    outcome, progress = run(plate, out)
    assert not outcome.failed
    assert progress.steps["segmentation"] == (4, 2)  # of B02 only
    assert read_table(out / "tables", "fields")["masked_frames"].tolist() == ["16-19", ""]
    lines, some_failed = status_lines(out)
    assert not some_failed
    assert lines[-1] == "2 of 2 fields done"
    outcome, _ = run(plate, out, protocol=strict)
    assert list(outcome.failed) == [FieldId("B02", 0)]


def test_what_was_done_under_another_protocol_is_not_said_to_be_done(
    plate: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "results"
    shutil.copytree(undisturbed, out)

    def stop(plan):
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.pipeline.run.link_field", stop)
    slow = parse_protocol(PROTOCOL + "[tracking]\ntarget_max_um_per_min = 2.0\n")
    with pytest.raises(KeyboardInterrupt):
        run(plate, out, protocol=slow)
    assert status_lines(out)[0][0].startswith(
        "B02 field 0: in work; segmented 3 of 3 runs, not linked, no events"
    )


@pytest.mark.parametrize("step", ["link_field", "write_labels", "find_events"])
def test_a_field_that_fails_in_a_later_step_is_failed_and_no_other(
    plate: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    out = tmp_path / "results"
    real = getattr(assay.pipeline.cells, step)

    def failing(plan, *rest):
        if plan.field.well == "B02":
            raise ResultsError("well B02, field 0: a table is torn.")
        real(plan, *rest)

    monkeypatch.setattr(f"assay.pipeline.run.{step}", failing)
    outcome, _ = run(plate, out)
    assert outcome.failed == {FieldId("B02", 0): "well B02, field 0: a table is torn."}
    wells = read_table(out / "tables", "wells")
    assert wells["status"].tolist() == ["failed", "ok"]
    assert np.isnan(wells["kills"][0])
    assert "B02 field 0: failed" in status_lines(out)[0][0]
    monkeypatch.undo()
    outcome, _ = run(plate, out)
    assert not outcome.failed
    assert not status_lines(out)[1]
    assert digest(out) == digest(undisturbed)


def test_the_report_of_a_plate_that_was_moved_says_so(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(6)})
    out = tmp_path / "results"
    run(plate, out)
    before = digest(out)
    moved = plate.rename(tmp_path / "moved.zarr")
    with pytest.raises(ResultsError, match=r"the plate was in .*small\.zarr and is not there now"):
        report_again(out, tables_only=False, for_print=False, progress=Silent())
    _, progress = run(moved, out)
    assert progress.steps["segmentation"] == (1, 1)
    assert report_again(out, tables_only=False, for_print=False, progress=Silent()).is_file()
    assert digest(out) == before
