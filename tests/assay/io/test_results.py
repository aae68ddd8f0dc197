import json
import os
import socket
import subprocess
import sys

import pytest

from assay.errors import DamageError, ResultsError, StorageError
from assay.io.durable import require_free_space, size_text
from assay.io.results import Results


def create(path, identity="abc", name="plate", plate_path="/data/plate.zarr"):
    return Results.create_or_open(path, plate_name=name, plate_identity=identity, plate_path=plate_path)


def test_folder_is_made_and_opened_again(tmp_path):
    results = create(tmp_path / "R")
    assert results.tables.is_dir() and results.work.is_dir() and results.review.is_dir()
    assert create(tmp_path / "R") == results == Results.open(tmp_path / "R")


def test_folder_of_another_plate_is_refused(tmp_path):
    create(tmp_path / "R", identity="abc", name="monday")
    with pytest.raises(
        ResultsError, match=r"another plate \('monday', this one is 'friday'\).*another folder"
    ):
        create(tmp_path / "R", identity="def", name="friday")


def test_moved_plate_is_the_same_plate(tmp_path):
    create(tmp_path / "R")
    create(tmp_path / "R", plate_path="/elsewhere/plate.zarr")
    assert Results.open(tmp_path / "R").plate_path == "/elsewhere/plate.zarr"


def test_folder_of_other_things_is_never_written_into(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(ResultsError, match="is no RESULTS folder of killassay, so nothing is written"):
        create(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.doc"]


def test_empty_folder_is_taken(tmp_path):
    assert create(tmp_path).tables.is_dir()


def test_what_is_no_results_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(ResultsError, match="killassay run PLATE"):
        Results.open(tmp_path)


def test_results_of_another_version_are_refused(tmp_path):
    create(tmp_path / "R")
    mark = tmp_path / "R/results.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "format": 99}))
    with pytest.raises(ResultsError, match="format 99, expected 2"):
        Results.open(tmp_path / "R")


def test_provenance_and_protocol_are_kept(tmp_path):
    results = create(tmp_path / "R")
    assert results.read_provenance() == {}
    results.write_provenance({"model": "standard", "fields": {"B02_0": "ok"}})
    results.write_protocol('[channels]\ntarget = "GFP"\n')
    assert results.read_provenance()["fields"] == {"B02_0": "ok"}
    assert results.protocol_file.read_text() == '[channels]\ntarget = "GFP"\n'
    results.provenance_file.write_text("{")
    with pytest.raises(DamageError, match=r"provenance\.json was cut short"):
        results.read_provenance()


def test_second_run_is_kept_out_and_told_by_whom(tmp_path):
    results = create(tmp_path / "R")
    message = f"R is in use by pid {os.getpid()} on {socket.gethostname()} since 20"
    with results.lock():
        with pytest.raises(ResultsError, match=message), results.lock():
            pass
        with results.lock("part-1-of-2"):
            pass
    with results.lock():
        pass
    assert not list((tmp_path / "R").glob(".*lock"))


def test_lock_is_released_after_an_error(tmp_path):
    results = create(tmp_path / "R")
    with pytest.raises(KeyboardInterrupt), results.lock():
        raise KeyboardInterrupt
    with results.lock():
        pass


def lock_of(results, **owner):
    base = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": "2026-01-01T00:00:00+00:00",
        "started": None,
    }
    (results.path / ".run.lock").write_text(json.dumps({**base, **owner}))


def test_lock_of_a_dead_run_is_taken_over(tmp_path):
    results = create(tmp_path / "R")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lock_of(results, pid=dead.pid)
    with results.lock():
        pass


def test_lock_whose_number_now_belongs_to_another_process_is_taken_over(tmp_path):
    results = create(tmp_path / "R")
    lock_of(results, started="1")
    with results.lock():
        pass


def test_torn_lock_is_taken_over(tmp_path):
    results = create(tmp_path / "R")
    (results.path / ".run.lock").write_text('{"pid": 1')
    with results.lock():
        pass


def test_lock_of_another_machine_is_respected(tmp_path):
    results = create(tmp_path / "R")
    lock_of(results, host="node17", pid=1)
    with pytest.raises(
        ResultsError, match=r"in use by pid 1 on node17 since 2026-01-01.*delete .*\.run\.lock"
    ):
        results.lock().__enter__()


RACE = """
import sys, time
from assay.errors import ResultsError
from assay.io.results import Results
results = Results.open(sys.argv[1])
while time.time() < float(sys.argv[2]):
    pass
try:
    with results.lock():
        print("in")
        time.sleep(1.5)
except ResultsError:
    print("out")
"""


def test_of_four_runs_that_find_a_dead_lock_one_gets_in(tmp_path):
    import time

    results = create(tmp_path / "R")
    lock_of(results, started="1")
    start = str(time.time() + 2.0)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(results.path), start], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = sorted(run.communicate()[0].strip() for run in runs)
    assert said == ["in", "out", "out", "out"]


def test_too_little_space_is_said_before_the_run(tmp_path):
    with pytest.raises(
        StorageError, match=r"the run needs about 1\.0 EB|the run needs about 1000000\.0 TB, but .* free"
    ):
        require_free_space(tmp_path / "not" / "there", 10**18, "the run")
    require_free_space(tmp_path, 1, "the run")


def test_sizes_are_written_for_people():
    assert [size_text(size) for size in (12, 1500, 2_500_000, 3 * 10**9, 4 * 10**12)] == [
        "12 bytes",
        "1.5 kB",
        "2.5 MB",
        "3.0 GB",
        "4.0 TB",
    ]


def test_read_only_folder_is_one_clear_line(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(StorageError, match=r"the RESULTS folder could not be written .* permission denied"):
        create(tmp_path / "R")
