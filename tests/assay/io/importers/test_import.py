"""From a folder of images to a plate, and every way it is refused."""

import hashlib
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr

from assay.errors import CalibrationError, ImageError, ProtocolError, VendorFileError
from assay.io.importers.planning import plan_import
from assay.io.importers.recorded import recorded_conditions
from assay.io.importers.writing import run_import
from assay.io.ome_zarr import open_plate
from assay.protocol import parse_protocol
from assay.stack import FieldId


def plane(value, *, y=40, x=56, dtype=np.uint16):
    """A plane that is known by its number."""
    image = np.random.default_rng(value).integers(0, 200, (y, x)).astype(dtype)
    image[0, 0] = value
    return image


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None, **options)


def plain_folder(folder, *, wells=("B02", "B03"), frames=3, channels=("GFP", "PI"), skip=()):
    """One plane a file; plane number = well * 100 + frame * 10 + channel."""
    for w, well in enumerate(wells):
        for t in range(frames):
            for c, channel in enumerate(channels):
                name = f"{well}_0_{t:03d}_{channel}.tif"
                if name not in skip:
                    save(folder / name, plane(w * 100 + t * 10 + c))
    return folder


def pixels_of(plate, field):
    return zarr.open_array(plate / field.path / "0", mode="r")[...]


def block_of(plate, field):
    return dict(zarr.open_group(plate / field.path, mode="r").attrs)["killassay"]


GIVEN = {"pixel_um": (0.65, 0.5), "frame_min": 4.0}


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_a_plain_folder_becomes_a_plate_plane_by_plane(tmp_path, ngff):
    folder = plain_folder(tmp_path / "images")
    (folder / "Thumbs.db").write_bytes(b"x")
    plan = plan_import(folder, **GIVEN)
    assert plan.channel_names == ("GFP", "PI")
    assert [entry.shape for entry in plan.fields] == [(3, 2, 40, 56)] * 2
    assert plan.ignored == (("Thumbs.db", "not a TIFF image"),)
    run_import(plan, tmp_path / "p.zarr", ngff=ngff)
    for w, well in enumerate(("B02", "B03")):
        images = pixels_of(tmp_path / "p.zarr", FieldId(well, 0))
        for t in range(3):
            for c in range(2):
                np.testing.assert_array_equal(images[t, c], plane(w * 100 + t * 10 + c))


def test_the_plate_keeps_calibration_names_and_sources(tmp_path):
    folder = plain_folder(tmp_path / "images", wells=("B02",))
    run_import(plan_import(folder, **GIVEN), tmp_path / "p.zarr")
    ome = dict(zarr.open_group(tmp_path / "p.zarr" / "B/02/0", mode="r").attrs)["ome"]
    scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [240.0, 1.0, 0.65, 0.5]
    stack = open_plate(tmp_path / "p.zarr").stack(FieldId("B02", 0))
    assert stack.calibration.pixel_um == (0.65, 0.5)
    assert stack.calibration.frame_min == 4.0
    assert stack.channel_names == ("GFP", "PI")
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["GFP", "PI"]
    block = block_of(tmp_path / "p.zarr", FieldId("B02", 0))
    first = folder / "B02_0_000_GFP.tif"
    assert block["sources"][0] == {
        "name": "B02_0_000_GFP.tif",
        "bytes": first.stat().st_size,
        "sha256": hashlib.sha256(first.read_bytes()).hexdigest(),
    }
    assert len(block["sources"]) == 6
    assert str(tmp_path) not in str(block)


def test_the_source_is_not_changed(tmp_path):
    folder = plain_folder(tmp_path / "images")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run_import(plan_import(folder, **GIVEN), tmp_path / "p.zarr")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_incucyte_export_gives_its_frame_interval(tmp_path):
    for number, time in enumerate(("00d00h00m", "00d02h00m", "00d04h00m")):
        for c, channel in enumerate(("Phase", "Red")):
            save(tmp_path / "x" / f"VID7_{channel}_B3_1_{time}.tif", plane(number * 10 + c))
    plan = plan_import(tmp_path / "x", pixel_um=(1.24, 1.24))
    (entry,) = plan.fields
    assert plan.read_as == "incucyte"
    assert entry.field == FieldId("B03", 1)
    assert entry.calibration.frame_min == 120
    assert entry.shape == (3, 2, 40, 56)


def test_a_missing_plane_is_named_and_refused(tmp_path):
    folder = plain_folder(tmp_path / "images", skip=("B03_0_001_PI.tif",))
    with pytest.raises(
        VendorFileError,
        match=r"well B03, field 0: no file for frame 1 \(time point 1\) channel 'PI'\. .*--allow-missing",
    ):
        plan_import(folder, **GIVEN)


def test_a_missing_time_point_is_named_and_shifts_no_frame(tmp_path):
    folder = plain_folder(tmp_path / "images", skip=("B02_0_001_GFP.tif", "B02_0_001_PI.tif"))
    with pytest.raises(VendorFileError, match=r"B02, field 0: no file for frame 1 .*'GFP', frame 1 .*'PI'\."):
        plan_import(folder, **GIVEN)
    plan = plan_import(folder, **GIVEN, allow_missing=True)
    assert plan.fields[0].missing_frames == {1}
    assert plan.fields[1].missing_frames == frozenset()
    run_import(plan, tmp_path / "p.zarr")
    images = pixels_of(tmp_path / "p.zarr", FieldId("B02", 0))
    assert not images[1].any()
    np.testing.assert_array_equal(images[2, 1], plane(21))
    plate = open_plate(tmp_path / "p.zarr")
    assert plate.stack(FieldId("B02", 0)).missing_frames == {1}
    assert plate.stack(FieldId("B03", 0)).missing_frames == frozenset()


def test_a_frame_that_lacks_one_channel_counts_as_missing(tmp_path):
    folder = plain_folder(tmp_path / "images", skip=("B03_0_001_PI.tif",))
    plan = plan_import(folder, **GIVEN, allow_missing=True)
    assert plan.fields[1].missing_frames == {1}
    assert "missing frames: 1, recorded as missing" in plan.summary()


def test_a_time_point_missing_from_the_whole_plate_is_found(tmp_path):
    folder = plain_folder(tmp_path / "images", wells=("B02",), channels=("GFP",), skip=("B02_0_001_GFP.tif",))
    with pytest.raises(VendorFileError, match=r"no file for frame 1 \(time point 1\) channel 'GFP'"):
        plan_import(folder, **GIVEN)


def test_an_incucyte_time_missing_from_the_whole_plate_is_found(tmp_path):
    for time in ("00d00h00m", "00d00h30m", "00d01h00m", "00d02h00m"):
        save(tmp_path / "x" / f"E_Phase_B3_1_{time}.tif", plane(1))
    with pytest.raises(VendorFileError, match=r"frame 3 \(00d01h30m\) channel 'Phase'"):
        plan_import(tmp_path / "x", pixel_um=(1.24, 1.24))


def test_a_channel_missing_from_a_whole_well_is_refused_even_with_missing_allowed(tmp_path):
    skip = [f"B03_0_{t:03d}_PI.tif" for t in range(3)]
    folder = plain_folder(tmp_path / "images", skip=skip)
    with pytest.raises(VendorFileError, match=r"B03, field 0: channel 'PI' is missing in all 3 frames"):
        plan_import(folder, **GIVEN, allow_missing=True)


def test_a_well_that_ends_early_is_told_and_kept(tmp_path):
    skip = [f"B03_0_002_{channel}.tif" for channel in ("GFP", "PI")]
    plan = plan_import(plain_folder(tmp_path / "images", skip=skip), **GIVEN)
    assert [entry.shape[0] for entry in plan.fields] == [3, 2]
    assert plan.warnings == (
        "well B03, field 0: the film ends after 2 frames, the longest of the plate has 3.",
    )


def test_a_plane_that_stands_in_two_files_is_refused_with_both_named(tmp_path):
    folder = plain_folder(tmp_path / "images")
    save(folder / "B2_0_1_GFP.tif", plane(1))  # well B2 is well B02
    with pytest.raises(
        VendorFileError, match=r"frame 1, channel 'GFP' stands in two files: .*B2_0_1_GFP.tif"
    ):
        plan_import(folder, **GIVEN)


@pytest.mark.parametrize("other", [plane(1, x=48), plane(1, dtype=np.uint8)])
def test_another_size_or_type_within_a_field_is_refused(tmp_path, other):
    folder = plain_folder(tmp_path / "images")
    save(folder / "B03_0_001_PI.tif", other)
    with pytest.raises(
        ImageError, match=r"B03, field 0: B03_0_000_GFP.tif is \(40, 56\) uint16, B03_0_001_PI.tif is"
    ):
        plan_import(folder, **GIVEN)


def test_wells_may_differ_in_size_but_not_in_type(tmp_path):
    save(tmp_path / "a" / "B02_0_000_GFP.tif", plane(1))
    save(tmp_path / "a" / "B03_0_000_GFP.tif", plane(2, y=30))
    assert [entry.shape for entry in plan_import(tmp_path / "a", **GIVEN).fields] == [
        (1, 1, 40, 56),
        (1, 1, 30, 56),
    ]
    save(tmp_path / "a" / "B03_0_000_GFP.tif", plane(2, dtype=np.uint8))
    with pytest.raises(ImageError, match=r"B02_0_000_GFP.tif holds uint16, B03_0_000_GFP.tif uint8"):
        plan_import(tmp_path / "a", **GIVEN)


def test_a_pixel_size_is_asked_for_never_guessed(tmp_path):
    with pytest.raises(
        CalibrationError, match=r"B02, field 0: B02_0_000_GFP.tif has no pixel size.*--pixel-um Y,X"
    ):
        plan_import(plain_folder(tmp_path / "images"), frame_min=4.0)


def test_a_frame_interval_is_asked_for_never_guessed(tmp_path):
    with pytest.raises(
        CalibrationError, match=r"does not say how long a frame interval is \(3 frames\).*--frame-min"
    ):
        plan_import(plain_folder(tmp_path / "images"), pixel_um=(0.65, 0.65))


def test_one_frame_needs_no_frame_interval(tmp_path):
    plan = plan_import(plain_folder(tmp_path / "images", frames=1), pixel_um=(0.65, 0.65))
    assert plan.fields[0].calibration.frame_min is None
    run_import(plan, tmp_path / "p.zarr")
    assert pixels_of(tmp_path / "p.zarr", FieldId("B03", 0)).shape == (1, 2, 40, 56)


def test_an_impossible_pixel_size_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match=r"B02, field 0, B02_0_000_GFP.tif: pixel size in y is 650"):
        plan_import(plain_folder(tmp_path / "images"), pixel_um=(650, 650), frame_min=4)


def test_a_frame_interval_of_nothing_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match=r"frame interval is 0"):
        plan_import(plain_folder(tmp_path / "images"), pixel_um=(0.65, 0.65), frame_min=0.0)


def test_the_protocol_gives_what_the_files_do_not_say(tmp_path):
    protocol = parse_protocol(
        '[channels]\ntarget = "GFP"\n[calibration]\npixel_um = [0.65, 0.6]\nframe_min = 5.0\n'
    )
    plan = plan_import(plain_folder(tmp_path / "images"), protocol=protocol)
    assert plan.fields[0].calibration.pixel_um == (0.65, 0.6)
    assert plan.fields[0].calibration.frame_min == 5
    plan = plan_import(plain_folder(tmp_path / "images"), protocol=protocol, frame_min=2.0)
    assert plan.fields[0].calibration.frame_min == 2


def test_a_protocol_channel_that_is_not_there_is_refused(tmp_path):
    protocol = parse_protocol('[channels]\ntarget = "GPF"\n')
    with pytest.raises(ProtocolError, match=r"'GPF' is not in the images.* Did you mean 'GFP'"):
        plan_import(plain_folder(tmp_path / "images"), **GIVEN, protocol=protocol)


def test_a_value_given_by_hand_overrules_the_file_and_is_told(tmp_path):
    path = tmp_path / "film.tif"
    tifffile.imwrite(
        path, np.zeros((2, 1, 40, 56), np.uint16), imagej=True, resolution=(2, 2),
        metadata={"axes": "TCYX", "unit": "um", "finterval": 60.0},
    )  # fmt: skip
    plan = plan_import(path, **GIVEN, channel_names=["GFP"])
    assert plan.fields[0].calibration.pixel_um == (0.65, 0.5)
    assert plan.warnings == (
        "well A01, field 0: pixel size (0.5, 0.5) um in the files was overruled by (0.65, 0.5) um.",
        "well A01, field 0: frame interval 1 min of the files was overruled by 4 min.",
    )


def test_channel_names_are_asked_for_never_guessed(tmp_path):
    tifffile.imwrite(
        tmp_path / "B02.tif", np.zeros((2, 3, 40, 56), np.uint16), imagej=True, metadata={"axes": "TCYX"}
    )
    with pytest.raises(
        VendorFileError, match=r"B02.tif: its 3 channels have no names in the file. Give --channels"
    ):
        plan_import(tmp_path / "B02.tif", **GIVEN)
    with pytest.raises(VendorFileError, match=r"B02.tif has 3 channels, --channels names 2 \(GFP, PI\)"):
        plan_import(tmp_path / "B02.tif", **GIVEN, channel_names=["GFP", "PI"])
    plan = plan_import(tmp_path / "B02.tif", **GIVEN, channel_names=["GFP", "PI", "BF"])
    assert plan.channel_names == ("GFP", "PI", "BF")


def test_channels_told_by_file_names_may_be_renamed_and_ordered(tmp_path):
    folder = plain_folder(tmp_path / "images", channels=("1", "2"))
    assert plan_import(folder, **GIVEN, channel_names=["1=GFP", "2=PI"]).channel_names == ("GFP", "PI")
    assert plan_import(folder, **GIVEN, channel_names=["2", "1"]).channel_names == ("2", "1")
    with pytest.raises(
        VendorFileError, match=r"the file names have 1, 2\. .* rename them, e.g. --channels 1=NEW1,2=NEW2"
    ):
        plan_import(folder, **GIVEN, channel_names=["GFP", "PI"])
    with pytest.raises(VendorFileError, match=r"no file name has the channel '3'"):
        plan_import(folder, **GIVEN, channel_names=["1=GFP", "3=PI"])


@pytest.mark.parametrize("names", [["GFP", "GFP"], ["GFP", ""], ["1=GFP", "PI"]])
def test_channel_names_that_contradict_themselves_are_refused(tmp_path, names):
    with pytest.raises(VendorFileError, match=r"is not understood. Expected different names"):
        plan_import(plain_folder(tmp_path / "images"), **GIVEN, channel_names=names)


def test_files_with_different_channels_are_not_one_plate(tmp_path):
    for well, names in (("B02", ["GFP", "PI"]), ("B03", ["GFP", "CTDR"])):
        tifffile.imwrite(
            tmp_path / f"{well}.ome.tif", np.zeros((1, 2, 40, 56), np.uint16), photometric="minisblack",
            metadata={"axes": "TCYX", "Channel": {"Name": names}},
        )  # fmt: skip
    with pytest.raises(
        VendorFileError, match=r"B02.ome.tif has the channels GFP, PI; B03.ome.tif has GFP, CTDR"
    ):
        plan_import(tmp_path, **GIVEN)


def test_a_folder_of_hyperstacks_becomes_one_field_each(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    for number, name in enumerate(("B02_0", "B02_1", "C10_0")):
        stack = np.full((20, 2, 40, 56), number, np.uint16)
        stack[:, 1] += np.arange(20, dtype=np.uint16)[:, None, None]
        tifffile.imwrite(
            folder / f"{name}.tif", stack, imagej=True, resolution=(2, 2),
            metadata={"axes": "TCYX", "unit": "um", "finterval": 120.0, "Labels": ["GFP", "PI"] * 20},
        )  # fmt: skip
    plan = plan_import(folder)
    assert [entry.field for entry in plan.fields] == [FieldId("B02", 0), FieldId("B02", 1), FieldId("C10", 0)]
    run_import(plan, tmp_path / "p.zarr")
    images = pixels_of(tmp_path / "p.zarr", FieldId("C10", 0))
    assert images.shape == (20, 2, 40, 56)
    assert images[19, :, 0, 0].tolist() == [2, 21]


def test_a_file_with_all_channels_for_each_time_point_is_joined(tmp_path):
    for t in range(3):
        save(tmp_path / "x" / f"B02_t{t}.tif", np.stack([plane(t * 10), plane(t * 10 + 1)]))
    pattern = r"(?P<well>B02)_t(?P<frame>\d)\.tif"
    plan = plan_import(tmp_path / "x", pattern=pattern, axes="CYX", channel_names=["GFP", "PI"], **GIVEN)
    run_import(plan, tmp_path / "p.zarr")
    np.testing.assert_array_equal(pixels_of(tmp_path / "p.zarr", FieldId("B02", 0))[2, 1], plane(21))


def test_name_and_file_that_both_count_time_are_refused(tmp_path):
    save(tmp_path / "x" / "B02_0_000_GFP.tif", np.stack([plane(1), plane(2)]))
    with pytest.raises(VendorFileError, match=r"the name gives one time point, the file holds 2 frames"):
        plan_import(tmp_path / "x", axes="TYX", **GIVEN)
    with pytest.raises(VendorFileError, match=r"the name gives one channel \(GFP\), the file holds 2"):
        plan_import(tmp_path / "x", axes="CYX", **GIVEN)


def test_a_wells_list_places_files_of_any_name(tmp_path):
    for number in range(3):
        save(tmp_path / "x" / f"snap {number}.tif", plane(number, y=30 + number))
    listed = tmp_path / "wells.csv"
    listed.write_text(
        "file,well,condition,kind\nsnap 0.tif,B2,CAR-T,sample\nsnap 2.tif,B3,none,target_only\n"
    )
    plan = plan_import(tmp_path / "x", wells=listed, channel_names=["GFP"], pixel_um=(0.3112, 0.3112))
    assert [(entry.field, entry.shape) for entry in plan.fields] == [
        (FieldId("B02", 0), (1, 1, 30, 56)),
        (FieldId("B03", 0), (1, 1, 32, 56)),
    ]
    assert [(condition.name, condition.wells) for condition in plan.conditions] == [
        ("CAR-T", ("B02",)),
        ("none", ("B03",)),
    ]
    assert plan.ignored == (("snap 1.tif", "not in wells.csv"),)
    run_import(plan, tmp_path / "p.zarr")
    assert recorded_conditions(tmp_path / "p.zarr") == plan.conditions
    sizes = {
        field.well: open_plate(tmp_path / "p.zarr").stack(field).shape
        for field in open_plate(tmp_path / "p.zarr").fields
    }
    assert sizes == {"B02": (1, 1, 30, 56), "B03": (1, 1, 32, 56)}


def test_two_images_of_one_well_need_field_numbers(tmp_path):
    for number in range(2):
        save(tmp_path / "x" / f"snap{number}.tif", plane(number))
    listed = tmp_path / "wells.csv"
    listed.write_text("file,well\nsnap0.tif,B2\nsnap1.tif,B2\n")
    with pytest.raises(
        VendorFileError, match=r"stands in two files: snap0.tif and snap1.tif. .*number the fields"
    ):
        plan_import(tmp_path / "x", wells=listed, channel_names=["GFP"], **GIVEN)


def test_a_cut_off_file_stops_the_import_before_a_plate_is_begun(tmp_path):
    folder = plain_folder(tmp_path / "images")
    path = folder / "B03_0_001_PI.tif"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"B03_0_001_PI.tif is cut off: expected at least 1 planes, found 0"):
        plan_import(folder, **GIVEN)


def test_a_file_that_changes_under_way_leaves_an_unfinished_plate(tmp_path):
    folder = plain_folder(tmp_path / "images")
    plan = plan_import(folder, **GIVEN)
    save(folder / "B03_0_001_PI.tif", plane(1, y=20))
    with pytest.raises(ImageError, match=r"B03, field 0: B03_0_001_PI.tif changed while it was imported"):
        run_import(plan, tmp_path / "p.zarr")
    with pytest.raises(ImageError, match=r"p.zarr"):
        open_plate(tmp_path / "p.zarr")


def test_an_existing_plate_is_not_overwritten(tmp_path):
    plan = plan_import(plain_folder(tmp_path / "images"), **GIVEN)
    (tmp_path / "p.zarr").mkdir()
    with pytest.raises(ImageError, match=r"p.zarr"):
        run_import(plan, tmp_path / "p.zarr")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "does not exist"), ("film.txt", "is not a TIFF file"), ("p.zarr", "is an OME-Zarr already")],
)
def test_a_source_that_cannot_be_one_is_refused(tmp_path, name, message):
    if name.endswith("txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(VendorFileError, match=message):
        plan_import(tmp_path / name, **GIVEN)


def test_pattern_and_wells_list_exclude_each_other(tmp_path):
    with pytest.raises(VendorFileError, match=r"both --pattern and --wells"):
        plan_import(tmp_path, pattern="plain", wells=tmp_path / "wells.csv")


def test_progress_is_told(tmp_path):
    class Told:
        def __init__(self):
            self.steps = []

        def begin(self, step, total, done=0):
            self.steps.append([step, total, done])

        def advance(self):
            self.steps[-1][2] += 1

    told = Told()
    run_import(
        plan_import(plain_folder(tmp_path / "images"), **GIVEN, progress=told),
        tmp_path / "p.zarr",
        progress=told,
    )
    assert told.steps == [["looking at files", 12, 12], ["importing frames", 6, 6]]


def test_a_long_film_needs_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for frames in (32, 128):
        path = tmp_path / f"{frames}.tif"
        tifffile.imwrite(
            path, np.zeros((frames, 256, 256), np.uint16), photometric="minisblack", metadata={"axes": "TYX"}
        )
        tracemalloc.start()
        plan = plan_import(path, **GIVEN, channel_names=["GFP"])
        run_import(plan, tmp_path / f"{frames}.zarr")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 1e6  # the long film alone would be 12 MB more
