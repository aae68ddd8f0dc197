import json
from dataclasses import replace

import numpy as np
import pytest

from assay.cli.bench import seeds_of
from assay.errors import ProtocolError, ResultsError
from assay.killbench import bench
from assay.killbench.baselines import chain_scene, nearest_effector
from assay.killbench.bench import LONGEST, OURS, Job, jobs_of, run_bench
from assay.killbench.ours import disc_pairs, touch_scene
from assay.killbench.page import bench_text
from assay.killbench.rungs import true_contacts, true_tracks
from assay.killbench.scene import simulate
from assay.labels import CellMeasures
from tests.assay.killbench.test_scoring import counts


def discs(role: str, rows: list[tuple[int, float, float, float]]) -> CellMeasures:
    """Rows: frame, y, x, radius."""
    frame, y, x, radius = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    count = len(rows)
    return CellMeasures(
        role=role,
        frame=frame.astype(np.int32),
        label=np.arange(1, count + 1, dtype=np.int32),
        y_um=y,
        x_um=x,
        area_um2=np.pi * radius**2,
        eccentricity=np.zeros(count),
        covered=np.zeros(count),
        at_border=np.zeros(count, dtype=bool),
        score=np.ones(count),
    )


def test_the_gap_of_two_discs_is_their_distance_less_both_radii_and_never_below_zero():
    effectors = discs("effector", [(0, 0.0, 0.0, 5.0), (0, 0.0, 60.0, 5.0), (1, 0.0, 0.0, 5.0)])
    targets = discs("target", [(0, 0.0, 17.0, 10.0), (0, 0.0, 48.0, 10.0), (2, 0.0, 0.0, 10.0)])
    pairs = disc_pairs(effectors, targets, enter_um=1.0, max_gap_um=3.0)
    assert pairs.effector_label.tolist() == [1, 2]
    assert pairs.target_label.tolist() == [1, 2]
    assert pairs.gap_um == pytest.approx([2.0, 0.0])
    assert pairs.interface_um[0] == 0.0  # no outline within 1 um
    assert 0 < pairs.interface_um[1] < 2 * np.pi * 5


def test_levels_that_share_a_plate_are_read_together():
    jobs = jobs_of(["medium", "hard", "mock"], [3], n_wells=0)
    assert jobs == [Job("medium", 3, ("medium", "mock")), Job("hard", 3, ("hard",))]


def test_wells_for_intervals_are_spread_over_the_seeds():
    jobs = jobs_of([], [0, 1, 2], n_wells=10)
    assert [job.n_wells for job in jobs] == [3, 3, 4]


def test_true_tracks_follow_every_cell_and_true_contacts_name_them():
    scene = simulate("easy", 0)
    tracks = true_tracks(scene)
    for role in ("effector", "target"):
        shown = scene.true_id[role] > 0
        assert np.array_equal(tracks[role].track_id[shown], scene.true_id[role][shown])
    known = {track.track_id for track in tracks["effector"].tracks}
    contacts = true_contacts(scene)
    seen = [contact for contact in contacts if contact.effector_track_id in known]
    assert len(seen) > 0.99 * len(contacts)
    ours, _ = touch_scene(scene, tracks)
    assert 0.7 < len(ours) / len(contacts) < 1.3


def test_chained_tracks_hold_every_detection_once_a_frame():
    scene = simulate("easy", 1)
    for role, tracks in chain_scene(scene).items():
        frame = scene.measures[role].frame
        assert tracks.track_id.min() == 1
        assert len(np.unique(np.stack([tracks.track_id, frame]), axis=1).T) == len(frame)


def test_a_run_that_was_stopped_goes_on_from_what_its_file_holds(tmp_path, monkeypatch):
    done: list[Job] = []

    def count(job: Job, *, rungs: bool) -> list:
        done.append(job)
        return [counts()]

    monkeypatch.setattr(bench, "run_job", count)
    kept = tmp_path / "counts.jsonl"
    jobs = [Job("medium", seed, ("medium",)) for seed in (0, 1)]
    first = next(run_bench(jobs, rungs=False, kept=kept))
    again = list(run_bench(jobs, rungs=False, kept=kept))
    assert done == jobs  # the first was not done twice
    assert again[0] == first
    assert len(kept.read_text().splitlines()) == 2


def test_counts_of_other_code_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "run_job", lambda job, rungs: [counts()])
    kept = tmp_path / "counts.jsonl"
    jobs = [Job("medium", 0, ("medium",))]
    list(run_bench(jobs, rungs=False, kept=kept))
    row = json.loads(kept.read_text())
    kept.write_text(json.dumps(row | {"code": "older"}) + "\n")
    with pytest.raises(ResultsError, match="written by other code"):
        list(run_bench(jobs, rungs=False, kept=kept))


def test_a_file_that_is_something_else_is_refused_with_its_line(tmp_path):
    kept = tmp_path / "notes.txt"
    kept.write_text("buy milk\n")
    with pytest.raises(ResultsError, match=r"notes.txt, line 1: expected counts of a scene"):
        list(run_bench([Job("medium", 0, ("medium",))], rungs=False, kept=kept))


def test_the_table_has_a_block_a_level_and_a_line_a_way():
    text = bench_text([replace(counts(), way=OURS), replace(counts(), way=LONGEST), counts()])
    title, heading, longest, ours, *_ = text.splitlines()  # "a way" is none of the benchmark's
    assert title == "medium: 1 scenes, 2 deaths, 1 kills; a random choice among those bound names 0.500"
    assert heading.split()[:2] == ["death", "F1"]
    assert longest.startswith("longest contact")
    assert ours.split() == [
        "killassay", "0.500", "3.0", "2.50", "0.667", "1.000", "0.667", "0.200", "0.200", "10.7", "33.33", "1.00", "0.500", "-", "-",
    ]  # fmt: skip


def test_a_table_says_how_often_ours_is_right_where_it_states_so_much():
    # of the two deaths called one is true: stated as killed with 0.8, by its true killer with 0.8
    text = bench_text([replace(counts(), way=OURS), replace(counts(), way=LONGEST)])
    heading, edges, *lines = text.split("\n\n")[1].splitlines()
    assert heading == "killassay: what is stated, and how often it is right"
    assert edges.split()[8] == "0.8-0.9"
    table = {line[:14].strip(): line[14:].split() for line in lines}
    for what in ("killed", "who"):
        assert table[f"{what}: deaths"] == ["0"] * 8 + ["1", "0"]
        assert table[f"{what}: stated"] == ["-"] * 8 + ["0.80", "-"]
        assert table[f"{what}: right"] == ["-"] * 8 + ["1.00", "-"]


def test_the_coverage_of_intervals_is_told_apart_by_how_many_kills_are_true():
    # one kill is true: 0 to 1.5 holds it, 2 to 3 does not
    wells = [
        counts(level="wells", way=OURS, interval=(0.0, 1.5)),
        counts(level="wells", way=OURS, interval=(2.0, 3.0)),
    ]
    lines = {line.split("  ")[0]: line.split("  ")[1:] for line in bench_text(wells).splitlines()[2:]}
    assert set(lines) == {"killassay", "1 to 9"}
    for name in lines:
        assert [cell.strip() for cell in lines[name] if cell.strip()][:3] == ["2", "0.500", "1.2"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("3,5", [3, 5]), ("100-102", [100, 101, 102]), ("1,0-2", [1, 0, 2])]
)
def test_seeds_are_read_as_numbers_and_ranges(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-3", "3-", "9-0"])
def test_words_that_are_no_seeds_are_refused(text):
    with pytest.raises(ProtocolError, match="expected numbers and upward ranges"):
        seeds_of(text)


def test_effectors_that_never_come_near_a_target_are_credited_with_nothing():
    scene = simulate("control", 3)  # without effectors: those that are there are targets of mistaken class
    effectors = scene.measures["effector"]
    away = replace(effectors, y_um=effectors.y_um + 1e5)
    scene = replace(scene, measures={**scene.measures, "effector": away})
    credit = nearest_effector(scene, chain_scene(scene), lasting_frames=1)
    assert len(effectors) > 0
    assert credit.kills == ()
    assert set(credit.uncredited.values()) == {1.0}
