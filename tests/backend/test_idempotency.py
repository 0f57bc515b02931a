"""A POST sent again with the same key takes effect once."""

import asyncio
import hashlib
from datetime import timedelta

import pytest
from litestar import Litestar

from backend import idempotency
from backend.catalog import products
from backend.db import Pool
from backend.tenancy import tenant_connection
from tests.conftest import Shop, client_of

BODY = {"products": [{"product_id": "p1", "title": "First"}]}


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


async def created_again(shop: Shop) -> bool:
    """Whether a deleted p1 would be there again."""
    return (await shop.get("/v1/products/p1")).status_code == 200


async def test_the_same_request_gets_the_same_answer_and_no_second_effect(shop: Shop) -> None:
    first = await shop.post("/v1/products", BODY, idempotency_key="k")
    await shop.api.delete("/v1/products/p1")

    second = await shop.post("/v1/products", BODY, idempotency_key="k")

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert not await created_again(shop)


async def test_another_request_under_the_key_is_refused(shop: Shop) -> None:
    await shop.post("/v1/products", BODY, idempotency_key="k")

    other_body = await shop.post("/v1/products", {"product_id": "p2"}, idempotency_key="k")
    other_route = await shop.post("/v1/customers", BODY, idempotency_key="k")

    for answer in (other_body, other_route):
        assert answer.status_code == 409
        assert answer.json()["code"] == "idempotency_key_reused"


async def test_two_shops_may_use_the_same_key(shop: Shop, other_shop: Shop) -> None:
    await shop.post("/v1/products", BODY, idempotency_key="k")

    answer = await other_shop.post("/v1/products", BODY, idempotency_key="k")

    assert "idempotency-replayed" not in answer.headers


async def test_requests_at_the_same_time_take_effect_once(shop: Shop) -> None:
    answers = await asyncio.gather(
        *(shop.post("/v1/products", BODY, idempotency_key="k") for _ in range(8))
    )

    done = [answer for answer in answers if answer.status_code == 200]
    busy = [answer for answer in answers if answer.status_code == 409]
    assert len(done) + len(busy) == 8
    assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
    assert all(answer.json()["code"] == "in_progress" for answer in busy)
    assert all(answer.headers["retry-after"] == "1" for answer in busy)


async def claimed(shop: Shop, pool: Pool, content: bytes, age: timedelta) -> None:
    """As left by a request that is not answered yet."""
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            INSERT INTO idempotency_key (key, route, body_hash, created_at)
            VALUES ('k', 'POST /v1/products?', $1, now() - $2::interval)
            """,
            hashlib.sha256(content).digest(),
            age,
        )


@pytest.mark.parametrize(
    ("age", "status"), [(timedelta(seconds=10), 409), (timedelta(minutes=6), 200)]
)
async def test_the_key_of_a_request_that_died_is_free_after_minutes(
    shop: Shop, pool: Pool, age: timedelta, status: int
) -> None:
    content = b'{"product_id":"p1","title":"T"}'
    await claimed(shop, pool, content, age)

    answer = await shop.api.post("/v1/products", content=content, headers=keyed("k"))

    assert answer.status_code == status


async def test_a_failure_frees_the_key(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("boom")

    with monkeypatch.context() as broken:
        broken.setattr(products.queries, "upsert_products", fail)
        failed = await shop.post("/v1/products", BODY, idempotency_key="k")
    again = await shop.post("/v1/products", BODY, idempotency_key="k")

    assert failed.status_code == 500
    assert "boom" not in failed.text
    assert again.status_code == 200
    assert "idempotency-replayed" not in again.headers


async def test_a_refused_request_frees_the_key(shop: Shop) -> None:
    refused = await shop.post("/v1/products", {"products": []}, idempotency_key="k")

    assert refused.status_code == 400
    assert (await shop.post("/v1/products", BODY, idempotency_key="k")).status_code == 200


async def test_keys_are_forgotten_after_a_day(shop: Shop, pool: Pool) -> None:
    content = b'{"product_id":"p1","title":"T"}'
    await shop.api.post("/v1/products", content=content, headers=keyed("k"))
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")

    again = await shop.api.post("/v1/products", content=content, headers=keyed("k"))
    assert "idempotency-replayed" not in again.headers

    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
        await idempotency.forget_expired(conn)
        assert await conn.fetchval("SELECT count(*) FROM idempotency_key") == 0


async def test_a_key_without_the_scope_gets_no_stored_answer(app: Litestar, shop: Shop) -> None:
    await shop.post("/v1/products", BODY, idempotency_key="k")

    async with client_of(app, shop.publishable_key) as client:
        answer = await client.post("/v1/products", json=BODY, headers=keyed("k"))

    assert answer.status_code == 403


async def test_an_import_sent_again_is_the_same_import(shop: Shop) -> None:
    path = "/v1/imports?kind=products&format=csv"
    file = b"product_id,title\n1,A\n"

    first = await shop.api.post(path, content=file, headers=keyed("k"))
    second = await shop.api.post(path, content=file, headers=keyed("k"))
    other = await shop.api.post(path, content=file + b"2,B\n", headers=keyed("k"))

    assert second.json()["import_id"] == first.json()["import_id"]
    assert other.status_code == 409
    assert len((await shop.get("/v1/imports")).json()["imports"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
async def test_a_strange_key_is_refused(shop: Shop, key: str) -> None:
    answer = await shop.post("/v1/products", BODY, idempotency_key=key)

    assert answer.status_code == 400


async def test_events_with_a_key_are_stored_once(shop: Shop) -> None:
    event = {
        "event_id": "e1",
        "type": "view",
        "session_id": "s",
        "product_id": "p",
        "occurred_at": "2026-03-01T12:00:00Z",
    }
    await shop.post("/v1/events", event, idempotency_key="k")

    again = await shop.post("/v1/events", event, idempotency_key="k")

    assert again.status_code == 202
    assert again.headers["idempotency-replayed"] == "true"
