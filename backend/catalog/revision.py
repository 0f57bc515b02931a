"""Tells the processes that serve that a shop's catalogue changed."""

import logging

from redis import RedisError

from backend.cache import Redis
from backend.tenancy import TenantId, tenant_key

logger = logging.getLogger(__name__)


async def announce_change(redis: Redis, tenant_id: TenantId) -> None:
    """After the commit. Without Redis readers find out a little later by themselves."""
    try:
        await redis.incr(tenant_key(tenant_id, "catalog", "revision"))
    except (RedisError, OSError) as error:
        logger.warning("a change of the catalogue could not be announced: %s", error)
