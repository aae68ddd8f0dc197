"""Plates whose metadata, shapes or calibration are not what they should be."""

from typing import Any

import numpy as np
import zarr

from assay.io.image_groups import UNFINISHED
from assay.io.ome_zarr import open_plate
from assay.units import Calibration
from tests.faults.bench import OTHER, SUB, VICTIM, Bench, edit, films
from tests.faults.fault import CHECK, Fault, fails_alone, refused, survived
from tests.small_plates import CHANNELS

_FIELD = "B/03/0/zarr.json"
_UNTIL_NOW = "restore the file from a copy, or import the plate again"


def _ome(bench: Bench, change: Any, file: str = _FIELD) -> None:
    edit(bench.plate / file, lambda values: change(values["attributes"]["ome"]))


def _both(bench: Bench, change: Any) -> None:
    for well in ("02", "03"):
        _ome(bench, change, f"B/{well}/0/zarr.json")


def _scale(axis: int, value: float) -> Any:
    def change(ome: Any) -> None:
        ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][axis] = value

    return change


def _no_unit(axes: tuple[int, ...]) -> Any:
    def change(ome: Any) -> None:
        for axis in axes:
            ome["multiscales"][0]["axes"][axis].pop("unit", None)
            _scale(axis, 1.0)(ome)

    return change


def _array(bench: Bench, change: Any) -> None:
    edit(bench.plate / SUB / "zarr.json", change)


def _image(bench: Bench, frames: Any, axes: str, scale: list[float]) -> None:
    """A single image in the place of the plate, as another program writes it."""
    import shutil

    shutil.rmtree(bench.plate)
    root = zarr.create_group(str(bench.plate), zarr_format=3)
    units = {"t": "second", "y": "micrometer", "x": "micrometer"}
    described = [{"name": a, **({"unit": units[a]} if a in units else {})} for a in axes]
    scales = [{"type": "scale", "scale": scale}]
    channels = [{"label": name} for name in CHANNELS]
    ome = {
        "version": "0.5",
        "multiscales": [
            {"axes": described, "datasets": [{"path": "0", "coordinateTransformations": scales}]}
        ],
        "omero": {"channels": channels[: frames.shape[axes.index("c")]] if "c" in axes else channels[:1]},
    }
    root.attrs.update({"ome": ome})
    chunks = tuple(1 if axis in "tcz" else n for axis, n in zip(axes, frames.shape, strict=True))
    array = root.create_array("0", shape=frames.shape, dtype=frames.dtype, chunks=chunks)
    array[...] = frames


def _channels_before_frames(bench: Bench) -> None:
    frames = films()[OTHER]
    _image(bench, frames.swapaxes(0, 1).copy(), "ctyx", [1.0, 300.0, 1.0, 1.0])
    stack = open_plate(bench.plate).stack(open_plate(bench.plate).fields[0])
    np.testing.assert_array_equal(stack.read(range(12)), frames)


def _one_channel_no_axis(bench: Bench) -> None:
    _image(bench, films()[OTHER][:, 1], "tyx", [300.0, 1.0, 1.0])
    edit_first = bench.plate / "zarr.json"
    edit(edit_first, lambda v: v["attributes"]["ome"]["omero"].update(channels=[{"label": "GFP"}]))
    bench.set_protocol('[channels]\ntarget = "GFP"\n')


def _big_endian(bench: Bench) -> None:
    """The plate of 0.4, its pixels the other way round."""
    import shutil

    shutil.rmtree(bench.plate)
    shutil.copytree(bench.plate_04, bench.plate)
    for well, frames in films().items():
        folder = bench.plate / well[0] / well[1:] / "0" / "0"
        shutil.rmtree(folder)
        array = zarr.create_array(
            str(folder),
            shape=frames.shape,
            dtype=">u2",
            chunks=(1, 1, *frames.shape[2:]),
            zarr_format=2,
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array[...] = frames


def _as_04(bench: Bench) -> None:
    import shutil

    shutil.rmtree(bench.plate)
    shutil.copytree(bench.plate_04, bench.plate)


def _other_version(bench: Bench) -> None:
    _ome(bench, lambda ome: ome.update(version="9.9"), "zarr.json")


def _twice(bench: Bench) -> None:
    _ome(bench, lambda ome: ome["plate"]["wells"].append(ome["plate"]["wells"][0]), "zarr.json")


def _case_twins(bench: Bench) -> None:
    import shutil

    shutil.copytree(bench.plate / "B", bench.plate / "b")
    well = {"path": "b/03", "rowIndex": 0, "columnIndex": 1}
    _ome(bench, lambda ome: ome["plate"]["wells"].append(well), "zarr.json")


def _labels_of_channels(*labels: str) -> Any:
    def change(ome: Any) -> None:
        for channel, label in zip(ome["omero"]["channels"], labels, strict=True):
            channel["label"] = label

    return lambda bench: _both(bench, change)


def _fewer_channels(bench: Bench) -> None:
    """The image holds two channels, its metadata names three."""
    _array(bench, lambda values: values["shape"].__setitem__(1, 2))


def _greek_name(bench: Bench) -> None:
    _labels_of_channels("CTDR", "GFP-µ 🧬", "PI")(bench)
    bench.protocol.write_text(bench.protocol.read_text().replace('"GFP"', '"GFP-µ 🧬"'), encoding="utf-8")


def _lengths(bench: Bench) -> None:
    images = films()
    bench.new_plate(**{OTHER: images[OTHER], VICTIM: images[VICTIM][:7]})


def _unknown_wells(bench: Bench) -> None:
    _no_unit(())


def _is_unknown_not_zero(bench: Bench) -> None:
    assert bench.well(VICTIM)["kills"] != bench.well(VICTIM)["kills"]


def _has_no_cells(bench: Bench) -> None:
    assert not (bench.table("cells")["well"] == VICTIM).any()
    assert bench.well(VICTIM)["kills"] == 0.0 or np.isnan(bench.well(VICTIM)["kills"])
    assert not np.isinf([v for v in bench.well(VICTIM).values() if isinstance(v, float)]).any()


def _empty_field(bench: Bench) -> None:
    rng = np.random.Generator(np.random.PCG64(9))
    empty = np.rint(rng.normal(200, 6, (12, 3, 72, 96))).astype(np.uint16)
    bench.new_plate(**{OTHER: films()[OTHER], VICTIM: empty})


def _area_is_physical(bench: Bench) -> None:
    clean = bench.table("cells", bench.templates.results())
    ours = bench.table("cells")
    assert np.isclose(ours["area_um2"].sum(), clean["area_um2"].sum() / 2, rtol=0.05)


_LENGTH = r"pixel size in y is .* expected 0\.02 to 20\.0 um"

FAULTS: list[Fault] = [
    survived(
        "one-frame-film",
        23,
        "A film of a single frame",
        lambda b: b.new_plate(**{OTHER: films()[OTHER], VICTIM: films()[VICTIM][:1]}),
        says="B03",
        todo="nothing: its kills are unknown, not zero",
        holds=_is_unknown_not_zero,
    ),
    fails_alone(
        "film-without-frames",
        24,
        "A film of no frames",
        lambda b: _array(b, lambda v: v.update(shape=[0, 3, 72, 96])),
        r"well B03, field 0.*shape \[0, 3, 72, 96\]",
        "export the well again, or leave it out",
        anew=True,
    ),
    survived(
        "one-pixel-image",
        25,
        "An image of a single pixel",
        lambda b: b.new_plate(**{OTHER: films()[OTHER], VICTIM: films()[VICTIM][:, :, :1, :1]}),
        says="B03",
        holds=_has_no_cells,
        todo="nothing: no cell is found in it",
    ),
    survived(
        "one-row-image",
        25,
        "An image of one row of pixels",
        lambda b: b.new_plate(**{OTHER: films()[OTHER], VICTIM: films()[VICTIM][:, :, :1]}),
        says="B03",
        holds=_has_no_cells,
        todo="nothing: no cell is found in it",
    ),
    survived(
        "pixels-not-square",
        27,
        "Pixels that are half as wide as high",
        lambda b: b.new_plate(calibration=Calibration(pixel_um=(1.0, 0.5), frame_min=5.0)),
        keeps_others=False,
        holds=_area_is_physical,
        todo="nothing: distances and areas are physical",
    ),
    refused(
        "no-pixel-size",
        28,
        "No image says how large its pixels are",
        lambda b: _both(b, _no_unit((2, 3))),
        r"well B02, field 0: the image has no pixel size.*pixel_um = \[0\.65, 0\.65\]",
        "give [calibration] pixel_um in the protocol",
    ),
    fails_alone(
        "no-pixel-size-in-one-well",
        28,
        "One well's image does not say how large its pixels are",
        lambda b: _ome(b, _no_unit((2, 3))),
        r"well B03, field 0: the image has no pixel size.*\[calibration\] pixel_um",
        "give [calibration] pixel_um in the protocol",
        anew=True,
    ),
    refused(
        "pixel-size-in-nm-taken-for-um",
        29,
        "A pixel size of 650 um (it was nm)",
        lambda b: _both(b, _scale(2, 650.0)),
        _LENGTH,
        "give the true [calibration] pixel_um",
    ),
    refused(
        "pixel-size-in-mm-taken-for-um",
        29,
        "A pixel size of 0.00065 um (it was mm)",
        lambda b: _both(b, _scale(2, 0.00065)),
        _LENGTH,
        "give the true [calibration] pixel_um",
    ),
    refused(
        "pixel-size-of-zero",
        29,
        "A pixel size of 0",
        lambda b: _both(b, _scale(2, 0.0)),
        r"well B02, field 0.*pixel",
        "give the true [calibration] pixel_um",
    ),
    refused(
        "unit-of-length-unknown",
        29,
        "Pixels measured in parsec",
        lambda b: _both(b, lambda ome: ome["multiscales"][0]["axes"][2].update(unit="parsec")),
        r"well B02, field 0.*(parsec|pixel size)",
        "give [calibration] pixel_um in the protocol",
    ),
    refused(
        "no-frame-interval",
        30,
        "No image says how far its frames are apart",
        lambda b: _both(b, _no_unit((0,))),
        r"well B02, field 0: the film has 12 frames but no frame interval.*frame_min = 4\.0",
        "give [calibration] frame_min in the protocol",
    ),
    refused(
        "frame-interval-of-weeks",
        30,
        "Frames that are two weeks apart",
        lambda b: _both(b, _scale(0, 14 * 86400.0)),
        r"frame interval is 20160\.0 min",
        "give the true [calibration] frame_min",
    ),
    survived(
        "wells-of-differing-length",
        31,
        "One well's film stopped early",
        _lengths,
        says="B03",
        todo="nothing: each well counts its own time",
    ),
    survived(
        "wells-of-differing-pixel-size",
        32,
        "One well was filmed with another objective",
        lambda b: _ome(b, _scale(2, 0.9)),
        says="B03",
        todo="nothing: distances are physical in each well",
    ),
    survived(
        "channels-before-frames",
        33,
        "Axes in the order channel, time, y, x",
        _channels_before_frames,
        says="A01",
        keeps_others=False,
        mends=False,
        todo="nothing: axes are taken by their names",
    ),
    survived(
        "no-channel-axis",
        33,
        "A film of one channel, without a channel axis",
        _one_channel_no_axis,
        says="A01",
        keeps_others=False,
        mends=False,
        todo="nothing: axes are taken by their names",
    ),
    fails_alone(
        "unknown-axis",
        33,
        "An axis called q",
        lambda b: _ome(b, lambda ome: ome["multiscales"][0]["axes"][0].update(name="q")),
        r"well B03, field 0: axes q, c, y, x are not read",
        "name the axes t, c, z, y, x",
        anew=True,
    ),
    fails_alone(
        "fewer-axes-than-pixels",
        33,
        "Metadata names three axes, the image has four",
        lambda b: _ome(b, lambda ome: ome["multiscales"][0]["axes"].pop(0)),
        r"well B03, field 0: .*(axes|multiscales)",
        "export the plate again",
        anew=True,
    ),
    fails_alone(
        "z-stack",
        34,
        "A stack of focal planes",
        lambda b: _ome(b, lambda ome: ome["multiscales"][0]["axes"][0].update(name="z", type="space")),
        r"well B03, field 0: the image is a z-stack of 12 planes.*Project",
        "project it to one plane first",
        anew=True,
    ),
    refused(
        "well-listed-twice",
        35,
        "The plate lists a well twice",
        _twice,
        r"well B02, field 0: .*twice",
        "correct the plate's metadata, or import it again",
    ),
    refused(
        "well-in-upper-and-lower-case",
        62,
        "Wells B/03 and b/03 side by side",
        _case_twins,
        r"well B03, field 0: .*twice",
        "rename or remove one of the two",
    ),
    survived("plate-of-0.4", 40, "A plate in OME-Zarr 0.4", _as_04, is_clean=True),
    refused(
        "plate-of-unknown-version",
        40,
        "A plate in OME-Zarr 9.9",
        _other_version,
        r"OME-Zarr version 9\.9 is not read. Expected 0\.4 or 0\.5",
        "write it as 0.4 or 0.5",
    ),
    survived("big-endian", 41, "Pixels in the byte order of other machines", _big_endian, is_clean=True),
    fails_alone(
        "fewer-channels-than-named",
        42,
        "Metadata names three channels, the image has two",
        _fewer_channels,
        r"well B03, field 0: .*(2 channels|'PI')",
        "export the well again",
        anew=True,
    ),
    survived(
        "channel-name-beyond-ascii",
        43,
        "A channel called 'GFP-µ 🧬'",
        _greek_name,
        keeps_others=False,
    ),
    refused(
        "two-channels-of-one-name",
        43,
        "Two channels are both called GFP",
        _labels_of_channels("CTDR", "GFP", "GFP"),
        r"well B02, field 0: .*'?GFP",
        "rename one of them",
    ),
    refused(
        "channel-without-a-name",
        43,
        "The target channel has no name",
        _labels_of_channels("CTDR", "", "PI"),
        r"well B02, field 0: .*'GFP' is not in the images, which have 'CTDR', 'channel_1', 'PI'",
        "give the name that the images have",
    ),
    survived(
        "well-without-cells",
        15,
        "A well without a single cell",
        _empty_field,
        says="B03",
        holds=_has_no_cells,
        todo="nothing: zero cells, and no rate is made of them",
    ),
    refused(
        "no-wells",
        53,
        "A plate that lists no wells",
        lambda b: _ome(b, lambda ome: ome["plate"].update(wells=[]), "zarr.json"),
        r"plate\.zarr: the plate has no fields",
        _UNTIL_NOW,
    ),
    refused(
        "plate-not-there",
        None,
        "There is no plate of that name",
        None,
        r"nothing\.zarr does not exist",
        "give the path of the plate",
        words=("run", "nothing.zarr", "--protocol", "{protocol}", "--out", "{out}"),
        mends=False,
    ),
    refused(
        "plate-is-a-file",
        93,
        "The plate is a zip archive",
        lambda b: (b.root / "plate.zarr.zip").write_bytes(b"PK\x03\x04"),
        r"plate\.zarr\.zip is a file. Expected a folder",
        "unpack it",
        words=("run", "plate.zarr.zip", "--protocol", "{protocol}", "--out", "{out}"),
        mends=False,
    ),
    refused(
        "folder-is-no-plate",
        None,
        "A folder that is no plate",
        lambda b: (b.root / "images").mkdir(),
        r"images is no OME-Zarr group",
        "give the plate, or import the folder first",
        words=("check", "images"),
    ),
    refused(
        "plate-never-finished",
        86,
        "The import of the plate was stopped halfway",
        lambda b: edit(
            b.plate / "zarr.json", lambda v: v["attributes"]["killassay"].update({UNFINISHED: True})
        ),
        r"was never finished.*again",
        "import it again",
    ),
    refused(
        "plate-metadata-missing",
        53,
        "The plate's zarr.json is missing",
        lambda b: (b.plate / "zarr.json").unlink(),
        r"plate\.zarr.*neither zarr\.json nor \.zattrs",
        _UNTIL_NOW,
    ),
    refused(
        "plate-metadata-empty",
        53,
        "The plate's zarr.json is empty",
        lambda b: (b.plate / "zarr.json").write_bytes(b""),
        r"plate\.zarr: zarr\.json is damaged",
        _UNTIL_NOW,
    ),
    refused(
        "plate-metadata-cut",
        53,
        "The plate's zarr.json is cut off",
        lambda b: (b.plate / "zarr.json").write_text('{"attributes": {"ome'),
        r"plate\.zarr: zarr\.json is damaged",
        _UNTIL_NOW,
    ),
    refused(
        "plate-metadata-binary",
        53,
        "The plate's zarr.json is no text",
        lambda b: (b.plate / "zarr.json").write_bytes(b"\xff\x00\xfe" * 99),
        r"plate\.zarr: zarr\.json is damaged",
        _UNTIL_NOW,
    ),
    refused(
        "plate-metadata-deep",
        98,
        "The plate's zarr.json is nested 200,000 deep",
        lambda b: (b.plate / "zarr.json").write_text("[" * 200_000),
        r"plate\.zarr: zarr\.json is damaged",
        _UNTIL_NOW,
    ),
    fails_alone(
        "well-metadata-missing",
        53,
        "A well's zarr.json is missing",
        lambda b: (b.plate / "B/03/zarr.json").unlink(),
        r"well B03",
        _UNTIL_NOW,
        anew=True,
    ),
    fails_alone(
        "well-folder-missing",
        53,
        "A well's folder is missing",
        lambda b: (b.plate / "B/03").rename(b.root / "away"),
        r"well B03",
        _UNTIL_NOW,
        mends=False,
    ),
    fails_alone(
        "field-metadata-cut",
        53,
        "A field's zarr.json is cut off",
        lambda b: (b.plate / _FIELD).write_text('{"attr'),
        r"well B03, field 0: zarr\.json is damaged",
        _UNTIL_NOW,
        anew=True,
    ),
    fails_alone(
        "array-metadata-missing",
        53,
        "The zarr.json of a field's pixels is missing",
        lambda b: (b.plate / SUB / "zarr.json").unlink(),
        r"well B03, field 0.*no array in 0",
        _UNTIL_NOW,
        anew=True,
    ),
    fails_alone(
        "array-of-other-length",
        42,
        "The zarr.json of a field's pixels claims more frames than there are",
        lambda b: _array(b, lambda v: v.update(shape=[30, 3, 72, 96])),
        r"well B03, field 0.*frames? 12",
        _UNTIL_NOW,
        anew=True,
    ),
    survived(
        "stale-consolidated-metadata",
        54,
        "Consolidated metadata that is out of date",
        lambda b: edit(
            b.plate / "zarr.json",
            lambda v: v.update(
                consolidated_metadata={"kind": "inline", "must_understand": False, "metadata": {}}
            ),
        ),
        is_clean=True,
    ),
    survived(
        "stray-files-in-the-plate",
        47,
        "Thumbs.db and .DS_Store in the plate",
        lambda b: [
            (b.plate / place / name).write_bytes(b"x")
            for place in (".", "B/03", "B/03/0", SUB)
            for name in ("Thumbs.db", ".DS_Store", "._zarr.json")
        ],
        is_clean=True,
    ),
    refused(
        "check-says-all",
        None,
        "`check` on a plate without pixel sizes",
        lambda b: _both(b, _no_unit((2, 3))),
        r"well B02, field 0: the image has no pixel size",
        "give [calibration] pixel_um in the protocol",
        words=CHECK,
    ),
]
