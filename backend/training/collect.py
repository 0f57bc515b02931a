"""Releases and training sets that nobody needs any more leave the object store."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from backend.auth.queries import tenants
from backend.db import Pool
from backend.object_store import DATASETS, RELEASES, Depot
from backend.releases import prune
from backend.tenancy import TenantId, directory_connection, tenant_connection
from backend.training import queries
from storage.folder import FolderStore
from storage.store import ObjectStore, StoreUnavailable

logger = logging.getLogger(__name__)

KEPT_RELEASES = 3
UNREFERENCED = timedelta(hours=24)


async def collect_garbage(pool: Pool, depot: Depot) -> int:
    """Give how many folders were removed, over all tenants.

    Kept are the release in service, the one before it, the newest up to three in all, and whatever
    was written or in service within 24 hours. Safe to repeat, also at the same time: a release is
    first marked, so that it is not promoted any more, and its files go afterwards.
    """
    async with directory_connection(pool) as conn:
        everyone = [TenantId(tenant.id) for tenant in await tenants(conn)]
    removed = 0
    for tenant_id in everyone:
        try:
            removed += await collect_of(pool, depot, tenant_id)
        except (StoreUnavailable, OSError) as error:
            logger.warning("what %s no longer needs stays for now: %s", tenant_id, error)
    return removed


async def collect_of(pool: Pool, depot: Depot, tenant_id: TenantId) -> int:
    async with tenant_connection(pool, tenant_id) as conn:
        await queries.hold_releases(conn)
        await queries.mark_removed(conn, KEPT_RELEASES, UNREFERENCED)
        states = await queries.release_states(conn)
        in_service = await queries.serving(conn)
    store = depot.remote or FolderStore(depot.folder)
    kept = {state.release_id for state in states if not state.is_removed}
    gone = {state.release_id for state in states if state.is_removed}
    releases = (RELEASES, str(tenant_id))
    removed = await asyncio.to_thread(remove_unknown, store, releases, kept, gone)
    async with tenant_connection(pool, tenant_id) as conn:
        training = set(await queries.unfinished_jobs(conn))
    sets = (DATASETS, str(tenant_id))
    for place in filter(None, (depot.remote, FolderStore(depot.folder))):
        removed += await asyncio.to_thread(remove_unknown, place, sets, training, set())
    needed = (in_service.release_id, in_service.previous_release_id) if in_service else ()
    await asyncio.to_thread(prune, depot, tenant_id, {name for name in needed if name})
    return removed


def remove_unknown(
    store: ObjectStore, parts: tuple[str, ...], kept: set[str], gone: set[str]
) -> int:
    """Remove what is `gone`, and what is not `kept` and was last written long ago."""
    long_ago = datetime.now(UTC) - UNREFERENCED
    old = [
        folder.name
        for folder in store.folders(*parts)
        if folder.name in gone or (folder.name not in kept and folder.written_at < long_ago)
    ]
    for name in old:
        store.remove(*parts, name)
        logger.info("removed %s", "/".join([*parts, name]))
    return len(old)
