"""Given lists, reordered through HTTP."""

from typing import Any

import pytest

from backend.db import Pool
from backend.recommend.schemas import MOST_RANKED
from tests.backend.recommend.asking import LATER, bought, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS

LISTED = ["p07", "unheard of", "p01", "later1", "p10", "p04"]


async def ranks(shop: Shop, product_ids: list[str], **request: object) -> dict[str, Any]:
    answer = await shop.post("/v1/rankings", {"product_ids": product_ids, **request})
    assert answer.status_code == 200, answer.text
    return answer.json()


def unranked(answer: dict[str, Any]) -> dict[str, str]:
    return {item["product_id"]: item["unranked"] for item in answer["items"] if item["unranked"]}


@pytest.fixture
async def ann(shop: Shop, pool: Pool) -> dict[str, str]:
    """Viewed p04; others bought p10 twice and p01 once."""
    await sells_everything(shop)
    await sends(shop, "view", "p04", customer_id="ann")
    await bought(pool, shop, "bob", "p10", 2, 3)
    await bought(pool, shop, "bob", "p01", 2)
    return {"customer_id": "ann"}


@pytest.fixture(params=["own-models", "blend", None])
async def served_by(
    request: pytest.FixtureRequest, shop: Shop, ann: dict[str, str], serve_release: Serve
) -> str | None:
    del ann
    if request.param is not None:
        await serve_release(shop, champion=request.param)
    return request.param


async def test_own_models_reorder_a_list(
    shop: Shop, ann: dict[str, str], serve_release: Serve
) -> None:
    release = await serve_release(shop)

    answer = await ranks(shop, LISTED, **ann)

    assert names(answer) == ["p01", "p04", "p07", "p10", "later1", "unheard of"]
    assert (answer["served_by"], answer["release_id"]) == ("own-models", release.name)
    assert unranked(answer) == {"unheard of": "unknown"}
    assert answer["items"][0]["reason"]["words"]


async def test_without_a_release_a_list_is_reordered_by_popularity_and_else_left(
    shop: Shop, ann: dict[str, str]
) -> None:
    answer = await ranks(shop, LISTED, **ann)

    assert names(answer) == ["p10", "p01", "p07", "later1", "p04", "unheard of"]
    assert (answer["served_by"], answer["release_id"]) == ("popular", None)


async def test_where_nothing_is_known_the_list_is_left_as_it_is(shop: Shop) -> None:
    await sells_everything(shop)

    answer = await ranks(shop, ["p07", "p01", "p10"], customer_id="ann")

    assert names(answer) == ["p07", "p01", "p10"]
    assert (answer["served_by"], answer["degraded"]) == ("as-listed", False)
    assert {item["reason"]["code"] for item in answer["items"]} == {"as-listed"}


async def test_every_product_comes_back_once_and_what_is_not_ranked_at_the_end(
    shop: Shop, ann: dict[str, str], served_by: str | None
) -> None:
    await shop.has_products(
        {"product_id": "p00", "in_stock": False},
        {"product_id": "p02", "markets": ["GB"]},
        {"product_id": "p03", "published": False},
    )
    await sends(shop, "dismiss", "p05", **ann)
    listed = ["p05", "p03", "nobody's", *PRODUCTS[6:], "p02", "p00", *LATER, "p01"]

    answer = await ranks(shop, listed, **ann, market="DE")

    assert sorted(names(answer)) == sorted(listed)
    ends = {
        "p05": "dismissed",
        "p03": "unavailable",
        "nobody's": "unknown",
        "p02": "unavailable",
        "p00": "unavailable",
    }
    assert unranked(answer) == ends
    assert names(answer)[-5:] == list(ends)
    assert answer["served_by"] == served_by or served_by is None
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_what_was_bought_goes_to_the_end_only_when_asked_for(
    shop: Shop, served_by: str | None
) -> None:
    del served_by
    listed = ["p10", "p02", "p03"]

    again = await ranks(shop, listed, customer_id="bob")
    new = await ranks(shop, listed, customer_id="bob", mode="new")

    assert unranked(again) == {}
    assert unranked(new) == {"p10": "bought"}
    assert names(new)[-1] == "p10"


@pytest.mark.usefixtures("served_by")
@pytest.mark.parametrize(("threshold", "is_first"), [(0.0, True), (1.0, False)])
async def test_a_promoted_product_comes_first_if_it_scores_enough(
    shop: Shop, ann: dict[str, str], threshold: float, is_first: bool
) -> None:
    promoted = {"promoted": ["p07"], "promotion_threshold": threshold}

    answer = await ranks(shop, ["p01", "p10", "p07", "p04"], **ann, **promoted)

    assert (names(answer)[0] == "p07") == is_first


async def test_equal_lists_share_an_answer_and_other_lists_do_not(
    shop: Shop, ann: dict[str, str], serve_release: Serve
) -> None:
    await serve_release(shop)

    async def is_cached(*product_ids: str) -> bool:
        return (await ranks(shop, [*product_ids], **ann))["timings"]["cached"]

    assert not await is_cached("p01", "p02")
    assert await is_cached("p02", "p01")
    assert not await is_cached("p02", "p03")


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 400, "/product_ids"),
        ({"product_ids": []}, 400, "/product_ids"),
        ({"product_ids": ["x"] * (MOST_RANKED + 1)}, 400, "/product_ids"),
        ({"product_ids": ["a", "b", "a"]}, 422, "/product_ids/2"),
    ],
)
async def test_a_wrong_list_is_told_what_is_wrong(
    shop: Shop, body: dict[str, object], status: int, pointer: str
) -> None:
    answer = await shop.post("/v1/rankings", body)

    assert answer.status_code == status
    assert answer.json()["pointer"] == pointer


async def test_the_longest_list_is_answered(shop: Shop, serve_release: Serve) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    listed = [f"stranger {number}" for number in range(MOST_RANKED - 12)] + PRODUCTS

    answer = await ranks(shop, listed)

    assert set(names(answer)[:12]) == set(PRODUCTS)
    assert len(answer["items"]) == MOST_RANKED
