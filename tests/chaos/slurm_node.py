"""A real Slurm of one node, as root and without systemd, for as long as a test needs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DAEMONS = ("slurmctld", "slurmd", "munged")
_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here; empty where there can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in _DAEMONS if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: apt-get install slurm-wlm munge" if absent else ""


@contextmanager
def slurm_node(folder: Path) -> Iterator[None]:
    """Start Slurm with everything in `folder`, and end what was started."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    config = folder / "slurm.conf"
    host = socket.gethostname().split(".")[0]
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 3 // 4
    config.write_text(_CONFIG.format(host=host, folder=folder, cores=os.cpu_count(), memory=memory_mb))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(config)
    own_munge = _start_munge()
    try:
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-c"], check=True, capture_output=True)
        _wait_for_node()
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"], check=False, capture_output=True)
        for daemon in ("slurmd", "slurmctld"):
            _end(folder / f"{daemon}.pid")
        if own_munge:
            _end(Path("/run/munge/munged.pid"))
        os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


def jobs() -> list[str]:
    """Numbers of the jobs that run."""
    said = subprocess.run(
        ["squeue", "--noheader", "--format=%A", "--states=R"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()


def _start_munge() -> bool:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return False
    for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True, capture_output=True)
    return True


def _wait_for_node() -> None:
    for _ in range(60):
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise RuntimeError("Slurm's node did not come up")


def _end(pid_file: Path) -> None:
    if pid_file.is_file():
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


def main() -> None:
    """Run a command while a Slurm is there: `python -m tests.chaos.slurm_node COMMAND ...`."""
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder, slurm_node(Path(folder)):
        code = subprocess.run(sys.argv[1:], check=False).returncode
    sys.exit(code)


if __name__ == "__main__":
    main()
