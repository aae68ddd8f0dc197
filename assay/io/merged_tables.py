"""Tables of fields put together to one table of the plate, a field at a time: memory does not grow with the plate."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.columns import columns_of
from assay.errors import TableError
from assay.io.durable import disk_refusals, sync_files
from assay.io.witness import require_as_written

_ARROW_TYPES = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


def merge_tables(folder: Path, name: str, parts: Sequence[Path], channel_names: Sequence[str]) -> Path:
    """Write one table of the parts, one row group each, in their order.

    Fields may differ in channels: a channel that a part lacks is unknown (null) in its rows.

    Args:
        folder: Where `<name>.parquet` goes.
        name: Which table, a key of `assay.columns.TABLES`.
        parts: The fields' files, in the order of the rows.
        channel_names: Channels of the `cells` table's `mean_<channel>` columns, of all fields together.

    Raises:
        TableError: A part is damaged.
        StorageError: The disk refuses.
    """
    columns = columns_of(name, channel_names)
    schema = pa.schema([pa.field(c.name, _ARROW_TYPES[c.kind], nullable=c.nullable) for c in columns])
    file = folder / f"{name}.parquet"
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with disk_refusals(file.name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # fixed settings: the same parts give the same bytes
            with pq.ParquetWriter(
                partial,
                schema,
                compression="zstd",
                compression_level=3,
                version="2.6",
                data_page_version="1.0",
                store_schema=False,
                write_page_checksum=True,
            ) as writer:
                for part in parts:
                    writer.write_table(_fitted(part, schema))
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    sync_files([file])
    return file


def _fitted(part: Path, schema: Any) -> Any:
    require_as_written(part)
    try:
        table = pq.ParquetFile(part, page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"table {part} is damaged or missing. Delete RESULTS/work and run again.") from error
    columns = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
