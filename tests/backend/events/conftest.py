"""Drains, and an installation whose servers a test may kill."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from litestar import Litestar

from backend.db import open_pool
from backend.events.drain import LANES, drain
from backend.migrate import migrate
from backend.settings import Settings
from infra.local.postgres import LocalPostgres
from infra.local.redis_server import LocalRedis
from tests.backend.events.helping import Fragile


@pytest.fixture
async def drained(app: Litestar, settings: Settings) -> AsyncIterator[None]:
    """A drain works in the background."""
    pool = await open_pool(settings.drain_database_url, LANES)
    work = asyncio.create_task(drain(app.state.redis, pool, asyncio.Event()))
    yield
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    pool.terminate()


@pytest.fixture(scope="session")
def fragile_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LocalPostgres, LocalRedis]]:
    folder = tmp_path_factory.mktemp("fragile")
    servers = LocalPostgres(folder), LocalRedis(folder)
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.remove()


@pytest.fixture
async def fragile(
    fragile_servers: tuple[LocalPostgres, LocalRedis], tmp_path: Path
) -> AsyncIterator[Fragile]:
    postgres, redis = fragile_servers
    postgres.start()
    redis.start()
    address = postgres.url.rpartition("@")[2]
    settings = Settings(
        database_url=postgres.url,
        app_database_url=f"postgresql://fragile_app:secret@{address}",
        drain_database_url=f"postgresql://fragile_drain:secret@{address}",
        redis_url=redis.url,
        aisle_state_dir=tmp_path,
    )
    await migrate(settings)
    installation = Fragile(postgres=postgres, redis=redis, settings=settings, drains=[])
    yield installation
    for process in installation.drains:
        process.kill()
