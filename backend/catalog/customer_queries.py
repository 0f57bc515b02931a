"""SQL of customers."""

from collections.abc import Sequence

from backend.catalog.schemas import Customer, Status
from backend.catalog.settle import CustomerRow
from backend.db import Connection, row_to, rows_to

INCOMING_COLUMNS = "customer_id text, country text, attributes text"
MERGE = """
    written AS (
        INSERT INTO customer AS kept (customer_id, country, attributes)
        SELECT customer_id, country, attributes::jsonb FROM incoming ORDER BY customer_id
        ON CONFLICT (tenant_id, customer_id) DO UPDATE
        SET country = excluded.country, attributes = excluded.attributes
        WHERE (kept.country, kept.attributes)
              IS DISTINCT FROM (excluded.country, excluded.attributes)
        RETURNING customer_id, xmax = 0 AS is_new
    ), outcome AS (
        SELECT customer_id,
               CASE WHEN written.is_new THEN 'created'
                    WHEN written.is_new IS NULL THEN 'unchanged'
                    ELSE 'updated' END AS status
        FROM incoming LEFT JOIN written USING (customer_id)
    )
"""


# `incoming` has INCOMING_COLUMNS and each id once.
UPSERT = f"""
    WITH incoming AS (SELECT * FROM jsonb_to_recordset($1) AS row ({INCOMING_COLUMNS})),
    {MERGE} SELECT * FROM outcome
"""  # noqa: S608 - constants


async def upsert_customers(conn: Connection, rows: Sequence[CustomerRow]) -> dict[str, Status]:
    """What became of each id; every id is there once."""
    return {record["customer_id"]: record["status"] for record in await conn.fetch(UPSERT, rows)}


async def customer(conn: Connection, customer_id: str) -> Customer | None:
    record = await conn.fetchrow(
        "SELECT customer_id, country, attributes, created_at FROM customer WHERE customer_id = $1",
        customer_id,
    )
    return row_to(Customer, record)


async def customers_after(conn: Connection, after: str, limit: int) -> list[Customer]:
    """Customers with larger ids than `after`, in that order."""
    records = await conn.fetch(
        """
        SELECT customer_id, country, attributes, created_at FROM customer WHERE customer_id > $1
        ORDER BY customer_id LIMIT $2
        """,
        after,
        limit,
    )
    return rows_to(Customer, records)


async def delete_customer(conn: Connection, customer_id: str) -> bool:
    status = await conn.execute("DELETE FROM customer WHERE customer_id = $1", customer_id)
    return status == "DELETE 1"
