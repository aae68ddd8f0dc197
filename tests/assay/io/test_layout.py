import numpy as np
import pytest

from assay.errors import ShapeError
from assay.io.layout import array_layout, pyramid_shapes, require_whole_shards, shard_frames_of
from assay.io.pyramid import half_image, half_labels


def layout(shape, itemsize=2):
    frames = shard_frames_of(shape, itemsize=itemsize, sharded=True)
    return array_layout(shape, itemsize=itemsize, sharded=True, shard_frames=frames)


def test_shard_holds_sixteen_frames_of_a_common_camera():
    # 1040 x 1408 rounds up to 1536 x 1536 pixels of 2 bytes: 16 frames are 75 MB
    cut = layout((145, 3, 1040, 1408))
    assert cut.chunks == (1, 1, 512, 512)
    assert cut.shards == (16, 1, 1536, 1536)


def test_shard_of_large_frames_holds_fewer_and_stays_below_256_megabytes():
    # 4096 x 4096 x 2 bytes is 33.6 MB a frame: 4 frames are 134 MB, 8 would be 268 MB
    assert layout((100, 2, 4096, 4096)).shards == (4, 1, 4096, 4096)


def test_frame_above_256_megabytes_is_cut_into_tiles_of_4096():
    assert layout((5, 1, 12000, 12000)).shards == (1, 1, 4096, 4096)


def test_small_frames_are_not_padded_to_a_chunk_of_512():
    cut = layout((3, 2, 100, 600))
    assert cut.chunks == (1, 1, 100, 512)
    assert cut.shards == (3, 1, 100, 1024)


def test_pyramid_ends_when_the_smaller_side_is_512_or_less():
    assert pyramid_shapes((9, 1025, 2000)) == [(9, 1025, 2000), (9, 513, 1000), (9, 257, 500)]
    assert pyramid_shapes((9, 512, 2000)) == [(9, 512, 2000)]


@pytest.mark.parametrize(("first", "count"), [(0, 16), (16, 16), (32, 8), (0, 40), (16, 24)])
def test_whole_shards_and_the_last_ragged_one_are_taken(first, count):
    require_whole_shards("B02", n_frames=40, shard_frames=16, first_frame=first, written=count)


@pytest.mark.parametrize(("first", "count"), [(0, 8), (8, 16), (1, 39), (32, 4)])
def test_part_of_a_shard_is_refused(first, count):
    with pytest.raises(ShapeError, match="not whole shards of 16 frames"):
        require_whole_shards("B02", n_frames=40, shard_frames=16, first_frame=first, written=count)


@pytest.mark.parametrize(("first", "count"), [(32, 16), (-16, 16), (48, 16), (0, 0)])
def test_frames_outside_the_film_are_refused(first, count):
    with pytest.raises(ShapeError, match="do not lie in a film of 40 frames"):
        require_whole_shards("B02", n_frames=40, shard_frames=16, first_frame=first, written=count)


def test_half_image_is_the_rounded_mean_of_four_pixels_and_repeats_an_odd_edge():
    image = np.array([[0, 1, 10], [2, 3, 20], [4, 4, 65535]], np.uint16)
    # (0+1+2+3)/4 = 1.5 -> 2; (10+10+20+20)/4 = 15; (4+4+4+4)/4 = 4; the corner stands for itself
    assert half_image(image).tolist() == [[2, 15], [4, 65535]]
    assert half_image(image).dtype == np.uint16


def test_half_labels_never_makes_a_label_that_was_not_there():
    labels = np.array([[1, 0, 9], [0, 0, 0], [5, 7, 3]], np.uint32)
    assert half_labels(labels).tolist() == [[1, 9], [5, 3]]
