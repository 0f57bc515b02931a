"""Which release serves each tenant, as this process knows it."""

import asyncio
import logging
import time
from collections import OrderedDict

from msgspec import Struct

from backend.db import UNREACHABLE, Pool
from backend.recommend import queries
from backend.recommend.queries import NONE_YET, InService
from backend.recommend.signals import Checked, Counter
from backend.tenancy import TenantId, tenant_connection

logger = logging.getLogger(__name__)

KEPT_TENANTS = 10_000
PATIENCE_S = 1.0


class Pointer(Struct, frozen=True):
    releases: InService
    checked: Checked


class ServingPointers:
    """Remembers pointers, so that a lost database does not end the serving of models."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: OrderedDict[TenantId, Pointer] = OrderedDict()

    async def in_service(self, tenant_id: TenantId, counter: Counter) -> InService:
        """As last known when PostgreSQL fails."""
        known = self._known.get(tenant_id)
        if known is not None and not known.checked.is_outdated(counter):
            return known.releases
        checked = Checked(counter, time.monotonic())
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                tenant_connection(self._pool, tenant_id) as conn,
            ):
                releases = await queries.in_service(conn)
        except UNREACHABLE as error:
            logger.warning("the serving pointer could not be read: %s", error)
            releases = known.releases if known else NONE_YET
        self._known[tenant_id] = Pointer(releases, checked)
        self._known.move_to_end(tenant_id)
        if len(self._known) > KEPT_TENANTS:
            self._known.popitem(last=False)
        return releases
