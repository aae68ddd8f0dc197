import os
from pathlib import Path

import pytest

from assay.errors import VendorFileError
from assay.io.importers.file_names import find_images, name_files, natural_key


def named(*names, pattern=None):
    return name_files([(name, Path("/films") / name) for name in names], pattern=pattern)


@pytest.mark.parametrize(
    ("name", "well", "field", "channel", "minutes"),
    [
        ("Exp_Phase_B3_2_00d04h00m.tif", "B03", 2, "Phase", 240),
        ("My_long_exp_Green_H12_10_01d02h30m.tiff", "H12", 10, "Green", 1440 + 150),
        ("VID12_A1_1_00d00h00m.tif", "A01", 1, None, 0),
    ],
)
def test_incucyte_names_give_well_field_channel_and_minutes(name, well, field, channel, minutes):
    (file,) = named(name).files
    assert (file.well, file.field, file.channel, file.minutes, file.index) == (
        well,
        field,
        channel,
        minutes,
        None,
    )


@pytest.mark.parametrize(
    "name",
    [
        "B02_0_003_GFP.tif",
        "b2-f0-t003-GFP.TIF",
        "B02.s0.t3.GFP.ome.tif",
        "Exp1_B02_field0_time003_GFP.tiff",
        "B02 0 003 GFP.tif",
    ],
)
def test_plain_names_are_read_whatever_separates_the_parts(name):
    (file,) = named(name).files
    assert (file.well, file.field, file.index, file.channel) == ("B02", 0, 3, "GFP")


def test_one_file_a_well_is_named_by_its_well():
    files = named("A1.tif", "B02_3.ome.tif", "C03_f2.tiff").files
    assert [(file.well, file.field) for file in files] == [("A01", None), ("B02", 3), ("C03", 2)]


def test_a_channel_number_is_not_taken_for_a_well():
    with pytest.raises(VendorFileError, match=r"none of 2 file names fit .* exp_C1.tif, exp_C2.tif"):
        named("exp_C1.tif", "exp_C2.tif")


def test_a_few_names_that_fit_by_chance_name_no_plate():
    with pytest.raises(VendorFileError, match=r"1 of 3 file names fit"):
        named("B02_0_003_GFP.tif", "notes of A.tif", "notes of B.tif")


def test_a_name_that_does_not_fit_is_listed():
    result = named("B02_0_000_GFP.tif", "B02_0_001_GFP.tif", "overview.tif")
    assert result.pattern == "plain"
    assert result.ignored == (("overview.tif", "the name does not fit the pattern"),)


def test_an_own_pattern_reads_rows_written_as_numbers():
    pattern = (
        r"r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d+)p01-ch(?P<channel>\d+)sk(?P<frame>\d+)fk1fl1\.tiff"
    )
    (file,) = named("r02c03f04p01-ch1sk12fk1fl1.tiff", pattern=pattern).files
    assert (file.well, file.field, file.channel, file.index) == ("B03", 4, "1", 12)


def test_a_pattern_with_a_slash_reads_folder_names():
    pattern = r"(?P<channel>[^/]+)/(?P<well>[A-P]\d+)_t(?P<frame>\d+)\.tif"
    files = named("Red/B02_t1.tif", "Green/B02_t1.tif", pattern=pattern).files
    assert [file.channel for file in files] == ["Red", "Green"]


def test_incucyte_exports_with_a_folder_for_each_channel_are_told_apart():
    pattern = r"(?P<channel>[^/]+)/.*_(?P<well>[A-P]\d+)_(?P<field>\d+)_(?P<day>\d+)d(?P<hour>\d+)h(?P<minute>\d+)m\.tif"
    files = named("Phase/VID7_B3_2_00d04h00m.tif", "Red/VID7_B3_2_00d04h00m.tif", pattern=pattern).files
    assert [(file.channel, file.well, file.minutes) for file in files] == [
        ("Phase", "B03", 240),
        ("Red", "B03", 240),
    ]


def test_a_pattern_that_fits_nothing_shows_it_and_example_names():
    with pytest.raises(
        VendorFileError,
        match=r"no file name fits the pattern .*\(\?P<well>X\).* e.g. a1.tif, a2.tif, a3.tif and 1 more",
    ):
        named("a1.tif", "a2.tif", "a3.tif", "a4.tif", pattern="(?P<well>X)")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<well>", "is not a regular expression"),
        (r"(?P<wel>\w+)\.tif", "unknown group 'wel'.* Did you mean 'well'"),
        (r"(?P<field>\d+)\.tif", "has no group for the well"),
        (r"(?P<row>\w)\.tif", "has no group for the well"),
        (r"(?P<well>\w+)_(?P<frame>\d)_(?P<hour>\d)\.tif", "both frame and day"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(pattern, message):
    with pytest.raises(VendorFileError, match=message):
        named("B02.tif", pattern=pattern)


def test_a_field_that_is_no_number_is_refused():
    with pytest.raises(VendorFileError, match=r"B02_left.tif: the pattern's field is 'left'"):
        named("B02_left.tif", pattern=r"(?P<well>\w\d+)_(?P<field>\w+)\.tif")


def test_a_slice_of_a_z_stack_is_refused():
    with pytest.raises(VendorFileError, match=r"slice z = 2 of a z-stack"):
        named("B02_z1.tif", "B02_z2.tif", pattern=r"(?P<well>\w\d+)_z(?P<z>\d+)\.tif")


def test_numbers_in_names_sort_as_numbers():
    assert sorted(["t10.tif", "t2.tif", "T1.tif"], key=natural_key) == ["T1.tif", "t2.tif", "t10.tif"]


def test_stray_files_are_listed_and_not_images(tmp_path):
    for name in ("t10.tif", "t2.tif", "Thumbs.db", "._t2.tif", ".DS_Store", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "old.zarr").mkdir()
    (tmp_path / "old.zarr" / "t1.tif").write_bytes(b"x")
    (tmp_path / "day2").mkdir()
    (tmp_path / "day2" / "t3.tif").write_bytes(b"x")
    images, ignored = find_images(tmp_path)
    assert [name for name, _ in images] == ["day2/t3.tif", "t2.tif", "t10.tif"]
    assert {name for name, _ in ignored} == {"Thumbs.db", "._t2.tif", ".DS_Store", "notes.txt", "old.zarr/"}


def test_a_folder_without_images_says_what_is_there(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(VendorFileError, match=r"holds no TIFF images, only readme.txt"):
        find_images(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(VendorFileError, match=r"holds no TIFF images: it is empty"):
        find_images(tmp_path)


@pytest.mark.parametrize(("suffix", "library"), [("nd2", "nd2"), ("lif", "liffile"), ("czi", "pylibCZIrw")])
def test_vendor_files_are_refused_with_what_to_do(tmp_path, suffix, library):
    (tmp_path / f"film.{suffix}").write_bytes(b"x")
    with pytest.raises(
        VendorFileError, match=rf"not supported yet .*killassay\[import\].*{library}.* OME-TIFF"
    ):
        find_images(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="names are always text there")
def test_a_name_that_is_no_text_is_shown_with_signs_that_are(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"B02\xff.tif")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes text only")
    ((name, _),), _ = find_images(tmp_path)
    assert name == "B02\ufffd.tif"
