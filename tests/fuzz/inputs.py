"""What killassay reads, each as a small whole file, how it is broken, and what reads it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from assay.execution import read_cluster_file
from assay.io.importers.planning import plan_import
from assay.io.importers.tiff_images import read_tiff_images
from assay.io.importers.tiff_pages import read_plane, scan_pages
from assay.io.importers.track_points import read_track_points
from assay.io.importers.wells_list import read_wells_list
from assay.io.ome_zarr import LabelPlate, PlateWriter, open_plate
from assay.io.results import Results
from assay.io.review_checks import verify_logs
from assay.io.review_logs import open_log, read_logs
from assay.io.tables import read_table, write_table
from assay.io.verification import verify_results
from assay.protocol import parse_protocol, read_protocol
from assay.review.sitting import Sitting
from assay.stack import FieldId
from assay.units import Calibration
from tests.assay.review.small_reviews import events_of, three_deaths
from tests.fuzz.mutations import Mutation, of_bytes, of_json, of_lines, of_text, sealed

B02 = FieldId("B02", 0)
CALIBRATION = Calibration(pixel_um=(0.65, 0.5), frame_min=4.0)
_PROTOCOL = """
[channels]
effector = "CTDR"
target = ["GFP", "BFP"]
[calibration]
pixel_um = [0.65, 0.65]
frame_min = 4.0
[tracking]
max_gap_frames = 2
[contact]
enter_um = 1.0
leave_um = 3.0
[kill]
max_lag_min = 360.0
[model]
name = "standard"
precision = "auto"
[[condition]]
name = "CAR-T 1:1"
wells = ["B02", "B03"]
kind = "sample"
seeded_et_ratio = 1.0
donor = "D1"
[[condition]]
name = "alone"
wells = ["C02"]
kind = "target_only"
"""
_CLUSTER = """
[cluster]
kind = "slurm"
jobs = 8
cores = 2
memory = "8GB"
walltime = "04:00:00"
queue = "short"
gpus = 1
extra_directives = ["--constraint=a100"]
prologue = ["module load cuda"]
"""
_WELLS = "file,well,field,condition,kind,seeded_et_ratio,donor\na.tif,B02,0,CAR-T,sample,1.0,D1\nb.tif,B03,0,CAR-T,sample,1.0,D1\nc.tif,C02,0,alone,target_only,,D1\n"
_POINTS = "id,track_id,t,x,y,parent_id\n1,1,0,10,10,\n2,1,1,11,10,1\n3,2,2,12,11,2\n4,3,2,12,9,2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One kind of input.

    `make` lays out whole files in a folder and returns those that are broken in turn. `read` reads them all and
    returns what must not change where nothing is refused, or None where the files vouch for nothing.
    """

    name: str
    make: Callable[[Path], list[Path]]
    change: Mutation
    read: Callable[[Path], Any]
    after: Callable[[Path], None] | None = None  # e.g. sets the hash of the broken file right


def _images() -> Any:
    y, x = np.mgrid[:40, :48]
    light = 200 + 100 * np.sin(x / 9) + 50 * np.cos(y / 7)
    return (np.random.Generator(np.random.PCG64(3)).poisson(light, (4, 2, 40, 48)) + 1).astype(np.uint16)


def _plate(ngff: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, images = folder / "plate.zarr", _images()
        with PlateWriter.create(
            path,
            fields=[B02],
            shapes={B02: images.shape},
            dtype=images.dtype,
            channel_names=("CTDR", "GFP"),
            calibration=CALIBRATION,
            ngff=ngff,
        ) as writer:
            writer.write(B02, 0, images)
        return path

    return make


_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def _files(of_plate: Callable[[Path], Path], *, metadata: bool) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        path = of_plate(folder)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return [file for file in files if (file.name in _METADATA) == metadata]

    return make


def _read_plate(folder: Path) -> Any:
    plate = open_plate(folder / "plate.zarr")
    plate.identity()
    first = plate.fields[0]
    plate.field_identity(first)
    stack = plate.stack(first)
    return stack.read(range(min(stack.shape[0], 4)))


def _read_metadata(folder: Path) -> None:
    """Metadata vouch for nothing: another pixel size is another pixel size."""
    plate = open_plate(folder / "plate.zarr")
    plate.identity()
    for place in plate.fields[:3]:
        plate.field_identity(place)
        stack = plate.stack(place)
        if np.prod(stack.shape[1:]) < 1 << 22:
            stack.read(range(min(stack.shape[0], 4)))


def _labels(folder: Path) -> list[Path]:
    frames = np.zeros((4, 40, 48), np.uint32)
    frames[:, 5:15, 5:20], frames[:, 25:35, 8:20] = 1, 2
    plate = LabelPlate.create(
        folder / "labels.zarr", fields=[B02], shapes=frames.shape, calibration=CALIBRATION
    )
    for role in ("effector", "target"):
        plate.write(B02, role, 0, frames)
    return sorted((folder / "labels.zarr/B/02/0/labels/targets/0/c").rglob("*/0"))


def _only_files(files: list[Path]) -> list[Path]:
    return [file for file in files if file.is_file()]


def _read_labels(folder: Path) -> Any:
    return LabelPlate.open(folder / "labels.zarr").read(B02, "target", range(4))


def _tiff(**settings: Any) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        path = folder / "film.tif"
        images = _images()
        if settings.get("imagej"):
            images = images[:, None].swapaxes(1, 2).reshape(4, 1, 2, 40, 48)
        tifffile.imwrite(path, images, **({"photometric": "minisblack"} | settings))
        return [path]

    return make


def _read_tiff(folder: Path) -> None:
    for image in read_tiff_images(folder / "film.tif", axes=None, channels=None):
        pages = scan_pages(image.path)
        with tifffile.TiffFile(image.path) as tiff:
            for plane in image.planes[:8]:
                read_plane(plane, pages, tiff)


def _label_tiff(folder: Path) -> list[Path]:
    labels = np.zeros((4, 40, 48), np.uint16)
    labels[:, 5:15, 5:20] = 1
    path = folder / "B02_0_targets.tif"
    tifffile.imwrite(path, labels, photometric="minisblack", metadata={"axes": "TYX"})
    return [path]


def _read_label_tiff(folder: Path) -> None:
    from assay.io.importers.label_files import open_tiff_labels
    from assay.io.label_roles import RoleWords

    source = open_tiff_labels(folder, RoleWords(given={"target": "targets"}), pattern=None)
    film = source.film(B02, "target", (4, 40, 48), ())
    source.identity(film)
    film.read(range(4))


def _file(name: str, text: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_text(text)
        return [folder / name]

    return make


def _read_protocol(folder: Path) -> None:
    protocol = read_protocol(folder / "p.toml")
    assert parse_protocol(protocol.to_toml()) == protocol, "what is written is not what was read"


def _read_wells(folder: Path) -> None:
    read_wells_list(folder / "wells.csv", [(name, folder / name) for name in ("a.tif", "b.tif", "c.tif")])


def _table(folder: Path) -> list[Path]:
    return [write_table(folder, "deaths", three_deaths()["deaths"])]


def _results(folder: Path) -> Results:
    made = Results.create_or_open(folder / "R", plate_name="P", plate_identity="abc")
    files = [write_table(made.tables, name, three_deaths()[name]) for name in ("deaths", "kills", "contacts")]
    made.ledger.commit("summary", "plate", "key", files, facts={"n": 3})
    made.ledger.mark_failed("link", "B03_0", "well B03, field 0: it is gone", key="k")
    made.write_protocol(_PROTOCOL)
    made.write_provenance({"model": {"name": "x"}, "wells": [], "failed": []})
    return made


def _records(folder: Path) -> list[Path]:
    return sorted((_results(folder).path / "ledger").rglob("*.json"))


def _read_records(folder: Path) -> None:
    opened = Results.open(folder / "R")
    for step in ("summary", "link"):
        opened.ledger.records(step)
    opened.ledger.is_done("summary", "plate", "key")
    opened.ledger.failures()
    verify_results(opened)


def _marks(folder: Path) -> list[Path]:
    path = _results(folder).path
    return [path / "results.json", path / "provenance.json"]


def _read_marks(folder: Path) -> None:
    opened = Results.open(folder / "R")
    opened.read_provenance()
    Results.create_or_open(folder / "R", plate_name="P", plate_identity="abc")
    with opened.lock():
        pass


def _logs(folder: Path) -> list[Path]:
    results, events = _results(folder), events_of(6)
    log = open_log(results, reader="ana")
    sitting = Sitting(events, log, reader="ana")
    names = events["event"].tolist()
    sitting.decide("accept", names[0], note="schön")
    sitting.decide("reject", names[1], reason="debris")
    sitting.undo()
    log.close()
    return [log.path]


def _read_logs(folder: Path) -> Any:
    opened = Results.open(folder / "R")
    found = verify_logs(opened.review)
    decisions = read_logs(opened)
    assert not found, "read what was not as it was written"
    return None if len(decisions) < 3 else repr(decisions)


def _model(folder: Path) -> list[Path]:
    from models.network import Architecture
    from models.training.initial import fresh_network
    from models.weights import ModelCard, save_model

    widths = (8, 8, 8, 8)
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=widths), seed=0)
    save_model(network, folder / "m.json", ModelCard(name="m", sha256="", widths=widths, pixel_um=0.65))
    return [folder / "m.safetensors"]


def _card(folder: Path) -> list[Path]:
    _model(folder)
    return [folder / "m.json"]


def _seal(folder: Path) -> None:
    """The card holds the hash of the broken weights, as a hostile one would."""
    values = json.loads((folder / "m.json").read_text())
    values["sha256"] = hashlib.sha256((folder / "m.safetensors").read_bytes()).hexdigest()
    (folder / "m.json").write_text(json.dumps(values))


def _read_model(folder: Path) -> None:
    from models.weights import card_of, load_network

    card_of(str(folder / "m.json"))
    load_network(str(folder / "m.json"))


def _series(folder: Path) -> list[Path]:
    """A folder of single planes."""
    for frame in range(2):
        for channel, name in enumerate(("GFP", "PI")):
            image = _images()[frame, channel]
            tifffile.imwrite(
                folder / f"B02_0_{frame:03d}_{name}.tif", image, photometric="minisblack", metadata=None
            )
    return sorted(folder.glob("*.tif"))


def _read_series(folder: Path) -> None:
    plan_import(folder, pixel_um=(0.65, 0.5), frame_min=4.0)


INPUTS: list[Input] = [
    Input(
        name="plate 0.5, metadata",
        make=_files(_plate("0.5"), metadata=True),
        change=of_json,
        read=_read_metadata,
    ),
    Input(
        name="plate 0.4, metadata",
        make=_files(_plate("0.4"), metadata=True),
        change=of_json,
        read=_read_metadata,
    ),
    Input(
        name="plate 0.5, shards",
        make=_files(_plate("0.5"), metadata=False),
        change=of_bytes,
        read=_read_plate,
    ),
    Input(
        name="plate 0.4, chunks",
        make=_files(_plate("0.4"), metadata=False),
        change=of_bytes,
        read=_read_metadata,
    ),
    Input(
        name="label images, shards",
        make=lambda folder: _only_files(_labels(folder)),
        change=of_bytes,
        read=_read_labels,
    ),
    Input(name="OME-TIFF", make=_tiff(ome=True, metadata={"axes": "TCYX"}), change=of_bytes, read=_read_tiff),
    Input(
        name="OME-TIFF, zstd",
        make=_tiff(ome=True, compression="zstd", metadata={"axes": "TCYX"}),
        change=of_bytes,
        read=_read_tiff,
    ),
    Input(
        name="OME-TIFF, its XML",
        make=_tiff(
            ome=True, metadata={"axes": "TCYX", "Channel": {"Name": ["A", "B"]}, "PhysicalSizeX": 0.5}
        ),
        change=lambda c, r: _in_xml(c, r),
        read=_read_tiff,
    ),
    Input(
        name="ImageJ TIFF",
        make=_tiff(imagej=True, metadata={"axes": "TZCYX", "finterval": 240.0}),
        change=of_bytes,
        read=_read_tiff,
    ),
    Input(name="folder of TIFFs", make=_series, change=of_bytes, read=_read_series),
    Input(name="label TIFF", make=_label_tiff, change=of_bytes, read=_read_label_tiff),
    Input(name="protocol", make=_file("p.toml", _PROTOCOL), change=of_text, read=_read_protocol),
    Input(
        name="cluster file",
        make=_file("c.toml", _CLUSTER),
        change=of_text,
        read=lambda folder: read_cluster_file(folder / "c.toml") and None,
    ),
    Input(name="list of wells", make=_file("wells.csv", _WELLS), change=of_text, read=_read_wells),
    Input(
        name="list of positions",
        make=_file("points.csv", _POINTS),
        change=of_text,
        read=lambda folder: read_track_points(folder / "points.csv", role="target", place=B02) and None,
    ),
    Input(
        name="table", make=_table, change=of_bytes, read=lambda folder: read_table(folder, "deaths") and None
    ),
    Input(name="ledger records", make=_records, change=of_json, read=_read_records),
    Input(name="RESULTS' mark and provenance", make=_marks, change=of_json, read=_read_marks),
    Input(name="review log", make=_logs, change=of_lines, read=_read_logs),
    Input(name="model card", make=_card, change=of_json, read=_read_model),
    Input(name="weights", make=_model, change=sealed(of_json), read=_read_model, after=_seal),
]


def _in_xml(content: bytes, rng: Any) -> bytes:
    """Words of the OME-XML, in the place of the old one."""
    begin = content.index(b"<?xml")
    end = content.index(b"\0", begin)
    xml = of_text(content[begin:end], rng)[: end - begin]
    return content[:begin] + xml + b" " * (end - begin - len(xml)) + content[end:]


def copy_of(template: Path, folder: Path) -> Path:
    """A fresh copy of an input."""
    if folder.exists():
        shutil.rmtree(folder)
    return Path(shutil.copytree(template, folder))
