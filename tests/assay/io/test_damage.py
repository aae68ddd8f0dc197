"""A chunk that is missing or damaged is an error that names it, never a black or wrong picture."""

import shutil

import numpy as np
import pytest
import zarr

from assay.errors import ImageError
from assay.io.ome_zarr import LabelPlate, open_plate
from tests.assay.io.conftest import B02, FOUR_MINUTES, chunk_files, noisy

NGFF = pytest.mark.parametrize("ngff", ["0.5", "0.4"])


def damaged(good, rng, how):
    if how == "cut":
        return good[: rng.integers(len(good))]
    broken = bytearray(good)
    bit = int(rng.integers(len(good) * 8))
    broken[bit // 8] ^= 1 << (bit % 8)
    return bytes(broken)


def silent_changes(files, read, truth, how, attempts=60):
    """How many of the attempts read wrong pixels without an error."""
    rng = np.random.default_rng(11)
    silent = 0
    for _ in range(attempts):
        file = files[rng.integers(len(files))]
        good = file.read_bytes()
        file.write_bytes(damaged(good, rng, how))
        try:
            silent += not np.array_equal(read(), truth)
        except ImageError as error:
            assert "B02" in str(error)
        finally:
            file.write_bytes(good)
    return silent


@pytest.fixture
def films(write_plate):
    frames = noisy((6, 2, 96, 120))
    frames[3, 1] = 0
    return frames, lambda ngff: write_plate({B02: frames}, ngff=ngff)


def labels_of(path, frames):
    labels = LabelPlate.create(path, fields=[B02], shapes=frames.shape, calibration=FOUR_MINUTES)
    for role in ("effector", "target"):
        labels.write(B02, role, 0, frames)
    return labels


def some_labels():
    frames = np.zeros((6, 96, 120), np.uint32)
    rng = np.random.default_rng(5)
    for frame in frames:
        for label in range(1, 13):
            y, x = rng.integers(0, 80), rng.integers(0, 100)
            frame[y : y + 12, x : x + 12] = label
    frames[4] = 0
    return frames


@pytest.mark.parametrize("how", ["flipped bit", "cut"])
def test_no_flipped_bit_or_cut_in_an_image_is_silent(films, how):
    frames, write = films
    path = write("0.5")
    assert (
        silent_changes(
            chunk_files(path / "B/02/0/0"), lambda: open_plate(path).stack(B02).read(range(6)), frames, how
        )
        == 0
    )


def test_no_cut_in_an_image_of_0_4_is_silent(films):
    frames, write = films
    path = write("0.4")
    assert (
        silent_changes(
            chunk_files(path / "B/02/0/0"), lambda: open_plate(path).stack(B02).read(range(6)), frames, "cut"
        )
        == 0
    )


@pytest.mark.parametrize("how", ["flipped bit", "cut"])
def test_no_flipped_bit_or_cut_in_labels_is_silent(tmp_path, how):
    frames = some_labels()
    labels_of(tmp_path / "l.zarr", frames)
    files = chunk_files(tmp_path / "l.zarr/B/02/0/labels/targets/0")
    assert (
        silent_changes(
            files, lambda: LabelPlate.open(tmp_path / "l.zarr").read(B02, "target", range(6)), frames, how
        )
        == 0
    )


@NGFF
def test_black_frame_that_was_written_is_read_as_it_is(films, ngff):
    _, write = films
    read = open_plate(write(ngff)).stack(B02).read([3], [1])
    assert not read.any()


@NGFF
def test_film_that_is_black_throughout_is_read_as_it_is(write_plate, ngff):
    black = np.zeros((18, 1, 30, 40), np.uint16)
    stack = open_plate(write_plate({B02: black}, ngff=ngff)).stack(B02, missing_chunks="mask")
    assert stack.missing_frames == frozenset()
    assert not stack.read(range(18)).any()


def test_empty_labels_that_were_written_are_read_as_they_are(tmp_path):
    labels = labels_of(tmp_path / "l.zarr", np.zeros((3, 40, 50), np.uint32))
    assert not labels.read(B02, "effector", [0, 1, 2]).any()


def test_deleted_chunk_is_named_with_well_field_frame_and_channel(films):
    frames, write = films
    path = write("0.4")
    (path / "B/02/0/0/2/1/0/0").unlink()
    stack = open_plate(path).stack(B02)
    with pytest.raises(
        ImageError,
        match=r"well B02, field 0, frame 2, channel GFP: the chunk B/02/0/0/2/1/0/0 was never written or was deleted",
    ):
        stack.read(range(6))
    np.testing.assert_array_equal(stack.read([2], [0]), frames[[2]][:, [0]])


def test_deleted_shard_is_named(write_plate):
    frames = noisy((20, 2, 40, 50))
    path = write_plate({B02: frames})
    (path / "B/02/0/0/c/1/0/0/0").unlink()
    stack = open_plate(path).stack(B02)
    with pytest.raises(
        ImageError, match=r"frame 17, channel CTDR: the chunk B/02/0/0/c/1/0/0/0 was never written"
    ):
        stack.read([17])
    np.testing.assert_array_equal(stack.read(range(16)), frames[:16])


def test_deleted_tile_of_a_large_frame_is_found(write_plate):
    path = write_plate({B02: noisy((2, 1, 600, 1100))}, ngff="0.4")
    (path / "B/02/0/0/1/0/1/2").unlink()
    with pytest.raises(
        ImageError, match=r"frame 1, channel CTDR: the chunk B/02/0/0/1/0/1/2 was never written"
    ):
        open_plate(path).stack(B02).read([0, 1])


@NGFF
def test_frames_that_lack_a_chunk_can_be_masked(write_plate, ngff):
    frames = noisy((20, 2, 40, 50))
    path = write_plate({B02: frames}, ngff=ngff)
    (path / ("B/02/0/0/c/1/1/0/0" if ngff == "0.5" else "B/02/0/0/5/1/0/0")).unlink()
    lost = {16, 17, 18, 19} if ngff == "0.5" else {5}
    stack = open_plate(path).stack(B02, missing_chunks="mask")
    assert stack.missing_frames == lost
    kept = sorted(set(range(20)) - lost)
    np.testing.assert_array_equal(stack.read(kept), frames[kept])
    with pytest.raises(ImageError, match=f"frame {min(lost)}: this frame was never recorded"):
        stack.read([min(lost)])


def foreign(path, frames, *, zarr_format, fill_value=0, shards=None, chunks=(1, 1, 20, 30), **settings):
    """A plate as a program writes it that leaves out black chunks, which is zarr's own way."""
    root = zarr.create_group(str(path), zarr_format=zarr_format)
    scale = [{"type": "scale", "scale": [60.0, 1.0, 0.5, 0.5]}]
    units = {"t": "second", "y": "micrometer", "x": "micrometer"}
    axes = [{"name": a, **({"unit": units[a]} if a in units else {})} for a in "tcyx"]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    ome = {"multiscales": multiscales}
    root.attrs.update(ome if zarr_format == 2 else {"ome": {"version": "0.5", **ome}})
    array = root.create_array(
        "0",
        shape=frames.shape,
        dtype=frames.dtype,
        chunks=chunks,
        shards=shards,
        fill_value=fill_value,
        **settings,
    )
    array[...] = frames
    return open_plate(path)


@pytest.mark.parametrize(
    ("zarr_format", "shards"), [(2, None), (3, None), (3, (2, 2, 20, 30)), (3, (4, 1, 40, 60))]
)
def test_foreign_plate_that_leaves_out_black_chunks_is_refused_or_masked(tmp_path, zarr_format, shards):
    frames = noisy((4, 2, 40, 60))
    frames[1, 0, 20:, 30:] = 0  # one chunk of the frame
    plate = foreign(tmp_path / "f.zarr", frames, zarr_format=zarr_format, shards=shards)
    field = plate.fields[0]
    with pytest.raises(
        ImageError, match=r"well A01, field 0, frame 1, channel channel_0: .* was never written"
    ):
        plate.stack(field).read(range(4))
    masked = plate.stack(field, missing_chunks="mask")
    assert masked.missing_frames == {1}
    np.testing.assert_array_equal(masked.read([0, 2, 3]), frames[[0, 2, 3]])


@pytest.mark.parametrize("fill_value", [None, 7])
def test_other_fill_values_are_no_way_around_the_check(tmp_path, fill_value):
    frames = noisy((3, 1, 40, 60)) + 100
    plate = foreign(tmp_path / "f.zarr", frames, zarr_format=2, fill_value=fill_value)
    next(iter(chunk_files(tmp_path / "f.zarr/0"))).unlink()
    with pytest.raises(ImageError, match=r"frame 0, channel channel_0: .* was never written"):
        plate.stack(plate.fields[0]).read([0])


def test_missing_chunk_filled_with_nan_is_found(tmp_path):
    frames = noisy((3, 1, 40, 60)).astype(np.float32)
    plate = foreign(tmp_path / "f.zarr", frames, zarr_format=3, fill_value=float("nan"))
    np.testing.assert_array_equal(plate.stack(plate.fields[0]).read(range(3)), frames)
    shutil.rmtree(tmp_path / "f.zarr/0/c/2")
    with pytest.raises(ImageError, match=r"frame 2, channel channel_0: .* was never written"):
        plate.stack(plate.fields[0]).read(range(3))


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
def test_big_endian_pixels_come_in_this_machines_order(tmp_path, dtype):
    frames = noisy((2, 1, 40, 60)).astype(dtype)
    read = (plate := foreign(tmp_path / "f.zarr", frames, zarr_format=2)).stack(plate.fields[0]).read([0, 1])
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, frames)


def test_chunks_of_several_frames_and_channels_are_read(tmp_path):
    frames = noisy((5, 2, 40, 60))
    plate = foreign(tmp_path / "f.zarr", frames, zarr_format=2, chunks=(3, 2, 40, 60))
    np.testing.assert_array_equal(plate.stack(plate.fields[0]).read([4, 1], [1]), frames[[4, 1]][:, [1]])
    chunk_files(tmp_path / "f.zarr/0")[0].unlink()
    assert plate.stack(plate.fields[0], missing_chunks="mask").missing_frames == {0, 1, 2}


def test_shard_that_was_torn_is_written_again(write_plate, tmp_path):
    frames = some_labels()
    labels = labels_of(tmp_path / "l.zarr", frames)
    torn = labels.files_of(B02, "target", 0)[0]
    torn.write_bytes(torn.read_bytes()[:40])
    with pytest.raises(ImageError, match=r"well B02, field 0, targets, frame 0: the chunk .* is damaged"):
        labels.read(B02, "target", [0])
    again = LabelPlate.open(tmp_path / "l.zarr")
    again.write(B02, "target", 0, frames)
    np.testing.assert_array_equal(again.read(B02, "target", range(6)), frames)
