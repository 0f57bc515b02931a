"""Active shoppers are answered from what was made ahead, until something changes."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from backend.cache import Redis
from backend.db import Pool
from backend.events.queries import insert_events
from backend.events.schemas import EventBatch, EventRow
from backend.recommend.pipeline import Recommender, open_recommender
from backend.recommend.precompute import precompute, working
from backend.settings import Settings
from backend.tenancy import tenant_connection
from tests.backend.recommend.asking import asks, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS


@pytest.fixture
async def worker(settings: Settings, pool: Pool, redis: Redis) -> AsyncIterator[Recommender]:
    """What answers ahead is another process than what answers."""
    async with open_recommender(settings, pool, redis) as recommender:
        yield recommender


async def did(pool: Pool, shop: Shop, customer_id: str, days_ago: int = 1) -> None:
    now = datetime.now(UTC)
    row = EventRow(
        event_id=secrets.token_hex(8),
        type="purchase",
        customer_id=customer_id,
        session_id=None,
        product_id=PRODUCTS[0],
        occurred_at=now - timedelta(days=days_ago),
    )
    async with tenant_connection(pool, shop.tenant_id) as conn:
        batch = EventBatch(tenant_id=shop.tenant_id, received_at=now, rows=[row])
        await insert_events(conn, [batch])


async def was_ready(shop: Shop, **request: object) -> bool:
    return (await asks(shop, **request))["timings"]["cached"]


@pytest.fixture
async def active(shop: Shop, serve_release: Serve, pool: Pool) -> Shop:
    """A shop with a release, where Ann bought something yesterday."""
    await sells_everything(shop)
    await serve_release(shop)
    await did(pool, shop, "ann")
    return shop


async def test_an_active_shopper_is_answered_from_what_was_made_ahead(
    active: Shop, pool: Pool, worker: Recommender
) -> None:
    await did(pool, active, "gone", days_ago=60)

    assert await precompute(worker, active.tenant_id) == 1
    assert await was_ready(active, customer_id="ann")
    assert not await was_ready(active, customer_id="gone")


async def test_it_is_the_answer_that_would_have_been_made(
    active: Shop, pool: Pool, worker: Recommender
) -> None:
    await did(pool, active, "ben")  # the same as Ann
    made = await asks(active, customer_id="ben", limit=20)
    await precompute(worker, active.tenant_id)
    ahead = await asks(active, customer_id="ann", limit=20)

    assert not made["timings"]["cached"]
    assert ahead["timings"]["cached"]
    assert names(ahead) == names(made)


async def test_answers_are_made_the_way_the_shop_asks(active: Shop, worker: Recommender) -> None:
    way = {"market": "DE", "device": "mobile", "mode": "repeat", "limit": 40}
    await asks(active, customer_id="somebody", **way)

    await precompute(worker, active.tenant_id)

    assert await was_ready(active, customer_id="ann", **way | {"limit": 41})
    assert not await was_ready(active, customer_id="ann", mode="new")


async def test_an_event_counts_more_than_what_was_made_ahead(
    active: Shop, worker: Recommender
) -> None:
    await precompute(worker, active.tenant_id)
    await sends(active, "view", PRODUCTS[1], customer_id="ann")

    assert not await was_ready(active, customer_id="ann")


async def test_what_sold_out_since_is_not_shown(active: Shop, worker: Recommender) -> None:
    await precompute(worker, active.tenant_id)
    await active.has_products({"product_id": PRODUCTS[2], "in_stock": False})

    answer = await asks(active, customer_id="ann")

    assert answer["timings"]["cached"]
    assert PRODUCTS[2] not in names(answer)


async def test_without_a_release_nothing_is_made(shop: Shop, worker: Recommender) -> None:
    await sells_everything(shop)

    assert await precompute(worker, shop.tenant_id) == 0


async def test_two_processes_do_not_do_the_same_work(
    active: Shop, worker: Recommender, redis: Redis
) -> None:
    await redis.set(working(active.tenant_id), 1)

    assert await precompute(worker, active.tenant_id) == 0
