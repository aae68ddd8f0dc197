import stat
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from assay.errors import DeviceError
from assay.execution import ClusterSettings, open_engine
from assay.execution.clusters import ClusterWorkers, _seconds, job_cluster, queued_jobs

pytest.importorskip("dask_jobqueue")

Stub = Callable[[str, str], None]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Put a command of a batch system on the path that says a text."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def script_of(settings: ClusterSettings, folder: Path) -> list[str]:
    cluster = job_cluster(settings, logs=folder / "jobs")
    try:
        text: str = cluster.job_script()
        return text.splitlines()
    finally:
        cluster.close()


def settings(kind: str) -> ClusterSettings:
    return ClusterSettings(
        kind=kind,
        jobs=3,
        cores=8,
        gpus=2,
        memory="32GB",
        walltime="02:30:00",
        queue="gpu",
        account="immuno",
        extra_directives=("--constraint=a100",),
        prologue=("module load cuda",),
        interface="lo",
        python="/opt/env/bin/python",
        encrypted=False,
    )


@pytest.mark.parametrize(
    ("kind", "submit", "lines"),
    [
        (
            "slurm",
            "sbatch",
            [
                "#SBATCH -p gpu",
                "#SBATCH -A immuno",
                "#SBATCH --cpus-per-task=8",
                "#SBATCH -t 02:30:00",
                "#SBATCH --gres=gpu:2",
                "#SBATCH --constraint=a100",
            ],
        ),
        (
            "pbs",
            "qsub",
            [
                "#PBS -q gpu",
                "#PBS -A immuno",
                "#PBS -l select=1:ncpus=8:mem=32GB:ngpus=2",
                "#PBS -l walltime=02:30:00",
            ],
        ),
        ("sge", "qsub", ["#$ -q gpu", "#$ -P immuno", "#$ -l gpu=2", "#$ -l h_rt=02:30:00"]),
        (
            "lsf",
            "bsub",
            ["#BSUB -q gpu", '#BSUB -P "immuno"', "#BSUB -n 8", "#BSUB -W 02:30", '#BSUB -gpu "num=2"'],
        ),
    ],
)
def test_the_job_script_asks_for_what_the_file_says(
    command: Stub, tmp_path: Path, kind: str, submit: str, lines: list[str]
):
    command(submit, "exit 0")
    script = script_of(settings(kind), tmp_path)
    assert set(lines) <= set(script)
    assert "module load cuda" in script
    assert "export OMP_NUM_THREADS=1" in script
    assert "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False" in script
    worker = script[-1]
    assert worker.startswith("/opt/env/bin/python -m distributed.cli.dask_worker")
    assert "--nthreads 1 " in worker
    assert "--nworkers 2 " in worker
    assert "--lifetime 8700s" in worker  # five minutes before the end of two and a half hours


def test_the_folder_of_the_keys_is_readable_by_its_owner_only(command: Stub, tmp_path: Path):
    command("sbatch", "exit 0")
    script_of(settings("slurm"), tmp_path)
    assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("kind", "name", "says", "jobs"),
    [
        ("slurm", "squeue", "printf '17\\n18\\n'", {"17", "18"}),
        (
            "pbs",
            "qstat",
            "printf 'Job ID  Name\\n------ ---\\n17.server killassay\\n18[].server x\\n'",
            {"17", "18"},
        ),
        ("lsf", "bjobs", "printf '17\\n'", {"17"}),
        ("slurm", "squeue", "true", set()),
    ],
)
def test_the_queue_is_asked_in_the_words_of_the_batch_system(
    command: Stub, kind: str, name: str, says: str, jobs: set[str]
):
    command(name, says)
    assert queued_jobs(kind) == jobs


def test_a_queue_that_does_not_answer_is_no_empty_queue(command: Stub):
    assert queued_jobs("sge") is None
    command("qstat", "exit 1")
    assert queued_jobs("sge") is None


def test_a_machine_without_the_batch_system_says_where_to_start(command: Stub, tmp_path: Path):
    with pytest.raises(DeviceError, match=r"there is no command 'sbatch' on this machine .* login node"):
        job_cluster(settings("slurm"), logs=tmp_path / "jobs")


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("assay.execution.clusters._CONNECT_S", 1)
    nowhere = ClusterSettings(kind="address", address="tcp://127.0.0.1:1")
    with (
        open_engine(0, cluster=nowhere, logs=tmp_path) as engine,
        pytest.raises(DeviceError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 within 1 s"),
    ):
        engine.ask(int)


@pytest.mark.parametrize(
    ("walltime", "seconds"), [("00:30", 1800), ("02:00:05", 7205), ("1-00:00:00", 86400)]
)
def test_a_job_s_time_is_read_as_the_batch_systems_write_it(walltime: str, seconds: int):
    assert _seconds(walltime) == seconds


def test_a_queue_that_never_answers_is_said_and_not_waited_for_without_workers(
    command: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command("sbatch", "echo 7")
    command("squeue", "exit 1")
    command("scancel", "exit 0")
    monkeypatch.setattr("assay.execution.clusters._ASK_EVERY_S", 0.0)
    monkeypatch.setattr("assay.execution.clusters._SPEECHLESS_S", 0.5)
    monkeypatch.setattr("assay.execution.dask_workers._LOOK_EVERY_S", 0.2)
    said: list[str] = []
    slurm = ClusterSettings(kind="slurm", jobs=1, interface="lo", encrypted=False)
    with (
        open_engine(0, cluster=slurm, logs=tmp_path / "jobs", say=said.append) as engine,
        pytest.raises(DeviceError, match=r"`squeue` gave no answer for 0 minutes and no job has a worker"),
    ):
        engine.ask(int)
    assert said[1:] == [
        "the queue does not answer (`squeue`): jobs that end are not asked for again until it does"
    ]


def test_jobs_that_the_batch_system_refuses_stop_the_run_with_what_it_said(
    command: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command("sbatch", "echo 'sbatch: error: invalid partition specified: gpuu' >&2\nexit 1")
    command("squeue", "exit 0")
    monkeypatch.setattr("assay.execution.clusters._ASK_EVERY_S", 0.0)
    monkeypatch.setattr("assay.execution.dask_workers._LOOK_EVERY_S", 0.2)
    said: list[str] = []
    slurm = ClusterSettings(kind="slurm", jobs=2, interface="lo", encrypted=False, queue="gpuu")
    with (
        open_engine(0, cluster=slurm, logs=tmp_path / "jobs", say=said.append) as engine,
        pytest.raises(
            DeviceError,
            match=r"slurm did not take \d+ jobs, and said: 'sbatch: error: invalid .*gpuu'\. What",
        ),
    ):
        engine.ask(int)
    assert said[1:] == ["slurm does not take 2 of 2 jobs: sbatch: error: invalid partition specified: gpuu"]


def test_a_job_that_is_refused_once_is_asked_for_again(
    command: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = tmp_path / "asked"
    command("sbatch", f"if [ -e {asked} ]; then echo 7; else : > {asked}; echo busy >&2; exit 1; fi")
    command("squeue", "echo 7")
    command("scancel", "exit 0")
    monkeypatch.setattr("assay.execution.clusters._ASK_EVERY_S", 0.0)
    said: list[str] = []
    workers = ClusterWorkers(
        ClusterSettings(kind="slurm", jobs=1, interface="lo", encrypted=False),
        logs=tmp_path / "jobs",
        say=said.append,
    )
    with ExitStack() as opened:
        workers.start(opened)
        ends = time.monotonic() + 20
        while not workers._jobs() and time.monotonic() < ends:
            time.sleep(0.2)
            workers.look_after()
        assert [job.job_id for job in workers._jobs().values()] == ["7"]
    assert said[1:] == ["slurm does not take 1 of 1 jobs: busy"]


def test_a_folder_that_batch_systems_misread_is_refused(command: Stub, tmp_path: Path):
    command("sbatch", "exit 0")
    with pytest.raises(DeviceError, match=r"path of RESULTS has ' ' in it, .*/my results\. Choose --out"):
        job_cluster(settings("slurm"), logs=tmp_path / "my results" / "work" / "cluster")
