"""Plates that other programs wrote; the ones in ../shared are real files of ngio, and may be absent."""

from pathlib import Path

import pytest

from assay.errors import ImageError
from assay.io.ome_zarr import open_plate
from assay.stack import FieldId

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "formats" / "ome-zarr"
A01 = FieldId("A01", 0)
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared sample files are not here")


@needs_samples
@pytest.mark.parametrize("version", ["v04", "v05"])
@pytest.mark.parametrize(("name", "channels"), [("tcyx", 3), ("tyx", 1)])
def test_image_of_ngio_gives_its_shape_channels_and_calibration(version, name, channels):
    stack = open_plate(SAMPLES / version / f"test_image_{name}.zarr").stack(A01)
    assert stack.shape == (4, channels, 64, 64)
    assert stack.channel_names == tuple(f"channel_{index}" for index in range(channels))
    assert stack.calibration.pixel_um == (0.5, 0.5)
    assert stack.calibration.frame_min == pytest.approx(1 / 60)  # the file says one second


@needs_samples
@pytest.mark.parametrize("version", ["v04", "v05"])
def test_image_of_which_every_chunk_was_left_out_is_not_read_as_black(version):
    plate = open_plate(SAMPLES / version / "test_image_tcyx.zarr")
    with pytest.raises(ImageError, match=r"well A01, field 0, frames 0 to 3: .* was never written"):
        plate.stack(A01).read(range(4))
    assert plate.stack(A01, missing_chunks="mask").missing_frames == {0, 1, 2, 3}
