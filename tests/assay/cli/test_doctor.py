from pathlib import Path
from typing import Any

import pytest

from assay.cli import examinations
from assay.cli.examinations import Finding
from tests.assay.cli.conftest import Command


def of(findings: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_a_machine_that_can_run_says_so_and_is_exit_code_0(killassay: Command, tmp_path: Path):
    code, out, err = killassay("doctor", "--disk", tmp_path, "--device", "cpu")
    assert code == 0, err
    assert "ok      model          standard, cpu-" in out
    assert f"{tmp_path}: " in out
    assert out.splitlines()[-1].startswith("everything that a run needs is here")
    assert not list(tmp_path.iterdir())  # the trial file is gone


def test_what_is_missing_is_named_with_the_line_that_installs_it(
    killassay: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    version = examinations._version
    monkeypatch.setattr(
        examinations,
        "_version",
        lambda name: (
            None if name in ("torch", "dask-jobqueue") else "3.0.9" if name == "zarr" else version(name)
        ),
    )
    code, out, _ = killassay("doctor", "--disk", tmp_path)
    assert code == 2
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "MISSING torch not installed" in lines
    assert '-> pip install "torch>=2.6"' in lines
    assert '-> pip install "zarr>=3.1"' in lines
    assert "note cluster without dask-jobqueue: needed for `killassay run --cluster`" in lines
    assert '-> pip install "killassay[cluster]"' in lines
    assert lines[-1] == "missing: torch, zarr. No run before that is mended (-> above)."


def test_a_device_that_is_not_there_is_missing(
    killassay: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, _ = killassay("doctor", "--device", "cuda", "--disk", tmp_path)
    assert code == 2
    assert "MISSING model" in out
    assert "torch finds 0 CUDA devices" in out


def test_a_disk_that_cannot_be_written_is_missing(tmp_path: Path):
    finding = examinations.examine_disk(tmp_path / "nowhere")
    assert finding.state == "missing"
    assert "nowhere cannot be written: No such file or directory" in finding.found


def test_a_slow_or_full_disk_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(examinations, "_trial", lambda folder: (0.1, 2.0))
    monkeypatch.setattr(examinations.shutil, "disk_usage", lambda folder: type("Use", (), {"free": 10**9}))
    finding = examinations.examine_disk(tmp_path)
    assert finding.state == "note"
    assert (
        finding.found == f"{tmp_path}: 1 GB free, 16 MB/s, 2000 ms until bytes are safe"
    )  # 33.6 MB in 2.1 s
    assert (
        finding.mend
        == "free some room, or give --out on another disk; the disk is slow: give --out on a local one"
    )


@pytest.mark.parametrize(
    ("available", "limit", "state", "said"),
    [
        (16_000_000_000, None, "ok", "16.0 GB free"),
        (
            16_000_000_000,
            1_500_000_000,
            "note",
            "16.0 GB free, limited to 1.5 GB by the container or batch job",
        ),
        (None, None, "ok", "unknown on this system"),
    ],
)
def test_memory_knows_the_limit_of_a_container(
    monkeypatch: pytest.MonkeyPatch, available: int | None, limit: int | None, state: str, said: str
):
    monkeypatch.setattr(examinations, "_available_memory", lambda: available)
    monkeypatch.setattr(examinations, "memory_limit", lambda: limit)
    finding = examinations.examine_memory()
    assert (finding.state, finding.found) == (state, said)


def test_a_home_that_cannot_be_written_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    finding = examinations.examine_home()
    assert finding.state == "note"
    assert finding.mend.startswith("export HOME=")


def test_code_that_cannot_be_kept_says_what_it_costs():
    finding = examinations.examine_compiled_code(None)
    assert finding.state == "note"
    assert finding.mend.startswith("export NUMBA_CACHE_DIR=")


def test_few_open_files_are_noted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("resource.getrlimit", lambda what: (128, 4096))
    assert examinations.examine_open_files().mend == "ulimit -n 1024"


@pytest.mark.parametrize(("version", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("26.0.1rc1", (26, 0))])
def test_versions_are_compared_as_numbers(version: str, numbers: tuple[int, ...]):
    assert examinations._numbers(version) == numbers


def test_this_machine_has_what_the_tests_run_with():
    found = of(examinations.examine_python())
    assert {finding.state for finding in found.values()} == {"ok"}
    assert set(found) >= {"python", "torch", "zarr", "numcodecs"}
