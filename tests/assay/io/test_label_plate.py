import json
import pickle

import numpy as np
import pytest

from assay.errors import ImageError, ShapeError
from assay.io.ome_zarr import LabelPlate, open_plate
from assay.stack import FieldId
from tests.assay.io.conftest import B02, FOUR_MINUTES, noisy


def labels(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 5, shape).astype(np.int32)


def create(path, shape=(40, 60, 50), **settings):
    return LabelPlate.create(
        path, **{"fields": [B02], "shapes": shape, "calibration": FOUR_MINUTES, **settings}
    )


def test_labels_of_each_role_come_back(tmp_path):
    fields = [FieldId("B02", 0), FieldId("C11", 3)]
    shapes = {fields[0]: (17, 60, 50), fields[1]: (3, 30, 90)}
    plate = create(tmp_path / "l.zarr", shape=shapes, fields=fields)
    truth = {
        (f, r): labels(shapes[f], seed)
        for seed, (f, r) in enumerate((f, r) for f in fields for r in ("effector", "target"))
    }
    for (field, role), frames in truth.items():
        for first in plate.shard_starts(field):
            plate.write(field, role, first, frames[first : first + plate.shard_frames(field)])
    opened = LabelPlate.open(tmp_path / "l.zarr")
    assert opened.fields == tuple(fields)
    for (field, role), frames in truth.items():
        read = opened.read(field, role, range(frames.shape[0]))
        assert read.dtype == np.uint32
        np.testing.assert_array_equal(read, frames)
    np.testing.assert_array_equal(
        opened.read(fields[0], "target", [16, 2]), truth[fields[0], "target"][[16, 2]]
    )


def test_largest_track_id_is_kept(tmp_path):
    frames = np.full((1, 4, 4), 2**32 - 1, np.uint64)
    plate = create(tmp_path / "l.zarr", shape=(1, 4, 4))
    plate.write(B02, "target", 0, frames)
    assert plate.read(B02, "target", [0]).max() == 2**32 - 1


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((16, 60, 51), int), r"well B02, field 0, targets: expected frames of 60 x 50 pixels"),
        (np.zeros((16, 60, 50)), "labels must be whole numbers, got float64"),
        (np.full((16, 60, 50), -1), "labels must lie from 0 to 4294967295"),
        (np.zeros((8, 60, 50), int), "frames 0 to 7 are not whole shards of 16 frames"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, frames, message):
    with pytest.raises(ShapeError, match=message):
        create(tmp_path / "l.zarr").write(B02, "target", 0, frames)


def test_files_of_a_shard_are_the_ones_that_writing_it_makes(tmp_path):
    plate = create(tmp_path / "l.zarr", shape=(40, 520, 530), preview_channels=("GFP",))

    def files():
        return {file for file in (tmp_path / "l.zarr").rglob("*") if file.is_file()}

    before = files()
    plate.write(B02, "target", 16, labels((16, 520, 530)))
    made = files() - before
    assert made == set(plate.files_of(B02, "target", 16))
    assert len(made) == 2  # two levels, one shard each
    plate.write_preview(B02, 16, plate.shrink(B02, noisy((16, 1, 520, 530))))
    assert files() - before - made == set(plate.preview_files_of(B02, 16))


def test_frames_never_written_are_not_read_as_empty(tmp_path):
    plate = create(tmp_path / "l.zarr")
    plate.write(B02, "target", 0, labels((16, 60, 50)))
    with pytest.raises(ImageError, match=r"well B02, field 0, targets, frame 16: .* was never written"):
        plate.read(B02, "target", [15, 16])


def test_sent_to_another_process_it_writes_the_same_bytes(tmp_path):
    frames = labels((40, 60, 50))
    here, there = create(tmp_path / "a.zarr"), create(tmp_path / "b.zarr")
    for first in (0, 16, 32):
        here.write(B02, "target", first, frames[first : first + 16])
    for first in (32, 0, 16):
        pickle.loads(pickle.dumps(there)).write(B02, "target", first, frames[first : first + 16])  # noqa: S301
    assert [f.read_bytes() for f in here.files_of(B02, "target", 0, 40)] == [
        f.read_bytes() for f in there.files_of(B02, "target", 0, 40)
    ]


def test_preview_is_small_and_shows_the_images(tmp_path):
    images = noisy((3, 2, 520, 700))
    plate = create(
        tmp_path / "l.zarr",
        shape=(3, 520, 700),
        preview_channels=("CTDR", "GFP"),
        preview_roles={"GFP": "target"},
    )
    with pytest.raises(
        ShapeError, match=r"expected frames of shape \(t, 2, 130, 175\), got \(3, 2, 520, 700\)"
    ):
        plate.write_preview(B02, 0, images)
    plate.write_preview(B02, 0, plate.shrink(B02, images))
    plate.close()
    stack = open_plate(tmp_path / "l.zarr").stack(B02)
    assert stack.shape == (3, 2, 130, 175)  # 700 pixels shrink 4 times to lie below 256
    assert stack.calibration.pixel_um == (4 * 0.65, 4 * 0.5)
    small = stack.read([1])
    assert small[0, 1, 5, 7] == int(np.floor(images[1, 1, 20:24, 28:32].mean() + 0.5))


def test_unfinished_label_plate_opens_for_us_and_not_as_a_plate(tmp_path):
    plate = create(tmp_path / "l.zarr", preview_channels=("GFP",))
    assert not LabelPlate.open(tmp_path / "l.zarr").finished
    with pytest.raises(ImageError, match="was never finished"):
        open_plate(tmp_path / "l.zarr")
    plate.close()
    assert LabelPlate.open(tmp_path / "l.zarr").finished


def test_killed_while_being_made_it_is_not_there(tmp_path, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.io.chunks.make_array", killed)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "l.zarr")
    assert not (tmp_path / "l.zarr").exists()


@pytest.mark.parametrize("content", ["nothing", "other"])
def test_what_holds_no_labels_of_ours_is_named(tmp_path, content, write_plate):
    path = write_plate({B02: noisy((1, 1, 8, 8))}) if content == "other" else tmp_path / "x.zarr"
    with pytest.raises(ImageError, match="holds no label images of killassay"):
        LabelPlate.open(path)


def test_previews_are_shown_in_the_window_of_their_pixels(tmp_path):
    images = np.full((3, 2, 40, 50), 100, np.uint16)
    images[:, 1, :, :10] = 3000
    fields = [FieldId("B02", 0), FieldId("B03", 0)]  # the second one failed and was never written
    plate = create(tmp_path / "l.zarr", fields=fields, shape=(3, 40, 50), preview_channels=("CTDR", "GFP"))
    plate.write_preview(fields[0], 0, plate.shrink(fields[0], images))
    plate.choose_windows()
    for field in fields:
        attributes = json.loads((tmp_path / "l.zarr" / field.path / "zarr.json").read_text())["attributes"]
        windows = [channel["window"] for channel in attributes["ome"]["omero"]["channels"]]
        assert [(w["start"], w["end"]) for w in windows] == [(100.0, 101.0), (100.0, 3000.0)]
