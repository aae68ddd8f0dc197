import numpy as np
import pyarrow.parquet as pq
import pytest

from assay.columns import TABLES, make_table, table_of_rows
from assay.errors import TableError
from assay.io.tables import read_arrays, read_table, write_arrays, write_csv, write_table

NAN = float("nan")


def track(track_id, parent=None, start="movie_start", well="B02"):
    return {
        "well": well,
        "field": 0,
        "role": "target",
        "track_id": track_id,
        "first_frame": 0,
        "last_frame": 9,
        "parent_track_id": parent,
        "start": start,
        "end": "movie_end",
    }


def tracks(*rows):
    return table_of_rows("tracks", rows)


def test_table_comes_back_as_it_was_written(tmp_path):
    written = tracks(track(1), track(2, parent=1, start="divided"))
    write_table(tmp_path, "tracks", written)
    read = read_table(tmp_path, "tracks")
    assert list(read) == list(written)
    for name in written:
        assert read[name].dtype == written[name].dtype
        np.testing.assert_array_equal(read[name], written[name])


def test_unknown_parent_is_null_on_disk_and_an_integer_otherwise(tmp_path):
    file = write_table(tmp_path, "tracks", tracks(track(1), track(2, parent=1)))
    column = pq.read_table(file).column("parent_track_id")
    assert str(column.type) == "int64"
    assert column.to_pylist() == [None, 1]


def test_same_table_gives_the_same_bytes(tmp_path):
    table = tracks(track(1), track(2, parent=1))
    first = write_table(tmp_path, "tracks", table).read_bytes()
    again = write_table(
        tmp_path, "tracks", {name: column.copy() for name, column in table.items()}
    ).read_bytes()
    assert first == again


@pytest.mark.parametrize("name", sorted(TABLES))
def test_empty_table_keeps_its_columns_and_types(tmp_path, name):
    empty = table_of_rows(name, [])
    write_table(tmp_path, name, empty)
    read = read_table(tmp_path, name)
    assert {c: (v.dtype, len(v)) for c, v in read.items()} == {c: (v.dtype, 0) for c, v in empty.items()}


def test_cells_table_has_one_mean_per_channel(tmp_path):
    columns = [column.name for column in TABLES["cells"]]
    row = dict.fromkeys(columns, 1) | {"well": "B02", "role": "target", "at_border": True, "dead": False}
    row |= {"mean_CTDR": 12.5, "mean_PI": None}
    cells = table_of_rows("cells", [row], channel_names=("CTDR", "PI"))
    write_table(tmp_path, "cells", cells, ("CTDR", "PI"))
    read = read_table(tmp_path, "cells")
    assert read["mean_CTDR"].tolist() == [12.5]
    assert np.isnan(read["mean_PI"]).all()
    assert read["at_border"].dtype == np.bool_


def test_unknown_where_a_number_is_due_is_refused(tmp_path):
    row = dict.fromkeys([c.name for c in TABLES["kills"]], 1) | {"well": "B02", "share": NAN}
    with pytest.raises(TableError, match="kills, column share: row 0 is unknown"):
        write_table(tmp_path, "kills", table_of_rows("kills", [row]))


def test_half_a_track_is_refused(tmp_path):
    table = tracks(track(1)) | {"parent_track_id": np.array([1.5])}
    with pytest.raises(TableError, match=r"parent_track_id: expected whole numbers, got 1\.5"):
        write_table(tmp_path, "tracks", table)


def test_number_in_a_text_column_is_refused(tmp_path):
    table = tracks(track(1)) | {"start": np.array([3], dtype=object)}
    with pytest.raises(TableError, match="column start: expected text, got 3"):
        write_table(tmp_path, "tracks", table)


def test_missing_table_says_so(tmp_path):
    with pytest.raises(TableError, match=r"deaths\.parquet is missing"):
        read_table(tmp_path, "deaths")


def test_table_of_another_kind_is_refused(tmp_path):
    write_table(tmp_path / "kills.parquet", "tracks", tracks(track(1)))
    with pytest.raises(TableError, match="is no table of kills: it lacks death_id"):
        read_table(tmp_path, "kills")


def test_unknown_table_name_is_refused(tmp_path):
    with pytest.raises(TableError, match="there is no table 'death'"):
        read_table(tmp_path, "death")


def test_no_flipped_bit_or_cut_changes_a_table_silently(tmp_path):
    rng = np.random.default_rng(3)
    rows = [track(i, parent=i // 2 or None, well=f"B{i % 12 + 1:02d}") for i in range(200)]
    table = tracks(*rows)
    file = write_table(tmp_path, "tracks", table)
    good = file.read_bytes()
    silent = 0
    for attempt in range(120):
        broken = bytearray(good)
        if attempt % 3 == 0:
            broken = broken[: rng.integers(len(good))]
        else:
            bit = int(rng.integers(len(good) * 8))
            broken[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(broken)
        try:
            read = read_table(tmp_path, "tracks")
        except TableError:
            continue
        silent += any(repr(read[c].tolist()) != repr(table[c].tolist()) for c in table)
    assert silent == 0


def test_failed_writing_leaves_the_old_table_and_no_leftovers(tmp_path, monkeypatch):
    write_table(tmp_path, "tracks", tracks(track(1)))
    before = (tmp_path / "tracks.parquet").read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"tracks\.parquet could not be written .* the disk is full .* free\)"):
        write_table(tmp_path, "tracks", tracks(track(1), track(2)))
    assert (tmp_path / "tracks.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tracks.parquet"]


def test_a_column_declared_after_the_table_was_written_is_unknown(tmp_path):
    file = write_table(tmp_path, "tracks", tracks(track(1)))
    older = pq.read_table(file).drop_columns(["min_link_confidence"])
    pq.write_table(older, file)
    assert np.isnan(read_table(tmp_path, "tracks")["min_link_confidence"]).all()
    pq.write_table(older.append_column("min_link_confidencf", older.column("track_id")), file)
    with pytest.raises(TableError, match="it lacks min_link_confidence"):
        read_table(tmp_path, "tracks")


def test_private_arrays_keep_their_types(tmp_path):
    table = {
        "frame": np.array([0, 1], np.int32),
        "gap_um": np.array([0.1, NAN]),
        "score": np.array([0.5, 1], np.float32),
        "at_border": np.array([True, False]),
        "well": np.array(["B02", None], dtype=object),
    }
    write_arrays(tmp_path / "x.parquet", table)
    read = read_arrays(tmp_path / "x.parquet")
    for name, column in table.items():
        assert read[name].dtype == column.dtype
        np.testing.assert_array_equal(read[name], column)


def test_private_arrays_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(TableError, match=r"column b has shape \(2,\), expected \(1,\)"):
        write_arrays(tmp_path / "x.parquet", {"a": np.zeros(1), "b": np.zeros(2)})


def test_csv_holds_full_precision_and_no_formulas(tmp_path):
    table = make_table(
        "tracks",
        {
            **tracks(track(1), track(2, parent=1)),
            "start": ["=HYPERLINK(1)", "@x"],
            "end": ["-1+2", "plain, with comma"],
        },
    )
    text = write_csv(tmp_path / "t.csv", {**table, "x_um": np.array([0.1 + 0.2, NAN])}).read_text()
    assert text.splitlines() == [
        "well,field,role,track_id,first_frame,last_frame,parent_track_id,start,end,min_link_confidence,x_um",
        "B02,0,target,1,0,9,,'=HYPERLINK(1),'-1+2,,0.30000000000000004",
        'B02,0,target,2,0,9,1,\'@x,"plain, with comma",,',
    ]
