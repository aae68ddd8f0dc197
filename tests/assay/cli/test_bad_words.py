"""What a hostile or hurried user types: one line, exit code 2, and nothing is written where it must not be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small_plates import PROTOCOL, film, write_small_plate

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_small_plate(tmp_path / "small.zarr", {"B02": film(2)})


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "assay.toml"
    path.write_text(PROTOCOL)
    return path


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*"))


def test_nothing_is_written_into_a_plate(killassay: Command, plate: Path, protocol: Path):
    before = files_of(plate)
    inside = plate / "new"
    for words in (
        ("run", plate, "--protocol", protocol, "--out", inside),
        ("demo", "--out", inside),
        ("protocol", plate, "-o", inside),
        ("simulate", inside, "--frames", 1),
        ("train", "--out", inside),
    ):
        code, _, err = killassay(*words)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert "OME-Zarr data and is never changed" in err
    assert files_of(plate) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('condition = [1, 2]\n[channels]\ntarget = "GFP"\n', "two brackets"),
        ('[channels]\ntarget = "GFP"\n[calibration]\nframe_min = [4.0]\n', "expected a number"),
        ('[channels]\ntarget = "GFP"\n[kill]\nmax_lag_min = 1' + "0" * 400, "at most 1e+09"),
        ('[channels]\ntarget = "GFP"\n[contact]\nbridge_frames = 99999999999', "at most 1e+09"),
        ('[channels]\ntarget = "GFP"\n[kill]\nmax_lag_min = ' + "[" * 20000, "nested too deep"),
        (
            '[channels]\ntarget = "GFP"\n[[condition]]\nname = "x"\nwells = ["B2"]\nseeded_et_ratio = nan',
            "nan",
        ),
    ],
)
def test_a_protocol_of_nonsense_is_one_line(
    killassay: Command, plate: Path, protocol: Path, text: str, says: str
):
    protocol.write_text(text)
    code, _, err = killassay("check", plate, "--protocol", protocol)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert says in err


def test_a_problem_that_check_finds_is_said_on_stderr(killassay: Command, plate: Path, protocol: Path):
    protocol.write_text('[channels]\ntarget = "GFQ"\n')
    code, _, err = killassay("check", plate, "--protocol", protocol)
    assert code == 2
    assert "'GFQ' is not in the images" in err


def test_an_empty_list_of_wells_is_not_all_wells(
    killassay: Command, plate: Path, protocol: Path, tmp_path: Path
):
    code, _, err = killassay(
        "run", plate, "--protocol", protocol, "--out", tmp_path / "results", "--wells", ","
    )
    assert code == 2
    assert "--wells ','" in err


def test_a_folder_that_is_not_there_or_is_a_file_is_named(killassay: Command, plate: Path, protocol: Path):
    code, _, err = killassay("protocol", plate, "-o", plate.parent / "nowhere" / "p.toml")
    assert code == 2
    assert "there is no folder" in err
    (protocol.parent / "tables").mkdir()
    code, _, err = killassay("export", protocol.parent, "--to", protocol)
    assert code == 2
    assert "is a file, or lies in one" in err


def test_training_needs_time_and_tiles(killassay: Command, tmp_path: Path):
    for words in (("--minutes", "-1"), ("--minutes", "nan"), ("--tiles", "0")):
        code, _, err = killassay("train", "--out", tmp_path / "model", *words)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert "`killassay train --help`" in err


def test_no_command_shows_the_help_and_no_broken_line(killassay: Command):
    code, out, err = killassay()
    assert code == 2
    assert "Commands" in out + err
    assert "killassay:  " not in out + err
