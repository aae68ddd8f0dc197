"""Decisions on RESULTS on the disk: reviewed tables beside the pipeline's, corrections, and a report that says so."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.columns import REVIEWED_TABLES
from assay.errors import AssayError, ResultsError, TableError
from assay.io.label_patches import label_patch, write_patch
from assay.io.ome_zarr import LabelPlate
from assay.io.results import Results
from assay.io.review_logs import open_log, read_logs
from assay.io.tables import read_table, write_table
from assay.pipeline.reviewed import ReviewedPlate, reviewed_tables
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_corrections import correct_field
from assay.pipeline.reviewed_rescore import rescore
from assay.pipeline.reviewed_results import current_tables, write_reviewed
from assay.pipeline.run import RunOptions, plan_run, report_again, run_plate
from assay.protocol import parse_protocol
from assay.review.events import review_events
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import replay
from assay.stack import FieldId
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import make

N_FRAMES = 24
B02 = FieldId("B02", 0)


class Silent:
    """Progress that nobody listens to."""

    def begin(self, step: str, total: int, done: int = 0) -> None: ...

    def advance(self) -> None: ...

    def say(self, line: str) -> None: ...


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = {"B02": film(N_FRAMES), "C02": film(N_FRAMES, effectors=False)}
    return write_small_plate(tmp_path_factory.mktemp("plate") / "small.zarr", films)


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(plate, tmp_path_factory.mktemp("run") / "results")


def run(plate: Path, out: Path) -> Path:
    identity = make().identity
    plan = plan_run(plate, out, protocol=parse_protocol(PROTOCOL), options=RunOptions()).with_segmenter(
        identity
    )
    run_plate(
        plan,
        make_segmenter=make,
        provenance={"model": dict(identity)},
        options=RunOptions(),
        progress=Silent(),
    )
    return out


@pytest.fixture
def results(undisturbed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed, tmp_path / "results"))


@pytest.fixture
def sitting(results: Path) -> Iterator[Sitting]:
    base = BasePlate.open(results)
    log = open_log(Results.open(results), reader="ana")
    yield Sitting(review_events(base.tables), log, reader="ana")
    log.close()


def digest(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def the_event(sitting: Sitting) -> tuple[str, int, int]:
    """The one death of B02: its name, its target and its frame."""
    events = sitting.state.events
    (row,) = np.flatnonzero(events["well"] == "B02")
    return str(events["event"][row]), int(events["target_track_id"][row]), int(events["frame"][row])


def test_a_plate_is_read_back_as_the_run_had_it_with_or_without_the_kept_model(
    results: Path, undisturbed: Path
):
    kept = BasePlate.open(undisturbed)
    assert set(kept.counted) == {"B02", "C02"}
    (results / "work" / "credited.json").unlink()
    refitted = BasePlate.open(results)
    assert refitted.model == kept.model
    assert refitted.films == kept.films
    assert refitted.counted == {}


def test_a_decision_in_the_target_only_well_counts_the_others_as_the_run_did(
    results: Path, undisturbed: Path
):
    """RESULTS of before wells were kept count them again from their events: the same to the last digit."""
    (results / "work" / "drawn_deaths.parquet").unlink()
    found = []
    for folder in (undisturbed, results):
        base = BasePlate.open(folder)
        sitting = Sitting(review_events(base.tables), MemoryJournal(), reader="ana")
        sitting.decide("add", "", well="C02", field=0, target_track_id=1, frame=12)
        found.append((len(base.counted), ReviewedPlate(base).update(sitting.state)))
    (n_kept, kept), (n_again, again) = found
    assert (n_kept, n_again) == (2, 0)
    for name in ("wells", "conditions"):
        for column, values in kept[name].items():
            assert repr(values.tolist()) == repr(again[name][column].tolist()), (name, column)


def test_all_of_a_field_judged_again_gives_what_the_run_had(results: Path):
    """A swap of the two effectors, and back: every track of theirs is judged anew."""
    base = BasePlate.open(results)
    edits = Sitting(review_events(base.tables), MemoryJournal(), reader="ana")
    for _ in range(2):
        edits.decide("swap", "", well="B02", field=0, role="effector", track_id=1, other_track_id=2, frame=0)
        edits.decide("swap", "", well="B02", field=0, role="target", track_id=1, other_track_id=2, frame=0)
    again = correct_field(results, base, B02, tuple(edits.state.track_edits))
    assert again.problems == ()
    for name in ("deaths", "kills", "tracks"):
        before = base.rows(name, B02)
        for column in before:
            if column in ("uncredited_share", "share"):
                assert again.tables[name][column] == pytest.approx(before[column], nan_ok=True)
            else:
                assert again.tables[name][column].tolist() == pytest.approx(
                    before[column].tolist(), nan_ok=True
                )


def test_reviewed_tables_lie_beside_the_pipeline_s_which_stay_as_they_are(results: Path, sitting: Sitting):
    before = digest(results / "tables")
    event, *_ = the_event(sitting)
    sitting.decide("reject", event, reason="debris")
    review = write_reviewed(results)
    assert review is not None
    after = digest(results / "tables")
    assert {name: after[name] for name in before} == before
    assert {f"reviewed/{name}.parquet" for name in REVIEWED_TABLES} <= after.keys()
    wells = read_table(results / "tables", "reviewed/wells")
    assert wells["kills"].tolist() == [0.0, 0.0]
    assert wells["pipeline_kills"][0] > 0.5
    for name, table in reviewed_tables(
        results, replay(read_logs(Results.open(results)), _events(results))
    ).items():
        stored = read_table(results / "tables", f"reviewed/{name}")
        assert all(_same(stored[column], table[column]) for column in table), name


def _events(results: Path) -> dict[str, np.ndarray]:
    return review_events(BasePlate.open(results).tables)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.tolist() == other.tolist() or bool(np.array_equal(one, other, equal_nan=True))


def test_the_report_says_what_was_reviewed_and_is_the_same_bytes_again(results: Path, sitting: Sitting):
    event, *_ = the_event(sitting)
    unreviewed = (results / "report.html").read_text()
    assert "What review changed" not in unreviewed
    sitting.decide("reject", event, reason="debris")
    path = report_again(results, tables_only=False, for_print=False, progress=Silent())
    page = path.read_text()
    assert "These numbers are reviewed: ana decided 1 of 1 target death" in page
    assert "What review changed" in page
    first = digest(results / "tables") | {"page": page}
    assert (
        digest(results / "tables")
        | {"page": report_again(results, tables_only=False, for_print=False, progress=Silent()).read_text()}
        == first
    )
    sitting.undo()
    back = report_again(results, tables_only=False, for_print=False, progress=Silent()).read_text()
    assert "ana decided 0 of 1 target death" in back


def test_a_run_that_goes_on_keeps_the_decisions_and_counts_them(plate: Path, results: Path, sitting: Sitting):
    event, *_ = the_event(sitting)
    sitting.decide("reject", event, reason="debris")
    logs = digest(results / "review")
    run(plate, results)
    assert digest(results / "review") == logs
    assert "These numbers are reviewed" in (results / "report.html").read_text()
    assert read_table(results / "tables", "reviewed/wells")["kills"].tolist() == [0.0, 0.0]


def test_tables_that_do_not_count_the_last_decisions_are_refused(results: Path, sitting: Sitting):
    event, *_ = the_event(sitting)
    assert current_tables(results, ("wells",))[1] == ""
    sitting.decide("accept", event)
    with pytest.raises(TableError, match=r"holds decisions that no table counts yet\. `killassay report"):
        current_tables(results, ("wells",))
    write_reviewed(results)
    assert current_tables(results, ("wells",))[1] == "reviewed: 1 of 1 target deaths were decided by ana"
    sitting.decide("reject", event, reason="debris")
    with pytest.raises(TableError, match="was made before the last decisions or runs"):
        current_tables(results, ("wells",))


@pytest.mark.parametrize("harm", [b"", b"{", b"[]", b'{"tables": {}}'])
def test_a_damaged_summary_of_the_review_is_one_clear_line_and_the_report_makes_it_anew(
    results: Path, sitting: Sitting, harm: bytes
):
    sitting.decide("accept", the_event(sitting)[0])
    write_reviewed(results)
    summary = results / "tables" / "reviewed" / "review.json"
    whole = summary.read_bytes()
    summary.write_bytes(harm)
    with pytest.raises(AssayError, match=r"review\.json .*`killassay report"):
        current_tables(results, ("wells",))
    write_reviewed(results)
    assert summary.read_bytes() == whole
    assert current_tables(results, ("wells",))[1].startswith("reviewed: 1 of")


def test_reviewed_tables_of_other_conditions_are_refused(results: Path, sitting: Sitting):
    """A run with other names of conditions that was stopped before its report."""
    sitting.decide("accept", the_event(sitting)[0])
    write_reviewed(results)
    wells = read_table(results / "tables", "wells")
    wells["condition"] = np.array(["other", *wells["condition"][1:]], dtype=object)
    write_table(results / "tables", "wells", wells)
    with pytest.raises(TableError, match="was made before the last decisions or runs"):
        current_tables(results, ("wells",))


def test_export_takes_the_reviewed_tables_unless_told_otherwise(
    results: Path, sitting: Sitting, tmp_path: Path
):
    event, *_ = the_event(sitting)
    sitting.decide("reject", event, reason="debris")
    write_reviewed(results)
    for name, more in (("reviewed", []), ("own", ["--pipeline"])):
        arguments = ["export", str(results), "--to", str(tmp_path / name), "--format", "parquet", *more]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert len(read_table(tmp_path / "reviewed" / "kills.parquet", "reviewed/kills")["share"]) == 0
    assert (tmp_path / "own" / "kills.parquet").read_bytes() == (
        results / "tables" / "kills.parquet"
    ).read_bytes()


def test_a_cut_before_the_death_moves_it_to_the_new_track_and_joining_undoes_it(
    results: Path, sitting: Sitting
):
    event, target, frame = the_event(sitting)
    place = {"well": "B02", "field": 0, "role": "target"}
    sitting.decide("split", "", **place, track_id=target, new_track_id=99, frame=frame - 4)
    (change,) = rescore(results, sitting.state)
    assert (change.event, change.what, change.target_track_id) == (event, "target", 99)
    assert change.before is not None and change.before.startswith(f"target {target}, frame {frame}, ")
    assert change.after is not None and change.after.startswith(f"target 99, frame {frame}, ")
    sitting.decide("join", "", **place, track_id=target, other_track_id=99, frame=frame - 4)
    assert rescore(results, sitting.state) == []


@pytest.fixture(scope="module")
def two_deaths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two targets die, at frames 12 and 18; two effectors wander."""
    folder = tmp_path_factory.mktemp("two")
    images = film(N_FRAMES)
    dye = images[12:18, 2].astype(np.int64) - 200  # of the target at (18, 20), for the one at (52, 72)
    images[18:, 2] = np.clip(images[18:, 2] + np.roll(dye, (34, 52), axis=(1, 2)), 0, 65535)
    plate = write_small_plate(folder / "two.zarr", {"B02": images, "C02": film(N_FRAMES, effectors=False)})
    return run(plate, folder / "results")


def _two_deaths(results: Path) -> tuple[BasePlate, Sitting, list[str], list[int], list[int]]:
    """(plate, sitting, events, their targets, their frames), the earlier death first."""
    base = BasePlate.open(results)
    events = review_events(base.tables)
    order = np.argsort(events["frame"]).tolist()
    assert len(order) == 2
    columns = (events["event"], events["target_track_id"], events["frame"])
    names, targets, frames = ([column[row] for row in order] for column in columns)
    sitting = Sitting(events, MemoryJournal(), reader="ana")
    return base, sitting, [str(n) for n in names], [int(t) for t in targets], [int(f) for f in frames]


def _swap(sitting: Sitting, role: str, one: int, other: int, frame: int) -> None:
    where = {"well": "B02", "field": 0, "role": role, "frame": frame}
    sitting.decide("swap", "", **where, track_id=one, other_track_id=other)


def _rows(table: dict[str, np.ndarray], *names: str) -> list[tuple[object, ...]]:
    mine = table["well"] == "B02"
    if "role" in table:
        mine &= table["role"] == "target"
    return list(zip(*(table[name][mine].tolist() for name in names), strict=True))


@pytest.mark.parametrize("swap_first", [True, False])
def test_what_was_decided_on_a_death_follows_the_cell_that_died_through_a_swap(
    two_deaths: Path, swap_first: bool
):
    base, sitting, names, targets, frames = _two_deaths(two_deaths)
    if swap_first:
        _swap(sitting, "target", *targets, 6)
    sitting.decide("accept", names[0])
    sitting.decide("reject", names[1], reason="debris")
    if not swap_first:
        _swap(sitting, "target", *targets, 6)
    plate = ReviewedPlate(base, results=two_deaths)
    deaths = plate.update(sitting.state)["deaths"]
    found = _rows(deaths, "event", "track_id", "frame", "probability")
    assert found == [(names[0], targets[1], frames[0], 1.0)]
    assert plate.problems == []


@pytest.mark.parametrize("frame_of_swap", [6, 14])
def test_a_chosen_killer_is_the_cell_that_the_reader_saw_whatever_it_is_called_after_a_swap(
    two_deaths: Path, frame_of_swap: int
):
    """The death is in frame 12: a swap before gives the killer the other's name, a swap after leaves it its own."""
    base, sitting, names, _, frames = _two_deaths(two_deaths)
    effectors = [one for (one, role) in _rows_of_tracks(base) if role == "effector"]
    chosen, other = effectors[:2]
    sitting.decide("killer", names[0], effector_track_id=chosen)
    _swap(sitting, "effector", chosen, other, frame_of_swap)
    assert frames[0] in (11, 12)
    plate = ReviewedPlate(base, results=two_deaths)
    kills = plate.update(sitting.state)["kills"]
    number = int(names[0].split("d")[1])
    killers = [who for who, death in _rows(kills, "effector_track_id", "death_id") if death == number]
    assert killers == [other if frame_of_swap < 12 else chosen]


def test_a_chosen_killer_whose_track_was_joined_to_another_is_still_there(two_deaths: Path):
    base, sitting, names, _, frames = _two_deaths(two_deaths)
    killer = next(one for one, role in _rows_of_tracks(base) if role == "effector")
    place = {"well": "B02", "field": 0, "role": "effector", "frame": frames[0] - 3}
    sitting.decide("killer", names[0], effector_track_id=killer)
    sitting.decide("split", "", **place, track_id=killer, new_track_id=77)
    plate = ReviewedPlate(base, results=two_deaths)
    kills = plate.update(sitting.state)["kills"]
    number = int(names[0].split("d")[1])
    assert (77, number) in _rows(kills, "effector_track_id", "death_id")
    assert plate.problems == []


def test_a_death_added_to_a_target_is_that_cell_s_after_a_swap(two_deaths: Path):
    base, sitting, _, targets, frames = _two_deaths(two_deaths)
    alive = [one for one, role in _rows_of_tracks(base) if role == "target" and one not in targets]
    frame = frames[0]
    sitting.decide("add", "", well="B02", field=0, target_track_id=alive[0], frame=frame)
    _swap(sitting, "target", alive[0], alive[1], 4)
    deaths = ReviewedPlate(base, results=two_deaths).update(sitting.state)["deaths"]
    added = [row for row in _rows(deaths, "review", "track_id", "frame") if row[0] == "added"]
    assert added == [("added", alive[1], frame)]


def _rows_of_tracks(base: BasePlate) -> list[tuple[int, str]]:
    tracks = base.rows("tracks", B02)
    return list(zip(tracks["track_id"].tolist(), tracks["role"].tolist(), strict=True))


def test_the_report_is_made_with_corrected_tracks_too(results: Path, sitting: Sitting):
    _, target, frame = the_event(sitting)
    place = {"well": "B02", "field": 0, "role": "target"}
    sitting.decide("split", "", **place, track_id=target, new_track_id=99, frame=frame - 4)
    page = report_again(results, tables_only=False, for_print=False, progress=Silent()).read_text()
    assert "1 correction of tracks" in page
    deaths = read_table(results / "tables", "reviewed/deaths")
    assert deaths["track_id"][(deaths["well"] == "B02") & (deaths["role"] == "target")].tolist() == [99]


def test_a_join_of_two_cells_seen_together_is_refused_in_words(results: Path, sitting: Sitting):
    values = {"well": "B02", "field": 0, "role": "target", "track_id": 1, "other_track_id": 2, "frame": 3}
    sitting.decide("join", "", **values)
    plate = ReviewedPlate(BasePlate.open(results), results=results)
    plate.update(sitting.state)
    assert plate.problems == ["well B02, field 0: join of ana: 1 and 2 are both seen in frame 0"]


def _erase(results: Path, sitting: Sitting, target: int, frames: range) -> None:
    labels = LabelPlate.open(results / "labels.zarr")
    for frame in frames:
        before = labels.read(B02, "target", [frame])[0]
        after = np.where(before == target, 0, before).astype(np.uint32)
        patch = label_patch(before, after)
        assert patch is not None
        name, sha256 = write_patch(results / "review", patch, field=B02, role="target", frame=frame)
        sitting.decide(
            "labels", "", well="B02", field=0, role="target", frame=frame, patch=name, sha256=sha256
        )


def test_a_cell_erased_for_good_before_it_dies_has_no_death(results: Path, sitting: Sitting):
    _, target, frame = the_event(sitting)
    _erase(results, sitting, target, range(frame - 4, N_FRAMES))
    (change,) = rescore(results, sitting.state)
    assert (change.target_track_id, change.what) == (target, "gone")
    tables = reviewed_tables(results, sitting.state)
    mine = (tables["tracks"]["well"] == "B02") & (tables["tracks"]["role"] == "target")
    lasts = dict(
        zip(
            tables["tracks"]["track_id"][mine].tolist(),
            tables["tracks"]["last_frame"][mine].tolist(),
            strict=True,
        )
    )
    assert lasts[target] == frame - 5
    assert {last for number, last in lasts.items() if number != target} == {N_FRAMES - 1}


def test_outlines_are_measured_again_in_the_edited_frame_alone(results: Path, sitting: Sitting):
    """One row of pixels less in one frame: the death stays, and so does every other cell."""
    event, target, frame = the_event(sitting)
    labels = LabelPlate.open(results / "labels.zarr")
    before = labels.read(B02, "target", [frame - 6])[0]
    after = before.copy()
    top = int(np.flatnonzero((before == target).any(axis=1))[0])
    after[top][after[top] == target] = 0
    patch = label_patch(before, after)
    assert patch is not None
    name, sha256 = write_patch(results / "review", patch, field=B02, role="target", frame=frame - 6)
    sitting.decide(
        "labels", "", well="B02", field=0, role="target", frame=frame - 6, patch=name, sha256=sha256
    )
    from assay.pipeline.field_films import read_field_film
    from assay.pipeline.reviewed_labels import correct_labels

    film_before = read_field_film(results, B02, n_frames=N_FRAMES)
    fixed = correct_labels(results, film_before, sitting.state.label_edits, BasePlate.open(results).protocol)
    old, new = film_before.measures["target"], fixed.film.measures["target"]
    different = old.area_um2 != new.area_um2
    assert old.frame[different].tolist() == [frame - 6]
    lost = int((before == target).sum() - (after == target).sum())
    assert old.area_um2[different][0] - new.area_um2[different][0] == pytest.approx(lost)  # 1 um pixels
    assert np.array_equal(old.means["PI"][~different], new.means["PI"][~different])
    assert [one.event for one in rescore(results, sitting.state)] in ([], [event])


def test_an_altered_patch_is_said_and_changes_nothing(results: Path, sitting: Sitting):
    _, target, frame = the_event(sitting)
    _erase(results, sitting, target, range(frame - 4, frame - 3))
    (patch,) = (results / "review").glob("labels-*.npz")
    patch.write_bytes(patch.read_bytes() + b"x")
    plate = ReviewedPlate(BasePlate.open(results), results=results)
    plate.update(sitting.state)
    assert len(plate.problems) == 1
    assert "was altered after it was written" in plate.problems[0]


def test_an_altered_log_stops_the_report(results: Path, sitting: Sitting):
    event, *_ = the_event(sitting)
    sitting.decide("accept", event)
    (log,) = (results / "review").glob("*.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"accept"', b'"unsure"'))
    with pytest.raises(ResultsError, match="line 2"):
        report_again(results, tables_only=False, for_print=False, progress=Silent())
