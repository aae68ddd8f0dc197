"""Small files that claim, or become, something huge are refused before any memory is asked for.

Each command is a process of its own, with all that it loads: its processor time and its largest memory are looked at.
Time is processor time, because on a busy machine a clock on the wall says nothing of the program.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.security import hostile_files as files

MAX_S, MAX_MB = 2.0, 300
TRIES = 3  # a neighbour on the same core can double what a process takes
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a child's memory so")


@dataclass(frozen=True, slots=True)
class Cost:
    code: int
    said: str
    cpu_s: float
    peak_mb: float


# A process counts the memory of the one that started it as its own, until it becomes another program: so a small one
# stands between this and the command.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stdout, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def run(words: list[Any]) -> Cost:
    """The whole command in a process of its own."""
    command = [sys.executable, "-S", "-c", MEASURE, sys.executable, "-m", "assay", *map(str, words)]
    told = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=True, text=True).stdout
    code, said, cpu_s, peak = json.loads(told)
    return Cost(code, said, cpu_s, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def _image(
    shape: list[int], chunk: list[int], codecs: list[Any], content: bytes
) -> Callable[[Path], list[Any]]:
    def make(place: Path) -> list[Any]:
        files.one_chunk_image(place / "bomb.zarr", files.v3_array(shape, chunk, codecs), content)
        return ["check", place / "bomb.zarr"]

    return make


def _tiff(name: str, text: str, **settings: Any) -> Callable[[Path], list[Any]]:
    def make(place: Path) -> list[Any]:
        source = files.write_tiff(place / name, text, frames=4, **settings)
        return [
            "import",
            source,
            place / "p.zarr",
            "--pixel-um",
            "0.5",
            "--frame-min",
            "5",
            "--channels",
            "GFP",
        ]

    return make


def _settings(text: str) -> Callable[[Path], list[Any]]:
    def make(place: Path) -> list[Any]:
        (place / "P.toml").write_text(text)
        return ["check", ROOT / "data/sample/plate.zarr", "--protocol", place / "P.toml"]

    return make


def _metadata(text: str) -> Callable[[Path], list[Any]]:
    def make(place: Path) -> list[Any]:
        (place / "bomb.zarr").mkdir()
        (place / "bomb.zarr/zarr.json").write_text(text)
        return ["check", place / "bomb.zarr"]

    return make


def _many_wells(place: Path) -> list[Any]:
    plate = {"wells": [{"path": f"B/{n}"} for n in range(200_000)]}
    values = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "plate": plate}},
    }
    return _metadata(json.dumps(values))(place)


def _wide_tiff(place: Path) -> list[Any]:
    """An honest file of 64 x 64 whose header is made to say 32,768 x 32,000."""
    source = files.write_tiff(place / "wide.tif", "", compression="zlib", rowsperstrip=64)
    data = bytearray(source.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[start : start + 2], "little")):
        at = start + 2 + 12 * entry
        new = {256: 32_768, 257: 32_000, 278: 32_000}.get(int.from_bytes(data[at : at + 2], "little"))
        if new is not None:
            data[at + 2 : at + 12] = (
                (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + new.to_bytes(4, "little")
            )
    source.write_bytes(data)
    return ["import", source, place / "p.zarr", "--pixel-um", "0.5", "--channels", "GFP"]


def _gzip_bomb() -> bytes:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()


GB = 1 << 30
ZSTD: list[Any] = [{"name": "zstd", "configuration": {"level": 3, "checksum": False}}]
GZIP: list[Any] = [{"name": "gzip", "configuration": {"level": 5}}]
SMALL = ([1, 1, 256, 256], [1, 1, 256, 256])
LARGE = ([1, 1, 16384, 32768], [1, 1, 16384, 32768])
PLAIN: list[Any] = []
CASES: dict[str, tuple[Callable[[Path], list[Any]], str]] = {
    "zstd chunk of 1 GB, its size told": (_image(*SMALL, ZSTD, files.zstd_zeros(GB, tell=True)), "would decode to"),
    "zstd chunk of 1 GB, its size kept back": (_image(*SMALL, ZSTD, files.zstd_zeros(GB, tell=False)), "would decode to"),
    "zstd chunk of 1 GB, as the metadata says": (_image(*LARGE, ZSTD, files.zstd_zeros(GB, tell=True)), "would decode|too large"),
    "gzip chunk of 256 MB": (_image(*SMALL, GZIP, _gzip_bomb()), "would decode to"),
    "array of a billion frames": (_image([10**9, 1, 8, 8], [1, 1, 8, 8], PLAIN, bytes(128)), "is not read|at most"),
    "array of 1e15 x 1e15 pixels": (_image([1, 1, 10**15, 10**15], [1, 1, 8, 8], PLAIN, bytes(128)), "not sizes|not read"),
    "array of 2^31 x 2^31 pixels": (_image([1, 1, 2**31, 2**31], [1, 1, 2**15, 2**14], PLAIN, bytes(128)), "not read|at most"),
    "chunks of 2^40 bytes": (_image([1, 1, 2**20, 2**20], [1, 1, 2**20, 2**20], PLAIN, bytes(128)), "one chunk holds"),
    "metadata of two million brackets": (_metadata('{"a": [' + "[]," * 4_000_000 + "[]]}"), "values, which no metadata"),
    "metadata nested 200,000 deep": (_metadata('{"a": ' + "[" * 200_000), "damaged"),
    "metadata of 300 MB": (_metadata('{"a": "' + "x" * 300_000_000 + '"}'), "larger than 16 MB"),
    "plate of 200,000 wells": (_many_wells, "which no plate has"),
    "OME-XML of a billion frames": (_tiff("a.ome.tif", files.ome_xml(size_t="1000000000")), "cut off"),
    "ImageJ text of a billion images": (_tiff("a.tif", "ImageJ=1.53t\nimages=1000000000\nframes=1000000000\n"), "cut off"),
    "tifffile shape of a billion frames": (_tiff("a.tif", '{"shape": [1000000000, 64, 64]}'), "cut off"),
    "OME-XML of 100 MB": (_tiff("a.ome.tif", files.ome_xml(inside="<!--" + "x" * 100_000_000 + "-->")), "of text stand in|over"),
    "OME-XML of 3 million elements": (_tiff("a.ome.tif", files.ome_xml(inside="<TiffData/>" * 3_000_000)), "more than 300000"),
    "picture of 2 GB in a kilobyte": (_wide_tiff, "no picture is|too short|declared"),
    "settings of 50 MB": (_settings("# x\n" * 12_500_000), "larger than 1 MB"),
    "settings of 200,000 dots": (_settings("a." * 200_000 + "a = 1\n"), "dots"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_small_file_that_claims_much_is_refused_cheaply(name: str, tmp_path: Path):
    make, says = CASES[name]
    words = make(tmp_path)
    costs = []
    for _ in range(TRIES):
        costs.append(run(words))
        if costs[-1].cpu_s < MAX_S:
            break
    best = min(costs, key=lambda cost: cost.cpu_s)
    print(f"{name}: {best.cpu_s:.2f} s, {best.peak_mb:.0f} MB: {best.said.splitlines()[-1][:160]}")  # noqa: T201
    assert best.code == 2, best.said[-2000:]
    assert "Traceback" not in best.said
    assert re.search(says, best.said), best.said[-2000:]
    assert best.peak_mb < MAX_MB
    assert best.cpu_s < MAX_S
