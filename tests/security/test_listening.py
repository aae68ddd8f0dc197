"""What killassay opens on the network: nothing that another machine can reach, unless a cluster file says so."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from assay.execution.cluster_file import ClusterSettings, read_cluster_file
from assay.execution.clusters import job_options
from assay.execution.dask_workers import LocalWorkers

psutil = pytest.importorskip("psutil")


def test_workers_of_this_machine_listen_to_this_machine_only():
    with ExitStack() as opened:
        LocalWorkers(1, say=print).start(opened)
        me = psutil.Process()
        listening = {
            connection.laddr.ip
            for process in (me, *me.children(recursive=True))
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}


def test_connections_of_a_cluster_are_encrypted_unless_the_file_says_otherwise(tmp_path: Path):
    file = tmp_path / "C.toml"
    file.write_text('[cluster]\nkind = "slurm"\n')
    assert read_cluster_file(file).encrypted
    file.write_text('[cluster]\nkind = "slurm"\nencrypted = false\n')
    assert not read_cluster_file(file).encrypted


def test_the_dashboard_of_a_cluster_answers_this_machine_only(tmp_path: Path):
    options = job_options(ClusterSettings(), logs=tmp_path)
    assert options["scheduler_options"]["dashboard_address"].startswith("127.0.0.1:")
