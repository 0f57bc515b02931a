"""SQL of whole files of products or customers: gather the rows, then merge them at once."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from backend.catalog import customer_queries, queries
from backend.catalog.settle import CustomerRow, ProductRow
from backend.db import Connection, rows_to

LONG_S = 3600.0


class Vanishing(Struct, frozen=True, kw_only=True):
    """Live products, and those of them that are not in the file."""

    live: int
    absent: int


async def prepare_products(conn: Connection) -> None:
    """Tables of this transaction; a row's number tells which of two with one id came last."""
    await conn.execute(
        f"""
        CREATE TEMP TABLE gathered (
            {queries.INCOMING_COLUMNS}, row_number bigint GENERATED ALWAYS AS IDENTITY
        ) ON COMMIT DROP;
        CREATE TEMP TABLE unreadable (product_id text) ON COMMIT DROP;
        """
    )


async def prepare_customers(conn: Connection) -> None:
    await conn.execute(
        f"""
        CREATE TEMP TABLE gathered (
            {customer_queries.INCOMING_COLUMNS}, row_number bigint GENERATED ALWAYS AS IDENTITY
        ) ON COMMIT DROP
        """
    )


async def gather(conn: Connection, rows: Sequence[ProductRow] | Sequence[CustomerRow]) -> None:
    if not rows:
        return
    columns = rows[0].__struct_fields__
    records = [msgspec.structs.astuple(row) for row in rows]
    await conn.copy_records_to_table("gathered", records=records, columns=columns)


async def remember_unreadable(conn: Connection, product_ids: Sequence[str]) -> None:
    """Products whose rows were rejected are not absent."""
    records = [(product_id,) for product_id in product_ids]
    await conn.copy_records_to_table("unreadable", records=records)


async def merge_products(conn: Connection) -> int:
    """How many products were created or changed."""
    return await _merge(conn, "product_id", queries.MERGE)


async def merge_customers(conn: Connection) -> int:
    """How many customers were created or changed."""
    return await _merge(conn, "customer_id", customer_queries.MERGE)


async def _merge(conn: Connection, id_column: str, merge: str) -> int:
    await conn.execute("ANALYZE gathered")
    return await conn.fetchval(
        f"""
        WITH incoming AS (
            SELECT DISTINCT ON ({id_column}) * FROM gathered ORDER BY {id_column}, row_number DESC
        ), {merge}
        SELECT count(*) FROM outcome WHERE status IN ('created', 'updated')
        """,  # noqa: S608 - constants
        timeout=LONG_S,
    )


ABSENT = """
    deleted_at IS NULL AND updated_at <= $1
    AND NOT EXISTS (SELECT FROM gathered g WHERE g.product_id = product.product_id)
    AND NOT EXISTS (SELECT FROM unreadable u WHERE u.product_id = product.product_id)
"""


async def vanishing(conn: Connection, as_of: datetime) -> Vanishing:
    """What a full import would remove; before the merge."""
    records = await conn.fetch(
        f"""
        SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live,
               count(*) FILTER (WHERE {ABSENT}) AS absent
        FROM product
        """,  # noqa: S608 - a constant
        as_of,
        timeout=LONG_S,
    )
    return rows_to(Vanishing, records)[0]


async def remove_absent(conn: Connection, as_of: datetime) -> int:
    """Take out what is not in the file, unless the shop wrote it after `as_of`."""
    status = await conn.execute(
        f"""
        UPDATE product
        SET deleted_at = now(), updated_at = $1, revision = nextval('product_revision')
        WHERE {ABSENT}
        """,  # noqa: S608 - a constant
        as_of,
        timeout=LONG_S,
    )
    return int(status.rpartition(" ")[2])
