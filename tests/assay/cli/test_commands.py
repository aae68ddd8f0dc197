"""The command line as a user meets it: what it prints, and the exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from assay.cli import main as _main  # noqa: F401 - the entry point exists
from assay.cli import run_commands
from assay.cli.main import _exit_code
from assay.io.tables import read_table
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import make

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def killassay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, with a plain segmenter for the model: (exit code, stdout, stderr)."""

    monkeypatch.setattr(run_commands, "loader_of", lambda settings, device: make)

    def command(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["killassay", *map(str, words)])
        code = _exit_code()
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture
def assay_files(tmp_path: Path) -> tuple[Path, Path]:
    """A plate and its protocol."""
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(20), "C02": film(20, effectors=False)})
    protocol = tmp_path / "assay.toml"
    protocol.write_text(PROTOCOL)
    return plate, protocol


def one_line(err: str) -> str:
    """The error line; there is one, and no traceback."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("killassay: ")]
    assert len(lines) == 1, err
    return lines[0]


def test_a_run_prints_the_table_of_wells_and_where_the_report_is(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    plate, protocol = assay_files
    code, out, err = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert code == 0
    assert "B02" in out
    assert "targets alone" in out
    assert f"report: {tmp_path / 'results' / 'report.html'}" in out
    assert "segmentation: 4 to do" in err
    code, out, _ = killassay("status", tmp_path / "results")
    assert code == 0
    assert "2 of 2 fields done" in out


def test_quiet_says_nothing_but_results(killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path):
    plate, protocol = assay_files
    code, _, err = killassay("--quiet", "run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert (code, err) == (0, "")


def test_tables_are_exported_for_other_programs(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    plate, protocol = assay_files
    killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    code, _, _ = killassay("export", tmp_path / "results", "--to", tmp_path / "csv", "--format", "csv")
    assert code == 0
    header, *rows = (tmp_path / "csv" / "wells.csv").read_text().splitlines()
    assert header.startswith("well,condition,kind,status")
    assert [row.split(",")[0] for row in rows] == ["B02", "C02"]
    code, _, _ = killassay("export", tmp_path / "results", "--to", tmp_path / "pq", "--format", "parquet")
    assert code == 0
    assert read_table(tmp_path / "pq", "wells")["well"].tolist() == ["B02", "C02"]
    for form, made in (("ctc", "B02/0/targets"), ("geff", "B02_0.zarr/targets.geff")):
        words = ("export", tmp_path / "results", "--to", tmp_path / form, "--format", form)
        code, out, err = killassay(*words)
        assert code == 0
        assert str(tmp_path / form / made) in out.splitlines()
        assert "export: 80 to do" in err  # two wells, two roles, 20 frames
        code, _, err = killassay(*words)
        assert code == 2
        assert "exists already. Choose another folder for --to" in one_line(err)
    code, out, _ = killassay("score", tmp_path / "results", tmp_path / "ctc")
    assert code == 0
    assert "TRA (CTC)                         1.0000" in out
    code, out, _ = killassay("contacts", tmp_path / "results", "--csv", tmp_path / "times.csv")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "frames",
        "all",
        "CAR-T",
        "targets",
        "B02",
        "C02",
    ]
    known = read_table(tmp_path / "pq", "contact_times")
    assert (tmp_path / "times.csv").read_text() == (tmp_path / "csv" / "contact_times.csv").read_text()
    assert known["n_contacts"][0] > 0
    assert "How long contacts last" in (tmp_path / "results" / "report.html").read_text()
    code, _, err = killassay("export", tmp_path / "results", "--to", tmp_path / "no", "--format", "plate")
    assert code == 2
    assert "--format plate: labels in the input plate's own labels/ are not written yet" in one_line(err)


def test_a_protocol_is_written_from_the_plate_and_runs(killassay: Command, assay_files: tuple[Path, Path]):
    plate, _ = assay_files
    out = plate.with_suffix(".toml")
    code, _, _ = killassay("protocol", plate, "-o", out)
    assert code == 0
    assert 'target = "GFP"' in out.read_text()
    code, text, _ = killassay("check", plate, "--protocol", out)
    assert code == 0
    assert "20 frames, every 5 min of 72 x 96 px at 1 x 1 um; channels CTDR, GFP, PI" in text
    code, _, err = killassay("protocol", plate, "-o", out)
    assert code == 2
    assert "exists already" in one_line(err)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"GFP"', '"GPF"'), "'GPF' is not in the images"),
        (("[[condition]]", "[contact]\nentr_um = 1.0\n[[condition]]"), "Did you mean 'enter_um'"),
        (("[channels]", "[channels"), "not TOML"),
    ],
    ids=["unknown channel", "misspelt key", "no TOML"],
)
def test_a_wrong_protocol_is_one_line_and_exit_code_2(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path, change: tuple[str, str], message: str
):
    plate, protocol = assay_files
    protocol.write_text(PROTOCOL.replace(*change, 1))
    code, _, err = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert code == 2
    assert message in one_line(err)
    assert not (tmp_path / "results").exists()


def test_a_plate_that_is_none_is_one_line_and_exit_code_2(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    _, protocol = assay_files
    for plate in (tmp_path / "nothing.zarr", protocol, tmp_path):
        code, _, err = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
        assert code == 2
        one_line(err)


def test_a_plate_without_pixel_size_asks_for_it(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    import json

    plate, protocol = assay_files
    for sums in plate.rglob("killassay.sums.json"):
        sums.unlink()  # metadata are changed on purpose
    for file in plate.rglob("zarr.json"):
        text = file.read_text()
        if "multiscales" in text and "coordinateTransformations" in text:
            content = json.loads(text)
            for scale in content["attributes"]["ome"]["multiscales"]:
                for axis in scale["axes"]:
                    axis.pop("unit", None)
                for dataset in scale["datasets"]:
                    dataset["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 1.0]}]
            file.write_text(json.dumps(content))
    code, _, err = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert code == 2
    assert "pixel_um" in one_line(err)
    protocol.write_text(PROTOCOL + "\n")
    given = PROTOCOL.replace(
        "[[condition]]", "[calibration]\npixel_um = [1.0, 1.0]\nframe_min = 5.0\n[[condition]]", 1
    )
    protocol.write_text(given)
    code, _, _ = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert code == 0


def test_failed_fields_end_with_exit_code_3_and_are_no_zero(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    plate, protocol = assay_files
    shard = next(file for file in sorted((plate / "B" / "02" / "0" / "0" / "c").rglob("*")) if file.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, out, _ = killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    assert code == 3
    assert "FAILED well B02, field 0" in out
    wells = read_table(tmp_path / "results" / "tables", "wells")
    assert wells["status"].tolist() == ["failed", "ok"]
    assert np.isnan(wells["kills"][0])
    code, out, _ = killassay("status", tmp_path / "results")
    assert code == 3


def test_a_truncated_tiff_and_a_missing_time_point_are_named(killassay: Command, tmp_path: Path):
    source = tmp_path / "export"
    source.mkdir()
    images = film(4)
    for frame in range(4):
        for channel, name in enumerate(("CTDR", "GFP", "PI")):
            tifffile.imwrite(source / f"B02_0_{frame:03d}_{name}.tif", images[frame, channel])
    given = ("--pixel-um", "1.0", "--frame-min", "5")
    code, out, _ = killassay("import", source, tmp_path / "whole.zarr", *given)
    assert code == 0
    assert "next: killassay protocol" in out
    victim = source / "B02_0_002_GFP.tif"
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    code, _, err = killassay("import", source, tmp_path / "torn.zarr", *given)
    assert code == 2
    assert "B02_0_002_GFP.tif" in one_line(err)
    victim.unlink()
    code, _, err = killassay("import", source, tmp_path / "holey.zarr", *given)
    assert code == 2
    assert "B02" in one_line(err)
    assert "GFP" in one_line(err)


def test_wrong_words_are_exit_code_2(killassay: Command):
    for words in (("rnu",), ("run",), ("run", "x.zarr", "--protocol", "p", "--out", "o", "--shard", "3/2")):
        code, _, err = killassay(*words)
        assert code == 2
        one_line(err)


def test_version_and_help(killassay: Command):
    code, out, _ = killassay("--version")
    assert (code, out.split()[0]) == (0, "killassay")
    code, out, _ = killassay("--help")
    assert code == 0
    for command in (
        "demo",
        "import",
        "protocol",
        "check",
        "run",
        "status",
        "report",
        "export",
        "simulate",
        "score",
        "train",
        "models",
    ):
        assert command in out


def test_a_bug_of_ours_says_so_and_is_exit_code_1(
    killassay: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def broken(path: Path) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("assay.pipeline.status.status_lines", broken)
    code, _, err = killassay("status", tmp_path)
    assert code == 1
    assert "this is our bug" in err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root"
)
def test_a_full_disk_is_exit_code_2_and_the_run_goes_on_when_there_is_room(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    plate, protocol = assay_files
    try:
        code, _, err = killassay("run", plate, "--protocol", protocol, "--out", disk / "results")
        assert code == 2
        assert "free" in one_line(err)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        code, _, _ = killassay("run", plate, "--protocol", protocol, "--out", disk / "results")
        assert code == 0
        killassay("run", plate, "--protocol", protocol, "--out", tmp_path / "roomy")
        for name in ("cells", "deaths", "kills", "wells"):
            ours, theirs = (
                out / "tables" / f"{name}.parquet" for out in (disk / "results", tmp_path / "roomy")
            )
            assert ours.read_bytes() == theirs.read_bytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


_STOPPED = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore Ctrl-C
from assay.cli import run_commands
from tests.threshold_segmenter import ThresholdSegmenter

class Slow(ThresholdSegmenter):
    def segment(self, images, **options):
        time.sleep(0.5)
        return super().segment(images, **options)

run_commands.loader_of = lambda settings, device: Slow
from assay.cli import main
main()
"""


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_stopped_run_keeps_what_is_done(
    assay_files: tuple[Path, Path], tmp_path: Path, sent: signal.Signals, code: int
):
    plate, protocol = assay_files
    out = tmp_path / "results"
    words = ["run", str(plate), "--protocol", str(protocol), "--out", str(out), "--batch-frames", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPED, *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (out / "ledger" / "pixels").is_dir() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "what is done is kept" in err
    assert not list(out.glob(".run.lock"))
    shutil.rmtree(out)


def test_a_program_that_runs_it_is_told_every_unit_as_json(
    killassay: Command, assay_files: tuple[Path, Path], tmp_path: Path
):
    plate, protocol = assay_files
    words = ("run", plate, "--protocol", protocol, "--out", tmp_path / "results")
    code, out, err = killassay(*words, "--progress", "json")
    assert code == 0
    assert f"report: {tmp_path / 'results' / 'report.html'}" in out
    told = [json.loads(line) for line in err.splitlines()]
    segmentation = [one for one in told if one.get("step") == "segmentation"]
    assert segmentation == [{"step": "segmentation", "done": n, "total": 4} for n in range(5)]
    assert {one["step"] for one in told if "step" in one} >= {"tracking", "contacts and deaths"}
    code, _, err = killassay(*words, "--progress", "xml")
    assert code == 2
    assert "--progress 'xml': expected bar or json." in one_line(err)
