import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ResultsError, StorageError
from assay.io import review_logs
from assay.io.results import Results
from assay.io.review_checks import verify_logs
from assay.io.review_logs import bound_decisions, open_log, read_log, read_logs
from assay.io.review_sidecars import sidecar_folder
from assay.io.tables import write_table
from assay.io.verification import verify_results
from assay.review.chain import START, chained_line
from assay.review.decisions import Decision
from assay.review.sitting import Sitting
from assay.review.state import replay
from tests.assay.review.small_reviews import events_of, same_state, three_deaths

EVENTS = events_of(6)
NAMES = EVENTS["event"].tolist()
ROOT = Path(__file__).parents[3]


@pytest.fixture
def results(tmp_path, monkeypatch) -> Results:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = Results.create_or_open(tmp_path / "RESULTS", plate_name="P", plate_identity="abc")
    for name in ("deaths", "kills", "contacts"):
        write_table(made.tables, name, three_deaths()[name])
    return made


def sitting(results: Results, reader: str = "ana", **more) -> tuple[Sitting, review_logs.ReviewLog]:
    log = open_log(results, reader=reader)
    return Sitting(EVENTS, log, reader=reader, earlier=read_logs(results), **more), log


def test_a_log_gives_the_same_state_when_it_is_read_again(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0], note="schön")
    one.decide("killer", NAMES[1], effector_track_id=None)
    one.undo()
    two, _ = sitting(results, "ben")
    two.decide("reject", NAMES[0], reason="debris")
    log.close()
    decisions = read_logs(results)
    assert [d.verb for d in decisions] == ["accept", "killer", "undo", "reject"]
    assert same_state(replay(decisions, EVENTS), two.state)
    assert verify_logs(results.review) == []


def test_opening_a_review_writes_nothing_before_the_first_decision(results):
    before = sorted(results.path.rglob("*"))
    log = open_log(results, reader="ana")
    assert sorted(results.path.rglob("*")) == before
    assert not log.is_sidecar


def test_undo_reaches_back_to_last_weeks_sitting(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    log.close()
    again, _ = sitting(results)
    assert again.can_undo
    again.undo()
    assert replay(read_logs(results), EVENTS).status_of(NAMES[0]) == "pending"


def test_an_undo_at_a_machine_whose_clock_is_behind_comes_after_what_it_undoes(results):
    one, log = sitting(results, clock=lambda: "2026-11-22T12:00:00.000Z")
    one.decide("accept", NAMES[0])
    one.decide("accept", NAMES[1])
    log.close()
    again, log = sitting(results, clock=lambda: "2026-11-22T11:55:00.000Z")
    again.undo()
    again.decide("reject", NAMES[0], reason="debris")
    log.close()
    read = replay(read_logs(results), EVENTS)
    assert [read.status_of(name) for name in NAMES[:2]] == ["rejected", "pending"]
    assert same_state(read, again.state)


def test_one_altered_byte_in_any_log_stops_the_reading_and_names_file_and_line(results):
    one, log = sitting(results)
    for name in NAMES[:3]:
        one.decide("accept", name)
    data = bytearray(log.path.read_bytes())
    data[data.index(b'"event":"B02/0/d2"') + 15] ^= 1
    log.path.write_bytes(data)
    with pytest.raises(ResultsError, match=rf"{log.path.name}, line 3: it was changed after it was written"):
        read_logs(results)
    assert verify_logs(results.review) == [f"{log.path.name}, line 3: it was changed after it was written"]


def test_a_log_that_was_cut_short_or_taken_away_is_noticed_by_the_next_sitting(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    one.decide("accept", NAMES[1])
    two, other = sitting(results, "ben")
    two.decide("accept", NAMES[0])
    whole = log.path.read_bytes()
    log.path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert verify_logs(results.review) == [f"{log.path.name}: has 2 lines; {other.path.name} saw 3"]
    log.path.unlink()
    assert verify_logs(results.review) == [f"{log.path.name}: missing; {other.path.name} saw it with 3 lines"]


def test_a_copied_or_renamed_log_is_refused(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    log.path.rename(log.path.with_name("eve-20260101T000000Z-00000000.jsonl"))
    with pytest.raises(ResultsError, match="the file was renamed or copied"):
        read_logs(results)


def test_a_torn_last_line_is_left_out_and_the_next_sitting_goes_on(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    log.path.write_bytes(log.path.read_bytes() + b'{"anchor":{"frame":10,"x_')
    assert len(read_logs(results)) == 1
    assert read_log(log.path).torn
    assert verify_logs(results.review) == []
    again, _ = sitting(results)
    again.decide("accept", NAMES[1])
    assert len(read_logs(results)) == 2


def test_a_decision_that_the_full_disk_refuses_does_not_count_and_leaves_nothing_behind(results, monkeypatch):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    before = log.path.read_bytes()
    write = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) > 40:
            return write(handle, data[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda handle, data: half(handle, data[:80]))
        with pytest.raises(StorageError, match=r"it does not count.*the disk is full"):
            one.decide("reject", NAMES[1], reason="debris")
    assert one.status_of(NAMES[1]) == "pending"
    assert log.path.read_bytes() == before
    one.decide("accept", NAMES[1])
    assert same_state(replay(read_logs(results), EVENTS), one.state)


def test_a_disk_full_at_the_very_first_decision_leaves_no_log(results, monkeypatch):
    one, log = sitting(results)

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="the disk is full"):
            one.decide("accept", NAMES[0])
    assert not log.path.exists()
    one.decide("accept", NAMES[0])
    assert len(read_logs(results)) == 1


def test_results_that_may_not_be_written_are_reviewed_beside_them_and_it_is_said(results, monkeypatch):
    monkeypatch.setattr(review_logs, "_can_write", lambda folder: False)
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    assert log.is_sidecar
    assert log.path.parent == sidecar_folder(results)
    assert list(results.review.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(results.path.parent / "data"))
    assert len(read_logs(results)) == 1


def sidecar_of(results: Results, monkeypatch) -> Path:
    """The log of one decision on RESULTS that could not be written then."""
    with monkeypatch.context() as closed:
        closed.setattr(review_logs, "_can_write", lambda folder: False)
        one, log = sitting(results)
        one.decide("accept", NAMES[0])
        log.close()
    return log.path


def test_a_log_that_was_copied_from_the_sidecar_into_review_counts_once(results, monkeypatch):
    log = sidecar_of(results, monkeypatch)
    results.review.mkdir(exist_ok=True)
    shutil.copy(log, results.review)
    state = replay(read_logs(results), EVENTS)
    assert (len(state.decisions), state.problems) == (1, [])


def test_of_two_copies_of_a_log_the_longer_counts_and_two_that_differ_are_refused(results, monkeypatch):
    log = sidecar_of(results, monkeypatch)
    whole = log.read_bytes()
    (results.review / log.name).write_bytes(whole[: whole.index(b"\n") + 1])  # copied before the decision
    assert [one.verb for one in read_logs(results)] == ["accept"]
    (results.review / log.name).write_bytes(whole.replace(b"accept", b"unsure"))
    with pytest.raises(ResultsError, match="has the same name and says other things"):
        read_logs(results)


def test_verify_counts_a_log_and_its_copy_once_and_finds_copies_that_contradict(results, monkeypatch):
    log = sidecar_of(results, monkeypatch)
    results.review.mkdir(exist_ok=True)
    shutil.copy(log, results.review)
    found = verify_results(results)
    assert (found.n_logs, found.n_decisions) == (1, 1)
    assert not [line for line in found.problems if log.name in line]
    other, other_log = sitting(results)
    other.decide("unsure", NAMES[0])
    other_log.close()
    (results.review / log.name).write_bytes(other_log.path.read_bytes())
    found = verify_results(results)
    assert [line for line in found.problems if "has the same name and says other things" in line]


def test_results_that_were_moved_find_their_sidecar_and_a_copy_beside_them_does_not(results, monkeypatch):
    sidecar_of(results, monkeypatch)
    copy = results.path.parent / "COPY"
    shutil.copytree(results.path, copy)
    assert read_logs(Results.open(copy)) == []
    moved = results.path.rename(results.path.parent / "MOVED")
    assert [one.verb for one in read_logs(Results.open(moved))] == ["accept"]


def test_a_sidecar_of_other_tables_or_of_another_plate_is_not_taken_by_results_elsewhere(
    results, monkeypatch
):
    sidecar_of(results, monkeypatch)
    moved = results.path.rename(results.path.parent / "MOVED")
    write_table(moved / "tables", "kills", {k: v[:1] for k, v in three_deaths()["kills"].items()})
    assert read_logs(Results.open(moved)) == []


def hostile_log(
    results: Results, records: list[dict], sitting: str = "eve-20260101T000000Z-00000000"
) -> Path:
    """A log with a good chain that says what no reader can."""
    header = json.loads(json.dumps(open_log(results, reader="eve")._header)) | {
        "sitting": sitting,
        "seen": {},
    }
    path, prev = results.review / f"{sitting}.jsonl", START
    with path.open("wb") as file:
        for record in [header, *records]:
            line, prev = chained_line(record, prev)
            file.write(line)
    return path


def said(number: int = 1, **more) -> dict:
    values = {
        "verb": "accept",
        "event": NAMES[0],
        "reader": "eve",
        "sitting": "eve-20260101T000000Z-00000000",
        "utc": "2026-01-01T00:00:00.000Z",
    }
    return {**Decision(number=number, **values).record(), **more}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (said(verb="explode"), "verb 'explode': expected one of"),
        (said(event="../../etc/d1"), "expected a name as B03/0/d17"),
        (said(verb="retime", values={"frame": -1}), "frame -1, expected a whole number from 0"),
        (said(verb="retime", values={"frame": True}), "frame True, expected a whole number"),
        (said(verb="retime", values={"frame": 10**30}), "expected a whole number from 0"),
        (said(verb="reject", reason="because"), "reason 'because', expected one of debris"),
        (said(number="1"), "number of a decision: expected int, got '1'"),
        (said(anchor={"y_um": 1e300}), "anchor 'y_um' = 1e\\+300"),
        (said(colour="red"), "a decision has the parts"),
        (said(utc="tomorrow"), "utc of a decision: expected as"),
        (said(number=2), "it belongs to another log"),
        (said(reader="ana"), "it belongs to another log"),
        (
            said(
                verb="labels",
                values={
                    "well": "B02",
                    "field": 0,
                    "role": "target",
                    "frame": 1,
                    "patch": "../../x",
                    "sha256": "0" * 64,
                },
            ),
            "expected the plain name of a file in review/",
        ),
        (
            said(
                verb="labels",
                values={
                    "well": "B02",
                    "field": 0,
                    "role": "target",
                    "frame": 1,
                    "patch": "a..b",
                    "sha256": "0" * 64,
                },
            ),
            "expected the plain name of a file in review/",
        ),
    ],
)
def test_hostile_decisions_are_refused_with_the_line_named(results, record, why):
    path = hostile_log(results, [record])
    with pytest.raises(ResultsError, match=rf"{path.name}, line 2: .*{why}"):
        read_logs(results)


def test_a_header_that_says_nonsense_is_refused_and_found(results):
    path = hostile_log(results, [])
    data = path.read_bytes().rstrip(b"\n")
    header = {k: v for k, v in json.loads(data).items() if k not in ("prev", "hash")}
    for change in ({"seen": {"x": 5}}, {"format": 2}, {"tables": None}, {"reader": 7}, {"more": 1}):
        path.write_bytes(chained_line({**header, **change}, START)[0])
        with pytest.raises(ResultsError, match=r"line 1: it is no header of a review log of format 1"):
            read_logs(results)
        assert len(verify_logs(results.review)) == 1


def test_nothing_is_written_that_could_not_be_read_again(results):
    log = open_log(results, reader="ana")
    for reader, number in (("ben", 1), ("ana", 2)):
        record = {**said(), "reader": reader, "number": number, "sitting": log.sitting}
        with pytest.raises(ResultsError, match="does not belong into the log of 'ana', whose next one is 1"):
            log.append(record)
    with pytest.raises(ResultsError, match=r"dwell_ms of a decision: expected int, got 1\.5"):
        log.append({**said(), "reader": "ana", "sitting": log.sitting, "dwell_ms": 1.5})
    assert not log.path.exists()


def test_numbers_as_tables_and_timers_give_them_can_be_decided_with(results):
    one, log = sitting(results)
    one.decide("retime", NAMES[0], frame=EVENTS["frame"][1], dwell_ms=12.7)
    one.decide("killer", NAMES[0], effector_track_id=np.int64(6))
    assert [d.values for d in read_log(log.path).decisions] == [{"frame": 20}, {"effector_track_id": 6}]


def test_a_closed_log_takes_no_decision(results):
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    log.close()
    with pytest.raises(StorageError, match="is closed, so the decision does not count"):
        one.decide("accept", NAMES[1])
    assert one.status_of(NAMES[1]) == "pending"


def test_a_name_with_blanks_around_it_is_the_same_reader(results):
    one, _ = sitting(results, " ana ")
    one.decide("accept", NAMES[0])
    again, _ = sitting(results, "ana")
    assert again.can_undo


def test_files_of_the_system_beside_the_logs_are_left_alone(results):
    (results.review / "._ana-20260101T000000Z-00000000.jsonl").write_bytes(b"\x00\x05\x16")
    assert read_logs(results) == []
    assert verify_logs(results.review) == []


def test_hundreds_of_sittings_are_no_burden_on_the_next(results, monkeypatch):
    for n in range(300):
        hostile_log(results, [], f"eve-20260101T{n:06d}Z-00000000")
    one, log = sitting(results)
    one.decide("accept", NAMES[0])
    seen = read_log(log.path).header["seen"]
    assert len(seen) == 200
    assert "eve-20260101T000299Z-00000000.jsonl" in seen


def test_links_strange_names_and_foreign_files_are_no_logs(results, tmp_path):
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(b"{}\n")
    link = results.review / "link.jsonl"
    link.symlink_to(secret)
    with pytest.raises(ResultsError, match=r"link.jsonl: it is a link or no file"):
        read_logs(results)
    link.unlink()
    (results.review / "what is this.jsonl").write_bytes(b"")
    with pytest.raises(ResultsError, match="its name is not one that killassay gives"):
        read_logs(results)
    (results.review / "what is this.jsonl").unlink()
    (results.review / "a.jsonl").write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(ResultsError, match=r"a.jsonl, line 1: it is not readable JSON"):
        read_logs(results)


def test_a_log_of_another_plate_is_listed_and_never_applied(results):
    other = Results(path=results.path, plate_name="Q", plate_identity="xyz", plate_path="")
    log = open_log(other, reader="ana")
    Sitting(EVENTS, log, reader="ana").decide("accept", NAMES[0])
    kept, lost = bound_decisions(results, EVENTS)
    assert kept == []
    assert lost == [f"{log.path.name}: 1 decisions on another plate"]


def test_decisions_on_results_made_anew_are_found_by_place_and_not_by_number(results):
    one, _ = sitting(results)
    one.decide("reject", NAMES[1], reason="debris")  # at frame 20, y 200 um
    one.decide("accept", NAMES[5])  # at frame 60, y 600 um
    anew = {name: column[::-1].copy() for name, column in EVENTS.items()}
    anew["event"], anew["death_id"] = EVENTS["event"], EVENTS["death_id"]  # numbered the other way round
    anew = {name: column[1:] for name, column in anew.items()}  # and what was d6 is found no more
    write_table(results.tables, "deaths", {n: c[:2] for n, c in three_deaths()["deaths"].items()})
    kept, lost = bound_decisions(results, anew)
    state = replay(kept, anew)
    row = state.row_of(kept[0].event)
    assert [d.verb for d in kept] == ["reject"]
    assert (anew["frame"][row], anew["y_um"][row]) == (20, 200)
    assert len(lost) == 1
    assert "no death, or more than one" in lost[0]


def test_one_name_in_two_earlier_runs_is_two_deaths(results):
    """d1 was the death at y 100 um in the first run, and that at y 600 um in the second."""
    one, log = sitting(results)
    one.decide("reject", NAMES[0], reason="debris")
    log.close()
    second = {name: column[::-1].copy() for name, column in EVENTS.items()}
    second["event"], second["death_id"] = EVENTS["event"], EVENTS["death_id"]
    write_table(results.tables, "deaths", {n: c[:2] for n, c in three_deaths()["deaths"].items()})
    log = open_log(results, reader="ben")
    Sitting(second, log, reader="ben").decide("accept", NAMES[0])
    log.close()
    write_table(results.tables, "deaths", {n: c[:1] for n, c in three_deaths()["deaths"].items()})
    kept, lost = bound_decisions(results, EVENTS)
    assert lost == []
    assert {(d.verb, d.event) for d in kept} == {("reject", NAMES[0]), ("accept", NAMES[5])}


REVIEWER = """
import random, sys
from pathlib import Path
from assay.io.results import Results
from assay.io.review_logs import open_log, read_logs
from assay.review.sitting import Sitting
from tests.assay.review.small_reviews import events_of

results, seed = Results.open(Path(sys.argv[1])), int(sys.argv[2])
events = events_of(6)
names, draw = events["event"].tolist(), random.Random(seed)
sitting = Sitting(events, open_log(results, reader="ana"), reader="ana", earlier=read_logs(results))
while True:
    verb = draw.choice(["accept", "reject", "unsure", "retime", "undo", "redo"])
    if verb in ("undo", "redo"):
        made = getattr(sitting, verb)()
    else:
        values = {"retime": {"frame": draw.randrange(70)}, "reject": {"reason": "debris"}}.get(verb, {})
        made = sitting.decide(verb, draw.choice(names), **values)
    if made is not None:
        print(made.sitting, made.number, made.verb, made.event, flush=True)
"""


def kill_while_reviewing(results: Results, seed: int) -> list[tuple[str, ...]]:
    """Kill -9 a reviewer at a random moment; returns what was acknowledged by then."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-c", REVIEWER, str(results.path), str(seed)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    first = started.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.25))
    started.send_signal(signal.SIGKILL)
    rest, _ = started.communicate()
    said = (first + rest).decode().split("\n")[:-1]  # a last line without its end was not said in full
    return [tuple(line.split(" ")) for line in said]


def lost_of(results: Results, kills: range) -> tuple[int, int]:
    """(decisions acknowledged, of these not in the logs) over many kills, each in a new sitting."""
    acknowledged: list[tuple[str, ...]] = []
    for seed in kills:
        acknowledged += kill_while_reviewing(results, seed)
        assert verify_logs(results.review) == []
    kept = {(d.sitting, str(d.number), d.verb, d.event) for d in read_logs(results)}
    replay(read_logs(results), EVENTS)
    return len(acknowledged), len(set(acknowledged) - kept)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of unix")
def test_a_viewer_killed_while_deciding_loses_no_acknowledged_decision(results):
    n, lost = lost_of(results, range(3))
    assert n > 3
    assert lost == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of unix")
def test_a_viewer_killed_twenty_times_loses_no_acknowledged_decision(results):
    n, lost = lost_of(results, range(100, 120))
    assert n > 20
    assert lost == 0
