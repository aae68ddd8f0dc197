"""Tables on disk: parquet with the types of `assay.columns`, and CSV for spreadsheets.

The same table gives the same bytes, on any machine and at any time, so tables of two runs can be compared by
their hash. The caller sorts the rows.

    path = write_table(results / "tables", "deaths", deaths)        # deaths: dict of numpy arrays
    deaths = read_table(results / "tables", "deaths")
    write_csv(folder / "deaths.csv", deaths)
    write_arrays(work / "B02_0.parquet", {"frame": frame, "label": label})   # private tables
    columns = read_arrays(work / "B02_0.parquet")
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.columns import (
    LATER_TABLES,
    MEAN_PREFIX,
    TABLES,
    Column,
    Table,
    columns_of,
    length,
    make_table,
    table_of_rows,
)
from assay.errors import TableError
from assay.io.durable import write_whole
from assay.io.parquet_sizes import read_bounded
from assay.io.witness import require_as_written

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")


def write_table(
    path: Path, name: str, table: Mapping[str, NDArray[Any]], channel_names: Sequence[str] = ()
) -> Path:
    """Write one result table.

    Args:
        path: The folder of tables; the file in it is `<name>.parquet`. A path that ends in .parquet is the
            file itself.
        name: Which table, a key of `assay.columns.TABLES`.
        table: Its columns; they are checked against their declaration.
        channel_names: Channels of the `cells` table's `mean_<channel>` columns; found from the table where
            left out.

    Returns:
        The file written.

    Raises:
        TableError: A column is missing, unknown or of another type.
        StorageError: The disk refuses.
    """
    names = tuple(channel_names) or _channels_in(table)
    checked = make_table(name, table, channel_names=names)
    columns = columns_of(name, names)
    fields = [pa.field(column.name, _arrow_type(column), nullable=column.nullable) for column in columns]
    arrays = [_arrow_array(name, column, checked[column.name]) for column in columns]
    file = _file_of(Path(path), name)
    write_whole(file, _parquet_bytes(pa.Table.from_arrays(arrays, schema=pa.schema(fields))))
    return file


def read_table(path: Path, name: str) -> Table:
    """Read one result table: a folder of tables or the file itself.

    A column that was declared after the table was written is unknown, and a table that was declared after RESULTS were
    made is empty.

    Raises:
        TableError: The file is missing, damaged, or is not such a table.
    """
    file = _file_of(Path(path), name)
    if name in LATER_TABLES and Path(path).is_dir() and not file.exists():
        return table_of_rows(name, ())
    stored = _read_parquet(file)
    channels = tuple(c[len(MEAN_PREFIX) :] for c in stored.column_names if _is_mean(name, c))
    columns = columns_of(name, channels)
    absent = {column.name for column in columns} - set(stored.column_names)
    strange = set(stored.column_names) - {column.name for column in columns}  # a damaged name, perhaps
    missing = [c.name for c in columns if c.name in absent and (strange or not c.later)]
    if missing:
        raise TableError(f"{file} is no table of {name}: it lacks {', '.join(missing)}. Run the step again.")
    read = {c.name: _numpy_column(file, c, stored.column(c.name)) for c in columns if c.name not in absent}
    return make_table(name, read, channel_names=channels) if absent else read


def write_arrays(path: Path, table: Mapping[str, NDArray[Any]]) -> Path:
    """Write a private table of numbers and text, in the types it has; columns are one-dimensional.

    Raises:
        TableError: Columns of different lengths, or not one-dimensional.
        StorageError: The disk refuses.
    """
    arrays = {}
    for column, values in table.items():
        if np.ndim(values) != 1 or len(values) != length(table):
            raise TableError(
                f"{path}: column {column} has shape {np.shape(values)}, expected ({length(table)},)."
            )
        is_text = values.dtype.kind in "OU"
        arrays[column] = (
            pa.array(values.tolist(), pa.string()) if is_text else pa.array(values, from_pandas=False)
        )
    write_whole(Path(path), _parquet_bytes(pa.table(arrays)))
    return Path(path)


def read_arrays(path: Path) -> Table:
    """Read a private table.

    Raises:
        TableError: The file is missing or damaged.
    """
    stored = _read_parquet(Path(path))
    table: Table = {}
    for column in stored.column_names:
        values = stored.column(column)
        if _is_text(values.type):
            table[column] = _text(values)
        else:
            table[column] = values.combine_chunks().to_numpy(zero_copy_only=False)
    return table


def write_csv(path: Path, table: Mapping[str, NDArray[Any]]) -> Path:
    """Write a table for spreadsheets: numbers in full precision, unknown as an empty cell.

    Text that a spreadsheet would take for a formula (beginning with = + - @) gets a leading apostrophe.

    Raises:
        StorageError: The disk refuses.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_safe_text(column) for column in table])
    columns = [[_csv_cell(value) for value in values.tolist()] for values in table.values()]
    writer.writerows(zip(*columns, strict=True))
    write_whole(Path(path), buffer.getvalue().encode("utf-8"))
    return Path(path)


def _file_of(path: Path, name: str) -> Path:
    columns_of(name)  # refuses a name that is none
    return path if path.suffix == ".parquet" else path / f"{name}.parquet"


def _is_mean(name: str, column: str) -> bool:
    return name == "cells" and column.startswith(MEAN_PREFIX)


def _channels_in(table: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Only the cells table has columns that begin so and are not declared (contacts has mean_interface_um)."""
    declared = {column.name for columns in TABLES.values() for column in columns}
    return tuple(c[len(MEAN_PREFIX) :] for c in table if c.startswith(MEAN_PREFIX) and c not in declared)


def _arrow_type(column: Column) -> Any:
    return {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}[column.kind]


def _arrow_array(name: str, column: Column, values: NDArray[Any]) -> Any:
    if column.kind == "text":
        unknown = np.array([value is None for value in values], dtype=bool)
        wrong = next((v for v in values if v is not None and not isinstance(v, str)), None)
        if wrong is not None:
            raise TableError(f"table {name}, column {column.name}: expected text, got {wrong!r}.")
    elif values.dtype.kind == "f":
        unknown = np.isnan(values)
    else:
        unknown = np.zeros(len(values), dtype=bool)
    if unknown.any() and not column.nullable:
        row = int(np.flatnonzero(unknown)[0])
        raise TableError(
            f"table {name}, column {column.name}: row {row} is unknown, which this column cannot be."
        )
    if column.kind == "text":
        return pa.array(values.tolist(), pa.string())
    if column.kind == "int" and values.dtype.kind == "f":
        _refuse_fractions(name, column, values[~unknown])
        values = np.where(unknown, 0, values).astype(np.int64)
    return pa.array(values, _arrow_type(column), mask=unknown if column.nullable else None)


def _refuse_fractions(name: str, column: Column, known: NDArray[Any]) -> None:
    fractions = known[known != np.floor(known)]
    if len(fractions):
        raise TableError(f"table {name}, column {column.name}: expected whole numbers, got {fractions[0]}.")


def _parquet_bytes(table: Any) -> bytes:
    """Fixed settings, no statistics of time or machine: the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(None),
        buffer,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        row_group_size=1 << 20,
        store_schema=False,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def _read_parquet(file: Path) -> Any:
    if not file.is_file():
        raise TableError(f"table {file} is missing. Run the step that writes it again.")
    require_as_written(file)
    try:
        return read_bounded(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TableError(f"table {file} is damaged ({line}). Delete it and run the step again.") from error


def _numpy_column(file: Path, column: Column, values: Any) -> NDArray[Any]:
    if values.null_count and not column.nullable:
        raise TableError(
            f"{file}, column {column.name}: {values.null_count} rows are unknown. Run the step again."
        )
    if column.kind == "text":
        if not _is_text(values.type):
            raise TableError(f"{file}, column {column.name}: expected text, got {values.type}.")
        return _text(values)
    try:
        if values.null_count:
            return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        return np.asarray(values.combine_chunks().to_numpy(zero_copy_only=False)).astype(column.dtype)
    except (pa.ArrowException, ValueError) as error:
        raise TableError(
            f"{file}, column {column.name}: expected {column.kind}, got {values.type}."
        ) from error


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind) or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))
    )


def _text(values: Any) -> NDArray[Any]:
    """Each text once, however many rows say it."""
    array = np.empty(len(values), dtype=object)
    at = 0
    for piece in values.chunks:
        if pa.types.is_dictionary(piece.type):
            words = np.array([*piece.dictionary.to_pylist(), None], dtype=object)
            codes = piece.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
            array[at : at + len(piece)] = words[codes]
        else:
            array[at : at + len(piece)] = piece.to_pylist()
        at += len(piece)
    return array


def _csv_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return _safe_text(value) if isinstance(value, str) else str(value)


def _safe_text(text: str) -> str:
    """No formula; and one kind of line end, the one that `csv` puts in quotes: another would begin a new row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
