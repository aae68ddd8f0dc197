"""The main job as a whole: the same bytes however it is cut, stopped or spread; failures stay in their field."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ProtocolError, ResultsError
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import read_table
from assay.pipeline.run import RunOptions, RunOutcome, plan_run, report_again, run_plate
from assay.pipeline.status import status_lines
from assay.protocol import Protocol, parse_protocol
from assay.stack import FieldId
from assay.units import Calibration
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import ThresholdSegmenter, make

N_FRAMES = 36  # more than two shards of 16
ROOT = Path(__file__).parents[3]


class Silent:
    """Progress that nobody listens to."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[int, int]] = {}

    def begin(self, step: str, total: int, done: int = 0) -> None:
        self.steps[step] = (total, done)

    def advance(self) -> None: ...

    def say(self, line: str) -> None: ...


def run(
    plate: Path,
    out: Path,
    *,
    protocol: Protocol | None = None,
    options: RunOptions | None = None,
    make_segmenter: Callable[[], ThresholdSegmenter] = make,
) -> tuple[RunOutcome, Silent]:
    protocol, options, progress = protocol or parse_protocol(PROTOCOL), options or RunOptions(), Silent()
    identity = make().identity
    plan = plan_run(plate, out, protocol=protocol, options=options).with_segmenter(identity)
    outcome = run_plate(
        plan,
        make_segmenter=make_segmenter,
        provenance={"model": dict(identity)},
        options=options,
        progress=progress,
    )
    return outcome, progress


def digest(results: Path) -> dict[str, str]:
    """Hash of every table and label file."""
    files = sorted([*(results / "tables").rglob("*"), *(results / "labels.zarr").rglob("*")])
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = {"B02": film(N_FRAMES), "B03": film(N_FRAMES, seed=4), "C02": film(N_FRAMES, effectors=False)}
    return write_small_plate(tmp_path_factory.mktemp("plate") / "small.zarr", films)


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "results"
    outcome, _ = run(plate, out)
    assert outcome.complete
    assert not outcome.failed
    return out


def test_the_one_death_is_found_and_credited_to_the_effector_that_lay_on_it(undisturbed: Path):
    deaths = read_table(undisturbed / "tables", "deaths")
    targets = deaths["role"] == "target"
    assert deaths["well"][targets].tolist() == ["B02", "B03"]
    assert all(abs(frame - 12) <= 1 for frame in deaths["frame"][targets])
    wells = read_table(undisturbed / "tables", "wells")
    kills = dict(zip(wells["well"], wells["kills"], strict=True))
    assert kills["B02"] > 0.5
    assert kills["C02"] == 0.0


def test_contacts_and_effectors_say_who_killed_and_the_provenance_by_which_model(undisturbed: Path):
    contacts, effectors, kills = (
        read_table(undisturbed / "tables", name) for name in ("contacts", "effectors", "kills")
    )
    killed = contacts["outcome"] == "kill"
    assert set(contacts["well"][killed]) == {"B02", "B03"}
    assert contacts["kill_share"][killed].tolist() == kills["share"].tolist()
    assert set(effectors["well"]) <= {"B02", "B03", "C02"}
    assert effectors["kills_hard"].sum() == 2
    credit = json.loads((undisturbed / "provenance.json").read_text())["credit"]
    assert credit["model"] == "one hit kills"
    assert credit["fitted_on_wells"] == sorted(set(read_table(undisturbed / "tables", "wells")["well"]))
    assert credit["fitted_on_part_of_the_plate"] is False


def test_label_values_are_track_ids_of_the_cells_table(undisturbed: Path):
    cells = read_table(undisturbed / "tables", "cells")
    labels = LabelPlate.open(undisturbed / "labels.zarr")
    for role in ("effector", "target"):
        image = labels.read(FieldId("B02", 0), role, [20])[0]
        rows = (cells["well"] == "B02") & (cells["frame"] == 20) & (cells["role"] == role)
        assert set(np.unique(image).tolist()) - {0} == set(cells["track_id"][rows].tolist())
        assert rows.any()


def test_every_row_of_a_track_but_the_first_says_how_sure_its_link_is(undisturbed: Path):
    cells, tracks = (read_table(undisturbed / "tables", name) for name in ("cells", "tracks"))
    for row in range(len(tracks["track_id"])):
        own = (cells["role"] == tracks["role"][row]) & (cells["track_id"] == tracks["track_id"][row])
        own &= (cells["well"] == tracks["well"][row]) & (cells["field"] == tracks["field"][row])
        first = cells["frame"] == tracks["first_frame"][row]
        assert np.isnan(cells["link_confidence"][own & first]).all()
        sure = cells["link_confidence"][own & ~first]
        assert ((sure > 0) & (sure <= 1)).all()
        if len(sure):
            assert tracks["min_link_confidence"][row] == sure.min()


def test_shares_of_a_death_and_what_nobody_gets_sum_to_one(undisturbed: Path):
    deaths, kills = (read_table(undisturbed / "tables", name) for name in ("deaths", "kills"))
    for n in np.flatnonzero(deaths["role"] == "target"):
        mine = (kills["well"] == deaths["well"][n]) & (kills["death_id"] == deaths["death_id"][n])
        assert kills["share"][mine].sum() + deaths["uncredited_share"][n] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        RunOptions(shards_per_task=2),
        RunOptions(shards_per_task=3, batch_frames=5),
        RunOptions(batch_frames=1),
        RunOptions(batch_frames=16),
        RunOptions(workers=2),
    ],
    ids=["two shards a task", "all in one task", "batch of 1", "batch of 16", "two Dask workers"],
)
def test_results_are_the_same_bytes_however_the_work_is_cut(
    plate: Path, undisturbed: Path, tmp_path: Path, options: RunOptions
):
    run(plate, tmp_path / "results", options=options)
    assert digest(tmp_path / "results") == digest(undisturbed)


def test_parts_of_a_job_array_merge_to_the_same_bytes(plate: Path, undisturbed: Path, tmp_path: Path):
    out = tmp_path / "results"
    for part in (2, 1):
        outcome, _ = run(plate, out, options=RunOptions(part=(part, 2)))
        assert not outcome.complete
    outcome, progress = run(plate, out)
    assert outcome.complete
    assert progress.steps["segmentation"] == (9, 9)
    assert digest(out) == digest(undisturbed)


_KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from assay.io import durable, ledger
from tests.assay.pipeline.test_run import run

left = int(sys.argv[3])
whole = durable.write_whole

def dying(path, data):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(path, data)

import assay.io.tables, assay.io.results, assay.pipeline.work_files, assay.pipeline.status
for module in (durable, ledger, assay.io.tables, assay.io.results, assay.pipeline.work_files, assay.pipeline.status):
    module.write_whole = dying
run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("writes", [3, 20, 45, 80])
def test_a_run_killed_at_any_moment_and_run_again_gives_the_same_bytes(
    plate: Path, undisturbed: Path, tmp_path: Path, writes: int
):
    out = tmp_path / "results"
    command = [sys.executable, "-c", _KILLED_RUN, str(plate), str(out), str(writes)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run(plate, out)
    assert digest(out) == digest(undisturbed)


def test_a_second_run_does_nothing_again(plate: Path, undisturbed: Path):
    before = digest(undisturbed)
    _, progress = run(plate, undisturbed)
    assert all(total == done for step, (total, done) in progress.steps.items() if step != "wells and report")
    assert digest(undisturbed) == before


def test_a_changed_contact_threshold_redoes_events_and_no_pixels(
    plate: Path, undisturbed: Path, tmp_path: Path
):
    protocol = parse_protocol(PROTOCOL)
    wide = replace(protocol, contact=replace(protocol.contact, enter_um=6.0, leave_um=9.0))
    fresh, resumed = tmp_path / "fresh", tmp_path / "resumed"
    run(plate, fresh, protocol=wide)
    run(plate, resumed)
    ledger = resumed / "ledger" / "pixels"
    before = {file.name: file.stat().st_mtime_ns for file in ledger.iterdir()}
    _, progress = run(plate, resumed, protocol=wide)
    assert {file.name: file.stat().st_mtime_ns for file in ledger.iterdir()} == before
    assert progress.steps["tracking"] == (3, 3)
    assert progress.steps["contacts and deaths"] == (3, 0)
    assert digest(resumed) == digest(fresh)


def test_results_of_another_plate_are_refused(undisturbed: Path, tmp_path: Path):
    other = write_small_plate(tmp_path / "other.zarr", {"B02": film(4)})
    with pytest.raises(ResultsError, match="holds the results of another plate"):
        run(other, undisturbed)


def test_results_of_a_protocol_with_other_channels_are_kept_unless_redone(plate: Path, tmp_path: Path):
    out = tmp_path / "results"
    run(plate, out, options=RunOptions(wells=("C02",)))
    before = digest(out)
    other = parse_protocol(PROTOCOL.replace('target = "GFP"\ndeath = "PI"', 'target = "PI"\ndeath = "GFP"'))
    with pytest.raises(ResultsError, match=r"holds results of another protocol: \[channels\] was .* --redo"):
        run(plate, out, protocol=other, options=RunOptions(wells=("C02",)))
    assert digest(out) == before
    run(plate, out, protocol=other, options=RunOptions(wells=("C02",), redo=True))
    assert digest(out) != before


def test_an_unknown_channel_stops_before_anything_is_written(plate: Path, tmp_path: Path):
    protocol = parse_protocol(PROTOCOL.replace('"GFP"', '"GPF"'))
    with pytest.raises(ProtocolError, match=r"'GPF' is not in the images.*Did you mean 'GFP'"):
        run(plate, tmp_path / "results", protocol=protocol)
    assert not (tmp_path / "results").exists()


def test_a_deleted_chunk_fails_its_field_and_no_other(tmp_path: Path, undisturbed: Path):
    films = {"B02": film(N_FRAMES), "B03": film(N_FRAMES, seed=4), "C02": film(N_FRAMES, effectors=False)}
    plate = write_small_plate(tmp_path / "small.zarr", films)
    victim = sorted((plate / "B" / "03" / "0" / "0" / "c").rglob("*"))
    shard = next(file for file in victim if file.is_file())
    kept = shard.read_bytes()
    shard.unlink()
    out = tmp_path / "results"
    outcome, _ = run(plate, out)
    assert list(outcome.failed) == [FieldId("B03", 0)]
    assert "well B03, field 0, frame 0" in outcome.failed[FieldId("B03", 0)]
    wells = read_table(out / "tables", "wells")
    row = wells["well"].tolist().index("B03")
    assert wells["status"][row] == "failed"
    assert np.isnan(wells["kills"][row])
    lines, some_failed = status_lines(out)
    assert some_failed
    assert any(line.startswith("B03 field 0: failed") for line in lines)
    shard.write_bytes(kept)
    outcome, _ = run(plate, out)
    assert not outcome.failed
    assert digest(out) == digest(undisturbed)


def test_an_all_black_frame_is_masked_and_kills_nobody(tmp_path: Path):
    images = film(N_FRAMES)
    images[7] = 0
    plate = write_small_plate(
        tmp_path / "small.zarr", {"B02": images, "C02": film(N_FRAMES, effectors=False)}
    )
    out = tmp_path / "results"
    run(plate, out)
    fields = read_table(out / "tables", "fields")
    assert fields["masked_frames"].tolist() == ["7", ""]
    deaths = read_table(out / "tables", "deaths")
    assert deaths["well"][deaths["role"] == "target"].tolist() == ["B02"]
    tracks = read_table(out / "tables", "tracks")
    assert (tracks["role"][(tracks["well"] == "B02")] == "target").sum() == 4


def test_a_frame_that_was_never_recorded_is_masked(tmp_path: Path):
    images = film(N_FRAMES)
    images[9] = 0
    plate = write_small_plate(
        tmp_path / "small.zarr", {"B02": images}, missing_frames={FieldId("B02", 0): [9]}
    )
    out = tmp_path / "results"
    run(plate, out)
    assert read_table(out / "tables", "fields")["masked_frames"].tolist() == ["9"]


@pytest.mark.parametrize(
    ("effectors", "targets"),
    [(False, True), (True, False), (False, False)],
    ids=["no effector", "no target", "none"],
)
def test_a_film_without_cells_of_a_role_has_zeros_with_n_zero(tmp_path: Path, effectors: bool, targets: bool):
    plate = write_small_plate(
        tmp_path / "small.zarr", {"B02": film(20, effectors=effectors, targets=targets)}
    )
    out = tmp_path / "results"
    outcome, _ = run(plate, out)
    assert not outcome.failed
    wells = read_table(out / "tables", "wells")
    assert wells["n_effectors"].tolist() == [2.0 if effectors else 0.0]
    assert wells["n_targets"].tolist() == [4.0 if targets else 0.0]
    assert wells["kills"].tolist() == [0.0]
    if not targets:
        assert np.isnan(wells["measured_et_ratio"][0])


def test_one_frame_has_cells_but_no_events(tmp_path: Path):
    still = Calibration(pixel_um=(1.0, 1.0))
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(1)}, calibration=still)
    out = tmp_path / "results"
    run(plate, out)
    wells = read_table(out / "tables", "wells")
    assert wells["status"].tolist() == ["no_events"]
    assert np.isnan(wells["kills"][0])
    assert np.isnan(wells["deaths"][0])
    assert wells["n_targets"].tolist() == [4.0]
    assert "single frame" in (out / "report.html").read_text()


def test_only_the_wells_that_are_asked_for_are_run(plate: Path, tmp_path: Path):
    out = tmp_path / "results"
    run(plate, out, options=RunOptions(wells=("C02",)))
    assert read_table(out / "tables", "wells")["well"].tolist() == ["C02"]
    with pytest.raises(ResultsError, match="the plate has no well H12"):
        run(plate, out, options=RunOptions(wells=("H12",)))


def test_wells_run_one_by_one_and_then_together_give_the_same_bytes(
    plate: Path, undisturbed: Path, tmp_path: Path
):
    out = tmp_path / "results"
    run(plate, out, options=RunOptions(wells=("B03",)))
    run(plate, out)
    assert digest(out) == digest(undisturbed)


def test_the_report_is_made_again_from_what_is_there(undisturbed: Path):
    before = digest(undisturbed)
    page = (undisturbed / "report.html").read_bytes()
    (undisturbed / "report.html").unlink()
    path = report_again(undisturbed, tables_only=False, for_print=False, progress=Silent())
    assert path.read_bytes() == page
    assert digest(undisturbed) == before


def test_a_second_run_at_the_same_time_is_kept_out(plate: Path, undisturbed: Path):
    code = (
        "import sys, time; from pathlib import Path; from assay.io.results import Results\n"
        "with Results.open(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(undisturbed)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ResultsError, match=f"in use.*{other.pid}"):
            run(plate, undisturbed)
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
