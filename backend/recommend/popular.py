"""What is popular in each market: counted in PostgreSQL, shared in Redis, remembered here."""

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from backend.cache import Redis
from backend.db import UNREACHABLE, Pool
from backend.recommend import queries
from backend.recommend.queries import PopularProduct
from backend.recommend.signals import REDIS_FAILURES
from backend.tenancy import TenantId, tenant_connection, tenant_key

logger = logging.getLogger(__name__)

LONGEST = 500
FRESH_S = 60.0
REDIS_TTL_S = 600
KEPT_LISTS = 1_000
PATIENCE_S = 1.0
WINDOW = timedelta(days=90)
"""Twelve half-lives; older behaviour only counts for shops that have nothing newer."""

ListKey = tuple[TenantId, str | None]


class PopularUnavailable(Exception):
    """The list could not be made in time, and this process has no older one."""


class KeptList(Struct, frozen=True, gc=False):
    products: list[PopularProduct]
    made_at_s: float


class PopularLists:
    """An old list is better than none: it is renewed behind the answer, and never forgotten
    for a failure."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._redis = redis
        self._pool = pool
        self._kept: OrderedDict[ListKey, KeptList] = OrderedDict()
        self._making: dict[ListKey, asyncio.Task[list[PopularProduct]]] = {}

    async def popular(self, tenant_id: TenantId, market: str | None) -> list[PopularProduct]:
        """Best first. Raises PopularUnavailable."""
        key = (tenant_id, market)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept.made_at_s < FRESH_S:
            return kept.products
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(self._make(key))
            making.add_done_callback(lambda task: self._made(key, task))
        if kept is not None:
            return kept.products
        try:
            return await asyncio.wait_for(asyncio.shield(making), PATIENCE_S)
        except UNREACHABLE as error:
            raise PopularUnavailable(str(error)) from error

    async def close(self) -> None:
        making = list(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    async def _make(self, key: ListKey) -> list[PopularProduct]:
        tenant_id, market = key
        name = tenant_key(tenant_id, "popular", market or "")
        stored = await self._read(name)
        if stored is not None:
            return stored
        since = datetime.now(UTC) - WINDOW
        async with tenant_connection(self._pool, tenant_id) as conn:
            products = await queries.popular_products(conn, market, since, LONGEST)
            if not products:
                products = await queries.popular_products(conn, market, None, LONGEST)
        if products:
            await self._write(name, products)
        return products

    def _made(self, key: ListKey, task: asyncio.Task[list[PopularProduct]]) -> None:
        del self._making[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logger.warning("what is popular could not be counted: %s", error)
            kept = self._kept.get(key)
            products = kept.products if kept else None
        else:
            products = task.result()
        if products:
            self._kept[key] = KeptList(products, time.monotonic())
            self._kept.move_to_end(key)
        if len(self._kept) > KEPT_LISTS:
            self._kept.popitem(last=False)

    async def _read(self, name: str) -> list[PopularProduct] | None:
        try:
            stored = await self._redis.get(name)
        except REDIS_FAILURES:
            return None
        if not isinstance(stored, bytes):
            return None
        try:
            return msgspec.msgpack.decode(stored, type=list[PopularProduct])
        except msgspec.DecodeError:
            return None  # written by another version of the product

    async def _write(self, name: str, products: list[PopularProduct]) -> None:
        try:
            await self._redis.set(name, msgspec.msgpack.encode(products), ex=REDIS_TTL_S)
        except REDIS_FAILURES as error:
            logger.warning("the list of what is popular is not shared: %s", error)
