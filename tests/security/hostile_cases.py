"""The canaries: what is sent, the command that meets it, and what is said of it."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.security import hostile_files as files

Words = list[Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    make: Callable[[Path, Path], Words]  # (the place, the canary) -> the command
    says: str
    code: int = 2


def _model(name: str, write: Callable[[Path, Path], str]) -> Callable[[Path, Path], Words]:
    """A model that the protocol names."""

    def make(place: Path, canary: Path) -> Words:
        given = write(place / "in", canary)
        protocol = place / "in" / "P.toml"
        protocol.write_text(protocol.read_text() + f"\n[model]\nname = {json.dumps(given)}\n")
        return ["run", place / "in/v3.zarr", "--protocol", protocol, "--out", place / "out/r", "--workers", 1]

    return make


def _file(name: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path], str]:
    def write(folder: Path, canary: Path) -> str:
        (folder / name).write_bytes(content(canary))
        return str(folder / name)

    return write


def _with_card(content: Callable[[Path], bytes], **changes: Any) -> Callable[[Path, Path], str]:
    """Weights that do have the hash of their card."""

    def write(folder: Path, canary: Path) -> str:
        data = content(canary)
        (folder / "evil.safetensors").write_bytes(data)
        (folder / "evil.json").write_text(files.card(hashlib.sha256(data).hexdigest(), **changes))
        return str(folder / "evil.json")

    return write


def _torch_zip(canary: Path) -> bytes:
    return files.zipped({"archive/data.pkl": files.pickled(canary, 2), "archive/version": b"3\n"})


def _object_array(canary: Path) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([files.Payload(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


MODELS = [
    Case(name=f"weights-{ending}", make=_model("", _file(f"w.{ending}", content)), says="is a pickle")
    for ending, content in (
        ("pt", _torch_zip),
        ("pth", files.pickled),
        ("pkl", files.pickled),
        ("jit", _torch_zip),
        ("joblib", files.pickled),
        ("npy", _object_array),
        ("npz", lambda canary: files.zipped({"w.npy": _object_array(canary)})),
        ("bin", _torch_zip),
        ("ckpt", _torch_zip),
    )
] + [
    Case(name="card-with-torch-zip", make=_model("", _with_card(_torch_zip)), says="a pickle under another name"),
    Case(name="card-with-pickle-4", make=_model("", _with_card(files.pickled)), says="a pickle under another name"),
    Case(
        name="card-with-pickle-0",
        make=_model("", _with_card(lambda canary: files.pickled(canary, 0))),
        says="is no safetensors file",
    ),
    Case(
        name="card-with-lfs-pointer",
        make=_model("", _with_card(lambda _: b"version https://git-lfs.github.com/spec/v1\n")),
        says="Git LFS pointer",
    ),
    Case(
        name="safetensors-header-of-a-terabyte",
        make=_model("", _with_card(lambda _: (1 << 40).to_bytes(8, "little") + b"{}")),
        says="its header is not in it",
    ),
    Case(
        name="card-of-a-network-of-terabytes",
        make=_model("", _with_card(lambda _: b"\x02\0\0\0\0\0\0\0{}", widths=[10**6] * 4)),
        says="widths",
    ),
    Case(name="model-name-out-of-the-zoo", make=_model("", lambda *_: "../../outside/secret"), says="no model"),
    Case(
        name="card-that-is-a-pickle",
        make=_model("", _file("evil.json", files.pickled)),
        says="cannot be read as a model card",
    ),
]  # fmt: skip


def _v2(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        array = place / "in/v2.zarr/B/02/0/0"
        files.edit(array / ".zarray", change)
        files.chunk_of(array).write_bytes(files.pickled(canary))
        return ["check", place / "in/v2.zarr"]

    return make


def _v3(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        array = place / "in/v3.zarr/B/02/0/0"
        files.edit(array / "zarr.json", change)
        files.chunk_of(array).write_bytes(files.pickled(canary))
        return ["check", place / "in/v3.zarr"]

    return make


def _shard(values: dict[str, Any]) -> dict[str, Any]:
    return values["codecs"][0]["configuration"]


EVIL = {"name": "numcodecs.pickle", "configuration": {}}
ZARR = [
    Case(
        name="v2-objects-with-pickle",
        make=_v2(lambda v: v.update(dtype="|O", filters=[{"id": "vlen-utf8"}, {"id": "pickle"}])),
        says=r"type '\|O' are not read",
    ),
    Case(name="v2-pickle-compressor", make=_v2(lambda v: v.update(compressor={"id": "pickle"})), says="may run code"),
    Case(name="v2-pickle-filter", make=_v2(lambda v: v.update(filters=[{"id": "pickle"}])), says="may run code"),
    Case(name="v2-json2-filter", make=_v2(lambda v: v.update(filters=[{"id": "json2"}])), says="may run code"),
    Case(
        name="v2-delta-to-objects",
        make=_v2(lambda v: v.update(filters=[{"id": "delta", "dtype": "<u2", "astype": "|O"}])),
        says="a filter to type",
    ),
    Case(name="v2-structured-type", make=_v2(lambda v: v.update(dtype=[["a", "|O"]])), says="are not read"),
    Case(name="v2-chunk-names-out", make=_v2(lambda v: v.update(dimension_separator="/../")), says="not understood"),
    Case(name="v3-pickle-codec", make=_v3(lambda v: v.update(codecs=["bytes", EVIL])), says="may run code"),
    Case(name="v3-pickle-in-shard", make=_v3(lambda v: _shard(v)["codecs"].append(EVIL)), says="may run code"),
    Case(name="v3-pickle-in-index", make=_v3(lambda v: _shard(v)["index_codecs"].append(EVIL)), says="may run code"),
    Case(name="v3-storage-transformer", make=_v3(lambda v: v.update(storage_transformers=[EVIL])), says="transformers"),
    Case(
        name="v3-chunk-names-out",
        make=_v3(lambda v: v["chunk_key_encoding"]["configuration"].update(separator="/../../")),
        says="chunk names",
    ),
    Case(name="v3-objects", make=_v3(lambda v: v.update(data_type="variable_length_utf8")), says="are not read"),
]  # fmt: skip


def _consolidated(place: Path, canary: Path) -> Words:
    """What consolidated metadata says of arrays is not believed."""
    plate = place / "in/v3.zarr"
    evil = files.v3_array([1, 1, 8, 8], [1, 1, 8, 8], [EVIL])
    files.edit(
        plate / "zarr.json",
        lambda v: v.update(consolidated_metadata={"kind": "inline", "metadata": {"B/02/0/0": evil}}),
    )
    return ["check", plate]


def _zmetadata(place: Path, canary: Path) -> Words:
    evil = {
        "zarr_consolidated_format": 1,
        "metadata": {"B/02/0/0/.zarray": {"dtype": "|O", "filters": [{"id": "pickle"}]}},
    }
    (place / "in/v2.zarr/.zmetadata").write_text(json.dumps(evil))
    return ["check", place / "in/v2.zarr"]


def _well_path(path: str) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        plate = place / "in/v3.zarr"
        files.edit(
            plate / "zarr.json", lambda v: v["attributes"]["ome"]["plate"]["wells"][0].update(path=path)
        )
        return ["check", plate]

    return make


def _image_path(place: Path, canary: Path) -> Words:
    plate = place / "in/v3.zarr"
    files.edit(
        plate / "B/02/0/zarr.json",
        lambda v: v["attributes"]["ome"]["multiscales"][0]["datasets"][0].update(
            path="../../../../v2.zarr/B/02/0/0"
        ),
    )
    return ["check", plate]


def _field_path(place: Path, canary: Path) -> Words:
    plate = place / "in/v3.zarr"
    files.edit(
        plate / "B/02/zarr.json",
        lambda v: v["attributes"]["ome"]["well"]["images"][0].update(path="../../../v2.zarr/B/02/0"),
    )
    return ["check", plate]


def _linked(inside: str) -> Callable[[Path, Path], Words]:
    """The same thing lies outside, a link leads to it."""

    def make(place: Path, canary: Path) -> Words:
        here = place / "in/v3.zarr" / inside
        if inside == "chunk":
            here = files.chunk_of(place / "in/v3.zarr/B/02/0/0")
        there = place / "outside" / here.name
        (shutil.copytree if here.is_dir() else shutil.copy)(here, there)
        files.replaced(here, there)
        return ["check", place / "in/v3.zarr"]

    return make


def _pipe(inside: str) -> Callable[[Path, Path], Words]:
    """Opening it would wait for ever."""

    def make(place: Path, canary: Path) -> Words:
        file = place / "in/v3.zarr" / inside
        if inside == "chunk":
            file = files.chunk_of(place / "in/v3.zarr/B/02/0/0")
        file.unlink()
        os.mkfifo(file)
        return ["check", place / "in/v3.zarr"]

    return make


def _device(place: Path, canary: Path) -> Words:
    files.replaced(place / "in/v3.zarr/B/02/0/0/zarr.json", Path("/dev/zero"))
    return ["check", place / "in/v3.zarr"]


PATHS = [
    Case(name="consolidated-metadata-with-pickle", make=_consolidated, says="nothing speaks against a run", code=0),
    Case(name="zmetadata-with-pickle", make=_zmetadata, says="nothing speaks against a run", code=0),
    Case(name="well-path-up", make=_well_path("../../outside"), says="is not a plain path inside the plate"),
    Case(name="well-path-absolute", make=_well_path("/etc"), says="is not a plain path inside the plate"),
    Case(name="well-path-windows", make=_well_path("..\\..\\outside"), says="is not a plain path inside the plate"),
    Case(name="well-path-of-a-megabyte", make=_well_path("B/" * 500_000 + "02"), says="is not a plain path inside"),
    Case(name="array-path-up", make=_image_path, says="is not a plain path inside the plate"),
    Case(name="field-path-up", make=_field_path, says="is not a plain path inside the plate"),
    Case(name="linked-chunk", make=_linked("chunk"), says="a link that leads out of the plate"),
    Case(name="linked-well", make=_linked("B/02"), says="a link that leads out of the plate"),
    Case(name="linked-array", make=_linked("B/02/0/0"), says="a link that leads out of the plate"),
    Case(name="linked-metadata", make=_linked("B/02/0/zarr.json"), says="a link that leads out of the plate"),
    Case(name="pipe-for-a-chunk", make=_pipe("chunk"), says="is no file"),
    Case(name="pipe-for-metadata", make=_pipe("B/02/0/0/zarr.json"), says="is no file"),
    Case(name="device-for-metadata", make=_device, says="a link that leads out|is no file"),
]  # fmt: skip


def _text(name: str, text: str, *words: str) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        file = place / "in" / name
        file.write_text(text.replace("CANARY", str(canary)))
        known = {
            "PLATE": place / "in/v3.zarr",
            "FILE": file,
            "OUT": place / "out/r",
            "P": place / "in/P.toml",
        }
        return [known.get(word, word) for word in words]

    return make


YAML = '!!python/object/apply:os.system ["touch CANARY"]\n'
CLUSTER = '[cluster]\nkind = "slurm"\n'
RUN = ("run", "PLATE", "--protocol", "P", "--out", "OUT", "--cluster", "FILE")
CHECK = ("check", "PLATE", "--protocol", "FILE")
SETTINGS = [
    Case(name="yaml-tag-in-toml", make=_text("E.toml", YAML, *CHECK), says="this is not TOML"),
    Case(name="yaml-protocol", make=_text("E.yaml", YAML, *CHECK), says="this is not TOML"),
    Case(
        name="toml-of-dots",
        make=_text("E.toml", "a." * 200_000 + "a = 1\n", *CHECK),
        says="has more than 200 dots",
    ),
    Case(name="toml-of-brackets", make=_text("E.toml", "a = " + "[" * 100_000, *CHECK), says="nested too deep"),
    Case(name="toml-of-megabytes", make=_text("E.toml", "# \n" * 700_000, *CHECK), says="larger than 1 MB|cannot be read"),
    Case(
        name="second-line-in-a-job-script",
        make=_text("E.toml", CLUSTER + 'queue = "x\\ntouch CANARY"\n', *RUN),
        says="more than one line",
    ),
    Case(
        name="command-for-a-cluster",
        make=_text("E.toml", CLUSTER.replace("slurm", "; touch CANARY"), *RUN),
        says="expected one of",
    ),
    Case(
        name="jinja-in-a-channel",
        make=_text("E.toml", "[channels]\ntarget = \"{{ ''.__class__.__mro__ }}\"\n", *CHECK),
        says="is not in the images",
    ),
]  # fmt: skip


def _archive(name: str) -> Callable[[Path, Path], Words]:
    """Members that would land outside; nothing is ever unpacked."""

    def make(place: Path, canary: Path) -> Words:
        members = {"../../CANARY": b"", str(canary): b"", "zarr.json": b"{}"}
        (place / "in" / name).write_bytes(files.zipped(members))
        return ["check", place / "in" / name]

    return make


def _import(name: str, text: str, *words: str) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        files.write_tiff(
            place / "in/tiffs" / name.replace("CANARY", "x"), text.replace("CANARY", str(canary))
        )
        return [
            "import",
            place / "in/tiffs",
            place / "out/p.zarr",
            "--pixel-um",
            "0.5",
            "--channels",
            "GFP",
            *words,
        ]

    return make


ENTITY = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
LAUGHS = "<!DOCTYPE x [" + '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
) + "]>"  # fmt: skip
UUID = (
    '<TiffData IFD="0" PlaneCount="1"><UUID FileName="../../outside/secret.tif">urn:uuid:1</UUID></TiffData>'
)


def _wells_list(line: str) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        files.write_tiff(place / "in/tiffs/a.tif", "")
        (place / "in/wells.csv").write_text(
            "file,well,condition\n" + line.replace("CANARY", str(canary)) + "\n"
        )
        return [
            "import",
            place / "in/tiffs",
            place / "out/p.zarr",
            "--wells",
            place / "in/wells.csv",
            "--pixel-um",
            "0.5",
        ]

    return make


def _pipe_of_tiff(place: Path, canary: Path) -> Words:
    files.write_tiff(place / "in/tiffs/B02_0_t0_GFP.tif", "")
    os.mkfifo(place / "in/tiffs/B02_0_t1_GFP.tif")
    return ["import", place / "in/tiffs", place / "out/p.zarr", "--pixel-um", "0.5"]


IMPORTS = [
    Case(name="zip-slip", make=_archive("plate.zarr.zip"), says="is a file. Expected a folder"),
    Case(name="zip-named-zarr", make=_archive("plate.zarr"), says="is a file. Expected a folder"),
    Case(name="xml-entity", make=_import("B02.ome.tif", files.ome_xml(head=ENTITY)), says="defines entities"),
    Case(name="xml-laughs", make=_import("B02.ome.tif", files.ome_xml(head=LAUGHS)), says="defines entities"),
    Case(
        name="ome-file-elsewhere",
        make=_import("B02.ome.tif", files.ome_xml(size_t="2", inside=UUID)),
        says="one of a set",
    ),
    Case(name="shell-in-a-file-name", make=_import("$(touch CANARY);`touch CANARY`.tif", ""), says="does not|no file|name|pattern"),
    Case(name="wells-list-up", make=_wells_list("../../outside/secret.tif,B02,x"), says="there is no file"),
    Case(name="wells-list-absolute", make=_wells_list("/etc/passwd,B02,x"), says="there is no file"),
    Case(name="wells-list-well-up", make=_wells_list("a.tif,../../outside,x"), says="line 2"),
    Case(name="pipe-among-pictures", make=_pipe_of_tiff, says="no plain file|no file|not a"),
]  # fmt: skip


def _results(place: Path) -> Path:
    from assay.io.ome_zarr import open_plate
    from assay.io.results import Results

    plate = open_plate(place / "in/v3.zarr")
    results = Results.create_or_open(
        place / "out/r",
        plate_name=plate.name,
        plate_identity=plate.identity(),
        plate_path=str(place / "in/v3.zarr"),
    )
    results.write_protocol((place / "in/P.toml").read_text())
    return results.path


def _linked_results(name: str) -> Callable[[Path, Path], Words]:
    """RESULTS of somebody whose folder or file leads elsewhere, where the next command would write."""

    def make(place: Path, canary: Path) -> Words:
        results = _results(place)
        there = place / "outside" / ("secret.json" if "." in name else "")
        if (results / name).exists():
            files.replaced(results / name, there)
        else:
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            (results / name).symlink_to(there)
        return [
            "run",
            place / "in/v3.zarr",
            "--protocol",
            place / "in/P.toml",
            "--out",
            results,
            "--workers",
            1,
        ]

    return make


def _strange_table(place: Path, canary: Path) -> Words:
    """The extension type that pyarrow once unpickled."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    results = _results(place)
    about = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": files.pickled(canary),
    }
    field = pa.field("well", pa.string(), metadata=about)
    pq.write_table(
        pa.Table.from_arrays([pa.array(["B02"])], schema=pa.schema([field])), results / "tables/wells.parquet"
    )
    return ["report", results]


def _log(name: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path], Words]:
    def make(place: Path, canary: Path) -> Words:
        results = _results(place)
        (results / "review").mkdir(exist_ok=True)
        (results / "review" / name).write_bytes(content(canary))
        return ["verify", results]

    return make


RESULTS = [
    Case(name="linked-tables", make=_linked_results("tables"), says="a link that leads out"),
    Case(name="linked-review", make=_linked_results("review"), says="a link that leads out"),
    Case(name="linked-report", make=_linked_results("report.html"), says="a link that leads out"),
    Case(name="linked-deep-in-labels", make=_linked_results("labels.zarr/B/02"), says="a link that leads out"),
    Case(name="table-of-a-pickled-type", make=_strange_table, says="."),
    Case(name="log-that-is-a-pickle", make=_log("a-20260101T000000Z-00000000.jsonl", files.pickled), says="line 1"),
    Case(name="log-with-a-strange-name", make=_log("$(touch x).jsonl", files.pickled), says="its name is not one"),
    Case(name="log-of-brackets", make=_log("a-20260101T000000Z-00000000.jsonl", lambda _: b"[" * 100_000 + b"\n"), says="line 1"),
]  # fmt: skip
CASES = [*MODELS, *ZARR, *PATHS, *SETTINGS, *IMPORTS, *RESULTS]
