"""Files that try to run something, to lead out of their folder, or to end up where they should not."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

PROTOCOL = """
[channels]
effector = "CTDR"
target = "GFP"
death = "PI"
"""


class Payload:
    """Touches the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.canary}'",)


def pickled(canary: Path, protocol: int = 4) -> bytes:
    return pickle.dumps(Payload(canary), protocol=protocol)


def zipped(members: dict[str, bytes]) -> bytes:
    """Also what torch writes: a zip file with data.pkl in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def replaced(file: Path, target: Path) -> None:
    """Put a link in the place of a file or folder."""
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    file.symlink_to(target)


def chunk_of(array: Path) -> Path:
    """A file of pixels."""
    metadata = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
    return next(path for path in sorted(array.rglob("*")) if path.is_file() and path.name not in metadata)


def card(sha256: str, **changes: Any) -> str:
    values = {
        "format": 1,
        "name": "evil",
        "architecture": "residual-unet-s2d",
        "widths": [8, 8, 8, 8],
        "channel_roles": ["effector", "target", "nuclei", "death", "brightfield"],
        "cell_roles": ["effector", "target"],
        "pixel_um": 0.65,
        "sha256": sha256,
    }
    return json.dumps({**values, **changes})


def ome_xml(size_t: str = "1", name: str = "x.ome.tif", inside: str = "", head: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="64" SizeY="64" SizeC="1" '
        f'SizeZ="1" SizeT="{size_t}"><Channel ID="Channel:0:0" Name="GFP" SamplesPerPixel="1"/>{inside}</Pixels></Image></OME>'
    )


def write_tiff(path: Path, description: str, *, frames: int = 1, **settings: Any) -> Path:
    """An honest picture with a text of somebody's choice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.arange(frames * 64 * 64, dtype=np.uint16).reshape(frames, 64, 64)
    tifffile.imwrite(
        path, images, description=description, metadata=None, photometric="minisblack", **settings
    )
    return path


def zstd_zeros(total: int, *, tell: bool) -> bytes:
    """A zstd frame of repeated bytes: 4 bytes for each 128 kB, with or without its size in the header."""
    block = 128 << 10
    frame = struct.pack("<I", 0xFD2FB528) + (
        bytes([0xC0, 0x38]) + total.to_bytes(8, "little") if tell else bytes([0, 0x38])
    )
    pieces = [min(block, total - at) for at in range(0, total, block)]
    for place, size in enumerate(pieces):
        frame += (size << 3 | 1 << 1 | (place == len(pieces) - 1)).to_bytes(3, "little") + b"\0"
    return frame


def one_chunk_image(
    root: Path, array: dict[str, Any], chunk: bytes, *, chunk_name: str = "c/0/0/0/0"
) -> Path:
    """An OME-Zarr 0.5 image of one array, written straight."""
    scale = [{"type": "scale", "scale": [60.0, 1.0, 0.5, 0.5]}]
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    ome = {"version": "0.5", "multiscales": multiscales, "omero": {"channels": [{"label": "GFP"}]}}
    file = root / "0" / chunk_name
    file.parent.mkdir(parents=True)
    file.write_bytes(chunk)
    (root / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})
    )
    (root / "0" / "zarr.json").write_text(json.dumps(array))
    return root


def v3_array(shape: list[int], chunk: list[int], codecs: list[Any]) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *codecs],
        "attributes": {},
    }
