"""Events: accepted through HTTP, and moved from the stream into PostgreSQL."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Generator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import psutil
from msgspec.structs import astuple

from backend.cache import Redis, open_redis
from backend.db import Connection, Pool, open_pool
from backend.events import stream
from backend.events.drain import EVENTS_PER_TRANSACTION, LANES, drain
from backend.events.judge import judge
from backend.events.parse import SERVER
from backend.events.queries import INCOMING_COLUMNS
from backend.events.schemas import EventBatch
from backend.tenancy import TenantId
from infra.local.services import owner_url
from tests.benchmarks.big_release import product_ids
from tests.benchmarks.imports import CUSTOMERS, customer_id
from tests.benchmarks.load import loaded, request_bytes
from tests.benchmarks.rows import Row, median
from tests.benchmarks.stack import Server, Stack

PER_BATCH = 100
BATCHES = 300
CONNECTIONS = 4
ROUNDS = 5
DRAINED = 200
ASK_EVERY_S = 0.002
PATIENCE_S = 120
NUMBERS = itertools.count()
PRODUCTS = product_ids()
SPARE_DATABASE = 1
CEILING_TABLE = """
    CREATE TABLE bench_event (
        tenant_id uuid, received_at timestamptz, event_id text, type text, customer_id text,
        session_id text, product_id text, occurred_at timestamptz, quantity integer,
        price_cents bigint, currency text, recommendation_id text, dwell_ms integer, context text,
        PRIMARY KEY (tenant_id, event_id)
    );
    CREATE INDEX ON bench_event (tenant_id, customer_id, occurred_at DESC);
"""


async def accepting_rows(stack: Stack) -> list[Row]:
    """The drain rests meanwhile: storing is measured by itself."""
    ratios: list[float] = []
    for round_number in range(ROUNDS + 1):
        with _resting_drain():
            ours, ceiling = [await _accepted_per_s(stack, one) for one in stack.servers]
        await _until_empty(stack.redis)
        if round_number:
            ratios.append(ours / ceiling)
    return [
        Row(
            name=f"events accepted (batches of {PER_BATCH}) ÷ ceiling",
            value=median(ratios),
            unit="",
            must=">=",
            bar=0.5,
        )
    ]


async def _accepted_per_s(stack: Stack, server: Server) -> float:
    requests = [request_bytes("/v1/events", _body(), stack.headers) for _ in range(BATCHES)]
    return (await loaded(server.port, requests, CONNECTIONS, BATCHES, server.pid)).per_s


def _is_drain(process: psutil.Process) -> bool:
    try:
        return "backend.events.drain" in process.cmdline()
    except psutil.NoSuchProcess:
        return False  # children of the others come and go


@contextlib.contextmanager
def _resting_drain() -> Generator[None]:
    drains = [child for child in psutil.Process().children(recursive=True) if _is_drain(child)]
    for process in drains:
        process.suspend()
    try:
        yield
    finally:
        for process in drains:
            process.resume()


async def draining_rows(stack: Stack) -> list[Row]:
    """The drain on a stream of its own; COPY and ON CONFLICT into a table like the product's."""
    await _until_empty(stack.redis)
    url = urlsplit(stack.site.environment["REDIS_URL"])._replace(path=f"/{SPARE_DATABASE}")
    redis = open_redis(url.geturl())
    pool = await open_pool(stack.site.environment["DRAIN_DATABASE_URL"], LANES)
    owner = await open_pool(owner_url(stack.site.state_dir), 1)
    async with owner.acquire() as conn:
        await conn.execute(CEILING_TABLE)
        ratios: list[float] = []
        for round_number in range(ROUNDS + 1):
            took_s = await _drained_s(redis, pool, _batches(stack.tenant_id))
            least_s = await _copied_s(conn, _batches(stack.tenant_id))
            if round_number:
                ratios.append(least_s / took_s)
        await conn.execute("DROP TABLE bench_event")
    await owner.close()
    await pool.close()
    await redis.aclose()
    return [
        Row(name="drain, events/s ÷ ceiling", value=median(ratios), unit="", must=">=", bar=0.5)
    ]


async def _drained_s(redis: Redis, pool: Pool, batches: list[EventBatch]) -> float:
    """From a full stream to an empty one."""
    for batch in batches:
        await stream.append(redis, batch, stream.encode(batch))
    stopping = asyncio.Event()
    begun = time.perf_counter()
    draining = asyncio.create_task(drain(redis, pool, stopping))
    await _until_empty(redis)
    took_s = time.perf_counter() - begun
    stopping.set()
    await draining
    return took_s


async def _copied_s(conn: Connection, batches: list[EventBatch]) -> float:
    records = [
        (batch.tenant_id, batch.received_at, *astuple(row))
        for batch in batches
        for row in batch.rows
    ]
    begun = time.perf_counter()
    for start in range(0, len(records), EVENTS_PER_TRANSACTION):
        part = records[start : start + EVENTS_PER_TRANSACTION]
        async with conn.transaction():
            await conn.execute(
                "CREATE TEMP TABLE arriving (LIKE bench_event INCLUDING DEFAULTS) ON COMMIT DROP"
            )
            await conn.copy_records_to_table("arriving", records=part, columns=INCOMING_COLUMNS)
            await conn.execute(
                "INSERT INTO bench_event SELECT * FROM arriving ON CONFLICT DO NOTHING"
            )
    return time.perf_counter() - begun


async def _until_empty(redis: Redis) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if not (await stream.backlog(redis)).entries:
                return
            await asyncio.sleep(ASK_EVERY_S)


def _body() -> bytes:
    """PER_BATCH events that nobody sent before."""
    now = datetime.now(UTC)
    events = [
        {
            "event_id": uuid4().hex,
            "type": "view",
            "customer_id": customer_id(next(NUMBERS) % CUSTOMERS),
            "product_id": PRODUCTS[next(NUMBERS) % len(PRODUCTS)],
            "occurred_at": now.isoformat(),
        }
        for _ in range(PER_BATCH)
    ]
    return msgspec.json.encode({"events": events})


def _batches(tenant_id: TenantId) -> list[EventBatch]:
    now = datetime.now(UTC)
    return [
        EventBatch(tenant_id=tenant_id, received_at=now, rows=judge(_body(), SERVER, now).rows)
        for _ in range(DRAINED)
    ]
