import hashlib
import importlib.util
import json
import shutil

import numpy as np
import pytest

from assay.cli import review_commands
from assay.columns import table_of_rows
from assay.io.results import Results
from assay.io.review_logs import open_log
from assay.io.tables import read_table, write_table
from assay.review.events import review_events
from assay.review.sitting import Sitting
from tests.assay.review.small_reviews import contact, death, kill

N = 10


@pytest.fixture
def results(tmp_path, monkeypatch) -> Results:
    """A RESULTS folder of ten deaths whose tables the ledger vouches for."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = Results.create_or_open(tmp_path / "RESULTS", plate_name="P", plate_identity="abc")
    rows = range(1, N + 1)
    unknown = dict.fromkeys(
        ("reason", "missed_deaths", "cytolysis_percent", "cytolysis_percent_low", "cytolysis_percent_high")
    )
    well = {
        "well": "B02",
        "condition": "CAR-T",
        "kind": "sample",
        "status": "ok",
        "n_fields": 1,
        "n_targets": 20,
    }
    well |= {"n_effectors": 20, "measured_et_ratio": 1, "contacts": 10, "deaths": 9, "kills": 8.1}
    tables = {
        "deaths": table_of_rows("deaths", [death(k, k, 10 * k) for k in rows]),
        "kills": table_of_rows("kills", [kill(k, k, 5, 0.9) for k in rows]),
        "contacts": table_of_rows("contacts", [contact(5, k, 1, 10 * k) for k in rows]),
        "wells": table_of_rows("wells", [well | unknown | {"kills_low": 4.1, "kills_high": 12.1}]),
        "fields": table_of_rows("fields", []),
    }
    files = [write_table(made.tables, name, table) for name, table in tables.items()]
    made.ledger.commit("summary", "plate", "key", files)
    return made


def review_by(results: Results, reader: str, said: str) -> None:
    """a accept, r reject, one letter per event."""
    events = review_events(
        {name: read_table(results.tables, name) for name in ("deaths", "kills", "contacts")}
    )
    log = open_log(results, reader=reader)
    sitting = Sitting(events, log, reader=reader)
    for name, letter in zip(events["event"], said, strict=False):
        sitting.decide(
            "accept" if letter == "a" else "reject", name, reason="" if letter == "a" else "debris"
        )
    log.close()


def test_untouched_results_are_as_they_were_written_and_what_has_no_hash_is_said(killassay, results):
    review_by(results, "ana", "aar")
    code, out, _ = killassay("--quiet", "verify", results.path)
    assert code == 0
    assert "compared: 6 files" in out  # five tables and results.json
    assert "3 decisions in 1 review logs" in out
    assert "not checked: the last lines of the newest log" in out
    assert out.rstrip().endswith("all of it is as it was written")


@pytest.mark.parametrize("name", ["deaths", "kills", "wells"])
def test_an_altered_byte_of_a_table_is_found(killassay, results, name):
    file = results.tables / f"{name}.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    code, out, err = killassay("verify", results.path)
    assert code == 2
    assert f"DAMAGED tables/{name}.parquet was changed after it was written" in out
    assert "1 things are not as they were written" in err


def test_an_altered_byte_of_a_review_log_is_found_with_its_line(killassay, results):
    review_by(results, "ana", "aar")
    log = next(results.review.glob("*.jsonl"))
    log.write_bytes(log.read_bytes().replace(b'"verb":"reject"', b'"verb":"accept"'))
    code, out, _ = killassay("verify", results.path)
    assert code == 2
    assert f"DAMAGED review/{log.name}, line 4: it was changed after it was written" in out


def test_a_missing_table_a_damaged_record_and_an_empty_ledger_are_found(killassay, results):
    (results.tables / "kills.parquet").unlink()
    code, out, _ = killassay("verify", results.path)
    assert (code, "DAMAGED tables/kills.parquet is missing" in out) == (2, True)
    (results.path / "ledger" / "summary" / "plate.json").write_bytes(b"{")
    _, out, _ = killassay("verify", results.path)
    assert "DAMAGED ledger/summary/plate.json is damaged" in out
    shutil.rmtree(results.path / "ledger")
    code, out, _ = killassay("verify", results.path)
    assert (code, "nothing of the run can be checked" in out) == (2, True)


def test_a_ledger_that_names_a_file_outside_is_not_followed(killassay, results):
    file = results.path / "ledger" / "summary" / "plate.json"
    values = json.loads(file.read_text().replace("tables/wells.parquet", "../../../etc/passwd"))
    del values["seal"]
    values["seal"] = hashlib.sha256(
        json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    file.write_text(json.dumps(values))
    code, out, _ = killassay("verify", results.path)
    assert code == 2
    assert "which lies outside" in out


def test_a_patch_of_labels_that_was_altered_or_is_gone_is_found(killassay, results):
    patch = results.review / "p1.npz"
    patch.write_bytes(b"labels")
    digest = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    log = open_log(results, reader="ana")
    events = review_events(
        {name: read_table(results.tables, name) for name in ("deaths", "kills", "contacts")}
    )
    place = {"well": "B02", "field": 0, "role": "target", "frame": 3}
    Sitting(events, log, reader="ana").decide("labels", patch="p1.npz", sha256=digest, **place)
    _, out, _ = killassay("verify", results.path)
    assert "DAMAGED review/p1.npz" in out
    assert "line 2) was changed after it was written" in out
    patch.unlink()
    _, out, _ = killassay("verify", results.path)
    assert "line 2) cannot be read (No such file or directory)" in out


def test_agreement_of_two_readers_and_the_audit_are_said_and_written(killassay, results, tmp_path):
    """Both accept 6, both reject 2, they differ on 2: kappa = (0.8 - 0.58) / (1 - 0.58)."""
    review_by(results, "ana", "aaaaaa" + "rr" + "ar")
    review_by(results, "ben", "aaaaaa" + "rr" + "ra")
    code, out, _ = killassay("review", results.path, "--agreement", "--json", tmp_path / "a.json")
    assert code == 0
    assert (
        "events: 10 of 10 reviewed (6 accepted, 2 rejected, 0 unsure, 2 disagreement); readers: ana, ben"
        in out
    )
    assert f"ana and ben: kappa {(0.8 - 0.58) / (1 - 0.58):.2f} " in out
    assert "same killer in 100 % of 6; median |dt| 0 frames" in out
    assert "audit: 6 of 8 randomly drawn deaths are deaths: precision 75 %" in out
    values = json.loads((tmp_path / "a.json").read_text())
    assert np.isclose(values["agreement"]["pairs"][0]["kappa"], 0.22 / 0.42)
    assert values["counts"]["disagreement"] == 2


def test_agreement_without_any_review_says_what_to_do(killassay, results):
    code, out, _ = killassay("review", results.path, "--agreement")
    assert code == 0
    assert "events: 0 of 10 reviewed" in out
    assert "sort the queue by audit to begin" in out


def test_decisions_on_tables_made_anew_that_are_lost_are_listed(killassay, results):
    review_by(results, "ana", "a")
    write_table(results.tables, "deaths", table_of_rows("deaths", [death(1, 1, 300)]))
    results.ledger.commit("summary", "plate", "key", sorted(results.tables.glob("*.parquet")))
    _, out, _ = killassay("review", results.path, "--agreement")
    assert "events: 0 of 1 reviewed" in out
    assert "LOST accept of ana on B02/0/d1" in out


def test_review_without_napari_says_which_extra_to_install(killassay, results, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = killassay("review", results.path)
    assert code == 2
    assert "pip install 'killassay[napari]'" in err
    assert err.count("\n") == 1


def test_review_without_a_screen_says_so_in_one_line(killassay, results, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(review_commands.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = killassay("review", results.path)
    assert (code, "needs a screen" in err, err.count("\n")) == (2, True, 1)


def test_an_altered_log_is_told_before_a_window_opens(killassay, results):
    review_by(results, "ana", "a")
    log = next(results.review.glob("*.jsonl"))
    log.write_bytes(log.read_bytes().replace(b"accept", b"reject"))
    code, _, err = killassay("review", results.path)
    assert (code, "line 2: it was changed after it was written" in err) == (2, True)


def test_what_is_no_results_folder_is_refused(killassay, tmp_path):
    for command in ("verify", "review"):
        code, _, err = killassay(command, tmp_path)
        assert (code, "is no RESULTS folder of killassay" in err) == (2, True)


def test_review_starts_the_viewer_in_a_process_of_its_own_with_the_readers_name(
    killassay, results, monkeypatch
):
    started: list = []

    def start(words, check):
        started.append(words[1:])
        return review_commands.subprocess.CompletedProcess(words, -6)  # as when a window crashes

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(review_commands.subprocess, "run", start)
    code, _, _ = killassay("review", results.path, "--reader", "ana")
    assert started == [["-m", "napari_plugin", str(results.path), "--reader", "ana"]]
    assert code == 1
