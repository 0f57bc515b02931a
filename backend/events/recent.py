"""What a shopper did lately: Redis knows the last minutes, PostgreSQL the years before.

An event belongs to its customer, or to its session while it names none.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from redis import RedisError
from ulid import ULID

from backend.cache import Redis
from backend.db import UNREACHABLE, Pool
from backend.events import queries
from backend.events.history import Lately, ShopperHistory, StoredHistory, merge, summarise
from backend.events.queries import NO_CHOICE, Whose
from backend.events.schemas import EventBatch
from backend.tenancy import TenantId, tenant_connection, tenant_key, tenant_keys

logger = logging.getLogger(__name__)

LATELY_OF = "did"
TOLD_S = 60
"""Longer than anybody remembers an answer that rests on what was told before."""
MOST_LATELY = 200
TRIMMED_EVERY = 50
"""So many entries more than MOST_LATELY a shopper's list may have for a while."""
LATELY_S = 7 * 24 * 3600
STORED_S = 3600
REDIS_PATIENCE_S = 0.25
DATABASE_PATIENCE_S = 2.0


class Warm(Struct, frozen=True, kw_only=True):
    """One answer of Redis about one or two shoppers."""

    revision: bytes | None
    stored: list[StoredHistory | None]
    lately: list[Lately]
    """In the order of arrival."""


LATELY = msgspec.json.Decoder(Lately)
LATELY_ENCODER = msgspec.json.Encoder()
STORED = msgspec.msgpack.Decoder(StoredHistory)
ENCODER = msgspec.msgpack.Encoder()


def lately_key(tenant_id: TenantId, whose: Whose, shopper_id: str) -> str:
    """A list; its last entry is another one after every event of the shopper."""
    return tenant_key(tenant_id, LATELY_OF, whose, shopper_id)


def history_key(tenant_id: TenantId, whose: Whose, shopper_id: str) -> str:
    return tenant_key(tenant_id, "past", whose, shopper_id)


def told_key(tenant_id: TenantId, customer_id: str) -> str:
    """Holds something else after every change of what the shop tells of a customer."""
    return tenant_key(tenant_id, "told", customer_id)


def revision_key(tenant_id: TenantId) -> str:
    """Grows when events arrive by another way than the stream, and when many customers change."""
    return tenant_key(tenant_id, "events", "revision")


def lately_by_shopper(batch: EventBatch) -> dict[str, list[str]]:
    """Entries to add to the list under each key."""
    tenant_id = TenantId(batch.tenant_id)
    of_customer = tenant_keys(tenant_id, LATELY_OF, "customer")
    of_session = tenant_keys(tenant_id, LATELY_OF, "session")
    told = [row for row in batch.rows if row.product_id is not None and row.type not in NO_CHOICE]
    entries = [
        Lately(
            row.event_id, row.type, row.product_id or "", row.quantity, row.occurred_at.timestamp()
        )
        for row in told
    ]
    added: dict[str, list[str]] = {}
    # one call for all lines: JSON escapes line ends
    lines = LATELY_ENCODER.encode_lines(entries).decode().split("\n")
    for row, line in zip(told, lines, strict=False):
        customer_id = row.customer_id
        key = of_session(row.session_id or "") if customer_id is None else of_customer(customer_id)
        added.setdefault(key, []).append(line)
    return added


async def shopper_history(
    redis: Redis,
    pool: Pool,
    tenant_id: TenantId,
    customer_id: str | None,
    session_id: str | None,
) -> ShopperHistory:
    """What is known of a customer, a session or both as one; an accepted event is in it at once.

    Reads PostgreSQL when Redis has no copy or is down, and does without when PostgreSQL is.
    """
    shoppers = shoppers_of(customer_id, session_id)
    warm = await _read_redis(redis, tenant_id, shoppers)
    stored: list[StoredHistory] = []
    for position, shopper in enumerate(shoppers):
        kept = warm.stored[position] if warm else None
        history = kept or await _load(pool, tenant_id, shopper, warm.revision if warm else None)
        if history is None:
            continue
        stored.append(history)
        if warm and kept is None:
            await _store(redis, history_key(tenant_id, *shopper), history)
    return merge(stored, warm.lately if warm else [], is_complete=len(stored) == len(shoppers))


async def forget_histories(redis: Redis, tenant_id: TenantId, customer_ids: Iterable[str]) -> None:
    """After the commit of what is told of customers. Without Redis there is nothing to forget."""
    names = list(customer_ids)
    if not names:
        return
    pipeline: Any = redis.pipeline(transaction=True)
    pipeline.delete(*(history_key(tenant_id, "customer", name) for name in names))
    for name in names:
        pipeline.set(told_key(tenant_id, name), str(ULID()), ex=TOLD_S)
    try:
        await pipeline.execute()
    except (RedisError, OSError) as error:
        logger.warning("what was kept of changed customers could not be deleted: %s", error)


def shoppers_of(customer_id: str | None, session_id: str | None) -> list[tuple[Whose, str]]:
    shoppers: list[tuple[Whose, str]] = []
    if customer_id is not None:
        shoppers.append(("customer", customer_id))
    if session_id is not None:
        shoppers.append(("session", session_id))
    return shoppers


async def _read_redis(
    redis: Redis, tenant_id: TenantId, shoppers: list[tuple[Whose, str]]
) -> Warm | None:
    """One round trip; None when Redis does not answer in time."""
    pipeline: Any = redis.pipeline(transaction=False)
    stored_keys = [history_key(tenant_id, *shopper) for shopper in shoppers]
    pipeline.mget([revision_key(tenant_id), *stored_keys])
    for shopper in shoppers:
        pipeline.lrange(lately_key(tenant_id, *shopper), -MOST_LATELY, -1)
    try:
        async with asyncio.timeout(REDIS_PATIENCE_S):
            (revision, *blobs), *lists = await pipeline.execute()
    except (RedisError, OSError) as error:
        logger.warning("recent behaviour is read without Redis: %s", error)
        return None
    return Warm(
        revision=revision,
        stored=[_usable(blob, revision) for blob in blobs],
        lately=[LATELY.decode(entry) for found in lists for entry in found],
    )


def _usable(blob: bytes | None, revision: bytes | None) -> StoredHistory | None:
    stored = None if blob is None else STORED.decode(blob)
    return stored if stored is not None and stored.revision == revision else None


async def _load(
    pool: Pool, tenant_id: TenantId, shopper: tuple[Whose, str], revision: bytes | None
) -> StoredHistory | None:
    """None when PostgreSQL is down."""
    try:
        async with (
            asyncio.timeout(DATABASE_PATIENCE_S),
            tenant_connection(pool, tenant_id) as conn,
        ):
            events = await queries.past_events(conn, *shopper)
            whose, shopper_id = shopper
            customer = (
                await queries.past_customer(conn, shopper_id)
                if whose == "customer"
                else queries.PastCustomer()
            )
    except UNREACHABLE as error:
        logger.warning("a shopper's history is read without PostgreSQL: %s", error)
        return None
    return summarise(events, customer, revision)


async def _store(redis: Redis, key: str, stored: StoredHistory) -> None:
    try:
        async with asyncio.timeout(REDIS_PATIENCE_S):
            await redis.set(key, ENCODER.encode(stored), ex=STORED_S)
    except (RedisError, OSError) as error:
        logger.warning("a shopper's history could not be kept in Redis: %s", error)
