"""Files as other programs write them, whole and broken."""

import json
import struct
import time
import tracemalloc

import numpy as np
import pytest
import tifffile

from assay.errors import ImageError, VendorFileError
from assay.io.importers.tiff_images import read_tiff_images
from assay.io.importers.tiff_pages import read_plane, scan_pages


def film(t=3, c=2, y=48, x=64, dtype=np.uint16):
    values = np.random.default_rng(1).poisson(200, (t, c, y, x))
    return values.astype(dtype)


def write_ome(path, images, **metadata):
    tifffile.imwrite(path, images, ome=True, photometric="minisblack", metadata={"axes": "TCYX", **metadata})
    return path


def read_one(path, *, axes=None, channels=None):
    (image,) = read_tiff_images(path, axes=axes, channels=channels)
    return image


def pixels(image):
    pages = scan_pages(image.path)
    with tifffile.TiffFile(image.path) as tiff:
        planes = [read_plane(plane, pages, tiff) for plane in image.planes]
    return np.stack(planes).reshape(image.frames, image.channels, *image.shape)


def test_an_ome_tiff_keeps_calibration_names_and_planes(tmp_path):
    images = film()
    path = write_ome(
        tmp_path / "film.ome.tif",
        images,
        PhysicalSizeX=0.5,
        PhysicalSizeY=0.65,
        TimeIncrement=240.0,
        Channel={"Name": ["GFP", "PI"]},
    )
    image = read_one(path)
    assert (image.frames, image.channels, image.shape) == (3, 2, (48, 64))
    assert image.pixel_um == (0.65, 0.5)
    assert image.frame_min == 4.0
    assert image.channel_names == ("GFP", "PI")
    np.testing.assert_array_equal(pixels(image), images)


@pytest.mark.parametrize(
    ("size", "unit", "um"),
    [(650.0, "nm", 0.65), (0.00065, "mm", 0.65), (0.65, "µm", 0.65), (1.0, "pixel", None)],
)
def test_ome_units_of_length_are_converted(tmp_path, size, unit, um):
    sizes = {f"PhysicalSize{axis}": size for axis in "XY"} | {
        f"PhysicalSize{axis}Unit": unit for axis in "XY"
    }
    image = read_one(write_ome(tmp_path / "film.ome.tif", film(), **sizes))
    assert image.pixel_um == (None if um is None else (um, um))


@pytest.mark.parametrize(
    ("increment", "unit", "minutes"),
    [(240.0, "s", 4.0), (4.0, "min", 4.0), (2.0, "h", 120.0), (240000.0, "ms", 4.0)],
)
def test_ome_units_of_time_are_converted(tmp_path, increment, unit, minutes):
    path = write_ome(tmp_path / "film.ome.tif", film(), TimeIncrement=increment, TimeIncrementUnit=unit)
    assert read_one(path).frame_min == minutes


def test_the_times_of_ome_planes_give_the_interval(tmp_path):
    times = [0.0, 0.0, 121.0, 121.0, 240.0, 240.0]  # 121 s and 119 s apart: 120 s in the middle
    plane = {"DeltaT": times, "TheT": [0, 0, 1, 1, 2, 2], "TheC": [0, 1] * 3, "TheZ": [0] * 6}
    image = read_one(write_ome(tmp_path / "film.ome.tif", film(), Plane=plane))
    assert image.frame_min == 2.0


def test_uneven_times_of_ome_planes_give_no_interval_but_a_reason(tmp_path):
    times = [0.0, 0.0, 60.0, 60.0, 240.0, 240.0]
    plane = {"DeltaT": times, "TheT": [0, 0, 1, 1, 2, 2], "TheC": [0, 1] * 3, "TheZ": [0] * 6}
    image = read_one(write_ome(tmp_path / "film.ome.tif", film(), Plane=plane))
    assert image.frame_min is None
    assert image.frame_note == "its planes are 1 to 3 min apart, not evenly spaced"


def test_ome_planes_in_another_order_come_out_right(tmp_path):
    images = film()
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(
        path, images.swapaxes(0, 1), ome=True, photometric="minisblack", metadata={"axes": "CTYX"}
    )
    np.testing.assert_array_equal(pixels(read_one(path)), images)


def test_several_images_of_an_ome_tiff_become_fields(tmp_path):
    path = tmp_path / "film.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for position in range(2):
            writer.write(
                film() + position,
                photometric="minisblack",
                metadata={"axes": "TCYX", "Name": f"Pos{position}"},
            )
    first, second = read_tiff_images(path, axes=None, channels=None)
    assert (first.field, second.field) == (0, 1)
    assert "holds 2 images (Pos0, Pos1); they became fields 0 to 1" in first.warnings[0]
    np.testing.assert_array_equal(pixels(second), film() + 1)


def test_the_plate_of_an_ome_tiff_gives_well_and_field(tmp_path):
    path = write_ome(tmp_path / "film.ome.tif", film())
    plate = (
        '<Plate ID="Plate:0"><Well ID="Well:0" Row="2" Column="10"><WellSample ID="WellSample:0" Index="0"/>'
        '<WellSample ID="WellSample:1" Index="1"><ImageRef ID="Image:0"/></WellSample></Well></Plate></OME>'
    )
    tifffile.tiffcomment(path, tifffile.tiffcomment(path).replace("</OME>", plate).encode())
    image = read_one(path)
    assert (image.well, image.field) == ("C11", 1)


def imagej(path, images, resolution=(1 / 0.5, 1 / 0.65), axes="TCYX", **metadata):
    tifffile.imwrite(path, images, imagej=True, resolution=resolution, metadata={"axes": axes, **metadata})
    return path


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "microns"])
def test_an_imagej_hyperstack_keeps_calibration_however_micrometres_are_written(tmp_path, unit):
    images = film()
    image = read_one(imagej(tmp_path / "film.tif", images, unit=unit, finterval=240.0))
    assert image.pixel_um == (0.65, 0.5)
    assert image.frame_min == 4.0
    assert (image.frames, image.channels) == (3, 2)
    np.testing.assert_array_equal(pixels(image), images)


@pytest.mark.parametrize("sign", [b"\xb5", b"\xc2\xb5"])  # as ImageJ writes it on Windows, and elsewhere
def test_a_micro_sign_in_an_imagej_unit_is_understood(tmp_path, sign):
    path = imagej(tmp_path / "film.tif", film(), unit="umm"[: len(sign) + 1])
    path.write_bytes(path.read_bytes().replace(b"unit=" + b"umm"[: len(sign) + 1], b"unit=" + sign + b"m"))
    assert read_one(path).pixel_um == (0.65, 0.5)


@pytest.mark.parametrize(
    ("interval", "unit", "minutes"), [(4.0, "min", 4.0), (2.0, "hours", 120.0), (30.0, "sec", 0.5)]
)
def test_an_imagej_interval_is_taken_in_its_unit(tmp_path, interval, unit, minutes):
    assert (
        read_one(imagej(tmp_path / "film.tif", film(), finterval=interval, tunit=unit)).frame_min == minutes
    )


def test_imagej_centimetres_are_converted(tmp_path):
    image = read_one(imagej(tmp_path / "film.tif", film(), resolution=(20000, 20000), unit="cm"))
    assert image.pixel_um == (0.5, 0.5)  # 20,000 pixels on 1 cm


@pytest.mark.parametrize("unit", [None, "pixel", "inches of something"])
def test_resolution_tags_without_a_unit_are_no_pixel_size(tmp_path, unit):
    image = read_one(imagej(tmp_path / "film.tif", film(), **({} if unit is None else {"unit": unit})))
    assert image.pixel_um is None


def test_72_dpi_is_no_pixel_size(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", film()[0, 0], resolution=(72, 72), resolutionunit="INCH", metadata=None
    )
    assert read_one(tmp_path / "a.tif").pixel_um is None


def test_imagej_labels_name_the_channels(tmp_path):
    labels = [f"c:{c + 1}/2 t:{t + 1}/3 - {name}" for t in range(3) for c, name in enumerate(["GFP", "PI"])]
    assert read_one(imagej(tmp_path / "film.tif", film(), Labels=labels)).channel_names == ("GFP", "PI")


def test_imagej_labels_that_change_in_time_name_no_channel(tmp_path):
    labels = [f"img_{number}.tif" for number in range(6)]
    assert read_one(imagej(tmp_path / "film.tif", film(), Labels=labels)).channel_names == (None, None)


def test_micro_manager_names_in_the_info_of_imagej_are_read(tmp_path):
    info = '{"ChNames": ["Cy5", "GFP"], "Interval_ms": 0}'
    assert read_one(imagej(tmp_path / "film.tif", film(), Info=info)).channel_names == ("Cy5", "GFP")


def test_a_celldetective_file_beside_the_image_fills_what_it_does_not_say(tmp_path):
    imagej(tmp_path / "sample.tif", film(t=1), resolution=(1, 1))
    said = {"spatial_calibration": 0.3112, "channels": ["brightfield", "PI"]}
    (tmp_path / "sample.json").write_text(json.dumps(said))
    image = read_one(tmp_path / "sample.tif")
    assert image.pixel_um == (0.3112, 0.3112)
    assert image.channel_names == ("brightfield", "PI")
    assert "as sample.json says" in image.warnings[0]


def test_a_celldetective_file_of_another_image_is_refused(tmp_path):
    imagej(tmp_path / "sample.tif", film(t=1))
    (tmp_path / "sample.json").write_text('{"spatial_calibration": 0.3, "channels": ["a", "b", "c"]}')
    with pytest.raises(ImageError, match=r"sample.json names 3 channels, sample.tif has 2"):
        read_one(tmp_path / "sample.tif")


def test_planes_of_unknown_meaning_are_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", film()[:, 0], photometric="minisblack", metadata=None)
    with pytest.raises(VendorFileError, match=r"holds 3 planes and does not say .* --axes CYX .*--axes TYX"):
        read_one(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("axes", "channels", "sizes"),
    [
        ("TYX", None, (6, 1)),
        ("CYX", None, (1, 6)),
        ("TCYX", ["a", "b"], (3, 2)),
        ("CTYX", ["a", "b"], (3, 2)),
        (None, list("abcdef"), (1, 6)),  # as many names as planes
    ],
)
def test_axes_given_by_hand_say_what_the_planes_are(tmp_path, axes, channels, sizes):
    stack = film(t=6, c=1)[:, 0]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata=None)
    image = read_one(tmp_path / "a.tif", axes=axes, channels=channels)
    assert (image.frames, image.channels) == sizes
    by_axes = stack.reshape(2, 3, 48, 64).swapaxes(0, 1) if axes == "CTYX" else stack.reshape(*sizes, 48, 64)
    np.testing.assert_array_equal(pixels(image), by_axes)


@pytest.mark.parametrize(
    ("axes", "channels", "message"),
    [
        ("ZYX", None, "--axes ZYX is not understood. Expected one of YX, CYX, TYX, TCYX, CTYX"),
        ("YX", None, "holds 6 planes, --axes YX expects 1"),
        ("TCYX", None, "needs the channels' names too"),
        ("TCYX", list("abcd"), r"holds 6 planes, which 4 channels \(a, b, c, d\) do not divide"),
    ],
)
def test_axes_that_do_not_fit_are_refused(tmp_path, axes, channels, message):
    tifffile.imwrite(tmp_path / "a.tif", film(t=6, c=1)[:, 0], photometric="minisblack", metadata=None)
    with pytest.raises(VendorFileError, match=message):
        read_one(tmp_path / "a.tif", axes=axes, channels=channels)


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_planes_that_share_one_page_are_channels_when_the_file_says_so(tmp_path, photometric):
    images = film(t=1, c=3)[0]
    options = {"planarconfig": "separate"} if photometric == "rgb" else {}
    tifffile.imwrite(
        tmp_path / "a.tif", images, photometric=photometric, metadata={"axes": "CYX"}, compression="zlib", rowsperstrip=20,
        predictor=True, **options,
    )  # fmt: skip
    image = read_one(tmp_path / "a.tif")
    assert (image.frames, image.channels) == (1, 3)
    np.testing.assert_array_equal(pixels(image)[0], images)


@pytest.mark.parametrize("kind", ["imagej", "shaped"])
def test_a_stack_behind_one_page_is_read(tmp_path, kind):
    images = film()
    options = {"imagej": True} if kind == "imagej" else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", images, truncate=True, metadata={"axes": "TCYX"}, **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
    np.testing.assert_array_equal(pixels(read_one(tmp_path / "a.tif")), images)
    raw = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(raw[:-1])
    with pytest.raises(ImageError, match="expected 6 planes, found 5 complete"):
        read_one(tmp_path / "a.tif")


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_byte_order_and_layout_change_no_pixel(tmp_path, bigtiff, byteorder, layout):
    images = film(y=50, x=70)
    options = {"tile": (32, 32)} if layout == "tiles" else {"rowsperstrip": 7}
    tifffile.imwrite(
        tmp_path / "a.tif", images, photometric="minisblack", byteorder=byteorder, bigtiff=bigtiff, compression="zlib",
        metadata={"axes": "TCYX"}, **options,
    )  # fmt: skip
    image = read_one(tmp_path / "a.tif")
    assert image.dtype == np.dtype("uint16")
    np.testing.assert_array_equal(pixels(image), images)


def test_the_smaller_copies_of_a_pyramid_are_no_frames(tmp_path):
    image = film(t=1, c=1)[0, 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image, metadata=None)
        writer.write(image[::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(pixels(read_one(tmp_path / "a.tif"))[0, 0], image)


def test_pages_of_different_size_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(film()[0, 0], metadata=None)
        writer.write(film()[0, 0, :20], metadata=None)
    with pytest.raises(ImageError, match=r"page 2 is \(20, 64\) uint16, page 1 is \(48, 64\) uint16"):
        read_one(tmp_path / "a.tif")


@pytest.mark.parametrize("where", ["ome", "imagej", "plain"])
def test_a_z_stack_is_refused(tmp_path, where):
    stack = film(t=5, c=1)[:, 0]
    path = tmp_path / "stack.tif"
    kind = {"ome": {"ome": True}, "imagej": {"imagej": True}, "plain": {}}[where]
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "ZYX"}, **kind)
    with pytest.raises(VendorFileError, match=r"z-stack of 5 slices.* not yet supported.* --axes TYX"):
        read_one(path)
    assert read_one(path, axes="TYX").frames == 5  # a film that was saved as slices


def test_colour_pictures_are_refused(tmp_path):
    colour = np.zeros((48, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    with pytest.raises(ImageError, match=r"rgb.tif is a colour picture"):
        read_one(tmp_path / "rgb.tif")
    tifffile.imwrite(
        tmp_path / "planar.tif", np.zeros((3, 48, 64), np.uint8), photometric="rgb", metadata=None
    )
    with pytest.raises(ImageError, match=r"planar.tif is marked as a colour picture of 3 planes"):
        read_one(tmp_path / "planar.tif")


def test_pixels_of_an_unusual_type_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.complex64))
    with pytest.raises(ImageError, match=r"pixels are complex64, expected one of uint8"):
        read_one(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\x05"]
)
def test_what_is_no_tiff_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match=r"a.tif"):
        read_one(tmp_path / "a.tif")


def write_kind(path, kind, compression):
    images = film(t=5, c=2, y=128, x=128)
    if kind == "imagej":
        imagej(path, images, unit="um")
    elif kind == "ome":
        tifffile.imwrite(
            path,
            images,
            ome=True,
            photometric="minisblack",
            compression=compression,
            metadata={"axes": "TCYX"},
        )
    else:
        metadata = {"axes": "TCYX"} if kind == "shaped" else None
        tifffile.imwrite(path, images, photometric="minisblack", compression=compression, metadata=metadata)
    return images


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize(
    ("kind", "compression"),
    [(k, c) for k in ("ome", "shaped", "plain") for c in (None, "lzw", "zlib", "zstd")] + [("imagej", None)],
)
def test_a_file_that_was_cut_off_is_never_taken_for_a_shorter_film(tmp_path, kind, compression, share):
    path = tmp_path / "film.tif"
    write_kind(path, kind, compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=r"film.tif"):
        read_one(path, axes="TCYX", channels=["a", "b"])
    with pytest.raises(ImageError, match=r"film.tif"):
        read_one(path)


def test_a_cut_off_file_tells_planes_expected_and_found(tmp_path):
    write_kind(tmp_path / "film.tif", "imagej", None)
    whole = (tmp_path / "film.tif").read_bytes()
    (tmp_path / "film.tif").write_bytes(whole[: 1000 + 4 * 128 * 128 * 2])  # header, and 4 planes and a bit
    with pytest.raises(ImageError, match=r"film.tif is cut off: expected 10 planes, found 4 complete"):
        read_one(tmp_path / "film.tif")


def test_fewer_planes_than_the_ome_xml_says_are_refused(tmp_path):
    path = write_ome(tmp_path / "film.ome.tif", film(t=3, c=2))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'SizeT="3"', b'SizeT="4"'))
    with pytest.raises(ImageError, match=r"expected 8 planes, found 6 complete"):
        read_one(path)


@pytest.mark.parametrize("size", ["999999999", "100000"])
def test_an_absurd_size_is_refused_at_once(tmp_path, size):
    path = tmp_path / "film.ome.tif"
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="64" SizeY="48" SizeC="1" SizeZ="1" SizeT="{size}">'
        "<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, film()[0, 0], description=xml, metadata=None)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ImageError, match=f"expected {size} planes, found 1"):
        read_one(path)
    assert time.perf_counter() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><OME></OME>', "defines entities"),
        ("<OME>" + "<a>" * 200 + "</a>" * 200 + "</OME>", "more than 64 deep"),
        ("<OME><Image></OME>", "OME-XML cannot be read"),
        ("<OME></OME>", "describes no image"),
        ('<OME><Image><Pixels SizeT="many"/></Image></OME>', "SizeT = 'many'"),
    ],
)
def test_hostile_or_broken_ome_xml_is_refused(tmp_path, xml, message):
    tifffile.imwrite(tmp_path / "a.tif", film()[0, 0], description=xml, metadata=None)
    with pytest.raises(ImageError, match=message):
        read_one(tmp_path / "a.tif")


def test_one_file_of_a_set_is_refused_with_the_others_named(tmp_path):
    path = write_ome(tmp_path / "film_0.ome.tif", film(t=1, c=1))
    xml = tifffile.tiffcomment(path).replace('SizeT="1"', 'SizeT="2"')
    other = '<TiffData FirstT="1"><UUID FileName="film_1.ome.tif">urn:uuid:1</UUID></TiffData>'
    tifffile.tiffcomment(path, xml.replace("</Pixels>", other + "</Pixels>").encode())
    with pytest.raises(VendorFileError, match=r"one of a set of OME-TIFF files .*film_1.ome.tif"):
        read_one(path)


def test_a_strip_that_was_never_written_is_not_read_as_black(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, film()[0, 0], rowsperstrip=16, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        at, form = tag.valueoffset, {3: "H", 4: "I"}[tag.dtype]
    raw = bytearray(path.read_bytes())
    struct.pack_into("<" + form, raw, at, 0)
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"a strip or tile that was never written"):
        read_one(path)


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzw"])
def test_damaged_pixels_name_file_and_page(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, film(t=2)[:, 0], photometric="minisblack", compression=compression, metadata=None)
    image = read_one(path, axes="TYX")
    with tifffile.TiffFile(path) as tiff:
        at, length = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    raw = bytearray(path.read_bytes())
    raw[at : at + length] = b"\0" * length
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"a.tif, plane on page 2: the pixels cannot be read"):
        pixels(image)


def test_a_chain_of_pages_that_bites_its_tail_ends(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, film()[0, 0], metadata=None)
    raw = bytearray(path.read_bytes())
    first = struct.unpack("<I", raw[4:8])[0]
    entries = struct.unpack_from("<H", raw, first)[0]
    struct.pack_into("<I", raw, first + 2 + 12 * entries, first)
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"runs in a circle"):
        read_one(path)
