"""SQL of products and stock."""

from collections.abc import Sequence
from datetime import datetime

from backend.catalog.schemas import Product, Status
from backend.catalog.settle import ProductRow, StockRow
from backend.db import Connection, row_to, rows_to

COLUMNS = """
    product_id, title, description, category, brand, price_cents, currency, image_url, url,
    in_stock, stock_as_of, markets, published, attributes, updated_at, created_at
"""
INCOMING_COLUMNS = """
    product_id text, title text, description text, category text, brand text, price_cents bigint,
    currency text, image_url text, url text, in_stock boolean, markets text[], published boolean,
    attributes text, updated_at timestamptz
"""

STOCK_IS_NEWER = "coalesce(excluded.stock_as_of >= coalesce(kept.stock_as_of, '-infinity'), false)"
DIFFERS = f"""(
    (kept.title, kept.description, kept.category, kept.brand, kept.price_cents, kept.currency,
     kept.image_url, kept.url, kept.markets, kept.published, kept.attributes, kept.deleted_at)
    IS DISTINCT FROM
    (excluded.title, excluded.description, excluded.category, excluded.brand,
     excluded.price_cents, excluded.currency, excluded.image_url, excluded.url, excluded.markets,
     excluded.published, excluded.attributes, NULL::timestamptz)
    OR {STOCK_IS_NEWER} AND excluded.in_stock <> kept.in_stock
)"""

# Writes what is newer, takes a new revision only for what looks different, and tells which is
# which. In the order of ids, so that two writers wait for each other and never in a circle.
MERGE = f"""
    written AS (
        INSERT INTO product AS kept (
            product_id, title, description, category, brand, price_cents, currency, image_url,
            url, in_stock, stock_as_of, markets, published, attributes, updated_at
        )
        SELECT product_id, title, description, category, brand, price_cents, currency, image_url,
               url, coalesce(in_stock, true), CASE WHEN in_stock IS NOT NULL THEN updated_at END,
               markets, published, attributes::jsonb, updated_at
        FROM incoming ORDER BY product_id
        ON CONFLICT (tenant_id, product_id) DO UPDATE
        SET title = excluded.title, description = excluded.description,
            category = excluded.category, brand = excluded.brand,
            price_cents = excluded.price_cents, currency = excluded.currency,
            image_url = excluded.image_url, url = excluded.url,
            in_stock = CASE WHEN {STOCK_IS_NEWER} THEN excluded.in_stock ELSE kept.in_stock END,
            stock_as_of = greatest(kept.stock_as_of, excluded.stock_as_of),
            markets = excluded.markets, published = excluded.published,
            attributes = excluded.attributes, updated_at = excluded.updated_at,
            deleted_at = NULL,
            revision = CASE WHEN {DIFFERS} THEN excluded.revision ELSE kept.revision END
        WHERE excluded.updated_at > kept.updated_at
           OR excluded.updated_at = kept.updated_at AND {DIFFERS}
        RETURNING product_id, revision, xmax = 0 AS is_new
    ), outcome AS (
        SELECT product_id,
               CASE WHEN written.is_new THEN 'created'
                    WHEN written.revision <> before.revision THEN 'updated'
                    WHEN written.product_id IS NULL AND sent.updated_at < before.updated_at
                    THEN 'stale' ELSE 'unchanged' END AS status
        FROM incoming AS sent
        LEFT JOIN written USING (product_id)
        LEFT JOIN product AS before USING (product_id)
    )
"""  # noqa: S608 - constants
# `incoming` has INCOMING_COLUMNS and each id once.
UPSERT = f"""
    WITH incoming AS (SELECT * FROM jsonb_to_recordset($1) AS row ({INCOMING_COLUMNS})),
    {MERGE} SELECT * FROM outcome
"""  # noqa: S608 - constants


async def upsert_products(conn: Connection, rows: Sequence[ProductRow]) -> dict[str, Status]:
    """What became of each id; every id is there once."""
    return {record["product_id"]: record["status"] for record in await conn.fetch(UPSERT, rows)}


async def product(conn: Connection, product_id: str) -> Product | None:
    record = await conn.fetchrow(
        f"SELECT {COLUMNS} FROM product WHERE product_id = $1 AND deleted_at IS NULL",  # noqa: S608 - a constant
        product_id,
    )
    return row_to(Product, record)


async def products_after(conn: Connection, after: str, limit: int) -> list[Product]:
    """Live products with larger ids than `after`, in that order."""
    records = await conn.fetch(
        f"""
        SELECT {COLUMNS} FROM product WHERE product_id > $1 AND deleted_at IS NULL
        ORDER BY product_id LIMIT $2
        """,  # noqa: S608 - a constant
        after,
        limit,
    )
    return rows_to(Product, records)


async def delete_product(conn: Connection, product_id: str, version: datetime) -> Status | None:
    """None when there never was such a product."""
    return await conn.fetchval(
        """
        WITH before AS (
            SELECT updated_at, deleted_at FROM product WHERE product_id = $1 FOR UPDATE
        ), gone AS (
            UPDATE product
            SET deleted_at = now(), updated_at = $2, revision = nextval('product_revision')
            WHERE product_id = $1 AND deleted_at IS NULL AND updated_at <= $2
            RETURNING product_id
        )
        SELECT CASE WHEN EXISTS (SELECT FROM gone) THEN 'deleted'
                    WHEN before.deleted_at IS NULL THEN 'stale' ELSE 'unchanged' END
        FROM before
        """,
        product_id,
        version,
    )


async def write_stock(conn: Connection, rows: Sequence[StockRow]) -> dict[str, Status]:
    """What became of each id; every id is there once. A deleted product is unknown."""
    records = await conn.fetch(
        """
        WITH incoming AS (
            SELECT * FROM jsonb_to_recordset($1)
                AS row (product_id text, in_stock boolean, as_of timestamptz)
        ), before AS (
            SELECT p.product_id, p.in_stock, p.stock_as_of
            FROM product p JOIN incoming USING (product_id)
            WHERE p.deleted_at IS NULL ORDER BY p.product_id FOR UPDATE OF p
        ), written AS (
            UPDATE product p
            SET in_stock = sent.in_stock, stock_as_of = sent.as_of,
                revision = CASE WHEN p.in_stock = sent.in_stock THEN p.revision
                                ELSE nextval('product_revision') END
            FROM incoming AS sent JOIN before USING (product_id)
            WHERE p.product_id = sent.product_id
              AND sent.as_of >= coalesce(before.stock_as_of, '-infinity')
            RETURNING p.product_id
        )
        SELECT product_id,
               CASE WHEN before.product_id IS NULL THEN 'unknown'
                    WHEN written.product_id IS NULL THEN 'stale'
                    WHEN before.in_stock = sent.in_stock THEN 'unchanged'
                    ELSE 'updated' END AS status
        FROM incoming AS sent
        LEFT JOIN before USING (product_id) LEFT JOIN written USING (product_id)
        """,
        rows,
    )
    return {record["product_id"]: record["status"] for record in records}
