"""A shopper's history: Redis and PostgreSQL as one."""

from datetime import UTC, datetime, timedelta
from typing import Any

from backend.cache import Redis, open_redis
from backend.db import Pool
from backend.events.history import LONGEST_RECENT, ShopperHistory
from backend.events.recent import (
    MOST_LATELY,
    TRIMMED_EVERY,
    lately_key,
    revision_key,
    shopper_history,
)
from backend.tenancy import tenant_connection
from tests.backend.events.helping import Fragile, event, now, stored_ids, until
from tests.conftest import Shop

NOWHERE = "redis://127.0.0.1:1/0"


async def history_of(
    shop: Shop, redis: Redis, pool: Pool, customer: str | None = "ann", session: str | None = None
) -> ShopperHistory:
    return await shopper_history(redis, pool, shop.tenant_id, customer, session)


def products(history: ShopperHistory) -> list[str]:
    return [interaction.product_id for interaction in history.recent]


def bought(history: ShopperHistory) -> dict[str, int]:
    return {purchase.product_id: purchase.times for purchase in history.bought}


async def send(shop: Shop, *events: dict[str, Any]) -> None:
    answer = await shop.post("/v1/events", {"events": list(events)})
    assert answer.json()["accepted"] == len(events), answer.text


async def forget_redis(redis: Redis, shop: Shop) -> None:
    async for key in redis.scan_iter(f"t:{shop.tenant_id}:*"):
        await redis.delete(key)


async def test_an_accepted_event_is_in_the_history_at_once(
    shop: Shop, redis: Redis, pool: Pool
) -> None:
    assert (await history_of(shop, redis, pool)).recent == []
    await send(shop, event("e1", product_id="tea"))
    assert products(await history_of(shop, redis, pool)) == ["tea"]
    at = now()
    await send(
        shop,
        event("e2", type="purchase", product_id="cup", quantity=3, occurred_at=at.isoformat()),
    )

    history = await history_of(shop, redis, pool)

    assert products(history) == ["cup", "tea"]
    assert history.recent[0].quantity == 3
    assert history.recent[0].occurred_at_s == at.timestamp()
    assert bought(history) == {"cup": 1}
    assert history.is_complete


async def test_history_is_the_same_without_what_redis_knew(
    shop: Shop, redis: Redis, pool: Pool, drained: None
) -> None:
    start = now() - timedelta(days=3)
    types = ["view", "purchase", "impression", "add_to_cart", "refund", "purchase", "dwell"]
    events = [
        event(
            f"e{n}",
            type=types[n % len(types)],
            product_id=f"p{n % 13}",
            quantity=n,
            occurred_at=(start + timedelta(minutes=n, microseconds=n * 7)).isoformat(),
        )
        for n in range(180)
    ]
    await send(shop, *events[:90])
    await history_of(shop, redis, pool)
    await send(shop, *events[90:])
    before = await history_of(shop, redis, pool)

    async def is_stored() -> bool:
        return len(await stored_ids(pool, shop)) == 180

    await until(is_stored)
    with_both = await history_of(shop, redis, pool)
    await forget_redis(redis, shop)
    loaded = await history_of(shop, redis, pool)
    kept = await history_of(shop, redis, pool)

    assert len(before.recent) == LONGEST_RECENT
    assert before == with_both == loaded == kept
    assert before.bought


async def test_an_event_sent_again_counts_once(shop: Shop, redis: Redis, pool: Pool) -> None:
    await send(shop, event("e1", type="purchase"))
    await send(shop, event("e1", type="purchase"))
    await send(shop, event("e1", type="purchase", occurred_at=now().isoformat()))

    history = await history_of(shop, redis, pool)

    assert products(history) == ["tea"]
    assert bought(history) == {"tea": 1}
    assert history.recent[0].occurred_at_s == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


async def test_a_refund_takes_a_purchase_back(shop: Shop, redis: Redis, pool: Pool) -> None:
    await send(
        shop,
        event("e1", type="purchase", product_id="tea"),
        event("e2", type="purchase", product_id="tea"),
        event("e3", type="purchase", product_id="cup"),
        event("e4", type="refund", product_id="tea"),
        event("e5", type="refund", product_id="cup"),
    )

    assert bought(await history_of(shop, redis, pool)) == {"tea": 1}


async def test_session_and_customer_are_one_shopper_when_both_are_named(
    shop: Shop, redis: Redis, pool: Pool
) -> None:
    await send(
        shop,
        event("e1", customer_id=None, session_id="s", product_id="tea"),
        event("e2", customer_id="ann", session_id="s", product_id="cup"),
        event("e3", customer_id="bob", session_id="s", product_id="jam"),
    )

    assert products(await history_of(shop, redis, pool, None, "s")) == ["tea"]
    assert products(await history_of(shop, redis, pool, "ann", None)) == ["cup"]
    both = await history_of(shop, redis, pool, "ann", "s")
    assert set(products(both)) == {"tea", "cup"}


async def test_shops_and_shoppers_with_equal_names_stay_apart(
    shop: Shop, other_shop: Shop, redis: Redis, pool: Pool
) -> None:
    await send(shop, event("e1", customer_id="ann"), event("e2", customer_id="a:b"))

    assert products(await history_of(other_shop, redis, pool)) == []
    assert products(await history_of(shop, redis, pool, "a", None)) == []
    assert products(await history_of(shop, redis, pool, None, "ann")) == []


async def test_an_import_is_seen_when_it_says_so(shop: Shop, redis: Redis, pool: Pool) -> None:
    assert (await history_of(shop, redis, pool)).recent == []
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            INSERT INTO event (tenant_id, event_id, type, customer_id, product_id, occurred_at)
            VALUES ($1, 'e1', 'purchase', 'ann', 'tea', now())
            """,
            shop.tenant_id,
        )
    assert (await history_of(shop, redis, pool)).recent == []

    await redis.incr(revision_key(shop.tenant_id))

    assert bought(await history_of(shop, redis, pool)) == {"tea": 1}


async def told(shop: Shop, **fields: object) -> None:
    answer = await shop.post("/v1/customers", {"customers": [{"customer_id": "ann", **fields}]})
    assert answer.status_code == 200


async def test_what_the_shop_tells_of_a_customer_is_seen_at_once(
    shop: Shop, redis: Redis, pool: Pool
) -> None:
    await send(shop, event("e1"))
    assert (await history_of(shop, redis, pool)).traits == []

    await told(shop, country="DE", attributes={"plan": "gold"})
    history = await history_of(shop, redis, pool)
    assert (history.country, history.traits) == ("DE", ["plan=gold"])

    await told(shop, country="FR", attributes={"plan": "free"})
    history = await history_of(shop, redis, pool)
    assert (history.country, history.traits) == ("FR", ["plan=free"])


async def test_what_redis_keeps_of_a_shopper_is_bounded(
    shop: Shop, redis: Redis, pool: Pool
) -> None:
    start = now() - timedelta(days=1)
    events = [
        event(f"e{n}", occurred_at=(start + timedelta(seconds=n)).isoformat()) for n in range(450)
    ]
    await send(shop, *events)

    key = lately_key(shop.tenant_id, "customer", "ann")
    assert MOST_LATELY <= await redis.llen(key) < MOST_LATELY + TRIMMED_EVERY
    assert 0 < await redis.ttl(key) <= 7 * 24 * 3600
    newest = (await history_of(shop, redis, pool)).recent[0]
    assert newest.occurred_at_s == (start + timedelta(seconds=449)).timestamp()


async def test_history_without_redis_is_what_postgresql_knows(
    shop: Shop, redis: Redis, pool: Pool, drained: None
) -> None:
    await send(shop, event("e1", type="purchase"))

    async def is_stored() -> bool:
        return len(await stored_ids(pool, shop)) == 1

    await until(is_stored)
    with_redis = await history_of(shop, redis, pool)
    away = open_redis(NOWHERE)

    assert await history_of(shop, away, pool) == with_redis
    await away.aclose()


async def test_history_without_postgresql_is_what_redis_knows(fragile: Fragile) -> None:
    async with fragile.web() as (app, shop):
        await send(shop, event("e1", type="purchase"))
        fragile.postgres.kill()

        history = await history_of(shop, app.state.redis, app.state.pool)
        away = open_redis(NOWHERE)
        nothing = await history_of(shop, away, app.state.pool)
        await away.aclose()

    assert bought(history) == {"tea": 1}
    assert not history.is_complete
    assert nothing == ShopperHistory(is_complete=False)
