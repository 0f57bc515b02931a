"""Whether the process runs, and whether it can do its work."""

import asyncio

from litestar import get
from litestar.di import NamedDependency
from redis import RedisError

from backend.cache import Redis
from backend.db import UNREACHABLE, Pool
from backend.errors import Unavailable
from backend.tenancy import directory_connection

PATIENCE_S = 2.0


@get("/health/live", include_in_schema=False)
async def live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready", include_in_schema=False)
async def ready(pool: NamedDependency[Pool], redis: NamedDependency[Redis]) -> dict[str, str]:
    """503 names what does not answer."""
    answers = await asyncio.gather(_database_answers(pool), _redis_answers(redis))
    away = [name for name, is_up in zip(("PostgreSQL", "Redis"), answers, strict=True) if not is_up]
    if away:
        raise Unavailable(f"{' and '.join(away)} cannot be reached", retry_after_s=5)
    return {"status": "ready"}


async def _database_answers(pool: Pool) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S), directory_connection(pool) as conn:
            await conn.execute("SELECT 1")
    except UNREACHABLE:
        return False
    return True


async def _redis_answers(redis: Redis) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await redis.exists("ready")
    except (RedisError, OSError):
        return False
    return True
