"""Workers that are jobs of a cluster (Slurm, PBS, SGE, LSF), or of a Dask scheduler that runs already.

Jobs are refused, pre-empted, run out of time, or die before a worker comes. dask-jobqueue notices none of it, so the queue is
asked now and then, and a job that is gone is asked for again.
"""

import functools
import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._version import __version__
from assay.errors import DeviceError
from assay.execution.cluster_file import ClusterSettings
from assay.execution.dask_workers import (
    DASK_SETTINGS,
    WORKER_ENVIRONMENT,
    Ended,
    ask_again,
    give_up_on,
    look_for_hanging,
    take_one_gpu,
)
from assay.execution.tasks import Outcome, Task, attempt

_ASK_EVERY_S = 10.0  # the queue; a busy controller is not to be asked more often,
_ASK_LEAST_EVERY_S = 80.0  # and for jobs that it refuses ever less often, down to this
_NEW_JOB_S = 20.0  # a job younger than this may not be listed yet
_FRUITLESS = 3  # times as many jobs as may be were refused, or ended before a worker came: none will
_MISREAD = frozenset(" \t\n\"'\\$`&|;<>()*?[]{}#!~%")  # in a path, by batch systems and their jobs' shells
_TIME_TO_LEAVE_S = 300  # before the end of a job's time its workers take no more work
_CONNECT_S = 30
_SPEECHLESS_S = 600.0  # the queue gives no answer and no worker is there: nothing is to be waited for

_CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
_LISTING = {
    "slurm": ("squeue", "--noheader", "--format=%A", "--user", "{user}"),
    "pbs": ("qstat", "-u", "{user}"),
    "sge": ("qstat", "-u", "{user}"),
    "lsf": ("bjobs", "-noheader", "-o", "jobid"),
}


class ClusterWorkers:
    """Jobs of a batch system, each with some worker processes; those that are gone are asked for again."""

    def __init__(self, settings: ClusterSettings, *, logs: Path, say: Callable[[str], None]) -> None:
        """Take what a job is.

        Args:
            settings: From the cluster file.
            logs: Folder on a shared disk for the jobs' output, and the keys of their connection.
            say: Is told how it stands with the jobs.
        """
        self.count = settings.jobs * settings.workers_per_job
        self._settings, self._logs, self._say = settings, logs, say
        self._cluster: Any = None
        self._client: Any = None
        self._asked_at, self._pause_s = 0.0, _ASK_EVERY_S
        self._answered_at = time.monotonic()
        self._speechless = False
        self._came: set[str] = set()  # jobs of which a worker was seen
        self._fruitless = 0
        self._refusals: list[str] = []  # what the batch system said, job by job
        self._told = ""
        self._ended = Ended(
            say,
            f"Its time was over (walltime {settings.walltime}), the queue wanted its place, or the job's memory is short "
            f"({settings.memory}).",
        )
        self._seen: dict[str, float] = {}  # job -> when it was first known

    def start(self, opened: ExitStack) -> Any:
        """Ask for the jobs, or reach the scheduler; gives a client before any worker is there."""
        from distributed import Client

        settings = self._settings
        if settings.kind == "address":
            try:
                client = Client(settings.address, timeout=f"{_CONNECT_S}s", set_as_default=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise DeviceError(
                    f"no Dask scheduler answers at {settings.address} within {_CONNECT_S} s "
                    f"({type(error).__name__}). Start it (`dask scheduler`), or mend [cluster] address."
                ) from error
        else:
            self._cluster = job_cluster(settings, logs=self._logs, refusals=self._refusals)
            opened.callback(give_up_on, self._cluster.close, 30)
            look_for_hanging(self._cluster)
            client = Client(self._cluster)
            self._cluster.scale(jobs=settings.jobs)
            self._say(
                f"{settings.jobs} jobs of {settings.workers_per_job} workers asked for from {settings.kind}"
            )
        opened.callback(give_up_on, client.close, 10)
        self._client = client
        return client

    def look_after(self) -> None:
        """Ask again for jobs that are gone.

        Raises:
            DeviceError: Jobs are refused or end before a worker comes, again and again; or the queue does not answer.
        """
        if self._cluster is None or time.monotonic() - self._asked_at < self._pause_s:
            return
        self._asked_at = time.monotonic()
        self._ended.look(self._cluster)
        queued = queued_jobs(self._settings.kind)
        if queued is None:
            self._wait_for_queue()
            return
        self._answered_at, self._speechless = time.monotonic(), False
        self._note_who_came()
        gone = [name for name, job in self._jobs().items() if self._is_gone(name, str(job.job_id), queued)]
        refused = self._refused()
        self._fruitless += len(refused) + sum(name not in self._came for name in gone)
        if self._fruitless >= _FRUITLESS * self._settings.jobs and (refused or gone):
            raise DeviceError(self._why_none_comes(refused))
        if gone:
            self._say(f"{len(gone)} of {self._settings.jobs} jobs are gone; asked for again")
        self._pause_s = min(2 * self._pause_s, _ASK_LEAST_EVERY_S) if refused else _ASK_EVERY_S
        # also for those that Dask itself found lost
        ask_again(self._cluster, gone + refused, jobs=self._settings.jobs)

    def _refused(self) -> list[str]:
        """Jobs that the batch system did not take. Why is told once, as long as it is the same."""
        jobs = dict(self._cluster.workers)
        refused = [name for name, job in jobs.items() if job.job_id is None and job.status.name == "failed"]
        if refused and (why := self._refusals[-1]) != self._told:
            self._told = why
            self._say(
                f"{self._settings.kind} does not take {len(refused)} of {self._settings.jobs} jobs: {why}"
            )
        return refused

    def _why_none_comes(self, refused: list[str]) -> str:
        if refused:
            return (
                f"{self._settings.kind} did not take {self._fruitless} jobs, and said: {self._told!r}. What is done is kept. "
                "Mend the cluster file (queue, account, memory, walltime, extra_directives) and run the same command again."
            )
        return (
            f"{self._fruitless} jobs ended before a worker came, the last said: {self._last_words()} What is done "
            f"is kept. The jobs' output is in {self._logs}; mend the cluster file (prologue, python, interface)."
        )

    def _wait_for_queue(self) -> None:
        """Controllers restart, so a queue that gives no answer is borne with; without workers, not for ever."""
        command = _LISTING[self._settings.kind][0]
        if not self._speechless:
            self._speechless = True
            self._say(
                f"the queue does not answer (`{command}`): jobs that end are not asked for again until it does"
            )
        silent_s = time.monotonic() - self._answered_at
        if silent_s > _SPEECHLESS_S and not self._cluster.scheduler.workers:
            raise DeviceError(
                f"`{command}` gave no answer for {silent_s / 60:.0f} minutes and no job has a worker. What is done is kept: "
                "run the same command again when the batch system answers."
            )

    def _jobs(self) -> dict[str, Any]:
        return {str(name): job for name, job in self._cluster.workers.items() if job.job_id is not None}

    def _note_who_came(self) -> None:
        workers = list(dict.values(self._cluster.scheduler.workers))  # at once: the scheduler goes on
        names = [str(worker.name) for worker in workers]
        for name in self._jobs():
            if any(each == name or each.startswith(f"{name}-") for each in names):
                self._came.add(name)
                self._fruitless = 0

    def _is_gone(self, name: str, job_id: str, queued: set[str]) -> bool:
        known_s = time.monotonic() - self._seen.setdefault(job_id, time.monotonic())
        return job_id not in queued and (name in self._came or known_s > _NEW_JOB_S)

    def _last_words(self) -> str:
        """The last line that a job wrote."""
        written = sorted(self._logs.glob("*.err"), key=lambda file: file.stat().st_mtime)
        for file in reversed(written):
            lines = file.read_text(errors="replace").strip().splitlines()
            if lines:
                return f"{lines[-1].strip()[:200]!r}."
        return "nothing."


def job_cluster(settings: ClusterSettings, *, logs: Path, refusals: list[str] | None = None) -> Any:
    """The cluster of dask-jobqueue that submits such jobs; nothing is submitted yet.

    Args:
        settings: From the cluster file.
        logs: As of `ClusterWorkers`.
        refusals: Takes what the batch system says when it does not take a job.

    Raises:
        DeviceError: dask-jobqueue, or what encrypts the connection, is not installed; the batch system is not here, or could
            not read the path of the folder.
    """
    if misread := sorted(_MISREAD.intersection(str(logs))):
        raise DeviceError(
            f"[cluster] kind = {settings.kind!r}: the path of RESULTS has {' '.join(map(repr, misread))} in it, which batch "
            f"systems misread: {logs.parent.parent}. Choose --out without it, or run the parts yourself (`--shard`)."
        )
    try:
        import dask
        import dask_jobqueue
        from distributed.security import Security
    except ImportError as error:
        raise DeviceError('a cluster needs dask-jobqueue: pip install "killassay[cluster]"') from error
    logs.mkdir(parents=True, exist_ok=True)
    logs.chmod(0o700)
    kind = getattr(dask_jobqueue, _CLASSES[settings.kind])
    _require_command(kind.job_cls.submit_command.split()[0], settings.kind)
    with dask.config.set({**DASK_SETTINGS, **_NO_SITE_SETTINGS}):
        try:
            security = Security.temporary() if settings.encrypted else None
        except ImportError as error:
            raise DeviceError(
                'an encrypted connection needs the package cryptography: pip install "killassay[cluster]"'
            ) from error
        return kind(
            **job_options(settings, logs=logs),
            security=security,
            shared_temp_directory=str(logs),
            job_cls=_telling(kind.job_cls, [] if refusals is None else refusals),
        )


def _telling(job_cls: Any, refusals: list[str]) -> Any:
    """A kind of job that says when it was not taken: dask-jobqueue waits for its worker for good."""
    from distributed.core import Status

    class Telling(job_cls):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:
                said = str(error).rpartition("stderr:")[2].split("\n")
                refusals.append("; ".join(line.strip() for line in said if line.strip())[:300] or "nothing")
                self.status = Status.failed
                raise

    return Telling


_NO_SITE_SETTINGS = {"jobqueue.slurm.worker-extra-args": [], "distributed.scheduler.dashboard.enabled": False}


def job_options(settings: ClusterSettings, *, logs: Path) -> dict[str, Any]:
    """What dask-jobqueue is told of a job."""
    lifetime_s = max(60, _seconds(settings.walltime) - _TIME_TO_LEAVE_S)
    stagger_s = min(120, lifetime_s // 10)
    options: dict[str, Any] = {
        "cores": settings.workers_per_job,
        "processes": settings.workers_per_job,
        "memory": settings.memory,
        "walltime": _walltime(settings),
        "queue": settings.queue or None,
        "interface": settings.interface or None,
        "python": settings.python or sys.executable,
        "job_name": "killassay",
        "log_directory": str(logs),
        "job_extra_directives": list(settings.extra_directives),
        "job_script_prologue": [*_environment(), *settings.prologue],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
        # seconds are spread, so that not all workers leave at once
        "worker_extra_args": ["--lifetime", f"{lifetime_s}s", "--lifetime-stagger", f"{stagger_s}s"],
    }
    if settings.account:
        options["project" if settings.kind in ("sge", "lsf") else "account"] = settings.account
    return _with_books(options, settings)


def _with_books(options: dict[str, Any], settings: ClusterSettings) -> dict[str, Any]:
    """Cores and GPUs that the batch system books for a job, where they are not the number of workers."""
    extra: list[str] = options["job_extra_directives"]
    cores = max(settings.cores, settings.workers_per_job)
    gpus = settings.gpus
    if settings.kind == "slurm":
        options["job_cpu"] = cores
        extra[:0] = [f"--gres=gpu:{gpus}"] if gpus else []
    elif settings.kind == "pbs":
        options["resource_spec"] = f"select=1:ncpus={cores}:mem={settings.memory}" + (
            f":ngpus={gpus}" if gpus else ""
        )
    elif settings.kind == "lsf":
        options["ncpus"] = cores
        extra[:0] = [f'-gpu "num={gpus}"'] if gpus else []
    elif gpus:
        extra[:0] = [f"-l gpu={gpus}"]
    return options


def queued_jobs(kind: str) -> set[str] | None:
    """Numbers of all jobs of this user that wait or run; None where the queue does not answer."""
    command = [word.format(user=getpass.getuser()) for word in _LISTING[kind]]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    words = (line.split() for line in answer.stdout.splitlines())
    return {line[0].split(".")[0].split("[")[0] for line in words if line and line[0][0].isdigit()}


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What every node must have in common with the machine on which the run was begun."""

    version: str
    shared: tuple[str, ...]
    host: str

    @classmethod
    def here(cls, shared: tuple[Path, ...]) -> "NodeCheck":
        """As it is on this machine."""
        return cls(version=__version__, shared=tuple(str(path.resolve()) for path in shared), host=_host())


def attempt_on_node(check: NodeCheck, task: Task) -> Outcome:
    """Run one task on a node of a cluster, once it is known that it sees the same disks and has the same killassay.

    Raises:
        DeviceError: It does not.
    """
    _require_same(check)
    return attempt(task)


@functools.cache
def _require_same(check: NodeCheck) -> None:
    if __version__ != check.version:
        raise DeviceError(
            f"node {_host()} has killassay {__version__}, {check.host} has {check.version}. Install the same on both, or "
            "name the interpreter in the cluster file: [cluster] python."
        )
    for path in check.shared:
        if not os.path.exists(path):  # noqa: PTH110 - the text of another machine's path
            raise DeviceError(
                f"node {_host()} does not see {path}, which {check.host} has. Put plate and RESULTS on a disk that all "
                "nodes share."
            )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    take_one_gpu(tuple(gpu for gpu in visible if gpu))


def _host() -> str:
    return socket.gethostname()


def _require_command(command: str, kind: str) -> None:
    from shutil import which

    if which(command) is None:
        raise DeviceError(
            f"[cluster] kind = {kind!r}: there is no command {command!r} on this machine ({_host()}). Start the run on a "
            "login node of the cluster, or choose another kind."
        )


def _environment() -> list[str]:
    return [f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()]


def _walltime(settings: ClusterSettings) -> str:
    """As the batch systems read it: Slurm and PBS would take 04:00 for four minutes, LSF knows no seconds."""
    minutes, seconds = divmod(_seconds(settings.walltime), 60)
    clock = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return clock if settings.kind == "lsf" else f"{clock}:{seconds:02d}"


def _seconds(walltime: str) -> int:
    """Of [D-]HH:MM[:SS]."""
    days, _, rest = walltime.rpartition("-")
    hours, minutes, *seconds = (int(part) for part in rest.split(":"))
    return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + (seconds[0] if seconds else 0)
