"""What the tests of events share: good events, waiting, and an installation to kill."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from litestar import Litestar
from msgspec import Struct, structs

from backend.app import create_app
from backend.db import Pool
from backend.settings import Settings
from backend.tenancy import tenant_connection
from infra.local.postgres import LocalPostgres
from infra.local.redis_server import LocalRedis
from tests.conftest import Shop, open_shop

PATIENCE_S = 30.0


async def until(holds: Callable[[], Awaitable[Any]], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that needs a moment."""
    deadline = time.monotonic() + patience_s
    while not await holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def event(event_id: str, **fields: object) -> dict[str, Any]:
    """A good event, but for what is said otherwise."""
    good = {
        "event_id": event_id,
        "type": "view",
        "customer_id": "ann",
        "product_id": "tea",
        "occurred_at": "2026-01-02T03:04:05Z",
    }
    return good | fields


def now() -> datetime:
    return datetime.now(UTC)


async def stored_ids(pool: Pool, shop: Shop) -> list[str]:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        rows = await conn.fetch("SELECT event_id FROM event ORDER BY event_id")
    return [row["event_id"] for row in rows]


class Fragile(Struct, frozen=True, kw_only=True):
    """An installation of its own: what is killed here disturbs no other test."""

    postgres: LocalPostgres
    redis: LocalRedis
    settings: Settings
    drains: "list[DrainProcess]"

    async def stored_ids(self, shop: Shop) -> list[str]:
        conn = await asyncpg.connect(self.postgres.url)
        try:
            rows = await conn.fetch(
                "SELECT event_id FROM event WHERE tenant_id = $1 ORDER BY event_id", shop.tenant_id
            )
        finally:
            await conn.close()
        return [row["event_id"] for row in rows]

    async def has_stored(self, shop: Shop, count: int) -> bool:
        return len(await self.stored_ids(shop)) >= count

    def start_drain(self) -> "DrainProcess":
        drain = DrainProcess(self.settings)
        self.drains.append(drain)
        return drain

    @asynccontextmanager
    async def web(self, **changes: object) -> AsyncIterator[tuple[Litestar, Shop]]:
        """The web process, with a shop of its own."""
        running = create_app(structs.replace(self.settings, **changes))
        async with running.lifespan():
            shop = await open_shop(running)
            async with shop.api, shop.storefront:
                yield running, shop


def environment(settings: Settings) -> dict[str, str]:
    """The settings as another process reads them."""
    fields = structs.asdict(settings)
    return {name.upper(): str(value) for name, value in fields.items() if value is not None}


class DrainProcess:
    """`python -m backend.events.drain` as it runs in production."""

    def __init__(self, settings: Settings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.events.drain"],
            env=os.environ | environment(settings),
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)
