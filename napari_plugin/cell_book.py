"""Where each cell of one field is in each frame, how large and how bright: for traces, tracks and the camera.

Knows the cells table. Knows no window.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.columns import MEAN_PREFIX, Table, take
from assay.io.tables import read_table
from assay.labels import CellRole
from assay.stack import FieldId

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTrack:
    """One cell through time; empty where there is no such cell."""

    frame: Ints
    y_um: Floats
    x_um: Floats
    area_um2: Floats
    means: dict[str, Floats]  # channel -> raw counts

    def near(self, frame: int) -> tuple[float, float] | None:
        """(y_um, x_um) in the frame, or in the nearest one in which it is seen; None where it never is."""
        if not len(self.frame):
            return None
        at = int(np.argmin(np.abs(self.frame - frame)))
        return float(self.y_um[at]), float(self.x_um[at])

    def between(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which of its sights lie in these frames."""
        return np.asarray((self.frame >= first) & (self.frame <= last))


class FieldCells:
    """The cells of one field, found by role and track."""

    def __init__(self, cells: Table) -> None:
        """Order the rows of one field's cells."""
        role = (cells["role"] == "target").astype(np.int64)
        order = np.lexsort((cells["frame"], cells["track_id"], role))
        self._rows = {
            name: cells[name][order]
            for name in cells
            if name in ("frame", "track_id", "y_um", "x_um", "area_um2") or name.startswith(MEAN_PREFIX)
        }
        self._key: Ints = (role[order] << 40) | self._rows["track_id"]

    def track(self, role: CellRole, track_id: int) -> CellTrack:
        """One cell through time."""
        key = (int(role == "target") << 40) | track_id
        low, high = np.searchsorted(self._key, np.array([key, key + 1]))
        part = {name: values[low:high] for name, values in self._rows.items()}
        return CellTrack(
            frame=part["frame"],
            y_um=part["y_um"],
            x_um=part["x_um"],
            area_um2=part["area_um2"],
            means={n[len(MEAN_PREFIX) :]: v for n, v in part.items() if n.startswith(MEAN_PREFIX)},
        )

    def nearest(self, role: CellRole, frame: int, y_um: float, x_um: float) -> tuple[int, float] | None:
        """(track, distance in um) of the cell whose centre lies nearest in a frame; None where there is none."""
        is_role = (self._key >> 40) == int(role == "target")
        here = np.flatnonzero(is_role & (self._rows["frame"] == frame))
        if not len(here):
            return None
        distance = np.hypot(self._rows["y_um"][here] - y_um, self._rows["x_um"][here] - x_um)
        at = int(np.argmin(distance))
        return int(self._rows["track_id"][here[at]]), float(distance[at])


class CellBook:
    """Cells of a plate, ordered one field at a time when they are asked for."""

    def __init__(self, cells: Table, *, keep_fields: int = 8) -> None:
        """Hold the cells table of the plate.

        Args:
            cells: The whole table.
            keep_fields: How many fields to hold ordered.
        """
        self._cells = cells
        wells, codes = np.unique(cells["well"].astype(str), return_inverse=True)
        self._wells = {well: code for code, well in enumerate(wells.tolist())}
        self._place = codes.astype(np.int64) << 32 | cells["field"]
        self._keep = keep_fields
        self._fields: dict[FieldId, FieldCells] = {}

    @classmethod
    def read(cls, tables: Path) -> "CellBook":
        """Read RESULTS/tables."""
        return cls(read_table(tables, "cells"))

    def of(self, field: FieldId) -> FieldCells:
        """The cells of a field."""
        found = self._fields.pop(field, None)
        if found is None:
            wanted = self._wells.get(field.well, -1) << 32 | field.field
            found = FieldCells(take(self._cells, np.flatnonzero(self._place == wanted)))
        self._fields[field] = found
        while len(self._fields) > self._keep:
            del self._fields[next(iter(self._fields))]
        return found

    def position(
        self, well: str, field: int, role: str, track_id: int, frame: int
    ) -> tuple[float, float] | None:
        """(y_um, x_um) of a cell in a frame; None where it is not seen."""
        track = self.of(FieldId(well, field)).track("target" if role == "target" else "effector", track_id)
        at = np.flatnonzero(track.frame == frame)
        return (float(track.y_um[at[0]]), float(track.x_um[at[0]])) if len(at) else None
