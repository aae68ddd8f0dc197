import math

import pytest

from assay.errors import AssayError, CalibrationError
from assay.units import Calibration


def test_ten_frames_of_four_minutes_last_forty_minutes():
    assert Calibration(pixel_um=(0.65, 0.65), frame_min=4.0).minutes(10) == 40.0


def test_pixels_need_not_be_square():
    calibration = Calibration(pixel_um=(0.5, 0.25), frame_min=1.0)
    assert calibration.pixel_area_um2 == 0.125
    assert calibration.mean_pixel_um == 0.375


def test_a_film_of_one_frame_has_no_minutes():
    with pytest.raises(CalibrationError, match=r"no frame interval.*frame_min = 4\.0"):
        Calibration(pixel_um=(0.65, 0.65)).minutes(1)


@pytest.mark.parametrize("size", [0.0, -0.65, 650.0, 0.00065, math.nan, math.inf])
def test_impossible_pixel_sizes_are_refused(size: float):
    with pytest.raises(CalibrationError, match=r"pixel size in x is .* expected 0\.02 to 20"):
        Calibration(pixel_um=(0.65, size))


@pytest.mark.parametrize("interval", [0.0, -1.0, 2000.0, math.nan])
def test_impossible_frame_intervals_are_refused(interval: float):
    with pytest.raises(CalibrationError, match="frame interval is"):
        Calibration(pixel_um=(0.65, 0.65), frame_min=interval)


def test_every_error_is_also_the_builtin_it_stands_for():
    assert issubclass(CalibrationError, AssayError)
    assert issubclass(CalibrationError, ValueError)
