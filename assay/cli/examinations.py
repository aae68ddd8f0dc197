"""What `killassay doctor` looks at: each examination gives findings, with the line that mends what is missing."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from assay.execution import memory_limit

State = Literal["ok", "note", "missing"]

_OLDEST_PYTHON = (3, 11)
_GB = 1e9
_LITTLE_MEMORY_GB, _LITTLE_DISK_GB = 2.0, 5.0
_SLOW_FSYNC_S, _SLOW_WRITE_MB_S = 0.5, 20.0
_TRIAL_BYTES = 1 << 25
_FEW_FILES = 256
_NEEDED = {
    "torch": "2.6",
    "zarr": "3.1",
    "numcodecs": "0.16.5",
    "numpy": "1.26",
    "numba": "0.60",
    "scipy": "1.13",
    "pyarrow": "17",
    "distributed": "2025.1",
}
# extra -> (distribution, what it is for)
_EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "napari": (("napari", "PySide6_Essentials"), "`killassay review` and the napari plugin"),
    "cluster": (("dask-jobqueue", "cryptography"), "`killassay run --cluster`"),
    "import": (("nd2", "liffile", "pylibCZIrw"), "importing Nikon .nd2, Leica .lif and Zeiss .czi"),
    "export": (("onnx", "onnxruntime"), "`killassay models export --to onnx`"),
}
_BATCH_SYSTEMS = {"sbatch": "slurm", "qsub": "pbs or sge", "bsub": "lsf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    state: State  # missing: no run without it; note: something works less well, or not at all
    found: str
    mend: str = ""  # what to type or do; empty where nothing needs mending


def examine_python() -> Iterator[Finding]:
    """The interpreter, and the packages without which there is no run."""
    new_enough = sys.version_info[:2] >= _OLDEST_PYTHON
    yield Finding(
        what="python",
        state="ok" if new_enough else "missing",
        found=f"{platform.python_version()}, {sys.executable}",
        mend="" if new_enough else "install Python 3.11 or newer, and killassay into it",
    )
    for name, oldest in _NEEDED.items():
        version = _version(name)
        good = version is not None and _numbers(version) >= _numbers(oldest)
        yield Finding(
            what=name,
            state="ok" if good else "missing",
            found=version or "not installed",
            mend="" if good else f'pip install "{name}>={oldest}"',
        )


def examine_extras() -> Iterator[Finding]:
    """What only some commands need."""
    for extra, (names, purpose) in _EXTRAS.items():
        versions = {name: _version(name) for name in names}
        absent = [name for name, version in versions.items() if version is None]
        said = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        yield Finding(
            what=extra,
            state="note" if absent else "ok",
            found=f"without {', '.join(absent)}: needed for {purpose}" if absent else said,
            mend=f'pip install "killassay[{extra}]"' if absent else "",
        )


def examine_screen() -> Finding:
    """Whether napari could open a window."""
    if platform.system() != "Linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return Finding(what="screen", state="ok", found="there is one")
    return Finding(
        what="screen",
        state="note",
        found="none (neither DISPLAY nor WAYLAND_DISPLAY is set): `killassay review` opens no window here",
        mend="ssh -X, or run the review where the screen is; everything else needs none",
    )


def examine_processor(cores: int) -> Finding:
    """Cores that this process may use."""
    whole = os.cpu_count() or cores
    less = f" of {whole}: the rest is not given to this process" if cores < whole else ""
    return Finding(what="cores", state="ok", found=f"{cores}{less}")


def examine_memory() -> Finding:
    """Memory that is free, and the limit of a container or batch job."""
    available, limit = _available_memory(), memory_limit()
    known = [size for size in (available, limit) if size is not None]
    if not known:
        return Finding(what="memory", state="ok", found="unknown on this system")
    found = f"{(available or min(known)) / _GB:.1f} GB free"
    if limit is not None and (available is None or limit < available):
        found += f", limited to {limit / _GB:.1f} GB by the container or batch job"
    little = min(known) < _LITTLE_MEMORY_GB * _GB
    return Finding(
        what="memory",
        state="note" if little else "ok",
        found=found,
        mend=f"a worker wants about {_LITTLE_MEMORY_GB:.0f} GB: run with --workers 1" if little else "",
    )


def examine_disk(folder: Path) -> Finding:
    """Whether RESULTS could lie here: room, and how long it takes until bytes are safe."""
    try:
        free = shutil.disk_usage(folder).free
        write_s, sync_s = _trial(folder)
    except OSError as error:
        return Finding(
            what="disk",
            state="missing",
            found=f"{folder} cannot be written: {error.strerror}",
            mend="name a folder that can, with --disk FOLDER, and give --out there",
        )
    speed = _TRIAL_BYTES / 1e6 / max(write_s + sync_s, 1e-6)
    found = (
        f"{folder}: {free / _GB:.0f} GB free, {speed:.0f} MB/s, {1000 * sync_s:.0f} ms until bytes are safe"
    )
    mend = []
    if free < _LITTLE_DISK_GB * _GB:
        mend.append("free some room, or give --out on another disk")
    if speed < _SLOW_WRITE_MB_S or sync_s > _SLOW_FSYNC_S:
        mend.append("the disk is slow: give --out on a local one")
    return Finding(what="disk", state="note" if mend else "ok", found=found, mend="; ".join(mend))


def examine_home() -> Finding:
    """The home folder, where other programs keep settings and caches."""
    try:
        home = Path.home()
        with tempfile.TemporaryFile(dir=home):
            return Finding(what="home", state="ok", found=f"{home} can be written")
    except (OSError, RuntimeError) as error:
        return Finding(
            what="home",
            state="note",
            found=f"the home folder cannot be written ({error}): napari keeps no settings",
            mend="export HOME=/a/folder/that/can/be/written",
        )


def examine_compiled_code(kept_in: Path | None) -> Finding:
    """Where compiled loops are kept from one process to the next."""
    if kept_in is not None:
        return Finding(what="compiled code", state="ok", found=f"is kept in {kept_in}")
    return Finding(
        what="compiled code",
        state="note",
        found="cannot be kept: each process compiles for about 10 s before it works",
        mend="export NUMBA_CACHE_DIR=/a/folder/that/can/be/written",
    )


def examine_open_files() -> Finding:
    """How many files a process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return Finding(what="open files", state="ok", found="not limited")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < _FEW_FILES
    return Finding(
        what="open files",
        state="note" if few else "ok",
        found="not limited" if soft < 0 else f"{soft} at a time",
        mend=f"ulimit -n {4 * _FEW_FILES}" if few else "",
    )


def examine_batch_systems() -> Finding:
    """Which cluster this machine can hand jobs to."""
    here = [kind for command, kind in _BATCH_SYSTEMS.items() if shutil.which(command)]
    found = (
        f"{', '.join(here)}: docs/cluster.md" if here else "none here (no sbatch, qsub or bsub on the path)"
    )
    return Finding(what="batch system", state="ok", found=found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Its leading numbers: 2.13.0+cpu -> (2, 13, 0)."""
    numbers = []
    for piece in version.split("+")[0].split("."):
        if not piece.isdigit():
            break
        numbers.append(int(piece))
    return tuple(numbers)


def _available_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def _trial(folder: Path) -> tuple[float, float]:
    """Seconds to write a trial file, and until the disk has it."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".killassay-doctor-") as file:
        start = time.perf_counter()
        file.write(os.urandom(1 << 20) * (_TRIAL_BYTES >> 20))
        file.flush()
        written = time.perf_counter()
        os.fsync(file.fileno())
        return written - start, time.perf_counter() - written
