"""A worker killed in the middle of an import leaves nothing of it; the next one completes it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from litestar import Litestar

from backend.db import Pool
from backend.imports import runs
from backend.queue import open_queue
from backend.settings import Settings
from backend.tenancy import tenant_connection
from tests.backend.imports.conftest import read, send
from tests.conftest import Shop

ROWS = 150_000
PATIENCE_S = 120.0


def own_broker(settings: Settings) -> str:
    """Another database of the same Redis, so that no other test's work is taken."""
    return settings.redis_url.removesuffix("/0") + "/5"


def start_worker(settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        "APP_DATABASE_URL": settings.app_database_url,
        "DRAIN_DATABASE_URL": settings.drain_database_url,
        "REDIS_URL": own_broker(settings),
        "AISLE_STATE_DIR": str(settings.aisle_state_dir),
    }
    command = "-m celery -A backend.worker worker -Q default -c 1 --without-mingle --without-gossip"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *command.split()],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def kill(worker: subprocess.Popen[bytes]) -> None:
    """The whole of it at once: parent and child."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


async def until(is_so: Callable[[], Awaitable[bool]], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await is_so():
        assert time.monotonic() < deadline, last_words(log)
        await asyncio.sleep(0.05)


def last_words(log: Path) -> str:
    return log.read_text()[-4000:]


async def stored(pool: Pool, shop: Shop) -> int:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        keys = await conn.fetchval("SELECT count(*) FROM event_key")
        events = await conn.fetchval("SELECT count(*) FROM event")
    assert keys == events
    return events


def events() -> bytes:
    row = {
        "type": "view",
        "session_id": "s",
        "product_id": "p",
        "occurred_at": "2026-03-01T12:00:00Z",
    }
    return b"\n".join(
        msgspec.json.encode({"event_id": f"e{number}", **row}) for number in range(ROWS)
    )


async def test_a_killed_import_leaves_nothing_and_is_completed_by_the_next_worker(
    app: Litestar, shop: Shop, pool: Pool, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    queue = open_queue(own_broker(settings))
    import_id = (await send(shop, "events", "jsonl", events())).json()["import_id"]
    await asyncio.to_thread(runs.enqueue, queue, shop.tenant_id, import_id)

    async def is_half_way() -> bool:
        run = await read(shop, import_id)
        assert run.state in {"queued", "running"}
        return run.rows_written > 0

    async def is_resumed() -> bool:
        return import_id in await runs.resume_imports(pool, queue, older_than_s=0)

    async def has_ended() -> bool:
        return (await read(shop, import_id)).finished_at is not None

    worker = start_worker(settings, log)
    try:
        await until(is_half_way, log)
    finally:
        kill(worker)
    assert (await read(shop, import_id)).state == "running"
    assert await stored(pool, shop) == 0

    await until(is_resumed, log)
    worker = start_worker(settings, log)
    try:
        await until(has_ended, log)
    finally:
        kill(worker)
    run = await read(shop, import_id)
    assert (run.state, run.rows_read, run.rows_written) == ("succeeded", ROWS, ROWS)
    assert await stored(pool, shop) == ROWS
