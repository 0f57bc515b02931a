"""Every placement through HTTP, with a release in service and without one."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.db import Pool
from tests.backend.recommend.asking import LATER, asks, bought, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS

PLACEMENTS: list[dict[str, Any]] = [
    {"placement": "for-you"},
    {"placement": "similar", "product_id": "p04"},
    {"placement": "bought-together", "product_id": "p04"},
    {"placement": "cart", "product_ids": ["p04", "p05"]},
    {"placement": "trending"},
    {"placement": "best-sellers"},
    {"placement": "recently-viewed"},
    {"placement": "buy-again"},
]
BESIDE = {"similar": {"p04"}, "bought-together": {"p04"}, "cart": {"p04", "p05"}}
SERVED_BY = {
    "for-you": ("own-models", "popular"),
    "similar": ("item-knn", "content"),
    "bought-together": ("item-knn", "content"),
    "cart": ("item-knn", "popular"),
    "trending": ("trending", "popular"),
    "best-sellers": ("popularity", "popular"),
    "recently-viewed": ("recently-viewed", "recently-viewed"),
    "buy-again": ("own-models", "buy-again"),
}
OWN = {"recently-viewed": ["p07", "p06", "p03"], "buy-again": ["p08", "p09"]}
"""Never filled with anything else."""


@pytest.fixture
async def ann(shop: Shop, pool: Pool) -> dict[str, Any]:
    """Viewed p03, p06 and p07; buys p08 and p09 every month, and bought p10 yesterday.

    Others bought p00 to p05.
    """
    await shop.has_products(
        *(
            {"product_id": name, "category": "tea" if name < "p06" else "ware"}
            for name in [*PRODUCTS, *LATER]
        )
    )
    for place, name in enumerate(PRODUCTS[:6]):
        await bought(pool, shop, "zoe", name, *range(10 + place, 20))
    for name in ("p08", "p09"):
        await bought(pool, shop, "ann", name, 40, 70, 100)
    await bought(pool, shop, "ann", "p08", 39)
    await bought(pool, shop, "ann", "p10", 1)
    for name in ("p03", "p06", "p03", "p06", "p07"):
        await sends(shop, "view", name, customer_id="ann")
    return {"customer_id": "ann"}


@pytest.fixture(params=["release", "no release"])
async def has_release(
    request: pytest.FixtureRequest, shop: Shop, ann: dict[str, Any], serve_release: Serve
) -> bool:
    del ann
    if request.param == "release":
        await serve_release(shop)
    return request.param == "release"


@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda placement: placement["placement"])
async def test_a_placement_is_served_by_the_best_rung_there_is(
    shop: Shop, ann: dict[str, Any], has_release: bool, placement: dict[str, Any]
) -> None:
    name = placement["placement"]

    answer = await asks(shop, **placement, **ann, limit=8)

    assert answer["served_by"] == SERVED_BY[name][0 if has_release else 1]
    assert not answer["degraded"]
    assert (answer["release_id"] is not None) == (has_release and name != "recently-viewed")
    assert sorted(names(answer)) == sorted(OWN.get(name, names(answer)))
    assert len(answer["items"]) == len(OWN.get(name, range(8)))
    assert not BESIDE.get(name, set()) & set(names(answer))
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(item["reason"]["words"] for item in answer["items"])


@pytest.mark.usefixtures("has_release")
@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda placement: placement["placement"])
async def test_a_placement_shows_only_what_may_be_shown(
    shop: Shop, ann: dict[str, Any], placement: dict[str, Any]
) -> None:
    before = names(await asks(shop, **placement, **ann, market="DE", limit=20))
    assert len(before) >= 2
    gone, *kept = before
    changes = [{"in_stock": False}, {"published": False}, {"markets": ["GB"]}]
    for change in changes:
        await shop.has_products({"product_id": gone, **change})

        after = names(await asks(shop, **placement, **ann, market="DE", limit=20))

        assert gone not in after
        assert set(kept) <= set(after)
    await shop.has_products({"product_id": gone})
    excluding = await asks(shop, **placement, **ann, market="DE", limit=20, exclude=[gone])
    assert gone not in names(excluding)


@pytest.mark.usefixtures("has_release")
@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda placement: placement["placement"])
async def test_a_placement_puts_what_is_promoted_first(
    shop: Shop, ann: dict[str, Any], placement: dict[str, Any]
) -> None:
    plain = await asks(shop, **placement, **ann, limit=2)
    second = plain["items"][1]

    async def first(threshold: float) -> str:
        promoted = {"promoted": [second["product_id"]], "promotion_threshold": threshold}
        return names(await asks(shop, **placement, **ann, **promoted, limit=2))[0]

    assert await first(second["score"] - 1e-3) == second["product_id"]
    assert await first(min(second["score"] + 1e-3, 1.0)) == names(plain)[0]


@pytest.mark.usefixtures("has_release")
async def test_what_was_viewed_comes_newest_first_without_the_product_looked_at(
    shop: Shop, ann: dict[str, Any]
) -> None:
    answer = await asks(shop, placement="recently-viewed", product_id="p06", **ann)

    assert names(answer) == ["p07", "p03"]
    assert answer["items"][0]["reason"] == {
        "code": "viewed-before",
        "words": "You looked at this before",
        "product_id": "p07",
    }


@pytest.mark.usefixtures("has_release")
@pytest.mark.parametrize("placement", ["recently-viewed", "buy-again"])
async def test_a_stranger_gets_nothing_of_their_own(shop: Shop, placement: str) -> None:
    answer = await asks(shop, placement=placement)

    assert (answer["items"], answer["served_by"], answer["degraded"]) == ([], "nothing", False)


@pytest.mark.usefixtures("has_release")
async def test_what_is_bought_again_says_whether_it_is_a_habit(
    shop: Shop, ann: dict[str, Any], pool: Pool
) -> None:
    await bought(pool, shop, "bob", "p08", 40, 70)
    await bought(pool, shop, "bob", "p11", 30)
    await bought(pool, shop, "bob", "p10", 2)
    del ann

    answer = await asks(shop, placement="buy-again", customer_id="bob")

    codes = {item["product_id"]: item["reason"]["code"] for item in answer["items"]}
    assert codes == {"p08": "buy-again", "p11": "bought-before"}


@pytest.mark.usefixtures("has_release")
@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda placement: placement["placement"])
async def test_what_was_dismissed_is_shown_nowhere_until_the_shopper_comes_back(
    shop: Shop, ann: dict[str, Any], placement: dict[str, Any]
) -> None:
    turned_down = names(await asks(shop, **placement, **ann, limit=2))[0]

    await sends(shop, "dismiss", turned_down, **ann)
    assert turned_down not in names(await asks(shop, **placement, **ann, limit=20))

    await sends(shop, "view", turned_down, **ann)
    assert turned_down in names(await asks(shop, **placement, **ann, limit=20))


async def test_a_complement_names_the_product_of_the_cart_it_goes_with(
    shop: Shop, ann: dict[str, Any], serve_release: Serve
) -> None:
    await serve_release(shop)
    await shop.has_products({"product_id": "p05", "title": "Green tea"})

    answer = await asks(shop, placement="cart", product_ids=["p04", "p05", "p05"], **ann, limit=2)

    assert names(answer) == ["p06", "p07"]
    assert [item["reason"]["product_id"] for item in answer["items"]] == ["p05", "p05"]
    assert answer["items"][0]["reason"]["words"] == "Often bought together with Green tea"


async def test_a_cart_of_products_newer_than_the_release_is_answered(
    shop: Shop, ann: dict[str, Any], serve_release: Serve
) -> None:
    await serve_release(shop)

    answer = await asks(shop, placement="cart", product_ids=LATER, **ann, limit=3)

    assert (answer["served_by"], answer["degraded"]) == ("popular", False)
    assert len(answer["items"]) == 3


async def test_each_market_has_its_own_trend(
    shop: Shop, ann: dict[str, Any], serve_release: Serve
) -> None:
    await serve_release(shop)
    del ann

    assert names(await asks(shop, placement="trending", limit=1)) == ["p00"]
    assert names(await asks(shop, placement="trending", limit=1, market="DE")) == ["p11"]


async def test_what_no_shopper_changes_is_cached_for_all_of_them(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    for who, seen in (("bob", "p01"), ("eve", "p02")):
        await sends(shop, "view", seen, customer_id=who)

    async def is_cached(customer_id: str, **request: object) -> bool:
        answer = await asks(shop, customer_id=customer_id, limit=3, **request)
        return answer["timings"]["cached"]

    assert not await is_cached("bob", placement="best-sellers")
    assert await is_cached("eve", placement="best-sellers", locale="en-GB", device="mobile")
    assert not await is_cached("eve", placement="trending")
    assert not await is_cached("bob", placement="cart", product_ids=["p03", "p04"])
    assert await is_cached("eve", placement="cart", product_ids=["p04", "p03"])
    assert not await is_cached("eve", placement="cart", product_ids=["p03"])
    assert not await is_cached("bob", placement="for-you")
    assert not await is_cached("eve", placement="for-you")
    await sends(shop, "purchase", "p00", customer_id="eve")
    answer = await asks(shop, customer_id="eve", placement="best-sellers", limit=3)
    assert names(answer) == ["p01", "p02", "p03"]
    assert names(await asks(shop, customer_id="bob", placement="best-sellers", limit=1)) == ["p00"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"placement": "nowhere"}, 400, "/placement"),
        ({"placement": "similar"}, 422, "/product_id"),
        ({"placement": "bought-together", "product_ids": ["p01"]}, 422, "/product_id"),
        ({"placement": "cart"}, 422, "/product_ids"),
        ({"placement": "cart", "product_ids": []}, 422, "/product_ids"),
        ({"placement": "cart", "product_ids": ["x"] * 101}, 400, "/product_ids"),
        ({"placement": "cart", "product_ids": [""]}, 400, "/product_ids/0"),
    ],
)
async def test_a_placement_says_what_it_lacks(
    shop: Shop, body: dict[str, object], status: int, pointer: str
) -> None:
    answer = await shop.post("/v1/recommendations", body)

    assert answer.status_code == status
    assert answer.json()["pointer"] == pointer


async def test_a_broken_release_degrades_every_placement_and_fails_none(
    shop: Shop, ann: dict[str, Any], serve_release: Serve
) -> None:
    folder: Path = await serve_release(shop)
    (folder / "items.msgpack").write_bytes(b"not this")

    for placement in PLACEMENTS:
        answer = await asks(shop, **placement, **ann, limit=3)

        name = placement["placement"]
        assert answer["served_by"] == SERVED_BY[name][1]
        assert answer["degraded"] == (name != "recently-viewed")


async def test_the_examples_of_the_reference_can_be_sent(
    shop: Shop, anyone: httpx.AsyncClient
) -> None:
    paths = (await anyone.get("/schema/openapi.json")).json()["paths"]

    shown: set[str] = set()
    for path in ("/v1/recommendations", "/v1/recommendations/page", "/v1/rankings"):
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            answer = await shop.post(path, example["value"])
            assert answer.status_code == 200, answer.text
            shown.add(example["value"].get("placement"))
    assert shown >= {placement["placement"] for placement in PLACEMENTS}
