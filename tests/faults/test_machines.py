"""Machines that are odd: no home, another language or clock, few files, folders that went away or may not be written.

Real processes, as all of it is decided when they start.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench, Templates, digest

ROOT = Path(__file__).parents[2]
_COMMAND = """
from assay.cli import main, run_commands
from tests.threshold_segmenter import make
run_commands.loader_of = lambda settings, device: make
main()
"""
_AS_NOBODY = """
import contextlib, io, os, sys
from assay.cli import main, run_commands
from assay.cli.main import _exit_code
from tests.threshold_segmenter import make
run_commands.loader_of = lambda settings, device: make
words = sys.argv
sys.argv = [*words[:-1], words[-1] + "-warm"]  # loads all there is, as nobody may not read this Python
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    _exit_code()
sys.argv = words
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
main()
"""


@pytest.fixture
def open_bench(templates: Templates) -> Iterator[Bench]:
    """A bench that nobody may enter; pytest's own folders are root's alone."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        yield Bench(root, templates, patch)
    shutil.rmtree(root)


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become nobody"
)


def killassay(
    bench: Bench,
    *words: object,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    before: Callable[[], None] | None = None,
    code: str = _COMMAND,
) -> tuple[int, str, str]:
    """The command in a process of its own."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd or bench.root,
        env={name: value for name, value in given.items() if value != "-"},
        capture_output=True,
        text=True,
        preexec_fn=before,
        timeout=400,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def run_words(bench: Bench) -> tuple[object, ...]:
    return ("run", bench.plate, "--protocol", bench.protocol, "--out", bench.out)


def one_line(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("killassay: ")]
    return line


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "-", "XDG_DATA_HOME": "-", "XDG_CACHE_HOME": "-", "USER": "-", "LOGNAME": "-"},
        {
            "LANG": "C",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "TZ": "Pacific/Kiritimati",
            "HOME": "/nowhere/at/all",
        },
        {
            "LANG": "tr_TR.UTF-8",
            "LC_ALL": "-",
            "TZ": "America/St_Johns",
            "COLUMNS": "20",
            "TERM": "dumb",
            "PYTHONHASHSEED": "7",
        },
    ],
    ids=[
        "no home",
        "language C, the other side of the date line, a home that is not there",
        "Turkish, narrow, half an hour off",
    ],
)
def test_the_numbers_are_the_same_whatever_the_environment(bench: Bench, env: dict[str, str]):
    code, _, err = killassay(bench, *run_words(bench), env=env)
    assert code == 0, err
    assert digest(bench.out) == bench.templates.clean()


def test_a_few_open_files_are_enough(bench: Bench):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    code, _, err = killassay(bench, *run_words(bench), before=few)
    assert code == 0, err
    assert digest(bench.out) == bench.templates.clean()


def test_a_folder_that_was_deleted_under_the_shell_is_one_line_or_no_matter(bench: Bench):
    gone = bench.root / "gone"
    gone.mkdir()

    def leave() -> None:
        gone.rmdir()

    code, _, err = killassay(bench, "status", bench.results, cwd=gone, before=leave)
    assert code == 0, err
    gone.mkdir()
    code, _, err = killassay(
        bench, "run", bench.plate, "--protocol", bench.protocol, "--out", "out", cwd=gone, before=leave
    )
    assert code == 2
    assert "folder" in one_line(err)


@needs_root
def test_an_output_that_may_not_be_written_is_said_before_any_work(open_bench: Bench):
    words = run_words(open_bench)
    locked = open_bench.root / "locked"
    locked.mkdir(mode=0o755)
    code, _, err = killassay(
        open_bench, *words[:-1], locked / "results", code=_AS_NOBODY, env={"HOME": "/nonexistent"}
    )
    assert code == 2
    assert "locked" in one_line(err)
    assert "permission denied" in one_line(err).lower()
    assert "to do" not in err


@needs_root
def test_a_plate_that_may_only_be_read_is_enough(open_bench: Bench):
    words = run_words(open_bench)
    for path in [open_bench.plate, *open_bench.plate.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    room = open_bench.root / "room"
    room.mkdir()
    room.chmod(0o777)
    code, _, err = killassay(
        open_bench, *words[:-1], room / "results", code=_AS_NOBODY, env={"HOME": "/nonexistent"}
    )
    assert code == 0, err
    assert digest(room / "results") == open_bench.templates.clean()


@needs_root
def test_pixels_that_may_not_be_read_fail_their_own_field(open_bench: Bench):
    words = run_words(open_bench)
    for path in open_bench.pixels():
        path.chmod(0)
    open_bench.root.chmod(0o777)
    code, out, err = killassay(open_bench, *words, code=_AS_NOBODY, env={"HOME": "/nonexistent"})
    assert code == 3, err
    (line,) = [line for line in out.splitlines() if line.startswith("FAILED ")]
    assert "well B03, field 0" in line
    assert "ermission denied" in line


@needs_root
def test_a_disk_that_is_full_is_one_line_and_the_run_goes_on_when_there_is_room(bench: Bench):
    disk = bench.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    words = (*run_words(bench)[:-1], disk / "results")
    try:
        code, _, err = killassay(bench, *words)
        assert code == 2
        assert "free" in one_line(err)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        code, _, err = killassay(bench, *words)
        assert code == 0, err
        assert digest(disk / "results") == bench.templates.clean()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
