"""The live catalogues of many tenants, read from PostgreSQL as they change."""

import asyncio
import logging
import time
from collections import OrderedDict

from backend.db import UNREACHABLE, Connection, Pool
from backend.recommend import queries
from backend.recommend.live_catalog import LiveCatalog
from backend.recommend.queries import CatalogPosition
from backend.recommend.signals import Checked, Counter
from backend.tenancy import TenantId, tenant_connection

logger = logging.getLogger(__name__)

CAPACITY_BYTES = 256 * 1024 * 1024
ROWS_PER_READ = 2_000
KEPT_POSITIONS = 20
FIRST_PATIENCE_S = 10.0
PATIENCE_S = 1.0


class CatalogUnavailable(Exception):
    """PostgreSQL fails and this process has never read the tenant's catalogue."""


class _Followed:
    """A catalogue and how far it has been read."""

    def __init__(self) -> None:
        self.catalog = LiveCatalog()
        self.checked: Checked | None = None
        self.settled_revision = 0
        """Every write up to this one has been read."""
        self.unsettled: list[CatalogPosition] = []
        self.reading = asyncio.Lock()


class LiveCatalogs:
    """At most `capacity_bytes` of catalogues, or one."""

    def __init__(self, pool: Pool, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._pool = pool
        self._capacity_bytes = capacity_bytes
        self._followed: OrderedDict[TenantId, _Followed] = OrderedDict()

    async def current(self, tenant_id: TenantId, counter: Counter) -> LiveCatalog:
        """The catalogue as of now, or as last known while PostgreSQL fails.

        Raises CatalogUnavailable.
        """
        followed = self._followed.get(tenant_id)
        if followed is None:
            followed = self._followed[tenant_id] = _Followed()
        self._followed.move_to_end(tenant_id)
        if followed.checked is None or followed.checked.is_outdated(counter):
            async with followed.reading:
                await self._catch_up(tenant_id, followed, counter)
            self._evict()
        return followed.catalog

    async def _catch_up(self, tenant_id: TenantId, followed: _Followed, counter: Counter) -> None:
        known = followed.checked
        if known is not None and not known.is_outdated(counter):
            return
        checked = Checked(counter, time.monotonic())
        try:
            async with (
                asyncio.timeout(PATIENCE_S if known else FIRST_PATIENCE_S),
                tenant_connection(self._pool, tenant_id) as conn,
            ):
                await read_changes(conn, followed)
        except UNREACHABLE as error:
            if known is None:
                raise CatalogUnavailable(str(error)) from error
            logger.warning("the live catalogue is served as last known: %s", error)
        followed.checked = checked

    def _evict(self) -> None:
        held = sum(followed.catalog.nbytes for followed in self._followed.values())
        while held > self._capacity_bytes and len(self._followed) > 1:
            _, evicted = self._followed.popitem(last=False)
            held -= evicted.catalog.nbytes


async def read_changes(conn: Connection, followed: _Followed) -> None:
    """Apply what was written since the last reading, and what was still uncommitted then."""
    position = await queries.catalog_position(conn)
    after = followed.settled_revision
    while rows := await queries.changed_products(conn, after, ROWS_PER_READ):
        followed.catalog.apply(rows)
        after = rows[-1].revision
        if len(rows) < ROWS_PER_READ:
            break
    # A write that this reading could not see had not begun at a position that is settled now.
    unsettled = [*followed.unsettled[-KEPT_POSITIONS:], position]
    settled = [p for p in unsettled if p.none_begun_from <= position.all_ended_below]
    followed.unsettled = unsettled[len(settled) :]
    if settled:
        followed.settled_revision = settled[-1].revision
