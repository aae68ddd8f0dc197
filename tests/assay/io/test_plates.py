import json
import pickle
import shutil

import numpy as np
import pytest
import zarr

from assay.errors import CalibrationError, ImageError, ShapeError, StorageError
from assay.io.ome_zarr import PlateWriter, open_plate
from assay.protocol import CalibrationSettings
from assay.stack import FieldId, Stack
from assay.units import Calibration
from tests.assay.io.conftest import B02, FOUR_MINUTES, NAMES, chunk_files, noisy

FIELDS = [FieldId("B02", 0), FieldId("B02", 1), FieldId("AA10", 0)]


def edit(file, change):
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    for sums in file.parent.rglob("killassay.sums.json"):  # a plate of another program has none
        sums.unlink()


def create(path, **settings):
    given = {
        "fields": [B02],
        "shapes": (40, 2, 24, 40),
        "dtype": np.uint16,
        "channel_names": NAMES,
        "calibration": FOUR_MINUTES,
    }
    return PlateWriter.create(path, **{**given, **settings})


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_plate_comes_back_as_it_was_written(write_plate, ngff):
    # sizes differ by field, images and pixels are not square, the film ends inside a shard
    images = {field: noisy((17 + i, 2, 90, 70 + i), seed=i) for i, field in enumerate(FIELDS)}
    plate = open_plate(write_plate(images, ngff=ngff))
    assert plate.fields == tuple(sorted(FIELDS))
    for field, frames in images.items():
        stack = plate.stack(field)
        assert isinstance(stack, Stack)
        assert (stack.field, stack.shape, stack.dtype) == (field, frames.shape, np.uint16)
        assert (stack.channel_names, stack.calibration) == (NAMES, FOUR_MINUTES)
        np.testing.assert_array_equal(stack.read(range(frames.shape[0])), frames)


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_frames_and_channels_come_in_the_order_asked_for(write_plate, ngff):
    frames = noisy((18, 2, 20, 30))
    stack = open_plate(write_plate({B02: frames}, ngff=ngff)).stack(B02)
    np.testing.assert_array_equal(stack.read([16, 3, 4, 17, 3], [1, 0]), frames[[16, 3, 4, 17, 3]][:, [1, 0]])
    assert stack.read([], [0]).shape == (0, 1, 20, 30)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_every_pixel_type_comes_back(write_plate, dtype):
    frames = noisy((2, 1, 20, 30)).astype(dtype)
    read = open_plate(write_plate({B02: frames})).stack(B02).read([0, 1])
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, frames)


@pytest.mark.parametrize("ngff", ["0.5", "0.4"])
def test_single_image_is_a_plate_of_one_well(write_plate, ngff):
    frames = noisy((3, 2, 20, 30))
    plate = open_plate(write_plate({FieldId("A01", 0): frames}, form="image", ngff=ngff))
    assert plate.fields == (FieldId("A01", 0),)
    assert plate.is_single_image
    np.testing.assert_array_equal(plate.stack(FieldId("A01", 0)).read([2]), frames[[2]])


def test_stack_sent_to_another_process_reads_the_same(write_plate):
    frames = noisy((3, 2, 20, 30))
    stack = open_plate(write_plate({B02: frames})).stack(B02)
    stack.read([0])
    sent = pickle.dumps(stack)
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent).read([1]), frames[[1]])  # noqa: S301


def test_writer_sent_to_another_process_writes_the_same(tmp_path):
    frames = noisy((40, 2, 24, 40))
    writer = create(tmp_path / "p.zarr")
    pickle.loads(pickle.dumps(writer)).write(B02, 16, frames[16:])  # noqa: S301
    writer.write(B02, 0, frames[:16])
    writer.close()
    np.testing.assert_array_equal(open_plate(tmp_path / "p.zarr").stack(B02).read(range(40)), frames)


def test_bytes_on_disk_do_not_depend_on_the_run_or_its_order(tmp_path):
    frames = noisy((40, 1, 514, 514))
    for name, order in (("a", (0, 16)), ("b", (16, 0))):
        with create(tmp_path / name / "p.zarr", shapes=frames.shape, channel_names=NAMES[:1]) as writer:
            for first in order:
                writer.write(B02, first, frames[first : 16 if first == 0 else 40])
    one, other = (
        {
            f.relative_to(tmp_path / n): f.read_bytes()
            for f in sorted((tmp_path / n).rglob("*"))
            if f.is_file()
        }
        for n in "ab"
    )
    assert one == other
    assert len(one) > 10


def test_frames_that_are_not_whole_shards_are_refused(tmp_path):
    writer = create(tmp_path / "p.zarr")
    assert list(writer.shard_starts(B02)) == [0, 16, 32]
    with pytest.raises(ShapeError, match="frames 8 to 23 are not whole shards of 16 frames"):
        writer.write(B02, 8, noisy((16, 2, 24, 40)))
    with pytest.raises(
        ShapeError, match=r"well B02, field 0: expected frames of shape .* got \(16, 1, 24, 40\)"
    ):
        writer.write(B02, 0, noisy((16, 1, 24, 40)))
    with pytest.raises(ShapeError, match="expected pixels of type uint16, got float64"):
        writer.write(B02, 0, noisy((16, 2, 24, 40)).astype(float))


def test_plate_that_was_never_finished_is_refused_on_reading(tmp_path):
    writer = create(tmp_path / "p.zarr")
    writer.write(B02, 0, noisy((16, 2, 24, 40)))
    with pytest.raises(ImageError, match="was never finished"):
        open_plate(tmp_path / "p.zarr")
    with pytest.raises(ImageError, match=r"well B02, field 0: frames 16 to 31 were never written"):
        writer.close()
    with pytest.raises(ImageError, match="was never finished"):
        open_plate(tmp_path / "p.zarr")


def test_error_while_writing_leaves_the_plate_unfinished(tmp_path):
    with (
        pytest.raises(RuntimeError, match="camera"),
        create(tmp_path / "p.zarr", shapes=(1, 2, 24, 40)) as writer,
    ):
        writer.write(B02, 0, noisy((1, 2, 24, 40)))
        raise RuntimeError("camera")
    with pytest.raises(ImageError, match="was never finished"):
        open_plate(tmp_path / "p.zarr")


def test_plate_is_never_written_over(tmp_path):
    create(tmp_path / "p.zarr")
    with pytest.raises(ImageError, match="exists already"):
        create(tmp_path / "p.zarr")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shapes": (4, 3, 24, 40)}, r"well B02, field 0: shape \(4, 3, 24, 40\) with 2 channel names"),
        ({"channel_names": ("GFP", "GFP")}, "two are alike"),
        ({"dtype": np.complex64}, "pixels of type complex64 cannot be written"),
        ({"channel_colours": {"GFP": "green"}}, "colour 'green': expected six hexadecimal digits"),
        ({"fields": []}, "0 fields were given"),
        ({"ngff": "0.6"}, "OME-Zarr version '0.6': expected 0.5 or 0.4"),
    ],
)
def test_impossible_plate_is_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(ImageError, match=message):
        create(tmp_path / "p.zarr", **settings)
    assert list(tmp_path.iterdir()) == []


def test_colours_follow_the_roles_and_windows_the_pixels(write_plate):
    dim, bright = np.full((2, 1, 40, 50), 100, np.uint16), np.full((2, 1, 40, 50), 900, np.uint16)
    bright[:, :, :10] = 3000
    path = write_plate(
        {B02: np.concatenate([dim, bright], axis=1)}, channel_roles={"CTDR": "effector", "GFP": "target"}
    )
    channels = json.loads((path / "B/02/0/zarr.json").read_text())["attributes"]["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"]) for c in channels] == [("CTDR", "FFFF00"), ("GFP", "FF0000")]
    assert (channels[0]["window"]["start"], channels[0]["window"]["end"]) == (100.0, 101.0)
    assert (channels[1]["window"]["start"], channels[1]["window"]["end"]) == (900.0, 3000.0)


def test_pyramid_level_is_the_mean_of_four_pixels(write_plate):
    frames = noisy((2, 1, 515, 520))
    path = write_plate({B02: frames})
    half = zarr.open_array(str(path / "B/02/0/1"), mode="r")
    assert half.shape == (2, 1, 258, 260)
    assert half[1, 0, 10, 20] == int(np.floor(frames[1, 0, 20:22, 40:42].mean() + 0.5))
    assert not (path / "B/02/0/2").exists()


def test_frame_declared_missing_is_listed_and_never_read(write_plate):
    frames = noisy((5, 2, 20, 30))
    frames[3] = 0
    stack = open_plate(
        write_plate({B02: frames}, missing_frames={B02: [3]}, source_files={B02: ["a.tif"]})
    ).stack(B02)
    assert stack.missing_frames == {3}
    with pytest.raises(ImageError, match="well B02, field 0, frame 3: this frame was never recorded"):
        stack.read([2, 3])
    np.testing.assert_array_equal(stack.read([2, 4]), frames[[2, 4]])


def test_frame_found_missing_while_writing_is_recorded(tmp_path):
    with create(tmp_path / "p.zarr", shapes=(3, 2, 24, 40)) as writer:
        writer.write(B02, 0, noisy((3, 2, 24, 40)))
        writer.mark_missing(B02, [1])
    assert open_plate(tmp_path / "p.zarr").stack(B02).missing_frames == {1}


def test_film_of_one_frame_needs_no_interval(write_plate):
    path = write_plate({B02: noisy((1, 2, 20, 30))}, calibration=Calibration(pixel_um=(0.65, 0.65)))
    assert open_plate(path).stack(B02).calibration == Calibration(pixel_um=(0.65, 0.65))


def test_film_without_interval_asks_for_it(write_plate):
    path = write_plate({B02: noisy((2, 2, 20, 30))}, calibration=Calibration(pixel_um=(0.65, 0.65)))
    with pytest.raises(
        CalibrationError, match=r"well B02, field 0: the film has 2 frames .* frame_min = 4\.0"
    ):
        open_plate(path).stack(B02)
    given = CalibrationSettings(frame_min=2.5)
    assert open_plate(path).stack(B02, calibration=given).calibration == Calibration(
        pixel_um=(0.65, 0.65), frame_min=2.5
    )


def test_scale_of_one_without_unit_is_no_pixel_size(write_plate):
    path = write_plate({B02: noisy((2, 2, 20, 30))})

    def forget(values):
        multiscales = values["attributes"]["ome"]["multiscales"][0]
        multiscales["datasets"][0]["coordinateTransformations"][0]["scale"] = [240.0, 1.0, 1.0, 1.0]
        for axis in multiscales["axes"][2:]:
            del axis["unit"]

    edit(path / "B/02/0/zarr.json", forget)
    with pytest.raises(
        CalibrationError, match=r"well B02, field 0: the image has no pixel size.*pixel_um = "
    ):
        open_plate(path).stack(B02)
    given = CalibrationSettings(pixel_um=(0.3, 0.4))
    assert open_plate(path).stack(B02, calibration=given).calibration == Calibration(
        pixel_um=(0.3, 0.4), frame_min=4.0
    )


@pytest.mark.parametrize(
    ("space", "size", "time", "interval"),
    [
        ("micrometer", 0.65, "second", 90.0),
        ("nanometer", 650.0, "minute", 1.5),
        ("millimeter", 0.00065, "hour", 0.025),
        ("µm", 0.65, "millisecond", 90000.0),
    ],
)
def test_units_become_micrometres_and_minutes(write_plate, space, size, time, interval):
    path = write_plate({B02: noisy((2, 2, 20, 30))})

    def change(values):
        multiscales = values["attributes"]["ome"]["multiscales"][0]
        multiscales["datasets"][0]["coordinateTransformations"][0]["scale"] = [interval, 1.0, size, size]
        for axis, unit in zip(multiscales["axes"], (time, None, space, space), strict=True):
            axis["unit"] = unit

    edit(path / "B/02/0/zarr.json", change)
    calibration = open_plate(path).stack(B02).calibration
    assert calibration.pixel_um == pytest.approx((0.65, 0.65))
    assert calibration.frame_min == pytest.approx(1.5)


def test_unknown_unit_is_named(write_plate):
    path = write_plate({B02: noisy((2, 2, 20, 30))})
    edit(
        path / "B/02/0/zarr.json",
        lambda v: v["attributes"]["ome"]["multiscales"][0]["axes"][3].update(unit="inch"),
    )
    with pytest.raises(ImageError, match="the unit 'inch' of axis x is not known"):
        open_plate(path).stack(B02)


def test_impossible_pixel_size_names_the_field(write_plate):
    path = write_plate({B02: noisy((2, 2, 20, 30))})
    with pytest.raises(CalibrationError, match=r"well B02, field 0: pixel size in y is 650\.0 um"):
        open_plate(path).stack(B02, calibration=CalibrationSettings(pixel_um=(650.0, 650.0)))


@pytest.mark.parametrize(
    "loss", ["well", "well metadata", "image", "image metadata", "array", "array metadata"]
)
def test_well_that_is_broken_fails_alone(write_plate, loss):
    path = write_plate({FieldId("B02", 0): noisy((1, 2, 20, 30)), FieldId("B03", 0): noisy((1, 2, 20, 30))})
    place = path / {"well": "B/02", "image": "B/02/0", "array": "B/02/0/0"}[loss.split()[0]]
    if "metadata" in loss:
        (place / "zarr.json").write_text("{")
    else:
        shutil.rmtree(place)
    plate = open_plate(path)
    assert plate.fields == (FieldId("B02", 0), FieldId("B03", 0))
    with pytest.raises(ImageError, match=r"^well B02.*(is no OME-Zarr group|is damaged|there is no array)"):
        plate.stack(FieldId("B02", 0))
    assert plate.stack(FieldId("B03", 0)).read([0]).any()
    assert plate.identity() and plate.field_identity(FieldId("B02", 0))


def test_field_that_is_not_in_the_plate_is_named(write_plate):
    plate = open_plate(write_plate({B02: noisy((1, 2, 20, 30))}))
    with pytest.raises(
        ImageError, match=r"well C05, field 2 is not in plate\.zarr, which has well B02, field 0"
    ):
        plate.stack(FieldId("C05", 2))


@pytest.mark.parametrize("frames", [[5], [-1]])
def test_frame_outside_the_film_is_refused(write_plate, frames):
    with pytest.raises(ImageError, match=r"frame -?\d was asked for, of 0 to 4"):
        open_plate(write_plate({B02: noisy((5, 2, 20, 30))})).stack(B02).read(frames)


def test_reading_changes_nothing_in_the_plate(write_plate):
    path = write_plate({B02: noisy((3, 2, 20, 30))})
    before = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in path.rglob("*") if f.is_file()}
    plate = open_plate(path)
    plate.stack(B02, missing_chunks="mask").read([0, 1, 2])
    plate.identity()
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in path.rglob("*") if f.is_file()} == before


def test_identity_of_a_field_changes_with_its_chunks_and_of_no_other(write_plate):
    path = write_plate({field: noisy((3, 2, 20, 30)) for field in FIELDS})
    plate = open_plate(path)
    before, whole = {field: plate.field_identity(field) for field in FIELDS}, plate.identity()
    chunk = chunk_files(path / "B/02/1/0")[0]
    chunk.write_bytes(chunk.read_bytes())
    after = {field: plate.field_identity(field) for field in FIELDS}
    assert [field for field in FIELDS if after[field] != before[field]] == [FieldId("B02", 1)]
    chunk.unlink()
    assert plate.field_identity(FieldId("B02", 1)) not in (before[FIELDS[1]], after[FIELDS[1]])
    assert plate.identity() == whole


def test_plates_of_other_fields_or_channels_have_other_identities(write_plate):
    frames = noisy((2, 2, 20, 30))
    plates = [
        write_plate({B02: frames}, name="a.zarr"),
        write_plate({B02: frames}, name="b.zarr", channel_names=("x", "y")),
        write_plate({FieldId("B03", 0): frames}, name="c.zarr"),
        write_plate({B02: frames[:1]}, name="d.zarr"),
    ]
    assert len({open_plate(path).identity() for path in plates}) == 4


def test_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    writer = create(tmp_path / "p.zarr", shapes=(16, 2, 24, 40))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assay.io.chunks.write_frames", full)
    with pytest.raises(
        StorageError, match=r"well B02, field 0 could not be written .* the disk is full .* free\)"
    ):
        writer.write(B02, 0, noisy((16, 2, 24, 40)))


@pytest.mark.parametrize("content", ["nothing", "file", "folder"])
def test_what_is_no_plate_is_named(tmp_path, content):
    path = tmp_path / "p.zarr"
    if content == "file":
        path.write_text("x")
    if content == "folder":
        path.mkdir()
    expected = {"nothing": "does not exist", "file": "is a file", "folder": "is no OME-Zarr group"}[content]
    with pytest.raises(ImageError, match=expected):
        open_plate(path)
