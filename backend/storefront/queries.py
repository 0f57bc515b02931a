"""SQL of the demo shop."""

from backend.db import Connection, rows_to
from backend.storefront.schemas import HistoryEntry, ShopperCard


async def shop_name(conn: Connection) -> str:
    return await conn.fetchval(
        "SELECT name FROM tenant WHERE id = current_setting('app.tenant_id')::uuid"
    )


async def active_shoppers(conn: Connection, limit: int) -> list[ShopperCard]:
    """The shoppers with most events."""
    records = await conn.fetch(
        """
        SELECT customer_id, customer.country, events, purchases, last_at
        FROM (
            SELECT customer_id, count(*) AS events, max(occurred_at) AS last_at,
                   count(*) FILTER (WHERE type = 'purchase') AS purchases
            FROM event WHERE customer_id IS NOT NULL AND product_id IS NOT NULL
            GROUP BY customer_id ORDER BY events DESC, customer_id LIMIT $1
        ) AS active LEFT JOIN customer USING (customer_id)
        ORDER BY events DESC, customer_id
        """,
        limit,
    )
    return rows_to(ShopperCard, records)


async def history(
    conn: Connection, customer_id: str | None, session_id: str | None, limit: int
) -> list[HistoryEntry]:
    """Newest first; of a visitor without customer id, what the session did."""
    records = await conn.fetch(
        """
        SELECT type, occurred_at, quantity, product_id, title, image_url,
               product.price_cents, product.currency
        FROM (
            SELECT * FROM event
            WHERE customer_id = $1 OR ($1::text IS NULL AND customer_id IS NULL AND session_id = $2)
            ORDER BY occurred_at DESC LIMIT $3
        ) AS done JOIN product USING (product_id)
        WHERE type NOT IN ('impression', 'search', 'dwell')
        ORDER BY occurred_at DESC, event_id
        """,
        customer_id,
        session_id,
        limit,
    )
    return rows_to(HistoryEntry, records)
