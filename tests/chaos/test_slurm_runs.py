"""The main job under a real Slurm: cancelled, requeued, out of time, or cut into an array; the same bytes at the end."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.assay.pipeline.test_run import digest
from tests.chaos import slurm_node
from tests.chaos.commands import ROOT, Experiment, killassay, units_done, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm_node.slurm_node(tmp_path_factory.mktemp("slurm")):
        yield


def submit(folder: Path, rig: str, words: list[str], *directives: str, seconds: str = "1") -> str:
    """Hand the main job to Slurm; gives the job's number."""
    line = shlex.join([sys.executable, "-m", "tests.chaos.rigged", rig, *words]).replace(" PART", ' "$PART"')
    script = folder / "job.sh"
    script.write_text(
        "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {directive}" for directive in directives),
                f"#SBATCH --output={folder}/job-%a.out --open-mode=append --mem=900M",
                f"cd {shlex.quote(str(ROOT))}",
                f"export OMP_NUM_THREADS=1 RIG_SECONDS={seconds} PART=$SLURM_ARRAY_TASK_ID/2",
                f"exec {line}",
            ]
        )
        + "\n"
    )
    said = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def state_of(job: str) -> str:
    """As Slurm calls it: RUNNING, COMPLETED, ...; with its exit code."""
    said = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=False
    ).stdout
    words = dict(word.split("=", 1) for word in said.split() if "=" in word)
    return f"{words.get('JobState', 'GONE')} {words.get('ExitCode', '')}"


def ended(job: str) -> bool:
    return state_of(job).split()[0] not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")


def test_a_job_that_is_requeued_goes_on_by_itself(experiment: Experiment, tmp_path: Path):
    out = tmp_path / "results"
    job = submit(tmp_path, "slow", experiment.words(out), "--requeue")
    wait_until(lambda: units_done(out) >= 2)
    subprocess.run(["scontrol", "requeue", job], check=True)
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False, capture_output=True)
    wait_until(lambda: ended(job), seconds=400)
    said = "".join(file.read_text() for file in tmp_path.glob("job-*.out"))
    assert state_of(job) == "COMPLETED 0:0", said
    assert "terminated; what is done is kept, the same command goes on from there" in said
    assert "already done" in said
    assert digest(out) == experiment.undisturbed


def test_a_job_that_runs_out_of_time_is_resumed_by_the_next(experiment: Experiment, tmp_path: Path):
    out = tmp_path / "results"
    job = submit(tmp_path, "slow", experiment.words(out), "--time=00:02:00", seconds="20")
    wait_until(lambda: ended(job), seconds=300)  # twelve units would take four minutes
    assert state_of(job).startswith("TIMEOUT")
    kept = units_done(out)
    assert 0 < kept < 12
    done = killassay("none", experiment.words(out))
    assert done.returncode == 0, done.stderr
    assert f"{kept} already done" in done.stderr
    assert digest(out) == experiment.undisturbed


def test_one_part_of_an_array_is_cancelled_and_only_that_is_done_again(
    experiment: Experiment, tmp_path: Path
):
    out = tmp_path / "results"
    job = submit(tmp_path, "slow", experiment.words(out, "--shard", "PART"), "--array=1-2")
    wait_until(lambda: units_done(out) >= 3)
    subprocess.run(["scancel", f"{job}_2"], check=True)
    wait_until(lambda: ended(f"{job}_1") and ended(f"{job}_2"), seconds=300)
    assert state_of(f"{job}_2").startswith("CANCELLED")
    assert state_of(f"{job}_1") == "COMPLETED 0:0"
    kept = units_done(out)
    assert 6 <= kept < 12  # all of the first part
    merged = killassay("none", experiment.words(out))
    assert merged.returncode == 0, merged.stderr
    assert f"segmentation: {12 - kept} to do, {kept} already done" in merged.stderr
    assert digest(out) == experiment.undisturbed


def test_one_digest_in_process_on_dask_on_slurm_jobs_and_in_parts(experiment: Experiment, tmp_path: Path):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        '[cluster]\nkind = "slurm"\njobs = 2\nmemory = "1GB"\nwalltime = "00:20:00"\ninterface = "lo"\n'
    )
    ways = {
        "dask": ["--workers", "2", "--batch-frames", "3"],
        "slurm": ["--cluster", str(cluster), "--shards-per-task", "2"],
        "one frame a batch": ["--batch-frames", "1", "--shards-per-task", "3"],
    }
    for name, words in ways.items():
        out = tmp_path / name.replace(" ", "_")
        done = killassay("none", experiment.words(out, *words))
        assert done.returncode == 0, (name, done.stderr)
        assert digest(out) == experiment.undisturbed, name
    parts = tmp_path / "parts"
    for part in ("2/3", "1/3", "3/3"):
        assert killassay("none", experiment.words(parts, "--shard", part)).returncode == 0
    assert killassay("none", experiment.words(parts)).returncode == 0
    assert digest(parts) == experiment.undisturbed
    wait_until(lambda: not slurm_node.jobs(), seconds=60)


def test_jobs_end_when_the_run_that_asked_for_them_is_killed(experiment: Experiment, tmp_path: Path):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        '[cluster]\nkind = "slurm"\njobs = 2\nmemory = "1GB"\nwalltime = "00:20:00"\ninterface = "lo"\n'
    )
    out = tmp_path / "results"
    words = experiment.words(out, "--cluster", str(cluster))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.rigged", "slow", *words],
        cwd=ROOT,
        env={**os.environ, "RIG_SECONDS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: units_done(out) >= 2)
    finally:
        process.kill()
        process.wait()
    killed = time.monotonic()
    wait_until(lambda: not slurm_node.jobs(), seconds=120)
    print(json.dumps({"jobs_ended_s": round(time.monotonic() - killed, 1)}))  # noqa: T201
    assert time.monotonic() - killed <= 60
    done = killassay("none", experiment.words(out))
    assert done.returncode == 0, done.stderr
    assert digest(out) == experiment.undisturbed
