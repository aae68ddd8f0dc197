"""Micrometres and minutes: the only place where pixels and frames become physical.

Tuples are (y, x).
"""

import math
from dataclasses import dataclass

from assay.errors import CalibrationError

PIXEL_UM_RANGE = (0.02, 20.0)
FRAME_MIN_RANGE = (1 / 600, 24 * 60.0)  # a tenth of a second to a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How large a pixel and how long a frame interval is.

    Pixels need not be square. `frame_min` is None for a film of one frame: there is no interval, and
    whatever needs one says so.

    Raises:
        CalibrationError: A value is not a number, or outside what a light microscope can do.
    """

    pixel_um: tuple[float, float]
    frame_min: float | None = None

    def __post_init__(self) -> None:
        low, high = PIXEL_UM_RANGE
        for axis, size in zip("yx", self.pixel_um, strict=True):
            if not (math.isfinite(size) and low <= size <= high):
                raise CalibrationError(
                    f"pixel size in {axis} is {size} um, expected {low} to {high} um per pixel. "
                    "Give the true one in the protocol file, e.g. [calibration] pixel_um = [0.65, 0.65]."
                )
        if self.frame_min is not None:
            low, high = FRAME_MIN_RANGE
            if not (math.isfinite(self.frame_min) and low <= self.frame_min <= high):
                raise CalibrationError(
                    f"frame interval is {self.frame_min} min, expected more than 0 and at most {high:g} min. "
                    "Give the true one in the protocol file, e.g. [calibration] frame_min = 4.0."
                )

    @property
    def pixel_area_um2(self) -> float:
        """Area of one pixel, in um2."""
        return self.pixel_um[0] * self.pixel_um[1]

    @property
    def mean_pixel_um(self) -> float:
        """Mean of the y and x pixel size, in um."""
        return (self.pixel_um[0] + self.pixel_um[1]) / 2

    def minutes(self, frames: float) -> float:
        """Length of `frames` frame intervals, in minutes.

        Raises:
            CalibrationError: The frame interval is not known.
        """
        if self.frame_min is None:
            raise CalibrationError(
                "the film has no frame interval, so times in minutes cannot be measured. "
                "Give it in the protocol file, e.g. [calibration] frame_min = 4.0."
            )
        return frames * self.frame_min

    def frames(self, minutes: float) -> float:
        """How many frame intervals `minutes` last (not rounded)."""
        return minutes / self.minutes(1)
