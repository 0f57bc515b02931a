"""What changed is read once for all that ask at the same time, and after each has asked."""

import asyncio

from backend.cache import Redis, open_redis
from backend.catalog.revision import announce_change
from backend.recommend.signals import SILENT, SignalReader
from infra.local.state import free_port
from tests.backend.recommend.asking import sends
from tests.conftest import Shop


async def scripts_run(redis: Redis) -> int:
    return (await redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)


async def test_many_askers_share_a_read(shop: Shop, redis: Redis) -> None:
    reader = SignalReader(redis)
    await reader.read(shop.tenant_id)
    before = await scripts_run(redis)

    await asyncio.gather(*(reader.read(shop.tenant_id, f"c{n}") for n in range(50)))

    assert await scripts_run(redis) - before <= 5


async def test_each_change_is_seen_by_who_asks_after_it(shop: Shop, redis: Redis) -> None:
    reader = SignalReader(redis)
    before = await reader.read(shop.tenant_id, "ann", "s1")
    await announce_change(redis, shop.tenant_id)
    stocked = await reader.read(shop.tenant_id, "ann", "s1")
    await sends(shop, "view", "tea", session_id="s1")
    viewed = await reader.read(shop.tenant_id, "ann", "s1")
    another = await reader.read(shop.tenant_id, "ben")

    assert before.catalog != stocked.catalog
    assert before.did == stocked.did != viewed.did
    assert before.did[0] == viewed.did[0]
    assert another.did == (None,)


async def test_without_redis_nothing_is_known_and_nobody_waits(shop: Shop) -> None:
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    reader = SignalReader(away)

    signals = await reader.read(shop.tenant_id, "ann")

    assert not signals.are_known
    assert signals.catalog is SILENT
    await away.aclose()
