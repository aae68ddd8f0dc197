import numpy as np
import pyarrow.parquet as pq
import pytest

from assay.columns import table_of_rows
from assay.errors import TableError
from assay.io.field_cells import FieldCells
from assay.io.merged_tables import merge_tables
from assay.io.tables import write_table


def cell(well: str, field: int, frame: int, role: str, track: int, y: float) -> dict:
    row = dict.fromkeys(
        ("time_min", "label", "area_um2", "eccentricity", "covered", "at_border", "score", "dead"), 0
    )
    place = {
        "well": well,
        "field": field,
        "frame": frame,
        "role": role,
        "track_id": track,
        "y_um": y,
        "x_um": y + 1,
    }
    return row | place


ROWS = [
    cell("B02", 0, 0, "target", 1, 10),
    cell("B02", 0, 1, "target", 1, 11),
    cell("B02", 0, 1, "effector", 1, 12),
    cell("B02", 1, 1, "target", 1, 13),
    cell("C03", 0, 1, "target", 1, 14),
]


@pytest.fixture(params=["by field", "in one"])
def tables(request, tmp_path):
    """The table as the pipeline writes it, a row group per field, and as one group."""
    if request.param == "in one":
        write_table(tmp_path, "cells", table_of_rows("cells", ROWS))
        return tmp_path
    parts = []
    for well, field in (("B02", 0), ("B02", 1), ("C03", 0)):
        mine = [row for row in ROWS if (row["well"], row["field"]) == (well, field)]
        part = tmp_path / f"{well}_{field}.parquet"
        parts.append(write_table(part, "cells", table_of_rows("cells", mine)))
    merge_tables(tmp_path, "cells", parts, ())
    return tmp_path


def test_a_field_gives_its_own_cells_only(tables):
    cells = FieldCells(tables)
    assert cells.of("B02", 0)["y_um"].tolist() == [10, 11, 12]
    assert cells.of("B02", 1)["y_um"].tolist() == [13]
    assert len(cells.of("D04", 0)["y_um"]) == 0


def test_a_cell_is_where_it_is_in_that_frame_and_role(tables):
    cells = FieldCells(tables)
    assert cells.position("B02", 0, "target", 1, 1) == (11, 12)
    assert cells.position("B02", 0, "effector", 1, 1) == (12, 13)
    assert cells.position("B02", 0, "effector", 1, 0) is None
    assert cells.position("D04", 0, "effector", 1, 0) is None


def test_other_fields_are_not_read(tmp_path, monkeypatch):
    parts = [
        write_table(tmp_path / f"{k}.parquet", "cells", table_of_rows("cells", [ROWS[k]])) for k in (0, 3, 4)
    ]
    merge_tables(tmp_path, "cells", parts, ())
    read: list = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda f, n, **k: read.append(n) or original(f, n, **k)
    )
    cells = FieldCells(tmp_path)
    cells.of("C03", 0)
    cells.of("C03", 0)
    assert read == [2]


def test_further_columns_can_be_asked_for(tables):
    assert FieldCells(tables, ("frame", "area_um2")).of("B02", 0).keys() == {"frame", "area_um2"}
    with pytest.raises(TableError, match="missing or damaged"):
        FieldCells(tables, ("colour",)).of("B02", 0)


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(TableError, match="missing or damaged"):
        FieldCells(tmp_path).of("B02", 0)


def test_a_field_without_cells_takes_part_in_comparisons(tables):
    empty = FieldCells(tables).of("D04", 0)
    assert np.flatnonzero((empty["role"] == "target") & (empty["frame"] == 1)).tolist() == []
