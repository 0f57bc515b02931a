"""Everything running on loopback, with one shop in it, and the ceiling beside it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from msgspec import Struct

from backend.auth.keys import create_key
from backend.auth.queries import insert_tenant
from backend.cache import Redis, open_redis
from backend.db import open_pool
from backend.tenancy import TenantId, directory_connection, tenant_connection
from backend.training.queries import insert_release, serve
from backend.training.schedule import checked
from infra.local.state import free_port
from infra.local.up import Site, running
from ml.release import verify_release
from tests.benchmarks.big_release import write_big_release

RELEASE = "bench"
PATIENCE_S = 60
MANY_PER_S = "1000000"
ASK_EVERY_S = 0.05


class Shop(NamedTuple):
    tenant_id: TenantId
    key: str


class Server(Struct, frozen=True, kw_only=True):
    port: int
    pid: int


class Stack(Struct, frozen=True, kw_only=True):
    site: Site
    tenant_id: TenantId
    key: str
    client: httpx.AsyncClient
    """Sends the key."""
    redis: Redis
    product: Server
    ceiling: Server

    @property
    def servers(self) -> tuple[Server, Server]:
        """The product and its ceiling."""
        return self.product, self.ceiling

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


@contextlib.contextmanager
def site(**settings: str) -> Generator[Site]:
    """No rate is limited: what is measured comes from one key."""
    for name in ("AISLE_RATE_RECOMMEND", "AISLE_RATE_EVENTS", "AISLE_RATE_OTHER"):
        os.environ[name] = MANY_PER_S
    os.environ |= settings
    with running() as started:
        yield started


@contextlib.asynccontextmanager
async def stack(started: Site, shop: Shop) -> AsyncGenerator[Stack]:
    tenant_id, key = shop
    redis = open_redis(started.environment["REDIS_URL"])
    headers = {"authorization": f"Bearer {key}"}
    client = httpx.AsyncClient(base_url=started.base_url, headers=headers, timeout=60)
    with _ceiling(started) as ceiling:
        await _until_listening(ceiling.port)
        port = httpx.URL(started.base_url).port or 80
        async with client:
            yield Stack(
                site=started,
                tenant_id=tenant_id,
                key=key,
                client=client,
                redis=redis,
                product=Server(port=port, pid=_listening(port)),
                ceiling=ceiling,
            )
    await redis.aclose()


async def put_in_service(running_stack: Stack) -> None:
    started, tenant_id = running_stack.site, running_stack.tenant_id
    releases = started.state_dir / "objects" / "releases" / str(tenant_id)
    folder = await asyncio.to_thread(write_big_release, Path(releases), RELEASE, str(tenant_id))
    pool = await open_pool(started.environment["APP_DATABASE_URL"], 1)
    async with tenant_connection(pool, tenant_id) as conn:
        await insert_release(conn, verify_release(folder))
        await serve(conn, RELEASE)
    await pool.close()


async def open_shop(started: Site) -> Shop:
    pool = await open_pool(started.environment["APP_DATABASE_URL"], 1)
    slug = f"bench-{time.time_ns()}"
    async with directory_connection(pool) as conn:
        tenant_id = await insert_tenant(conn, slug, slug)
    if tenant_id is None:
        raise RuntimeError(f"the shop {slug} exists already")
    key = await create_key(pool, tenant_id, "sec")
    await pool.close()
    async with open_redis(started.environment["REDIS_URL"]) as redis:
        await redis.set(checked(tenant_id), 1)  # no training beside what is measured
    return Shop(tenant_id, key.key)


@contextlib.contextmanager
def _ceiling(started: Site) -> Generator[Server]:
    """The ceiling app on the same server as the product."""
    port = free_port()
    command = ["uvicorn", "--factory", "tests.benchmarks.ceiling:create_app", "--no-access-log"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port), "--log-level", "warning"],
        env=started.environment,
    )
    try:
        yield Server(port=port, pid=process.pid)
    finally:
        process.terminate()
        process.wait()


async def _until_listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(ASK_EVERY_S)


def _listening(port: int) -> int:
    """Process that listens on a port of this machine."""
    for connection in psutil.net_connections("tcp"):
        here = connection.laddr and connection.laddr.port == port
        if here and connection.status == psutil.CONN_LISTEN and connection.pid:
            return connection.pid
    raise RuntimeError(f"nothing listens on port {port}")
