"""How a task of the worker reaches PostgreSQL and Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from backend.cache import Redis, open_redis
from backend.db import Pool, open_pool
from backend.settings import Settings


class Clients(NamedTuple):
    pool: Pool
    redis: Redis


def run(settings: Settings, work: Callable[[Clients], Awaitable[object]]) -> None:
    """Clients are opened for one task: a worker forks, and connections do not survive that."""

    async def with_clients() -> None:
        pool = await open_pool(settings.app_database_url, 2)
        redis = open_redis(settings.redis_url)
        try:
            await work(Clients(pool, redis))
        finally:
            await redis.aclose()
            await pool.close()

    asyncio.run(with_clients())
