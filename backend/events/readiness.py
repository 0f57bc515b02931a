"""What Aisle has of a shop: its data, what waits, what serves and how the last training went."""

import time

import msgspec
from redis import RedisError

from backend.cache import Redis
from backend.db import Connection, Pool
from backend.events import queries, stream
from backend.events.schemas import Counts, Readiness, Waiting
from backend.tenancy import TenantId, tenant_connection, tenant_key

KEPT_S = 5
KEPT_PER_SECOND_SPENT = 50
"""A large shop's counts are kept longer, so that counting takes 2 % of one connection at most."""


async def readiness(pool: Pool, redis: Redis, tenant_id: TenantId) -> Readiness:
    """Counts are a few seconds old at most, minutes in the largest shops; the rest is of now."""
    async with tenant_connection(pool, tenant_id) as conn:
        counts = await _kept_counts(redis, tenant_id) or await _count(conn, redis, tenant_id)
        return Readiness(
            products=counts.products,
            customers=counts.customers,
            events=counts.events,
            waiting=await _waiting(redis),
            dead_letters=await queries.count_dead_letters(conn),
            serving=await queries.serving_state(conn),
            last_training=await queries.last_training(conn),
        )


async def _kept_counts(redis: Redis, tenant_id: TenantId) -> Counts | None:
    try:
        kept = await redis.get(tenant_key(tenant_id, "counts"))
    except RedisError:
        return None
    return msgspec.msgpack.decode(kept, type=Counts) if isinstance(kept, bytes) else None


async def _count(conn: Connection, redis: Redis, tenant_id: TenantId) -> Counts:
    begun = time.monotonic()
    counts = await queries.counts(conn)
    spent_s = time.monotonic() - begun
    kept_s = max(KEPT_S, int(spent_s * KEPT_PER_SECOND_SPENT))
    try:
        encoded = msgspec.msgpack.encode(counts)
        await redis.set(tenant_key(tenant_id, "counts"), encoded, ex=kept_s)
    except RedisError:
        return counts
    return counts


async def _waiting(redis: Redis) -> Waiting | None:
    try:
        backlog = await stream.backlog(redis)
    except RedisError:
        return None
    return Waiting(requests=backlog.entries, oldest_s=backlog.oldest_s)
