"""What an import will do, before a pixel is read: data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assay.io.importers.tiff_pages import PlaneSource
from assay.protocol import Condition
from assay.stack import FieldId
from assay.units import Calibration


class Progress(Protocol):
    """Who is told how far an import is."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""

    def advance(self) -> None:
        """One more unit of the step is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """One field of view: where each of its planes comes from."""

    field: FieldId
    shape: tuple[int, int, int, int]  # (T, C, Y, X)
    calibration: Calibration
    planes: Mapping[tuple[int, int], PlaneSource]  # (frame, channel); one that is absent was not recorded
    files: tuple[tuple[str, Path], ...]  # name below the source folder, path

    @property
    def missing_frames(self) -> frozenset[int]:
        """Frames of which at least one channel was not recorded."""
        frames, channels = self.shape[:2]
        return frozenset(t for t in range(frames) if any((t, c) not in self.planes for c in range(channels)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """A whole plate, checked: every plane is where the plan says, or its frame is known to be missing."""

    source: Path
    read_as: str  # the preset, pattern or wells list that named the wells
    channel_names: tuple[str, ...]
    dtype: np.dtype[Any]
    fields: tuple[FieldPlan, ...]  # sorted
    conditions: tuple[Condition, ...]  # from the wells list
    ignored: tuple[tuple[str, str], ...]  # files left out: (name, reason)
    warnings: tuple[str, ...]

    @property
    def n_planes(self) -> int:
        """Planes to read."""
        return sum(len(field.planes) for field in self.fields)

    @property
    def pixel_bytes(self) -> int:
        """Size of all pixels, uncompressed."""
        return sum(int(np.prod(field.shape)) for field in self.fields) * self.dtype.itemsize

    def summary(self) -> list[str]:
        """Lines that tell a person what was understood."""
        wells = sorted({entry.field.well for entry in self.fields})
        frames = sorted({entry.shape[0] for entry in self.fields})
        pixels = sorted({entry.calibration.pixel_um for entry in self.fields})
        seen = {entry.calibration.frame_min for entry in self.fields}
        intervals = sorted(value for value in seen if value is not None)
        lines = [
            f"read as: {self.read_as}",
            f"wells: {len(wells)} ({', '.join(wells[:8])}{' ...' if len(wells) > 8 else ''}), fields: {len(self.fields)}",
            f"channels: {', '.join(self.channel_names)}",
            f"frames: {_span(frames)}, {self.dtype}, {self.pixel_bytes / 1e6:.1f} MB",
            "pixel size (y, x): " + "; ".join(f"{y:g}, {x:g} um" for y, x in pixels),
            "frame interval: "
            + ("; ".join(f"{value:g} min" for value in intervals) if intervals else "none"),
        ]
        missing = sum(len(entry.missing_frames) for entry in self.fields)
        if missing:
            lines.append(f"missing frames: {missing}, recorded as missing")
        if self.ignored:
            shown = ", ".join(f"{name} ({reason})" for name, reason in self.ignored[:5])
            more = f" and {len(self.ignored) - 5} more" if len(self.ignored) > 5 else ""
            lines.append(f"left out: {shown}{more}")
        return lines


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
