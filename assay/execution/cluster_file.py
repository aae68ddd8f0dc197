"""The cluster file: from which batch system workers come, and what each of their jobs asks for (TOML)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import AssayError, ProtocolError
from assay.toml_values import nearest, parse_toml, read_text, refuse_unknown, section_values

KINDS = ("slurm", "pbs", "sge", "lsf", "address")
_WALLTIME = re.compile(r"(?:\d+-)?\d{1,3}:[0-5]\d(?::[0-5]\d)?")
_MEMORY = re.compile(r"\d+(?:\.\d+)? ?[KMGT]i?B", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What one job is, and how many there may be. One worker process a core, or one a GPU."""

    kind: str = "slurm"  # slurm | pbs | sge | lsf, or address: a Dask scheduler that runs already
    address: str = ""  # of that scheduler, as tcp://node:8786
    jobs: int = 2  # as many jobs as there may be at a time
    cores: int = 1  # of one job
    memory: str = "4GB"  # of one job
    walltime: str = "04:00:00"  # of one job; the run goes on in the next one
    queue: str = ""  # or partition; empty for the cluster's own
    account: str = ""
    gpus: int = 0  # of one job
    extra_directives: tuple[str, ...] = ()  # further lines of the job script, without #SBATCH and the like
    prologue: tuple[str, ...] = ()  # shell lines before the worker starts: module load, conda activate
    interface: str = ""  # network interface over which nodes reach this machine, as ib0
    python: str = ""  # interpreter on the nodes; empty for this one
    encrypted: bool = True  # keys made for this run alone, in RESULTS, readable by you only

    @property
    def workers_per_job(self) -> int:
        """Worker processes of one job."""
        return self.gpus or self.cores


def read_cluster_file(path: Path) -> ClusterSettings:
    """Read a cluster file.

    Raises:
        ProtocolError: It is missing, is not TOML, or holds an unknown key or an impossible value.
    """
    hint = (
        'Expected a TOML file with a section [cluster], such as kind = "slurm", jobs = 8 (docs/cluster.md).'
    )
    text = read_text(path, "cluster file", hint=hint)
    try:
        values = parse_toml(text, "cluster file")
        refuse_unknown("the cluster file", values, ["cluster"])
        settings = ClusterSettings(**section_values("cluster", ClusterSettings, values.get("cluster", {})))
        _check(settings)
    except AssayError as error:
        raise ProtocolError(f"cluster file {path}: {error}") from error
    return settings


def _check(settings: ClusterSettings) -> None:
    known = settings.kind in KINDS
    at_address = settings.kind == "address"
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (known, "kind", settings.kind, f"one of {', '.join(KINDS)}.{nearest(settings.kind, KINDS)}"),
        (
            at_address == bool(settings.address),
            "address",
            settings.address,
            'a scheduler such as tcp://node:8786 with kind = "address", and nothing with any other kind',
        ),
        (settings.jobs >= 1, "jobs", settings.jobs, "1 or more"),
        (settings.cores >= 1, "cores", settings.cores, "1 or more"),
        (settings.gpus >= 0, "gpus", settings.gpus, "0 or more"),
        (
            bool(_WALLTIME.fullmatch(settings.walltime)),
            "walltime",
            settings.walltime,
            "HH:MM:SS, as 04:00:00",
        ),
        (bool(_MEMORY.fullmatch(settings.memory)), "memory", settings.memory, "a size such as 8GB"),
    )
    for holds, key, value, expected in rules:
        if not holds:
            raise ProtocolError(f"[cluster] {key} = {value!r}: expected {expected}.")
    lines = (
        *settings.extra_directives,
        *settings.prologue,
        settings.queue,
        settings.account,
        settings.python,
    )
    if any("\n" in line or "\r" in line for line in lines):
        raise ProtocolError(
            "[cluster] holds a text of more than one line: each becomes one line of a job script."
        )
