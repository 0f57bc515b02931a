"""Products and stock through HTTP: row by row, and never an older version over a newer one."""

from typing import Any

import pytest

from backend.cache import Redis
from backend.tenancy import tenant_key
from tests.conftest import Shop

OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


async def write(shop: Shop, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await shop.post("/v1/products", {"products": list(rows)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def tea(**fields: object) -> dict[str, Any]:
    return {"product_id": "tea", "title": "Tea", **fields}


async def read(shop: Shop, product_id: str = "tea") -> dict[str, Any]:
    return (await shop.get(f"/v1/products/{product_id}")).json()


async def revision(redis: Redis, shop: Shop) -> int:
    return int(await redis.get(tenant_key(shop.tenant_id, "catalog", "revision")) or 0)


async def test_everything_said_about_a_product_is_kept(shop: Shop) -> None:
    full = tea(
        description="Green",
        category="Drinks > Tea",
        brand="Leaf",
        price_cents=499,
        currency="EUR",
        image_url="https://shop.example/tea.png",
        url="https://shop.example/tea",
        in_stock=False,
        markets=["DE", "FR"],
        published=False,
        attributes={"organic": True, "cups": [1, 2.5]},
        updated_at=OLD,
    )
    await write(shop, full)

    kept = await read(shop)

    assert {name: kept[name] for name in full} == full
    assert kept["stock_as_of"] == OLD


async def test_each_row_has_its_own_result(shop: Shop) -> None:
    await write(shop, tea(updated_at=NEW))

    results = await write(
        shop,
        {"product_id": "new", "title": "New"},
        tea(updated_at=NEW),
        {"product_id": "no title"},
        {"title": "no id"},
        {"product_id": "twice", "title": "First"},
        {"product_id": "twice", "title": "Second"},
    )

    assert [result["status"] for result in results] == [
        "created",
        "unchanged",
        "rejected",
        "rejected",
        "superseded",
        "created",
    ]
    assert results[2] == {
        "status": "rejected",
        "id": "no title",
        "code": "missing",
        "pointer": "/products/2/title",
        "message": "title is missing",
    }
    assert "id" not in results[3]
    assert (await read(shop, "twice"))["title"] == "Second"


@pytest.mark.parametrize(
    ("version", "status", "title"),
    [
        (OLD, "stale", "Tea"),
        (NEW, "updated", "Other"),
        ("2026-03-01T00:00:00Z", "updated", "Other"),
    ],
)
async def test_an_older_version_never_wins(
    shop: Shop, version: str, status: str, title: str
) -> None:
    await write(shop, tea(updated_at=NEW))

    [result] = await write(shop, tea(title="Other", updated_at=version))

    assert result["status"] == status
    assert (await read(shop))["title"] == title


async def test_an_unchanged_newer_version_still_counts_as_seen(shop: Shop) -> None:
    await write(shop, tea(updated_at=OLD))
    assert (await write(shop, tea(updated_at=NEW)))[0]["status"] == "unchanged"

    [between] = await write(shop, tea(title="Between", updated_at="2026-01-15T00:00:00Z"))

    assert between["status"] == "stale"


async def test_a_deleted_product_comes_back_with_a_newer_version_only(shop: Shop) -> None:
    await write(shop, tea(updated_at=OLD))
    deleted = await shop.api.delete("/v1/products/tea", params={"updated_at": NEW})
    assert deleted.json() == {"status": "deleted", "id": "tea"}
    assert (await shop.get("/v1/products/tea")).status_code == 404
    assert (await shop.get("/v1/products")).json()["products"] == []

    assert (await write(shop, tea(updated_at=OLD)))[0]["status"] == "stale"
    assert (await shop.get("/v1/products/tea")).status_code == 404
    assert (await write(shop, tea(updated_at="2026-03-01T00:00:00Z")))[0]["status"] == "updated"
    assert (await read(shop))["title"] == "Tea"


async def test_a_deletion_older_than_the_product_changes_nothing(shop: Shop) -> None:
    await write(shop, tea(updated_at=NEW))

    answer = await shop.api.delete("/v1/products/tea", params={"updated_at": OLD})

    assert answer.json()["status"] == "stale"
    assert (await shop.get("/v1/products/tea")).status_code == 200
    assert (await shop.api.delete("/v1/products/unknown")).status_code == 404


async def test_a_product_is_put_by_its_id(shop: Shop) -> None:
    created = await shop.api.put("/v1/products/tea", json={"title": "Tea"})
    wrong = await shop.api.put("/v1/products/tea", json={"title": "Tea", "price_cents": -1})

    assert created.json() == {"status": "created", "id": "tea"}
    assert wrong.status_code == 400
    assert wrong.json()["pointer"] == "/price_cents"


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"product_id": ""}, "/product_id", "product_id is empty"),
    ({"product_id": "x" * 10_000}, "/product_id", "product_id is longer than 200 characters"),
    ({"product_id": 7}, "/product_id", "product_id must be text, not a whole number"),
    ({"title": "x" * 1001}, "/title", "title is longer than 1000 characters"),
    ({"title": None}, "/title", "title must be text, not null"),
    ({"title": "a\0b"}, "/title", "title holds the character U+0000"),
    (
        {"description": "x" * 20_001},
        "/description",
        "description is longer than 20000 characters",
    ),
    ({"price_cents": -1}, "/price_cents", "price_cents must be at least 0"),
    (
        {"price_cents": 1.5},
        "/price_cents",
        "price_cents must be a whole number, not a decimal number",
    ),
    ({"price_cents": 10**30}, "/price_cents", "price_cents must be at most 10000000000000"),
    ({"currency": "Euro"}, "/currency", "currency must be three capital letters, such as EUR"),
    ({"url": "javascript:1"}, "/url", "url must be an http or https address"),
    ({"image_url": "ftp://a/b"}, "/image_url", "image_url must be an http or https address"),
    ({"markets": []}, "/markets", "markets is empty"),
    ({"markets": ["de"]}, "/markets/0", "markets[0] must be two capital letters, such as DE"),
    ({"in_stock": "yes"}, "/in_stock", "in_stock must be true or false, not text"),
    ({"attributes": []}, "/attributes", "attributes must be an object, not a list"),
    ({"attributes": {"a": "x" * 20_000}}, "/attributes", "attributes is larger than 16384 bytes"),
    ({"attributes": {"a": "\0"}}, "/attributes", "attributes holds the character U+0000"),
    ({"updated_at": "1970-01-01T00:00:00Z"}, "/updated_at", "updated_at is before 1995"),
    (
        {"updated_at": "2999-01-01T00:00:00Z"},
        "/updated_at",
        "updated_at is more than 24 hours in the future",
    ),
    (
        {"updated_at": "yesterday"},
        "/updated_at",
        "updated_at must be a time such as 2026-03-01T12:00:00Z",
    ),
]


@pytest.mark.parametrize(("fields", "pointer", "message"), WRONG)
async def test_a_wrong_field_is_named_and_keeps_no_other_row_out(
    shop: Shop, fields: dict[str, Any], pointer: str, message: str
) -> None:
    wrong, good = await write(shop, tea(**fields), {"product_id": "good", "title": "Good"})

    assert (wrong["status"], wrong["message"]) == ("rejected", message)
    assert wrong["pointer"] == f"/products/0{pointer}"
    assert good["status"] == "created"


async def test_at_most_500_rows_come_at_once(shop: Shop) -> None:
    rows = [{"product_id": str(number), "title": "T"} for number in range(501)]

    assert (await shop.post("/v1/products", {"products": rows})).status_code == 413
    assert len(await write(shop, *rows[:500])) == 500


async def test_pages_stay_whole_while_products_are_added(shop: Shop) -> None:
    await shop.has_products(*({"product_id": f"p{number:02}"} for number in range(0, 20, 2)))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"cursor": cursor} if cursor else {}
        page = (await shop.get("/v1/products", limit=3, **params)).json()
        seen += [product["product_id"] for product in page["products"]]
        await shop.has_products({"product_id": "p00b"}, {"product_id": f"{seen[-1]}a"})
        cursor = page["next_cursor"]
        if len(seen) > 60:
            break

    old = [product_id for product_id in seen if len(product_id) == 3]
    assert old == [f"p{number:02}" for number in range(0, 20, 2)]
    assert len(set(seen)) == len(seen)


async def test_older_stock_never_wins(shop: Shop) -> None:
    await write(shop, tea(updated_at=OLD))
    newer = {"product_id": "tea", "in_stock": False, "as_of": NEW}
    older = {"product_id": "tea", "in_stock": True, "as_of": "2026-01-20T00:00:00Z"}

    first = await shop.post("/v1/inventory", newer)
    second = await shop.post("/v1/inventory", {"inventory": [older, {"product_id": "x"}]})
    third = await shop.post("/v1/inventory", {"product_id": "unknown", "in_stock": True})
    await write(shop, tea(in_stock=True, updated_at="2026-01-25T00:00:00Z"))

    assert first.json()["results"] == [{"status": "updated", "id": "tea"}]
    assert second.json()["results"][0] == {"status": "stale", "id": "tea"}
    assert second.json()["results"][1]["pointer"] == "/inventory/1/in_stock"
    assert third.json()["results"] == [{"status": "unknown", "id": "unknown"}]
    assert (await read(shop))["in_stock"] is False


async def test_a_product_that_says_nothing_of_stock_leaves_it_alone(shop: Shop) -> None:
    await write(shop, tea(in_stock=False, updated_at=OLD))

    await write(shop, tea(title="Green tea", updated_at=NEW))

    assert (await read(shop))["in_stock"] is False


async def test_readers_are_told_of_changes_and_of_nothing_else(shop: Shop, redis: Redis) -> None:
    await write(shop, tea(updated_at=OLD))
    created = await revision(redis, shop)
    await write(shop, tea(updated_at=OLD))
    unchanged = await revision(redis, shop)
    await shop.post("/v1/inventory", {"product_id": "tea", "in_stock": False})
    sold_out = await revision(redis, shop)
    await shop.api.delete("/v1/products/tea")

    assert (created, unchanged, sold_out) == (1, 1, 2)
    assert await revision(redis, shop) == 3
