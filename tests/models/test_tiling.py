import pytest

from assay.errors import ModelError
from models.tiling import padded_length, spans, windows

GRID = {"halo_px": 96, "stride": 16}


def test_a_side_is_padded_to_the_next_multiple_of_the_stride():
    assert [padded_length(n, stride=16) for n in (1, 15, 16, 17)] == [16, 16, 16, 32]


def test_a_side_no_longer_than_the_tile_is_one_window():
    [span] = spans(512, tile_px=512, **GRID)
    assert (span.start, span.stop, span.keep_start, span.keep_stop) == (0, 512, 0, 512)


@pytest.mark.parametrize("length", [272, 288, 400, 528, 1024, 1920, 4096])
@pytest.mark.parametrize("tile_px", [208, 256, 512])
def test_windows_keep_every_pixel_once_and_stay_a_halo_away_from_every_cut(length, tile_px):
    found = spans(length, tile_px=tile_px, **GRID)
    assert [pixel for span in found for pixel in range(span.keep_start, span.keep_stop)] == list(
        range(length)
    )
    for span in found:
        assert span.stop - span.start <= tile_px
        assert span.start % 16 == 0 == span.stop % 16
        assert span.start == 0 or span.keep_start - span.start >= 96
        assert span.stop == length or span.stop - span.keep_stop >= 96
    assert len({span.stop - span.start for span in found}) == 1


def test_no_window_is_needless():
    # 400 - 2 * 96 = 208 px lie between the halos; a tile of 256 covers 64 of them: 4 windows
    assert len(spans(400, tile_px=256, **GRID)) == 4


def test_windows_of_a_frame_go_row_by_row():
    found = list(windows((272, 512), tile_px=256, **GRID))
    rows = [row.start for row, _ in found]
    assert rows == sorted(rows)
    assert len(found) == 2 * 5


def test_a_tile_of_nothing_but_halo_is_refused():
    with pytest.raises(ModelError, match="tile_px is 192, expected a multiple of 16 and at least 208"):
        spans(400, tile_px=192, **GRID)
