"""The main job on real microscope images, from vendor file to report; skipped where the images are not.

Accuracy is not asked here: nothing may break, nothing may be invented, and what cannot be known is said.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from assay.cli.main import _exit_code
from assay.io.ome_zarr import open_plate
from assay.io.tables import read_table

DATA = Path(__file__).parents[1].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not beside the repository")

ADCC_ROLES = {
    "brightfield": "brightfield_channel",
    "nuclei": "live_nuclei_channel",
    "death": "dead_nuclei_channel",
    "effector": "effector_fluo_channel",
}
Command = Callable[..., None]


@pytest.fixture
def killassay(monkeypatch: pytest.MonkeyPatch) -> Command:
    def command(*words: Any) -> None:
        monkeypatch.setattr(sys, "argv", ["killassay", *map(str, words)])
        assert _exit_code() == 0

    return command


def protocol_text(roles: dict[str, str], calibration: str = "") -> str:
    channels = "\n".join(f'{role} = "{name}"' for role, name in roles.items())
    return f"[channels]\n{channels}\n{calibration}\n"


@pytest.mark.parametrize(("n_channels", "n_wells"), [(4, 30), (3, 13)], ids=["with effectors", "without"])
def test_single_frames_of_a_killing_assay_have_cells_and_no_events(
    killassay: Command, tmp_path: Path, n_channels: int, n_wells: int
):
    folder = DATA / "adcc_mcf7"
    chosen = [e for e in json.loads((folder / "index.json").read_text()) if len(e["channels"]) == n_channels]
    rows = [f"{entry['name']}.tif,{'ABCDEFGH'[n // 12]}{n % 12 + 1}" for n, entry in enumerate(chosen)]
    wells, plate, out = tmp_path / "wells.csv", tmp_path / "adcc.zarr", tmp_path / "results"
    wells.write_text("file,well\n" + "\n".join(rows) + "\n")
    names = ",".join(chosen[0]["channels"])
    killassay("import", folder, plate, "--wells", wells, "--channels", names, "--pixel-um", "0.3112")
    roles = {role: name for role, name in ADCC_ROLES.items() if name in chosen[0]["channels"]}
    protocol = tmp_path / "adcc.toml"
    protocol.write_text(protocol_text(roles))
    killassay("run", plate, "--protocol", protocol, "--out", out)
    table = read_table(out / "tables", "wells")
    assert len(table["well"]) == n_wells
    assert set(table["status"]) == {"no_events"}
    assert np.isnan(table["kills"]).all()
    assert np.isnan(table["deaths"]).all()
    cells = read_table(out / "tables", "cells")
    assert (cells["role"] == "target").sum() > n_wells
    assert all(f"mean_{name}" in cells for name in chosen[0]["channels"])
    page = (out / "report.html").read_text()
    assert "a single frame has no events" in page.lower() or "single frame" in page


def test_a_hyperstack_runs_with_its_own_calibration_and_names(killassay: Command, tmp_path: Path):
    plate, protocol, out = tmp_path / "h.zarr", tmp_path / "h.toml", tmp_path / "results"
    killassay("import", DATA / "hyperstack" / "sample.tif", plate)
    stack = open_plate(plate).stack(open_plate(plate).fields[0])
    assert stack.calibration.pixel_um == (0.3112, 0.3112)
    assert set(stack.channel_names) == set(ADCC_ROLES.values())
    killassay("protocol", plate, "-o", protocol)
    killassay("run", plate, "--protocol", protocol, "--out", out)
    cells = read_table(out / "tables", "cells")
    assert (cells["role"] == "target").any()


def test_a_migration_film_runs_with_targets_only(killassay: Command, tmp_path: Path):
    source = DATA / "c2c12_and_nuclei_small" / "MDA231_migration_crop_48f.tif"
    protocol = tmp_path / "mda.toml"
    protocol.write_text(
        protocol_text({"nuclei": "nuclei"}, "[calibration]\npixel_um = [0.65, 0.65]\nframe_min = 5.0")
    )
    plate, out = tmp_path / "mda.zarr", tmp_path / "results"
    killassay("import", source, plate, "--axes", "TYX", "--channels", "nuclei", "--protocol", protocol)
    killassay("run", plate, "--protocol", protocol, "--out", out)
    wells = read_table(out / "tables", "wells")
    assert wells["n_effectors"].tolist() == [0.0]
    assert wells["kills"].tolist() == [0.0]
    tracks = read_table(out / "tables", "tracks")
    assert (tracks["last_frame"] - tracks["first_frame"]).max() == 47  # some cell is followed all the way


def test_phase_contrast_frames_run_with_targets_only(killassay: Command, tmp_path: Path):
    with np.load(DATA / "c2c12_and_nuclei_small" / "c2c12_phase_10f.npz") as stored:
        images = stored["images"]
    source = tmp_path / "frames"
    source.mkdir()
    for frame, image in enumerate(images):
        tifffile.imwrite(source / f"B02_0_{frame:03d}_phase.tif", image)
    protocol = tmp_path / "c2c12.toml"
    protocol.write_text(
        protocol_text({"brightfield": "phase"}, "[calibration]\npixel_um = [1.3, 1.3]\nframe_min = 50.0")
    )
    plate, out = tmp_path / "c2c12.zarr", tmp_path / "results"
    killassay("import", source, plate, "--protocol", protocol)
    killassay("run", plate, "--protocol", protocol, "--out", out)
    fields = read_table(out / "tables", "fields")
    assert fields["n_frames"].tolist() == [10]
    assert fields["status"].tolist() == ["ok"]
