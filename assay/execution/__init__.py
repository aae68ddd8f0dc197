"""Run a list of independent tasks: in this process, on Dask workers of this machine, or on a cluster's.

One interface, three engines; the only room that knows dask.distributed. Tasks carry paths and small values; what they make
lies on disk before they return, so no engine decides what the answer is.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.execution.cluster_file import ClusterSettings, read_cluster_file
from assay.execution.machine import available_cores, memory_limit
from assay.execution.tasks import Engine, InProcess, Outcome, Task

__all__ = [
    "ClusterSettings",
    "Engine",
    "Outcome",
    "Task",
    "available_cores",
    "memory_limit",
    "open_engine",
    "read_cluster_file",
]


def _silent(line: str) -> None:
    del line


@contextmanager
def open_engine(
    workers: int,
    *,
    gpus: tuple[str, ...] = (),
    cluster: ClusterSettings | None = None,
    shared: tuple[Path, ...] = (),
    logs: Path | None = None,
    say: Callable[[str], None] = _silent,
) -> Iterator[Engine]:
    """An engine; without a cluster and with one worker there is no scheduler at all.

    Args:
        workers: Processes on this machine.
        gpus: Names of its GPUs, as in CUDA_VISIBLE_DEVICES, where each process is to see one of its own.
        cluster: Where workers come from instead.
        shared: Paths that every node of the cluster must reach: the plate, RESULTS.
        logs: Folder for what the jobs of the cluster write and the keys of their connection; on a shared disk.
        say: Is told how it stands with the workers.
    """
    if cluster is None and workers <= 1:
        yield InProcess()
        return
    from assay.execution.dask_workers import DaskEngine, LocalWorkers, attempt_on_gpu

    if cluster is None:
        engine = DaskEngine(LocalWorkers(workers, say=say), run_one=functools.partial(attempt_on_gpu, gpus))
    else:
        from assay.execution.clusters import ClusterWorkers, NodeCheck, attempt_on_node

        if logs is None:
            raise ValueError("a cluster's jobs need a folder for what they write")
        check = NodeCheck.here(shared)
        engine = DaskEngine(
            ClusterWorkers(cluster, logs=logs, say=say), run_one=functools.partial(attempt_on_node, check)
        )
    try:
        yield engine
    finally:
        engine.close()
