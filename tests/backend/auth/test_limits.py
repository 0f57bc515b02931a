"""No key may call more often than agreed."""

from collections.abc import Iterator

import msgspec
import pytest
from litestar import Litestar

from backend.auth.limits import Bucket, Limits, Rate
from backend.cache import Redis, open_redis
from backend.errors import TooManyRequests
from backend.settings import Settings
from infra.local.state import free_port
from tests.conftest import Shop

CALLS = 100


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, aisle_rate_other=1)


@pytest.fixture
def limited(app: Litestar, strict: Settings) -> Iterator[None]:
    """One call per second, two at once, while the test runs."""
    generous = app.state.limits
    app.state.limits = Limits(app.state.redis, strict)
    yield
    app.state.limits = generous


async def refused_after(shop: Shop) -> int | None:
    for call in range(CALLS):
        answer = await shop.get("/v1/products")
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"] == "rate_limited"
            return call
    return None


async def may_call(process: Limits, shop: Shop) -> bool:
    try:
        await process.take(shop.tenant_id, "key", "catalog")
    except TooManyRequests:
        return False
    return True


@pytest.mark.usefixtures("limited")
async def test_a_key_that_calls_too_often_is_told_to_wait(shop: Shop, other_shop: Shop) -> None:
    assert await refused_after(shop) is not None
    assert (await other_shop.get("/v1/products")).status_code == 200


async def test_processes_share_a_rate_though_each_takes_several_at_a_time(
    settings: Settings, redis: Redis, shop: Shop
) -> None:
    hundred = msgspec.structs.replace(settings, aisle_rate_other=100)
    processes = [Limits(redis, hundred) for _ in range(4)]

    allowed = 0
    while await may_call(processes[allowed % 4], shop):
        allowed += 1

    assert 160 < allowed < CALLS * 100  # a burst of 200, less what the others hold


async def test_without_redis_each_process_limits_by_itself(
    app: Litestar, shop: Shop, strict: Settings
) -> None:
    generous = app.state.limits
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    app.state.limits = Limits(away, strict)
    try:
        assert await refused_after(shop) is not None
    finally:
        app.state.limits = generous
        await away.aclose()


def test_a_bucket_fills_with_time_and_never_above_its_brim() -> None:
    rate = Rate(per_s=2, burst=4)
    bucket = Bucket(tokens=0, at_s=100.0)

    assert bucket.take(rate, 100.0) == 0.5
    assert bucket.take(rate, 100.5) == 0
    waits = [bucket.take(rate, 1000.0) for _ in range(5)]

    assert waits == [0, 0, 0, 0, 0.5]
