import numpy as np
import pytest

from assay.columns import TABLES, columns_of, concatenate, length, make_table, table_of_rows, take
from assay.errors import TableError

KILL = {
    "well": "B02",
    "field": 0,
    "death_id": 1,
    "target_track_id": 4,
    "effector_track_id": 2,
    "contact_id": 9,
    "share": 0.75,
    "lag_min": 32.0,
}


def test_columns_come_in_the_declared_order_and_type():
    table = table_of_rows("kills", [dict(reversed(KILL.items()))])
    assert list(table) == [column.name for column in TABLES["kills"]]
    assert table["share"].dtype == np.float64
    assert table["death_id"].dtype == np.int64


def test_an_unknown_whole_number_is_nan_in_memory():
    row = {"well": "B02", "field": 0, "role": "target", "track_id": 1, "first_frame": 0, "last_frame": 3}
    table = table_of_rows("tracks", [row | {"parent_track_id": None, "start": "entered", "end": "lost"}])
    assert np.isnan(table["parent_track_id"][0])


def test_every_channel_has_its_mean_column():
    assert [column.name for column in columns_of("cells", ("GFP", "PI"))][-2:] == ["mean_GFP", "mean_PI"]


def test_a_missing_and_an_unknown_column_are_named():
    with pytest.raises(TableError, match=r"missing columns \['share'\], unknown columns \['shares'\]"):
        make_table("kills", {**{k: [v] for k, v in KILL.items() if k != "share"}, "shares": [1.0]})


def test_columns_of_different_length_are_refused():
    with pytest.raises(TableError, match=r"different lengths \[1, 2\]"):
        make_table("kills", {**{k: [v] for k, v in KILL.items()}, "share": [0.5, 0.5]})


def test_a_table_without_rows_keeps_its_columns():
    table = table_of_rows("deaths", [])
    assert length(table) == 0
    assert set(table) == {column.name for column in TABLES["deaths"]}


def test_tables_are_joined_and_rows_taken():
    table = table_of_rows("kills", [KILL, KILL | {"death_id": 2}])
    assert take(table, np.array([False, True]))["death_id"].tolist() == [2]
    assert concatenate([table, table])["death_id"].tolist() == [1, 2, 1, 2]
