"""A plate with five wells broken in five ways: the others are as if nothing were wrong, byte for byte.

Some twenty wells here; all 96 in `tests/chaos/test_broken_wells.py`.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from assay.cli import run_commands
from assay.cli.main import _exit_code
from assay.columns import Table, length, take
from assay.io.tables import read_table
from assay.pipeline.run import RunOptions
from assay.protocol import parse_protocol
from tests.assay.pipeline.test_run import digest, run
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import make

WELLS = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
N_FRAMES = 15  # the death is in frame 12
WHY = {
    "A05": "zarr.json",  # what is expected and not there
    "B07": "is damaged",
    "D03": "PI",
    "F11": "complex128",
    "H12": "CTDR is black: nothing was recorded",
}
"""Well -> what its reason must name."""
FEW = [well for n, well in enumerate(WELLS) if n % 6 == 0 or well in WHY]
SETTINGS = PROTOCOL.split("[[condition]]")[0]


def break_wells(plate: Path) -> None:
    """Five ways in which a well can be lost; each as it is met with."""
    (plate / "A/05/0/0/zarr.json").unlink()  # a copy that was interrupted
    for file in sorted((plate / "B/07/0/0/c").rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:100])  # a disk that was full
    edit(plate / "D/03/0/zarr.json", lambda values: rename_channel(values, "PI", "Cy5"))
    edit(plate / "F/11/0/0/zarr.json", lambda values: values.update(data_type="complex128"))


def rename_channel(values: dict, old: str, new: str) -> None:
    for channel in values["attributes"]["ome"]["omero"]["channels"]:
        channel["label"] = new if channel["label"] == old else channel["label"]


def edit(file: Path, change) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def rows_of_whole_wells(table: Table) -> Table:
    return take(table, ~np.isin(table["well"].astype(str), sorted(WHY)))


Runs = tuple[Path, Path, int, str]
"""RESULTS of the plate's whole wells, of the broken plate, and how the command ended on it: exit code and report."""


def run_both(folder: Path, wells: Sequence[str]) -> Runs:
    films = {well: film(N_FRAMES, seed=3 + n % 4, effectors=n % 4 != 3) for n, well in enumerate(wells)}
    films["H12"] = np.zeros_like(films["H12"])
    plate = write_small_plate(folder / "plate.zarr", films)
    shutil.copytree(plate, folder / "broken.zarr")
    # the plate vouches for its files by their sums; another microscope's does not
    for sums in (folder / "broken.zarr").rglob("killassay.sums.json"):
        sums.unlink()
    break_wells(folder / "broken.zarr")
    whole = tuple(well for well in wells if well not in WHY)
    run(plate, folder / "clean", protocol=parse_protocol(SETTINGS), options=RunOptions(wells=whole))
    (folder / "protocol.toml").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_commands, "loader_of", lambda settings, device: make)
        patch.setattr(run_commands, "known_of", lambda maker: (maker().identity, {}))
        words = ("run", folder / "broken.zarr", "--protocol", folder / "protocol.toml")
        patch.setattr(
            sys, "argv", ["killassay", *map(str, words), "--out", str(folder / "out"), "--workers", "1"]
        )
        code = _exit_code()
    return folder / "clean", folder / "out", code, (folder / "out" / "report.html").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return run_both(tmp_path_factory.mktemp("broken"), FEW)


def test_five_broken_wells_end_with_exit_code_3_and_five_reasons_in_tables_and_report(runs: Runs):
    each_broken_well_has_its_reason(runs)


def test_the_other_wells_have_the_rows_and_labels_of_a_run_without_broken_wells(runs: Runs):
    the_others_are_undisturbed(runs, FEW)


def each_broken_well_has_its_reason(runs: Runs) -> None:
    _, out, code, page = runs
    assert code == 3
    fields = read_table(out / "tables", "fields")
    status = dict(zip(fields["well"], fields["status"], strict=True))
    assert {well: status[well] for well in WHY} == {**dict.fromkeys(WHY, "failed"), "H12": "excluded"}
    reasons = dict(zip(fields["well"], fields["reason"], strict=True))
    assert len({reasons[well] for well in WHY}) == 5
    for well, words in WHY.items():
        assert words in reasons[well], reasons[well]
        assert well in page
    wells = read_table(out / "tables", "wells")
    lost = np.isin(wells["well"].astype(str), sorted(WHY))
    assert np.isnan(wells["kills"][lost]).all()  # unknown, and not 0
    assert np.isfinite(wells["kills"][~lost]).all()


def the_others_are_undisturbed(runs: Runs, wells: Sequence[str]) -> None:
    clean, out, _, _ = runs
    for name in (
        "cells",
        "tracks",
        "contacts",
        "deaths",
        "kills",
        "effectors",
        "fields",
        "invalid_planes",
        "wells",
    ):
        before, now = (
            read_table(clean / "tables", name),
            rows_of_whole_wells(read_table(out / "tables", name)),
        )
        assert before.keys() == now.keys()
        assert length(before) == length(now)
        assert name == "invalid_planes" or length(now) > 0
        for column, values in before.items():
            np.testing.assert_array_equal(values, now[column], err_msg=f"{name}.{column}")
    whole = [well for well in wells if well not in WHY]
    chunks = {
        f"labels.zarr/{w[0]}/{w[1:]}/0/labels/{role}/0/c/" for w in whole for role in ("effectors", "targets")
    }

    def labels(results: Path) -> dict[str, str]:
        """Hashes of the label chunks; the brightness at which a viewer opens is the whole plate's."""
        sums = digest(results)
        return {name: sums[name] for name in sums if name[: name.find("/c/") + 3] in chunks}

    assert len(labels(out)) >= 2 * len(whole)  # of both roles
    assert labels(out) == labels(clean)
