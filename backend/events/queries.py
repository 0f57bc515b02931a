"""SQL of events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from backend.db import Connection
from backend.events.schemas import EventBatch, EventRow

NO_CHOICE = frozenset({"impression", "search", "dwell"})
"""Types that tell what the page did, or nothing about a product."""
TRADE = frozenset({"purchase", "refund"})
INCOMING_COLUMNS = ("tenant_id", "received_at", *EventRow.__struct_fields__)


class PastEvent(Struct, frozen=True, gc=False):
    event_id: str
    type: str
    product_id: str
    quantity: int | None
    occurred_at_s: float


async def insert_events(conn: Connection, batches: Sequence[EventBatch]) -> int:
    """Store the events whose id their shop never sent before, and say how many those were.

    Of several with one id the first counts. `conn` is in a transaction: of `tenant_connection`,
    then all batches are that shop's, or of `drain_connection`. Safe to repeat.
    """
    records = _first_of_each_id(batches)
    await conn.execute(
        """
        CREATE TEMP TABLE incoming_event (
            tenant_id uuid, received_at timestamptz, event_id text, type text, customer_id text,
            session_id text, product_id text, occurred_at timestamptz, quantity integer,
            price_cents bigint, currency text, recommendation_id text, dwell_ms integer,
            context text
        ) ON COMMIT DROP
        """
    )
    await conn.copy_records_to_table("incoming_event", records=records, columns=INCOMING_COLUMNS)
    status = await conn.execute(
        """
        WITH fresh AS (
            INSERT INTO event_key (tenant_id, event_id)
            SELECT tenant_id, event_id FROM incoming_event
            ON CONFLICT DO NOTHING
            RETURNING tenant_id, event_id
        )
        INSERT INTO event (
            tenant_id, event_id, type, customer_id, session_id, product_id, occurred_at,
            received_at, quantity, price_cents, currency, recommendation_id, dwell_ms, context
        )
        SELECT tenant_id, event_id, type, customer_id, session_id, product_id, occurred_at,
               received_at, quantity, price_cents, currency, recommendation_id, dwell_ms,
               context::jsonb
        FROM incoming_event JOIN fresh USING (tenant_id, event_id)
        """
    )
    await conn.execute("DROP TABLE incoming_event")
    return int(status.rpartition(" ")[2])


def _first_of_each_id(batches: Sequence[EventBatch]) -> Iterable[tuple[object, ...]]:
    first: dict[tuple[UUID, str], tuple[object, ...]] = {}
    for batch in batches:
        head: tuple[UUID, datetime] = (batch.tenant_id, batch.received_at)
        for row in batch.rows:
            key = (batch.tenant_id, row.event_id)
            if key not in first:
                first[key] = head + cast("tuple[object, ...]", astuple(row))
    return first.values()


_PAST_EVENTS = """
    (
        SELECT event_id, type, product_id, quantity, extract(epoch FROM occurred_at)::float8 AS at_s
        FROM event
        WHERE {shopper} AND product_id IS NOT NULL AND type <> ALL ($2)
        ORDER BY occurred_at DESC LIMIT 100
    ) UNION (
        SELECT event_id, type, product_id, quantity, extract(epoch FROM occurred_at)::float8 AS at_s
        FROM event
        WHERE {shopper} AND product_id IS NOT NULL AND type = ANY ($3)
        ORDER BY occurred_at DESC LIMIT 20000
    )
    ORDER BY at_s DESC, event_id
"""
_PAST_EVENTS_OF = {
    "customer": _PAST_EVENTS.replace("{shopper}", "customer_id = $1"),
    "session": _PAST_EVENTS.replace("{shopper}", "session_id = $1 AND customer_id IS NULL"),
}


async def past_events(
    conn: Connection, whose: Literal["customer", "session"], shopper_id: str
) -> list[PastEvent]:
    """The newest 100 with a product that show a choice, and all purchases and refunds.

    Newest first.
    """
    records = await conn.fetch(_PAST_EVENTS_OF[whose], shopper_id, sorted(NO_CHOICE), sorted(TRADE))
    return [PastEvent(*record) for record in records]
