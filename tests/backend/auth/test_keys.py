"""Who may call, and with which key what."""

import logging

import httpx
import pytest
from litestar import Litestar

from backend.auth.keys import create_key, hash_key, list_keys, revoke_key
from backend.db import Pool
from backend.errors import Conflict, NotFound
from tests.conftest import Shop, client_of


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Bearer ak_live_sec_unknown", "Basic YTpi", "x" * 5000],
)
async def test_a_request_without_a_known_key_is_refused(
    anyone: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = await anyone.get("/v1/products", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


async def test_a_revoked_key_is_refused(app: Litestar, shop: Shop, pool: Pool) -> None:
    [secret] = [key for key in await list_keys(pool, shop.tenant_id) if key.kind == "sec"]
    assert (await shop.get("/v1/products")).status_code == 200

    await revoke_key(pool, shop.tenant_id, secret.key_id)
    app.state.known_keys.forget(hash_key(shop.secret_key))  # as after five seconds

    assert (await shop.get("/v1/products")).status_code == 401


async def test_two_keys_of_a_kind_may_be_active_so_that_one_can_replace_the_other(
    shop: Shop, pool: Pool
) -> None:
    second = await create_key(pool, shop.tenant_id, "sec")
    with pytest.raises(Conflict, match="revoke one first"):
        await create_key(pool, shop.tenant_id, "sec")
    await revoke_key(pool, shop.tenant_id, second.key_id)

    await create_key(pool, shop.tenant_id, "sec")
    await create_key(pool, shop.tenant_id, "sec", "test")


async def test_a_publishable_key_reads_no_catalogue(shop: Shop) -> None:
    answer = await shop.storefront.get("/v1/products")

    assert answer.status_code == 403
    assert "catalog" in answer.json()["detail"]


async def test_a_key_of_another_shop_cannot_be_revoked(
    shop: Shop, other_shop: Shop, pool: Pool
) -> None:
    [key, *_] = await list_keys(pool, other_shop.tenant_id)

    with pytest.raises(NotFound):
        await revoke_key(pool, shop.tenant_id, key.key_id)


async def test_a_key_is_stored_as_a_hash_and_never_logged(
    app: Litestar, shop: Shop, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await shop.get("/v1/products")
    await shop.api.post("/v1/products", content=b"{")
    await shop.get("/v1/nothing")

    kept = repr(await list_keys(pool, shop.tenant_id))

    assert shop.secret_key not in caplog.text
    assert shop.secret_key.removeprefix("ak_live_sec_") not in kept


async def test_a_key_with_origins_works_on_its_own_websites_only(
    app: Litestar, shop: Shop, pool: Pool
) -> None:
    key = await create_key(pool, shop.tenant_id, "pub", "test", ["https://shop.example"])
    ask = {"placement": "for-you", "session_id": "s"}

    async with client_of(app, key.key) as client:
        own = await client.post(
            "/v1/recommendations", json=ask, headers={"origin": "https://shop.example"}
        )
        other = await client.post(
            "/v1/recommendations", json=ask, headers={"origin": "https://evil.example"}
        )

    assert own.status_code == 200
    assert own.headers["access-control-allow-origin"] == "*"
    assert other.status_code == 403


async def test_a_browser_may_ask_before_it_calls_from_a_shop(anyone: httpx.AsyncClient) -> None:
    headers = {"origin": "https://shop.example", "access-control-request-method": "POST"}

    public = await anyone.options("/v1/recommendations", headers=headers)
    private = await anyone.options("/v1/products", headers=headers)

    assert public.status_code == 204
    assert "authorization" in public.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in private.headers
