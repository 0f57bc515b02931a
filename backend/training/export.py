"""A tenant's products, customers and events as Parquet in the import format."""

import shutil
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from backend.db import Connection
from backend.object_store import publish_folder
from ml.dataset import SCHEMAS

ROWS_PER_BATCH = 20_000
MANIFEST = "manifest.json"

STATEMENTS = {
    "products": """
        SELECT product_id, title, description, category, brand, price_cents, currency, image_url,
               url, in_stock, markets, published AND deleted_at IS NULL AS published,
               attributes::text AS attributes, updated_at
        FROM product
    """,
    "customers": "SELECT customer_id, country, attributes::text AS attributes FROM customer",
    "events": """
        SELECT event_id, type, customer_id, session_id, product_id, occurred_at, quantity,
               price_cents, currency, recommendation_id, dwell_ms, context::text AS context
        FROM event
    """,
}
"""Columns in the order of `ml.dataset`."""


class ExportManifest(Struct, frozen=True, kw_only=True):
    rows: dict[str, int]


async def export_dataset(conn: Connection, folder: Path) -> int:
    """Write the data set and return how many events it holds; complete once `folder` exists.

    Memory is flat: rows come through a server-side cursor and go out in row groups. Run twice,
    it leaves the first folder.
    """
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    rows = {name: await export_table(conn, name, staged) for name in STATEMENTS}
    (staged / MANIFEST).write_bytes(msgspec.json.encode(ExportManifest(rows=rows)))
    publish_folder(staged, folder)
    return rows["events"]


async def export_table(conn: Connection, name: str, folder: Path) -> int:
    schema = SCHEMAS[name]
    written = 0
    with pq.ParquetWriter(folder / f"{name}.parquet", schema) as writer:
        cursor = await conn.cursor(STATEMENTS[name])
        while records := await cursor.fetch(ROWS_PER_BATCH):
            columns = dict(zip(schema.names, map(list, zip(*records, strict=True)), strict=True))
            writer.write_batch(pa.record_batch(columns, schema=schema))
            written += len(records)
    return written
