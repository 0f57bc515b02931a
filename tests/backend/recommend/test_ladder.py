"""What answers when something better is missing or fails."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator

import pytest
from litestar import Litestar
from msgspec import structs

from backend.cache import open_redis
from backend.db import Pool, open_pool
from backend.recommend.pipeline import Recommender, open_recommender, recommend
from backend.recommend.schemas import RecommendationRequest, Recommendations
from backend.settings import Settings
from backend.tenancy import tenant_connection
from ml.serving import release_shelf
from tests.backend.recommend.asking import asks, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


async def bought(pool: Pool, shop: Shop, customer_id: str, product_id: str, days_ago: int) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            INSERT INTO event (tenant_id, event_id, type, customer_id, product_id, occurred_at)
            VALUES (current_setting('app.tenant_id')::uuid, gen_random_uuid()::text, 'purchase',
                    $1, $2, now() - $3 * interval '1 day')
            """,
            customer_id,
            product_id,
            days_ago,
        )


async def lives_in(pool: Pool, shop: Shop, customer_id: str, country: str) -> None:
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            "INSERT INTO customer (customer_id, country) VALUES ($1, $2)", customer_id, country
        )


async def test_an_empty_shop_gets_an_empty_answer(shop: Shop) -> None:
    answer = await asks(shop, customer_id="ann")

    assert (answer["items"], answer["served_by"], answer["degraded"]) == ([], "nothing", False)


async def test_without_behaviour_the_newest_products_are_shown(shop: Shop) -> None:
    await shop.has_products({"product_id": "first"})
    await shop.has_products({"product_id": "second"})

    answer = await asks(shop)

    assert names(answer) == ["second", "first"]
    assert (answer["served_by"], answer["degraded"]) == ("newest", False)
    assert answer["items"][0]["reason"]["words"] == "New in the shop"


async def test_without_a_release_what_is_popular_is_shown(shop: Shop, pool: Pool) -> None:
    await sells_everything(shop)
    for _ in range(3):
        await bought(pool, shop, "ann", "p07", days_ago=30)
    for _ in range(2):
        await bought(pool, shop, "ann", "p09", days_ago=1)

    answer = await asks(shop, limit=4)

    assert names(answer)[:2] == ["p09", "p07"]
    assert len(answer["items"]) == 4
    assert (answer["served_by"], answer["degraded"]) == ("popular", False)


async def test_old_behaviour_counts_while_there_is_nothing_newer(shop: Shop, pool: Pool) -> None:
    await sells_everything(shop)
    await bought(pool, shop, "ann", "p03", days_ago=3_000)
    await bought(pool, shop, "ann", "p05", days_ago=9_000)

    answer = await asks(shop, limit=2)

    assert (names(answer)[0], answer["served_by"]) == ("p03", "popular")


async def test_what_is_popular_depends_on_the_market(shop: Shop, pool: Pool) -> None:
    await sells_everything(shop)
    await lives_in(pool, shop, "hans", "DE")
    await bought(pool, shop, "hans", "p02", days_ago=1)
    for _ in range(3):
        await bought(pool, shop, "ann", "p03", days_ago=1)

    assert names(await asks(shop, market="DE", limit=2)) == ["p02", "p03"]
    assert names(await asks(shop, limit=2)) == ["p03", "p02"]


async def test_what_is_popular_is_filtered_and_promoted_too(shop: Shop, pool: Pool) -> None:
    await sells_everything(shop)
    for name, times in (("p01", 4), ("p02", 3), ("p03", 2), ("p04", 2)):
        for _ in range(times):
            await bought(pool, shop, "ann", name, days_ago=1)
    await shop.has_products({"product_id": "p01", "in_stock": False})

    answer = await asks(shop, limit=3, exclude=["p03"], promoted=["p04"], promotion_threshold=0.4)

    assert names(answer)[:2] == ["p04", "p02"]
    assert answer["items"][0]["score"] == 1.0


async def test_similar_without_a_release_is_the_same_category_by_popularity(
    shop: Shop, pool: Pool
) -> None:
    await shop.has_products(
        {"product_id": "oolong", "category": "tea", "brand": "leaf"},
        {"product_id": "sencha", "category": "tea"},
        {"product_id": "assam", "category": "tea"},
        {"product_id": "cup", "category": "ware", "brand": "leaf"},
        {"product_id": "sock", "category": "wool"},
    )
    await bought(pool, shop, "ann", "sencha", days_ago=1)

    answer = await asks(shop, placement="similar", product_id="oolong", limit=3)

    assert names(answer) == ["sencha", "assam", "cup"]
    assert answer["served_by"] == "content"


async def test_a_failing_engine_degrades_the_answer_and_never_fails_it(
    shop: Shop, app: Litestar, pool: Pool, serve_release: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    await bought(pool, shop, "ann", "p03", days_ago=1)

    async def fail(*_: object) -> None:
        raise RuntimeError("the engine's own mistake")

    monkeypatch.setattr(app.state.recommender.parts.inference, "recommend", fail)
    answer = await asks(shop, limit=1)

    assert (answer["served_by"], answer["degraded"]) == ("popular", True)
    assert names(answer) == ["p03"]


@pytest.fixture
async def without_redis(settings: Settings, pool: Pool) -> AsyncIterator[Recommender]:
    redis = open_redis(NOBODY_LISTENS)
    async with open_recommender(settings, pool, redis) as recommender:
        yield recommender
    await redis.aclose()


def for_you(**changes: object) -> RecommendationRequest:
    return structs.replace(
        RecommendationRequest(placement="for-you", customer_id="ann", limit=5), **changes
    )


async def test_without_redis_the_models_still_answer(
    shop: Shop, without_redis: Recommender, serve_release: Serve
) -> None:
    await sells_everything(shop)
    await serve_release(shop)

    answer = await recommend(without_redis, shop.tenant_id, for_you())

    assert len(answer.items) == 5
    assert answer.release_id is not None
    assert not answer.degraded


async def test_without_postgres_the_last_known_release_and_catalogue_serve(
    shop: Shop, settings: Settings, pool: Pool, serve_release: Serve, app: Litestar
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    own = await open_pool(settings.app_database_url, 2)
    async with open_recommender(settings, own, app.state.redis) as recommender:
        before = await recommend(recommender, shop.tenant_id, for_you())
        await own.close()
        await app.state.redis.incr("unrelated")
        after = await recommend(recommender, shop.tenant_id, for_you())

    assert [item.product_id for item in after.items] == [item.product_id for item in before.items]
    assert after.release_id == before.release_id


async def test_with_everything_down_the_last_popular_list_serves_else_an_empty_answer(
    shop: Shop, settings: Settings, pool: Pool
) -> None:
    await sells_everything(shop)
    await bought(pool, shop, "ann", "p03", days_ago=1)
    own = await open_pool(settings.app_database_url, 2)
    redis = open_redis(NOBODY_LISTENS)
    async with (
        open_recommender(settings, own, redis) as warm,
        open_recommender(settings, own, redis) as cold,
    ):
        await recommend(warm, shop.tenant_id, for_you(customer_id=None))
        await own.close()
        known = await recommend(warm, shop.tenant_id, for_you())
        unknown = await recommend(cold, shop.tenant_id, for_you())
    await redis.aclose()

    assert known.items[0].product_id == "p03"
    assert (known.served_by, known.degraded) == ("popular", True)
    assert (unknown.items, unknown.degraded) == ([], True)


async def test_a_release_is_loaded_once_however_many_ask(
    shop: Shop,
    settings: Settings,
    pool: Pool,
    app: Litestar,
    serve_release: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    loads: list[object] = []

    load = release_shelf.load_release
    monkeypatch.setattr(release_shelf, "load_release", lambda f: (loads.append(f), load(f))[1])
    embedded = structs.replace(settings, aisle_inference="embedded")
    async with open_recommender(embedded, pool, app.state.redis) as recommender:
        answers: list[Recommendations] = await asyncio.gather(
            *(recommend(recommender, shop.tenant_id, for_you(customer_id=str(n))) for n in range(8))
        )

    assert len(loads) == 1
    assert {answer.release_id for answer in answers} != {None}


async def test_what_another_version_left_in_redis_fails_no_request(
    shop: Shop, app: Litestar, serve_release: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    redis = app.state.redis
    await sends(shop, "view", "p03", customer_id="ann")
    await asks(shop, customer_id="ann")
    async for key in redis.scan_iter(f"t:{shop.tenant_id}:*"):
        if await redis.type(key) == b"string" and b"candidates" in key:
            await redis.set(key, b"\xc1 of another version")
        if await redis.type(key) == b"zset":
            await redis.zadd(key, {b"\xc1 of another version": 1})
    monkeypatch.setattr(app.state.recommender.parts.cache, "_kept", OrderedDict())

    answer = await asks(shop, customer_id="ann", limit=5)

    assert len(answer["items"]) == 5
