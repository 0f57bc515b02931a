"""The process that moves accepted events from the Redis stream into PostgreSQL.

At least once through the stream, once through the key of event ids: whatever dies, the entries
it held are taken over by a drain, and events that were stored already stay as they are.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import asyncpg
from redis import RedisError

from backend.cache import Redis, open_redis
from backend.db import UNREACHABLE, Pool, open_pool
from backend.events import queries, stream
from backend.events.dead_letters import bury
from backend.events.stream import Entry
from backend.settings import read_settings
from backend.tenancy import drain_connection

logger = logging.getLogger(__name__)

LANES = 2
"""While PostgreSQL works for one, the other reads and decodes."""
EVENTS_PER_TRANSACTION = 5000
FEWEST_ENTRIES = 10
MOST_ENTRIES = 1000
LOOK_FOR_LEFT_OVER_S = 1.0
SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
DATA_ERRORS = ("22", "23", "54")
"""Classes of SQLSTATE that blame the data: wrong values, constraints, limits of a row."""

Result = TypeVar("Result")


class Stopped(Exception):
    """Asked to end while waiting for PostgreSQL or Redis."""


async def drain(redis: Redis, pool: Pool, stopping: asyncio.Event) -> None:
    """Store entries until asked to stop; a begun batch is finished if the servers answer."""
    await asyncio.gather(*(_lane(redis, pool, stopping) for _ in range(LANES)))


async def _lane(redis: Redis, pool: Pool, stopping: asyncio.Event) -> None:
    count = FEWEST_ENTRIES
    look_at = 0.0
    clock = asyncio.get_running_loop().time
    with contextlib.suppress(Stopped):
        while not stopping.is_set():
            entries: list[Entry] = []
            if clock() >= look_at:
                entries = await patiently(stopping, partial(stream.left_over, redis, count))
                look_at = clock() + (0 if entries else LOOK_FOR_LEFT_OVER_S)
            if not entries:
                entries = await patiently(stopping, partial(stream.fresh, redis, count))
            for part in parts(entries):
                await patiently(stopping, partial(store, pool, part))
                await patiently(stopping, partial(stream.forget, redis, part))
            count = entries_to_read(entries, count)


async def patiently(stopping: asyncio.Event, work: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat until the servers answer. Raises Stopped."""
    pause_s = SHORTEST_PAUSE_S
    while True:
        try:
            return await work()
        except (*UNREACHABLE, asyncpg.PostgresError, RedisError) as error:
            logger.warning("waiting %.2f s: %s: %s", pause_s, type(error).__name__, error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        if stopping.is_set():
            raise Stopped
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


def parts(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Neighbours together, up to EVENTS_PER_TRANSACTION events in each list."""
    lists: list[list[Entry]] = []
    room = 0
    for entry in entries:
        if entry.size > room:
            lists.append([])
            room = EVENTS_PER_TRANSACTION
        lists[-1].append(entry)
        room -= entry.size
    return lists


def entries_to_read(read: list[Entry], before: int) -> int:
    """How many entries hold about EVENTS_PER_TRANSACTION events, going by the last ones."""
    if not read:
        return before
    average = max(1, sum(entry.size for entry in read) // len(read))
    return min(MOST_ENTRIES, max(FEWEST_ENTRIES, EVENTS_PER_TRANSACTION // average))


async def store(pool: Pool, entries: list[Entry]) -> None:
    """Store what can be stored; an entry that never can be goes to the dead letters.

    Raises what PostgreSQL raises when the data is not to blame. Safe to repeat.
    """
    for entry in entries:
        if entry.batch is None:
            await bury(pool, entry, "the entry cannot be read")
    batches = [entry.batch for entry in entries if entry.batch is not None]
    if not batches:
        return
    try:
        async with drain_connection(pool) as conn:
            await queries.insert_events(conn, batches)
    except (asyncpg.PostgresError, ValueError, OverflowError) as error:
        if isinstance(error, asyncpg.PostgresError) and not blames_data(error):
            raise
        await _isolate(pool, [entry for entry in entries if entry.batch is not None], error)


def blames_data(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "")[:2] in DATA_ERRORS


async def _isolate(pool: Pool, entries: list[Entry], error: Exception) -> None:
    if len(entries) == 1:
        await bury(pool, entries[0], str(error))
        return
    middle = len(entries) // 2
    await store(pool, entries[:middle])
    await store(pool, entries[middle:])


async def run() -> None:
    settings = read_settings()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    redis = open_redis(settings.redis_url)
    with contextlib.suppress(Stopped):
        pool = await patiently(stopping, lambda: open_pool(settings.drain_database_url, LANES))
        await drain(redis, pool, stopping)
        await pool.close()
    await redis.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s drain %(levelname)s %(message)s")
    asyncio.run(run())
