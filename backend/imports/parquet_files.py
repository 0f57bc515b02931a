"""Rows of Parquet files, in memory a few thousand at a time."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backend.imports.kinds import JSON_COLUMNS, LIST_COLUMNS, RowKind
from backend.imports.rows import ReadRow, UnreadableFile, row_of_values
from backend.imports.text_files import require_columns, unknown_columns

ROWS_AT_ONCE = 5_000
BUFFER_BYTES = 1024 * 1024
LARGEST_ROW_GROUP_BYTES = 512 * 1024 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset({"occurred_at", "updated_at"})
NUMBERS = frozenset({"price_cents", "quantity", "dwell_ms"})
FLAGS = frozenset({"in_stock", "published"})


def open_parquet(path: Path, kind: RowKind) -> pq.ParquetFile:
    """Raises UnreadableFile."""
    try:
        file = pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"this is not a Parquet file: {error}") from error
    require_columns(file.schema_arrow.names, kind)
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).total_byte_size > LARGEST_ROW_GROUP_BYTES:
            raise UnreadableFile("a row group is larger than 512 MB: write smaller row groups")
    return file


def parquet_rows(file: pq.ParquetFile, kind: RowKind, warnings: list[str]) -> Generator[ReadRow]:
    """Raises UnreadableFile."""
    names = file.schema_arrow.names
    warnings.extend(unknown_columns(set(names).difference(kind.columns)))
    known = [name for name in names if name in kind.columns]
    number = 0
    try:
        batches: Any = file.iter_batches(ROWS_AT_ONCE, columns=known)  # pyright: ignore[reportUnknownMemberType]
        for batch in batches:
            columns = [cells(batch.column(name), name) for name in known]
            for row in zip(*columns, strict=True):
                number += 1
                values = {
                    name: cell
                    for name, cell in zip(known, row, strict=True)
                    if cell is not None and cell != ""
                }
                yield ReadRow(number, row_of_values(values, kind))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"the file is damaged after row {number}: {error}") from error


def cells(column: Any, name: str) -> list[Any]:  # noqa: ANN401 - an array of any type
    """Values of the wanted type where nothing is lost by it; otherwise each row will say so."""
    wanted = _wanted(column.type, name)
    if wanted is None:
        return column.to_pylist()
    try:
        if name in TIMES:
            return _times(column)
        return column.cast(wanted).to_pylist()
    except (pa.ArrowException, OverflowError):
        return column.to_pylist()


def _times(column: Any) -> list[datetime | None]:  # noqa: ANN401
    """Arrow's own way to datetimes takes ten times as long."""
    microseconds = column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
    return [
        None if moment is None else EPOCH + timedelta(microseconds=moment)
        for moment in microseconds.to_pylist()
    ]


def _wanted(found: pa.DataType, name: str) -> pa.DataType | None:
    """None: as it is."""
    if pa.types.is_dictionary(found):
        found = found.value_type
        return _wanted(found, name) or found
    if name in TIMES:
        is_time = pa.types.is_timestamp(found) or pa.types.is_date(found)
        return pa.timestamp("us", tz="UTC") if is_time else None
    if name in NUMBERS:
        is_number = pa.types.is_floating(found) or pa.types.is_decimal(found)
        return pa.int64() if is_number else None
    if name in FLAGS | JSON_COLUMNS | LIST_COLUMNS:
        return None
    return pa.string() if pa.types.is_integer(found) or pa.types.is_large_string(found) else None
