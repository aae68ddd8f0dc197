"""Labels of large frames reach the disk shard by shard, as the image that their runs stand for."""

import numpy as np
import pytest

from assay.errors import ShapeError
from assay.io import chunks
from assay.io.checked import CheckedArray
from assay.io.large_labels import write_large_labels
from assay.io.layout import ArrayLayout
from assay.label_runs import label_runs, painted


def labels_array(path, shape, shards=(1, 8, 8)):
    layout = ArrayLayout(shape=shape, chunks=(1, 4, 4), shards=shards)
    chunks.make_array(
        path, "a", layout, dtype=np.dtype(np.uint32), axes="tyx", content="labels", zarr_format=3
    )


def random_labels(shape):
    generator = np.random.default_rng(1)
    return (generator.integers(0, 9, shape) * generator.integers(0, 2, shape)).astype(np.int32)


def test_what_is_written_by_shards_reads_as_the_whole_image(tmp_path):
    labels_array(tmp_path, (2, 19, 21))
    image = random_labels((19, 21))
    write_large_labels(tmp_path, "a", 1, label_runs(image)[0], shape=(19, 21))
    written = CheckedArray(tmp_path, "a", where="here", axes="tyx").read([1], None)[0]
    assert np.array_equal(written, image)


def test_writing_again_leaves_nothing_of_what_was_there(tmp_path):
    labels_array(tmp_path, (1, 10, 10))
    write_large_labels(tmp_path, "a", 0, label_runs(random_labels((10, 10)))[0], shape=(10, 10))
    write_large_labels(tmp_path, "a", 0, np.array([[9, 8, 10, 3]], dtype=np.int32), shape=(10, 10))
    written = CheckedArray(tmp_path, "a", where="here", axes="tyx").read([0], None)[0]
    assert np.argwhere(written).tolist() == [[9, 8], [9, 9]]
    assert written[9, 8] == 3


@pytest.mark.parametrize("shards", [(1, 8, 8), (2, 8, 8)])
def test_frames_that_share_a_shard_or_are_of_another_size_are_refused(tmp_path, shards):
    labels_array(tmp_path, (2, 10, 10), shards)
    shape = (10, 10) if shards[0] == 2 else (10, 11)
    with pytest.raises(ShapeError, match=r"expected frames of 10 x 1[01] pixels and one in a shard"):
        write_large_labels(tmp_path, "a", 0, np.zeros((0, 4), np.int32), shape=shape)


def test_a_part_of_runs_paints_the_same_part_of_the_image():
    image = random_labels((12, 17))
    runs = label_runs(image)[0]
    assert np.array_equal(painted(runs, (3, 9), (4, 11)), image[3:9, 4:11])
    assert np.array_equal(painted(runs, (0, 12), (0, 17)), image)
