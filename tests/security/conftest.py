"""The command in this process, a plate to spoil, and a look at everything on the disk before and after."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.cli.main import _exit_code
from assay.stack import FieldId
from assay.units import Calibration
from tests.security.hostile_files import PROTOCOL

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def killassay(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command: (exit code, stdout, stderr)."""

    def command(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["killassay", *map(str, words)])
        code = _exit_code()
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest plate of both versions, without the list by which a plate of ours vouches for itself."""
    from assay.io.ome_zarr import PlateWriter

    root = tmp_path_factory.mktemp("templates")
    images = np.random.default_rng(1).integers(200, 400, (2, 3, 72, 96)).astype(np.uint16)
    for ngff in ("0.4", "0.5"):
        with PlateWriter.create(
            root / f"{ngff}.zarr",
            fields=[FieldId("B02", 0)],
            shapes=images.shape,
            dtype=np.uint16,
            channel_names=("CTDR", "GFP", "PI"),
            calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=4.0),
            ngff=ngff,
        ) as writer:
            writer.write(FieldId("B02", 0), 0, images)
        for sums in (root / f"{ngff}.zarr").rglob("killassay.sums.json"):
            sums.unlink()
    return root


@pytest.fixture
def place(tmp_path: Path, templates: Path) -> Path:
    """A folder `in` for what somebody sends, `out` for what is made of it, `outside` for what nobody may touch."""
    for name in ("in", "out", "outside"):
        (tmp_path / name).mkdir()
    shutil.copytree(templates / "0.4.zarr", tmp_path / "in" / "v2.zarr")
    shutil.copytree(templates / "0.5.zarr", tmp_path / "in" / "v3.zarr")
    (tmp_path / "in" / "P.toml").write_text(PROTOCOL)
    (tmp_path / "outside" / "secret.json").write_text('{"secret": "do not print"}')
    return tmp_path


def seen(root: Path) -> dict[str, str]:
    """Everything in a folder but in `out`: names, and what files hold."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] == "out":
            continue
        plain = path.is_file() and not path.is_symlink()
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if plain else "not a file"
    return found
