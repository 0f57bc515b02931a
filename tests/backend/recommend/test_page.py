"""Several placements of one page through HTTP."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from litestar import Litestar

from backend.recommend import pipeline
from backend.recommend.pipeline import Recommender
from backend.recommend.schemas import Placement
from tests.backend.recommend.asking import LATER, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS

EVERYTHING = {*PRODUCTS, *LATER}
OWN = {"recently-viewed", "buy-again"}
NAMES: tuple[Placement, ...] = get_args(Placement)


async def fills(shop: Shop, *placements: dict[str, Any], **asker: object) -> list[dict[str, Any]]:
    answer = await shop.post("/v1/recommendations/page", {"placements": placements, **asker})
    assert answer.status_code == 200, answer.text
    return answer.json()["placements"]


def random_page(chance: random.Random) -> list[dict[str, Any]]:
    """One to twelve placements of any kind, beside any products, of any small length."""
    products = sorted(EVERYTHING)

    def placement(name: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"placement": name, "limit": chance.randint(1, 6)}
        if name in {"similar", "bought-together"}:
            asked["product_id"] = chance.choice(products)
        if name == "cart":
            asked["product_ids"] = chance.sample(products, chance.randint(1, 3))
        return asked

    return [placement(chance.choice(NAMES)) for _ in range(chance.randint(1, 12))]


@pytest.mark.parametrize("has_release", [True, False])
async def test_no_page_shows_a_product_twice_nor_leaves_room(
    shop: Shop, serve_release: Serve, has_release: bool
) -> None:
    await sells_everything(shop)
    if has_release:
        await serve_release(shop)
    for name in ("p03", "p06", "p03"):
        await sends(shop, "view", name, customer_id="ann")
    chance = random.Random(17)
    for _ in range(30):
        placements = random_page(chance)

        rows = await fills(shop, *placements, customer_id="ann")

        times = Counter(name for row in rows for name in names(row))
        assert set(times.values()) <= {1}, placements
        left = set(EVERYTHING)
        for asked, row in zip(placements, rows, strict=True):
            room = left - {asked.get("product_id"), *asked.get("product_ids", [])}
            assert set(names(row)) <= room
            if asked["placement"] not in OWN:
                assert len(row["items"]) == min(asked["limit"], len(room)), placements
            left -= set(names(row))
        assert len({row["recommendation_id"] for row in rows}) == len(rows)


async def test_a_page_answers_as_each_placement_would_as_far_as_no_product_comes_twice(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    await serve_release(shop)

    trending, best, beside = await fills(
        shop,
        {"placement": "trending", "limit": 2},
        {"placement": "best-sellers", "limit": 2, "exclude": ["p02"]},
        {"placement": "bought-together", "product_id": "p09", "limit": 1},
        exclude=["p00", "p10"],
    )

    assert names(trending) == ["p01", "p02"]
    assert names(best) == ["p03", "p04"]
    assert names(beside) == ["p11"]
    assert [row["served_by"] for row in (trending, best, beside)] == [
        "trending",
        "popularity",
        "item-knn",
    ]


async def test_what_fills_a_row_after_the_others_took_its_best_is_named(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    await serve_release(shop)

    first, second = await fills(
        shop,
        {"placement": "trending", "limit": 12},
        {"placement": "best-sellers", "limit": 2},
    )

    assert set(names(first)) == set(PRODUCTS)
    assert set(names(second)) == set(LATER)
    assert (second["served_by"], second["release_id"]) == ("newest", None)


async def test_a_page_reads_shop_and_shopper_once(
    shop: Shop, app: Litestar, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sells_everything(shop)
    recommender: Recommender = app.state.recommender
    reads: list[str] = []

    def count(owner: object, name: str) -> None:
        original: Callable[..., Awaitable[object]] = getattr(owner, name)

        async def counted(*given: object) -> object:
            reads.append(name)
            return await original(*given)

        monkeypatch.setattr(owner, name, counted)

    count(recommender.signals, "read")
    count(recommender.pointers, "in_service")
    count(recommender.catalogs, "current")
    count(pipeline, "read_shopper")

    await fills(shop, *[{"placement": "for-you", "limit": 1}] * 12, customer_id="ann")

    assert sorted(reads) == ["current", "in_service", "read", "read_shopper"]


@pytest.mark.parametrize(
    ("placements", "status", "pointer"),
    [
        ([], 400, "/placements"),
        ([{"placement": "for-you"}] * 13, 400, "/placements"),
        ([{"placement": "for-you"}, {"placement": "nowhere"}], 400, "/placements/1/placement"),
        ([{"placement": "for-you"}, {"placement": "similar"}], 422, "/placements/1/product_id"),
        ([{"placement": "cart", "product_ids": []}], 422, "/placements/0/product_ids"),
        ([{"placement": "for-you", "limit": 101}], 400, "/placements/0/limit"),
        ([{"placement": "for-you", "limit": 100}] * 6, 422, "/placements"),
        ([{"placement": "for-you", "customer_id": "ann"}], 400, "/placements/0"),
    ],
)
async def test_a_wrong_page_is_told_which_placement_and_why(
    shop: Shop, placements: list[dict[str, object]], status: int, pointer: str
) -> None:
    answer = await shop.post("/v1/recommendations/page", {"placements": placements})

    assert answer.status_code == status
    assert answer.json()["pointer"] == pointer


async def test_a_storefront_may_ask_for_a_page_from_the_browser(shop: Shop) -> None:
    body = {"placements": [{"placement": "trending"}]}

    answer = await shop.storefront.post("/v1/recommendations/page", json=body)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
