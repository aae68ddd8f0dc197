"""The bench on which things are broken: a small plate, its protocol, its results, a folder of TIFFs, each made when asked for."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.io.ome_zarr import PlateWriter
from assay.io.tables import read_table
from assay.stack import FieldId
from tests.small_plates import CALIBRATION, CHANNELS, film

N_FRAMES = 12
PROTOCOL = """
[channels]
effector = "CTDR"
target = "GFP"
death = "PI"
[[condition]]
name = "CAR-T"
wells = ["B02", "B03"]
"""
VICTIM, OTHER = "B03", "B02"
SUB = "B/03/0/0"  # where the broken well's pixels lie
# what the lag model of the whole plate has a say in is left out
_COMPARED = {"cells": (), "tracks": (), "contacts": ("kill_share",), "deaths": ("uncredited_share",)}


def short_film(seed: int) -> NDArray[np.uint16]:
    """Twelve frames with a contact and a death under it."""
    return film(20, seed=seed)[6 : 6 + N_FRAMES]


def films() -> dict[str, NDArray[np.uint16]]:
    """One film a well; the cells of the broken one lie elsewhere, lest its labels be the other's."""
    return {OTHER: short_film(3), VICTIM: np.roll(short_film(4), 7, axis=3)}


def write_plate(path: Path, images: dict[str, NDArray[Any]], **settings: Any) -> Path:
    """A plate of one field a well; wells may differ in shape."""
    fields = {FieldId(well, 0): frames for well, frames in images.items()}
    first = next(iter(images.values()))
    settings = {
        "channel_names": tuple(CHANNELS),
        "channel_roles": CHANNELS,
        "calibration": CALIBRATION,
        "dtype": first.dtype,
        **settings,
    }
    shapes = {place: frames.shape for place, frames in fields.items()}
    with PlateWriter.create(path, fields=list(fields), shapes=shapes, **settings) as writer:
        for place, frames in fields.items():
            for start in writer.shard_starts(place):
                writer.write(place, start, frames[start : start + writer.shard_frames(place)])
    return path


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file."""
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def flip(file: Path, part: float = 0.5) -> None:
    """Flip one bit of a file."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * part)] ^= 4
    file.write_bytes(content)


def cut(file: Path, part: float = 0.5) -> None:
    """Keep the first part of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])


@dataclass(slots=True)
class Templates:
    """What benches are copied from; made once."""

    root: Path
    run: Callable[..., tuple[int, str, str]]
    digests: dict[str, str] = field(default_factory=dict)

    def plate(self) -> Path:
        """As of another program: nothing vouches for its files."""
        return self._made("plate.zarr", lambda path: _forget_sums(write_plate(path, films())))

    def plate_04(self) -> Path:
        return self._made("plate_04.zarr", lambda path: _forget_sums(write_plate(path, films(), ngff="0.4")))

    def our_plate(self) -> Path:
        """As killassay writes it, with the sums of its files."""
        return self._made("our_plate.zarr", lambda path: write_plate(path, films()))

    def protocol(self) -> Path:
        return self._made("assay.toml", lambda path: path.write_text(PROTOCOL))

    def tiffs(self) -> Path:
        return self._made("tiffs", _write_tiffs)

    def results(self) -> Path:
        return self._made("results", self._run)

    def _run(self, path: Path) -> None:
        code, _, err = self.run("run", self.plate(), "--protocol", self.protocol(), "--out", path)
        assert code == 0, err

    def _made(self, name: str, make: Callable[[Path], Any]) -> Path:
        path = self.root / name
        if not path.exists():
            make(path)
        return path

    def clean(self) -> dict[str, str]:
        if not self.digests:
            self.digests.update(digest(self.results()))
        return self.digests


class Bench:
    """One row's own copies, in a folder of its own."""

    def __init__(self, root: Path, templates: Templates, patch: Any) -> None:
        self.root, self.templates, self.patch = root, templates, patch
        self.out, self.made = root / "out", root / "made"
        self._copied: set[str] = set()

    def __getattr__(self, name: str) -> Path:
        """plate, plate_04, protocol, tiffs, results: a copy of the template, made on first use."""
        if name.startswith("_") or not hasattr(self.templates, name):
            raise AttributeError(name)
        source: Path = getattr(self.templates, name)()
        copy = self.root / source.name
        if name not in self._copied:
            self._copied.add(name)
            _copy(source, copy)
        return copy

    def words(self, template: tuple[str, ...]) -> list[str]:
        """A command's words, with the paths of this bench."""

        class Paths(dict[str, Any]):
            def __missing__(inner, name: str) -> str:
                return str(getattr(self, name))

        return [word.format_map(Paths()) for word in template]

    def repair(self) -> None:
        """Put everything back as it was, times of change included."""
        self.patch.undo()
        for name in self._copied - {"results"}:
            source: Path = getattr(self.templates, name)()
            copy = self.root / source.name
            shutil.rmtree(copy) if copy.is_dir() and not copy.is_symlink() else copy.unlink(missing_ok=True)
            _copy(source, copy)

    def new_plate(self, **images: Any) -> None:
        """Other films in the place of the plate."""
        settings = {
            name: images.pop(name)
            for name in ("calibration", "channel_names", "ngff", "channel_roles")
            if name in images
        }
        shutil.rmtree(self.plate)
        write_plate(self.plate, images or films(), **settings)
        _forget_sums(self.plate)

    def pixels(self, name: str = "plate") -> list[Path]:
        """Files that hold pixels of the well that is to be broken."""
        array = getattr(self, name) / SUB
        return sorted(
            p
            for p in array.rglob("*")
            if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs", "killassay.sums.json")
        )

    def chunk_04(self, frame: int = 5, channel: int = 1) -> Path:
        """The chunk of one frame and channel of the plate in 0.4."""
        return self.plate_04 / SUB / str(frame) / str(channel) / "0" / "0"

    def set_protocol(self, text: str) -> None:
        self.protocol.write_text(text)

    def add_to_protocol(self, text: str) -> None:
        """Lines before the conditions."""
        self.protocol.write_text(PROTOCOL.replace("[[condition]]", f"{text}\n[[condition]]", 1))

    def table(self, name: str, results: Path | None = None) -> dict[str, NDArray[Any]]:
        return read_table((results or self.out) / "tables", name)

    def well(self, well: str, name: str = "wells") -> dict[str, Any]:
        """A well's row of a table."""
        columns = self.table(name)
        (row,) = [n for n, one in enumerate(columns["well"]) if one == well]
        return {key: column[row] for key, column in columns.items()}

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of every file."""
        return {
            str(path.relative_to(self.root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.root.rglob("*")
            if not path.is_dir()
        }


def digest(results: Path) -> dict[str, str]:
    """Hash of every table and label file, but the one that names the plate."""
    files = sorted([*(results / "tables").rglob("*"), *(results / "labels.zarr").rglob("*")])
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file != results / "labels.zarr" / "zarr.json"
    }


def rows_of_well(results: Path, well: str) -> dict[str, bytes]:
    """What was found in one well, without what the other wells have a say in."""
    found: dict[str, bytes] = {}
    for name, shared in _COMPARED.items():
        columns = read_table(results / "tables", name)
        chosen = columns["well"] == well
        for key, column in columns.items():
            if key not in shared:
                found[f"{name}.{key}"] = repr(column[chosen].tolist()).encode()
    labels = results / "labels.zarr" / well[0] / well[1:]
    for file in sorted(labels.rglob("c/**/*")):
        if file.is_file():
            found[str(file.relative_to(results))] = file.read_bytes()
    return found


def _forget_sums(plate: Path) -> None:
    for sums in plate.rglob("killassay.sums.json"):
        sums.unlink()


def _write_tiffs(folder: Path) -> None:
    """A file for each plane of two wells, three frames and two channels."""
    folder.mkdir()
    for well, images in films().items():
        for frame in range(3):
            for channel, name in enumerate(("CTDR", "GFP")):
                tifffile.imwrite(
                    folder / f"{well}_0_{frame:03d}_{name}.tif",
                    images[frame, channel],
                    photometric="minisblack",
                    metadata=None,
                )


def _copy(source: Path, copy: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, copy)
    else:
        shutil.copy2(source, copy)
