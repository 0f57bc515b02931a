"""SQL of events."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from backend.db import Connection, row_to, rows_to
from backend.events.schemas import (
    Counts,
    EventBatch,
    EventCounts,
    EventRow,
    ServingState,
    StoredEvent,
    TrainingState,
    UnknownProducts,
)

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

    Of several with one id one counts. `conn` is in a transaction: of `tenant_connection`,
    then all batches are that shop's, or of `drain_connection`. Safe to repeat.
    """
    records = _one_of_each_id(batches)
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
            ORDER BY tenant_id, event_id -- so that two transactions with equal ids cannot deadlock
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


def _one_of_each_id(batches: Sequence[EventBatch]) -> Iterable[tuple[object, ...]]:
    chosen: dict[tuple[UUID, str], tuple[object, ...]] = {}
    for batch in batches:
        head: tuple[UUID, datetime] = (batch.tenant_id, batch.received_at)
        for row in batch.rows:
            key = (batch.tenant_id, row.event_id)
            if key not in chosen:
                chosen[key] = head + cast("tuple[object, ...]", astuple(row))
    return chosen.values()


Whose = Literal["customer", "session"]
_OWNER: dict[Whose, str] = {
    "customer": "customer_id = $1",
    "session": "session_id = $1 AND customer_id IS NULL",
}
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
    whose: _PAST_EVENTS.replace("{shopper}", is_theirs) for whose, is_theirs in _OWNER.items()
}


async def past_events(conn: Connection, whose: Whose, shopper_id: str) -> list[PastEvent]:
    """The newest 100 with a product that show a choice, and all purchases and refunds.

    Newest first.
    """
    records = await conn.fetch(_PAST_EVENTS_OF[whose], shopper_id, sorted(NO_CHOICE), sorted(TRADE))
    return [PastEvent(*record) for record in records]


class PastCustomer(Struct, frozen=True, gc=False):
    """What the shop told of a customer."""

    country: str | None = None
    attributes: object = None
    """Decoded JSON."""


async def past_customer(conn: Connection, customer_id: str) -> PastCustomer:
    record = await conn.fetchrow(
        "SELECT country, attributes FROM customer WHERE customer_id = $1", customer_id
    )
    return row_to(PastCustomer, record) or PastCustomer()


class EventPosition(Struct, frozen=True):
    occurred_at: datetime
    event_id: str


_LAST = EventPosition(datetime.max.replace(tzinfo=UTC), "")
_EVENTS_BEFORE = """
    SELECT event_id, type, customer_id, session_id, product_id, occurred_at, quantity, price_cents,
           currency, recommendation_id, dwell_ms, context
    FROM event
    WHERE {shopper} AND (occurred_at, event_id) < ($2, $3)
    ORDER BY occurred_at DESC, event_id DESC LIMIT $4
"""
_EVENTS_BEFORE_OF = {
    whose: _EVENTS_BEFORE.replace("{shopper}", is_theirs) for whose, is_theirs in _OWNER.items()
}


async def events_before(
    conn: Connection, whose: Whose, shopper_id: str, before: EventPosition | None, limit: int
) -> list[StoredEvent]:
    """Newest first."""
    place = before or _LAST
    records = await conn.fetch(
        _EVENTS_BEFORE_OF[whose], shopper_id, place.occurred_at, place.event_id, limit
    )
    return rows_to(StoredEvent, records)


class DeadLetterRow(Struct, frozen=True, kw_only=True):
    entry_id: str
    payload: bytes
    reason: str
    failed_at: datetime


class LetterPosition(Struct, frozen=True):
    failed_at: datetime
    entry_id: str


async def insert_dead_letter(
    conn: Connection, tenant_id: UUID, entry_id: str, payload: bytes, reason: str
) -> None:
    """Safe to repeat. `conn` comes from `drain_connection`."""
    await conn.execute(
        """
        INSERT INTO event_dead_letter (tenant_id, entry_id, payload, reason)
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
        """,
        tenant_id,
        entry_id,
        payload,
        reason,
    )


async def dead_letter_page(
    conn: Connection, after: LetterPosition | None, limit: int
) -> list[DeadLetterRow]:
    """Newest first."""
    place = after or LetterPosition(_LAST.occurred_at, "")
    records = await conn.fetch(
        """
        SELECT entry_id, payload, reason, failed_at FROM event_dead_letter
        WHERE (failed_at, entry_id) < ($1, $2)
        ORDER BY failed_at DESC, entry_id DESC LIMIT $3
        """,
        place.failed_at,
        place.entry_id,
        limit,
    )
    return rows_to(DeadLetterRow, records)


async def dead_letter_payload(conn: Connection, entry_id: str) -> bytes | None:
    """Locked until the transaction ends."""
    return await conn.fetchval(
        "SELECT payload FROM event_dead_letter WHERE entry_id = $1 FOR UPDATE", entry_id
    )


async def delete_dead_letter(conn: Connection, entry_id: str) -> None:
    await conn.execute("DELETE FROM event_dead_letter WHERE entry_id = $1", entry_id)


async def count_dead_letters(conn: Connection) -> int:
    return await conn.fetchval("SELECT count(*) FROM event_dead_letter")


COUNTS = """
    WITH mine AS (
        -- Two halves that are everything, each with an index that leads to this shop's rows.
        SELECT type, product_id, occurred_at FROM event WHERE customer_id IS NOT NULL
        UNION ALL
        SELECT type, product_id, occurred_at FROM event
        WHERE session_id IS NOT NULL AND customer_id IS NULL
    ), grouped AS MATERIALIZED (
        SELECT type, product_id, count(*) AS n, min(occurred_at) AS first_at,
               max(occurred_at) AS last_at
        FROM mine GROUP BY type, product_id
    ), typed AS (
        SELECT type, sum(n)::bigint AS n FROM grouped GROUP BY type
    ), unknown AS (
        SELECT product_id, sum(n)::bigint AS n FROM grouped
        WHERE product_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM product WHERE product.product_id = grouped.product_id)
        GROUP BY product_id
    )
    SELECT (SELECT count(*) FROM product WHERE deleted_at IS NULL) AS products,
           (SELECT count(*) FROM customer) AS customers,
           coalesce(sum(n), 0)::bigint AS total,
           min(first_at) AS first_at,
           max(last_at) AS last_at,
           (SELECT coalesce(jsonb_object_agg(type, n), '{}') FROM typed) AS by_type,
           (SELECT coalesce(sum(n), 0)::bigint FROM unknown) AS unknown_events,
           ARRAY(
               SELECT product_id FROM unknown ORDER BY n DESC, product_id LIMIT 20
           ) AS unknown_examples
    FROM grouped
"""


async def counts(conn: Connection) -> Counts:
    """Reads every event of the shop once."""
    [record] = await conn.fetch(COUNTS)
    unknown = UnknownProducts(events=record["unknown_events"], examples=record["unknown_examples"])
    return Counts(
        products=record["products"],
        customers=record["customers"],
        events=EventCounts(
            total=record["total"],
            by_type=record["by_type"],
            first_at=record["first_at"],
            last_at=record["last_at"],
            unknown_products=unknown,
        ),
    )


async def serving_state(conn: Connection) -> ServingState | None:
    record = await conn.fetchrow(
        """
        SELECT release_id, champion, passed, verdict, switched_at
        FROM serving JOIN release USING (tenant_id, release_id)
        """
    )
    return row_to(ServingState, record)


async def last_training(conn: Connection) -> TrainingState | None:
    record = await conn.fetchrow(
        """
        SELECT job_id, state, stage, progress, reason, created_at, finished_at
        FROM training_job ORDER BY created_at DESC LIMIT 1
        """
    )
    return row_to(TrainingState, record)
