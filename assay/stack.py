"""One field of view: a film with channel names and calibration, read a few frames at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from assay.errors import ImageError, ShapeError
from assay.units import Calibration

Window = tuple[slice, slice]
"""Rows and columns, each with a start and a stop inside the image."""
_WELL = re.compile(r"([A-Za-z]{1,2})0*([1-9][0-9]?)")


def well_name(text: str) -> str:
    """Write a well's name the one way we write it: "b3", "B3" and "B03" are all "B03".

    Raises:
        ImageError: `text` is not a row of one or two letters and a column from 1 to 99.
    """
    match = _WELL.fullmatch(text.strip())
    if match is None:
        raise ImageError(
            f"well name {text!r} is not understood. Expected row letters and a column, e.g. B03."
        )
    return f"{match[1].upper()}{int(match[2]):02d}"


@dataclass(frozen=True, slots=True, order=True)
class FieldId:
    """Which field of view: the well and the number of the field in it."""

    well: str
    field: int

    @property
    def row(self) -> str:
        """Row letters, "B" of "B03"."""
        return self.well[:-2]

    @property
    def column(self) -> str:
        """Column, zero-padded, "03" of "B03"."""
        return self.well[-2:]

    @property
    def path(self) -> str:
        """Where the field lies inside an OME-Zarr plate, "B/03/0"."""
        return f"{self.row}/{self.column}/{self.field}"

    def __str__(self) -> str:
        return f"well {self.well}, field {self.field}"


@runtime_checkable
class Stack(Protocol):
    """A film of one field, read lazily.

    Whoever implements this never invents pixels: a plane that cannot be read raises `ImageError`, and a
    frame known to be missing is listed in `missing_frames` and must not be read as an image.
    """

    @property
    def field(self) -> FieldId:
        """Which field this is."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, Y, X)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names as the microscope gave them, in order of C."""

    @property
    def calibration(self) -> Calibration:
        """Pixel size and frame interval."""

    @property
    def missing_frames(self) -> frozenset[int]:
        """Frames that were never recorded and hold no image."""

    def read(
        self,
        frames: Sequence[int],
        channels: Sequence[int] | None = None,
        *,
        window: Window | None = None,
    ) -> NDArray[Any]:
        """Read frames, all channels or the given ones, or only a window of them: (len(frames), len(channels), Y, X)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayStack:
    """A film that lies in memory: for tests, notebooks and the simulator."""

    images: NDArray[Any]
    field: FieldId
    channel_names: tuple[str, ...]
    calibration: Calibration
    missing_frames: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ShapeError(f"{self.field}: expected images of shape (T, C, Y, X), got {self.images.shape}.")
        if self.images.shape[1] != len(self.channel_names):
            raise ShapeError(
                f"{self.field}: {self.images.shape[1]} channels but {len(self.channel_names)} channel names."
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, Y, X)."""
        t, c, y, x = self.images.shape
        return t, c, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.images.dtype

    def read(
        self,
        frames: Sequence[int],
        channels: Sequence[int] | None = None,
        *,
        window: Window | None = None,
    ) -> NDArray[Any]:
        """Copy frames out, or a window of them: (len(frames), len(channels), Y, X)."""
        chosen = list(range(self.images.shape[1])) if channels is None else list(channels)
        rows, columns = window or (slice(None), slice(None))
        return self.images[list(frames)][:, chosen, rows, columns]
