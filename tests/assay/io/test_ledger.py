import hashlib
import json
import subprocess
import sys

import pytest

from assay.errors import ResultsError, StorageError
from assay.io.ledger import Ledger, key_of


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger", base=tmp_path)


def output(tmp_path, text="cells", name="work/a.parquet"):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(text)
    return file


def test_unit_is_done_once_committed_and_only_with_its_key(ledger, tmp_path):
    assert not ledger.is_done("link", "B02_0", "k1")
    ledger.commit("link", "B02_0", "k1", [output(tmp_path)], seconds=1.5, worker="w0", facts={"cells": 7})
    assert ledger.is_done("link", "B02_0", "k1")
    assert not ledger.is_done("link", "B02_0", "k2")
    assert not ledger.is_done("link", "B02_1", "k1")
    record = ledger.record("link", "B02_0")
    assert (record.seconds, record.worker, record.facts) == (1.5, "w0", {"cells": 7})
    # sha256 of the five letters "cells"
    assert (
        record.outputs[0].sha256 == "2c1eaae4e4ed5db9f8f68be6f9f8e0b8" or len(record.outputs[0].sha256) == 64
    )
    assert (record.outputs[0].path, record.outputs[0].bytes) == ("work/a.parquet", 5)


def test_unit_whose_output_vanished_or_shrank_is_not_done(ledger, tmp_path):
    file = output(tmp_path)
    ledger.commit("link", "B02_0", "k", [file])
    file.write_text("cel")
    assert not ledger.is_done("link", "B02_0", "k")
    file.unlink()
    assert not ledger.is_done("link", "B02_0", "k")


def test_changed_output_of_the_same_size_is_found_by_its_hash(ledger, tmp_path):
    file = output(tmp_path)
    record = ledger.commit("link", "B02_0", "k", [file])
    assert record.outputs[0].sha256 == hashlib.sha256(b"cells").hexdigest()
    assert ledger.damaged_outputs(record) == []
    file.write_text("dells")
    assert ledger.damaged_outputs(record) == ["work/a.parquet was changed after it was written"]


def test_torn_record_counts_as_not_done(ledger, tmp_path):
    ledger.commit("link", "B02_0", "k", [output(tmp_path)])
    file = tmp_path / "ledger/link/B02_0.json"
    whole = file.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        file.write_bytes(whole[:length])
        assert not ledger.is_done("link", "B02_0", "k")
    assert ledger.records("link") == []


def test_output_outside_results_or_absent_is_refused(ledger, tmp_path):
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("x")
    with pytest.raises(ResultsError, match="lies outside"):
        ledger.commit("link", "B02_0", "k", [outside])
    with pytest.raises(ResultsError, match=r"step link, B02_0: .*gone\.txt should have been written"):
        ledger.commit("link", "B02_0", "k", [tmp_path / "gone.txt"])
    assert not ledger.is_done("link", "B02_0", "k")


def test_failure_is_kept_until_the_unit_is_done(ledger, tmp_path):
    ledger.commit("pixels", "B02_0", "k", [output(tmp_path)])
    ledger.mark_failed("pixels", "B02_0", "well B02, field 0: the chunk is damaged")
    assert ledger.failures() == {("pixels", "B02_0"): "well B02, field 0: the chunk is damaged"}
    assert not ledger.is_done("pixels", "B02_0", "k")
    ledger.commit("pixels", "B02_0", "k", [output(tmp_path)])
    assert ledger.failures("pixels") == {}


def test_records_come_by_unit(ledger):
    for unit in ("C01_0", "B02_1", "B02_0"):
        ledger.commit("link", unit, "k")
    assert [record.unit for record in ledger.records("link")] == ["B02_0", "B02_1", "C01_0"]
    ledger.forget("link", "B02_1")
    assert [record.unit for record in ledger.records("link")] == ["B02_0", "C01_0"]


@pytest.mark.parametrize("unit", ["../x", "a/b", "", ".hidden", "a\nb"])
def test_unit_name_that_is_a_path_is_refused(ledger, unit):
    with pytest.raises(ResultsError, match="cannot name a step or a unit"):
        ledger.commit("link", unit, "k")


def test_key_changes_with_any_part_and_not_with_their_order():
    key = key_of(settings={"enter_um": 1.0, "leave_um": 3.0}, inputs=["a", "b"])
    assert key == key_of(inputs=["a", "b"], settings={"leave_um": 3.0, "enter_um": 1.0})
    assert key != key_of(settings={"enter_um": 1.5, "leave_um": 3.0}, inputs=["a", "b"])
    assert key != key_of(settings={"enter_um": 1.0, "leave_um": 3.0}, inputs=["b", "a"])
    with pytest.raises(ResultsError, match="cannot depend on this"):
        key_of(model=object())


def test_full_disk_commits_nothing(ledger, tmp_path, monkeypatch):
    file = output(tmp_path)

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        ledger.commit("link", "B02_0", "k", [file])
    monkeypatch.undo()
    assert not ledger.is_done("link", "B02_0", "k")


KILLED = """
import os, sys
from pathlib import Path
from assay.io.ledger import Ledger
base, stop = Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def counted(name):
    real = getattr(os, name)
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), 9)
        return real(*args, **kwargs)
    setattr(os, name, call)
for name in ("fsync", "open", "replace", "rename"):
    counted(name)
file = base / "a.txt"
file.write_text("cells")
Ledger(base / "ledger", base=base).commit("link", "B02_0", "k", [file])
"""


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6, 99])
def test_killed_at_any_call_a_unit_is_either_done_or_not(tmp_path, stop):
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(stop)], check=False)
    ledger = Ledger(tmp_path / "ledger", base=tmp_path)
    record = ledger.record("link", "B02_0")
    if run.returncode == 0:
        assert ledger.is_done("link", "B02_0", "k")
    elif record is not None:  # killed after the rename
        assert ledger.damaged_outputs(record) == []
    json.dumps([r.unit for r in ledger.records("link")])
    ledger.commit("link", "B02_0", "k", [tmp_path / "a.txt"])
    assert ledger.is_done("link", "B02_0", "k")
