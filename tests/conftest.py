"""A real PostgreSQL and Redis, the running app, and a shop of its own for each test."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from litestar import Litestar
from msgspec import Struct

from backend.app import create_app
from backend.auth import queries
from backend.auth.keys import create_key
from backend.cache import Redis
from backend.db import Pool
from backend.migrate import migrate
from backend.settings import Settings
from backend.tenancy import TenantId, directory_connection
from infra.local.services import Services, ServiceUnavailable, start_services
from infra.local.triton_server import LocalTriton

BASE_URL = "http://aisle.test"


class Shop(Struct, frozen=True, kw_only=True):
    """One merchant, with a client that sends the secret key and one that sends the other."""

    tenant_id: TenantId
    slug: str
    secret_key: str
    publishable_key: str
    api: httpx.AsyncClient
    storefront: httpx.AsyncClient

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Header names with underscores for hyphens: `idempotency_key="1"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.post(path, json=body, headers=named)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        return await self.api.get(path, params=params)

    async def has_products(self, *products: dict[str, Any]) -> None:
        """Products need no more than a `product_id`."""
        rows = [{"title": row["product_id"], **row} for row in products]
        answer = await self.post("/v1/products", {"products": rows})
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The servers DATABASE_URL and REDIS_URL name, or private ones that vanish afterwards."""
    running = start_services(tmp_path_factory.mktemp("services"))
    yield running
    running.stop()
    for server in (running.postgres, running.redis):
        if server:
            server.remove()


def login_url(services: Services, name: str) -> str:
    parts = urlsplit(services.database_url)
    password = hashlib.sha256(services.database_url.encode()).hexdigest()
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:{password}@{address}").geturl()


@pytest.fixture(scope="session")
def installation_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def triton(installation_dir: Path) -> Iterator[LocalTriton]:
    """A real server of the releases that the tests put into service."""
    server = LocalTriton(installation_dir / "servers", installation_dir / "objects" / "releases")
    try:
        server.start()
    except ServiceUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.kill()
    server.remove()


@pytest.fixture(scope="session")
async def settings(
    services: Services, installation_dir: Path, request: pytest.FixtureRequest
) -> Settings:
    """Of an installation whose database is up to date.

    AISLE_INFERENCE=triton runs the tests against an installation that asks Triton.
    """
    asks_triton = os.environ.get("AISLE_INFERENCE") == "triton"
    url = request.getfixturevalue("triton").url if asks_triton else "127.0.0.1:1"
    chosen = Settings(
        database_url=services.database_url,
        app_database_url=login_url(services, "aisle_test_app"),
        drain_database_url=login_url(services, "aisle_test_drain"),
        redis_url=services.redis_url,
        aisle_state_dir=installation_dir,
        aisle_inference="triton" if asks_triton else "embedded",
        aisle_triton_url=url,
        aisle_triton_deadline_ms=10_000,
        aisle_pool_size=16,
    )
    await migrate(chosen)
    return chosen


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    """The app as the web process runs it."""
    running = create_app(settings)
    started, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        # In one task from start to end: a fixture's two halves are two tasks.
        async with running.lifespan():
            started.set()
            await stop.wait()

    serving = asyncio.create_task(serve())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        await serving
    yield running
    stop.set()
    await serving


@pytest.fixture
def pool(app: Litestar) -> Pool:
    return app.state.pool


@pytest.fixture
def redis(app: Litestar) -> Redis:
    return app.state.redis


def client_of(app: Litestar, key: str | None = None) -> httpx.AsyncClient:
    """A client inside this process; what the app raises unhandled, the test sees."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)


@pytest.fixture
async def anyone(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with client_of(app) as client:
        yield client


async def open_shop(app: Litestar) -> Shop:
    slug = f"shop-{secrets.token_hex(6)}"
    async with directory_connection(app.state.pool) as conn:
        tenant_id = await queries.insert_tenant(conn, slug, slug)
    assert tenant_id is not None
    secret = await create_key(app.state.pool, tenant_id, "sec")
    publishable = await create_key(app.state.pool, tenant_id, "pub")
    return Shop(
        tenant_id=tenant_id,
        slug=slug,
        secret_key=secret.key,
        publishable_key=publishable.key,
        api=client_of(app, secret.key),
        storefront=client_of(app, publishable.key),
    )


@pytest.fixture
async def shop(app: Litestar) -> AsyncIterator[Shop]:
    """A merchant nobody else has seen."""
    opened = await open_shop(app)
    async with opened.api, opened.storefront:
        yield opened


@pytest.fixture
async def other_shop(app: Litestar) -> AsyncIterator[Shop]:
    """A second merchant in the same installation."""
    opened = await open_shop(app)
    async with opened.api, opened.storefront:
        yield opened
