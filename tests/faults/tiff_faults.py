"""Files of a microscope on their way into a plate: cut off, lost, doubled, mixed up, hostile."""

from itertools import product
from typing import Any

import numpy as np
import tifffile

from assay.io.ome_zarr import open_plate
from assay.stack import FieldId
from tests.faults.bench import VICTIM, Bench, cut, films
from tests.faults.fault import Fault, refused, survived

IMPORT = ("import", "{tiffs}", "{made}.zarr", "--pixel-um", "1.0", "--frame-min", "5")
_FILM = ("import", "film.ome.tif", "{made}.zarr", "--pixel-um", "1.0", "--frame-min", "5")
_PLANE = "B03_0_001_GFP.tif"
_AGAIN = "copy or export the file again"
_CODECS = {"uncompressed": None, "lzw": "lzw", "deflate": "zlib", "zstd": "zstd"}


def _write_film(bench: Bench, compression: str | None = None, **settings: Any) -> Any:
    path = bench.root / "film.ome.tif"
    metadata = {"axes": "TCYX", "Channel": {"Name": ["CTDR", "GFP", "PI"]}, **settings.pop("metadata", {})}
    tifffile.imwrite(
        path,
        settings.pop("images", films()[VICTIM]),
        ome=True,
        photometric="minisblack",
        compression=compression,
        metadata=metadata,
        **settings,
    )
    return path


def _cut_film(codec: str, part: float) -> Any:
    return lambda bench: cut(_write_film(bench, _CODECS[codec]), part)


def _in_xml(old: str, new: str) -> Any:
    """Change the film's OME-XML, keeping its length."""

    def change(bench: Bench) -> None:
        path = _write_film(bench, metadata={"Description": "x" * 400})
        content = path.read_bytes()
        begin = content.index(b"<?xml")
        end = content.index(b"\0", begin)
        xml = content[begin:end].decode()
        assert old in xml
        changed = xml.replace(old, new)
        spare = len(changed.encode()) - len(xml.encode())
        changed = changed.replace("x" * 400, "x" * (400 - spare))
        path.write_bytes(content[:begin] + changed.encode() + content[end:])

    return change


def _plane(bench: Bench, name: str = _PLANE) -> Any:
    return bench.tiffs / name


def _save(name: str, image: Any) -> Any:
    return lambda bench: tifffile.imwrite(bench.tiffs / name, image, photometric="minisblack", metadata=None)


def _gap_is_at_its_place(bench: Bench) -> None:
    stack = open_plate(bench.root / "made.zarr").stack(FieldId("B03", 0))
    assert stack.missing_frames == {1}
    np.testing.assert_array_equal(stack.read([2], [0, 1])[0], films()[VICTIM][2, :2])


def _pixels_are_the_files(bench: Bench) -> None:
    plate = open_plate(bench.root / "made.zarr")
    for well, frames in films().items():
        images = plate.stack(FieldId(well, 0)).read([0, 1, 2])
        np.testing.assert_array_equal(images[:, :2], frames[:3, :2])


def _colour(bench: Bench) -> None:
    tifffile.imwrite(_plane(bench), np.zeros((72, 96, 3), np.uint8), photometric="rgb", metadata=None)


def _wells_csv(text: str, encoding: str = "utf-8") -> Any:
    return lambda bench: bench.tiffs and (bench.root / "wells.csv").write_bytes(text.encode(encoding))


def _spelled(name: str) -> Any:
    return lambda bench: _plane(bench).rename(bench.tiffs / name)


_LIST = (*IMPORT, "--wells", "wells.csv")
_FILMS = ("import", "films", "{made}.zarr", "--wells", "wells.csv", "--pixel-um", "1.0", "--frame-min", "5")


def _listed(bench: Bench) -> None:
    """Two films, and the list of their wells as a German spreadsheet writes it."""
    (bench.root / "films").mkdir()
    lines = "\ufefffile;well;condition;seeded_et_ratio\r\n"
    for (well, frames), name in zip(films().items(), ("a.ome.tif", "b.ome.tif"), strict=True):
        metadata = {"axes": "TCYX", "Channel": {"Name": ["CTDR", "GFP", "PI"]}}
        tifffile.imwrite(
            bench.root / "films" / name, frames, ome=True, photometric="minisblack", metadata=metadata
        )
        lines += f"{name};{well};CAR-T;0,5\r\n"
    (bench.root / "wells.csv").write_text(lines, encoding="utf-8")


FAULTS: list[Fault] = [
    *(
        refused(
            f"ome-tiff-{codec}-cut-at-{100 * part:g}-percent",
            44,
            f"An OME-TIFF ({codec}) of which {100 * part:g} % arrived",
            _cut_film(codec, part),
            r"film\.ome\.tif",
            _AGAIN,
            words=_FILM,
        )
        for codec, part in product(_CODECS, (0.3, 0.7, 0.95, 0.999))
    ),
    refused(
        "tiff-of-zero-bytes",
        45,
        "A TIFF of zero bytes",
        lambda b: _plane(b).write_bytes(b""),
        r"B03_0_001_GFP\.tif",
        _AGAIN,
        words=IMPORT,
    ),
    refused(
        "web-page-called-tif",
        45,
        "A web page saved as .tif",
        lambda b: _plane(b).write_text("<!DOCTYPE html><html>Please log in</html>"),
        r"B03_0_001_GFP\.tif",
        _AGAIN,
        words=IMPORT,
    ),
    refused(
        "lfs-pointer-called-tif",
        45,
        "A Git LFS pointer instead of the TIFF",
        lambda b: _plane(b).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"B03_0_001_GFP\.tif",
        _AGAIN,
        words=IMPORT,
    ),
    refused(
        "tiff-plane-cut",
        44,
        "One plane of a series is cut off",
        lambda b: cut(_plane(b)),
        r"B03_0_001_GFP\.tif",
        _AGAIN,
        words=IMPORT,
    ),
    refused(
        "plane-missing",
        46,
        "One plane of a series is missing",
        lambda b: _plane(b).unlink(),
        r"well B03, field 0: no file for frame 1 .*channel 'GFP'.*--allow-missing",
        "copy the file, or say --allow-missing",
        words=IMPORT,
    ),
    survived(
        "plane-missing-and-allowed",
        46,
        "One plane of a series is missing, with --allow-missing",
        lambda b: _plane(b).unlink(),
        words=(*IMPORT, "--allow-missing"),
        says="missing",
        holds=_gap_is_at_its_place,
        todo="nothing: the frame is masked, later frames keep their place",
    ),
    refused(
        "channel-missing-in-a-well",
        13,
        "A channel is missing in all frames of a well",
        lambda b: [_plane(b, f"B03_0_{n:03d}_GFP.tif").unlink() for n in range(3)],
        r"well B03, field 0.*'GFP'.*all 3 frames",
        "copy the files, or import without this well",
        words=(*IMPORT, "--allow-missing"),
    ),
    refused(
        "plane-in-two-files",
        35,
        "One plane stands in two files (B3 and B03)",
        _save("B3_0_1_GFP.tif", films()[VICTIM][1, 1]),
        r"stands in two files.*B03_0_001_GFP\.tif.*B3_0_1_GFP\.tif",
        "remove one of the two",
        words=IMPORT,
    ),
    refused(
        "plane-of-another-size",
        14,
        "One plane of a series has another size",
        _save(_PLANE, np.ones((60, 96), np.uint16)),
        r"B03, field 0.*B03_0_001_GFP\.tif",
        "export the series again",
        words=IMPORT,
    ),
    refused(
        "plane-of-another-type",
        14,
        "One plane of a series is an 8-bit copy",
        _save(_PLANE, np.ones((72, 96), np.uint8)),
        r"B03_0_001_GFP\.tif.*uint8",
        "export the series again",
        words=IMPORT,
    ),
    refused(
        "plane-in-colour",
        21,
        "One plane is a colour picture",
        _colour,
        r"B03_0_001_GFP\.tif.*colour",
        "export grey values",
        words=IMPORT,
    ),
    survived(
        "stray-files-in-the-export",
        47,
        "Thumbs.db, .DS_Store and ._ files in the export",
        lambda b: [
            (b.tiffs / n).write_bytes(b"x")
            for n in ("Thumbs.db", ".DS_Store", "._B03_0_001_GFP.tif", "notes.txt")
        ],
        words=IMPORT,
        says="plate: ",
        holds=_pixels_are_the_files,
    ),
    refused(
        "no-tiffs-at-all",
        46,
        "A folder without images",
        lambda b: [p.unlink() for p in b.tiffs.iterdir()],
        r"tiffs.*",
        "give the folder with the images",
        words=IMPORT,
    ),
    refused(
        "source-not-there",
        None,
        "There is no such folder to import",
        None,
        r"nothing does not exist",
        "give the folder with the images",
        words=("import", "nothing", "{made}.zarr"),
    ),
    refused(
        "name-that-says-no-well",
        36,
        "A file name from which no well can be read",
        lambda b: [p.rename(b.tiffs / f"image{n}.tif") for n, p in enumerate(sorted(b.tiffs.iterdir()))],
        r"image0\.tif",
        "give --pattern or --wells",
        words=IMPORT,
    ),
    refused(
        "time-point-that-is-none",
        30,
        "A file name whose time point is no number",
        _spelled("B03_0_one_GFP.tif"),
        r"B03",
        "rename the file, or give --pattern",
        words=IMPORT,
    ),
    refused(
        "pattern-that-is-none",
        87,
        "A --pattern that is no regular expression",
        None,
        r"the pattern .* is not a regular expression",
        "correct --pattern",
        words=(*IMPORT, "--pattern", "(?P<well>[A-H"),
    ),
    refused(
        "no-pixel-size-in-the-files",
        28,
        "The files do not say how large a pixel is",
        None,
        r"B02.*pixel.*--pixel-um",
        "give --pixel-um",
        words=("import", "{tiffs}", "{made}.zarr", "--frame-min", "5"),
    ),
    refused(
        "pixel-size-of-nonsense",
        29,
        "--pixel-um 0,65 meant as 0.65",
        None,
        r"pixel size in y is 0\.0 um",
        "write 0.65, with a point",
        words=("import", "{tiffs}", "{made}.zarr", "--pixel-um", "0,65", "--frame-min", "5"),
    ),
    refused(
        "frame-interval-negative",
        30,
        "A frame interval of -5 minutes",
        None,
        r"frame interval is -5\.0 min",
        "give the true --frame-min",
        words=("import", "{tiffs}", "{made}.zarr", "--pixel-um", "1.0", "--frame-min", "-5"),
    ),
    refused(
        "plate-to-write-is-there",
        86,
        "The plate to be written exists already",
        lambda b: (b.root / "made.zarr").mkdir() or (b.root / "made.zarr/keep").write_text("mine"),
        r"made\.zarr",
        "choose another name, or delete it",
        words=IMPORT,
    ),
    survived(
        "wells-list-of-a-spreadsheet",
        38,
        "A list of wells with byte-order mark, semicolons and CRLF",
        _listed,
        words=_FILMS,
        says="plate: ",
        holds=_pixels_are_the_files,
    ),
    refused(
        "wells-list-without-a-column",
        38,
        "A list of wells without the column 'well'",
        _wells_csv("file,position\nB02_0_000_GFP.tif,B02\n"),
        r"wells\.csv.*well",
        "name the columns file and well",
        words=_LIST,
    ),
    refused(
        "wells-list-names-a-file-that-is-not-there",
        37,
        "A list of wells names a file that is not there",
        _wells_csv("file,well\nB09_0_000_GFP.tif,B09\n"),
        r"wells\.csv.*B09_0_000_GFP\.tif",
        "correct the list",
        words=_LIST,
    ),
    refused(
        "wells-list-of-dates",
        38,
        "A list of wells in which a spreadsheet made dates of the wells",
        _wells_csv("file,well\nB02_0_000_GFP.tif,02-Feb\n"),
        r"wells\.csv, line 2.*'02-Feb'",
        "format the column as text",
        words=_LIST,
    ),
    refused(
        "wells-list-with-ragged-lines",
        38,
        "A list of wells whose lines have differing lengths",
        _wells_csv("file,well\nB02_0_000_GFP.tif,B02,x,y\n"),
        r"wells\.csv, line 2: 4 values, expected 2",
        "correct the list",
        words=_LIST,
    ),
    refused(
        "wells-list-is-a-workbook",
        38,
        "A list of wells that is an Excel workbook",
        lambda b: (b.root / "wells.csv").write_bytes(b"PK\x03\x04\x14\x00\x06\x00\xff\xfe"),
        r"wells\.csv",
        "save it as CSV",
        words=_LIST,
    ),
    refused(
        "xml-claims-a-thousand-million-frames",
        98,
        "A small OME-TIFF that claims 10^9 frames",
        _in_xml('SizeT="12"', 'SizeT="1000000000"'),
        r"film\.ome\.tif.*1000000000|film\.ome\.tif",
        "export the file again",
        words=_FILM,
    ),
    refused(
        "xml-is-cut",
        98,
        "The OME-XML of a file is broken",
        _in_xml("</Image>", "</Imag>"),
        r"film\.ome\.tif.*OME-XML",
        "export the file again",
        words=_FILM,
    ),
    refused(
        "xml-with-entities",
        98,
        "An OME-XML that defines entities (a bomb)",
        _in_xml('encoding="UTF-8"?>', 'encoding="UTF-8"?><!DOCTYPE a [<!ENTITY b "cc">]>'),
        r"film\.ome\.tif.*OME-XML",
        "do not use this file",
        words=_FILM,
    ),
    refused(
        "xml-claims-more-channels",
        42,
        "An OME-TIFF that claims more channels than it has",
        _in_xml('SizeC="3"', 'SizeC="5"'),
        r"film\.ome\.tif",
        "export the file again",
        words=_FILM,
    ),
    refused(
        "tiff-stack-of-focal-planes",
        34,
        "An OME-TIFF with focal planes",
        lambda b: _write_film(b, metadata={"axes": "TZCYX"}, images=films()[VICTIM].reshape(4, 3, 3, 72, 96)),
        r"film\.ome\.tif.*(z|focal|planes).*[Pp]roject",
        "project it first",
        words=_FILM,
    ),
]
