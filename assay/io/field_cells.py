"""The cells of one field at a time, read when somebody looks at it; a plate's table of cells may not fit into memory.

cells = FieldCells(results.tables)
here = cells.of("B03", 0)                                 # frame, role, track_id, y_um, x_um
y_um, x_um = cells.position("B03", 0, "effector", 5, 31)
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.columns import Table, concatenate
from assay.errors import TableError

PLACES = ("frame", "role", "track_id", "y_um", "x_um")
_KEEP_FIELDS = 4
_KEY = ("well", "field")


class FieldCells:
    """Rows of the cells table by field; keeps the last few fields.

    Args:
        tables: Folder of the result tables.
        columns: What to read beside well and field.
    """

    def __init__(self, tables: Path, columns: Sequence[str] = PLACES) -> None:
        self._file = tables / "cells.parquet"
        self._columns = tuple(columns)
        self._kept: OrderedDict[tuple[str, int], Table] = OrderedDict()
        self._groups: list[tuple[Any, Any] | None] | None = None

    def of(self, well: str, field: int) -> Table:
        """The field's rows; empty where the table has none.

        Raises:
            TableError: The table is missing or damaged.
        """
        place = (well, int(field))
        if place not in self._kept:
            self._kept[place] = self._read(place)
            while len(self._kept) > _KEEP_FIELDS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(place)
        return self._kept[place]

    def position(
        self, well: str, field: int, role: str, track_id: int, frame: int
    ) -> tuple[float, float] | None:
        """(y_um, x_um) of a cell; None where it is not seen in the frame."""
        cells = self.of(well, field)
        found = np.flatnonzero(
            (cells["track_id"] == track_id) & (cells["frame"] == frame) & (cells["role"] == role)
        )
        return (float(cells["y_um"][found[0]]), float(cells["x_um"][found[0]])) if len(found) else None

    def _read(self, place: tuple[str, int]) -> Table:
        try:
            with pq.ParquetFile(self._file, page_checksum_verification=True) as file:
                groups = [n for n, held in enumerate(self._held(file)) if held is None or place == held]
                parts = [self._part(file, group, place) for group in groups]
        except (pa.ArrowException, OSError, KeyError) as error:
            raise TableError(
                f"table {self._file} is missing or damaged. Run the step that writes it again."
            ) from error
        return concatenate(parts) if parts else {name: np.empty(0) for name in self._columns}

    def _held(self, file: Any) -> list[tuple[Any, Any] | None]:
        """Which field each row group holds; None where it holds several."""
        if self._groups is None:
            names = file.schema_arrow.names
            self._groups = [
                _only_field([file.metadata.row_group(n).column(names.index(key)).statistics for key in _KEY])
                for n in range(file.metadata.num_row_groups)
            ]
        return self._groups

    def _part(self, file: Any, group: int, place: tuple[str, int]) -> Table:
        read = file.read_row_group(group, columns=[*_KEY, *self._columns])
        well, field = (read.column(key).to_numpy(zero_copy_only=False) for key in _KEY)
        mine = (well == place[0]) & (field == place[1])
        return {name: read.column(name).to_numpy(zero_copy_only=False)[mine] for name in self._columns}


def _only_field(statistics: Sequence[Any]) -> tuple[Any, Any] | None:
    if any(one is None or not one.has_min_max or one.min != one.max for one in statistics):
        return None
    well, field = statistics
    return well.min, field.min
