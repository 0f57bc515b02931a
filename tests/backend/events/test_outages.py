"""Whatever dies: what was accepted is stored, once. Ids are compared."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
from litestar import Litestar
from redis import RedisError

from backend.events import stream
from backend.settings import Settings
from infra.local.state import free_port
from tests.backend.events.helping import (
    Fragile,
    environment,
    event,
    until,
)
from tests.conftest import Shop

ENTRIES = 60
EVENTS = 50


def ids_of(entry: int) -> list[str]:
    return [f"e{entry:04}-{n:02}" for n in range(EVENTS)]


def all_ids(entries: int) -> list[str]:
    return [event_id for entry in range(entries) for event_id in ids_of(entry)]


async def send(shop: Shop, entry: int) -> httpx.Response:
    events = [event(event_id, customer_id=f"c{entry}") for event_id in ids_of(entry)]
    return await shop.post("/v1/events", {"events": events})


async def send_all(shop: Shop, entries: range) -> None:
    for entry in entries:
        answer = await send(shop, entry)
        assert answer.status_code == 202, answer.text


async def is_empty(app: Litestar) -> bool:
    try:
        return (await stream.backlog(app.state.redis)).entries == 0
    except RedisError:  # its connection was opened before the last restart
        return False


async def test_postgresql_killed_events_are_accepted_and_stored_when_it_is_back(
    fragile: Fragile,
) -> None:
    async with fragile.web() as (app, shop):
        drain = fragile.start_drain()
        await send_all(shop, range(10))
        fragile.postgres.kill()
        await send_all(shop, range(10, 40))
        fragile.postgres.start()
        await send_all(shop, range(40, ENTRIES))

        await until(lambda: fragile.has_stored(shop, ENTRIES * EVENTS))
        await until(lambda: is_empty(app))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(ENTRIES)


async def test_a_key_nobody_proved_is_not_believed_without_postgresql(fragile: Fragile) -> None:
    async with fragile.web() as (_, shop):
        await send_all(shop, range(1))
        fragile.postgres.kill()
        answer = await shop.storefront.post("/v1/collect", json=event("e1"))
        believed = await send(shop, 1)

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert believed.status_code == 202


async def test_the_drain_killed_again_and_again_loses_and_doubles_nothing(
    fragile: Fragile,
) -> None:
    async with fragile.web() as (app, shop):
        await send_all(shop, range(ENTRIES - 1))
        for share in (1, 20, 40):
            drain = fragile.start_drain()
            await until(partial(fragile.has_stored, shop, share * EVENTS))
            drain.kill()
        drain = fragile.start_drain()
        await send_all(shop, range(ENTRIES - 1, ENTRIES))

        await until(lambda: fragile.has_stored(shop, ENTRIES * EVENTS))
        await until(lambda: is_empty(app))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(ENTRIES)


async def test_postgresql_killed_under_the_drain_loses_and_doubles_nothing(
    fragile: Fragile,
) -> None:
    async with fragile.web() as (app, shop):
        await send_all(shop, range(ENTRIES))
        drain = fragile.start_drain()
        for share in (1, 20, 40):
            await until(partial(fragile.has_stored, shop, share * EVENTS))
            fragile.postgres.kill()
            fragile.postgres.start()

        await until(lambda: fragile.has_stored(shop, ENTRIES * EVENTS))
        await until(lambda: is_empty(app))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(ENTRIES)


async def test_redis_killed_under_load_loses_nothing_that_was_accepted(fragile: Fragile) -> None:
    accepted: list[str] = []

    async def sender(shop: Shop, entries: range) -> None:
        for entry in entries:
            if (await send(shop, entry)).status_code == 202:
                accepted.extend(ids_of(entry))

    async with fragile.web() as (app, shop):
        drain = fragile.start_drain()
        senders = [asyncio.create_task(sender(shop, range(at, 400, 4))) for at in range(4)]
        await until(lambda: fragile.has_stored(shop, 10 * EVENTS))
        fragile.redis.kill()
        await asyncio.to_thread(fragile.redis.start)
        await asyncio.gather(*senders)

        await until(lambda: fragile.has_stored(shop, len(accepted)))
        await until(lambda: is_empty(app))
        assert drain.stop() == 0
    assert len(accepted) == 400 * EVENTS
    assert await fragile.stored_ids(shop) == sorted(accepted)


async def test_without_redis_events_wait_on_disk_and_follow_later(
    fragile: Fragile, tmp_path: Path
) -> None:
    async with fragile.web() as (_, shop):
        drain = fragile.start_drain()
        fragile.redis.stop()
        await send_all(shop, range(20))
        assert list((tmp_path / "spool").glob("*.segment"))
        fragile.redis.start()

        await until(lambda: fragile.has_stored(shop, 20 * EVENTS))
        await until(lambda: spool_is_empty(tmp_path))
        await send_all(shop, range(20, 21))
        await until(lambda: fragile.has_stored(shop, 21 * EVENTS))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(21)


async def spool_is_empty(state_dir: Path) -> bool:
    return not list((state_dir / "spool").iterdir())


async def test_a_full_spool_refuses_and_says_when_to_come_back(
    fragile: Fragile, tmp_path: Path
) -> None:
    async with fragile.web(aisle_spool_limit_mb=1) as (_, shop):
        drain = fragile.start_drain()
        fragile.redis.stop()
        accepted = 0
        while (answer := await send(shop, accepted)).status_code == 202:
            accepted += 1
        size = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
        fragile.redis.start()

        await until(lambda: fragile.has_stored(shop, accepted * EVENTS))
        assert drain.stop() == 0
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert 0.9 < size / 2**20 <= 1
    assert await fragile.stored_ids(shop) == all_ids(accepted)


async def test_a_disk_that_fails_refuses(fragile: Fragile, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    async with fragile.web() as (_, shop):
        fragile.redis.stop()
        answer = await send(shop, 0)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def test_redis_out_of_memory_counts_as_away(fragile: Fragile, tmp_path: Path) -> None:
    async with fragile.web() as (app, shop):
        await app.state.redis.config_set("maxmemory", "1mb")
        await send_all(shop, range(5))
        assert list((tmp_path / "spool").glob("*.segment"))
        await app.state.redis.config_set("maxmemory", "0")
        drain = fragile.start_drain()

        await until(lambda: fragile.has_stored(shop, 5 * EVENTS))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(5)


async def test_redis_that_hangs_counts_as_away(fragile: Fragile) -> None:
    process = fragile.redis.process()
    assert process is not None
    async with fragile.web() as (_, shop):
        process.suspend()
        try:
            await send_all(shop, range(5))
        finally:
            process.resume()
        drain = fragile.start_drain()

        await until(lambda: fragile.has_stored(shop, 5 * EVENTS))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == all_ids(5)


async def test_what_a_killed_web_process_left_on_disk_is_taken_over(
    fragile: Fragile, tmp_path: Path
) -> None:
    async with fragile.web() as (_, shop):
        port = free_port()
        web = start_web(fragile.settings, port)
        headers = {"authorization": f"Bearer {shop.secret_key}"}
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:

            async def is_up() -> bool:
                try:
                    return (await client.post("/v1/events", json=event("e0"))).status_code == 202
                except httpx.TransportError:
                    return False

            await until(is_up)
            fragile.redis.stop()
            for number in range(1, 10):
                answer = await client.post("/v1/events", json=event(f"e{number}"))
                assert answer.status_code == 202
        web.kill()
        web.wait()
        fragile.redis.start()
        drain = fragile.start_drain()

        await until(lambda: fragile.has_stored(shop, 10))
        await until(lambda: spool_is_empty(tmp_path))
        assert drain.stop() == 0
    assert await fragile.stored_ids(shop) == [f"e{number}" for number in range(10)]


def start_web(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "uvicorn", "backend.app:create_app", "--factory"]
    return subprocess.Popen(
        [*program, "--port", str(port), "--log-level", "critical"],
        env=os.environ | environment(settings),
    )


async def test_the_drain_stops_when_asked_though_nothing_answers(fragile: Fragile) -> None:
    async with fragile.web() as (_, shop):
        await send_all(shop, range(1))
        drain = fragile.start_drain()
        await until(lambda: fragile.has_stored(shop, EVENTS))
    fragile.postgres.kill()
    fragile.redis.kill()

    assert drain.stop() == 0
