"""Keep the releases of all tenants on the disk of a serving machine, as Triton reads them."""

import asyncio
import logging
from pathlib import Path

import msgspec
from redis import RedisError

from backend.auth.queries import tenants
from backend.cache import Redis
from backend.db import UNREACHABLE, Pool
from backend.object_store import Depot, fetch_release
from backend.releases import ReleaseCache, follow_names, prune
from backend.tenancy import TenantId, directory_connection, tenant_connection
from backend.training import queries
from ml.release import ReleaseRejected
from storage.folder import FolderStore
from storage.store import StoreUnavailable, UnsafePath

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 60.0


def depot_into(depot: Depot, folder: Path) -> Depot:
    """The same store, with another folder to fetch into."""
    source = depot.remote or FolderStore(depot.folder)
    return msgspec.structs.replace(depot, folder=folder, remote=source)


async def fetch_in_service(pool: Pool, depot: Depot) -> int:
    """Fetch what is in service, and was before; gives how many are here. Safe to repeat.

    A release that is refused, or cannot be had now, leaves the others alone.
    """
    async with directory_connection(pool) as conn:
        everyone = [TenantId(tenant.id) for tenant in await tenants(conn)]
    here = 0
    for tenant_id in everyone:
        async with tenant_connection(pool, tenant_id) as conn:
            serving = await queries.serving(conn)
        if serving is None:
            continue
        needed = {name for name in (serving.release_id, serving.previous_release_id) if name}
        for release_id in needed:
            here += await asyncio.to_thread(is_fetched, depot, tenant_id, release_id)
        await asyncio.to_thread(prune, depot, tenant_id, needed)
    return here


def is_fetched(depot: Depot, tenant_id: TenantId, release_id: str) -> bool:
    try:
        fetch_release(depot, tenant_id, release_id)
    except (ReleaseRejected, StoreUnavailable, UnsafePath, OSError) as error:
        logger.error("release %s could not be fetched: %s", release_id, error)
        return False
    return True


async def keep_fetched(pool: Pool, redis: Redis, depot: Depot) -> None:
    """Fetch what is named as it is named, and look at all tenants each minute; until cancelled."""
    cache = ReleaseCache(depot)
    following = asyncio.create_task(follow_names(redis, cache))
    try:
        while True:
            try:
                await fetch_in_service(pool, depot)
            except (*UNREACHABLE, RedisError) as error:
                logger.warning("what is in service is unknown: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)
    finally:
        following.cancel()
        await cache.close()
