"""The demo shop: a page that acts with a key the browser never sees."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from litestar import Litestar
from msgspec import structs

from backend.app import create_app
from backend.db import Pool
from backend.settings import Settings
from backend.tenancy import tenant_connection
from tests.conftest import BASE_URL, Shop


@asynccontextmanager
async def browsing(settings: Settings, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor of the page, without any key."""
    running = create_app(structs.replace(settings, aisle_demo_key=shop.secret_key))
    transport = httpx.ASGITransport(app=running)  # pyright: ignore[reportArgumentType]
    async with running.lifespan(), httpx.AsyncClient(transport=transport, base_url=BASE_URL) as it:
        yield it


def event(**changes: str) -> dict[str, Any]:
    good = {
        "event_id": "e1",
        "type": "view",
        "customer_id": "ann",
        "product_id": "tea",
        "occurred_at": datetime.now(UTC).isoformat(),
    }
    return {"events": [good | changes]}


async def test_the_page_is_absent_without_a_demo_key(anyone: httpx.AsyncClient) -> None:
    for path in ("/shop", "/shop/shop.js", "/shop/api/history"):
        assert (await anyone.get(path)).status_code == 404
    assert (await anyone.post("/shop/api/recommendations")).status_code == 404


async def test_the_page_lists_shoppers_and_holds_no_secret(
    settings: Settings, shop: Shop, pool: Pool
) -> None:
    async with browsing(settings, shop) as browser:
        await shop.has_products({"product_id": "tea"})
        async with tenant_connection(pool, shop.tenant_id) as conn:
            await conn.execute(
                """
                INSERT INTO event (tenant_id, event_id, type, customer_id, product_id, occurred_at)
                VALUES (current_setting('app.tenant_id')::uuid, 'e1', 'purchase', '<b>ann', 'tea',
                        now())
                """
            )

        page = await browser.get("/shop")

        assert page.status_code == 200
        assert "&lt;b&gt;ann" in page.text
        assert "1 bought" in page.text
        assert "ak_" not in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy


async def test_the_page_runs_nothing_inline_and_nothing_from_elsewhere(
    settings: Settings,
    shop: Shop,
) -> None:
    async with browsing(settings, shop) as browser:
        page = (await browser.get("/shop")).text

        assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=|https?://", page)
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            assert (await browser.get(path)).status_code == 200


async def test_a_view_on_the_page_changes_what_the_shop_knows(
    settings: Settings, shop: Shop
) -> None:
    async with browsing(settings, shop) as browser:
        await shop.has_products({"product_id": "tea"}, {"product_id": "cup"})
        bought = await browser.post("/shop/api/events", json=event(type="purchase"))
        assert bought.status_code == 202

        asked = {"placement": "for-you", "customer_id": "ann"}
        answer = await browser.post("/shop/api/recommendations", json=asked)

        assert [item["product_id"] for item in answer.json()["items"]] == ["cup"]


async def test_the_rows_beside_a_product_come_in_one_call(settings: Settings, shop: Shop) -> None:
    async with browsing(settings, shop) as browser:
        await shop.has_products({"product_id": "tea"}, {"product_id": "cup"})
        await browser.post("/shop/api/events", json=event(product_id="cup"))
        page = (await browser.get("/shop")).text
        rows = re.findall(r'data-placement="([^"]+)"', page)

        asked = [{"placement": name, "product_id": "tea", "limit": 6} for name in rows[::-1]]
        answer = await browser.post(
            "/shop/api/page", json={"placements": asked, "customer_id": "ann"}
        )

        shown = {row["placement"]: row["items"] for row in answer.json()["placements"]}
        assert list(shown) == ["recently-viewed", "similar", "bought-together"]
        assert [item["product_id"] for item in shown["recently-viewed"]] == ["cup"]


async def test_the_page_forwards_nothing_else(settings: Settings, shop: Shop) -> None:
    async with browsing(settings, shop) as browser:
        for path in ("products", "models", "models/train", "../v1/models", "imports"):
            assert (await browser.post(f"/shop/api/{path}", json={})).status_code in {404, 405}
        assert (await browser.get("/shop/api/recommendations")).status_code == 405
        assert (await browser.get("/v1/models")).status_code == 401


async def test_another_site_cannot_use_the_pages_key(settings: Settings, shop: Shop) -> None:
    async with browsing(settings, shop) as browser:
        answer = await browser.post(
            "/shop/api/events", json=event(), headers={"sec-fetch-site": "cross-site"}
        )

        assert answer.status_code == 403


async def test_a_products_picture_is_drawn(settings: Settings, shop: Shop, app: Litestar) -> None:
    async with browsing(settings, shop) as browser:
        await shop.has_products({"product_id": "a/b?c", "title": "Green tea"})

        picture = await browser.get("/shop/cover.svg", params={"product_id": "a/b?c"})

        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert ">GT<" in picture.text
        assert (await browser.get("/shop/cover.svg", params={"product_id": "x"})).status_code == 404
