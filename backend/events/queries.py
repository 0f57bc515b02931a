"""SQL of events."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from msgspec.structs import astuple

from backend.db import Connection
from backend.events.schemas import EventBatch, EventRow

INCOMING_COLUMNS = ("tenant_id", "received_at", *EventRow.__struct_fields__)


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
