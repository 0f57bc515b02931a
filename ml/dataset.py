"""The column contract between the backend and ml: what a shop's data looks like as files.

A folder holds `products`, `customers` and `events`, each as Parquet, CSV or JSONL, with the columns
of `docs/import.md`. The backend exports this form for training; anyone may hand it to
`aisle evaluate`.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

EventType = Literal[
    "view",
    "impression",
    "click",
    "dwell",
    "add_to_cart",
    "remove_from_cart",
    "search",
    "wishlist",
    "purchase",
    "refund",
    "dismiss",
]
TIME = pa.timestamp("us", tz="UTC")
PRODUCTS = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("category", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("price_cents", pa.int64()),
        pa.field("currency", pa.string()),
        pa.field("image_url", pa.string()),
        pa.field("url", pa.string()),
        pa.field("in_stock", pa.bool_()),
        pa.field("markets", pa.list_(pa.string())),
        pa.field("published", pa.bool_()),
        pa.field("attributes", pa.string()),
        pa.field("updated_at", TIME),
    ]
)
CUSTOMERS = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("country", pa.string()),
        pa.field("attributes", pa.string()),
    ]
)
EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("customer_id", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("product_id", pa.string()),
        pa.field("occurred_at", TIME, nullable=False),
        pa.field("quantity", pa.int64()),
        pa.field("price_cents", pa.int64()),
        pa.field("currency", pa.string()),
        pa.field("recommendation_id", pa.string()),
        pa.field("dwell_ms", pa.int64()),
        pa.field("context", pa.string()),
    ]
)
SCHEMAS = {"products": PRODUCTS, "customers": CUSTOMERS, "events": EVENTS}
SUFFIXES = (".parquet", ".csv", ".jsonl")
MARKET_SEPARATOR = "|"


class DatasetRejected(Exception):
    """The files do not keep the contract; the message names file and column."""


class Dataset(NamedTuple):
    """Tables with exactly the columns of the contract; what a file lacked is null."""

    products: pa.Table
    customers: pa.Table
    events: pa.Table


def read_dataset(folder: Path) -> Dataset:
    """Read a folder in the import format. Customers may be absent. Raises DatasetRejected."""
    return Dataset(
        products=_read(folder, "products"),
        customers=_read(folder, "customers", required=False),
        events=_read(folder, "events"),
    )


def _read(folder: Path, name: str, *, required: bool = True) -> pa.Table:
    schema = SCHEMAS[name]
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
    parts = folder / name
    if not found and parts.is_dir():
        return _conform(name, pq.read_table(parts), schema)
    if not found:
        if required:
            raise DatasetRejected(
                f"{folder} holds none of {name}.parquet, {name}.csv, {name}.jsonl"
            )
        return schema.empty_table()
    path = found[0]
    try:
        table = _parse(path, schema)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DatasetRejected(f"{path.name}: {error}") from error
    return _conform(path.name, table, schema)


def _parse(path: Path, schema: pa.Schema) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".jsonl":
        return pyarrow.json.read_json(path)
    as_text = {field.name: pa.string() for field in schema if not _parsed_by_csv(field.type)}
    options = pyarrow.csv.ConvertOptions(
        column_types=as_text, strings_can_be_null=True, null_values=["", "null", "NULL"]
    )
    return pyarrow.csv.read_csv(path, convert_options=options)


def _parsed_by_csv(kind: pa.DataType) -> bool:
    return not (pa.types.is_string(kind) or pa.types.is_list(kind))


def _conform(name: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    missing = [f.name for f in schema if not f.nullable and f.name not in table.column_names]
    if missing:
        raise DatasetRejected(f"{name} lacks the column {', '.join(missing)}")
    columns: list[pa.ChunkedArray | pa.Array] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = _cast(name, table[field.name], field)
        if not field.nullable and column.null_count:
            raise DatasetRejected(f"{name}: {field.name} is empty in {column.null_count} rows")
        columns.append(column)
    return pa.table(columns, schema=schema)


def _cast(name: str, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    try:
        if pa.types.is_list(field.type) and pa.types.is_string(column.type):
            return pc.call_function(
                "split_pattern", [column], pc.SplitPatternOptions(MARKET_SEPARATOR)
            )
        if field.type == TIME and pa.types.is_string(column.type):
            return pc.cast(column, pa.timestamp("us", tz="UTC"))
        if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type):
            return _as_utc(column)
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DatasetRejected(f"{name}: column {field.name}: {error}") from error


def _as_utc(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Times without a zone are UTC."""
    zoned = pc.assume_timezone(column, "UTC") if column.type.tz is None else column
    return zoned.cast(TIME, safe=False)
