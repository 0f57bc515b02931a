"""SQL of serving: the pointer, the live catalogue, what is popular."""

from datetime import datetime

from msgspec import Struct

from backend.db import Connection, rows_to


class CatalogPosition(Struct, frozen=True, kw_only=True):
    """How far the writes to the catalogue have come.

    A write takes its revision before it commits, so a smaller revision may appear after a larger
    one. Transactions numbered below `all_ended_below` have ended; those from `none_begun_from`
    on had not begun when `revision` was the largest.
    """

    all_ended_below: int
    none_begun_from: int
    revision: int


class ProductRow(Struct, frozen=True, kw_only=True, gc=False):
    product_id: str
    revision: int
    title: str
    url: str | None
    image_url: str | None
    price_cents: int | None
    currency: str | None
    category: str | None
    brand: str | None
    markets: list[str] | None
    sellable: bool
    created_at: datetime


class PopularProduct(Struct, frozen=True, kw_only=True):
    product_id: str
    score: float
    """Between 0 and 1: relative to the most popular product."""


async def serving_release_id(conn: Connection) -> str | None:
    return await conn.fetchval("SELECT release_id FROM serving")


async def catalog_position(conn: Connection) -> CatalogPosition:
    records = await conn.fetch(
        """
        SELECT pg_snapshot_xmin(now_running)::text::bigint AS all_ended_below,
               pg_snapshot_xmax(now_running)::text::bigint AS none_begun_from,
               coalesce((SELECT max(revision) FROM product), 0) AS revision
        FROM pg_current_snapshot() AS now_running
        """
    )
    return rows_to(CatalogPosition, records)[0]


async def changed_products(conn: Connection, after: int, limit: int) -> list[ProductRow]:
    """Products written since revision `after`, in the order of writing."""
    records = await conn.fetch(
        """
        SELECT product_id, revision, title, url, image_url, price_cents, currency, category, brand,
               markets, in_stock AND published AND deleted_at IS NULL AS sellable, created_at
        FROM product WHERE revision > $1
        ORDER BY revision LIMIT $2
        """,
        after,
        limit,
    )
    return rows_to(ProductRow, records)


async def active_customers(conn: Connection, since: datetime, limit: int) -> list[str]:
    """Who did something since then, the last first."""
    records = await conn.fetch(
        """
        SELECT customer_id FROM event WHERE customer_id IS NOT NULL AND occurred_at >= $1
        GROUP BY customer_id ORDER BY max(occurred_at) DESC, customer_id LIMIT $2
        """,
        since,
        limit,
    )
    return [record["customer_id"] for record in records]


async def popular_products(
    conn: Connection, market: str | None, since: datetime | None, limit: int
) -> list[PopularProduct]:
    """Best first; weighted behaviour halves in worth every 7 days.

    With a market, what its customers do counts first, and what everybody does fills the rest.
    Decay is relative, so it does not matter from when it is counted.
    """
    records = await conn.fetch(
        """
        WITH counted AS (
            SELECT e.product_id,
                   c.country IS NOT DISTINCT FROM $1 AS here,
                   CASE e.type
                       WHEN 'purchase' THEN 1.0 WHEN 'refund' THEN -1.0
                       WHEN 'add_to_cart' THEN 0.6 WHEN 'wishlist' THEN 0.5
                       WHEN 'dismiss' THEN -0.5 WHEN 'remove_from_cart' THEN -0.3
                       ELSE 0.2
                   END * exp(greatest(-700,
                       ln(2.0::float8) * extract(epoch FROM e.occurred_at - now())::float8 / 604800
                   )) AS weight
            FROM event e LEFT JOIN customer c
                ON $1::text IS NOT NULL AND c.customer_id = e.customer_id
            WHERE e.product_id IS NOT NULL
              AND e.type NOT IN ('impression', 'search', 'dwell')
              AND ($2::timestamptz IS NULL OR e.occurred_at >= $2)
        ), total AS (
            SELECT product_id,
                   coalesce(sum(weight) FILTER (WHERE here), 0) AS here,
                   sum(weight) AS everywhere
            FROM counted GROUP BY product_id HAVING sum(weight) > 0
        )
        SELECT product_id, score FROM (
            SELECT product_id,
                   (0.8 * coalesce(greatest(here, 0) / nullif(max(here) OVER (), 0), 0)
                    + 0.2 * everywhere / max(everywhere) OVER ())::float8 AS score
            FROM total
        ) AS scored ORDER BY score DESC, product_id LIMIT $3
        """,
        market,
        since,
        limit,
    )
    return rows_to(PopularProduct, records)
