"""Whether a table on disk can be read without filling the memory: a few kilobytes can claim a billion rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.errors import TableError
from assay.io.chunk_sizes import ALWAYS_ALLOWED_BYTES, MAX_SWELLING

MAX_COLUMNS = 1000
_VALUE_BYTES = 8


def read_bounded(file: Path) -> Any:
    """The whole table, texts as the dictionaries they are stored as.

    Raises:
        TableError: It would become a thousand times larger than its file.
        pyarrow.ArrowException, OSError: It is damaged.
    """
    size = file.stat().st_size
    opened = pq.ParquetFile(file, page_checksum_verification=True)
    _require_honest(file, opened.metadata, size)
    texts = [field.name for field in opened.schema_arrow if pa.types.is_string(field.type)]
    opened.close()
    table = pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=texts).read()
    for column in table.columns:
        _require_short_texts(file, column, size)
    return table


def _require_honest(file: Path, said: Any, size: int) -> None:
    if said.num_columns > MAX_COLUMNS:
        raise TableError(f"table {file} has {said.num_columns} columns, at most {MAX_COLUMNS} are read.")
    groups = [said.row_group(number) for number in range(said.num_row_groups)]
    told = sum(group.column(k).total_uncompressed_size for group in groups for k in range(said.num_columns))
    rows = max(said.num_rows, sum(group.num_rows for group in groups))
    _require_size(file, max(told, rows * said.num_columns * _VALUE_BYTES), size)


def _require_short_texts(file: Path, column: Any, size: int) -> None:
    """One long text that every row repeats is small on the disk only."""
    for piece in column.chunks:
        if not pa.types.is_dictionary(piece.type) or not pa.types.is_string(piece.type.value_type):
            continue
        piece.validate(full=True)  # its numbers are of words that there are
        longest = pc.max(pc.binary_length(piece.dictionary)).as_py() or 0
        _require_size(file, int(longest) * len(piece), size)


def _require_size(file: Path, decoded: int, size: int) -> None:
    if decoded > ALWAYS_ALLOWED_BYTES and decoded > MAX_SWELLING * size:
        raise TableError(
            f"table {file} is {size} bytes and would become {decoded / 1e6:.0f} MB, which no table of results does. It is damaged or "
            "made to fill the memory; delete it and run the step again."
        )
