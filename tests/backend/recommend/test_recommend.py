"""Recommendations through HTTP, from a release in service."""

import time
from pathlib import Path

import httpx
import pytest

from backend.cache import Redis
from backend.catalog.revision import announce_change
from backend.db import Pool
from backend.tenancy import tenant_connection
from ml.serving.engine import recommend
from ml.serving.release import load_release
from ml.serving.request import EngineRequest, Interaction
from tests.backend.recommend.asking import LATER, asks, names, sells_everything, sends
from tests.backend.recommend.conftest import Serve
from tests.conftest import Shop
from tests.ml.small_release import PRODUCTS


@pytest.fixture
async def release(shop: Shop, serve_release: Serve) -> Path:
    await sells_everything(shop)
    return await serve_release(shop)


async def test_http_gives_what_the_engine_gives(shop: Shop, release: Path) -> None:
    now_s = time.time()
    loaded = load_release(release)
    viewed = [Interaction(product_id="p04", kind="view", occurred_at_s=now_s - 60)]
    expected = recommend(loaded, EngineRequest(now_s=now_s, limit=25, recent=viewed)).items[:6]

    told = [{"product_id": "p04", "type": "view", "occurred_at_s": now_s - 60}]
    answer = await asks(shop, recent=told, limit=6)

    assert answer["served_by"] == "own-models"
    assert answer["release_id"] == loaded.release_id
    assert not answer["degraded"]
    assert names(answer) == [item.product_id for item in expected]
    scores = [item["score"] for item in answer["items"]]
    assert scores == pytest.approx([item.score for item in expected], abs=1e-5)
    assert [item["reason"]["code"] for item in answer["items"]] == [i.reason for i in expected]


@pytest.mark.usefixtures("release")
async def test_asking_for_twelve_gives_twelve_while_there_are_twelve(shop: Shop) -> None:
    await shop.has_products(
        {"product_id": "p00", "in_stock": False}, {"product_id": "p01", "published": False}
    )

    answer = await asks(shop, customer_id="ann", limit=12)

    assert set(names(answer)) == {*PRODUCTS[2:], *LATER}
    assert names(answer)[-2:] == LATER
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("change", [{"in_stock": False}, {"published": False}])
async def test_the_next_answer_knows_that_a_product_is_gone(
    shop: Shop, change: dict[str, bool]
) -> None:
    first = names(await asks(shop, customer_id="ann", limit=5))
    assert "p00" in first
    await shop.has_products({"product_id": "p00", **change})

    again = await asks(shop, customer_id="ann", limit=5)

    assert again["timings"]["cached"]
    assert "p00" not in names(again)
    assert len(again["items"]) == 5


@pytest.mark.usefixtures("release")
async def test_the_next_answer_knows_the_stock_just_counted(shop: Shop) -> None:
    for in_stock in (False, True):
        counted = {"inventory": [{"product_id": "p00", "in_stock": in_stock}]}
        assert (await shop.post("/v1/inventory", counted)).status_code == 200

        shown = names(await asks(shop, limit=20))

        assert ("p00" in shown) == in_stock


@pytest.mark.usefixtures("release")
async def test_a_product_is_recommended_only_where_it_is_sold(shop: Shop) -> None:
    await shop.has_products(
        {"product_id": "p00", "markets": ["GB"]}, {"product_id": "p01", "markets": ["DE", "GB"]}
    )

    german = names(await asks(shop, market="DE", limit=20))

    assert "p00" not in german
    assert "p01" in german
    assert "p00" in names(await asks(shop, limit=20))


@pytest.mark.usefixtures("release")
async def test_excluded_products_stay_out(shop: Shop) -> None:
    answer = await asks(shop, exclude=["p00", "later1", "unheard of"], limit=20)

    assert set(names(answer)) == {*PRODUCTS[1:], "later2"}


@pytest.mark.usefixtures("release")
async def test_what_was_bought_comes_again_only_when_asked_for(shop: Shop) -> None:
    await sends(shop, "purchase", "p00", customer_id="ann")
    await sends(shop, "purchase", "later1", customer_id="ann")

    new = await asks(shop, customer_id="ann", limit=20)
    repeat = await asks(shop, customer_id="ann", limit=20, mode="repeat")

    assert not {"p00", "later1"} & set(names(new))
    assert {"p00", "later1"} <= set(names(repeat))
    assert "p00" in names(await asks(shop, customer_id="bob", limit=20))


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("who", ["customer_id", "session_id"])
async def test_the_next_answer_knows_a_view(shop: Shop, who: str) -> None:
    shopper = {who: "ann"}
    before = await asks(shop, **shopper, limit=5)
    assert before["served_by"] == "blend"
    await sends(shop, "view", "p08", **shopper)

    after = await asks(shop, **shopper, limit=5)

    assert after["served_by"] == "own-models"
    assert after["items"] != before["items"]


@pytest.mark.usefixtures("release")
async def test_a_reason_names_the_product_it_rests_on(shop: Shop) -> None:
    await shop.has_products({"product_id": "p04", "title": "Green tea"})

    answer = await asks(shop, placement="similar", product_id="p04", limit=3)

    assert answer["items"][0]["reason"] == {
        "code": "bought-together",
        "words": "Often bought together with Green tea",
        "product_id": "p04",
    }


@pytest.mark.usefixtures("release")
async def test_similar_products_are_neighbours_and_never_the_product_itself(shop: Shop) -> None:
    answer = await asks(shop, placement="similar", product_id="p04", limit=20)

    assert names(answer)[:2] == ["p05", "p06"]
    assert "p04" not in names(answer)


@pytest.mark.usefixtures("release")
async def test_similar_works_for_a_product_newer_than_the_release(shop: Shop) -> None:
    await shop.has_products(
        {"product_id": "later1", "category": "tea"}, {"product_id": "later2", "category": "tea"}
    )

    answer = await asks(shop, placement="similar", product_id="later1", limit=3)

    assert answer["served_by"] == "content"
    assert not answer["degraded"]
    assert names(answer)[0] == "later2"
    assert answer["items"][0]["reason"]["words"] == "In the same category as later1"


async def test_similar_needs_a_product(shop: Shop) -> None:
    answer = await shop.post("/v1/recommendations", {"placement": "similar"})

    assert answer.status_code == 422
    assert answer.json()["pointer"] == "/product_id"


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(("threshold", "first"), [(0.0, "p11"), (1.0, "p00")])
async def test_a_promoted_product_comes_first_if_it_scores_enough(
    shop: Shop, threshold: float, first: str
) -> None:
    told = [{"product_id": "p03", "type": "view"}]
    answer = await asks(
        shop, recent=told, promoted=["p11"], promotion_threshold=threshold, limit=12
    )

    assert names(answer)[0] == first
    assert (answer["items"][0]["score"] == 1.0) == (first == "p11")


@pytest.mark.usefixtures("release")
async def test_equal_requests_are_answered_from_the_cache(shop: Shop) -> None:
    await sends(shop, "view", "p08", customer_id="ann")
    first = await asks(shop, customer_id="ann", limit=5)
    second = await asks(shop, customer_id="ann", limit=5)

    assert (first["timings"]["cached"], second["timings"]["cached"]) == (False, True)
    assert first["items"] == second["items"]
    assert first["recommendation_id"] != second["recommendation_id"]


@pytest.mark.usefixtures("release")
async def test_a_cached_list_of_which_much_sold_out_is_made_anew(shop: Shop) -> None:
    await asks(shop, limit=5)
    await shop.has_products(*({"product_id": name, "in_stock": False} for name in PRODUCTS[:7]))

    answer = await asks(shop, limit=5)

    assert names(answer) == PRODUCTS[7:]


async def test_two_shops_with_equal_ids_never_mix(
    shop: Shop, other_shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    await serve_release(shop)
    await other_shop.has_products({"product_id": "p05", "title": "Theirs"})
    await sends(shop, "purchase", "p05", customer_id="ann")

    ours = await asks(shop, customer_id="ann", limit=20)
    theirs = await asks(other_shop, customer_id="ann", limit=20)

    assert "p05" not in names(ours)
    assert [item["title"] for item in theirs["items"]] == ["Theirs"]
    assert theirs["release_id"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"placement": "nowhere"}, "placement"),
        ({"placement": "for-you", "limit": 0}, "limit"),
        ({"placement": "for-you", "limit": 101}, "limit"),
        ({"placement": "for-you", "market": "Germany"}, "market"),
        ({"placement": "for-you", "device": "fridge"}, "device"),
        ({"placement": "for-you", "exclude": ["x"] * 501}, "exclude"),
        ({"placement": "for-you", "limt": 5}, "limt"),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(
    shop: Shop, body: dict[str, object], pointer: str
) -> None:
    answer = await shop.post("/v1/recommendations", body)

    assert answer.status_code == 400
    assert pointer in answer.text


async def test_a_storefront_key_may_ask_and_nobody_without_one(
    shop: Shop, anyone: httpx.AsyncClient
) -> None:
    body = {"placement": "for-you"}

    assert (await shop.storefront.post("/v1/recommendations", json=body)).status_code == 200
    assert (await anyone.post("/v1/recommendations", json=body)).status_code == 401


async def test_a_broken_release_leaves_the_one_before_in_service(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    before, broken = await serve_release(shop), await serve_release(shop)
    (broken / "items.msgpack").write_bytes(b"not this")

    answer = await asks(shop, limit=5)

    assert (answer["release_id"], answer["degraded"]) == (before.name, True)
    assert len(answer["items"]) == 5


async def test_without_a_sound_release_it_degrades_to_what_is_popular(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    for folder in (await serve_release(shop), await serve_release(shop)):
        (folder / "items.msgpack").write_bytes(b"not this")

    answer = await asks(shop, limit=5)

    assert (answer["served_by"], answer["degraded"]) == ("newest", True)
    assert len(answer["items"]) == 5


@pytest.mark.usefixtures("release")
async def test_a_change_that_commits_late_is_not_missed(
    shop: Shop, pool: Pool, redis: Redis
) -> None:
    await asks(shop, limit=20)
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await conn.execute(
            """
            UPDATE product SET in_stock = false, revision = nextval('product_revision')
            WHERE product_id = 'p00'
            """
        )
        await shop.has_products({"product_id": "p01", "in_stock": False})
        meanwhile = names(await asks(shop, limit=20))
    await announce_change(redis, shop.tenant_id)

    afterwards = names(await asks(shop, limit=20))

    assert "p00" in meanwhile
    assert not {"p00", "p01"} & set(afterwards)


async def test_the_next_answer_comes_from_the_release_switched_to(
    shop: Shop, serve_release: Serve
) -> None:
    await sells_everything(shop)
    old, new = await serve_release(shop), await serve_release(shop)
    assert (await asks(shop))["release_id"] == new.name

    await shop.post("/v1/models/rollback", None)
    assert (await asks(shop))["release_id"] == old.name

    await shop.post(f"/v1/models/{new.name}/promote", None)
    assert (await asks(shop))["release_id"] == new.name
