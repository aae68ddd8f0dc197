"""Parts of a job array that begin, work and end at the same time in one RESULTS folder."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.errors import ResultsError
from assay.io.results import Results
from assay.pipeline.run import RunOptions
from assay.protocol import parse_protocol
from tests.assay.pipeline.test_run import ROOT, digest, run
from tests.small_plates import PROTOCOL, film, write_small_plate

# Each part says "made" for every set of label images that it makes, and takes its time for it.
_PART = """
import sys, time
from pathlib import Path
from assay.pipeline import label_images
from assay.pipeline.run import RunOptions
from tests.assay.pipeline.test_run import run

make = label_images._make

def slowly(plan, path, **given):
    made = make(plan, path, **given)
    print("made", path.name, flush=True)
    time.sleep(0.5)
    return made

label_images._make = slowly
plate, out, number, begin = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
time.sleep(max(0.0, begin - time.time()))
run(plate, out, options=RunOptions(part=(number, 2)))
"""


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = {"B02": film(18), "C02": film(18, effectors=False)}
    return write_small_plate(tmp_path_factory.mktemp("plate") / "small.zarr", films)


def test_parts_that_begin_at_the_same_moment_make_the_label_images_once(plate: Path, tmp_path: Path):
    out, begin = tmp_path / "results", str(time.time() + 4)
    parts = [
        subprocess.Popen(
            [sys.executable, "-c", _PART, str(plate), str(out), number, begin],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in ("1", "2")
    ]
    said = [part.communicate(timeout=120) for part in parts]
    assert [part.returncode for part in parts] == [0, 0], said
    lines = [line for out_lines, _ in said for line in out_lines.splitlines()]
    assert sorted(lines) == ["made frame_labels.zarr", "made labels.zarr"]
    _, progress = run(plate, out)
    assert progress.steps["segmentation"] == (4, 4)
    assert progress.steps["label images"] == (4, 4)
    run(plate, tmp_path / "undisturbed")
    assert digest(out) == digest(tmp_path / "undisturbed")


@contextmanager
def at_work(results: Path, name: str) -> Iterator[None]:
    """Another process that holds a part of these RESULTS."""
    code = (
        "import sys, time; from pathlib import Path; from assay.io.results import Results\n"
        f"with Results.open(Path(sys.argv[1])).lock({name!r}): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(results)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        yield
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_while_a_part_is_at_work_only_other_parts_of_the_same_cut_and_protocol_may_join(
    plate: Path, tmp_path: Path
):
    out = tmp_path / "results"
    run(plate, out, options=RunOptions(part=(1, 2)))
    protocol = (out / "protocol.toml").read_text()
    wide = parse_protocol(PROTOCOL + "[contact]\nleave_um = 9.0\n")
    with at_work(out, "part-1-of-2"):
        with pytest.raises(ResultsError, match=r"in use by pid .* \(part-1-of-2\)"):
            run(plate, out)
        with pytest.raises(ResultsError, match=r"in use by pid .* \(part-1-of-2\)"):
            run(plate, out, options=RunOptions(part=(2, 3)))
        with pytest.raises(ResultsError, match="other parts are at work here with another protocol"):
            run(plate, out, options=RunOptions(part=(2, 2)), protocol=wide)
        run(plate, out, options=RunOptions(part=(2, 2)))
    assert (out / "protocol.toml").read_text() == protocol
    assert [file.name for file in out.glob(".*.lock")] == [".part-1-of-2.lock"]  # its owner was killed
    outcome, _ = run(plate, out)
    assert outcome.complete
    assert not outcome.failed


def test_a_run_killed_while_it_made_its_folder_can_go_on(tmp_path: Path):
    out = tmp_path / "results"
    made = Results.create_or_open(out, plate_name="monday", plate_identity="abc")
    for folder in (made.tables, made.work, made.review, out / "ledger"):
        shutil.rmtree(folder)
    (out / ".results.json.77.partial").touch()
    assert Results.create_or_open(out, plate_name="monday", plate_identity="abc").work.is_dir()
