import json

from assay.killbench import bench
from assay.killbench.bench import OURS, Job
from tests.assay.killbench.test_scoring import counts


def one_scene(job: Job, *, rungs: bool) -> list:
    return [counts(level=level, seed=job.seed, way=OURS) for level in job.levels]


def test_bench_events_prints_a_table_and_keeps_a_line_a_scene(killassay, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "run_job", one_scene)
    kept = tmp_path / "counts.jsonl"
    code, out, err = killassay("bench", "events", "--levels", "medium", "--seeds", "3-4", "--json", kept)
    assert code == 0
    assert out.splitlines()[0].startswith("medium: 2 scenes, 4 deaths, 2 kills")
    assert out.splitlines()[2].startswith("killassay")
    assert [json.loads(line)["seed"] for line in kept.read_text().splitlines()] == [3, 4]
    assert "scenes: 2 to do" in err


def test_bench_events_names_the_levels_there_are(killassay):
    code, _, err = killassay("bench", "events", "--levels", "mild", "--seeds", "0")
    assert code == 2
    assert "level 'mild': expected one of easy, medium, hard, additive, mock, control" in err


def test_bench_events_wants_a_folder_for_its_file(killassay, tmp_path):
    code, _, err = killassay("bench", "events", "--seeds", "0", "--json", tmp_path / "no" / "counts.jsonl")
    assert code == 2
    assert "Make it first" in err
